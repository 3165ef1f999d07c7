"""Bundles brought together: who made a run, who made it again, and what must not stand side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rsbench.core.display import Display
from rsbench.core.errors import ResultsError
from rsbench.results.bundle import export
from rsbench.results.collection import bundles_in, collect, list_bundles
from rsbench.results.run import Run, load_runs

QUIET = Display(quiet=True)


def ce(results: Path) -> Run:
    return next(run for run in load_runs(results) if run.run_id.startswith("ce"))


def made_by_bob(results: Path, folder: Path) -> Path:
    """The run `ce` in a bundle of bob's, as he made it: at another time."""
    run = ce(results)
    status = json.loads((run.path / "status.json").read_text())
    (run.path / "status.json").write_text(json.dumps(status | {"at": "2031-01-01T00:00:00+00:00", "pid": 1}))
    export([run], folder / "later.zip", None, QUIET, "bob")
    return folder / "later.zip"


def test_a_run_that_somebody_else_made_again_is_verified(bundles: Path, results: Path) -> None:
    alone = collect(bundles_in(bundles / "ce.zip"), QUIET)
    assert ce(alone.folder).origin_in_words == "self-reported by alice"
    shutil.copy(bundles / "ce.zip", bundles / "copy.zip")  # of whomever: the same file is no second witness
    made_by_bob(results, bundles)
    together = collect([one for one in bundles_in(bundles) if one.name != "qlung.zip"], QUIET)
    assert ce(together.folder).origin_in_words == "re-run by bob"
    assert [one.name for one in together.bundles_of([ce(together.folder).run_id])] == ["copy.zip", "later.zip"]


def test_a_run_of_one_id_with_other_predictions_is_a_conflict(bundles: Path, results: Path) -> None:
    (other,) = (run for run in load_runs(results) if run.run_id.startswith("qlung"))
    for name in ("predictions/synthetic.parquet", "metrics.json", "selection.json"):
        shutil.copy(other.path / name, ce(results).path / name)
    bundle = made_by_bob(results, bundles)
    with pytest.raises(ResultsError, match="the same id and other predictions") as raised:
        collect([one for one in bundles_in(bundles) if one.name in ("ce.zip", "later.zip")], QUIET)
    assert str(raised.value).startswith(f"{bundle}: ")
    assert "(alice and bob)" in str(raised.value)


def test_what_is_hidden_or_deeper_is_no_bundle(tmp_path: Path) -> None:
    for name in ("b.zip", "study/a.zip", ".staged.zip", ".index/c.zip", "study/deep/d.zip", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.relative_to(tmp_path).as_posix() for path in list_bundles(tmp_path)] == ["b.zip", "study/a.zip"]
