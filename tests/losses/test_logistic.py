"""Logistic regression that is solved: its optimum, its C, and what it does without clips to choose on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from rsbench.losses.logistic import STRENGTHS, balanced_risk
from torch import Tensor
from torch.nn import functional as F

from rsbench import create_loss
from rsbench.core.errors import SpecError

COUNTS = (60, 30, 15, 5)
LABELS = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))
NOBODY = torch.empty(0, 6), torch.empty(0, dtype=torch.long)


def clips(seed: int) -> Tensor:
    """(N, 6) of LABELS: classes overlap, scales and places differ, and the last number never does."""
    draws = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    embeddings = centres[LABELS] + 1.5 * torch.randn(len(LABELS), 6, generator=draws)
    return (embeddings * torch.tensor([1.0, 100, 0.01, 1, 1, 0]) + 3).float()


def solved(held_out: tuple[Tensor, Tensor] = NOBODY, **options: Any) -> tuple[Any, float]:
    loss = create_loss("logistic", 6, COUNTS, **options).eval()
    return loss, loss.solve(clips(1), LABELS, *held_out)["c"]


@pytest.mark.parametrize("class_weights", ["none", "inverse"])
@pytest.mark.parametrize("c", [0.003, 1.0])
def test_no_slope_is_left_of_the_penalised_cross_entropy(class_weights: str, c: float) -> None:
    """By torch's gradient of the formula in the docstring, summed clip by clip in float64."""
    loss, chosen = solved(class_weights=class_weights, c=c)
    assert chosen == c
    x = clips(1).double()
    z = torch.where(x.std(dim=0) > 0, (x - x.mean(dim=0)) / x.std(dim=0, correction=0), 0.0)
    weight = loss.classifier.weight.detach().double().requires_grad_()
    bias = loss.classifier.bias.detach().double().requires_grad_()
    counts = {"none": [1.0] * 4, "inverse": [len(LABELS) / (4 * n) for n in COUNTS]}[class_weights]
    objective = 0.5 * weight.square().sum()
    for row, label in zip(z, LABELS.tolist(), strict=True):
        objective = objective - c * counts[label] * F.log_softmax(weight @ row + bias, dim=0)[label]
    of_weight, of_bias = torch.autograd.grad(objective, [weight, bias])
    assert max(of_weight.abs().max(), of_bias.abs().max()) < 1e-4 * len(LABELS) * c
    torch.testing.assert_close(loss.logits(clips(1)).double(), z @ weight.T + bias, rtol=1e-4, atol=1e-4)


def test_c_is_that_of_the_least_balanced_cross_entropy_of_the_held_out_clips() -> None:
    held_out = clips(2), LABELS
    _, chosen = solved(held_out)
    risks = [balanced_risk(solved(c=c)[0].logits(held_out[0]).detach().double().numpy(), LABELS) for c in STRENGTHS]
    assert chosen == STRENGTHS[np.argmin(risks)]
    assert STRENGTHS[0] < chosen < STRENGTHS[-1]


def test_the_balanced_cross_entropy_counts_the_classes_that_occur_alike() -> None:
    logits, labels = torch.randn(9, 4).double(), torch.tensor([0] * 6 + [1, 1, 3])
    by_class = [F.cross_entropy(logits[labels == label], labels[labels == label]) for label in (0, 1, 3)]
    assert balanced_risk(logits.numpy(), labels) == pytest.approx(torch.stack(by_class).mean().item())


def test_without_clips_to_choose_on_c_must_be_given() -> None:
    with pytest.raises(SpecError, match=r"loss\.c=0 is chosen on validation patients.*--set loss\.c="):
        solved()
