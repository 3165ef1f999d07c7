"""Waveforms to features, on the device: front ends, augmentation, quality indices."""
