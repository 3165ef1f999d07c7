"""Losses over a linear classifier that counter imbalance, against float64 loops, and where they meet."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import BATCH, COUNTS, DIM, LABELS, PRIORS, cross_entropy, make_embeddings, make_loss
from torch import nn
from torch.nn import functional as F

from rsbench import Loss, RsbenchError, create_loss


def scores_of(loss: Any, embeddings: torch.Tensor) -> list[tuple[np.ndarray, int]]:
    """W·x + b and the label of each clip."""
    scores = (embeddings @ loss.classifier.weight.T + loss.classifier.bias).detach().numpy()
    return list(zip(scores, LABELS.tolist(), strict=True))


@pytest.mark.parametrize("focus", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("class_weights", ["none", "inverse"])
def test_focal_weights_a_whole_term_and_leaves_p_alone(focus: float, class_weights: str) -> None:
    loss = make_loss("focal", focus=focus, class_weights=class_weights)
    embeddings = make_embeddings(loss)
    losses, weights = [], []
    for scores, label in scores_of(loss, embeddings):
        p = math.exp(scores[label]) / sum(math.exp(score) for score in scores)
        losses.append(-((1 - p) ** focus) * math.log(p))
        weights.append(1 / COUNTS[label] if class_weights == "inverse" else 1.0)
    assert loss(embeddings, BATCH).item() == pytest.approx(np.average(losses, weights=weights), rel=1e-9)


def test_focal_has_a_slope_where_nothing_is_left_to_learn() -> None:
    loss = make_loss("focal", focus=0.5).float()
    embeddings = torch.full((9, DIM), 1e4).requires_grad_()
    nn.init.constant_(loss.classifier.weight, 0.0)
    loss.classifier.weight.data[0] = 1.0
    only_normal = type(BATCH)(torch.zeros_like(LABELS), BATCH.quality, BATCH.patient, BATCH.device)
    loss(embeddings, only_normal).backward()
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.9999])
def test_class_balanced_counts_by_effective_numbers(beta: float) -> None:
    loss = make_loss("class_balanced", beta=beta)
    embeddings = make_embeddings(loss)
    weights = [1 / sum(beta**k for k in range(n)) for n in COUNTS]  # the effective number, as the paper derives it
    weights = [4 * weight / sum(weights) for weight in weights]
    expected = np.mean([weights[label] * cross_entropy(row, label) for row, label in scores_of(loss, embeddings)])
    assert loss(embeddings, BATCH).item() == pytest.approx(expected, rel=1e-9)


def test_balanced_softmax_weighs_every_class_by_its_clips() -> None:
    loss = make_loss("balanced_softmax")
    embeddings = make_embeddings(loss)
    expected = []
    for scores, label in scores_of(loss, embeddings):
        shares = [n * math.exp(score) for n, score in zip(COUNTS, scores, strict=True)]
        expected.append(-math.log(shares[label] / sum(shares)))
    assert loss(embeddings, BATCH).item() == pytest.approx(np.mean(expected), rel=1e-6)


@pytest.mark.parametrize("tau", [0.5, 2.0])
def test_logits_are_adjusted_while_training_or_after_it(tau: float) -> None:
    training, after = (make_loss("logit_adjusted", tau=tau, when=when) for when in ("training", "post-hoc"))
    embeddings = make_embeddings(training)
    plain = make_loss("ce")
    shift = tau * np.log(PRIORS)
    shifted = [cross_entropy(scores + shift, label) for scores, label in scores_of(plain, embeddings)]
    assert training(embeddings, BATCH).item() == pytest.approx(np.mean(shifted), rel=1e-6)
    torch.testing.assert_close(training.logits(embeddings), plain.logits(embeddings))
    torch.testing.assert_close(after(embeddings, BATCH), plain(embeddings, BATCH))
    torch.testing.assert_close(
        after.logits(embeddings), plain.logits(embeddings) - torch.as_tensor(shift), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "options", "same"),
    [
        ("focal", {"focus": 0.0}, make_loss("ce")),
        ("focal", {"focus": 0.0, "class_weights": "inverse"}, make_loss("ce", class_weights="inverse")),
        ("class_balanced", {"beta": 0.0}, make_loss("ce")),
        ("balanced_softmax", {}, make_loss("logit_adjusted", tau=1.0)),
        ("logit_adjusted", {"tau": 0.0}, make_loss("ce")),
        ("logit_adjusted", {"tau": 0.0, "when": "post-hoc"}, make_loss("ce")),
    ],
)
def test_named_points_meet(name: str, options: dict[str, Any], same: Loss) -> None:
    loss = make_loss(name, **options)
    embeddings = make_embeddings(loss)
    torch.testing.assert_close(loss(embeddings, BATCH), same(embeddings, BATCH))
    torch.testing.assert_close(loss.logits(embeddings), same.logits(embeddings))


def test_adjusting_for_a_balanced_set_changes_no_decision() -> None:
    torch.manual_seed(0)
    loss = create_loss("logit_adjusted", DIM, (5, 5, 5, 5), when="post-hoc")
    torch.manual_seed(0)
    plain = create_loss("ce", DIM, (5, 5, 5, 5))
    embeddings = torch.randn(9, DIM)
    torch.testing.assert_close(loss.logits(embeddings).softmax(dim=1), plain.logits(embeddings).softmax(dim=1))


@pytest.mark.parametrize("class_weights", ["none", "inverse"])
def test_two_sigmoid_is_two_binary_losses(class_weights: str) -> None:
    loss: Any = make_loss("two_sigmoid", class_weights=class_weights)
    embeddings = make_embeddings(loss)
    scores = loss.classifier(embeddings)
    answers = torch.stack([(LABELS == 1) | (LABELS == 3), LABELS >= 2], dim=1).double()
    of_clip = F.binary_cross_entropy_with_logits(scores, answers, reduction="none").sum(dim=1).detach()
    weights = 1 / torch.tensor(COUNTS)[LABELS] if class_weights == "inverse" else torch.ones(9)
    expected = np.average(of_clip, weights=weights)
    assert loss(embeddings, BATCH).item() == pytest.approx(expected, rel=1e-6)


def test_classes_of_two_sigmoid_are_products_of_its_answers() -> None:
    loss: Any = make_loss("two_sigmoid")
    embeddings = make_embeddings(loss)
    for row, (crackle, wheeze) in zip(
        loss.logits(embeddings).exp(), torch.sigmoid(loss.classifier(embeddings)), strict=True
    ):
        products = [
            (crackle if has_crackle else 1 - crackle) * (wheeze if has_wheeze else 1 - wheeze)
            for has_wheeze, has_crackle in itertools.product((False, True), repeat=2)
        ]
        torch.testing.assert_close(row, torch.stack(products))
    assert torch.isfinite(loss.logits(1e6 * embeddings)).all()


def test_two_sigmoid_refuses_other_classes() -> None:
    with pytest.raises(RsbenchError, match=r"'two_sigmoid' needs the four classes normal, crackle.*here are 2"):
        create_loss("two_sigmoid", DIM, (4, 4))


@pytest.mark.parametrize("name", ["focal", "class_balanced", "balanced_softmax", "logit_adjusted", "two_sigmoid"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    loss = make_loss(name)
    embeddings = make_embeddings(loss)
    parameters = [embeddings.requires_grad_(), *loss.parameters()]
    assert torch.autograd.gradcheck(lambda *_: loss(embeddings, BATCH), parameters)
