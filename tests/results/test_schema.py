"""Records of every schema that was ever written are read by every command.

`records/<schema>/` is a results folder as that schema's rsbench left it, made of the embedded recordings, without
checkpoints. It is never written again: a new schema gets a folder of its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import on_disk
import pandas as pd
import pytest
from tiny import Cli

import rsbench
from rsbench.core.errors import ResultsError
from rsbench.core.spec import LATER_FIELDS
from rsbench.results.schema import SCHEMA_VERSION

RECORDS = Path(__file__).with_name("records")
CE, QLUNG = "ce-cnn6", "qlung-cnn6"

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("leaderboard", "--split", "synthetic,synthetic-shift", "--columns", "+recall,calibration"),
    ("leaderboard", "--split", "synthetic", "--select", "last", "--baseline", "ce"),
    ("leaderboard", "--split", "synthetic", "--published"),
    ("leaderboard", "--split", "synthetic", "--by", "device"),
    ("leaderboard", "--split", "synthetic", "--by", "quality"),
    ("audit", "--split", "synthetic"),
    ("show", CE, "--all"),
    ("show", QLUNG, "--format", "json"),
    ("compare", CE, QLUNG),
    ("cite", CE, QLUNG),
    ("rescore",),
    ("predict", QLUNG, "--card"),
    ("export", "--out", "OUT/bundle.zip"),
    ("export", "--anonymise", "--out", "OUT/bundle"),
)


def as_written(results: Path) -> None:
    pass


def without_later_fields(results: Path) -> None:
    """As records from before these fields were there."""
    for run in results.glob("runs/*"):
        on_disk.edit(run, "spec.json", lambda spec: spec["quality"].pop("control"))
        on_disk.edit(run, "spec.json", lambda spec: spec.pop("tuning_trials"))
        on_disk.edit(run, "data.json", lambda data: data.pop("quality_index"))
    on_disk.edit(next(results.glob("runs/ce-*")), "spec.json", lambda spec: spec.pop("select"))


@pytest.fixture(params=sorted(path.name for path in RECORDS.iterdir()))
def schema(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[as_written, without_later_fields], ids=lambda change: change.__name__)
def results(request: pytest.FixtureRequest, schema: str, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(RECORDS / schema, tmp_path / "results"))
    request.param(folder)
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:1] + command[3:5]))
def test_every_command_reads_it(cli: Cli, results: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = cli(*(word.replace("OUT", str(tmp_path)) for word in command), "--results", results)
    assert done.code == 0, done.err
    assert "left out: " not in done.out.replace("1 run left out: not done", "")
    assert "damaged" not in done.err


def test_the_report_reads_it(cli: Cli, schema: str, tmp_path: Path, sketched: None) -> None:
    results = Path(shutil.copytree(RECORDS / schema, tmp_path / "results"))
    without_later_fields(results)
    done = cli("report", "--results", results, "--out", tmp_path / "report.html")
    assert (done.code, "damaged" in done.err) == (0, False), done.err


def test_merging_brings_it_whole(cli: Cli, results: Path, tmp_path: Path) -> None:
    assert cli("merge", results, "--results", tmp_path / "board").out.startswith("2 brought in")
    assert cli("rescore", "--results", tmp_path / "board").code == 0


def test_scores_are_those_of_the_files(cli: Cli, results: Path) -> None:
    (board,) = json.loads(cli("leaderboard", "--split", "synthetic", "--results", results, "--format", "json").out)
    stored = {path.name.partition("-")[0]: on_disk.read(path, "metrics.json") for path in results.glob("runs/*")}
    rows = {row["loss"]: row["score_mean"] for row in board["rows"] if row["operating_point"] == "argmax"}
    scores = {loss: metrics["val"]["synthetic"]["argmax"]["score"] for loss, metrics in stored.items()}
    assert rows == pytest.approx(scores)


def test_every_schema_has_its_record_and_new_runs_say_theirs(tiny_run: Callable[..., rsbench.Run]) -> None:
    assert sorted(int(path.name) for path in RECORDS.iterdir()) == list(range(1, SCHEMA_VERSION + 1))
    assert on_disk.read(tiny_run(epochs=1).path, "data.json")["schema_version"] == SCHEMA_VERSION


def test_a_newer_schema_asks_for_a_newer_rsbench(cli: Cli, schema: str, tmp_path: Path) -> None:
    results = Path(shutil.copytree(RECORDS / schema, tmp_path / "results"))
    run = next(results.glob("runs/ce-*"))
    on_disk.edit(run, "data.json", lambda data: data.update(schema_version=99))
    said = (
        f"{run / 'data.json'}: a newer rsbench wrote it (record schema 99; this one knows {SCHEMA_VERSION}). "
        "Upgrade rsbench."
    )
    shown = cli("show", CE, "--results", results)
    assert (shown.code, shown.err.strip()) == (2, f"error: {said}")
    board = cli("leaderboard", "--split", "synthetic", "--results", results)
    assert board.code == 0
    assert f"left out: {said}" in " ".join(board.out.split())


def test_a_run_is_loaded_by_its_id_the_beginning_of_it_or_its_folder(schema: str) -> None:
    results = RECORDS / schema
    run = rsbench.Run.load(CE, results)
    assert run.path == rsbench.Run.load(run.run_id, str(results)).path
    assert run.path.samefile(rsbench.Run.load(run.path).path)
    with pytest.raises(ResultsError, match="no run in .* has an id that begins or matches so"):
        rsbench.Run.load("arcface", results)
    with pytest.raises(ResultsError, match="there are no runs here"):
        rsbench.Run.load(CE, results / "elsewhere")


def test_a_run_is_the_files_of_its_folder(schema: str) -> None:
    run = rsbench.Run.load(QLUNG, RECORDS / schema)
    assert (run.state, run.origin, run.origin_in_words) == ("done", None, "here")
    written = on_disk.read(run.path, "spec.json")
    for (part, name), before in LATER_FIELDS.items():
        written[part][name] = before
    assert run.spec.model_dump(mode="json") == written
    assert run.data.document() | on_disk.read(run.path, "data.json") == run.data.document()
    assert run.metrics == on_disk.read(run.path, "metrics.json")
    assert {name: chosen.document() for name, chosen in run.selection.items()} == on_disk.read(
        run.path, "selection.json"
    )
    assert run.cost.document() | on_disk.read(run.path, "cost.json") == run.cost.document()
    assert list(run.epochs["epoch"]) == [1, 2]


def test_calls_are_those_of_a_loop_over_the_stored_predictions(schema: str) -> None:
    run = rsbench.Run.load(QLUNG, RECORDS / schema)
    for rule, selection in (("val", "val"), ("oracle", "oracle:synthetic-shift")):
        choice, calls = run.choice(selection, "val-bias"), run.calls("synthetic-shift", rule)
        called = {}
        for _, clip in pd.read_parquet(run.path / "predictions" / "synthetic-shift.parquet").iterrows():
            if clip["selection"] == selection and clip["part"] == "test":
                logits = [clip[f"logit_{name}"] for name in ("normal", "crackle", "wheeze", "both")]
                logits[0] += choice.point.normal_offset
                called[clip["clip_id"]] = logits.index(max(logits))
        assert dict(zip(calls.clips.index, calls.called("val-bias"), strict=True)) == called
        assert choice.epoch == run.selection[selection].epoch
        assert choice.figures["synthetic-shift"] == run.metrics[rule]["synthetic-shift"]


def test_a_run_shows_its_scores_at_a_prompt_and_in_a_notebook(schema: str, tmp_path: Path) -> None:
    run = rsbench.Run.load(QLUNG, RECORDS / schema)
    of_val = run.metrics["val"]
    scores = ", ".join(f"{split} {of_val[split]['argmax']['score']:.1f}" for split in ("synthetic", "synthetic-shift"))
    assert repr(run) == f"<Run {run.run_id}: Score {scores} (val, epoch {run.selection['val'].epoch})>"
    table = run.table().set_index(["rule", "split", "at"])
    assert table.loc[("last", "synthetic", "val-bias"), "se"] == run.metrics["last"]["synthetic"]["val-bias"]["se"]
    assert len(table) == 3 * 2 * 2
    assert f"<td>{of_val['synthetic']['val-bias']['sp']:.1f}</td>" in run._repr_html_()
    absent = rsbench.Run(tmp_path / "runs" / "<ce>")
    assert repr(absent) == "<Run <ce>: absent>"
    assert "&lt;ce&gt;" in absent._repr_html_()
