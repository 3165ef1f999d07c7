"""`rsbench predict`: what a run says of recordings is what it said when it was judged."""

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
import soundfile
import torch
from scipy.special import softmax
from tiny import CLIP_S, Cli, Outcome
from torchaudio.functional import resample

import rsbench
from rsbench.data.clips import FOUR_WORDS
from rsbench.inference.classifier import Classifier, load_classifier
from rsbench.inference.prediction import QUALITY_COLUMNS
from rsbench.report.figures.results import MOST_CLIPS
from rsbench.results.run import Run

RUN = "qlung-tiny-s0"
LOGITS = [f"logit_{name}" for name in FOUR_WORDS]
PROBABILITIES = [f"p_{name}" for name in FOUR_WORDS]


@pytest.fixture
def predict(cli: Cli, finished: Path) -> Callable[..., Outcome]:
    def call(*arguments: str | Path, run: str | Path = RUN, results: Path = finished) -> Outcome:
        return cli("predict", run, "--results", results, *arguments)

    return call


def rows_of(said: Outcome) -> tuple[dict[str, Any], pd.DataFrame]:
    """What holds for all rows, and the rows, of JSON."""
    (about,) = json.loads(said.out)
    return about, pd.DataFrame(about.pop("rows"))


def stored(run: Run, dataset: str, selection: str) -> pd.DataFrame:
    predictions = run.predictions(dataset)
    return predictions[predictions["selection"] == selection].set_index("clip_id").sort_index()


@pytest.mark.parametrize(
    ("dataset", "select", "at"),
    [
        ("far", None, "val-bias"),
        ("far", "last", "argmax"),
        ("far", "oracle:far", "val-bias"),
        ("tiny", "val", "argmax"),
    ],
)
def test_it_is_what_the_run_was_judged_by(
    predict: Callable[..., Outcome], finished: Path, tiny_root: Path, dataset: str, select: str | None, at: str
) -> None:
    chosen = ["--select", select] if select else []
    said = predict(tiny_root / dataset, "--at", at, *chosen, "--format", "json")
    assert said.code == 0, said.err
    about, rows = rows_of(said)
    rows["clip_id"] = [Path(path).stem for path in rows["recording"]]
    rows["clip_id"] += ":" + rows.groupby("clip_id").cumcount().astype(str)
    run = Run.load(RUN, finished)
    then = stored(run, dataset, select or "val")
    now = rows.set_index("clip_id").loc[then.index]

    rule, split = (select or "val").partition(":")[0], dataset
    figures = on_disk.read(run.path, "metrics.json")[rule][split]
    point = figures["operating_point"]
    offset = point["normal_offset"] if at == "val-bias" else 0.0
    logits = then[LOGITS].to_numpy(dtype=np.float64, copy=True)
    logits[:, FOUR_WORDS.index("normal")] += offset
    expected = softmax(logits / point["temperature"], axis=1)
    np.testing.assert_allclose(now[PROBABILITIES], expected, atol=1e-6)
    assert (about["normal_offset"], about["temperature"]) == (offset, point["temperature"])
    assert now["label"].tolist() == [FOUR_WORDS[index] for index in then["label"]]
    assert now["called"].tolist() == [FOUR_WORDS[index] for index in logits.argmax(axis=1)]
    tested = now[then["part"] == "test"]
    normal = tested[tested["label"] == "normal"]
    assert 100 * (normal["called"] == "normal").mean() == pytest.approx(figures[at]["sp"])


def test_quality_is_the_same_of_every_model(
    predict: Callable[..., Outcome], finished: Path, results: Path, tiny_root: Path
) -> None:
    """Their training clips differ, and so does what scales quality in training; readers are told another."""
    run, other = Run.load(RUN, results), Run.load("qlung-tiny-s1", results)
    assert run.data.quality_normaliser != other.data.quality_normaliser
    about, rows = rows_of(predict(tiny_root / "far", "--format", "json"))
    _, of_other = rows_of(predict(tiny_root / "far", "--format", "json", run="qlung-tiny-s1"))
    pd.testing.assert_frame_equal(rows[list(QUALITY_COLUMNS)], of_other[list(QUALITY_COLUMNS)])
    assert about["quality_scale"].startswith("aqs, percentile among reference recordings, version 1")
    assert rows["quality_percentile"].between(0, 100).all()

    spec = on_disk.read(run.path, "spec.json")
    on_disk.write(run.path, "spec.json", {**spec, "quality": {**spec["quality"], "alpha": 0.5}})
    about, rows = rows_of(predict(tiny_root / "far", "--format", "json", results=results))
    assert "scaled by the run's training clips" in about["quality_scale"]
    assert rows["quality_percentile"].isna().all()


