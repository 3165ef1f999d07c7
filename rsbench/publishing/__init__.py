"""Results handed on: a site of boards made from bundles, and pull requests that bring one."""
