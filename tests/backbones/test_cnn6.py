"""CNN6 against PANNs' architecture, written out in plain operations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rsbench import create_backbone


def plain_cnn6(state: dict[str, Tensor], features: Tensor) -> Tensor:
    """Embeddings (B, 512) of features (B, 64, T) in evaluation, on PANNs' own layout (B, 1, T, F)."""

    def normalise(maps: Tensor, layer: str) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{layer}.{part}"][None, :, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (maps - mean) / (variance + 1e-5).sqrt() * weight + bias

    maps = normalise(features.transpose(1, 2)[:, None].transpose(1, 3), "bn0").transpose(1, 3)
    for block in range(1, 5):
        maps = F.conv2d(maps, state[f"conv_block{block}.conv1.weight"], padding=2)
        maps = F.avg_pool2d(F.relu(normalise(maps, f"conv_block{block}.bn1")), 2)
    over_time = maps.mean(dim=3)
    pooled = over_time.max(dim=2).values + over_time.mean(dim=2)
    return F.relu(pooled @ state["fc1.weight"].T + state["fc1.bias"])


def test_cnn6_is_the_published_network() -> None:
    torch.manual_seed(0)
    backbone = create_backbone("cnn6", 64, 100)
    state = {
        name: torch.rand_like(tensor) + 0.5 if "bn" in name and tensor.ndim else tensor
        for name, tensor in backbone.state_dict().items()
    }
    backbone.load_state_dict(state)
    features = torch.randn(3, 64, 100)
    torch.testing.assert_close(backbone.eval()(features), plain_cnn6(state, features), rtol=1e-4, atol=1e-4)


def test_dropout_follows_the_seed_of_torch_alone() -> None:
    backbone = create_backbone("cnn6", 64, 32)
    features = torch.randn(2, 64, 32)
    torch.manual_seed(3)
    first = backbone(features)
    torch.manual_seed(3)
    assert torch.equal(first, backbone(features))
    assert not torch.equal(first, backbone(features))
