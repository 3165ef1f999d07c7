"""One run in the terminal: every figure is the record's, whatever state the run is in."""

from __future__ import annotations

import io
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import on_disk
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sklearn.metrics import confusion_matrix
from tiny import Cli, run_tiny

from rsbench.core.errors import RunFailed
from rsbench.core.spec import flatten
from rsbench.data.tasks import ICBHI_4
from rsbench.report.tables.run import run_tables
from rsbench.report.tables.terminal import BARS, WIDTH, column, print_table, sparkline
from rsbench.results.document import document
from rsbench.results.run import Run

CLASSES = ("normal", "crackle", "wheeze", "both")


@pytest.fixture
def ce(runs_to_read: Path) -> Run:
    return Run(next(runs_to_read.glob("runs/ce-tiny-s0-*")))


def on_screen(known: dict[str, Any], width: int = 80, *, everything: bool = False) -> str:
    text = io.StringIO()
    console = Console(file=text, width=width, highlight=False)
    for table in run_tables(known, everything=everything):
        print_table(table, console)
    return text.getvalue()


def rows_below(text: str, title: str) -> list[list[str]]:
    """The cells of a table's rows, by its title."""
    lines = iter(text[text.index(title) :].splitlines())
    for line in lines:
        if set(line.strip()) == {"─"}:
            return [row.split() for row in itertools.takewhile(str.strip, lines)]
    raise AssertionError(f"no table below {title}")


def test_every_figure_is_that_of_the_record(ce: Run) -> None:
    text = on_screen(document(ce), everything=True)
    metrics, selection = on_disk.read(ce.path, "metrics.json"), on_disk.read(ce.path, "selection.json")
    for split in ("tiny", "far"):
        rows = rows_below(text, f"{split} v1: {metrics['val'][split]['clips']} clips")
        assert len(rows) == 6  # three rules at two operating points
        for cells in rows:
            rule = "oracle" if cells[0] == "ORACLE" else cells[0]
            epoch, point, *figures = cells[-7:]
            assert int(epoch) == selection[f"oracle:{split}" if rule == "oracle" else rule]["epoch"]
            names = ("sp", "se", "score", "macro_f1", "balanced_accuracy")
            assert figures == [f"{metrics[rule][split][point][name]:.1f}" for name in names]
        for cells in rows_below(text, f"recall by class, {split}"):
            rule, point, recalls = "oracle" if cells[0] == "ORACLE" else cells[0], cells[-5], cells[-4:]
            assert recalls == [f"{metrics[rule][split][point][f'recall_{name}']:.1f}" for name in CLASSES]


def test_confusion_is_what_another_library_counts(ce: Run) -> None:
    known, metrics = document(ce), on_disk.read(ce.path, "metrics.json")
    text = on_screen(known)
    for split in ("tiny", "far"):
        stored = pd.read_parquet(ce.path / "predictions" / f"{split}.parquet")
        clips = stored[(stored["selection"] == "val") & (stored["part"] == "test")]
        for point, offset in (("argmax", 0.0), ("val-bias", metrics["val"][split]["operating_point"]["normal_offset"])):
            logits = clips[list(ICBHI_4.logit_columns)].to_numpy(copy=True)
            logits[:, 0] += offset
            counted = confusion_matrix(clips["label"], logits.argmax(axis=1), labels=range(4)).tolist()
            assert known["confusion"]["val"][split][point] == counted
            shown = rows_below(text, f"called, {split}, val")
            place = slice(1, 5) if point == "argmax" else slice(5, 9)
            assert [[int(cell) for cell in row[place]] for row in shown] == counted


def test_json_is_the_record_itself(cli: Cli, runs_to_read: Path, ce: Run) -> None:
    shown = cli("show", "ce-tiny-s0", "--results", runs_to_read, "--format", "json")
    assert shown.code == 0, shown.err
    known = json.loads(shown.out)
    for name in ("spec", "data", "env", "selection", "metrics", "cost"):
        assert known[name] == json.loads((ce.path / f"{name}.json").read_text())
    assert [row["epoch"] for row in known["epochs"]] == [1, 2, 3]
    assert known["origin"] == "here"
    assert Path(known["path"]).samefile(ce.path)


def test_the_mark_stands_below_the_epoch_that_was_chosen(ce: Run) -> None:
    known = document(ce)
    for epoch in (1, 2, 3):
        known["selection"]["val"]["epoch"] = epoch
        lines = on_screen(known).splitlines()
        bars = next(line for line in lines if "validation Score" in line)
        mark = next(line for line in lines if f"val: epoch {epoch}" in line)
        first = min(position for position, letter in enumerate(bars) if letter in BARS)
        assert mark.index("▲") == first + epoch - 1


def test_only_what_differs_is_shown_unless_all_is_asked_for(cli: Cli, runs_to_read: Path, ce: Run) -> None:
    short, whole = (cli("show", str(ce.path), "--results", runs_to_read, *more).out for more in ((), ("--all",)))
    spec = on_disk.read(ce.path, "spec.json")
    for key in (key.rpartition(".")[2] for key in flatten(spec) if not key.endswith(("name", "pretrained_on"))):
        assert re.search(rf"\b{key}\b", whole), key
    assert "epochs 3" in short  # the default is 50
    assert "weight_decay" not in short
    assert "called, far, last" in whole
    assert "called, far, last" not in short


