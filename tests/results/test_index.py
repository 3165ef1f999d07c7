"""The table of many runs: their figures and hits, what is read again and when, and what a damaged folder does."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import on_disk
import pandas as pd
import pyarrow.parquet as pq
import pytest
from tiny import BringSplit, run_tiny

from rsbench.core.display import Display
from rsbench.core.errors import ResultsError, SpecError
from rsbench.core.files import write_parquet
from rsbench.data.clips import FOUR_WORDS
from rsbench.data.splits import Split, split
from rsbench.data.tasks import ICBHI_4
from rsbench.evaluation.scoring import score_run
from rsbench.results import index
from rsbench.results.index import BoardRows, board_rows
from rsbench.results.rows import COLUMNS, Judgement, figures_of
from rsbench.results.run import Run, load_runs

RULES = ("val", "last", "oracle")
ABNORMAL = FOUR_WORDS[1:]


@pytest.fixture(scope="module")
def three_runs(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    for loss, seed in (("ce", 0), ("ce", 1), ("qlung", 0)):
        run_tiny(tiny_root, out, loss=loss, seed=seed, epochs=2, select=",".join(RULES))
    return out


@pytest.fixture
def results(three_runs: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(three_runs, tmp_path / "results"))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The run ids of the folders that are read, as it happens."""
    seen: list[str] = []
    original = index.judgements

    def noting(folder: Run, *asked: Any) -> list[Judgement]:
        seen.append(folder.run_id)
        return original(folder, *asked)

    monkeypatch.setattr(index, "judgements", noting)
    return seen


def look(results: Path, split_name: str = "tiny", rule_name: str = "val") -> BoardRows:
    """With the index."""
    return board_rows(load_runs(results), split_name, rule_name, cache=results / ".index")


def look_afresh(results: Path, split_name: str = "tiny", rule_name: str = "val") -> BoardRows:
    return board_rows(load_runs(results), split_name, rule_name)


def assert_same(one: BoardRows, other: BoardRows) -> None:
    pd.testing.assert_frame_equal(one.rows, other.rows)
    assert one.damaged == other.damaged
    (design, hits), (other_design, other_hits) = one.counts(one.rows), other.counts(other.rows)
    assert design.text() == other_design.text()
    np.testing.assert_array_equal(hits, other_hits)


def folder_of(results: Path, loss: str = "ce", seed: int = 0) -> Run:
    return Run(next(results.glob(f"runs/{loss}-*-s{seed}-*")))


@pytest.mark.parametrize("rule_name", RULES)
@pytest.mark.parametrize("split_name", ["tiny", "far"])
def test_figures_are_those_of_the_runs_and_of_the_hits(three_runs: Path, split_name: str, rule_name: str) -> None:
    found = look_afresh(three_runs, split_name, rule_name)
    assert list(found.rows.columns) == list(COLUMNS)
    assert len(found.rows) == 6
    assert found.damaged == {}
    design, hits = found.counts(found.rows)
    clips = dict(zip(FOUR_WORDS, design.support.sum(axis=0), strict=True))
    for row, counted in zip(found.rows.to_dict("records"), hits.sum(axis=1), strict=True):
        stored = Run(three_runs / "runs" / row["run_id"]).metrics[rule_name][split_name]
        flat = stored[row["operating_point"]] | stored["threshold_free"] | stored["calibration"]
        flat |= stored["risk_coverage"]
        assert math.isnan(row.pop("worst_device"))  # all clips are of one device
        assert {name: row[name] for name in figures_of(ICBHI_4) if name in row} == {
            name: flat[name] for name in figures_of(ICBHI_4) if name in row
        }
        assert design.effective_patients() == stored["effective_patients"]
        sp = 100 * counted[0] / clips["normal"]
        se = 100 * counted[1:4].sum() / sum(clips[name] for name in ABNORMAL)
        assert (sp, se, (sp + se) / 2) == (row["sp"], row["se"], row["score"])
        assert 100 * counted[4] / sum(clips[name] for name in ABNORMAL) == row["se_two_class"]
        assert [100 * counted[i] / clips[name] for i, name in enumerate(FOUR_WORDS)] == [
            row[f"recall_{name}"] for name in FOUR_WORDS
        ]


