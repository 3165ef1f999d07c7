"""Losses that compare clips: against loops over pairs and others' code, and through the loop that mixes and doubles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from by_hand import BATCH, DIM, LABELS, cosine, cross_entropy, make_loss
from pytorch_metric_learning import losses as pml
from rsbench.losses._contrast import contrast
from torch import Tensor, nn

from rsbench import Batch, RsbenchError


def make_views(seed: int = 1) -> Tensor:
    """Two views of nine clips, view-major."""
    return torch.randn(18, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def small_batch(labels: Tensor) -> Batch:
    return Batch(labels, torch.ones(len(labels)), labels, labels)


def classified(loss: Any, embeddings: Tensor, labels: list[int]) -> float:
    scores = loss.logits(embeddings).detach().numpy()
    return float(np.mean([cross_entropy(row, label) for row, label in zip(scores, labels, strict=True)]))


def test_supcon_is_its_formula() -> None:
    loss: Any = make_loss("supcon", alpha=0.3, temperature=0.2)
    views, labels = make_views(), LABELS.tolist() * 2
    projections = loss.head(views).detach().numpy()
    of_anchor = []
    for i in range(18):
        others = [k for k in range(18) if k != i]
        whole = math.log(sum(math.exp(cosine(projections[i], projections[k]) / 0.2) for k in others))
        positives = [k for k in others if labels[k] == labels[i]]
        of_anchor.append(np.mean([whole - cosine(projections[i], projections[k]) / 0.2 for k in positives]))
    expected = 0.3 * classified(loss, views, labels) + 0.7 * np.mean(of_anchor)
    assert loss(views, BATCH).item() == pytest.approx(expected, rel=1e-9)


def test_supcon_alone_agrees_with_pytorch_metric_learning() -> None:
    loss: Any = make_loss("supcon", alpha=0.0, temperature=0.1)
    loss.head = nn.Identity()
    views = make_views().requires_grad_()
    value, expected = loss(views, BATCH), pml.SupConLoss(temperature=0.1)(views, LABELS.repeat(2))
    torch.testing.assert_close(value, expected)
    gradient, expected_gradient = (torch.autograd.grad(v, views)[0] for v in (value, expected))
    torch.testing.assert_close(gradient, expected_gradient)


def test_without_contrast_they_are_cross_entropy() -> None:
    plain, views = make_loss("ce"), make_views()
    supcon, patchmix = make_loss("supcon", alpha=1.0), make_loss("patchmix_cl", alpha=0.0)
    torch.testing.assert_close(supcon(views, BATCH), plain(views, replace(BATCH, labels=LABELS.repeat(2))))
    torch.testing.assert_close(patchmix(views, BATCH), plain(views[:9], BATCH))


@pytest.mark.parametrize("name", ["supcon", "patchmix_cl"])
@pytest.mark.parametrize("labels", [[2], [0, 1, 2, 3], [1, 1]])
def test_few_clips_give_a_number_and_a_slope(name: str, labels: list[int]) -> None:
    """Each alone in its class, all of one, and a single one."""
    loss = make_loss(name)
    views = torch.randn(2 * len(labels), DIM, dtype=torch.float64, requires_grad=True)
    value = loss(views, small_batch(torch.tensor(labels)))
    value.backward()
    assert torch.isfinite(value)
    assert views.grad is not None
    assert torch.isfinite(views.grad).all()


def test_an_anchor_without_positive_is_left_out() -> None:
    similarity = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    positives = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.25, 0.75, 0.0]])
    log_share = similarity.log_softmax(dim=1)
    first, third = (
        -(log_share[0, 1] + log_share[0, 2]) / 2,
        -(0.25 * log_share[2, 0] + 0.75 * log_share[2, 1]),
    )
    torch.testing.assert_close(contrast(similarity, positives), (first + third) / 2)
    nothing = contrast(similarity, torch.zeros(3, 3))
    nothing.backward()
    assert nothing == 0
    assert torch.equal(similarity.grad, torch.zeros(3, 3, dtype=torch.float64))


def test_patchmix_contrast_is_its_formula() -> None:
    loss: Any = make_loss("patchmix_cl", alpha=0.8, temperature=0.2)
    views = make_views().requires_grad_()
    partner = torch.tensor([3, 1, 0, 2, 5, 4, 8, 6, 7])  # the second is its own partner
    mixed = replace(BATCH, partner=partner, share=torch.full((9,), 0.7))
    projections = loss.head(views[9:]).detach().numpy()
    clips = views[:9].detach().numpy()
    of_mixture = []
    for i in range(9):
        exponents = [cosine(projections[i], clip) / 0.2 for clip in clips]
        whole = math.log(sum(map(math.exp, exponents)))
        of_mixture.append(0.7 * (whole - exponents[i]) + 0.3 * (whole - exponents[partner[i]]))
    expected = classified(loss, views[:9], LABELS.tolist()) + 0.8 * np.mean(of_mixture)
    value = loss(views, mixed)
    assert value.item() == pytest.approx(expected, rel=1e-6)
    (plain,) = torch.autograd.grad(make_loss("ce")(views[:9], BATCH), views)
    torch.testing.assert_close(torch.autograd.grad(value, views)[0][:9], plain[:9])  # the clips are not drawn by it


def spectrograms(clips: int, n_mels: int = 40, frames: int = 50) -> Tensor:
    """Each clip's number in every bin, so that one sees where a bin came from."""
    return torch.arange(clips, dtype=torch.float32)[:, None, None].expand(clips, n_mels, frames).repeat(2, 1, 1)


