"""The shelf of quality indices: one file per family; being in this folder registers what a file defines."""