def test_hits_are_those_of_a_loop_over_the_predictions(three_runs: Path) -> None:
    found = look_afresh(three_runs)
    design, hits = found.counts(found.rows)
    for row, counted in zip(found.rows.to_dict("records"), hits, strict=True):
        folder = Run(three_runs / "runs" / row["run_id"])
        point = on_disk.read(folder.path, "metrics.json")["val"]["tiny"]["operating_point"]
        expected = np.zeros((len(design.patients), 5), dtype=int)
        for clip in folder.predictions("tiny").to_dict("records"):
            if clip["part"] != "test" or clip["selection"] != "val":
                continue
            logits = [clip[name] for name in ICBHI_4.logit_columns]
            logits[0] += point["normal_offset"] if row["operating_point"] == "val-bias" else 0
            called = int(np.argmax(logits))
            patient = design.patients.index(clip["patient"])
            expected[patient, clip["label"]] += called == clip["label"]
            expected[patient, 4] += clip["label"] > 0 and called > 0
        np.testing.assert_array_equal(counted, expected)


def test_counts_follow_the_rows_they_are_asked_for(three_runs: Path) -> None:
    found = look_afresh(three_runs)
    _, hits = found.counts(found.rows)
    order = [4, 1, 3]
    chosen = found.rows.iloc[order].assign(method="one").reset_index(drop=True)
    np.testing.assert_array_equal(found.counts(chosen)[1], hits[order])


def test_settings_name_the_method_and_not_the_seed(three_runs: Path) -> None:
    rows = look_afresh(three_runs).rows
    assert rows.groupby("loss")["settings"].nunique().to_dict() == {"ce": 1, "qlung": 1}
    settings = json.loads(rows["settings"].iloc[0])
    assert settings["optim.epochs"] == 2
    assert list(settings) == sorted(settings)
    assert rows["sketch"].nunique() == 1


def test_what_is_kept_is_what_would_be_read(results: Path, read: list[str]) -> None:
    first = look(results)
    assert len(read) == 3
    read.clear()
    assert_same(look(results), first)
    assert read == []
    assert_same(look_afresh(results), first)


def test_only_what_changed_is_read_again(results: Path, read: list[str]) -> None:
    look(results)
    changed, gone = folder_of(results, "ce", 1), folder_of(results, "qlung")
    changed.folder.set_status("failed")
    shutil.rmtree(gone.path)
    read.clear()
    found = look(results)
    assert read == [changed.run_id]
    assert_same(found, look_afresh(results))
    undone = found.rows[found.rows["run_id"] == changed.run_id]
    assert (list(undone["state"]), list(undone["operating_point"])) == (["failed"], ["argmax"])
    assert undone[list(figures_of(ICBHI_4))].isna().all(axis=None)
    assert (found.counts(undone)[1].shape[:2], found.counts(found.rows)[1].shape) == ((1, 0), (3, 4, 5))
    assert (found.counts(found.rows)[1] == -1).all(axis=(1, 2)).tolist() == [False, False, True]
    read.clear()
    look(results)
    assert read == []
    shutil.copytree(changed.path, changed.path.with_name("ce-added"))
    assert_same(look(results), look_afresh(results))


def test_runs_that_were_not_judged_so_are_not_read_again(results: Path, read: list[str]) -> None:
    for folder in load_runs(results)[:2]:
        spec = on_disk.read(folder.path, "spec.json")
        on_disk.write(folder.path, "spec.json", spec | {"select": ["last"]})
    assert len(look(results).rows) == 2
    read.clear()
    assert len(look(results).rows) == 2
    assert read == []


def _spoiled(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content)


SPOILS: tuple[Callable[[Path], Any], ...] = (
    _spoiled(b'{"state": "do'),
    _spoiled(b""),
    _spoiled(b"[]"),
    _spoiled(b"{}"),
    _spoiled(b"3"),
    Path.unlink,
)


