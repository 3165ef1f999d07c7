"""Run folders: what is kept of a run, key by key, written so that nothing is ever half there."""
