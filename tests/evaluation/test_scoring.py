"""A run's figures from stored predictions: which rows are judged, by which epoch, at which operating point."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from rsbench.core.errors import ResultsError
from rsbench.data.clips import FOUR_WORDS
from rsbench.data.splits import Split
from rsbench.data.tasks import ICBHI_4
from rsbench.evaluation.metrics import at_operating_point
from rsbench.evaluation.operating_point import fit_operating_point
from rsbench.evaluation.scoring import prediction_columns, score_predictions, score_run

HOME = Split("home", 1, "homeset", "", ("train",), ("test",))
AWAY = Split("away", 1, "awayset", "", (), ("inter",))
AWAY_ALL = Split("away-all", 1, "awayset", "", (), ("inter", "intra"))


def predictions(seed: int, subset: str, part: str, selection: str = "val", clips: int = 60) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    labels = generator.choice(4, size=clips, p=(0.53, 0.27, 0.13, 0.07))
    logits = (generator.normal(size=(clips, 4)) + 1.5 * np.eye(4)[labels]).astype(np.float32)
    frame = pd.DataFrame(logits, columns=list(ICBHI_4.logit_columns)).assign(
        clip_id=[f"{subset}-{part}-{index}" for index in range(clips)],
        recording="r",
        patient=[f"p{index % 7}" for index in range(clips)],
        device=["a" if index % 3 else "b" for index in range(clips)],
        location="Tc",
        subset=subset,
        part=part,
        fold=-1,
        label=labels,
        quality=generator.random(clips),
        margin_rad=0.1,
        length_s=generator.uniform(0.2, 4.0, clips),
        selection=selection,
    )
    return frame[list(prediction_columns(ICBHI_4))]


@pytest.fixture
def stored() -> dict[str, pd.DataFrame]:
    """Two data sets, predicted by the epochs that val, last and two oracles chose."""
    home, away = [], []
    for seed, selection in enumerate(("val", "last", "oracle:home", "oracle:away")):
        home += [
            predictions(10 * seed, "train", "fit", selection),
            predictions(10 * seed + 1, "train", "validation", selection),
            predictions(10 * seed + 2, "test", "test", selection),
        ]
        away += [
            predictions(10 * seed + 3, "inter", "test", selection),
            predictions(10 * seed + 4, "intra", "test", selection),
        ]
    return {"homeset": pd.concat(home, ignore_index=True), "awayset": pd.concat(away, ignore_index=True)}


def rows(frame: pd.DataFrame, **wanted: str) -> tuple[np.ndarray, np.ndarray]:
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame["label"].to_numpy(), frame[list(ICBHI_4.logit_columns)].to_numpy(dtype=float)


@pytest.mark.parametrize(
    ("name", "split", "selection", "dataset", "subset"),
    [
        ("val", HOME, "val", "homeset", "test"),
        ("last", HOME, "last", "homeset", "test"),
        ("val", AWAY, "val", "awayset", "inter"),
        ("oracle", HOME, "oracle:home", "homeset", "test"),
        ("oracle", AWAY, "oracle:away", "awayset", "inter"),
    ],
)
def test_each_rule_judges_the_rows_of_its_own_epoch(
    stored: dict[str, pd.DataFrame], name: str, split: Split, selection: str, dataset: str, subset: str
) -> None:
    figures = score_run(stored, [split], [name], ("homeset",))[name][split.name]
    judged = rows(stored[dataset], subset=subset, selection=selection)
    point = fit_operating_point(*rows(stored["homeset"], part="validation", selection=selection))
    assert figures["argmax"] == at_operating_point(*judged)
    assert figures["val-bias"] == at_operating_point(*judged, point.normal_offset)
    assert figures["operating_point"] == {
        "normal_offset": point.normal_offset,
        "temperature": point.temperature,
    }
    assert figures["clips"] == 60
    assert figures["patients"] == 7


def test_splits_of_one_data_set_are_filters_over_one_prediction(stored: dict[str, pd.DataFrame]) -> None:
    scored = score_run(stored, [AWAY, AWAY_ALL], ["val"], ("homeset",))["val"]
    assert scored["away"]["clips"] == 60
    assert scored["away-all"]["clips"] == 120


def test_test_clips_never_move_the_operating_point(stored: dict[str, pd.DataFrame]) -> None:
    before = score_run(stored, [HOME], ["val"], ("homeset",))["val"]["home"]
    of_test = stored["homeset"]["part"] == "test"
    stored["homeset"].loc[of_test, "label"] = stored["homeset"].loc[of_test, "label"].to_numpy()[::-1]
    after = score_run(stored, [HOME], ["val"], ("homeset",))["val"]["home"]
    assert after["operating_point"] == before["operating_point"]
    assert after["argmax"] != before["argmax"]


def test_without_validation_there_is_no_val_bias_and_no_temperature(stored: dict[str, pd.DataFrame]) -> None:
    stored["homeset"] = stored["homeset"][stored["homeset"]["part"] == "test"]
    home = score_run(stored, [HOME], ["last"], ("homeset",))["last"]["home"]
    assert "val-bias" not in home
    assert "operating_point" not in home
    assert set(home["calibration"]) == {"nll", "brier", "ece"}
    del stored["homeset"]  # a run that was tested elsewhere only
    assert score_run(stored, [AWAY], ["last"], ("homeset",))["last"]["away"]["clips"] == 60


def test_devices_and_floor(stored: dict[str, pd.DataFrame]) -> None:
    figures = score_run(stored, [HOME], ["val"], ("homeset",))["val"]["home"]
    assert set(figures["by_device"]) == {"a", "b"}
    expected = at_operating_point(*rows(stored["homeset"], part="test", selection="val", device="b"))
    assert figures["by_device"]["b"] == {key: expected[key] for key in ("sp", "se", "score")}
    assert figures["floor"] == {"sp": 100, "se": 0, "score": 50}


def test_effective_patients_are_named_by_class(stored: dict[str, pd.DataFrame]) -> None:
    effective = score_run(stored, [HOME], ["val"], ("homeset",))["val"]["home"]["effective_patients"]
    assert tuple(effective) == FOUR_WORDS
    assert all(0 <= count <= 7 for count in effective.values())


def test_undefined_figures_are_none_in_json_and_nan_before(stored: dict[str, pd.DataFrame]) -> None:
    home = stored["homeset"]
    stored["homeset"] = home[(home["part"] != "test") | (home["label"] == 0)]  # normal test clips only
    figures = score_run(stored, [HOME], ["val"], ("homeset",))
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["val"]["home"]["argmax"]["se"] is None
    chosen = stored["homeset"][stored["homeset"]["selection"] == "val"]
    assert math.isnan(score_predictions(chosen, HOME)["argmax"]["se"])


def test_validation_of_one_kind_leaves_val_bias_out(stored: dict[str, pd.DataFrame]) -> None:
    home = stored["homeset"]
    stored["homeset"] = home[(home["part"] != "validation") | (home["label"] == 0)]
    figures = score_run(stored, [HOME], ["val"], ("homeset",))["val"]["home"]
    assert "val-bias" not in figures
    assert figures["operating_point"]["normal_offset"] is None


def test_missing_and_double_predictions_are_named(stored: dict[str, pd.DataFrame]) -> None:
    with pytest.raises(ResultsError, match="'away' holds none of the predicted clips"):
        score_run({"awayset": stored["awayset"].assign(selection="last")}, [AWAY], ["val"], ("homeset",))
    with pytest.raises(ResultsError, match="no predictions for data set 'awayset'; stored: homeset"):
        score_run({"homeset": stored["homeset"]}, [AWAY], ["val"], ("homeset",))
    twice = pd.concat([stored["awayset"]] * 2)
    with pytest.raises(ResultsError, match="Clip 'inter-test-0' of 'awayset' is predicted twice"):
        score_run(stored | {"awayset": twice}, [AWAY], ["val"], ("homeset",))


def test_figures_of_a_record_without_lengths_are_what_they_were(stored: dict[str, pd.DataFrame]) -> None:
    now = score_run(stored, [HOME, AWAY], ["val"], ("homeset",))
    before = {name: frame.drop(columns="length_s") for name, frame in stored.items()}
    then = score_run(before, [HOME, AWAY], ["val"], ("homeset",))
    for name in ("home", "away"):
        assert 0 < now["val"][name]["threshold_free"].pop("auroc_within_length") < 1
    assert now == then


def test_the_worst_device_is_the_one_with_the_lowest_score_at_each_operating_point(
    stored: dict[str, pd.DataFrame],
) -> None:
    """A device counts with five normal clips and five abnormal ones; alone it is no worse than others."""
    frame = stored["homeset"]
    few = frame["clip_id"].isin(frame.loc[frame["device"] == "a", "clip_id"].drop_duplicates().iloc[::15])
    stored["homeset"] = frame.assign(device=frame["device"].mask(few, "c"))
    figures = score_run(stored, [HOME], ["val"], ("homeset",))["val"]["home"]
    assert "c" in figures["by_device"]
    offsets = {"argmax": 0.0, "val-bias": figures["operating_point"]["normal_offset"]}
    judged = stored["homeset"].query("selection == 'val' and subset == 'test'")
    for at, offset in offsets.items():
        scores = [at_operating_point(*rows(judged, device=device), offset)["score"] for device in ("a", "b")]
        assert figures["worst_device"][at] == min(scores)
    stored["homeset"] = frame.assign(device="a")
    alone = score_run(stored, [HOME], ["val"], ("homeset",))["val"]["home"]
    assert alone["worst_device"] == {"argmax": None, "val-bias": None}
