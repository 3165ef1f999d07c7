"""Figures on parts of a split, against counting by hand."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import on_disk
import pandas as pd
import pytest
from rich.console import Console
from tiny import BringSplit, run_tiny

from rsbench.boards.slices import BY, FIGURES, by_method, slices
from rsbench.core.errors import ResultsError, SpecError
from rsbench.data.clips import FOUR_WORDS
from rsbench.data.splits import Split
from rsbench.data.tasks import ICBHI_4
from rsbench.report.tables.slices import slice_table
from rsbench.results.run import Run, load_runs

OFFSET = 0.6


@pytest.fixture(scope="module")
def one_run(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(run_tiny(tiny_root, tmp_path_factory.mktemp("results"), epochs=1).path)


Make = Callable[..., Run]


@pytest.fixture
def make(one_run: Path, tmp_path: Path) -> Make:
    """A run whose clips are of several devices, sites and patients, called at random."""

    def call(run_id: str, /, seed: int = 0, quality: Sequence[float] | None = None, **spec_quality: Any) -> Run:
        folder = Path(shutil.copytree(one_run, tmp_path / "runs" / run_id))
        path = folder / "predictions" / "tiny.parquet"
        stored = pd.read_parquet(path)
        tested = ((stored["part"] == "test") & (stored["selection"] == "val")).to_numpy()
        drawn = np.random.default_rng(seed)
        clips = int(tested.sum())
        for column, values in {
            "device": [("near", "far", "")[index % 3] for index in range(clips)],
            "location": [("Tc", "Al")[index // 9 % 2] for index in range(clips)],
            "label": [index * 5 % 7 % 4 for index in range(clips)],
            "quality": quality if quality is not None else [index * 11 % 32 / 32 for index in range(clips)],
            "length_s": [0.5 + index * 7 % 32 / 32 for index in range(clips)],
            **{logit: drawn.integers(0, 4, clips) / 2 for logit in ICBHI_4.logit_columns},  # with ties
        }.items():
            stored.loc[tested, column] = pd.array(values, dtype=stored[column].dtype)
        stored.to_parquet(path, index=False)
        on_disk.edit(folder, "spec.json", lambda spec: spec["quality"].update(spec_quality))
        on_disk.edit(
            folder,
            "metrics.json",
            lambda metrics: metrics["val"]["tiny"]["operating_point"].update(normal_offset=OFFSET),
        )
        return Run(folder)

    return call


def judged_rows(folder: Run) -> pd.DataFrame:
    stored = folder.predictions("tiny")
    return stored[(stored["part"] == "test") & (stored["selection"] == "val")]


def called(clip: pd.Series, offset: float) -> int:
    logits = [clip[name] for name in ICBHI_4.logit_columns]
    logits[0] += offset
    return logits.index(max(logits))


def kish(patients: list[str]) -> float:
    counts = [patients.count(patient) for patient in set(patients)]
    return sum(counts) ** 2 / sum(count**2 for count in counts)


def counted(clips: pd.DataFrame, offset: float) -> dict[str, float]:
    """The figures of some clips, one clip at a time."""
    hits = {True: 0, False: 0}
    kinds: dict[bool, list[str]] = defaultdict(list)
    noticed = 0
    for _, clip in clips.iterrows():
        normal, call = clip["label"] == 0, called(clip, offset)
        kinds[normal].append(clip["patient"])
        hits[normal] += call == clip["label"]
        noticed += not normal and call != 0
    sp = 100 * hits[True] / len(kinds[True]) if kinds[True] else math.nan
    se = 100 * hits[False] / len(kinds[False]) if kinds[False] else math.nan
    return {
        "clips": len(clips),
        "patients": len(set(clips["patient"])),
        "effective_patients": min(kish(patients) for patients in kinds.values() if patients),
        "hits": hits[True] + hits[False],
        "sp": sp,
        "se": se,
        "score": (sp + se) / 2,
        "se_two_class": 100 * noticed / len(kinds[False]) if kinds[False] else math.nan,
        "accuracy": 100 * (hits[True] + hits[False]) / len(clips),
    }


def expected_groups(clips: pd.DataFrame, by: str) -> dict[str, pd.DataFrame]:
    if by in ("quality", "length"):  # 32 different values: 11, 10 and 11 of them
        ranks = clips["quality" if by == "quality" else "length_s"].rank()
        names = ("low", "middle", "high") if by == "quality" else ("short", "middle", "long")
        return dict(zip(names, (clips[ranks <= 11], clips[ranks.between(12, 21)], clips[ranks > 21]), strict=True))
    groups: dict[str, pd.DataFrame] = {}
    for value in sorted(set(clips[{"site": "location", "class": "label"}.get(by, by)])):
        name = FOUR_WORDS[value] if by == "class" else value or "not given"
        groups[name] = clips[clips[{"site": "location", "class": "label"}.get(by, by)] == value]
    return groups


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize(("point", "offset"), [("argmax", 0.0), ("val-bias", OFFSET)])
def test_every_slice_is_what_counting_by_hand_gives(make: Make, by: str, point: str, offset: float) -> None:
    runs = [make("a", seed=1), make("b", seed=2)]
    found = slices(runs, "tiny", "val", by, point)
    assert found["run_id"].drop_duplicates().to_list() == ["a", "b"]
    for run in runs:
        rows = found[found["run_id"] == run.run_id].set_index("slice")
        groups = expected_groups(judged_rows(run), by)
        assert len(rows) == len(groups)
        for name, clips in groups.items():
            (label,) = [label for label in rows.index if name == label or f"{name}:" in label]
            expected = counted(clips, offset)
            assert rows.loc[label, list(expected)].to_dict() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("by", BY)
def test_slices_add_up_to_the_whole(one_run: Path, by: str) -> None:
    """Of a real run, whose own metrics say what the whole is."""
    metrics = json.loads((one_run / "metrics.json").read_text())["val"]["far"]["argmax"]
    found = slices([Run(one_run)], "far", "val", by)
    support = {name: metrics[f"support_{name}"] for name in FOUR_WORDS}
    assert found["clips"].sum() == sum(support.values())
    hits = sum(metrics[f"recall_{name}"] / 100 * support[name] for name in FOUR_WORDS)
    assert found["hits"].sum() == pytest.approx(hits)
    if by == "device":  # there is one: it is the whole
        whole = found.iloc[0]
        figures = ("sp", "se", "score", "se_two_class")
        assert {name: whole[name] for name in figures} == pytest.approx({name: metrics[name] for name in figures})
    if by == "class":
        assert found["slice"].to_list() == list(FOUR_WORDS)
        assert found["accuracy"].to_list() == pytest.approx([metrics[f"recall_{name}"] for name in FOUR_WORDS])


def membership(found: pd.DataFrame, run_id: str) -> list[tuple[str, int, int]]:
    rows = found[found["run_id"] == run_id]
    return list(zip(rows["slice"], rows["clips"], rows["patients"], strict=True))


def test_runs_with_one_index_are_cut_at_the_same_clips(make: Make) -> None:
    """The normaliser of another seed moves and clips the values; a control replaces them."""
    quality = [index * 11 % 32 / 32 for index in range(32)]
    runs = [
        make("a", quality=quality),
        make("b", quality=[min(1.0, 2 * value) for value in quality]),
        make("shuffled", quality=quality[::-1], control="shuffled"),
        make("other", quality=quality[::-1], name="snr"),
    ]
    found = slices(runs, "tiny", "val", "quality")
    assert membership(found, "a") == membership(found, "b") == membership(found, "shuffled")
    assert [clips for _, clips, _ in membership(found, "b")] == [11, 10, 11]  # though half of its qualities are 1
    assert [name.partition(":")[0] for name, *_ in membership(found, "other")] == ["snr low", "snr middle", "snr high"]
    hits = found.set_index("run_id")["hits"]
    assert hits["shuffled"].to_list() == hits["a"].to_list()  # the same calls, on the same clips


def test_two_options_of_one_index_are_told_apart(make: Make) -> None:
    found = slices([make("a"), make("b", alpha=0.25)], "tiny", "val", "quality")
    assert found["slice"].nunique() == 6
    assert found.loc[found["run_id"] == "b", "slice"].str.contains('"alpha": 0.25').all()


def test_qualities_that_are_not_of_their_clips_are_refused(make: Make) -> None:
    with pytest.raises(ResultsError, match=r"^inverted: quality\.control.*quality\.control=none"):
        slices([make("inverted", control="inverted"), make("a", name="snr")], "tiny", "val", "quality")


def test_equal_qualities_stay_together(make: Make) -> None:
    found = slices([make("a", quality=[0.5] * 32)], "tiny", "val", "quality")
    assert found["clips"].to_list() == [32]


def test_means_and_sds_over_the_seeds_of_a_method(make: Make) -> None:
    runs = [make(name, seed=seed) for seed, name in enumerate("abcd")]
    found = slices(runs, "tiny", "val", "patient")
    table = by_method(found, {"c": "second", "a": "first", "b": "first"}).set_index(["slice", "method"])
    assert list(dict.fromkeys(table.index.get_level_values("method"))) == ["second", "first"]
    for patient in found["slice"].unique():
        rows = found[(found["slice"] == patient) & found["run_id"].isin(["a", "b"])]
        made = table.loc[(patient, "first")]
        assert made["n"] == 2
        assert made["clips"] == rows["clips"].iloc[0]
        for figure in ("sp", "se", "score", "se_two_class", "accuracy"):
            assert made[f"{figure}_mean"] == pytest.approx(np.mean(rows[figure]), nan_ok=True)
            assert made[f"{figure}_sd"] == pytest.approx(np.std(rows[figure], ddof=1), nan_ok=True)
        assert math.isnan(table.loc[(patient, "second"), "sp_sd"])


def printed(frame: pd.DataFrame, *arguments: str) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(slice_table(frame, "tiny — val", *arguments))
    return console.file.getvalue()


def test_the_table_says_what_stands_behind_a_slice(make: Make) -> None:
    runs = [make(f"r{seed}", seed=seed) for seed in range(3)]
    method_of = {"r0": "ce [a]", "r1": "ce [a]", "r2": "qlung"}
    found = by_method(slices(runs, "tiny", "val", "class"), method_of)
    said = printed(found, "class")
    assert "recall by class, mean ± sd over 1 to 2 seeds" in said
    (normal,) = found.query("slice == 'normal' and method == 'ce [a]'").to_dict("records")
    (line,) = [line for line in said.splitlines() if "normal *" in line]
    assert f"{normal['accuracy_mean']:.1f} ± {normal['accuracy_sd']:.1f}" in line
    assert line.split()[2:4] == [str(normal["clips"]), str(normal["patients"])]
    assert "ce [a]" in said
    assert "* fewer than 15 effective patients" in said
    crackle = next(line for line in printed(found, "class", "sp").splitlines() if "crackle" in line)
    assert crackle.split()[-2:] == ["–", "–"]  # no normal clip is a crackle
    with pytest.raises(SpecError, match=r"no figure 'scores'.*'score'"):
        printed(found, "class", "scores")


def test_forty_patients_and_six_methods_fit_a_page() -> None:
    figures = {f"{name}_{what}": 50.0 for name in FIGURES for what in ("mean", "sd")}
    frame = pd.DataFrame(
        {"slice": f"p{patient}", "method": f"method {method}", "clips": 9, "patients": 1, "effective_patients": 1.0}
        | {"n": 5, **figures}
        for patient in range(40)
        for method in range(6)
    )
    lines = printed(frame, "patient").splitlines()
    assert len(lines) < 50  # one a patient
    assert sum(line.count("50.0 ± 50.0") for line in lines) == 240


def test_slices_with_patients_enough_are_not_starred(make: Make) -> None:
    found = by_method(slices([make("a")], "tiny", "val", "device"), {"a": "ce"}).assign(effective_patients=15.0)
    assert "*" not in printed(found, "device")


def test_a_split_that_was_not_asked_for_is_sliced_too(one_run: Path, bring_split: BringSplit) -> None:
    asked_for = slices([Run(one_run)], "far", "val", "patient", "val-bias")
    bring_split(Split("far-again", 3, "far", "", (), ("test",)))
    pd.testing.assert_frame_equal(slices([Run(one_run)], "far-again", "val", "patient", "val-bias"), asked_for)


def test_what_cannot_be_sliced_is_explained(make: Make) -> None:
    run = make("a")
    with pytest.raises(SpecError, match=r"no slices by 'devices'.*'device'"):
        slices([run], "tiny", "val", "devices")
    with pytest.raises(SpecError, match=r"no operating point 'val_bias'.*'val-bias'"):
        slices([run], "tiny", "val", "device", "val_bias")
    with pytest.raises(SpecError, match="no split 'tinny'"):
        slices([run], "tinny", "val", "device")
    with pytest.raises(SpecError, match="no selection rule 'vall'"):
        slices([run], "tiny", "vall", "device")
    with pytest.raises(ResultsError, match="No finished run was judged on 'tiny' under 'oracle' at argmax"):
        slices([run], "tiny", "oracle", "device")
    on_disk.edit(run.path, "metrics.json", lambda metrics: metrics["val"]["tiny"].pop("val-bias"))
    with pytest.raises(ResultsError, match="at val-bias"):
        slices([run], "tiny", "val", "device", "val-bias")


def test_runs_that_are_not_done_give_no_row(make: Make, tmp_path: Path) -> None:
    make("a")
    on_disk.edit(make("b").path, "status.json", lambda status: status.update(state="failed"))
    found = slices(load_runs(tmp_path), "tiny", "val", "device")
    assert set(found["run_id"]) == {"a"}


def test_a_run_made_before_lengths_were_stored_is_cut_as_the_others(make: Make) -> None:
    old, new = make("old"), make("new", seed=1)
    path = old.path / "predictions" / "tiny.parquet"
    pd.read_parquet(path).drop(columns="length_s").to_parquet(path, index=False)
    found = slices([Run(old.path), new], "tiny", "val", "length").set_index("run_id")
    assert found.loc["old", "slice"].tolist() == found.loc["new", "slice"].tolist()
    assert found.loc["old", "slice"].tolist()[0] == "short: 0.50 to 0.82 s"
    with pytest.raises(ResultsError, match=r"^old: its record does not say how long clips are.*Make one more run"):
        slices([Run(old.path)], "tiny", "val", "length")
