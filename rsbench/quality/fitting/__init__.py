"""How the learned quality indices are made: `python -m rsbench.quality.fitting learned` writes its file."""
