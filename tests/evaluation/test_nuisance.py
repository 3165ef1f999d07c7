"""What could be had without listening: against pairs counted one by one, and where there is nothing to be had."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from rsbench.data.splits import Split
from rsbench.evaluation.metrics import abnormal_odds
from rsbench.evaluation.nuisance import auroc_within, explained, length_audit, length_warnings

SPLIT = Split("one", 1, "set", "", ("train",), ("test",))
SAME = Split("same", 1, "set", "", ("train",), ("train",))
NO_TRAIN = Split("outside", 1, "set", "", (), ("test",))


def clips_of(seed: int, count: int = 400, patients: int = 20) -> pd.DataFrame:
    """Half for training, labels and nuisances at random; a patient is on one side."""
    drawn = np.random.default_rng(seed)
    patient = drawn.integers(0, patients, count)
    return pd.DataFrame(
        {
            "class_index": drawn.choice(4, count, p=(0.6, 0.2, 0.15, 0.05)),
            "patient": [f"p{number:02d}" for number in patient],
            "subset": np.where(patient < patients // 2, "train", "test"),
            "recording": "r",
            "device": drawn.choice(["a", "b", "c"], count),
            "length_s": drawn.uniform(0.2, 8.0, count),
        }
    )


def test_within_length_only_clips_of_one_decile_are_compared() -> None:
    drawn = np.random.default_rng(0)
    labels, logits = drawn.integers(0, 4, 200), drawn.normal(size=(200, 4)).round(1)
    length = drawn.permutation(200) / 10  # deciles are twenty neighbours each
    odds, decile = abnormal_odds(logits), (length * 10).astype(int) // 20
    pairs = [
        (odds[one] > odds[other]) + (odds[one] == odds[other]) / 2
        for one, other in itertools.product(np.flatnonzero(labels), np.flatnonzero(labels == 0))
        if decile[one] == decile[other]
    ]
    assert auroc_within(labels, logits, length) == pytest.approx(np.mean(pairs))


def test_what_ranks_by_length_alone_is_left_with_little_within_it() -> None:
    drawn = np.random.default_rng(1)
    length = drawn.uniform(0.2, 8.0, 2000)
    labels = (drawn.random(2000) < 1 / (1 + np.exp(0.6 * (length - 3)))).astype(int)
    logits = np.stack([length, np.zeros(2000), np.full(2000, -9.0), np.full(2000, -9.0)], axis=1)
    known = pd.DataFrame({"class_index": labels, "length_s": length, "patient": "p", "subset": "test"})
    whole = length_audit(known, [NO_TRAIN])["value"].item()
    assert whole < 0.25
    assert 0.5 < auroc_within(labels, logits, length) < 0.56  # a decile is no point: a little is left
    assert auroc_within(labels, logits, np.full(2000, 1.0)) == pytest.approx(1 - whole)  # one length: all pairs


def test_within_length_is_undefined_where_a_length_is_missing_or_no_decile_has_both_kinds() -> None:
    logits = np.zeros((20, 4))
    assert math.isnan(auroc_within(np.arange(20) % 2, logits, [np.nan, *range(19)]))
    assert math.isnan(auroc_within(np.arange(20) // 10, logits, range(20)))


def test_length_is_audited_on_each_side_that_has_both_kinds() -> None:
    clips = clips_of(2)
    found = length_audit(clips, [SPLIT, NO_TRAIN])
    assert list(zip(found["split"], found["side"], strict=True)) == [
        ("one", "train"),
        ("one", "test"),
        ("outside", "test"),
    ]
    test = clips[clips["subset"] == "test"]
    abnormal, normal = (test["length_s"][(test["class_index"] > 0) == flag].to_numpy() for flag in (True, False))
    assert found["value"].iloc[1] == pytest.approx((abnormal[:, None] > normal).mean())
    assert ((found["low"] < found["value"]) & (found["value"] < found["high"])).all()


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (0.59, 0.41, ["one: what train says of length, test says the other way round"]),
        (0.54, 0.41, []),
        (0.185, 0.167, ["one: abnormal clips are shorter on train (AUROC of length 0.185) and shorter on test"]),
        (0.505, 0.661, ["one: abnormal clips are longer on test (AUROC of length 0.661)"]),
        (0.3, 0.7, ["one: abnormal clips are shorter on train (AUROC of length 0.300) and longer", "one: what train"]),
    ],
)
def test_a_length_that_tells_the_class_or_turns_round_is_warned_of(train: float, test: float, said: list[str]) -> None:
    audit = pd.DataFrame({"split": "one", "side": ["train", "test"], "value": [train, test]})
    lines = length_warnings(audit)
    assert len(lines) == len(said)
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True))


def test_a_nuisance_calls_what_its_shares_in_train_make_best() -> None:
    clips = clips_of(3)
    (found,) = explained(clips, [SPLIT, SAME, NO_TRAIN], "device").to_dict("records")
    train, test = (clips[clips["subset"] == side] for side in ("train", "test"))
    sides = {kind: train[(train["class_index"] > 0) == kind] for kind in (False, True)}

    def gain(device: str, label: int) -> float:
        mine = sides[label > 0]
        return ((mine["device"] == device) & (mine["class_index"] == label)).sum() / len(mine)

    calls = {device: max(range(4), key=lambda label: gain(device, label)) for device in "abc"}
    hit = test["device"].map(calls) == test["class_index"]
    normal = test["class_index"] == 0
    assert (found["split"], found["values"], found["unseen"]) == ("one", 3, 0)
    assert found["score"] == pytest.approx(50 * (hit[normal].mean() + hit[~normal].mean()))
    ranked = {device: sum(gain(device, label) for label in (1, 2, 3)) / gain(device, 0) for device in "abc"}
    score = test["device"].map(ranked).to_numpy()
    above = np.sign(score[~normal][:, None] - score[normal]) / 2 + 0.5
    assert found["auroc"] == pytest.approx(above.mean())


def test_a_length_that_tells_the_class_explains_much_of_a_score() -> None:
    clips = clips_of(4)
    clips["length_s"] = 1 + (clips["class_index"] == 0) * 2 + clips["length_s"] / 100
    (found,) = explained(clips, [SPLIT], "length").to_dict("records")
    assert found["values"] == 10
    assert found["sp"] > 85
    assert found["auroc"] > 0.95
    assert found["auroc_train"] > 0.95


def test_what_only_names_patients_is_not_praised() -> None:
    clips = clips_of(5)
    clips["class_index"] = clips["patient"].str[1:].astype(int) % 2  # a patient has one kind of clip
    (found,) = explained(clips, [SPLIT], "patient").to_dict("records")
    assert found["unseen"] == 1
    assert math.isnan(found["score"])
    assert math.isnan(found["auroc"])
    assert found["auroc_train"] == 0.5
    of_one_value = explained(clips.assign(device="a"), [SPLIT], "device")
    assert of_one_value["auroc_train"].item() == 0.5  # not below it, as a share of the others alone would give


def test_one_value_for_all_explains_nothing_however_many_patients_there_are() -> None:
    clips = clips_of(7, count=3000, patients=200).assign(device="a")
    (found,) = explained(clips, [SPLIT], "device").to_dict("records")
    assert (found["score"], found["auroc"], found["auroc_train"]) == (50, 0.5, 0.5)


def test_the_few_clips_whose_value_train_has_not_are_called_normal() -> None:
    clips = clips_of(8)
    test = np.flatnonzero(clips["subset"] == "test")
    clips.loc[test[:10], ["device", "class_index"]] = ["new", 2]
    clips.loc[test[10:], ["device", "class_index"]] = ["b", 0]
    clips.loc[clips["subset"] == "train", "device"] = "b"
    (found,) = explained(clips, [SPLIT], "device").to_dict("records")
    assert found["unseen"] == pytest.approx(10 / len(test))
    assert (found["sp"], found["se"], found["auroc"]) == (100, 0, 0.5)


def test_lengths_past_those_of_train_are_in_its_outer_deciles() -> None:
    clips = clips_of(6)
    test = clips["subset"] == "test"
    clips.loc[~test, "length_s"] = clips.loc[~test, "length_s"].clip(upper=6.0)  # more than a decile is equal
    (found,) = explained(clips, [SPLIT], "length").to_dict("records")
    assert found["unseen"] == 0
    assert found["values"] < 10
