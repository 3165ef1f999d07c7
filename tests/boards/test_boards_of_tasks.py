"""Runs of several tasks in one folder: each record says its classes, and no board mixes two tasks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from tiny import CLIP_S, TINY_PLUGIN, Cli, run_tiny

from rsbench.boards.leaderboard import leaderboard
from rsbench.core.display import Display
from rsbench.core.errors import ResultsError
from rsbench.core.plugins import load
from rsbench.data.tasks import ICBHI_4, TASKS, task
from rsbench.report.page.groups import Group, read_results, told_apart
from rsbench.report.page.panels import confusion_panel
from rsbench.report.page.summaries import drawn_methods, summarise_board
from rsbench.results.run import Run, load_runs

RENAMED = '''
from rsbench import LabelMap, Task, register_task

NAMES = {"normal": "clear", "crackle": "c", "wheeze": "w", "both": "c+w"}


@register_task
def renamed() -> Task:
    """The four classes under other names."""
    findings = {"crackle": ("c", "c+w"), "wheeze": ("w", "c+w")}
    return Task("renamed", tuple(NAMES.values()), "clear", (LabelMap("renamed", 1, NAMES),), findings)
'''
BOTH_SPLITS = ("tiny", "far")


@pytest.fixture(scope="module")
def results(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of icbhi-4, of icbhi-2 with two losses, and of a plugin's task, which this process has loaded."""
    out = tmp_path_factory.mktemp("tasks")
    (out / "renamed.py").write_text(RENAMED, encoding="utf-8")
    load(str(out / "renamed.py"))
    for loss, name in (("ce", "icbhi-4"), ("ce", "icbhi-2"), ("qlung", "icbhi-2"), ("ce", "renamed")):
        run_tiny(tiny_root, out, loss=loss, data__task=name, select="val,last,oracle", optim__epochs=1)
    return out


def of_task(results: Path, name: str, loss: str = "ce") -> Run:
    (found,) = (run for run in load_runs(results) if (run.spec.data.task, run.spec.loss.name) == (name, loss))
    return found


def test_a_record_of_the_default_task_is_as_it_always_was(results: Path) -> None:
    run = of_task(results, "icbhi-4")
    assert "task" not in json.loads((run.path / "data.json").read_text())
    assert "task" not in json.loads(run.spec.canonical())["data"]
    assert not [part for part in run.data.identity.code if part.startswith("task:")]
    assert run.task is ICBHI_4


def test_another_record_says_its_classes(results: Path) -> None:
    run = of_task(results, "icbhi-2")
    assert run.data.class_counts.keys() == {"normal", "abnormal"}
    assert (run.task.classes, run.data.label_map.name) == (("normal", "abnormal"), "two-class")
    frame = run.predictions("tiny")
    assert [name for name in frame if name.startswith("logit_")] == ["logit_normal", "logit_abnormal"]
    assert set(frame["label"]) == {0, 1}
    figures = run.figures("tiny", "val")["argmax"]
    assert (figures["se"], figures["score"]) == (figures["se_two_class"], figures["score_two_class"])
    assert figures["balanced_accuracy"] == pytest.approx(figures["score"])


def test_the_same_classes_under_other_names_give_the_same_bits(results: Path) -> None:
    one, other = of_task(results, "icbhi-4"), of_task(results, "renamed")
    assert one.run_id != other.run_id
    assert "task:renamed" in other.data.identity.plugins
    for dataset in BOTH_SPLITS:
        logits = [run.predictions(dataset)[list(run.task.logit_columns)].to_numpy() for run in (one, other)]
        np.testing.assert_array_equal(*logits)
    boards = [leaderboard(load_runs(results), "tiny", "val", {"task": run.task.name}) for run in (one, other)]
    names = dict(zip(ICBHI_4.classes, other.task.classes, strict=True))
    renamed = {f"recall_{old}_{kind}": f"recall_{new}_{kind}" for old, new in names.items() for kind in ("mean", "sd")}
    first, second = (board.table.select_dtypes("number").drop(columns="seconds_mean") for board in boards)
    pd.testing.assert_frame_equal(first.rename(columns=renamed), second)
    assert list(boards[1].effective_patients) == list(names.values())


