"""One page on all runs."""
