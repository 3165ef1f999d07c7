"""A driver in a process of its own, to be killed: `python driver.py serial|ray runs|search ROOT OUT`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for `tiny`

from studies import Log, crew, never, study, tasks

from rsbench.sweep.engines import Engine, SerialEngine
from rsbench.sweep.spec import Resources, cells

LOSSES = ["unhurried"]
SEEDS = [0, 1, 2, 3]
CHANGES = {"epochs": 6}


def main(kind: str, what: str, root: Path, out: Path) -> None:
    whose = crew(root, out)
    engine: Engine = SerialEngine(whose)
    if kind == "ray":
        from rsbench.sweep.ray_engine import RayEngine

        engine = RayEngine(whose, Resources(), None, None)
    if what == "runs":
        engine.runs(tasks(whose, LOSSES, SEEDS, **CHANGES), Log(), never)
    else:
        sweep = study(LOSSES, base=CHANGES, trials=4)
        engine.search(cells(sweep), sweep, Log(), never)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
