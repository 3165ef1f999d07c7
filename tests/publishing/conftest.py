"""Bundles of two people: frozen records, so that nothing is trained here and torch is not loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from tiny import PROJECT

from rsbench.core.display import Display
from rsbench.results.bundle import export
from rsbench.results.run import load_runs

QUIET = Display(quiet=True)
RECORDS = PROJECT / "tests" / "results" / "records" / "1"
SPLIT = "synthetic"


def narrowed(run: Path, copy: Path, rules: Sequence[str], seed: int) -> None:
    """A run as one of these rules, this seed, and the split `synthetic` alone: a board less to make."""
    shutil.copytree(run, copy)
    selections = {f"oracle:{SPLIT}" if rule == "oracle" else rule for rule in rules}
    for name in ("spec.json", "metrics.json", "selection.json", "data.json"):
        content = json.loads((run / name).read_text())
        if name == "spec.json":
            content |= {"select": list(rules), "seed": seed}
            content["data"]["test"] = [SPLIT]
        elif name == "metrics.json":
            content = {rule: {SPLIT: content[rule][SPLIT]} for rule in rules}
        elif name == "selection.json":
            content = {key: value for key, value in content.items() if key in selections}
        else:
            content["splits"] = {SPLIT: content["splits"][SPLIT]}
        (copy / name).write_text(json.dumps(content))
    (copy / "predictions" / "synthetic-shift.parquet").unlink()
    path = copy / "predictions" / "synthetic.parquet"
    stored = pd.read_parquet(path)
    stored[stored["selection"].isin(selections)].to_parquet(path, index=False)


@pytest.fixture(scope="session")
def own_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder: ce and qlung under val, and qlung of another seed under the oracle."""
    results = tmp_path_factory.mktemp("own") / "results"
    ce, qlung = sorted(RECORDS.glob("runs/*"))
    narrowed(ce, results / "runs" / ce.name, ["val"], 0)
    narrowed(qlung, results / "runs" / qlung.name, ["val"], 0)
    narrowed(qlung, results / "runs" / "oracle-cnn6-s1-0123456789", ["oracle"], 1)
    return results


@pytest.fixture
def results(own_runs: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(own_runs, tmp_path / "results"))


@pytest.fixture(scope="session")
def made_bundles(own_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ce.zip by alice, qlung.zip by "bob <script>", and study/oracle.zip by nobody."""
    folder = tmp_path_factory.mktemp("made") / "bundles"
    makers = {"ce.zip": "alice", "study/oracle.zip": None, "qlung.zip": "bob <script>"}
    for name, made_by in makers.items():
        runs = [run for run in load_runs(own_runs) if run.run_id.startswith(Path(name).stem)]
        export(runs, folder / name, None, QUIET, made_by)
    return folder


@pytest.fixture
def bundles(made_bundles: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may spoil."""
    return Path(shutil.copytree(made_bundles, tmp_path / "bundles"))