def test_a_board_of_two_tasks_is_refused_with_the_option_that_chooses(results: Path, cli: Cli) -> None:
    refused = cli("leaderboard", "--split", "tiny", "--results", results)
    assert refused.code == 2
    assert "they differ in task: task=" in refused.err
    assert "Choose one with --task " in refused.err
    assert cli("leaderboard", "--split", "tiny", "--results", results, "--allow-mixed", "task").code == 2
    assert "they differ in task" in cli("audit", "--split", "tiny", "--results", results).err
    assert cli("audit", "--split", "tiny", "--results", results, "--task", "icbhi-2").code == 0
    shown = cli("leaderboard", "--split", "tiny,far", "--results", results, "--task", "icbhi-2", "--columns", "recall")
    assert shown.code == 0, shown.err
    assert "task icbhi-2" in shown.out
    assert "recall abnormal" in shown.out
    assert "recall crackle" not in shown.out
    by_class = cli("leaderboard", "--split", "tiny", "--results", results, "--task", "icbhi-2", "--by", "class")
    assert "abnormal" in by_class.out
    unknown = cli("leaderboard", "--split", "tiny", "--results", results, "--task", "icbhi-9")
    assert "There are: icbhi-2, icbhi-4, renamed " in unknown.err


def test_runs_of_two_tasks_are_not_compared(results: Path, cli: Cli) -> None:
    two = [of_task(results, name).path for name in ("icbhi-4", "icbhi-2")]
    assert "task" in cli("compare", *two).err
    mine = [of_task(results, "icbhi-2", loss).path for loss in ("ce", "qlung")]
    compared = cli("compare", *mine)
    assert compared.code == 0, compared.err
    assert "abnormal" in compared.out


def test_a_run_is_shown_scored_again_and_bundled(results: Path, tmp_path: Path, cli: Cli) -> None:
    shown = cli("show", of_task(results, "icbhi-2").path).out
    assert all(word in shown for word in ("task icbhi-2", "label map two-class v1", "abnormal", "AUROC"))
    assert cli("rescore", "--results", results).code == 0
    bundled = cli("export", "--results", results, "--out", tmp_path / "all.zip", "--anonymise")
    assert bundled.code == 0, bundled.err
    merged = cli("merge", tmp_path / "all.zip", "--results", tmp_path / "merged", "--from", "me")
    assert merged.code == 0, merged.err
    assert {run.task.name for run in load_runs(tmp_path / "merged")} == {"icbhi-4", "icbhi-2", "renamed"}


