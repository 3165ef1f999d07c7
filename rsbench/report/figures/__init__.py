"""Figures, as files and on the page."""
