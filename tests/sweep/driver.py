"""A driver of Ray in a process of its own, to be killed: `python driver.py runs|search ROOT OUT`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for `tiny`

from studies import Log, crew, never, study, tasks

from rsbench.sweep.ray_engine import RayEngine
from rsbench.sweep.spec import Resources, cells

LOSSES = ["unhurried"]
SEEDS = [0, 1, 2, 3]
CHANGES = {"epochs": 6}


def main(what: str, root: Path, out: Path) -> None:
    whose = crew(root, out)
    engine = RayEngine(whose, Resources(), None, None)
    if what == "runs":
        engine.runs(tasks(whose, LOSSES, SEEDS, **CHANGES), Log(), never)
    else:
        sweep = study(LOSSES, base=CHANGES, trials=4)
        engine.search(cells(sweep), sweep, Log(), never)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
