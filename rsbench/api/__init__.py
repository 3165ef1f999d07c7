"""Results in Python: what the commands print, as objects for a notebook and a paper."""
