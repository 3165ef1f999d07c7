"""QLung's margins, its ablation and its limits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rsbench import AngularLoss, Batch, RsbenchError, create_loss

ICBHI_TRAIN = (2063, 1215, 501, 363)
UNIFORM = (10, 10, 10, 10)
DIM = 5

ABLATION = {
    "ce": {"classifier": "linear", "dfam_lambda": 0.0},
    "fixed margin": {"classifier": "linear", "by_quality": "none", "by_class": "constant"},
    "quality margin": {"classifier": "linear", "by_class": "none"},
    "imbalance margin": {"classifier": "linear"},
    "angular classifier": {},
}


def make_qlung(counts: tuple[int, ...] = ICBHI_TRAIN, **options: Any) -> AngularLoss:
    torch.manual_seed(0)
    loss = create_loss("qlung", DIM, counts, **options)
    assert isinstance(loss, AngularLoss)
    return loss


def make_batch(labels: Tensor, quality: Tensor) -> Batch:
    return Batch(labels, quality, torch.zeros(len(labels)), torch.zeros(len(labels)))


def margins_of(loss: AngularLoss, batch: Batch) -> Tensor:
    angle_rad, additive = loss.target_margin(batch, torch.zeros(len(batch.labels)))
    assert additive == 0.0
    return torch.as_tensor(angle_rad).expand(len(batch.labels))


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    return make_batch(torch.randint(4, (12,), generator=generator), torch.rand(12, generator=generator))


@pytest.fixture
def embeddings() -> Tensor:
    return torch.randn(12, DIM, generator=torch.Generator().manual_seed(2))


def test_imbalance_margins_of_icbhi() -> None:
    every_class = make_batch(torch.arange(4), torch.ones(4))
    margins = margins_of(make_qlung(by_quality="none"), every_class)
    np.testing.assert_allclose(margins, [0.10056, 0.17694, 0.30474, 0.35123], atol=5e-6)


def test_largest_margin_on_icbhi() -> None:
    best_recordings = make_batch(torch.arange(4), torch.ones(4))
    assert margins_of(make_qlung(), best_recordings).max().item() == pytest.approx(0.42561, abs=5e-6)


def test_uniform_prior_gives_every_class_the_target_margin() -> None:
    margins = margins_of(
        make_qlung(UNIFORM, by_quality="none", target_rad=0.3), make_batch(torch.arange(4), torch.ones(4))
    )
    np.testing.assert_allclose(margins, 0.3, rtol=1e-12)


def test_margin_grows_with_quality_alone_when_asked() -> None:
    quality = torch.tensor([0.0, 0.25, 0.5, 1.0])
    margins = margins_of(make_qlung(by_class="none", kappa_rad=0.4), make_batch(torch.tensor([3, 0, 1, 2]), quality))
    torch.testing.assert_close(margins.float(), 0.4 * quality)


@pytest.mark.parametrize(("alone", "gamma"), [({"by_class": "none"}, 1.0), ({"by_quality": "none"}, 0.0)])
def test_a_term_alone_is_the_end_of_the_blend(alone: dict[str, str], gamma: float, batch: Batch) -> None:
    blend = margins_of(make_qlung(gamma=gamma), batch)
    torch.testing.assert_close(margins_of(make_qlung(**alone), batch), blend, check_dtype=False)


@pytest.mark.parametrize("class_weights", ["none", "inverse"])
def test_its_fixed_margin_is_the_loss_of_that_name(class_weights: str, batch: Batch, embeddings: Tensor) -> None:
    qlung = make_qlung(by_quality="none", by_class="constant", target_rad=0.3, class_weights=class_weights)
    torch.manual_seed(0)
    fixed = create_loss("fixed_margin", DIM, ICBHI_TRAIN, m_rad=0.3, class_weights=class_weights)
    assert torch.equal(qlung(embeddings, batch), fixed(embeddings, batch))


def test_without_quality_and_under_a_uniform_prior_it_is_fixed_margin(batch: Batch, embeddings: Tensor) -> None:
    qlung = make_qlung(UNIFORM, gamma=0.0)
    torch.manual_seed(0)
    fixed = create_loss("fixed_margin", DIM, UNIFORM, m_rad=0.2)
    torch.testing.assert_close(qlung(embeddings, batch), fixed(embeddings, batch))


def test_margins_follow_their_clips_through_a_permutation(batch: Batch, embeddings: Tensor) -> None:
    loss = make_qlung()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    moved = make_batch(batch.labels[order], batch.quality[order])
    torch.testing.assert_close(margins_of(loss, moved), margins_of(loss, batch)[order])
    torch.testing.assert_close(loss(embeddings[order], moved), loss(embeddings, batch))


def test_quality_of_another_clip_changes_the_loss(batch: Batch, embeddings: Tensor) -> None:
    loss = make_qlung()
    shuffled = make_batch(batch.labels, batch.quality.roll(1))
    assert not torch.isclose(loss(embeddings, batch), loss(embeddings, shuffled))


def test_first_row_of_the_ablation_is_plain_cross_entropy(batch: Batch, embeddings: Tensor) -> None:
    loss = make_qlung(**ABLATION["ce"])
    expected = nn.functional.cross_entropy(embeddings @ loss.weight.T, batch.labels)  # the bias starts at 0
    torch.testing.assert_close(loss(embeddings, batch), expected)


def test_rows_of_the_ablation_are_five_different_losses(batch: Batch, embeddings: Tensor) -> None:
    values = [make_qlung(**options)(embeddings, batch).item() for options in ABLATION.values()]
    assert len({round(value, 6) for value in values}) == len(ABLATION)


@pytest.mark.parametrize("row", [row for row in ABLATION if row != "angular classifier"])
def test_linear_rows_are_scored_by_a_linear_layer(row: str, embeddings: Tensor) -> None:
    loss = make_qlung(**ABLATION[row])
    torch.testing.assert_close(loss.logits(2 * embeddings), 2 * loss.logits(embeddings))
    angular = make_qlung()
    torch.testing.assert_close(angular.logits(2 * embeddings), angular.logits(embeddings))


def test_angular_logits_are_scaled_cosines(embeddings: Tensor) -> None:
    loss = make_qlung()
    expected = 37 * nn.functional.cosine_similarity(embeddings[:, None], loss.weight[None], dim=2)
    torch.testing.assert_close(loss.logits(embeddings), expected)


def test_own_dfam_weights_leave_the_classifier_alone(batch: Batch, embeddings: Tensor) -> None:
    shared, own = make_qlung(classifier="linear"), make_qlung(classifier="linear", dfam_weights="own")
    assert torch.equal(shared.weight, own.weight)
    without_dfam = make_qlung(classifier="linear", dfam_lambda=0.0)
    gradients = []
    for loss in (shared, own, without_dfam):
        loss(embeddings, batch).backward()
        gradients.append(loss.weight.grad)
    assert torch.equal(gradients[1], gradients[2])
    assert not torch.equal(gradients[0], gradients[2])


def test_class_weights_enter_the_classification_term_only(batch: Batch, embeddings: Tensor) -> None:
    inverse = 1 / torch.tensor(ICBHI_TRAIN, dtype=torch.float32)
    plain, weighted = make_qlung(), make_qlung(class_weights="inverse")
    logits = plain.logits(embeddings)
    change = nn.functional.cross_entropy(logits, batch.labels, inverse) - nn.functional.cross_entropy(
        logits, batch.labels
    )
    torch.testing.assert_close(weighted(embeddings, batch) - plain(embeddings, batch), change)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("kappa_rad", -0.1),
        ("kappa_rad", math.pi),
        ("gamma", 1.1),
        ("scale", 0.0),
        ("dfam_lambda", -1.0),
        ("by_quality", "loudness"),
        ("classifier", "cosine"),
        ("kapa_rad", 0.5),
        ("target_rad", float("nan")),
    ],
)
def test_options_out_of_range_are_named(option: str, value: object) -> None:
    with pytest.raises(RsbenchError, match=rf"loss\.{option}.*'qlung'"):
        make_qlung(**{option: value})
