"""Run records to boards."""