def test_it_fits_80_columns(ce: Run) -> None:
    text = on_screen(document(ce), width=80, everything=True)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_folds_are_shown(cli: Cli, runs_to_read: Path) -> None:
    shown = cli("show", "qlung", "--results", runs_to_read)
    assert shown.code == 0, shown.err
    folds = pd.read_csv(next(runs_to_read.glob("runs/qlung-*/folds.csv")))
    chosen = folds.loc[folds["chosen"], "epoch"].iloc[0]
    assert "Score, mean of 2 folds" in shown.out
    assert f"cv-refit: epoch {chosen}" in shown.out
    assert "validate on" not in shown.out


def test_a_failed_run_says_why_and_how_far_it_came(cli: Cli, tiny_root: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFailed):
        run_tiny(tiny_root, tmp_path, loss="breaks_down", epochs=4)
    shown = cli("show", "breaks_down", "--results", tmp_path)
    assert shown.code == 0, shown.err
    trained = len(pd.read_csv(next(tmp_path.glob("runs/*/epochs.csv"))))
    assert re.search(rf"failed, .* after {trained} of 4 epochs", shown.out)
    assert "became nan" in shown.out
    assert "training loss" in shown.out


def test_a_run_that_was_killed_at_its_very_end_is_shown(cli: Cli, ce: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ce.path, tmp_path / ce.run_id))
    (copy / "selection.json").unlink()
    Run(copy).folder.set_status("running", epoch=3, epochs=3)
    shown = cli("show", copy)
    assert shown.code == 0, shown.err
    assert "after 3 of 3 epochs" in shown.out


@pytest.mark.parametrize("state", ["running", "interrupted", "failed"])
def test_a_run_that_never_came_to_its_data_is_shown(cli: Cli, tmp_path: Path, state: str) -> None:
    Run(tmp_path / "runs" / "ce-tiny-s0-0123456789").folder.set_status(state)
    shown = cli("show", "ce-tiny", "--results", tmp_path)
    assert shown.code == 0, shown.err
    assert state in shown.out
    assert "before its training began" in shown.out


def test_contaminated_weights_are_marked(ce: Run) -> None:
    known = document(ce)
    known["data"]["weights"]["pretrained_on"] = ["AudioSet", "Far"]
    assert "CONTAMINATED" in on_screen(known)
    known["data"]["weights"]["pretrained_on"] = ["AudioSet"]
    assert "CONTAMINATED" not in on_screen(known)


def test_a_run_is_named_by_what_tells_it_apart(cli: Cli, runs_to_read: Path, ce: Run) -> None:
    for name in (ce.run_id, ce.run_id[:-3], str(ce.path)):
        assert cli("show", name, "--results", runs_to_read).out.startswith(f"{ce.run_id}\n")
    several = cli("show", "ce-tiny", "--results", runs_to_read)
    assert len(re.findall(r"^ce-tiny-s\d-", several.out, flags=re.MULTILINE)) == 2
    none = cli("show", ce.run_id.replace("ce-", "cf-"), "--results", runs_to_read)
    assert none.code == 2
    assert f"Did you mean '{ce.run_id}'?" in none.err


@pytest.mark.parametrize(
    ("name", "content", "read_by"),
    [
        ("epochs.csv", "", {"show"}),
        ("metrics.json", "{", {"show", "compare"}),
        ("metrics.json", None, {"show", "compare"}),
        ("cost.json", "[]", {"show", "compare"}),
        ("data.json", "{}", {"show", "compare", "cite"}),
    ],
)
def test_a_damaged_record_is_one_message(
    cli: Cli, ce: Run, tmp_path: Path, name: str, content: str | None, read_by: set[str]
) -> None:
    copy = Path(shutil.copytree(ce.path, tmp_path / ce.run_id))
    (copy / name).unlink() if content is None else (copy / name).write_text(content)
    for command, *others in (["show"], ["compare", ce.path], ["cite"]):
        done = cli(command, copy, *others)
        assert done.code == (2 if command in read_by else 0)
        assert done.err.startswith(f"error: {copy}") == (command in read_by)


def test_reading_a_run_needs_no_torch() -> None:
    program = (
        "import sys, rsbench.report.tables.run, rsbench.report.tables.pair\n"
        "import rsbench.report.cite, rsbench.results.document\n"
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)


@given(values)
def test_bars_rank_as_the_values_do(curve: list[float]) -> None:
    line = sparkline(curve, len(curve))
    assert len(line) == min(len(curve), WIDTH)
    heights = [BARS.index(bar) for bar in line]
    assert min(heights) == 0
    if len(curve) <= WIDTH:
        for one, other in zip(range(len(curve)), range(1, len(curve)), strict=False):
            assert (heights[one] <= heights[other]) or curve[one] > curve[other]
        assert max(heights) == len(BARS) - 1 or max(curve) == min(curve)


@given(st.integers(1, 500))
def test_epochs_fill_the_line_in_order(epochs: int) -> None:
    columns = [column(epoch, epochs) for epoch in range(1, epochs + 1)]
    assert columns == sorted(columns)
    assert set(columns) == set(range(min(epochs, WIDTH)))


def test_what_is_not_known_leaves_a_gap() -> None:
    assert sparkline([1.0, None, float("nan"), 2.0], 4) == "▁  █"
    assert sparkline([None, None], 2) == "  "
    assert sparkline([1.0, 2.0], 4) == "▁█"
