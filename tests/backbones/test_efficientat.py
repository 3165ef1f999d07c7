"""EfficientAT: what it changed in torchvision's network, and what the weights of mn04 hear."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch
from torch import nn
from torchaudio.functional import resample
from torchvision.ops import SqueezeExcitation

from rsbench import create_backbone
from rsbench.core.weights import find_weights, load_weights
from rsbench.features.frontends import create_frontend

HEART_SOUNDS = 64  # of AudioSet's 527 classes: "Heart sounds, heartbeat"


def test_gates_are_sigmoids() -> None:
    backbone = create_backbone("mn04", 128, 64)
    gates = [module for module in backbone.modules() if isinstance(module, SqueezeExcitation)]
    assert len(gates) == 8
    for gate in gates:
        maps = torch.randn(2, gate.fc1.in_channels, 3, 5)
        squeezed = maps.mean(dim=(2, 3)) @ gate.fc1.weight.flatten(1).T + gate.fc1.bias
        weights = torch.sigmoid(squeezed.relu() @ gate.fc2.weight.flatten(1).T + gate.fc2.bias)
        torch.testing.assert_close(gate(maps), maps * weights[:, :, None, None])


def test_batch_norm_has_efficientats_constants() -> None:
    backbone = create_backbone("mn04", 128, 64)
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 1e-2)}


def test_with_its_weights_and_audiosets_classifier_it_hears_a_stethoscope(real_root: Path) -> None:
    path = real_root / "weights" / "mn04_as_mAP_432.pt"
    if not path.is_file():
        pytest.skip(f"no {path.name} at {path.parent}")
    frontend = create_frontend("efficientat-mel")
    files = sorted(real_root.glob("sprsound/BioCAS2022/test2022_wav/*"))[::60]
    clips = []
    for file in files:
        samples, rate = soundfile.read(file, dtype="float32")
        recording = resample(torch.from_numpy(samples), rate, frontend.rate)
        clips.append(recording[torch.arange(5 * frontend.rate) % len(recording)])
    features = frontend(torch.stack(clips))
    backbone = create_backbone("mn04", *features.shape[1:]).eval()
    load_weights(backbone, find_weights("audioset", backbone.published_weights(), [path.parent]))
    classifier = torch.load(path, weights_only=True)
    with torch.no_grad():
        logits = backbone(features) @ classifier["classifier.5.weight"].T + classifier["classifier.5.bias"]
    assert logits.sigmoid().mean(dim=0).argmax() == HEART_SOUNDS


@pytest.mark.parametrize(
    ("name", "tensors", "million"), [("mn04", 312, 0.983), ("mn10", 312, 4.88), ("mn40", 312, 68.43)]
)
def test_it_has_the_published_number_of_parameters(name: str, tensors: int, million: float) -> None:
    with torch.device("meta"):
        backbone = create_backbone(name, 128, 64)
    classifier = 527 * (backbone.embedding_dim + 1)
    parameters = sum(parameter.numel() for parameter in backbone.parameters()) + classifier
    assert abs(parameters / 1e6 - million) < 0.01
    assert len(backbone.state_dict()) + 2 == tensors
