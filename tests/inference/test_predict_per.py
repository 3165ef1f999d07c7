"""`rsbench predict --per`: what is said of clips, pooled by the rule of tasks about recordings and patients."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, softmax
from tiny import Cli, Outcome

from rsbench.data.clips import FOUR_WORDS
from rsbench.data.patients import patient_in_name
from rsbench.data.tasks import ICBHI_4
from rsbench.experiment.pooling import of_patients
from rsbench.results.run import Run

RUN = "qlung-tiny-s0"
LOGITS = list(ICBHI_4.logit_columns)
PROBABILITIES = [f"p_{name}" for name in FOUR_WORDS]


@pytest.fixture
def ask(cli: Cli, finished: Path) -> Callable[..., Outcome]:
    def call(*arguments: str | Path) -> Outcome:
        return cli("predict", RUN, "--results", finished, "--format", "json", *arguments)

    return call


def rows_of(said: Outcome) -> tuple[dict[str, Any], pd.DataFrame]:
    assert said.code == 0, said.err
    (about,) = json.loads(said.out)
    return about, pd.DataFrame(about.pop("rows"))


def test_a_recording_is_the_mean_log_probability_of_its_clips(
    ask: Callable[..., Outcome], finished: Path, tiny_root: Path
) -> None:
    """Pooled by hand from the logits that were stored when the run was judged."""
    about, rows = rows_of(ask(tiny_root / "far", "--per", "recording"))
    clips = Run.load(RUN, finished).predictions("far").query("selection == 'val'")
    assert about["pooling"] == "mean log-probability of its clips"
    for row in rows.to_dict("records"):
        own = clips[clips["recording"] == Path(row["recording"]).stem]
        logits = np.log(np.exp(log_softmax(own[LOGITS].to_numpy(np.float64), axis=1)).prod(axis=0) ** (1 / len(own)))
        logits[0] += about["normal_offset"]
        np.testing.assert_allclose(
            [row[name] for name in PROBABILITIES], softmax(logits / about["temperature"]), atol=1e-5
        )
        assert (row["clips"], row["called"]) == (len(own), FOUR_WORDS[int(logits.argmax())])
        assert row["patient"] == own["patient"].iloc[0]


def test_a_patient_is_what_a_task_of_patients_makes_of_one_clip_per_recording(
    ask: Callable[..., Outcome], finished: Path, tiny_root: Path, tmp_path: Path
) -> None:
    """Each recording one clip: then `of_patients`, which such tasks are judged by, is the oracle."""
    sounds, annotations = sorted((tiny_root / "far").glob("*.wav")), tmp_path / "first"
    annotations.mkdir()
    for sound in sounds:
        (annotations / f"{sound.stem}.txt").write_text("0 0.5 0 0\n")
    owners = {sound: "ann" if number < 2 else "bob" for number, sound in enumerate(sounds)}
    listed = tmp_path / "patients.csv"
    listed.write_text("path,patient,age\n" + "".join(f"{sound},{owner},50\n" for sound, owner in owners.items()))
    about, rows = rows_of(ask(*sounds, "--annotations", annotations, "--per", "patient", "--patients", listed))
    stored = Run.load(RUN, finished).predictions("far").query("selection == 'val'")
    first = stored[stored["clip_id"].str.endswith(":0")]
    names = {sound.stem: owner for sound, owner in owners.items()}
    expected = of_patients(first.assign(patient=first["recording"].map(names)), ICBHI_4).set_index("patient")
    logits = expected.loc[rows["patient"], LOGITS].to_numpy()
    logits[:, 0] += about["normal_offset"]
    np.testing.assert_allclose(rows[PROBABILITIES], softmax(logits / about["temperature"], axis=1), atol=1e-5)
    assert rows[["patient", "recordings", "clips"]].values.tolist() == [["ann", 2, 2], ["bob", 3, 3]]


def test_patients_are_told_by_a_clips_csv_and_by_known_names(
    ask: Callable[..., Outcome], tiny_root: Path, sounds: Path
) -> None:
    _, rows = rows_of(ask(tiny_root / "far", "--per", "patient"))
    assert rows["patient"].tolist() == [f"test{number:02d}" for number in range(5)]
    first, second, *others = sorted(sounds.iterdir())
    shutil.move(first, sounds / "101_1b1_Al_sc_Meditron.wav")
    shutil.move(second, sounds / "101_1b1_Pr_sc_Meditron.wav")
    _, rows = rows_of(ask(*sounds.glob("101*"), "--per", "patient"))
    assert rows[["patient", "recordings"]].values.tolist() == [["101", 2]]
    unknown = ask(sounds, "--per", "patient")
    assert (unknown.code, unknown.out) == (2, "")
    assert all(path.name in unknown.err for path in others)
    assert "--patients FILE" in unknown.err


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("226_1b1_Pl_sc_LittC2SE", "226"),
        ("65085237_7.0_0_p1_3243", "65085237"),
        ("_7.0_0_p1_3243", ""),
        ("H002_L1", "H002"),
        ("visit one", ""),
    ],
)
def test_names_of_known_data_sets_give_the_patient(name: str, patient: str) -> None:
    assert patient_in_name(Path("somewhere") / f"{name}.wav") == patient


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file,patient\na.wav,ann\n", "the column path is not there"),
        ("path,patient\na.wav,\n", "line 2, patient: is empty"),
        ("path,patient\na.wav,ann\na.wav,bob\n", "bob, but ann in"),
    ],
)
def test_a_broken_list_of_patients_is_named(
    ask: Callable[..., Outcome], sounds: Path, tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "patients.csv").write_text(text)
    said = ask(sounds, "--per", "patient", "--patients", tmp_path / "patients.csv")
    assert (said.code, said.out) == (2, "")
    assert reason in said.err


def test_the_rule_is_named_wherever_rows_go(ask: Callable[..., Outcome], sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "said.csv"
    assert ask(sounds, "--per", "recording", "--format", "csv", "--out", out).code == 0
    assert set(pd.read_csv(out)["pooling"]) == {"mean log-probability of its clips"}
    assert "mean log-probability" in (tmp_path / "said.card.md").read_text()
    table = ask(sounds, "--per", "recording", "--format", "table").out
    assert "Each recording: mean log-probability of its clips." in " ".join(table.split())
    wrong = ask(sounds, "--per", "record")
    assert "Did you mean 'recording'?" in wrong.err
