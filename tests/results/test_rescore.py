"""Figures follow from predictions: whatever is changed in either is found, and named."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import on_disk
import pandas as pd
import pytest
from tiny import BringSplit, Cli

from rsbench.data.splits import Split
from rsbench.results.rescore import RELATIVE_TOLERANCE, flat_figures, rescore_run
from rsbench.results.rows import judgements
from rsbench.results.run import Run

LOGITS = ["logit_normal", "logit_crackle", "logit_wheeze", "logit_both"]


@pytest.fixture
def victim(results: Path) -> Path:
    return next(results.glob("runs/ce-*s0-*"))


def count_figures(results: Path) -> int:
    """The leaves of every metrics.json, counted without rsbench."""
    return sum(len(re.findall(r'": (?!\{)', path.read_text())) for path in results.glob("runs/*/metrics.json"))


def test_sound_runs_are_one_line(cli: Cli, results: Path) -> None:
    done = cli("rescore", "--results", results)
    assert done.code == 0, done.err
    assert done.out == f"{count_figures(results):,} figures of 3 runs follow from the stored predictions\n"


def test_the_order_of_rows_does_not_matter(victim: Path) -> None:
    for path in victim.glob("predictions/*.parquet"):
        pd.read_parquet(path).sample(frac=1, random_state=0).to_parquet(path, index=False)
    assert rescore_run(Run(victim)).differing == ()


@pytest.mark.parametrize(("factor", "found"), [(1 + 3 * RELATIVE_TOLERANCE, True), (1 + RELATIVE_TOLERANCE / 3, False)])
def test_every_figure_that_is_changed_is_found(results: Path, victim: Path, factor: float, found: bool) -> None:
    stored = on_disk.read(victim, "metrics.json")
    changed, expected = scaled(stored, factor), []
    for (*above, name), figure in flat_figures(stored):
        if figure:  # neither 0 nor undefined
            rule, split, *rest = above
            expected.append(
                f"{rule}, {split}, {'.'.join([*rest, name])}: stored {figure * factor}, recomputed {figure}"
            )
    on_disk.write(victim, "metrics.json", changed)
    rescored = rescore_run(Run(victim))
    assert rescored.figures == len(re.findall(r'": (?!\{)', json.dumps(stored))) > len(expected) > 100
    assert list(rescored.differing) == (expected if found else [])


def scaled(scores: Any, factor: float) -> Any:
    if isinstance(scores, dict):
        return {key: scaled(value, factor) for key, value in scores.items()}
    return scores * factor if scores else scores


def test_a_record_of_before_a_figure_came_is_whole_without_it(victim: Path) -> None:
    def without(metrics: Any) -> None:
        for figures in (of_split for splits in metrics.values() for of_split in splits.values()):
            del figures["worst_device"]

    on_disk.edit(victim, "metrics.json", without)
    assert rescore_run(Run(victim)).differing == ()
    assert all(one.row["worst_device"] is None for one in judgements(Run(victim), "tiny", "val"))


def test_a_figure_made_undefined_is_found(victim: Path) -> None:
    on_disk.edit(victim, "metrics.json", lambda metrics: metrics["last"]["far"]["val-bias"].update(sp=None))
    (line,) = rescore_run(Run(victim)).differing
    assert line.startswith("last, far, val-bias.sp: stored None, recomputed ")


def test_what_is_recomputed_is_what_a_loop_counts(cli: Cli, results: Path, victim: Path) -> None:
    """One clip is called otherwise: the new Se is that of a loop over the stored rows."""
    path = victim / "predictions" / "tiny.parquet"
    frame = pd.read_parquet(path).reset_index(drop=True)
    judged = frame.query("selection == 'last' and part == 'test' and label == 1").index[0]
    frame.loc[judged, LOGITS] = [9.0, 0.0, 0.0, 0.0] if _called(frame.loc[judged]) == 1 else [0.0, 9.0, 0.0, 0.0]
    frame.to_parquet(path, index=False)
    hits = abnormal = 0
    for _, row in frame.query("selection == 'last' and part == 'test' and label > 0").iterrows():
        abnormal, hits = abnormal + 1, hits + (_called(row) == row["label"])
    stored = on_disk.read(victim, "metrics.json")["last"]["tiny"]["argmax"]["se"]
    done = cli("rescore", "--results", results)
    assert done.code == 1
    line = next(line for line in done.out.splitlines() if line.startswith(f"{victim.name}: last, tiny, argmax.se:"))
    assert line.endswith(f"stored {stored}, recomputed {100 * hits / abnormal}")
    assert stored != 100 * hits / abnormal
    assert "figures of 3 runs" in done.err


def _called(row: pd.Series) -> int:
    logits = [row[name] for name in LOGITS]
    return logits.index(max(logits))


def test_a_figure_that_is_gone_or_unknown_is_found(cli: Cli, results: Path, victim: Path) -> None:
    def change(metrics: Any) -> None:
        del metrics["val"]["far"]["argmax"]["sp"]
        metrics["val"]["far"]["argmax"]["luck"] = 1
        metrics["val"]["sprsound"] = {"argmax": {"sp": 99.0}}  # a split that the run was never judged on

    on_disk.edit(victim, "metrics.json", change)
    said = cli("rescore", "--results", results).out
    assert "val, far, argmax.sp: stored nothing, recomputed " in said
    assert "val, far, argmax.luck: stored 1, recomputed nothing" in said
    assert "val, sprsound, argmax.sp: stored 99.0, recomputed nothing" in said


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: (run / "metrics.json").write_text("{ half"), "metrics.json: cannot be read"),
        (lambda run: (run / "status.json").write_text("{ half"), "status.json: cannot be read"),
        (
            lambda run: (run / "data.json").write_text("{}"),
            "data.json: is not as rsbench writes it (backbone: Field required)",
        ),
        (lambda run: (run / "predictions" / "far.parquet").unlink(), "no predictions for data set 'far'"),
        (lambda run: (run / "predictions" / "far.parquet").write_bytes(b"PAR1"), "far.parquet: cannot be read"),
        (
            lambda run: pd.DataFrame({"clip_id": ["a"]}).to_parquet(run / "predictions" / "far.parquet"),
            "far.parquet: cannot be read (it has no column recording, patient",
        ),
    ],
)
def test_a_damaged_run_is_named_and_the_others_are_scored(
    cli: Cli, results: Path, victim: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(victim)
    done = cli("rescore", "--results", results)
    assert done.code == 1
    (line,) = done.out.splitlines()
    assert line.startswith(f"{victim.name}: cannot be scored again: ")
    assert said in line
    assert "the 1 lines above" in done.err


def test_another_version_of_a_split_is_said_not_compared(cli: Cli, results: Path, bring_split: BringSplit) -> None:
    bring_split(Split("far", 2, "far", "", (), ("nothing",)))
    done = cli("rescore", "--results", results, "ce-")
    assert done.code == 1
    lines = done.out.splitlines()
    assert len(lines) == 2
    assert all("split 'far' is version 2 now and was 1: not compared" in line for line in lines)


def test_a_split_of_an_absent_plugin_asks_for_it(cli: Cli, results: Path, victim: Path) -> None:
    on_disk.edit(victim, "data.json", lambda data: data["identity"]["plugins"].update({"dataset:far": "0" * 64}))
    done = cli("rescore", "--results", results)
    assert f"{victim.name}: cannot be scored again: split 'far' came with a plugin" in done.out
    assert "--plugin" in done.out


def test_only_finished_runs_and_those_that_are_named(cli: Cli, results: Path, victim: Path) -> None:
    on_disk.edit(victim, "status.json", lambda status: status.update(state="failed"))
    assert "of 2 runs" in cli("rescore", "--results", results).out
    assert "of 1 runs" in cli("rescore", "--results", results, "qlung-").out
    assert "of 2 runs" in cli("rescore", "--results", results, "*-s1-*", "qlung*").out
    unfinished = cli("rescore", "--results", results, victim.name)
    assert (unfinished.code, "none of these runs is finished" in unfinished.err) == (2, True)
    unknown = cli("rescore", "--results", results, "focal")
    assert (unknown.code, "focal: no run in" in unknown.err) == (2, True)


def test_no_command_on_records_imports_torch(results: Path, tmp_path: Path) -> None:
    lines = [
        "import sys",
        "from rsbench.cli import app",
        f"app(['export', '--results', {str(results)!r}, '--out', {str(tmp_path / 'b.zip')!r}], standalone_mode=False)",
        f"app(['merge', {str(tmp_path / 'b.zip')!r}, '--results', {str(tmp_path / 'other')!r}], standalone_mode=False)",
        f"app(['rescore', '--results', {str(tmp_path / 'b.zip')!r}], standalone_mode=False)",
        "sys.exit('torch' in sys.modules)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