@pytest.mark.parametrize(
    "name",
    [
        *("status.json", "data.json", "env.json", "metrics.json", "selection.json", "cost.json", "spec.json"),
        *("predictions/tiny.parquet", "sketch/tiny.parquet"),
    ],
)
def test_a_damaged_folder_is_named_and_stops_nobody(results: Path, name: str) -> None:
    victim = folder_of(results)
    whole, kept = look_afresh(results), (victim.path / name).read_bytes()
    for spoil in SPOILS:
        spoil(victim.path / name)
        found = look(results)
        assert list(found.damaged) == [victim.run_id]
        assert str(victim.path) in found.damaged[victim.run_id]
        assert len(found.rows) == 4
    (victim.path / name).write_bytes(kept)
    assert_same(look(results), whole)


@pytest.mark.parametrize(
    ("name", "word", "other"),
    [
        ("data.json", '"version": 1', '"version": "first"'),
        ("metrics.json", '"nll": ', '"nll": "about", "was": '),
        ("metrics.json", '"nll": ', '"likelihood": '),
        ("selection.json", '"epoch": ', '"epoch": [1], "was": '),
    ],
)
def test_a_record_of_another_shape_is_damage(results: Path, name: str, word: str, other: str) -> None:
    victim = folder_of(results)
    content = (victim.path / name).read_text()
    assert word in content
    (victim.path / name).write_text(content.replace(word, other))
    found = look(results)
    assert "not as rsbench writes it" in found.damaged[victim.run_id]
    assert len(found.rows) == 4


def test_a_damaged_origin_is_named(results: Path) -> None:
    victim = folder_of(results)
    (victim.path / "origin.json").write_text("{")
    assert list(look(results).damaged) == [victim.run_id]


def _perturb(folder: Run) -> dict[str, pd.DataFrame]:
    predictions = {name: folder.predictions(name) for name in folder.datasets}
    frame = predictions["tiny"]
    frame["logit_both"] = frame["logit_both"].max() + 1  # everything is called both
    write_parquet(folder.path / "predictions" / "tiny.parquet", frame)
    return predictions


def test_predictions_that_do_not_give_the_figures_are_damage(results: Path) -> None:
    look(results)
    victim = folder_of(results)
    _perturb(victim)
    found = look(results)  # the index has noticed
    assert list(found.damaged) == [victim.run_id]
    assert f"rsbench rescore {victim.run_id}" in found.damaged[victim.run_id]
    clips = victim.predictions("tiny")
    write_parquet(victim.path / "predictions" / "tiny.parquet", clips[clips["patient"] != "test00"])
    assert "holds 24 clips of 'tiny', while metrics.json was made from 32" in look(results).damaged[victim.run_id]


def test_runs_that_judged_different_clips_share_no_counts(results: Path) -> None:
    other = folder_of(results)
    predictions = _perturb(other)
    predictions["tiny"] = predictions["tiny"][predictions["tiny"]["patient"] != "test00"]
    write_parquet(other.path / "predictions" / "tiny.parquet", predictions["tiny"])
    tests = [split(name, {"tiny", "far"}) for name in ("tiny", "far")]
    on_disk.write(other.path, "metrics.json", score_run(predictions, tests, RULES, ("tiny",)))
    found = look(results)
    assert found.damaged == {}
    mine = found.rows["run_id"] == other.run_id
    assert found.counts(found.rows[mine])[0].patients == ("test01", "test02", "test03")
    assert found.counts(found.rows[~mine])[0].patients == ("test00", "test01", "test02", "test03")
    with pytest.raises(ResultsError, match=f"{other.run_id} and .* different clips"):
        found.counts(found.rows)


