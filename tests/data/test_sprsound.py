"""The reader of SPRSound: both layouts, its traps, its errors and the counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rsbench.core.errors import DataError
from rsbench.data.catalogue import catalogue
from rsbench.data.clips import ClipTable
from rsbench.data.splits import split
from rsbench.data.sprsound import LABELS, OFFICIAL, read_sprsound
from rsbench.data.tasks import ICBHI_4

Build = Callable[..., Path]

TRAIN, INTRA, INTER = "40512331_8.1_1_p1_3544", "40512331_8.2_1_p2_11", "65034376_1.5_0_p3_1"


def annotation(*events: tuple[str, str, str], label: str = "Normal", key: str = "record_annotation") -> dict:
    listed = [{"start": start, "end": end, "type": kind} for start, end, kind in events]
    return {key: label, "event_annotation": listed}


def one_each() -> dict[str, dict]:
    return {
        "train2022": {TRAIN: annotation(("1212", "1938", "Wheeze"), ("1500", "2000", "Rhonchi"), label="CAS")},
        "intra2022": {INTRA: annotation(label="Poor Quality")},
        "inter2022": {INTER: annotation(("0", "500", "Wheeze+Crackle"), key="recording_annotation")},
    }


@pytest.mark.parametrize("old", [False, True])
def test_both_layouts_give_the_same_table(sprsound: Build, old: bool) -> None:
    table = read_sprsound(sprsound(one_each(), old=old))
    assert table.clips[["recording", "subset", "start_s", "end_s", "label", "patient", "location"]].values.tolist() == [
        [TRAIN, "train2022", 1.212, 1.938, "Wheeze", "40512331", "p1"],
        [TRAIN, "train2022", 1.5, 2.0, "Rhonchi", "40512331", "p1"],
        [INTER, "inter2022", 0.0, 0.5, "Wheeze+Crackle", "65034376", "p3"],
    ]
    assert table.recordings["record_label"].tolist() == ["CAS", "Poor Quality", "Normal"]


def test_the_training_part_of_an_older_copy_has_no_folder_of_its_year(sprsound: Build) -> None:
    root = sprsound(one_each(), old=True)
    for kind in ("wav", "json"):
        folder = root / f"Classification/train_classification_{kind}"
        for path in sorted((folder / "2022").iterdir()):
            path.rename(folder / path.name)
        (folder / "2022").rmdir()
    assert len(read_sprsound(root).clips) == 3


def test_poor_quality_recordings_are_recordings_without_clips(sprsound: Build) -> None:
    table = read_sprsound(sprsound(one_each()))
    assert INTRA in set(table.recordings["recording"])
    assert INTRA not in set(table.clips["recording"])


def test_missing_recordings_are_counted_and_named_where_their_names_are_known(sprsound: Build) -> None:
    root = sprsound(one_each())
    (root / f"BioCAS2022/test2022_wav/{INTER}.wav").unlink()
    table = read_sprsound(root)
    assert INTER in table.missing
    published = catalogue("sprsound")
    assert published is not None
    assert len(published) == OFFICIAL["recordings"].sum() == 2683
    assert set(table.missing) == {*published.index, INTER} - {TRAIN}


def test_a_recording_that_was_not_published_is_noted(sprsound: Build) -> None:
    notes = read_sprsound(sprsound(one_each())).notes
    assert "2 recordings are not among those that were published: 40512331_8.2_1_p2_11, 65034376_1.5_0_p3_1." in notes


def test_audio_without_annotation(sprsound: Build) -> None:
    root = sprsound(one_each())
    (root / f"BioCAS2022/test2022_json/inter_test_json/{INTER}.json").unlink()
    with pytest.raises(DataError, match=rf"{INTER}\.wav: no annotation"):
        read_sprsound(root)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"start": "5", "end": "5", "type": "Normal"}, "event 1, end: the clip has no length"),
        ({"start": "500", "end": "5", "type": "Normal"}, "event 1, end: .* before its start"),
        ({"start": "NaN", "end": "5", "type": "Normal"}, "event 1, start: 'NaN' is not a time"),
        ({"start": "-5", "end": "5", "type": "Normal"}, "event 1, start: '-5' is not a time"),
        ({"start": "0", "end": "1 s", "type": "Normal"}, "event 1, end: '1 s' is not a number"),
        ({"start": "0", "end": "5", "type": "Weeze"}, "event 1, type: unknown event 'Weeze'. Did you mean 'Wheeze'"),
        ({"start": "0", "type": "Normal"}, "event 1, end: the field is not there"),
        ("Normal", "event 1, event_annotation: 'Normal' is not an event"),
    ],
)
def test_a_broken_event_names_file_event_and_field(sprsound: Build, event: Any, message: str) -> None:
    root = sprsound({"train2022": {TRAIN: {"record_annotation": "Normal", "event_annotation": [event]}}})
    with pytest.raises(DataError, match=rf"{TRAIN}\.json, {message}"):
        read_sprsound(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"event_annotation": []}, "the field record_annotation is not there"),
        ({"record_annotation": "Normal"}, "the field event_annotation is not there"),
        ([], "not an annotation"),
    ],
)
def test_an_annotation_without_its_fields(sprsound: Build, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"{TRAIN}\.json: {message}"):
        read_sprsound(sprsound({"train2022": {TRAIN: content}}))


def test_an_annotation_that_is_no_json(sprsound: Build) -> None:
    root = sprsound(one_each())
    (root / f"BioCAS2022/train2022_json/{TRAIN}.json").write_text('{"record_annotation":\n')
    with pytest.raises(DataError, match=rf"{TRAIN}\.json, line 2: not JSON"):
        read_sprsound(root)


def test_a_name_that_is_not_the_data_sets(sprsound: Build) -> None:
    with pytest.raises(DataError, match=r"mine\.json: the name is not patient_age_gender"):
        read_sprsound(sprsound({"train2022": {"mine": annotation()}}))


def test_a_wrong_folder_says_what_it_must_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="This folder must hold BioCAS2022"):
        read_sprsound(tmp_path)


def test_the_recordings_at_hand(real_root: Path) -> None:
    table = read_sprsound(real_root / "sprsound")
    counts = pd.crosstab(table.clips["subset"], table.clips["label"])[list(LABELS)]
    official = OFFICIAL.set_index("subset")
    for subset in official.index:
        assert counts.loc[subset].tolist() == official.loc[subset, list(LABELS)].tolist()
    by_subset = table.recordings.groupby("subset")
    assert by_subset.size().to_dict() == official["recordings"].to_dict()
    assert by_subset["patient"].nunique().to_dict() == official["patients"].to_dict()
    poor = table.recordings["record_label"].eq("Poor Quality").groupby(table.recordings["subset"]).sum()
    assert poor.to_dict() == official["Poor Quality"].to_dict()
    assert not table.partial


def test_the_official_counts_agree_with_those_of_papers() -> None:
    words = OFFICIAL.set_index("subset")[list(LABELS)]
    assert words.sum(axis=1).to_dict() == {"train2022": 6656, "intra2022": 1004, "inter2022": 1429}
    qlung = words.loc[list(split("sprsound-qlung").test)].sum()
    classes = ICBHI_4.indices(ClipTable("sprsound", pd.DataFrame({"label": LABELS}), pd.DataFrame()))
    assert qlung.groupby(classes.to_numpy()).sum().tolist() == [6199, 1044, 811, 31]
