"""A study of many runs: planned, searched, repeated on fresh seeds, and taken up again wherever it was stopped."""