def test_a_split_of_an_absent_plugin_is_all_test_clips_or_says_so(results: Path) -> None:
    """What subsets it takes is not known here; how many clips it scored is."""
    whole = look_afresh(results)
    for folder in load_runs(results):
        clips = folder.predictions("tiny")
        clips.loc[clips["part"] == "test", "subset"] = "east"
        write_parquet(folder.path / "predictions" / "tiny.parquet", clips)
    assert_same(look_afresh(results), whole)
    victim = folder_of(results)
    clips = victim.predictions("tiny")
    clips.loc[clips["clip_id"].str.endswith(":0"), "part"] = "test"  # of validation patients
    write_parquet(victim.path / "predictions" / "tiny.parquet", clips)
    assert "needs its --plugin" in look_afresh(results).damaged[victim.run_id]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_long_reading_says_how_far_it_is(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], processes: int
) -> None:
    in_shares(monkeypatch, processes)
    monkeypatch.setattr(index, "MANY", 2)
    monkeypatch.setattr("rsbench.core.display.LOG_EVERY_S", 0)
    for _ in range(2):
        board_rows(load_runs(results), "tiny", "val", cache=results / ".index", display=Display())
    assert capsys.readouterr().err.count("reading runs: 3 of 3") == 1


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", None])
def test_a_damaged_index_is_made_again(results: Path, read: list[str], content: bytes | None) -> None:
    first = look(results)
    (table,) = (results / ".index").iterdir()
    spoilt = bytearray(table.read_bytes())
    column = pq.ParquetFile(table).metadata.row_group(0).column(0)
    begins = column.dictionary_page_offset or column.data_page_offset
    spoilt[begins + column.total_compressed_size - 1] ^= 0xFF  # the last byte of a column's values
    table.write_bytes(bytes(spoilt) if content is None else content)
    read.clear()
    assert_same(look(results), first)
    assert len(read) == 3
    assert_same(look(results), first)
    assert len(read) == 3


def test_an_index_of_other_code_is_made_again(results: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    look(results)
    monkeypatch.setattr(index, "__version__", "0.0.1")
    look(results)
    assert len(read) == 6


def test_an_index_of_another_split_of_that_name_is_made_again(results: Path, bring_split: BringSplit) -> None:
    with pytest.raises(SpecError, match="no split 'far-again'"):
        look(results, "far-again")
    bring_split(Split("far-again", 1, "far", "", (), ("test",)))
    found = look(results, "far-again")
    asked_for = look(results, "far")
    pd.testing.assert_frame_equal(found.rows, asked_for.rows)
    np.testing.assert_array_equal(found.counts(found.rows)[1], asked_for.counts(asked_for.rows)[1])


def test_where_no_index_can_be_kept_everything_is_read(results: Path, read: list[str]) -> None:
    (results / ".index").write_text("a file where a folder should be")
    assert_same(look(results), look_afresh(results))
    assert len(read) == 6


def test_what_is_no_run_is_passed_over(results: Path) -> None:
    (results / "runs" / "notes").mkdir()
    early = Run(results / "runs" / "failed-early")
    early.folder.set_status("failed")
    found = look(results)
    assert (len(found.rows), found.damaged) == (6, {})


def test_unknown_names_are_explained(results: Path) -> None:
    with pytest.raises(SpecError, match="no selection rule 'best'"):
        look(results, "tiny", "best")
    with pytest.raises(SpecError, match=r"no split 'tinny'.*'tiny'"):
        look(results, "tinny")
    assert look(results, "sprsound").rows.empty


def _look_often(results: Path) -> None:
    for _ in range(8):
        shutil.rmtree(results / ".index", ignore_errors=True)
        look(results)


def test_two_processes_may_keep_one_index(results: Path) -> None:
    context = multiprocessing.get_context("spawn")
    others: list[Any] = [context.Process(target=_look_often, args=(results,)) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join(120)
        assert other.exitcode == 0
    assert_same(look(results), look_afresh(results))


def in_shares(monkeypatch: pytest.MonkeyPatch, processes: int = 2) -> None:
    monkeypatch.setattr(index, "SHARE", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: processes)


def test_shares_that_other_processes_read_are_what_one_would_read(
    results: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (run.run_id for run in load_runs(results))
    (results / "runs" / third / "metrics.json").write_text("{")  # of the other's share
    expected = look_afresh(results)
    read.clear()
    in_shares(monkeypatch)
    assert_same(look(results), expected)
    assert read == [first, second, third]  # that one again, to say what is wrong
    assert list(expected.damaged) == [third]


def test_a_share_whose_process_ends_early_is_read_all_the_same(
    results: Path, read: list[str], monkeypatch: pytest.MonkeyPatch, bring_split: BringSplit
) -> None:
    """As where it does not know the split, which a plugin of this process brought."""
    bring_split(Split("far-again", 1, "far", "", (), ("test",)))
    expected = look_afresh(results, "far-again")
    read.clear()
    in_shares(monkeypatch)
    assert_same(look(results, "far-again"), expected)
    assert len(read) == 3
