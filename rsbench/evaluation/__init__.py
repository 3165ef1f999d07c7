"""Stored predictions to metrics: operating points, selection rules. No model in memory, no torch."""
