"""How learned indices are fitted: balanced, blind to the diagnosis, judged on patients that no fit saw, repeatable."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from rsbench.core.display import Display
from rsbench.data.clips import ClipTable
from rsbench.quality.degradation import DEGRADATIONS
from rsbench.quality.fitting import model
from rsbench.quality.fitting.__main__ import app
from rsbench.quality.fitting.examples import WHOLE, WINDOWS, Examples, imitated_examples, labelled_examples
from rsbench.quality.fitting.imitations import IMITATIONS
from rsbench.quality.fitting.model import auc, calibrated, fit, held_out_odds
from rsbench.quality.indices._description import FEATURES

QUIET = Display(quiet=True)
PATIENTS = 30
QUALITY, DIAGNOSIS = 4, 9  # the features that tell them here


def made_up(seed: int = 0, patients: int = PATIENTS) -> Examples:
    """Recordings whose quality one feature tells, and another one too, that tells the diagnosis as well."""
    generator = np.random.default_rng(seed)
    rows, features = [], []
    for patient in range(patients):
        for number in range(8):
            good = number % 4 != 0
            contrast = ("normal" if number % 2 else "adventitious") if good else ""
            for window_s in (WHOLE, 0.5, 0.5, 4.0):
                values = generator.normal(size=len(FEATURES))
                values[QUALITY] += 1.5 * good
                values[DIAGNOSIS] += 1.5 * good + 2.0 * (contrast == "adventitious")
                name = f"{patient}-{number}"
                rows.append((name, f"p{patient}", contrast, "", window_s, window_s or 9.0, good))
                features.append(values)
    columns = ["recording", "patient", "contrast", "damage", "window_s", "seconds", "good"]
    return Examples(pd.DataFrame(rows, columns=columns), np.array(features))


def test_the_mean_odds_of_normal_and_adventitious_pieces_are_equal_at_every_length() -> None:
    examples = made_up()
    odds, about = fit(examples).odds(examples), examples.about
    for short in (True, False):  # no piece is middling
        normal, adventitious = (
            odds[((about["seconds"] < 1) == short) & (about["contrast"] == contrast)].mean()
            for contrast in ("normal", "adventitious")
        )
        assert normal == pytest.approx(adventitious, abs=1e-6)
    whole = (about["window_s"] == WHOLE) & (about["contrast"] != "")
    assert auc(odds, about, whole, about["contrast"] == "normal")["value"] == pytest.approx(0.5, abs=0.06)


def test_without_that_the_diagnosis_would_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """The made-up recordings do tempt a fit: the test above can fail."""
    monkeypatch.setattr(model, "_blind_directions", lambda terms, about: np.eye(terms.shape[1]))
    examples = made_up()
    about = examples.about
    whole = (about["window_s"] == WHOLE) & (about["contrast"] != "")
    assert auc(fit(examples).odds(examples), about, whole, about["contrast"] == "normal")["value"] < 0.4


def test_what_tells_quality_is_found() -> None:
    weights = fit(made_up()).weights[:, :-1]
    assert (np.abs(weights).argmax(axis=1) == QUALITY).all()
    assert (weights[:, QUALITY] > 0).all()


def test_each_recording_counts_once_and_each_side_has_half() -> None:
    examples = made_up()
    about = pd.concat([examples.about, examples.about[examples.about["good"]].assign(damage="noise", good=False)])
    weight = pd.Series(model._weights(about.reset_index(drop=True)))
    about = about.reset_index(drop=True)
    assert weight[about["good"]].sum() == pytest.approx(weight.sum() / 2)
    assert weight[about["damage"] != ""].sum() == pytest.approx(weight.sum() * model.DAMAGED_SHARE)
    assert weight.sum() == pytest.approx(about["recording"].nunique())
    good = about["good"]
    of_recording = weight[good].groupby(about["recording"][good]).sum()
    assert of_recording.max() == pytest.approx(of_recording.min())
    whole = weight[good & (about["window_s"] == WHOLE)].sum()
    assert whole == pytest.approx(weight[good].sum() * model.WHOLE_SHARE)


def test_held_out_odds_come_from_fits_that_saw_other_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    examples, pairs = made_up(), []
    original = model.fit

    def watched(part: Examples) -> model.Fit:
        pairs.append(set(part.about["patient"]))
        return original(part)

    monkeypatch.setattr(model, "fit", watched)
    odds = held_out_odds(examples, lambda steps: None)
    assert np.isfinite(odds).all()
    assert len(pairs) == model.FOLDS
    everybody = set(examples.about["patient"])
    left_out = [everybody - fitted for fitted in pairs]
    assert sum(map(len, left_out)) == len(set().union(*left_out)) == PATIENTS


def test_calibrated_odds_are_worth_what_they_say() -> None:
    """Of held-out pieces with q near 0.7, seven in ten are good, where good and poor weigh the same."""
    examples, unseen = made_up(patients=100), made_up(seed=1, patients=200)
    fitted = calibrated(fit(examples), held_out_odds(examples, lambda steps: None), examples.about)
    q = 1 / (1 + np.exp(-fitted.odds(unseen)))
    weight, good = model._weights(unseen.about), unseen.about["good"].to_numpy()
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8)):
        near = (q >= low) & (q < high)
        assert np.average(good[near], weights=weight[near]) == pytest.approx((low + high) / 2, abs=0.05)


# --- examples ---


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ClipTable:
    """Three recordings of 5 s: one poor, one normal, one with crackles; clips of 1.5 s that adjoin, after a gap."""
    folder = tmp_path_factory.mktemp("few")
    recordings, clips = [], []
    for number, label in enumerate(("Poor Quality", "Normal", "DAS")):
        noise = np.random.default_rng(number).normal(scale=0.05, size=5 * 8000)
        name = f"r{number}"
        soundfile.write(folder / f"{name}.wav", noise, 8000)
        shared = {"recording": name, "patient": f"p{number}", "subset": "train2022"}
        recordings.append(shared | {"path": str(folder / f"{name}.wav"), "record_label": label})
        words = ("normal", "normal", "crackle") if label == "DAS" else ("normal",) * 3
        for index, (start_s, word) in enumerate(zip((0.0, 2.0, 3.5), words, strict=True)):
            times = {"start_s": start_s, "end_s": start_s + 1.5, "label": word}
            clips.append(shared | times | {"clip_id": f"{name}:{index}"})
    return ClipTable("few", pd.DataFrame(clips), pd.DataFrame(recordings))


def test_recordings_give_wholes_windows_and_damaged_copies_of_good_ones(table: ClipTable) -> None:
    about = labelled_examples(table, QUIET).about
    recorded = about[about["damage"] == ""]
    counts = recorded.groupby(["recording", "window_s"]).size().unstack()
    assert (counts[WHOLE] == 1).all()
    assert all((counts[window_s] == number).all() for window_s, number in WINDOWS.items() if window_s < 5)
    assert 8.0 not in counts
    assert recorded.groupby("recording")["good"].first().tolist() == [False, True, True]
    assert recorded.groupby("recording")["contrast"].first().tolist() == ["", "normal", "adventitious"]
    damaged = about[about["damage"] != ""]
    assert not damaged["good"].any()
    assert set(damaged["recording"]) == {"r1", "r2"}
    assert set(damaged["damage"]) == {name for name, known in DEGRADATIONS.items() if known.harms}


def test_stretches_hold_clips_that_adjoin(table: ClipTable) -> None:
    examples = imitated_examples(table, table.clips["recording"] != "r0", QUIET)
    recorded = examples.about[examples.about["damage"] == ""].set_index("recording")
    assert recorded["good"].all()
    assert recorded.index.tolist() == [f"r{n}:{k}" for n in (1, 2) for k in range(3)]
    assert (recorded.loc[["r1:0", "r2:0"], "seconds"] <= 1.5).all()  # a gap follows
    assert (recorded.loc[["r1:1", "r2:1"], "seconds"] <= 3.0).all()
    assert recorded.loc["r2:2", "contrast"] == "adventitious"
    assert (recorded.loc["r2:1", "contrast"] == "adventitious") == (recorded.loc["r2:1", "seconds"] > 1.5)
    copies = examples.about[examples.about["damage"] != ""]
    assert set(IMITATIONS) < set(copies["damage"])
    assert np.isfinite(examples.features).all()


def test_the_same_recordings_give_the_same_examples(table: ClipTable) -> None:
    np.testing.assert_array_equal(labelled_examples(table, QUIET).features, labelled_examples(table, QUIET).features)


@pytest.mark.parametrize("name", sorted(IMITATIONS))
@pytest.mark.parametrize("seconds", [0.1, 1.0, 6.0])
def test_imitations_keep_length_and_are_finite(name: str, seconds: float) -> None:
    clip = np.random.default_rng(0).normal(scale=0.05, size=round(seconds * 4000))
    found = IMITATIONS[name](clip, 4000, np.random.default_rng(1))
    assert found.shape == clip.shape
    assert np.isfinite(found).all()
    assert not np.array_equal(found, clip)


def test_no_breath_has_the_clips_spectrum_and_no_swells() -> None:
    time_s = np.arange(8 * 4000) / 4000
    clip = np.random.default_rng(0).normal(size=len(time_s)) * np.clip(np.sin(2 * math.pi * time_s / 3), 0.1, 1)
    steady = IMITATIONS["no_breath"](clip, 4000, np.random.default_rng(1))
    np.testing.assert_allclose(np.abs(np.fft.rfft(steady))[1:-1], np.abs(np.fft.rfft(clip))[1:-1], rtol=1e-6)
    assert np.std([part.std() for part in np.split(steady, 16)]) < 0.2 * np.std(
        [part.std() for part in np.split(clip, 16)]
    )


# --- the command ---


def test_the_command_refuses_what_is_no_learned_index(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(app, ["lerned", "--root", str(tmp_path)])
    assert outcome.exit_code == 2
    assert "'lerned'. Did you mean 'learned'?" in outcome.output


def test_the_command_wants_recordings(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(app, ["learned", "--root", str(tmp_path), "--out", str(tmp_path / "out.json")])
    assert outcome.exit_code == 2
    assert "sprsound" in outcome.output
    assert not (tmp_path / "out.json").exists()
