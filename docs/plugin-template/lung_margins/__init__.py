"""Losses for rsbench, a module each."""