def test_the_run_folder_alone_is_enough(
    predict: Callable[..., Outcome], finished: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = predict(sounds, "--format", "csv")
    run = Run.load(RUN, finished)
    elsewhere = shutil.copytree(run.path, tmp_path / "moved" / run.run_id)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSBENCH_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("RSBENCH_CACHE", str(tmp_path / "cache"))
    there = predict(sounds, "--format", "csv", run=elsewhere)
    assert there.code == 0, there.err
    assert there.out == here.out
    assert not (tmp_path / "cache").exists()


def as_icbhi(sound: Path, clips: pd.DataFrame) -> None:
    flags = {"normal": "0 0", "crackle": "1 0", "wheeze": "0 1", "both": "1 1"}
    lines = [f"{clip.start_s} {clip.end_s} {flags[clip.label]}" for clip in clips.itertuples()]
    sound.with_suffix(".txt").write_text("\n".join(lines))


def as_sprsound(sound: Path, clips: pd.DataFrame) -> None:
    words = {"normal": "Normal", "crackle": "Fine Crackle", "wheeze": "Rhonchi", "both": "Wheeze+Crackle"}
    events = [
        {"start": str(1000 * clip.start_s), "end": str(1000 * clip.end_s), "type": words[clip.label]}
        for clip in clips.itertuples()
    ]
    annotation = {"record_annotation": "DAS", "event_annotation": events}
    sound.with_suffix(".json").write_text(json.dumps(annotation))


@pytest.mark.parametrize("write", [as_icbhi, as_sprsound, None])
def test_every_way_of_saying_the_same_clips_gives_the_same(
    predict: Callable[..., Outcome], tiny_root: Path, sounds: Path, write: Callable[[Path, pd.DataFrame], None] | None
) -> None:
    """Their recordings are clips end to end, so that windows without annotation are these clips too."""
    listed = pd.read_csv(tiny_root / "far" / "clips.csv")
    if write:
        for path in sounds.iterdir():
            write(path, listed[listed["path"] == path.name])
    said = predict(sounds, "--format", "json")
    assert said.code == 0, said.err
    _, expected = rows_of(predict(tiny_root / "far", "--format", "json"))
    _, found = rows_of(said)
    columns = ["start_s", "end_s", "called", *PROBABILITIES, "quality"]
    pd.testing.assert_frame_equal(found[columns], expected[columns])
    assert ("with annotations: 5 recordings, 40 clips" in said.err) == bool(write)
    assert ("without annotations: 5 recordings, 40 windows of 0.5 s" in said.err) != bool(write)


def test_annotations_may_lie_elsewhere_or_be_left_aside(
    predict: Callable[..., Outcome], tiny_root: Path, sounds: Path, tmp_path: Path
) -> None:
    sound = sorted(sounds.iterdir())[0]
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    (annotations / f"{sound.stem}.txt").write_text("0.1 1.3 0 1\n")
    said = predict(sound, "--annotations", annotations, "--format", "json")
    _, rows = rows_of(said)
    assert rows[["start_s", "end_s", "label"]].values.tolist() == [[0.1, 1.3, "wheeze"]]
    assert "1 recording, 1 clip, 1 of them cut to 0.5 s as in training" in said.err
    _, rows = rows_of(
        predict(tiny_root / "far" / sound.name, "--annotations", "none", "--hop-s", "1", "--format", "json")
    )
    assert rows["start_s"].tolist() == [0, 1, 2, 3, 3.5]
    assert set(rows["label"]) == {""}
    wrong = predict(sound, "--annotations", tmp_path / "absent")
    assert (wrong.code, wrong.out) == (2, "")
    assert "there is no such folder" in wrong.err


def test_a_recording_without_events_is_cut_into_windows(predict: Callable[..., Outcome], sounds: Path) -> None:
    sound = sorted(sounds.iterdir())[0]
    sound.with_suffix(".json").write_text('{"record_annotation": "Poor Quality", "event_annotation": []}')
    assert "without annotations: 1 recording, 8 windows" in predict(sound).err


def test_bad_files_are_named_and_stop_no_other(predict: Callable[..., Outcome], sounds: Path, tmp_path: Path) -> None:
    whole, truncated, misdescribed, late, *others = sorted(sounds.iterdir())
    truncated.write_bytes(truncated.read_bytes()[:-1000])
    misdescribed.with_suffix(".txt").write_text("0 1 0\n")
    late.with_suffix(".txt").write_text("0 1 0 0\n3 9 1 0\n")
    (tmp_path / "empty").mkdir()
    said = predict(sounds, sounds / "absent.wav", tmp_path / "empty", "--format", "json")
    assert said.code == 1
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    for name in (truncated, misdescribed.with_suffix(".txt"), late, sounds / "absent.wav", tmp_path / "empty"):
        assert sum(str(name) in line or name.stem in line for line in errors) == 1, errors
    assert len(errors) == 5
    _, rows = rows_of(said)
    assert set(rows["recording"]) == {str(whole), *map(str, others)}


def test_what_is_odd_about_a_recording_is_noted(predict: Callable[..., Outcome], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "zeros.wav", np.zeros(4000), 4000)
    breath = np.random.default_rng(0).normal(0, 0.1, 32_000) * np.sin(np.pi * np.arange(32_000) / 8000) ** 2
    breath[:8000] = 0
    soundfile.write(tmp_path / "gap.wav", breath, 4000)
    said = predict(tmp_path / "zeros.wav", tmp_path / "gap.wav", "--format", "csv", "--quiet")
    assert said.code == 0
    assert f"note: {tmp_path / 'zeros.wav'}: no sound" in said.err
    assert f"note: {tmp_path / 'gap.wav'}: silence 25%; what is said of it may mean little" in said.err


def test_no_class_is_called_without_numbers(
    predict: Callable[..., Outcome], sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, *others = sorted(sounds.iterdir())
    heard = Classifier.forward

    def forward(self: Classifier, *waveforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits, probabilities = heard(self, *waveforms)
        monkeypatch.undo()  # of the first recording alone
        return logits * torch.nan, probabilities * torch.nan

    monkeypatch.setattr(Classifier, "forward", forward)
    said = predict(sounds, "--format", "json")
    assert said.code == 1
    assert f"error: {broken}: its clip at 0 s gets no numbers from the model" in said.err
    assert set(rows_of(said)[1]["recording"]) == set(map(str, others))


def test_a_short_recording_is_repeated_and_faded_as_in_training(
    predict: Callable[..., Outcome], finished: Path, sounds: Path
) -> None:
    sound = sorted(sounds.iterdir())[0]
    samples, rate = soundfile.read(sound, dtype="float32")
    short = samples[: int(0.3 * rate)]
    soundfile.write(sounds / "short.wav", short, rate, subtype="FLOAT")
    _, rows = rows_of(predict(sounds / "short.wav", "--format", "json"))
    assert rows[["start_s", "end_s"]].values.tolist() == [[0, 0.3]]

    fade = np.linspace(0, 1, 1000, dtype=np.float32)
    recording = resample(torch.from_numpy(short), rate, 16_000).numpy()
    recording[:1000] *= fade
    recording[-1000:] *= fade[::-1]
    clip = np.tile(recording, 3)[: int(CLIP_S * 16_000)]
    clip[-1000:] *= fade[::-1]
    with torch.no_grad():
        _, expected = load_classifier(Run.load(RUN, finished).choice())(torch.from_numpy(clip)[None])
    np.testing.assert_allclose(rows[PROBABILITIES], expected, atol=1e-6)


def test_what_is_written_carries_its_card(predict: Callable[..., Outcome], sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "said.csv"
    said = predict(sounds, "--out", out)
    assert (said.code, said.out) == (0, "")
    rows = pd.read_csv(out)
    assert len(rows) == 40
    assert set(rows["at"]) == {"val-bias"}
    assert (tmp_path / "said.card.md").read_text() == predict("--card").out
    table = predict(sounds).out
    assert "Not a medical device" in table
    assert "on the logit of normal, temperature" in table


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "Name recordings"),
        (["x.wav", "--format", "tabel"], "Did you mean 'table'?"),
        (["x.wav", "--select", "oracle"], "oracle:far"),
        (["x.wav", "--at", "valbias"], "Did you mean 'val-bias'?"),
        (["x.wav", "--device", "abacus"], "no such kind of device"),
    ],
)
def test_wrong_input_is_one_message(predict: Callable[..., Outcome], arguments: list[str], reason: str) -> None:
    said = predict(*arguments)
    assert (said.code, said.out) == (2, "")
    assert reason in said.err
    assert "Traceback" not in said.err


def test_a_run_that_is_not_there_is_named(predict: Callable[..., Outcome]) -> None:
    said = predict("x.wav", run="nothing")
    assert (said.code, said.out) == (2, "")
    assert "nothing: no run in" in said.err


def test_a_run_that_cannot_be_used_says_why(
    predict: Callable[..., Outcome], cli: Cli, results: Path, sounds: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    assert cli("export", "--results", results, "--out", bundle).code == 0
    without = predict(sounds, results=bundle)
    assert (without.code, without.out) == (2, "")
    assert "Bundles leave weights out" in without.err

    run = Run.load(RUN, results)
    identity = on_disk.read(run.path, "data.json")
    identity["identity"]["plugins"]["backbone:tiny"] = "0" * 64
    on_disk.write(run.path, "data.json", identity)
    assert "backbone:tiny is other code now" in predict(sounds, results=results).err

    (weights,) = (run.path / "checkpoints").glob("val-*")
    weights.write_bytes(weights.read_bytes()[:-100])
    damaged = predict(sounds, results=results)
    assert damaged.code == 2
    assert "may be incomplete" in damaged.err

    spec = on_disk.read(run.path, "spec.json")
    on_disk.write(run.path, "spec.json", {**spec, "frontend": None})
    assert "hears no sound" in predict(sounds, results=results).err
    run.folder.set_status("failed")
    assert "the run is failed" in predict(sounds, results=results).err


def test_weights_of_another_model_are_refused(predict: Callable[..., Outcome], results: Path, sounds: Path) -> None:
    run = Run.load(RUN, results)
    spec = on_disk.read(run.path, "spec.json")
    on_disk.write(run.path, "spec.json", {**spec, "backbone": {**spec["backbone"], "width": 8}})
    said = predict(sounds, results=results)
    assert said.code == 2
    assert "holds the weights of another model" in said.err


def test_without_validation_there_is_argmax_alone(cli: Cli, tiny_run: Any, sounds: Path, tmp_path: Path) -> None:
    run = tiny_run(epochs=1, validation__fraction=0, select="last")
    options = [run.path, "--results", tmp_path / "results", sounds]
    about, _ = rows_of(cli("predict", *options, "--format", "json"))
    assert (about["at"], about["temperature"], about["select"]) == ("argmax", 1, "last")
    assert "probabilities are not calibrated" in cli("predict", *options).out
    asked = cli("predict", *options, "--at", "val-bias")
    assert asked.code == 2
    assert "Say --at argmax" in asked.err


@pytest.mark.parametrize(
    ("window", "clip_s", "backbone"),
    [("zero", 1.0, "tiny_masked"), ("crop", 0.25, "tiny"), ("context:1", 1.0, "tiny")],
)
def test_clips_are_shown_as_the_run_was_shown_them(
    cli: Cli, tiny_run: Any, tiny_root: Path, sounds: Path, tmp_path: Path, window: str, clip_s: float, backbone: str
) -> None:
    run = tiny_run(epochs=1, select="last", backbone=backbone, data__window=window, data__clip_s=clip_s)
    told = ["predict", run.path, "--results", tmp_path / "results", "--at", "argmax", "--format", "json"]
    about, rows = rows_of(cli(*told, tiny_root / "far"))
    assert (about["window"], about["clip_s"]) == (window, clip_s)
    names = [Path(path).stem for path in rows["recording"]]
    rows.index = pd.Index([f"{name}:{int(2 * start)}" for name, start in zip(names, rows["start_s"], strict=True)])
    then = stored(run, "far", "last")
    temperature = on_disk.read(run.path, "metrics.json")["last"]["far"]["operating_point"]["temperature"]
    expected = softmax(then[LOGITS].to_numpy(np.float64) / temperature, axis=1)
    np.testing.assert_allclose(rows.loc[then.index, PROBABILITIES], expected, atol=1e-6)

    _, cut = rows_of(cli(*told, sounds))  # without annotations, and with the same pieces as clips
    for sound in sounds.iterdir():
        as_icbhi(sound, cut[cut["recording"] == str(sound)].assign(label="normal"))
    _, again = rows_of(cli(*told, sounds))
    pd.testing.assert_frame_equal(again[PROBABILITIES], cut[PROBABILITIES])


def test_the_length_of_clips_is_the_runs(predict: Callable[..., Outcome], sounds: Path) -> None:
    about, rows = rows_of(predict(sounds, "--format", "json"))
    assert about["clip_s"] == CLIP_S
    assert np.allclose(rows["end_s"] - rows["start_s"], CLIP_S)


def test_in_python_it_says_the_same_of_the_same(
    predict: Callable[..., Outcome], finished: Path, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, rows = rows_of(predict(sounds, "--format", "json"))
    (sounds / "noise.wav").write_bytes(b"none")
    found = rsbench.predict(RUN, sounds, results=finished)
    np.testing.assert_allclose(found.frame[PROBABILITIES], rows[PROBABILITIES], atol=1e-8)
    assert "noise.wav" in found.heard.errors[0]
    assert "noise.wav" in capsys.readouterr().err
    heat, _ = found.figure().axes
    assert len(heat.get_yticklabels()) == min(len(rows), MOST_CLIPS)
    assert [label.get_text() for label in heat.get_xticklabels()] == list(FOUR_WORDS)
