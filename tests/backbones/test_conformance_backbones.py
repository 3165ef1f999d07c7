"""What every registered backbone must do, each at its smallest size."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Backbone, RsbenchError, create_backbone, list_backbones
from rsbench.backbone import BACKBONES
from rsbench.signal.frontends import create_frontend

FRAMES = 32

each_backbone = pytest.mark.parametrize("name", list_backbones())


def smallest(name: str) -> dict[str, Any]:
    """The options that `smaller` names: "backbone.size=tiny" as {"size": "tiny"}."""
    key, _, value = BACKBONES.entry(name).value.smaller.removeprefix("backbone.").partition("=")
    return {key: value} if key else {}


@functools.cache
def bins(name: str) -> int:
    frontend = BACKBONES.entry(name).value.frontend
    return create_frontend(frontend.name, **frontend.params).n_mels


def build(name: str, n_frames: int = FRAMES, seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    return create_backbone(name, bins(name), n_frames, **smallest(name))


def clips(name: str, count: int, n_frames: int = FRAMES) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(count, bins(name), n_frames, generator=generator)


@each_backbone
@pytest.mark.parametrize("n_frames", [16, 37, 64])
def test_embeddings_have_their_shape_for_any_length(name: str, n_frames: int) -> None:
    backbone = build(name, n_frames).eval()
    embeddings = backbone(clips(name, 2, n_frames))
    assert embeddings.shape == (2, backbone.embedding_dim)
    assert embeddings.isfinite().all()
    assert not torch.equal(embeddings[0], embeddings[1])


@each_backbone
def test_gradients_are_finite_and_reach_every_parameter(name: str) -> None:
    backbone = build(name)
    optimiser = torch.optim.SGD(backbone.parameters(), lr=1e-2)
    for _ in range(2):  # ResNet's branches start at 0, so that only the second step reaches into them
        optimiser.zero_grad()
        backbone(clips(name, 3)).square().sum().backward()
        optimiser.step()
    for parameter_name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


@each_backbone
def test_a_clip_alone_is_the_clip_in_a_batch(name: str) -> None:
    backbone = build(name).eval()
    batch = clips(name, 3)
    torch.testing.assert_close(backbone(batch[1:2])[0], backbone(batch)[1], rtol=1e-4, atol=1e-5)


@each_backbone
def test_the_seed_decides_the_weights_and_a_checkpoint_restores_them(name: str) -> None:
    batch = clips(name, 2)
    first, same, other = build(name).eval(), build(name).eval(), build(name, seed=1).eval()
    assert torch.equal(first(batch), same(batch))
    assert not torch.equal(first(batch), other(batch))
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(batch), other(batch))


@each_backbone
def test_features_are_left_as_they_are(name: str) -> None:
    batch = clips(name, 2)
    kept = batch.clone()
    build(name)(batch)
    assert torch.equal(batch, kept)


@each_backbone
def test_bfloat16_autocast_is_close_to_float32(name: str) -> None:
    backbone = build(name).eval()
    batch = clips(name, 2)
    exact = backbone(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = backbone(batch)
    assert F.cosine_similarity(rough.float(), exact).min() > 0.98


@each_backbone
def test_it_overfits_eight_clips(name: str) -> None:
    backbone, batch = build(name), clips(name, 8)
    labels = torch.arange(8) % 4
    classifier = nn.Linear(backbone.embedding_dim, 4)
    optimiser = torch.optim.Adam([*backbone.parameters(), *classifier.parameters()], lr=1e-3)
    losses = []
    for _ in range(10):
        loss = F.cross_entropy(classifier(backbone(batch)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-2:]) / 2 < 0.5 * losses[0]


@each_backbone
def test_what_it_declares_exists(name: str) -> None:
    entry = BACKBONES.entry(name)
    assert entry.summary
    assert entry.paper
    assert entry.value.recipe["lr"] > 0
    for weights in entry.value.public_weights:
        assert len(weights.sha256) == 64
        assert weights.licence
        assert weights.pretrained_on


@pytest.mark.parametrize("name", ["ast", "cnn6"])
def test_too_few_frames_are_an_error_that_names_the_remedy(name: str) -> None:
    with pytest.raises(RsbenchError, match=r"at least 16 .* 128 × 15.*data\.clip_s"):
        create_backbone(name, 128, 15)


def test_sizes_of_resnet() -> None:
    widths = {size: create_backbone("resnet", 32, 32, size=size).embedding_dim for size in (18, 34, 50)}
    features = torch.zeros(1, 32, 32)
    assert create_backbone("resnet", 32, 32, size=50).eval()(features).shape == (1, widths[50])
    assert widths == {18: 512, 34: 512, 50: 2048}
