"""How the learned quality indices are made: `python -m rsbench.fitting learned` writes the file that it reads."""
