"""All that is to be known of rsbench on one NVIDIA card, within minutes: benchmarks/gpu.sh calls this.

    python benchmarks/gpu.py [--device cuda] [--minutes 8] [--only PART …] [--out results/gpu.csv]

Right results first, then speed. Every part is a process of its own and writes its rows as it finds them: one that fails
or takes too long costs the others nothing. With `--device cpu` all parts run at sizes that mean nothing.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from os import killpg
from pathlib import Path

import pandas as pd
from frozen_grid import Grid
from gpu_parts import Row, full, parts, tiny, train_for
from measured import last_line
from rich.console import Console
from rich.table import Table

from rsbench.core.files import write_csv

LONGEST_S = 120.0  # that a part may take


def carry_out(name: str, options: argparse.Namespace, seconds: float) -> list[Row]:
    """The rows of a part in a process of its own, and one more if it failed or had to be ended."""
    with tempfile.TemporaryDirectory() as folder:
        file, said = Path(folder) / "rows.jsonl", Path(folder) / "said"
        file.touch()
        command = [sys.executable, __file__, "--device", options.device, "--part", name, str(file)]
        with said.open("w") as stderr:
            process = subprocess.Popen(command, stdout=stderr, stderr=stderr, start_new_session=True)
            try:
                failed = process.wait(seconds) and last_line(said.read_text(errors="replace"))
            except subprocess.TimeoutExpired:
                failed = f"ended after {seconds:.0f} s"
                end(process)
        rows = [Row(**json.loads(line)) for line in file.read_text().splitlines()]
    return [*rows, Row(name, None, "", "to end well", False, failed)] if failed else rows


def end(process: subprocess.Popen[bytes]) -> None:
    """It and what it started; first as Ctrl-C does, so that it can clear up."""
    for told in (signal.SIGINT, signal.SIGKILL):
        killpg(process.pid, told)
        try:
            process.wait(10)
            return
        except subprocess.TimeoutExpired:
            continue


def shown(rows: list[Row]) -> Table:
    table = Table("what", "value", "unit", "wanted", "", "note")
    for row in rows:
        value = "" if row.value is None else f"{row.value:.4g}"
        table.add_row(row.what, value, row.unit, row.wanted, {True: "ok", False: "NO", None: ""}[row.ok], row.note)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together, two at most for each")
    parser.add_argument("--only", action="append", default=[], help="this part; may be given several times")
    parser.add_argument("--out", type=Path, default=Path("results/gpu.csv"))
    parser.add_argument("--part", nargs=2, metavar=("NAME", "FILE"), help="carry this out here, rows as JSON lines")
    parser.add_argument("--train-for", type=float, metavar="S", help="train here when told to, and print clips/s")
    options = parser.parse_args()
    cpu_grid = Grid(losses=("ce", "qlung"), seeds=1, epochs=2, patients=6)
    scale = tiny("cpu", cpu_grid) if options.device == "cpu" else full(options.device)
    if options.train_for:
        print(train_for(options.train_for, scale))
    elif options.part:
        name, file = options.part
        with Path(file).open("a", buffering=1) as lines:  # a line is on disk when its row is found
            for row in parts(scale)[name](scale):
                lines.write(json.dumps(asdict(row)) + "\n")
    else:
        ends = time.monotonic() + 60 * options.minutes
        rows: list[Row] = []
        console = Console(width=150)
        for name in options.only or parts(scale):
            left = ends - time.monotonic()
            found = (
                carry_out(name, options, min(left, LONGEST_S))
                if left > 5
                else [Row(name, None, "", note="no time was left")]
            )
            rows += found
            console.print(shown(found), f"{name}: {ends - time.monotonic():.0f} s left")
            write_csv(options.out, pd.DataFrame([asdict(row) for row in rows]))
        print(f"{sum(row.ok is False for row in rows)} figures are not as wanted; written to {options.out}")


if __name__ == "__main__":
    main()
