"""All speeds in one table, each beside its peer, as ratios: below 1, rsbench takes less.

    python -m benchmarks [--only PART …] [--quick] [--out results/benchmarks.csv]

Every part is measured in a process of its own, since threads and caches matter; `python -m benchmarks --only PART`
measures it again and replaces its rows alone. What cannot be measured here is a row that says why.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import rsbench  # noqa: F401 (first: it says how threads wait, which torch reads when it is loaded)

# isort: split
import pandas as pd
from rich.console import Console
from rich.table import Table

from rsbench.core.errors import RsbenchError
from rsbench.core.files import write_csv

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE))  # where the parts lie, and what they share

from measured import last_line  # noqa: E402

# Each is a script of this folder; its function `ratios(quick)` gives what is measured.
PARTS = (
    "startup",
    "losses",
    "training",
    "frozen_grid",
    "probe",
    "preparation",
    "frontend",
    "predict",
    "intervals",
    "growth",
)
COLUMNS = ("what", "beside", "ratio", "lowest", "highest", "of", "rounds", "note", "command")
Row = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "benchmarks.csv")
    parser.add_argument("--here", nargs=2, metavar=("PART", "FILE"), help="measure a part in this process, as JSON")
    options = parser.parse_args()
    if options.here:
        part, file = options.here
        measure_here(part, options.quick, Path(file))
        return

    # As users have it: where it is set, every command compiles all that it imports again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    console = Console()
    rows = read_rows(options.out)
    measured: list[Row] = []
    for part in options.only or PARTS:
        with console.status(part):
            rows[part] = measure(part, options.quick)
        measured += rows[part]
        write_csv(options.out, pd.DataFrame([row for name in PARTS for row in rows.get(name, [])]))
    console.print(table(measured))
    console.print(f"written to {options.out}")


def measure(part: str, quick: bool, script: Path = HERE / "__main__.py") -> list[Row]:
    """The rows of a part, measured in a process of its own."""
    command = f"python -m benchmarks --only {part}" + quick * " --quick"
    machine = {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "torch": version("torch"),
        "threads": "",
        "load": f"{os.getloadavg()[0]:.1f}",  # how many processes wanted a core before
        "date": datetime.date.today().isoformat(),
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        done = subprocess.run(
            [sys.executable, str(script), "--here", part, str(file), *quick * ["--quick"]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            blank = dict.fromkeys(COLUMNS, "")
            note = last_line(done.stderr) if done.returncode > 0 else f"ended by signal {-done.returncode}"
            return [blank | {"what": part, "note": note, "command": command} | machine]
        found = json.loads(file.read_text(encoding="utf-8"))
    return [in_words(ratio, command) | machine | {"threads": str(found["threads"])} for ratio in found["ratios"]]


def in_words(ratio: dict[str, str | list[float]], command: str) -> Row:
    """COLUMNS of one ratio."""
    rounds = [float(value) for value in ratio["rounds"]]
    figures = {"ratio": statistics.median(rounds), "lowest": min(rounds), "highest": max(rounds)}
    words = {name: str(ratio[name]) for name in ("what", "beside", "of")}
    row = words | {name: f"{value:.3g}" for name, value in figures.items()}
    row |= {"rounds": str(len(rounds)), "note": "", "command": command}
    return {name: row[name] for name in COLUMNS}


def measure_here(part: str, quick: bool, file: Path) -> None:
    """Write what a part gives. A message ends the process where it cannot be measured."""
    try:
        found = importlib.import_module(part).ratios(quick)
    except RsbenchError as error:
        raise SystemExit(str(error)) from error
    import torch

    content = {"threads": torch.get_num_threads(), "ratios": [asdict(ratio) for ratio in found]}
    file.write_text(json.dumps(content), encoding="utf-8")


def read_rows(path: Path) -> dict[str, list[Row]]:
    """The rows of an earlier table by their part; none where there is no table."""
    rows: dict[str, list[Row]] = {}
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                rows.setdefault(row["command"].split()[4], []).append(row)
    return rows


def processor() -> str:
    """Its name, which Python knows on some systems alone."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def table(rows: Sequence[Row]) -> Table:
    """As the terminal shows them."""
    shown = Table(title="rsbench beside its peers: below 1, it takes less", show_lines=False)
    for name in ("what", "beside", "of"):
        shown.add_column(name, overflow="fold")
    for name in ("ratio", "range"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        if row["note"]:
            shown.add_row(row["what"], f"not measured: {row['note']}")
        else:
            shown.add_row(row["what"], row["beside"], row["of"], row["ratio"], f"{row['lowest']} – {row['highest']}")
    return shown


if __name__ == "__main__":
    main()
