"""`rsbench export-model`: the file says what the run says, and is kept only then."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import on_disk
import onnx
import onnxruntime
import pytest
import torch
from scipy.special import softmax
from tiny import CLIP_S, Cli
from torch import Tensor

from rsbench import Backbone, Frontend, create_loss
from rsbench.core.errors import ExportFailed
from rsbench.data.clips import FOUR_WORDS
from rsbench.evaluation.operating_point import OperatingPoint
from rsbench.features.frontends import create_frontend
from rsbench.inference import onnx_file
from rsbench.inference.classifier import Classifier, load_classifier
from rsbench.inference.onnx_file import check_sounds
from rsbench.results.run import Run
from rsbench.training.predict import Model

RUN = "qlung-tiny-s0"


def test_the_file_says_what_the_run_says(cli: Cli, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    said = cli("export-model", RUN, "--results", finished, "--out", out)
    assert said.code == 0, said.err
    session = onnxruntime.InferenceSession(out)
    run = Run.load(RUN, finished)
    classifier = load_classifier(run.choice())
    point = on_disk.read(run.path, "metrics.json")["val"]["far"]["operating_point"]
    for clips in (1, 4, 9):
        waveforms = torch.randn(clips, int(CLIP_S * 16_000), generator=torch.Generator().manual_seed(clips)) / 8
        logits, probabilities = session.run(["logits", "probabilities"], {"waveforms": waveforms.numpy()})
        with torch.no_grad():
            expected = classifier.model.loss.logits(classifier.model.backbone(classifier.frontend(waveforms)))
        np.testing.assert_allclose(logits, expected, atol=1e-4)
        shifted = logits + np.eye(len(FOUR_WORDS))[0] * point["normal_offset"]
        np.testing.assert_allclose(probabilities, softmax(shifted / point["temperature"], axis=1), atol=1e-5)

    about = session.get_modelmeta().custom_metadata_map
    assert about["run"] == run.run_id
    assert about["classes"] == ",".join(FOUR_WORDS)
    assert (int(about["rate_hz"]), float(about["clip_s"])) == (16_000, CLIP_S)
    assert (float(about["normal_offset"]), float(about["temperature"])) == (
        point["normal_offset"],
        point["temperature"],
    )
    assert json.loads(about["frontend"])["name"] == "kaldi-fbank"
    card = (tmp_path / "model.card.md").read_text()
    assert "float32 (clips, 8000), mono in [−1, 1] at 16000 Hz" in card
    assert "A clip is 0.5 s: longer ones are cut, shorter ones repeated. As in training" in card
    assert "Not a medical device" in card


class Averaging(Backbone):
    """The first bins of the features, over time."""

    frontend = Frontend("kaldi-fbank")
    embedding_dim = 8

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=2)[:, :8]


class Counting(Averaging):
    """Counts its clips with len, which an exporter takes for a constant."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + torch.ones(1, 8).expand(len(features), -1)


def classifier_on(frontend_name: str, backbone: type[Backbone]) -> Classifier:
    """An untrained one that hears half a second."""
    frontend = create_frontend(frontend_name)
    model = Model(backbone(frontend.n_mels, 1), create_loss("arcface", 8, (4, 3, 2, 1)))
    return Classifier(frontend, model, OperatingPoint(-0.5, 2.0), CLIP_S).eval()


def test_a_front_end_with_torchs_own_transform_is_exported() -> None:
    """kaldi-fbank, which frames clips itself, is the one of the test above."""
    classifier = classifier_on("efficientat-mel", Averaging)
    content = onnx_file._traced(classifier).SerializeToString()
    assert onnx_file._largest_difference(content, classifier) < onnx_file.TOLERANCE
    classifier.model.loss.scale *= 1.01
    assert onnx_file._largest_difference(content, classifier) > onnx_file.TOLERANCE


def test_a_backbone_that_counts_its_clips_is_told_how_not_to() -> None:
    with pytest.raises(ExportFailed, match=r"must say features\.shape\[0\]"):
        onnx_file._traced(classifier_on("kaldi-fbank", Counting))


@pytest.mark.parametrize("difference", [0.001, math.nan])
def test_a_file_that_differs_is_not_kept(
    cli: Cli, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, difference: float
) -> None:
    monkeypatch.setattr(onnx_file, "_traced", lambda classifier: onnx.ModelProto())
    monkeypatch.setattr(onnx_file, "_largest_difference", lambda content, classifier: difference)
    said = cli("export-model", RUN, "--results", finished, "--out", tmp_path / "model.onnx")
    assert said.code == 1
    assert "Nothing was kept" in said.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(cli: Cli, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["export-model", RUN, "--results", finished, "--out"]
    wrong = cli(*arguments, tmp_path / "model.pt")
    assert (wrong.code, wrong.out) == (2, "")
    assert "ends in .onnx" in wrong.err
    monkeypatch.setattr(onnx_file.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else name)
    without = cli(*arguments, tmp_path / "model.onnx")
    assert without.code == 2
    assert "pip install 'rsbench[export]'" in without.err


def test_check_sounds_are_of_many_kinds() -> None:
    sounds = check_sounds(5, 16_000)
    levels = sounds.square().mean(dim=1).sqrt()
    assert sounds.abs().max() <= 1
    assert levels[-1] == 0
    assert levels[0] > 50 * levels[-2] > 0
