"""Each loss against somebody else's code, and against float64 loops that follow the papers clip by clip."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import (
    BATCH,
    COUNTS,
    DIM,
    LABELS,
    PRIORS,
    QUALITY,
    cosines_of,
    cross_entropy,
    make_embeddings,
    make_loss,
    turned,
    with_target,
)
from pytorch_metric_learning import losses as pml

from rsbench import AngularLoss, inverse_frequency

# A clip's two terms: the cross-entropy that class weights count, and what they leave alone.
ClipLoss = Callable[[np.ndarray, int, float], tuple[float, float]]


def arcface_clip(cosines: np.ndarray, label: int, quality: float) -> tuple[float, float]:
    return cross_entropy(64 * with_target(cosines, label, turned(cosines[label], 0.5)), label), 0.0


def easy_arcface_clip(cosines: np.ndarray, label: int, quality: float) -> tuple[float, float]:
    if cosines[label] > 0:
        return arcface_clip(cosines, label, quality)
    return cross_entropy(64 * cosines, label), 0.0


def cosface_clip(cosines: np.ndarray, label: int, quality: float) -> tuple[float, float]:
    return cross_entropy(64 * with_target(cosines, label, cosines[label] - 0.35), label), 0.0


def normalised_clip(cosines: np.ndarray, label: int, quality: float) -> tuple[float, float]:
    return cross_entropy(30 * cosines, label), 0.0


def two_terms(cosines: np.ndarray, label: int, margin_rad: float) -> tuple[float, float]:
    margined = with_target(cosines, label, turned(cosines[label], margin_rad))
    return cross_entropy(37 * cosines, label), 0.4 * cross_entropy(15 * margined, label)


def fixed_margin_clip(cosines: np.ndarray, label: int, quality: float) -> tuple[float, float]:
    return two_terms(cosines, label, 0.2)


def qlung_clip(cosines: np.ndarray, label: int, quality: float) -> tuple[float, float]:
    imbalance_rad = 0.2 / math.log(4) * -math.log(PRIORS[label])
    return two_terms(cosines, label, 0.5 * (0.5 * quality) + 0.5 * imbalance_rad)


@pytest.mark.parametrize("class_weights", ["none", "inverse"])
@pytest.mark.parametrize(
    ("name", "options", "clip_loss"),
    [
        ("arcface", {}, arcface_clip),
        ("arcface", {"easy_margin": True}, easy_arcface_clip),
        ("cosface", {}, cosface_clip),
        ("normalised_softmax", {}, normalised_clip),
        ("fixed_margin", {}, fixed_margin_clip),
        ("qlung", {}, qlung_clip),
    ],
)
def test_angular_loss_is_the_mean_of_its_formula(
    name: str, options: dict[str, Any], clip_loss: ClipLoss, class_weights: str
) -> None:
    loss = make_loss(name, class_weights=class_weights, **options)
    assert isinstance(loss, AngularLoss)
    embeddings = make_embeddings(loss)
    by_hand = [
        clip_loss(cosines_of(loss, embedding), int(label), float(quality))
        for embedding, label, quality in zip(embeddings.numpy(), LABELS, QUALITY, strict=True)
    ]
    counted, left_alone = np.transpose(by_hand)
    weights = [1 / COUNTS[label] if class_weights == "inverse" else 1.0 for label in LABELS]
    expected = np.average(counted, weights=weights) + np.mean(left_alone)
    assert loss(embeddings, BATCH).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weights", ["none", "inverse"])
def test_ce_is_its_formula(class_weights: str, smoothing: float) -> None:
    loss = make_loss("ce", class_weights=class_weights, smoothing=smoothing)
    embeddings = make_embeddings(loss)
    inverse = 1 / np.array(COUNTS) if class_weights == "inverse" else np.ones(4)
    weighted, total = 0.0, 0.0
    for logits, label in zip(loss.logits(embeddings).detach().numpy(), LABELS.tolist(), strict=True):
        for k in range(4):
            share = smoothing / 4 + (1 - smoothing) * (k == label)
            weighted += share * inverse[k] * cross_entropy(logits, k)
        total += inverse[label]
    assert loss(embeddings, BATCH).item() == pytest.approx(weighted / total, rel=1e-9)


def test_published_class_weights() -> None:
    np.testing.assert_allclose(inverse_frequency(torch.tensor(COUNTS)), [0.080, 0.136, 0.329, 0.455], atol=5e-4)


@pytest.mark.parametrize(
    ("name", "options", "oracle"),
    [
        # pytorch-metric-learning takes ArcFace's margin in degrees.
        ("arcface", {}, lambda: pml.ArcFaceLoss(4, DIM, margin=math.degrees(0.5), scale=64)),
        (
            "arcface",
            {"m_rad": 0.2, "scale": 20},
            lambda: pml.ArcFaceLoss(4, DIM, margin=math.degrees(0.2), scale=20),
        ),
        ("cosface", {}, lambda: pml.CosFaceLoss(4, DIM, margin=0.35, scale=64)),
        ("normalised_softmax", {}, lambda: pml.NormalizedSoftmaxLoss(4, DIM, temperature=1 / 30)),
    ],
)
def test_agrees_with_pytorch_metric_learning(
    name: str, options: dict[str, Any], oracle: Callable[[], torch.nn.Module]
) -> None:
    loss, theirs = make_loss(name, **options), oracle()
    assert isinstance(loss, AngularLoss)
    assert isinstance(theirs.W, torch.nn.Parameter)
    theirs.W.data = loss.weight.detach().T.clone()
    embeddings = make_embeddings(loss).requires_grad_()
    value, expected = loss(embeddings, BATCH), theirs(embeddings, LABELS)
    torch.testing.assert_close(value, expected)
    gradient, expected_gradient = (torch.autograd.grad(v, embeddings)[0] for v in (value, expected))
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ce", {"class_weights": "inverse", "smoothing": 0.1}),
        ("normalised_softmax", {}),
        ("arcface", {"scale": 4, "class_weights": "inverse"}),
        ("cosface", {"scale": 4}),
        ("fixed_margin", {}),
        ("qlung", {}),
        ("qlung", {"classifier": "linear", "dfam_weights": "own", "class_weights": "inverse"}),
    ],
)
def test_gradients_are_those_of_finite_differences(name: str, options: dict[str, Any]) -> None:
    loss = make_loss(name, **options)
    embeddings = make_embeddings(loss)
    embeddings[7] += 1  # away from θ = π, where the loss has its kink
    parameters = [embeddings.requires_grad_(), *loss.parameters()]
    assert torch.autograd.gradcheck(lambda *_: loss(embeddings, BATCH), parameters)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("arcface", {"m_rad": 0.0, "scale": 30}),
        ("cosface", {"m": 0.0, "scale": 30}),
        ("fixed_margin", {"m_rad": 0.0, "dfam_scale": 30, "scale": 30, "dfam_lambda": 0.0}),
        ("qlung", {"by_quality": "none", "by_class": "none", "scale": 30, "dfam_lambda": 0.0}),
    ],
)
def test_without_margin_all_are_normalised_softmax(name: str, options: dict[str, Any]) -> None:
    loss, plain = make_loss(name, **options), make_loss("normalised_softmax")
    embeddings = make_embeddings(loss)
    assert torch.equal(loss(embeddings, BATCH), plain(embeddings, BATCH))


def test_angular_losses_start_from_the_same_class_weights() -> None:
    names = ("normalised_softmax", "arcface", "cosface", "fixed_margin", "qlung")
    first, *others = (make_loss(name) for name in names)
    assert isinstance(first, AngularLoss)
    for other in others:
        assert isinstance(other, AngularLoss)
        assert torch.equal(first.weight, other.weight)