def test_patches_are_mixed_whole_and_their_share_is_counted() -> None:
    loss: Any = make_loss("patchmix_cl")
    features = spectrograms(4)
    mixed, batch = loss.mix(features, small_batch(torch.arange(4)), torch.Generator().manual_seed(3))
    assert mixed.shape == features.shape
    assert torch.equal(mixed[:4], features[:4])
    foreign = mixed[4:] == batch.partner[:, None, None]
    own = mixed[4:] == torch.arange(4)[:, None, None]
    assert (foreign | own).all()
    moved = [clip for clip in range(4) if batch.partner[clip] != clip]
    assert moved
    pattern = foreign[moved[0]]
    for clip in moved:
        assert torch.equal(foreign[clip], pattern)  # the same patches for the whole batch
    assert 1 - pattern.float().mean() == pytest.approx(batch.share[0].item())
    for row in range(0, 40, 16):
        for column in range(0, 50, 16):
            assert len(pattern[row : row + 16, column : column + 16].unique()) == 1
    assert sorted(batch.partner.tolist()) == [0, 1, 2, 3]


def test_mixtures_follow_from_the_generator_alone() -> None:
    loss: Any = make_loss("patchmix_cl")
    batch = small_batch(torch.arange(4))
    shares = []
    for seed in range(200):
        torch.manual_seed(seed)
        first, told = loss.mix(spectrograms(4), batch, torch.Generator().manual_seed(seed))
        torch.manual_seed(0)
        again, _ = loss.mix(spectrograms(4), batch, torch.Generator().manual_seed(seed))
        assert torch.equal(first, again)
        shares.append(told.share[0].item())
    assert 0.4 < np.mean(shares) < 0.6  # drawn evenly
    assert min(shares) < 0.15
    assert max(shares) > 0.85


@pytest.mark.parametrize("name", ["supcon", "patchmix_cl"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    loss: Any = make_loss(name, temperature=0.5, alpha=0.5).eval()  # running statistics stand still
    parameters = [loss.head[-1].weight, *loss.classifier.parameters()]
    views = make_views()
    assert torch.autograd.gradcheck(lambda *_: loss(views, BATCH), parameters)


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("loss", ["supcon", "patchmix_cl", "gcl", "elasticface"])
def test_a_run_that_draws_or_doubles_is_the_same_again(
    tiny_run: Callable[..., Any], tmp_path: Path, loss: str, accumulate: int
) -> None:
    settings = {"loss": loss, "optim__epochs": 1, "optim__accumulate": accumulate, "optim__batch_size": 12}
    first, again = (tiny_run(out=tmp_path / name, **settings) for name in ("one", "other"))
    assert first.run_id == again.run_id
    one, other = (pd.read_parquet(run.path / "predictions" / "tiny.parquet") for run in (first, again))
    pd.testing.assert_frame_equal(one, other)


def test_embeddings_have_no_patches() -> None:
    loss = make_loss("patchmix_cl")
    with pytest.raises(RsbenchError, match=r"'patchmix_cl' mixes patches of spectrograms.*choose loss 'supcon'"):
        loss.mix(torch.randn(8, DIM), small_batch(torch.arange(4)), torch.Generator())
