"""Run records to one page that opens anywhere."""
