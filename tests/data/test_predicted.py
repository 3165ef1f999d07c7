"""Files of predictions that another program made: what can be read, and one message for whatever is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rsbench.core.errors import DataError
from rsbench.data.clips import FOUR_WORDS
from rsbench.data.predicted import PredictionsFile, read_predicted, refuse_other_clips

PROBABILITIES = [f"p_{name}" for name in FOUR_WORDS]
SHARES = np.array([[0.7, 0.1, 0.1, 0.1], [0.2, 0.5, 0.2, 0.1], [0.0, 0.0, 1.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
IDS = [f"r{number}:0" for number in range(4)]


@pytest.fixture
def frame() -> pd.DataFrame:
    """What a user writes: four clips and their probabilities."""
    return pd.DataFrame(SHARES, columns=PROBABILITIES).assign(clip_id=IDS)


@pytest.fixture
def known() -> pd.DataFrame:
    """The four test clips of a data set, and one to train on."""
    clips = pd.DataFrame({"clip_id": [*IDS, "r9:0"], "label": ["n", "c", "w", "cw", "n"], "dataset": "clinic"})
    return clips.assign(**{"class": [*FOUR_WORDS, "normal"], "subset": ["test"] * 4 + ["train"]})


def written(frame: pd.DataFrame, path: Path) -> PredictionsFile:
    frame.to_csv(path, index=False)
    return read_predicted(path)


def test_probabilities_come_back_from_every_kind_of_file(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "spreadsheet.csv", index=False, sep=";", decimal=",", encoding="utf-8-sig")
    frame.to_parquet(tmp_path / "a.parquet")
    np.savez(
        tmp_path / "columns.npz",
        **{str(name): values.to_numpy(dtype=None) for name, values in frame.items()} | {"clip_id": np.array(IDS)},
    )
    np.savez(tmp_path / "matrix.npz", clip_id=IDS, probabilities=SHARES)
    for path in sorted(tmp_path.iterdir()):
        found = read_predicted(path)
        assert (found.kind, found.rows["clip_id"].tolist()) == ("probabilities", IDS)
        np.testing.assert_allclose(np.exp(found.logits), SHARES, atol=1e-11)


def test_logits_stay_what_they_are_and_labels_are_one_hot(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 4))
    np.savez(tmp_path / "a.npz", clip_id=IDS, logits=logits)
    assert (read_predicted(tmp_path / "a.npz").logits == logits).all()
    found = written(pd.DataFrame({"clip_id": IDS, "called": FOUR_WORDS[::-1]}), tmp_path / "a.csv")
    assert found.kind == "labels"
    assert (found.logits == np.eye(4)[::-1]).all()


def test_a_frame_is_read_as_a_file_is_whatever_its_index(frame: pd.DataFrame, tmp_path: Path) -> None:
    expected = written(frame, tmp_path / "a.csv")
    for given in (frame, frame.set_index("clip_id"), frame.set_axis([7, 7, 7, 7])):
        found = read_predicted(given)
        assert (found.path.name, found.kind, found.rows["clip_id"].tolist()) == ("DataFrame", "probabilities", IDS)
        np.testing.assert_allclose(found.logits, expected.logits)
    with pytest.raises(DataError, match="^DataFrame: has two columns 'p_both'. Keep the one that is meant"):
        read_predicted(pd.concat([frame, frame[["p_both"]]], axis=1))
    with pytest.raises(DataError, match=r"^DataFrame: column 'p_wheeze' of clip 'r1:0' is 1.4, no probability"):
        read_predicted(change("p_wheeze", 1.4)(frame))


def change(column: str, value: object, row: int = 1) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def changed(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype({column: object})
        frame.loc[row, column] = value
        return frame

    return changed


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frame: frame.drop(columns="clip_id"), "has no column 'clip_id'.*rsbench data clips"),
        (lambda frame: frame.drop(columns="p_both"), "has no column 'p_both'. Give one for every class"),
        (lambda frame: frame[["clip_id"]], "nothing says what was predicted"),
        (lambda frame: frame[:0], "there is no row in it"),
        (lambda frame: pd.concat([frame, frame[:2]]), "column 'clip_id': 'r0:0' is there twice, and so are 1 more"),
        (change("p_wheeze", 1.4), r"column 'p_wheeze' of clip 'r1:0' is 1.4, no probability"),
        (change("p_wheeze", 0.9), r"of clip 'r1:0' add up to 1.7, and so it is with 0 more.*Apply a softmax"),
        (change("p_wheeze", "high"), r"column 'p_wheeze' of clip 'r1:0' is 'high', and 0 more are no numbers"),
        (change("p_wheeze", None), r"column 'p_wheeze' of clip 'r1:0' is 'nan'"),
        (
            lambda frame: frame[["clip_id"]].assign(called="weeze"),
            "'called' .* is 'weeze'.*Did you mean 'wheeze'",
        ),
    ],
)
def test_what_is_no_prediction_is_named_with_file_column_and_remedy(
    frame: pd.DataFrame, tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    with pytest.raises(DataError, match=rf"preds\.csv: .*{message}"):
        written(spoil(frame), tmp_path / "preds.csv")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frame: frame[2:], r"'r0:0', a test clip of 'clinic', is not there, and 1 more of 4 are missing"),
        (
            change("clip_id", "r1:7"),
            r"'r1:7' is no clip of clinic as it lies here, nor are 0 more. There they are like 'r0:0'",
        ),
        (change("clip_id", "r9:0"), r"'r9:0' \(subset train\) is not a test clip of 'clinic', nor are 0 more. Leave"),
        (lambda frame: frame.assign(**{"class": "normal"}), r" of clip 'r1:0' is 'normal', and 'crackle' in"),
        (lambda frame: frame.assign(label=["n", "c", "", "0"]), r" of clip 'r3:0' is '0', and 'cw' in"),
        (lambda frame: frame.assign(dataset="other"), r"'r0:0' is no clip of clinic as it lies here, nor are 3 more"),
    ],
)
def test_other_clips_than_those_of_the_split_are_named(
    frame: pd.DataFrame,
    known: pd.DataFrame,
    tmp_path: Path,
    spoil: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    found = written(spoil(frame), tmp_path / "preds.csv")
    with pytest.raises(DataError, match=rf"preds\.csv: column '\w+'.*{message}"):
        refuse_other_clips(found, known[known["subset"] == "test"], known, "a test clip of 'clinic'")


def test_rows_may_come_in_any_order_and_say_the_same_of_a_clip(
    frame: pd.DataFrame, known: pd.DataFrame, tmp_path: Path
) -> None:
    found = written(frame[::-1].assign(**{"class": FOUR_WORDS[::-1], "device": "any"}), tmp_path / "preds.csv")
    refuse_other_clips(found, known[:4], known, "a test clip")
    here, places = found.of(known[:4])
    assert (here.tolist(), places.tolist()) == ([0, 1, 2, 3], [3, 2, 1, 0])


def test_a_name_that_two_data_sets_have_must_say_which(
    frame: pd.DataFrame, known: pd.DataFrame, tmp_path: Path
) -> None:
    both = pd.concat([known[:4], known[:4].assign(dataset="ward")], ignore_index=True)
    with pytest.raises(DataError, match="two data sets have a clip 'r0:0'. Say in a column 'dataset'"):
        written(frame, tmp_path / "preds.csv").of(both)
    _, places = written(frame.assign(dataset="ward"), tmp_path / "preds.csv").of(both)
    assert places.tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("content", [b"", b"\x00\x01\xff\xfe", b"PK\x03\x04 no zip"])
@pytest.mark.parametrize("ending", ["csv", "parquet", "npz"])
def test_a_damaged_file_is_one_message(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"preds.{ending}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"preds\.{ending}: (cannot be read|has no column|there is no row)"):
        read_predicted(path)


def test_a_file_that_is_not_there_is_not_called_broken(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv: there is no such file\.$"):
        read_predicted(tmp_path / "nowhere.csv")
