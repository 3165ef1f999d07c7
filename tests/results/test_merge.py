"""Runs of several people in one folder: copies are one run, re-runs confirm, conflicts change nothing."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import on_disk
import pandas as pd
import pytest
from tiny import TINY_PLUGIN, Cli

import rsbench.results.merge as merge_module
from rsbench.core.errors import ResultsError
from rsbench.data.clips import FOUR_WORDS
from rsbench.data.tasks import ICBHI_4
from rsbench.results.agreement import LOGIT_TOLERANCE, SCORE_TOLERANCE, disagreement
from rsbench.results.run import Run, load_runs
from rsbench.results.store import RunFolder

STATES = ("absent", "running", "interrupted", "failed", "done")


@pytest.fixture
def one(results: Path, tmp_path: Path) -> Path:
    """One finished run, in a results folder of its own."""
    return only(results, "ce-*-s0-*", tmp_path / "alice")


def only(results: Path, pattern: str, folder: Path) -> Path:
    for run in results.glob(f"runs/{pattern}"):
        shutil.copytree(run, folder / "runs" / run.name)
    return folder


def run_of(results: Path) -> Path:
    (run,) = results.glob("runs/*")
    return run


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def made_again(results: Path, folder: Path, shift_sds: float = 0.0) -> Path:
    """The same run as another machine would have made it: another end, logits that differ by some of their sds."""
    shutil.copytree(results, folder)
    for run in folder.glob("runs/*"):
        on_disk.edit(run, "status.json", lambda known: known.update(at="2031-01-01T00:00:00+00:00", pid=1))
        shift_logits(run, shift_sds)
    return folder


def shift_logits(run: Path, sds: float) -> None:
    """One logit of one clip of every data set and selection moves by so many sds of all of them."""
    for path in run.glob("predictions/*.parquet"):
        frame = pd.read_parquet(path).reset_index(drop=True).astype(dict.fromkeys(ICBHI_4.logit_columns, "float64"))
        for _, rows in frame.groupby("selection"):
            frame.loc[rows.index[0], ICBHI_4.logit_columns[0]] += (
                sds * rows[list(ICBHI_4.logit_columns)].to_numpy().std()
            )
        frame.to_parquet(path, index=False)


def origins(results: Path) -> dict[str, str]:
    return {run.run_id: run.origin_in_words for run in load_runs(results)}


def test_runs_of_two_machines_come_together(cli: Cli, results: Path, tmp_path: Path) -> None:
    gpu1, gpu2 = only(results, "ce-*", tmp_path / "gpu1"), only(results, "qlung-*", tmp_path / "gpu2")
    done = cli("merge", gpu1, gpu2, "--results", tmp_path / "all")
    assert (done.code, done.out.startswith("3 brought in: ce-")) == (0, True), done.err
    who = {run_id.partition("-")[0]: source for run_id, source in origins(tmp_path / "all").items()}
    assert who == {"ce": "self-reported by gpu1", "qlung": "self-reported by gpu2"}
    assert set(origins(results).values()) == {"here"}
    before, after = snapshot(results), snapshot(tmp_path / "all")
    brought = {name for name in after if not name.endswith("origin.json")}
    assert all(after[name] == before[name] for name in brought)
    assert {name.split("/")[2] for name in before.keys() - brought} == {".lock", "checkpoints", "embeddings"}
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["runs"]


def test_a_copy_is_one_run_and_confirms_nothing(cli: Cli, one: Path, tmp_path: Path) -> None:
    assert cli("merge", one, "--results", tmp_path / "board").code == 0
    before = snapshot(tmp_path / "board")
    copy = shutil.copytree(one, tmp_path / "bob")
    done = cli("merge", copy, one, "--results", tmp_path / "board")
    assert done.out == f"2 here already, with the same predictions: {run_of(one).name}, {run_of(one).name}\n"
    assert snapshot(tmp_path / "board") == before


def test_conflicts_are_all_named_and_nothing_is_copied(cli: Cli, results: Path, tmp_path: Path) -> None:
    board = only(results, "ce-*", tmp_path / "board")
    other = made_again(results, tmp_path / "other", shift_sds=1.0)
    before = snapshot(board)
    done = cli("merge", other, "--results", board)
    assert done.code == 2
    assert "2 runs have the same id and other predictions; nothing was copied" in done.err
    for run in board.glob("runs/*"):
        assert f"{run.name} (here and other): logits of " in done.err
    assert snapshot(board) == before
    assert cli("merge", results, other, "--results", tmp_path / "new").code == 2
    assert not (tmp_path / "new").exists()


def test_figures_that_do_not_follow_from_the_predictions_are_not_taken_in(
    cli: Cli, results: Path, one: Path, tmp_path: Path
) -> None:
    """All test logits set to the truth, in a folder and in a bundle whose manifest agrees with them."""
    for path in run_of(one).glob("predictions/*.parquet"):
        frame = pd.read_parquet(path)
        truth = [[float(label == name) for name in FOUR_WORDS] for label in frame["label"]]
        frame.assign(**dict(zip(ICBHI_4.logit_columns, np.transpose(truth), strict=True))).to_parquet(path, index=False)
    cli("export", "--results", one, "--out", tmp_path / "one.zip")
    for source in (one, tmp_path / "one.zip"):
        done = cli("merge", results, source, "--results", tmp_path / "board")
        assert (done.code, "same id and other predictions" in done.err) == (2, True)
        done = cli("merge", source, "--results", tmp_path / "board")
        assert (done.code, "1 runs have figures that do not follow from their predictions" in done.err) == (2, True)
        assert f"{run_of(one).name}: val, tiny, argmax.sp: stored" in done.err
    assert not (tmp_path / "board").exists()


@pytest.mark.parametrize(("here", "there"), list(itertools.product(STATES, STATES[1:])))
def test_a_finished_run_is_never_lost(cli: Cli, one: Path, tmp_path: Path, here: str, there: str) -> None:
    board = tmp_path / "board"
    if here != "absent":
        shutil.copytree(one, board)
        on_disk.edit(run_of(board), "status.json", lambda known: known.update(state=here))
    on_disk.edit(run_of(one), "status.json", lambda known: known.update(state=there))
    (run_of(one) / "error.txt").write_text("from there")
    assert cli("merge", one, "--results", board).code == 0
    comes = here == "absent" or (there == "done" != here)
    run = run_of(board)
    assert Run(run).status.state == (there if comes else here)
    assert (run / "error.txt").exists() == comes
    assert (run / "checkpoints").exists() != comes
    assert Run(run).origin_in_words == ("self-reported by alice" if comes else "here")


def test_whoever_runs_it_again_confirms_it(cli: Cli, tiny_root: Path, results: Path, tmp_path: Path) -> None:
    """The whole way of a submission: exported, rescored, merged, made again from its spec, merged, and on a board."""
    assert cli("export", "ce-*-s0-*", "--results", results, "--out", tmp_path / "alice.zip").code == 0
    assert cli("rescore", "--results", tmp_path / "alice.zip").code == 0
    board = tmp_path / "board"
    assert cli("merge", tmp_path / "alice.zip", "--from", "alice", "--results", board).code == 0
    run = run_of(board)
    assert origins(board) == {run.name: "self-reported by alice"}
    assert cli("merge", tmp_path / "alice.zip", "--from", "eve", "--results", board).code == 0
    assert origins(board) == {run.name: "self-reported by alice"}  # a copy under another name

    again = ["run", "--spec", run / "spec.json", "--plugin", TINY_PLUGIN, "--root", tiny_root, "--device", "cpu"]
    done = cli(*again, "--threads", "1", "--results", tmp_path / "rerun", "--quiet")
    assert done.code == 0, done.err
    assert run_of(tmp_path / "rerun").name == run.name
    before = snapshot(run)
    done = cli("merge", tmp_path / "rerun", "--from", "the maintainers", "--results", board)
    assert done.out.startswith("1 made again by somebody else with the same result: confirmed"), done.err
    assert origins(board) == {run.name: "re-run by the maintainers"}
    changed = {name for name, content in snapshot(run).items() if before[name] != content}
    assert changed == {"origin.json"}  # what alice reported stays
    assert json.loads((run / "origin.json").read_text())["from"] == "alice"
    assert cli("leaderboard", "--split", "tiny", "--results", board).code == 0


def test_ones_own_second_try_and_second_hand_runs_confirm_nothing(cli: Cli, one: Path, tmp_path: Path) -> None:
    board, again = tmp_path / "board", made_again(one, tmp_path / "again")
    cli("merge", one, "--from", "alice", "--results", board)
    assert "same predictions" in cli("merge", again, "--from", "alice", "--results", board).out
    cli("merge", again, "--from", "carol", "--results", tmp_path / "bob")
    assert "same predictions" in cli("merge", tmp_path / "bob", "--results", board).out
    assert origins(board) == {run_of(board).name: "self-reported by alice"}
    assert "confirmed" in cli("merge", again, "--from", "carol", "--results", board).out
    assert origins(board) == {run_of(board).name: "re-run by carol"}


def test_a_chain_keeps_its_first_origin_and_drops_its_own_praise(cli: Cli, one: Path, tmp_path: Path) -> None:
    cli("merge", one, "--results", tmp_path / "b")
    on_disk.edit(
        run_of(tmp_path / "b"),
        "origin.json",
        lambda known: known.update(status="re-run", confirmed_by="the maintainers"),
    )
    cli("merge", tmp_path / "b", "--from", "bob", "--results", tmp_path / "c")
    cli("export", "--results", tmp_path / "c", "--out", tmp_path / "c.zip")
    done = cli("merge", tmp_path / "c.zip", "--from", "carol", "--results", tmp_path / "d")
    assert done.code == 0, done.err
    assert origins(tmp_path / "d") == {run_of(one).name: "self-reported by alice via bob via carol"}
    manifest = json.loads((run_of(tmp_path / "d") / "origin.json").read_text())["manifest_sha256"]
    assert len(manifest) == 64


def test_a_run_made_here_after_all_is_from_here(cli: Cli, tiny_run: Callable[..., Any], tmp_path: Path) -> None:
    failed = tiny_run(tmp_path / "there", epochs=1)
    on_disk.edit(failed.path, "status.json", lambda known: known.update(state="failed"))
    cli("merge", tmp_path / "there", "--results", tmp_path / "here")
    assert origins(tmp_path / "here") == {failed.run_id: "self-reported by there"}
    tiny_run(tmp_path / "here", epochs=1)
    assert origins(tmp_path / "here") == {failed.run_id: "here"}


@pytest.mark.parametrize(("sds", "agree"), [(LOGIT_TOLERANCE / 2, True), (LOGIT_TOLERANCE * 2, False), (np.nan, False)])
def test_logits_agree_within_a_share_of_their_spread(one: Path, tmp_path: Path, sds: float, agree: bool) -> None:
    again = made_again(one, tmp_path / "again", shift_sds=sds)
    found = disagreement(Run(run_of(one)), Run(run_of(again)))
    assert (found == []) == agree
    assert agree or len(found) == 7  # tiny under val, last and two oracles; far under val, last and one


def test_other_clips_or_scores_are_named(one: Path, tmp_path: Path) -> None:
    again = run_of(made_again(one, tmp_path / "again", shift_sds=LOGIT_TOLERANCE / 2))
    metrics = json.loads((again / "metrics.json").read_text())
    metrics["last"]["far"]["argmax"]["score"] += 2 * SCORE_TOLERANCE
    (again / "metrics.json").write_text(json.dumps(metrics))
    (line,) = disagreement(Run(run_of(one)), Run(again))
    assert line.startswith("Score last, far, argmax is ")
    path = again / "predictions" / "far.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path, index=False)
    (line,) = disagreement(Run(run_of(one)), Run(again))
    assert line == "other clips, patients, parts or labels of far"
    path.unlink()
    assert disagreement(Run(run_of(one)), Run(again)) == ["predictions of far, tiny, and of tiny"]


def test_a_merge_that_is_stopped_is_finished_by_the_same_command(
    cli: Cli, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, write_bytes = [], RunFolder.write_bytes

    def stopped(folder: RunFolder, name: str, content: bytes) -> None:
        copied.append(name)
        if len(copied) == 20:  # in the middle of the second run
            raise KeyboardInterrupt
        write_bytes(folder, name, content)

    monkeypatch.setattr(RunFolder, "write_bytes", stopped)
    done = cli("merge", results, "--results", tmp_path / "board")
    assert (done.code, "The same command brings in what is missing" in done.err) == (130, True)
    (first,) = load_runs(tmp_path / "board")
    assert (first.path / "origin.json").is_file()
    monkeypatch.undo()
    done = cli("merge", results, "--results", tmp_path / "board")
    assert done.out.startswith("2 brought in")
    assert "1 here already" in done.out
    assert [path.name for path in (tmp_path / "board").iterdir()] == ["runs"]
    assert cli("rescore", "--results", tmp_path / "board").code == 0


def test_a_run_that_is_being_made_is_not_replaced(cli: Cli, one: Path, tmp_path: Path) -> None:
    board = Path(shutil.copytree(one, tmp_path / "board"))
    on_disk.edit(run_of(board), "status.json", lambda known: known.update(state="running"))
    with Run(run_of(board)).folder.locked():
        done = cli("merge", one, "--results", board)
    assert (done.code, "another process is at work" in done.err) == (2, True)
    assert Run(run_of(board)).status.state == "running"
    assert (run_of(board) / "checkpoints").exists()


@pytest.mark.parametrize("name", ["status.json", "metrics.json", "selection.json"])
@pytest.mark.parametrize("content", ["{ half", "[]"])
def test_a_damaged_run_is_named_and_left_out(cli: Cli, results: Path, tmp_path: Path, name: str, content: str) -> None:
    victim = next(results.glob("runs/qlung-*")) / name
    victim.write_text(content)
    done = cli("merge", results, "--results", tmp_path / "board")
    assert (done.code, f"left out: {victim}" in done.err) == (1, True)
    assert len(load_runs(tmp_path / "board")) == 2
    alone = cli("merge", only(results, "qlung-*", tmp_path / "alone"), "--results", tmp_path / "other")
    assert (alone.code, "No run can be brought in" in alone.err) == (2, True)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", ["x/../../../VICTIM/figure", "a\x1b[2J", "<script>", "=cmd", "..", "a" * 300])
@pytest.mark.parametrize("where", ["split", "data set", "loss"])
def test_names_that_are_no_plain_words_are_not_taken_in(
    cli: Cli, one: Path, tmp_path: Path, name: str, where: str
) -> None:
    run = run_of(one)

    def rename(content: Any) -> None:
        if where == "split":
            content["data"]["test"] = [name]
        else:
            content["loss"]["name"] = name

    if where == "data set":
        on_disk.edit(run, "data.json", lambda data: data["splits"]["tiny"].update(dataset=name))
    else:
        on_disk.edit(run, "spec.json", rename)
    done = cli("merge", one, "--results", tmp_path / "board")
    assert (done.code, "is no name of a run, split, data set or loss" in done.err) == (2, True)
    assert (run.name in done.err, "\x1b" in done.err, (tmp_path / "board").exists()) == (True, False, False)


def test_a_run_that_finishes_meanwhile_is_not_replaced(
    cli: Cli, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Path(shutil.copytree(one, tmp_path / "board"))
    on_disk.edit(run_of(board), "status.json", lambda known: known.update(state="running"))
    carry_out = merge_module._carry_out

    def later(*arguments: Any) -> None:
        on_disk.edit(run_of(board), "status.json", lambda known: known.update(state="done", pid=2))
        carry_out(*arguments)

    monkeypatch.setattr(merge_module, "_carry_out", later)
    done = cli("merge", one, "--results", board)
    assert (done.code, "was finished meanwhile" in done.err) == (2, True)
    assert Run(run_of(board)).status.pid == 2


def test_folders_that_are_no_runs_are_named(cli: Cli, one: Path, tmp_path: Path) -> None:
    (one / "runs" / "notes").mkdir()
    done = cli("merge", one, "--results", tmp_path / "board")
    assert (done.code, "notes has no status.json" in done.err) == (0, True)
    assert len(load_runs(tmp_path / "board")) == 1


def test_a_damaged_origin_is_named(one: Path) -> None:
    for content in ("{ half", "[]", '{"from": "bob"}'):
        (run_of(one) / "origin.json").write_text(content)
        with pytest.raises(ResultsError, match=r"origin\.json"):
            _ = Run(run_of(one)).origin
