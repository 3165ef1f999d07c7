"""Results folders, one of several kinds of runs and one of a single run, and the report on the first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pages import Parsed, Reported
from tiny import run_tiny

from rsbench.cli import app


@pytest.fixture(scope="session")
def several_kinds(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ce and qlung with two seeds under all rules; trained on everything, ce and a qlung that failed; a damaged run."""
    results = tmp_path_factory.mktemp("several") / "results"
    for loss in ("ce", "qlung"):
        for seed in (0, 1):
            run_tiny(tiny_root, results, loss=loss, seed=seed, epochs=2, select="val,last,oracle")
        other = run_tiny(tiny_root, results, loss=loss, epochs=1, test="tiny", validation__fraction=0, select="last")
    (Path(other.path) / "status.json").write_text(json.dumps({"state": "failed"}))
    damaged = shutil.copytree(other.path, results / "runs" / "damaged")
    (damaged / "spec.json").write_text("{ half")
    return results


@pytest.fixture(scope="session")
def one_run(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of a single run."""
    results = tmp_path_factory.mktemp("single") / "results"
    run_tiny(tiny_root, results, epochs=1, test="tiny")
    return results


@pytest.fixture(scope="session")
def reported(several_kinds: Path, tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """The report on them, which takes much longer to make."""
    out = tmp_path_factory.mktemp("reported")
    page = out / "page.html"
    given = ["--results", several_kinds, "--out", page, "--root", tiny_root, "--audio"]
    app(["report", *map(str, given)], standalone_mode=False)
    text = page.read_text(encoding="utf-8")
    return Reported(several_kinds, page, out / "page_figures", text, Parsed(text))
