"""A margin as a composition: every rule, every pair of rules, and the named points that they hold."""

from __future__ import annotations

import itertools
import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from by_hand import BATCH, COUNTS, DIM, LABELS, QUALITY, make_embeddings, make_loss

from rsbench import AngularLoss, Batch, RsbenchError, create_loss
from rsbench.core.loss import LOSSES

BY_QUALITY = {
    "none": None,
    "linear": lambda q: q,
    "quadratic": lambda q: q * q,
    "sqrt": math.sqrt,
    "step": lambda q: float(q >= 0.5),
}
BY_CLASS = {
    "none": None,
    "constant": lambda n: 1.0,
    "log_prior": lambda n: -math.log(n / sum(COUNTS)) / math.log(4),
    "ldam": lambda n: (min(COUNTS) / n) ** 0.25,
    "dynamic_range": lambda n: math.log(max(COUNTS) / n) / math.log(max(COUNTS) / min(COUNTS)),
}
EVERY_CLASS = Batch(torch.arange(4), torch.ones(4), torch.zeros(4), torch.zeros(4))


def margins_of(name: str, batch: Batch = BATCH, counts: tuple[int, ...] = COUNTS, **options: Any) -> np.ndarray:
    loss = create_loss(name, DIM, counts, **options)
    assert isinstance(loss, AngularLoss)
    return loss.margin_rad(torch.randn(len(batch.labels), DIM).double(), batch).numpy()


@pytest.mark.parametrize(("by_quality", "by_class"), list(itertools.product(BY_QUALITY, BY_CLASS)))
def test_a_margin_is_the_blend_of_its_two_terms(by_quality: str, by_class: str) -> None:
    of_quality, of_class = BY_QUALITY[by_quality], BY_CLASS[by_class]
    expected = []
    for label, quality in zip(LABELS.tolist(), QUALITY.tolist(), strict=True):
        terms = [0.7 * of_quality(quality)] if of_quality else []
        terms += [0.3 * of_class(COUNTS[label])] if of_class else []
        shares = (0.25, 0.75) if len(terms) == 2 else (1.0,)
        expected.append(sum(share * term for share, term in zip(shares, terms, strict=False)))
    rules = {"by_quality": by_quality, "by_class": by_class, "kappa_rad": 0.7, "gamma": 0.25}
    np.testing.assert_allclose(margins_of("qlung", target_rad=0.3, **rules), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(margins_of("arcface", m_rad=0.3, **rules), expected, rtol=1e-6, atol=1e-9)


def test_these_are_all_the_rules_there_are() -> None:
    for name in ("qlung", "arcface"):
        options = LOSSES.entry(name).parameters()
        assert set(get_args(options["by_quality"].annotation)) == set(BY_QUALITY)
        assert set(get_args(options["by_class"].annotation)) == set(BY_CLASS)
    with pytest.raises(RsbenchError, match=r"loss\.by_class='rarity' for 'arcface': Input should be 'none'"):
        create_loss("arcface", DIM, COUNTS, by_class="rarity")


@pytest.mark.parametrize("by_quality", [rule for rule in BY_QUALITY if rule != "none"])
def test_a_rule_of_quality_never_falls_and_keeps_its_ends(by_quality: str) -> None:
    batch = Batch(torch.zeros(101, dtype=torch.long), torch.linspace(0, 1, 101), torch.zeros(101), torch.zeros(101))
    margins = margins_of("qlung", batch, by_quality=by_quality, by_class="none", kappa_rad=0.5)
    assert (np.diff(margins) >= 0).all()
    assert margins[[0, -1]].tolist() == [0.0, 0.5]


@pytest.mark.parametrize("by_class", [rule for rule in BY_CLASS if rule != "none"])
def test_a_rule_of_classes_is_finite_where_all_are_alike(by_class: str) -> None:
    margins = margins_of("arcface", EVERY_CLASS, (7, 7, 7, 7), by_class=by_class, m_rad=0.5)
    np.testing.assert_allclose(margins, 0.0 if by_class == "dynamic_range" else 0.5, atol=1e-12)


def test_margins_of_ldam_and_of_arcface_by_its_rule_are_the_same_numbers() -> None:
    ldam: Any = create_loss("ldam", DIM, COUNTS)
    np.testing.assert_allclose(margins_of("arcface", EVERY_CLASS, by_class="ldam"), ldam.margins)


@pytest.mark.parametrize(
    ("name", "options", "same", "as_options"),
    [
        ("qlung", {"by_quality": "none", "by_class": "constant"}, "fixed_margin", {}),
        ("qlung", {"by_quality": "none", "by_class": "none"}, "fixed_margin", {"m_rad": 0.0}),
        ("qlung", {"by_quality": "none", "by_class": "none", "dfam_lambda": 0.0}, "normalised_softmax", {"scale": 37}),
        ("arcface", {"by_quality": "none", "by_class": "none"}, "normalised_softmax", {"scale": 64}),
    ],
)
def test_named_points_are_the_same_to_the_bit(
    name: str, options: dict[str, Any], same: str, as_options: dict[str, Any]
) -> None:
    loss, other = make_loss(name, **options).float(), make_loss(same, **as_options).float()
    embeddings = make_embeddings(loss).float()
    assert torch.equal(loss(embeddings, BATCH), other(embeddings, BATCH))


def test_arcface_by_both_is_the_margin_objective_of_qlung() -> None:
    """QLung with nothing but its margin term is ArcFace under QLung's margin."""
    rules = {"by_quality": "linear", "by_class": "log_prior"}
    qlung: Any = make_loss("qlung")
    arcface = make_loss("arcface", m_rad=0.2, scale=15, **rules)
    embeddings = make_embeddings(qlung)
    torch.testing.assert_close(qlung.dfam(embeddings, qlung.cosines(embeddings), BATCH), arcface(embeddings, BATCH))
