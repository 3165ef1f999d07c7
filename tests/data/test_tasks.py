"""Tasks: declarations that must not contradict themselves, and the words that become their classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rsbench.core.errors import DataError, PluginError, SpecError
from rsbench.data.clips import RECORDING_COLUMNS, ClipTable
from rsbench.data.icbhi import read_diagnoses
from rsbench.data.levels import at_level
from rsbench.data.tasks import ICBHI_4, TASKS, LabelMap, Task, register_task, task

WORDS = LabelMap("words", 1, {"n": "none", "w": "wheeze", "x": None})
SOUND: dict[str, Any] = {"name": "t", "classes": ("none", "wheeze"), "reference": "none", "label_maps": (WORDS,)}
EVENTS = ("Normal", "Fine Crackle", "Coarse Crackle", "Wheeze", "Rhonchi", "Stridor", "Wheeze+Crackle")


def table(labels: list[str], words: Mapping[str, str | None] | None = None) -> ClipTable:
    clips = pd.DataFrame({"label": labels, "clip_id": [f"r:{index}" for index in range(len(labels))]})
    return ClipTable("ward", clips, pd.DataFrame(), words=words or {})


def recordings(**columns: list[str]) -> ClipTable:
    count = len(next(iter(columns.values())))
    frame = pd.DataFrame({name: [""] * count for name in RECORDING_COLUMNS})
    frame = frame.assign(recording=[f"r{index}" for index in range(count)], **columns)
    return ClipTable("ward", pd.DataFrame(), frame, diagnoses=lambda: {"p0": "COPD", "p1": "Healthy"})


def indices(of: Task, labels: list[str], **given: Any) -> list[int | None]:
    found = of.indices(table(labels, given.get("words")), given.get("map_name"))
    return [None if index is pd.NA else index for index in found]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"classes": ("none",)}, "2 to 100 different names"),
        ({"classes": ("none", "none")}, "different names"),
        ({"classes": "none"}, "must be a tuple"),
        ({"classes": ("none", "a,b")}, "'a,b' is no name of a class"),
        ({"reference": "wheeze"}, "the reference class 'wheeze' must be the first"),
        ({"label_maps": ()}, "it needs a label map"),
        ({"label_maps": (LabelMap("w", 1, {"n": "wheez"}),)}, "'w' names 'wheez'.*Did you mean 'wheeze'"),
        ({"findings": {"any": ("wheeze", "both")}}, "'any' names 'both', which is none of its classes"),
        ({"level": "ward"}, "'ward' is no level of a task.*Known: clip, patient, recording"),
        ({"metrics": ("f2",)}, "'f2' is no metric"),
        ({"kind": "multi"}, "'multi' is no kind of a task.*Did you mean 'multi-label'"),
        ({"kind": "multi-label"}, "every class must be another combination of findings"),
        (
            {"kind": "multi-label", "findings": {"any": ("none", "wheeze")}},
            "another combination of findings, none first",
        ),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(changed: dict[str, Any], said: str) -> None:
    assert Task(**SOUND).abnormal == (1,)
    with pytest.raises(PluginError, match=said):
        Task(**SOUND | changed)


def test_what_is_registered_must_be_a_task_of_a_new_name() -> None:
    with TASKS.scoped():
        register_task(lambda: Task(**SOUND))
        assert task("t").classes == ("none", "wheeze")
        with pytest.raises(PluginError, match="task 't' is registered twice"):
            register_task(lambda: Task(**SOUND))
        with pytest.raises(PluginError, match="must return its Task, and returns str"):
            register_task(lambda: "t")  # type: ignore[arg-type, return-value]
    with pytest.raises(SpecError, match="no task 'icbhi4'.*Did you mean 'icbhi-4'.*needs its --plugin"):
        task("icbhi4")


def test_every_task_knows_each_of_its_classes_by_some_word() -> None:
    for name in TASKS.names():
        of = task(name)
        for one in of.label_maps:
            assert set(one.classes.values()) - {None} == set(of.classes), name


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("crackle-wheeze", ["normal", "Rhonchi", "Fine Crackle", "both"], [0, 2, 1, 3]),
        ("icbhi-2", ["normal", "crackle", "wheeze", "both", *EVENTS], [0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1]),
        ("sprsound-7", list(EVENTS), [0, 1, 2, 3, 4, 5, 6]),
        ("sprsound-record-5", ["Normal", "CAS", "DAS", "CAS & DAS", "Poor Quality"], [0, 1, 2, 3, 4]),
        ("kauh", ["N", "E W", "I E W", "Crep", "C", "I C B", "I C E W", "Bronchial"], [0, 2, 2, 1, 1, 1, None, None]),
        ("icbhi-diagnosis", ["Healthy", "COPD", "URTI", "LRTI", "Asthma"], [0, 1, 2, None, None]),
    ],
)
def test_words_become_the_classes_of_a_task(name: str, labels: list[str], expected: list[int | None]) -> None:
    assert indices(task(name), labels) == expected


def test_own_words_count_where_the_four_are_known() -> None:
    assert indices(task("icbhi-2"), ["D", "I"], words={"D": "crackle", "I": None}) == [1, None]
    with pytest.raises(DataError, match="'D' has no class under 'sprsound-events'. Choose a task that knows"):
        indices(task("sprsound-7"), ["D"], words={"D": "crackle"})
    with pytest.raises(DataError, match="'D' has no class under 'four-class'. Say which it is in the words"):
        indices(ICBHI_4, ["D"])
    assert indices(task("kauh"), ["I C B"], map_name="kauh-sounds-strict") == [None]


def test_whole_recordings_are_clips_where_somebody_labelled_them() -> None:
    found = at_level(recordings(record_label=["CAS", "", "Normal"]), "recording").clips
    assert found["clip_id"].tolist() == ["r0:whole", "r2:whole"]
    assert found["label"].tolist() == ["CAS", "Normal"]
    assert (found["start_s"] == 0).all()
    assert np.isinf(found["end_s"]).all()
    of_patients = at_level(recordings(patient=["p1", "p0", "p2"]), "patient").clips
    assert of_patients["label"].tolist() == ["Healthy", "COPD"]  # nobody says what p2 has
    with pytest.raises(DataError, match="'ward' has no label of whole recordings"):
        at_level(recordings(record_label=["", ""]), "recording")


def test_diagnoses_are_read_with_and_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "patient_diagnosis.csv").write_text("ID,CLASS\n101,URTI\n102,Healthy\n")
    assert read_diagnoses(tmp_path) == {"101": "URTI", "102": "Healthy"}
    (tmp_path / "patient_diagnosis.csv").rename(tmp_path / "ICBHI_Challenge_diagnosis.txt")
    (tmp_path / "ICBHI_Challenge_diagnosis.txt").write_text("101\tURTI\r\n")
    assert read_diagnoses(tmp_path) == {"101": "URTI"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("101,URTI\n1O2,COPD\n", "line 2.*'1O2,COPD' is not a patient's number and a diagnosis"),
        ("101,URTI\n102\n", "line 2.*is not a patient's number"),
        ("101,URTI\n101,COPD\n", "line 2.*patient 101 has another one"),
    ],
)
def test_a_broken_line_of_diagnoses_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match="there is no patient_diagnosis.csv"):
        read_diagnoses(tmp_path)
    (tmp_path / "patient_diagnosis.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read_diagnoses(tmp_path)
