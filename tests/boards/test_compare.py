"""Two runs side by side: differences counted by hand, intervals against other ways to get them, refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import on_disk
import pandas as pd
import pytest
from tiny import Cli, run_tiny, write_own_dataset

import rsbench
from rsbench.boards.pair import COMPARED, MOST, Comparison, _what_sets_them_apart, compare
from rsbench.core.errors import ResultsError
from rsbench.data.tasks import ICBHI_4
from rsbench.evaluation.statistics import Counts, counts_of, estimate, estimate_for_models
from rsbench.results.run import Run

CLASSES = ("normal", "crackle", "wheeze", "both")


@pytest.fixture
def ce(runs_to_read: Path) -> Run:
    return Run(next(runs_to_read.glob("runs/ce-tiny-s0-*")))


@pytest.fixture
def cosface(runs_to_read: Path) -> Run:
    return Run(next(runs_to_read.glob("runs/cosface-tiny-s0-*")))


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Run], Run]:
    return lambda folder: Run(Path(shutil.copytree(folder.path, tmp_path / folder.run_id)))


def clips_of(folder: Run, split: str) -> pd.DataFrame:
    stored = pd.read_parquet(folder.path / "predictions" / f"{split}.parquet")
    return stored[(stored["selection"] == "val") & (stored["part"] == "test")].set_index("clip_id").sort_index()


def called(clips: pd.DataFrame, offset: float) -> list[int]:
    found = []
    for logits in clips[list(ICBHI_4.logit_columns)].to_numpy().tolist():
        logits[0] += offset
        found.append(logits.index(max(logits)))
    return found


def at(found: Comparison, split: str, rule: str, point: str) -> dict[str, Any]:
    rows = found.scores
    (row,) = rows[(rows["split"] == split) & (rows["rule"] == rule) & (rows["operating_point"] == point)].to_dict(
        "records"
    )
    return {str(name): value for name, value in row.items()}


def test_differences_are_those_of_the_records(ce: Run, cosface: Run) -> None:
    found = compare(ce, cosface)
    before, after = (on_disk.read(folder.path, "metrics.json") for folder in (ce, cosface))
    assert len(found.scores) == 2 * 3 * 2  # splits, rules, operating points
    for row in found.scores.to_dict("records"):
        first, second = (metrics[row["rule"]][row["split"]][row["operating_point"]] for metrics in (before, after))
        for name in COMPARED:
            assert row[f"{name}_first"] == pytest.approx(first[name])
            assert row[f"{name}_second"] == pytest.approx(second[name])
            assert row[f"{name}_delta"] == pytest.approx(second[name] - first[name])
            assert row[f"{name}_low"] <= row[f"{name}_delta"] <= row[f"{name}_high"]


def test_agreement_is_what_a_loop_counts(ce: Run, cosface: Run) -> None:
    found = compare(ce, cosface, "far")
    sides = [clips_of(folder, "far") for folder in (ce, cosface)]
    points = [on_disk.read(folder.path, "metrics.json")["val"]["far"]["operating_point"] for folder in (ce, cosface)]
    for point, offsets in (("argmax", (0.0, 0.0)), ("val-bias", [one["normal_offset"] for one in points])):
        calls = [called(clips, offset) for clips, offset in zip(sides, offsets, strict=True)]
        for number, name in enumerate(("all", *CLASSES), start=-1):
            counts = dict.fromkeys(("both", "only_first", "only_second", "neither"), 0)
            by_patient: dict[str, int] = {}
            labels, patients = sides[0]["label"], sides[0]["patient"]
            for label, patient, one, other in zip(labels, patients, *calls, strict=True):
                if name == "all" or label == number:
                    right = (one == label, other == label)
                    key = {(1, 1): "both", (1, 0): "only_first", (0, 1): "only_second", (0, 0): "neither"}[right]
                    counts[key] += 1
                    by_patient[patient] = by_patient.get(patient, 0) + right[1] - right[0]
            counts["clips"], counts["patients"] = sum(counts.values()), len(by_patient)
            counts["patients_first"] = sum(more < 0 for more in by_patient.values())
            counts["patients_second"] = sum(more > 0 for more in by_patient.values())
            rows = found.agreement[found.agreement["operating_point"] == point].set_index("class")
            assert rows.loc[name, list(counts)].to_dict() == counts


def test_the_clips_listed_are_those_of_the_largest_difference(ce: Run, cosface: Run) -> None:
    found = compare(ce, cosface, "far").clips
    probabilities = []
    for folder in (ce, cosface):
        clips = clips_of(folder, "far")
        temperature = on_disk.read(folder.path, "metrics.json")["val"]["far"]["operating_point"]["temperature"]
        powers = np.exp(clips[list(ICBHI_4.logit_columns)].to_numpy(dtype=float) / temperature)
        of_class = powers[np.arange(len(clips)), clips["label"]] / powers.sum(axis=1)
        probabilities.append(pd.Series(of_class, clips.index))
    gap = (probabilities[1] - probabilities[0]).abs().sort_values(ascending=False)
    assert len(found) == MOST
    assert (found["p_second"] - found["p_first"]).abs().to_numpy() == pytest.approx(gap.to_numpy()[:MOST])
    assert found["p_first"].to_numpy() == pytest.approx(probabilities[0][found["clip_id"]].to_numpy())


def test_the_other_way_round_everything_is_turned(ce: Run, cosface: Run) -> None:
    one, other = compare(ce, cosface), compare(cosface, ce)
    for name in COMPARED:
        assert one.scores[f"{name}_delta"].to_numpy() == pytest.approx(-other.scores[f"{name}_delta"].to_numpy())
        assert one.scores[f"{name}_low"].to_numpy() == pytest.approx(-other.scores[f"{name}_high"].to_numpy())
    assert one.agreement["only_first"].tolist() == other.agreement["only_second"].tolist()
    assert one.agreement["patients_first"].tolist() == other.agreement["patients_second"].tolist()


def test_a_run_beside_itself_differs_in_nothing(ce: Run, copy: Callable[[Run], Run]) -> None:
    found = compare(ce, copy(ce))
    assert found.differences.empty
    for name in (f"{figure}_{what}" for figure in COMPARED for what in ("delta", "low", "high")):
        assert (found.scores[name] == 0).all()
    for name in ("only_first", "only_second", "patients_first", "patients_second"):
        assert (found.agreement[name] == 0).all()


def crossed(patients: int, seed: int = 0, lift: float = 0.0) -> Counts:
    """Score differences of two models on patients with few to many clips, who each have their own difficulty."""
    generator = np.random.default_rng(seed)
    support = generator.integers(1, 12, size=(patients, 4))
    ease = generator.beta(2, 2, size=(patients, 1))
    chance = [ease, np.clip(ease + lift, 0, 1)]
    hits = np.stack([generator.binomial(support, one) for one in chance])
    hits = np.concatenate([hits, hits[..., 1:].sum(axis=-1, keepdims=True)], axis=-1)[:, None].astype(float)
    counts = counts_of("score", hits, support.astype(float))
    return counts[[1]] - counts[[0]]


def test_the_interval_is_that_of_a_sandwich_over_patients() -> None:
    counts = crossed(400)
    hits, clips = counts.hits[0, 0], counts.clips
    rate = hits.sum(axis=0) / clips.sum(axis=0)
    influence = 100 * ((hits - rate * clips) / clips.sum(axis=0)).mean(axis=1)  # of a mean of ratios, linearised
    found = estimate_for_models(counts)
    assert found.mean[0] == pytest.approx(100 * rate.mean())
    assert found.se[0] == pytest.approx(np.sqrt((influence**2).sum()), rel=0.03)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    missed = 0
    for seed in range(300):
        low, high = estimate_for_models(crossed(25, seed), resamples=1000).intervals()[0]
        missed += not low <= 0 <= high  # the two models are equally good on every patient
    assert 0.02 <= missed / 300 <= 0.09


def test_the_source_of_a_plugins_loss_is_part_of_the_loss() -> None:
    rows = [("spec", "loss.name", "ce", "mine"), ("data", "identity.plugins.loss:mine", None, "0" * 64)]
    rows.append(("data", "identity.built_in.loss:ce", "1" * 64, None))
    differences = pd.DataFrame(rows, columns=["part", "field", "first", "second"]).astype(object)
    assert "the loss alone differs" in _what_sets_them_apart(differences)[0]
    for other in (
        ("data", "identity.plugins.dataset:tiny", None, "0" * 64),
        ("environment", "training_code", "a", "b"),
    ):
        differences = pd.DataFrame([*rows, other], columns=differences.columns).astype(object)
        assert "cannot be put down to the loss" in _what_sets_them_apart(differences)[0]


def test_one_seed_says_nothing_of_other_seeds() -> None:
    assert np.isnan(estimate(crossed(25)).se[0])
    assert estimate_for_models(crossed(25)).se[0] > 0


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("cosface-tiny-s0", "the loss alone differs"),
        ("ce-tiny-s1", "the seed alone: the difference is training noise"),
        ("qlung-tiny-s0", "share no selection rule"),
    ],
)
def test_it_says_what_a_difference_can_be_put_down_to(cli: Cli, runs_to_read: Path, other: str, said: str) -> None:
    done = cli("compare", "ce-tiny-s0", other, "--results", runs_to_read)
    assert said in (done.out or done.err)
    assert done.code == (2 if "share no" in said else 0)
    assert done.code or "know nothing of other seeds" in done.out


def test_more_than_the_loss_is_not_told_apart(tiny_root: Path, tmp_path: Path, cosface: Run) -> None:
    other = Run(run_tiny(tiny_root, tmp_path, epochs=2, **{"optim.lr": 1e-3, "backbone.width": 8}).path)
    found = compare(other, cosface)
    assert found.notes[0].startswith("Settings, data or code also differ elsewhere")
    of_spec = found.differences[found.differences["part"] == "spec"].set_index("field")
    assert of_spec.loc["optim.lr", "first"] == 1e-3
    assert of_spec.loc["backbone.width", ["first", "second"]].tolist() == [8, 16]
    assert set(found.scores["rule"]) == {"val", "last"}  # the oracle is of one of them alone


def test_json_holds_what_the_tables_show(cli: Cli, runs_to_read: Path, ce: Run, cosface: Run) -> None:
    done = cli("compare", ce.run_id, cosface.run_id, "--results", runs_to_read, "--format", "json")
    assert done.code == 0, done.err
    known, found = json.loads(done.out), compare(ce, cosface)
    assert [known["first"], known["second"]] == [ce.run_id, cosface.run_id]
    assert [row["score_delta"] for row in known["scores"]] == pytest.approx(found.scores["score_delta"].tolist())
    tables = cli("compare", ce.run_id, cosface.run_id, "--results", runs_to_read).out
    for row in known["scores"]:
        assert f"{row['score_low']:+.1f} … {row['score_high']:+.1f}" in tables
    assert {"field": "loss.name", "part": "spec", "first": "ce", "second": "cosface"} in known["differences"]


def test_runs_on_other_labels_are_refused(cli: Cli, tmp_path: Path, ce: Run) -> None:
    write_own_dataset(tmp_path / "root" / "tiny", {"train": 10, "test": 4}, seed=3)
    write_own_dataset(tmp_path / "root" / "far", {"test": 6}, seed=4)  # one patient more
    other = run_tiny(tmp_path / "root", tmp_path / "results", epochs=1)
    done = cli("compare", ce.path, other.path)
    assert done.code == 2
    assert "far: they differ in labels_id" in done.err
    assert "tiny: other sound under the same labels: recording " in done.err
    with pytest.raises(ResultsError, match="must not be compared"):
        compare(ce, Run(other.path))


def test_what_can_be_compared_is_and_the_rest_is_named(
    cli: Cli, ce: Run, cosface: Run, copy: Callable[[Run], Run]
) -> None:
    other = copy(cosface)
    path = other.path / "sketch" / "far.parquet"
    sketch = pd.read_parquet(path)
    sketch.iloc[0, sketch.columns.get_loc("duration_s")] += 1
    sketch.to_parquet(path, index=False)
    done = cli("compare", ce.path, other.path)
    assert done.code == 0, done.err
    assert "far is not compared: other sound under the same labels" in done.out
    assert "far: second − first" not in done.out
    assert "tiny: second − first" in done.out


def test_clips_under_other_labels_are_refused(ce: Run, cosface: Run, copy: Callable[[Run], Run]) -> None:
    """Such a record says labels that its data.json denies: no board may read it, and no comparison either."""
    other = copy(cosface)
    path = other.path / "predictions" / "far.parquet"
    stored = pd.read_parquet(path)
    normal, other_class = (stored["label"] == 0).idxmax(), (stored["label"] == 1).idxmax()
    clips = stored.loc[[normal, other_class], "clip_id"]
    stored["clip_id"] = stored["clip_id"].replace(dict(zip(clips, clips[::-1], strict=True)))
    stored.to_parquet(path, index=False)  # the same figures, for the two clips have changed places
    with pytest.raises(ResultsError, match="far: clip .* has another label or patient"):
        compare(ce, other, "far")


def test_an_unfinished_run_is_refused(cli: Cli, ce: Run, cosface: Run, copy: Callable[[Run], Run]) -> None:
    other = copy(cosface)
    other.folder.set_status("interrupted")
    done = cli("compare", ce.path, other.path)
    assert done.code == 2
    assert f"{other.run_id}: is interrupted; only finished runs can be compared" in done.err


def test_a_split_that_nobody_knows_is_one_message(cli: Cli, runs_to_read: Path) -> None:
    done = cli("compare", "ce-tiny-s0", "cosface", "--results", runs_to_read, "--split", "nowhere")
    assert done.code == 2
    assert "nowhere" in done.err


def test_in_python_it_is_a_frame_a_picture_and_a_table_for_a_paper(runs_to_read: Path, ce: Run, cosface: Run) -> None:
    found = rsbench.compare("ce-tiny-s0", cosface, results=runs_to_read)
    pd.testing.assert_frame_equal(found.frame, compare(ce, cosface).scores)
    figure = found.figure()
    assert [axes.get_title("left") for axes in figure.axes] == ["tiny", "far"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][:2] == ["val, argmax", "val, val-bias"]
    one, other = found.to_latex().split("\n\n")
    row = at(found.found, "tiny", "val", "argmax")
    assert f"Score & {row['score_first']:.1f} & {row['score_second']:.1f} & " in one
    assert f"first: {ce.run_id}, seed 0" in one
    assert "caption{far, protocol 2" in other
    assert "they differ most on" in found._repr_html_()
