"""Recordings to clips to waveforms: readers, splits, identity, the waveform cache."""
