"""The tasks that ship here beside the default one; each registers itself."""

from __future__ import annotations

import dataclasses

from .tasks import ICBHI_4, LabelMap, Task, register_task


@register_task
def icbhi_2() -> Task:
    """Normal or abnormal: whether there is any crackle or wheeze."""
    four = ICBHI_4.label_map()
    words = {word: "normal" if name == "normal" else "abnormal" for word, name in four.classes.items()}
    return Task("icbhi-2", ("normal", "abnormal"), "normal", (LabelMap("two-class", four.version, words),))


@register_task
def crackle_wheeze() -> Task:
    """Two labels, any crackle and any wheeze; the loss two_sigmoid has an output for each."""
    return dataclasses.replace(ICBHI_4, name="crackle-wheeze", kind="multi-label")


@register_task
def sprsound_7() -> Task:
    """The seven kinds of events of SPRSound, task 1-2 of its challenge (Zhang et al., BioCAS 2022)."""
    classes = ("Normal", "Fine Crackle", "Coarse Crackle", "Wheeze", "Rhonchi", "Stridor", "Wheeze+Crackle")
    return Task(
        "sprsound-7",
        classes,
        "Normal",
        (LabelMap("sprsound-events", 1, {name: name for name in classes}),),
        findings={
            "crackle": ("Fine Crackle", "Coarse Crackle", "Wheeze+Crackle"),
            "wheeze": ("Wheeze", "Rhonchi", "Stridor", "Wheeze+Crackle"),
        },
        metrics=("sprsound_score",),
    )


@register_task
def sprsound_record_5() -> Task:
    """What a whole recording of SPRSound holds, task 2-2 of its challenge (Zhang et al., BioCAS 2022)."""
    classes = ("Normal", "CAS", "DAS", "CAS+DAS", "Poor Quality")
    words = {name: name for name in classes if name != "CAS+DAS"} | {"CAS & DAS": "CAS+DAS"}
    return Task(
        "sprsound-record-5",
        classes,
        "Normal",
        (LabelMap("sprsound-records", 1, words),),
        findings={"continuous": ("CAS", "CAS+DAS"), "discontinuous": ("DAS", "CAS+DAS")},
        level="recording",
        metrics=("sprsound_score",),
    )


@register_task
def icbhi_diagnosis() -> Task:
    """What a patient of ICBHI has: recordings are heard one by one, and judged together."""
    classes = ("Healthy", "COPD", "URTI", "Bronchiectasis", "Pneumonia", "Bronchiolitis")
    words: dict[str, str | None] = {name: name for name in classes}
    return Task(
        "icbhi-diagnosis",
        classes,
        "Healthy",
        (LabelMap("diagnoses", 1, words | {"LRTI": None, "Asthma": None}),),  # of two patients, and of one
        level="patient",
    )


@register_task
def kauh() -> Task:
    """Normal breath, wheezes or crackles in the words of KAUH (Fraiwan et al., Data in Brief 2021)."""
    words: dict[str, str | None] = {
        "N": "normal",
        **dict.fromkeys(("E W", "I E W"), "wheeze"),
        **dict.fromkeys(("Crep", "C", "I C", "I C B"), "crackle"),
        "I C E W": None,  # crackles and wheezes, of two patients: too few for a class
        "Bronchial": None,
    }
    return Task(
        "kauh",
        ("normal", "crackle", "wheeze"),
        "normal",
        (
            LabelMap("kauh-sounds", 1, words),
            LabelMap("kauh-sounds-strict", 1, words, without=("I C B",)),  # the source does not say what B is
        ),
    )
