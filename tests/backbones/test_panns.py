"""PANNs' networks against their architecture written out in plain operations, and their checkpoints' layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from rsbench import create_backbone, create_loss
from rsbench.conformance.backbones import unheard_frames_change_nothing
from rsbench.conformance.checks import Case
from rsbench.core.errors import SpecError, WeightsError
from rsbench.core.weights import find_weights, load_weights
from rsbench.training.predict import Model

BLOCKS = {"cnn6": 4, "cnn10": 4, "cnn14": 6}


def plain_panns(name: str, state: dict[str, Tensor], features: Tensor) -> Tensor:
    """Embeddings of features (B, 64, T) in evaluation, on PANNs' own layout (B, 1, T, F)."""

    def normalise(maps: Tensor, layer: str) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{layer}.{part}"][None, :, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (maps - mean) / (variance + 1e-5).sqrt() * weight + bias

    maps = normalise(features.transpose(1, 2)[:, None].transpose(1, 3), "bn0").transpose(1, 3)
    for block in range(1, BLOCKS[name] + 1):
        for layer in (1,) if name == "cnn6" else (1, 2):
            maps = F.conv2d(maps, state[f"conv_block{block}.conv{layer}.weight"], padding=2 if name == "cnn6" else 1)
            maps = F.relu(normalise(maps, f"conv_block{block}.bn{layer}"))
        if block < 6:  # CNN14's last block pools 1 × 1
            maps = F.avg_pool2d(maps, 2)
    over_time = maps.mean(dim=3)
    pooled = over_time.max(dim=2).values + over_time.mean(dim=2)
    return F.relu(pooled @ state["fc1.weight"].T + state["fc1.bias"])


@pytest.mark.parametrize("name", BLOCKS)
def test_it_is_the_published_network(name: str) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(name, 64, 100)
    state = {
        name: torch.rand_like(tensor) + 0.5 if "bn" in name and tensor.ndim else tensor
        for name, tensor in backbone.state_dict().items()
    }
    backbone.load_state_dict(state)
    features = torch.randn(2, 64, 100)
    torch.testing.assert_close(backbone.eval()(features), plain_panns(name, state, features), rtol=1e-4, atol=1e-4)


def test_pooling_over_heard_frames_hears_nothing_else() -> None:
    case = Case("backbone", "cnn6", (("pool_over", "heard"),))
    unheard_frames_change_nothing(case)
    features, everywhere = torch.randn(2, 64, 100), torch.ones(2, 100, dtype=torch.bool)
    torch.manual_seed(0)
    masked = create_backbone("cnn6", 64, 100, pool_over="heard").eval()
    torch.testing.assert_close(masked(features, everywhere), masked(features))
    halves = masked(features, torch.arange(100).expand(2, 100) < 48)
    assert not torch.allclose(halves, masked(features), rtol=1e-3)
    with pytest.raises(SpecError, match="PatchMixCL mixes clips, and Cnn6 is told which frames .* Choose another loss"):
        Model(masked, create_loss("patchmix_cl", masked.embedding_dim, (4, 3, 2, 1)))


def published(state: dict[str, Tensor], **beside: Any) -> dict[str, Any]:
    """A file as PANNs' authors save it: the whole system's tensors, and the state of training beside them."""
    system = {
        "spectrogram_extractor.stft.conv_real.weight": torch.zeros(513, 1, 1024),
        "logmel_extractor.melW": torch.zeros(513, 64),
        "fc_audioset.weight": torch.zeros(527, 512),
        "fc_audioset.bias": torch.zeros(527),
    }
    return {"iteration": 600_000, "model": state | system, **beside}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("beside", [{}, {"sampler": {"indexes": np.arange(9), "pointer": np.int64(4)}}])
def test_a_published_file_fills_every_tensor(beside: dict[str, Any], legacy: bool, tmp_path: Path) -> None:
    given = create_backbone("cnn6", 64, 32).state_dict()
    path = tmp_path / "Cnn6.pth"
    torch.save(published(given, **beside), path, _use_new_zipfile_serialization=not legacy)
    backbone = create_backbone("cnn6", 64, 32)
    assert load_weights(backbone, find_weights(str(path), (), [])) == 1.0
    assert all(torch.equal(given[name], tensor) for name, tensor in backbone.state_dict().items())


def test_the_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "Cnn10.pth"
    torch.save(published(create_backbone("cnn10", 64, 32).state_dict()), path)
    with pytest.raises(
        WeightsError, match=r"does not fit Cnn6: tensor 'conv_block1\.conv1\.weight' is \(64, 1, 3, 3\)"
    ):
        load_weights(create_backbone("cnn6", 64, 32), find_weights(str(path), (), []))


def test_dropout_follows_the_seed_of_torch_alone() -> None:
    backbone = create_backbone("cnn6", 64, 32)
    features = torch.randn(2, 64, 32)
    torch.manual_seed(3)
    first = backbone(features)
    torch.manual_seed(3)
    assert torch.equal(first, backbone(features))
    assert not torch.equal(first, backbone(features))