def test_boards_know_the_classes_of_a_task_whose_plugin_is_not_there(results: Path) -> None:
    board = [sys.executable, "-m", "rsbench", "leaderboard", "--split", "tiny", "--task", "renamed"]
    command = [*board, "--results", str(results), "--columns", "recall"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "recall c+w" in shown.stdout


def test_a_page_has_a_group_for_each_task(results: Path, tmp_path: Path) -> None:
    found = read_results(load_runs(results), None, tmp_path, Display(quiet=True))
    assert {group.shared["task"].split()[0] for group in found.groups} == {"icbhi-4", "icbhi-2", "renamed"}
    assert all(f"task {group.shared['task']}" in heading for group, heading in named(found.groups))
    board = next(group for group in found.groups if group.shared["task"] == "icbhi-2").boards[0]
    told = summarise_board(board, {run.run_id: run for run in load_runs(results)}, drawn_methods(board, 2), int)
    axes = Figure().subplots()
    confusion_panel(told.methods[0], board.task.classes, {"ce": "r", "qlung": "b"}).draw(axes)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["normal", "abnormal"]


def named(groups: Sequence[Group]) -> zip[tuple[Group, str]]:
    return zip(groups, told_apart(groups), strict=True)


def test_a_model_says_the_classes_of_its_task(results: Path, tiny_root: Path, tmp_path: Path, cli: Cli) -> None:
    run = of_task(results, "icbhi-2").path
    sound = next((tiny_root / "far").glob("*.wav"))
    told = cli("predict", run, sound, "--plugin", TINY_PLUGIN, "--out", tmp_path / "told.csv")
    assert told.code == 0, told.err
    rows = pd.read_csv(tmp_path / "told.csv")
    assert rows[["p_normal", "p_abnormal"]].sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert set(rows["called"]) <= {"normal", "abnormal"}


def test_a_damaged_task_in_a_record_is_named(results: Path, tmp_path: Path) -> None:
    run = of_task(results, "icbhi-2")
    document = json.loads((run.path / "data.json").read_text())
    document["task"]["reference"] = "abnormal"
    copy = tmp_path / "runs" / run.run_id
    copy.mkdir(parents=True)
    (copy / "data.json").write_text(json.dumps(document))
    with pytest.raises(ResultsError, match="reference class 'abnormal' must be the first"):
        _ = Run(copy).data


def test_predictions_made_elsewhere_are_judged_by_their_task(tiny_root: Path, tmp_path: Path, cli: Cli) -> None:
    listed = cli(
        "data", "clips", "--dataset", "tiny", "--root", tiny_root, "--task", "icbhi-2", "--out", tmp_path / "a.csv"
    )
    assert listed.code == 0, listed.err
    clips = pd.read_csv(tmp_path / "a.csv").query("subset == 'test'")
    assert set(clips["class"]) == {"normal", "abnormal"}
    clips.assign(called=clips["class"]).to_csv(tmp_path / "told.csv", index=False)
    given = [tmp_path / "told.csv", "--method", "theirs", "--select", "last", "--test", "tiny", "--root", tiny_root]
    judged = cli("score", *given, "--task", "icbhi-2", "--results", tmp_path)
    assert judged.code == 0, judged.err
    (run,) = load_runs(tmp_path)
    assert (run.task.name, run.figures("tiny", "last")["argmax"]["score"]) == ("icbhi-2", 100.0)
    wrong = cli("score", *given, "--task", "sprsound-record-5", "--results", tmp_path)
    assert "is about a recording" in wrong.err


def test_a_multi_label_task_has_figures_of_each_label(tiny_root: Path, tmp_path: Path, cli: Cli) -> None:
    run = run_tiny(tiny_root, tmp_path, loss="two_sigmoid", data__task="crackle-wheeze", select="last")
    names = ("sensitivity_crackle", "specificity_wheeze", "f1_wheeze")
    figures = run.figures("tiny", "last")["argmax"]
    assert all(0 <= figures[name] <= 100 for name in names)
    board = cli("leaderboard", "--split", "tiny", "--results", tmp_path, "--select", "last", "--columns", "labels")
    assert all(name.replace("_", " ").replace("f1", "F1") in board.out for name in names)
    assert "by label, tiny" in cli("show", run.path).out
    assert cli("rescore", "--results", tmp_path).code == 0


def test_tasks_are_listed(cli: Cli) -> None:
    shown = cli("list", "tasks").out
    for name in TASKS.names():
        assert name in shown
        assert task(name).classes[0] in shown


def test_dry_run_names_the_task_and_its_classes(tiny_root: Path, tmp_path: Path, cli: Cli) -> None:
    common = ["run", "--loss", "ce", "--backbone", "tiny", "--plugin", TINY_PLUGIN, "--root", tiny_root, "--dry-run"]
    common += ["--train", "tiny", "--results", tmp_path, "--set", f"data.clip_s={CLIP_S}"]
    assert "icbhi-2: normal, abnormal" in cli(*common, "--task", "icbhi-2").err
    assert "Choose a task that knows the words" in cli(*common, "--task", "sprsound-7").err
    assert "has no label of whole recordings" in cli(*common, "--task", "sprsound-record-5").err
    assert "Did you mean 'icbhi-2'" in cli(*common, "--task", "icbhi2").err
