"""The angular losses whose margin is more than a number, against float64 loops and other people's code."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import (
    BATCH,
    COUNTS,
    DIM,
    LABELS,
    cosine,
    cosines_of,
    cross_entropy,
    make_embeddings,
    make_loss,
    turned,
    with_target,
)
from pytorch_metric_learning import losses as pml
from torch import Tensor

from rsbench import AngularLoss, Batch, RsbenchError, create_loss

Target = Callable[[float, int, float], float]  # cosine, label and length of the embedding → what takes its place

WITHOUT_DRAWS = [
    ("arcface", {"by_class": "ldam", "by_quality": "sqrt", "scale": 8}),
    ("ldam", {"drw": True, "drw_start": 0.0}),
    ("adaface", {"scale": 8}),
    ("magface", {"scale": 8, "shortest": 1.0, "longest": 3.0}),
    ("curricularface", {"scale": 8}),
    ("subcenter_arcface", {"scale": 8}),
    ("sphereface", {"plain_lambda": 0.0}),
]


def make_angular(name: str, **options: Any) -> tuple[AngularLoss, Tensor]:
    """A loss and nine embeddings of lengths from 1 to 3."""
    loss = make_loss(name, **options)
    assert isinstance(loss, AngularLoss)
    return loss, make_embeddings(loss)


def by_hand(loss: AngularLoss, embeddings: Tensor, target: Target, scale: float = 64.0) -> float:
    """The mean cross-entropy of scaled cosines, of which each clip's own has been replaced."""
    found = []
    for embedding, label in zip(embeddings.numpy(), LABELS.tolist(), strict=True):
        cosines = cosines_of(loss, embedding)
        moved = target(cosines[label], label, float(np.linalg.norm(embedding)))
        found.append(cross_entropy(scale * with_target(cosines, label, moved), label))
    return float(np.mean(found))


def test_ldam_takes_a_margin_of_the_fourth_root_of_rarity() -> None:
    loss, embeddings = make_angular("ldam")
    margins = [0.5 * (363 / n) ** 0.25 for n in COUNTS]
    np.testing.assert_allclose(margins, [0.32383, 0.36966, 0.46130, 0.50000], atol=5e-6)
    expected = by_hand(loss, embeddings, lambda c, label, _: c - margins[label], scale=30)
    assert loss(embeddings, BATCH).item() == pytest.approx(expected, rel=1e-9)


def test_deferred_weights_count_from_their_start_on() -> None:
    plain, embeddings = make_angular("ldam")
    deferred, _ = make_angular("ldam", drw=True)
    early, late = (replace(BATCH, progress=share) for share in (0.79, 0.8))
    assert torch.equal(deferred(embeddings, early), plain(embeddings, early))
    weights = [(1 - 0.9999) / (1 - 0.9999**n) for n in COUNTS]
    losses = [
        cross_entropy(row, label)
        for row, label in zip(plain.margined_logits(embeddings, BATCH).detach().numpy(), LABELS.tolist(), strict=True)
    ]
    expected = np.average(losses, weights=[weights[label] for label in LABELS])
    assert deferred(embeddings, late).item() == pytest.approx(expected, rel=1e-9)


def test_gcl_takes_noise_from_every_cosine_and_most_from_the_rarest() -> None:
    loss, embeddings = make_angular("gcl")
    torch.manual_seed(5)
    noise = np.abs(np.clip(torch.randn(9, 4, dtype=torch.float64).numpy() / 3, -1, 1))
    cloud = [(math.log(2063) - math.log(n)) / (math.log(2063) - math.log(363)) for n in COUNTS]
    assert cloud[0] == 0
    assert cloud[3] == 1
    losses = []
    for embedding, label, drawn in zip(embeddings.numpy(), LABELS.tolist(), noise, strict=True):
        clouded = cosines_of(loss, embedding) - 0.5 * np.array(cloud) * drawn
        losses.append(cross_entropy(30 * clouded, label))
    torch.manual_seed(5)
    assert loss(embeddings, BATCH).item() == pytest.approx(np.mean(losses), rel=1e-9)


def test_adaface_follows_the_lengths_of_embeddings() -> None:
    loss, embeddings = make_angular("adaface", concentration=0.9, ema=0.5)
    mean, deviation = 20.0, 100.0
    for batch in (embeddings, 3 * embeddings):
        lengths = [math.sqrt(sum(x * x for x in embedding)) for embedding in batch.tolist()]
        mean = 0.5 * mean + 0.5 * np.mean(lengths)
        deviation = 0.5 * deviation + 0.5 * np.std(lengths, ddof=1)

        def target(c: float, _: int, length: float, mean: float = mean, deviation: float = deviation) -> float:
            k = min(1, max(-1, 0.9 * (length - mean) / (deviation + 1e-3)))
            return turned(c, -0.4 * k) - 0.4 - 0.4 * k

        assert loss(batch, BATCH).item() == pytest.approx(by_hand(loss, batch, target), rel=1e-6)
    assert loss.state_dict()["mean_norm"].item() == pytest.approx(mean)
    assert loss.state_dict()["sd_norm"].item() == pytest.approx(deviation)


@pytest.mark.parametrize(("name", "moving"), [("adaface", ("mean_norm", "sd_norm")), ("curricularface", ("t",))])
def test_state_moves_in_training_alone_and_is_in_the_checkpoint(name: str, moving: tuple[str, ...]) -> None:
    loss, embeddings = make_angular(name)
    before = [loss.state_dict()[key].clone() for key in moving]
    loss.eval()(embeddings, BATCH)
    assert [loss.state_dict()[key] for key in moving] == before
    loss.train()(embeddings, BATCH)
    assert all(loss.state_dict()[key] != was for key, was in zip(moving, before, strict=True))


def test_a_lone_clip_leaves_adafaces_deviation_alone() -> None:
    loss, embeddings = make_angular("adaface")
    one = Batch(LABELS[:1], torch.ones(1), LABELS[:1], LABELS[:1])
    assert torch.isfinite(loss(embeddings[:1], one))
    assert loss.state_dict()["sd_norm"] == 100
    assert loss.state_dict()["mean_norm"] < 20


def test_magface_is_a_line_of_margins_and_a_pull() -> None:
    loss, embeddings = make_angular("magface", shortest=1.5, longest=2.5, highest_rad=0.9)
    lengths = np.linalg.norm(embeddings.numpy(), axis=1)
    assert lengths.min() < 1.5
    assert lengths.max() > 2.5

    def target(c: float, _: int, length: float) -> float:
        return turned(c, 0.45 + (0.9 - 0.45) * (min(max(length, 1.5), 2.5) - 1.5))

    def pull(length: float) -> float:
        tangent = (1 / 2.5**2 - 1 / 1.5**2) * min(length - 1.5, 0)
        inside = min(max(length, 1.5), 2.5)
        return inside / 2.5**2 + 1 / inside + tangent

    expected = by_hand(loss, embeddings, target) + 20 * np.mean([pull(length) for length in lengths])
    assert loss(embeddings, BATCH).item() == pytest.approx(expected, rel=1e-9)


def test_magface_pulls_embeddings_that_begin_below_its_range() -> None:
    loss, embeddings = make_angular("magface", scale=1e-6)
    embeddings.requires_grad_()
    loss(embeddings, BATCH).backward()
    assert embeddings.grad is not None
    assert ((embeddings.grad * embeddings).sum(dim=1) < 0).all()  # longer is better
    with pytest.raises(RsbenchError, match=r"loss\.shortest=9, longest=3.*must be below"):
        create_loss("magface", DIM, COUNTS, shortest=9, longest=3)


def test_curricularface_weighs_hard_classes_by_how_far_it_is() -> None:
    loss, embeddings = make_angular("curricularface", ema=0.3)
    t = 0.0
    for _ in range(2):
        found = [(cosines_of(loss, e), label) for e, label in zip(embeddings.numpy(), LABELS.tolist(), strict=True)]
        t = 0.3 * np.mean([cosines[label] for cosines, label in found]) + 0.7 * t
        losses, hard = [], 0
        for cosines, label in found:
            moved = turned(cosines[label], 0.5)
            row = [c * (t + c) if c > moved else c for c in cosines]
            hard += sum(k != label and c > moved for k, c in enumerate(cosines))
            losses.append(cross_entropy(64 * with_target(np.array(row), label, moved), label))
        assert hard
        assert loss(embeddings, BATCH).item() == pytest.approx(np.mean(losses), rel=1e-6)


def test_sphereface_is_its_formula() -> None:
    loss, embeddings = make_angular("sphereface", times=3, plain_lambda=2.0)
    losses = []
    for embedding, label in zip(embeddings.numpy(), LABELS.tolist(), strict=True):
        cosines = cosines_of(loss, embedding)
        theta = math.acos(cosines[label])
        k = math.floor(3 * theta / math.pi)
        psi = (-1) ** k * math.cos(3 * theta) - 2 * k
        moved = with_target(cosines, label, (2 * cosines[label] + psi) / 3)
        losses.append(cross_entropy(np.linalg.norm(embedding) * moved, label))
    assert loss(embeddings, BATCH).item() == pytest.approx(np.mean(losses), rel=1e-9)


@pytest.mark.parametrize("times", [1, 2, 3, 4, 5])
def test_psi_falls_from_1_to_its_lowest(times: int) -> None:
    loss: Any = create_loss("sphereface", DIM, COUNTS, times=times)
    psi = loss.psi(torch.cos(torch.linspace(0, math.pi, 5001, dtype=torch.float64)))
    assert (psi.diff() < 1e-9).all()
    assert psi[[0, -1]].tolist() == pytest.approx([1, 1 - 2 * times])


@pytest.mark.parametrize("variant", ["arc", "cos"])
def test_elasticface_draws_a_margin_for_every_clip(variant: str) -> None:
    loss, embeddings = make_angular("elasticface", variant=variant, sigma=0.1)
    torch.manual_seed(7)
    drawn = (0.1 * torch.randn(9, dtype=torch.float64)).tolist()
    queue = iter(drawn)

    def target(c: float, _: int, __: float) -> float:
        return turned(c, 0.5 + next(queue)) if variant == "arc" else c - 0.35 - next(queue)

    expected = by_hand(loss, embeddings, target)
    torch.manual_seed(7)
    assert loss(embeddings, BATCH).item() == pytest.approx(expected, rel=1e-9)


def test_the_record_of_a_drawn_margin_is_its_mean() -> None:
    loss, embeddings = make_angular("elasticface")
    assert loss.eval().margin_rad(embeddings, BATCH).unique().tolist() == [0.5]


def test_the_record_of_a_margin_by_length_follows_the_length() -> None:
    embeddings = torch.eye(DIM)[:2].repeat(2, 1) * torch.tensor([[1.0], [10.0], [60.0], [200.0]])
    batch = Batch(torch.zeros(4, dtype=torch.long), torch.ones(4), torch.zeros(4), torch.zeros(4))
    by_magface, by_adaface = (
        create_loss(name, DIM, COUNTS).eval().margin_rad(embeddings, batch).tolist() for name in ("magface", "adaface")
    )
    assert by_magface == pytest.approx([0.45, 0.45, 0.625, 0.8])
    k = [0.333 * (length - 20) / 100.001 for length in (1, 10, 60, 100)]  # lengths are cut to 100
    assert by_adaface == pytest.approx([-0.4 * each for each in k])


def test_more_centres_are_the_nearest_of_each_class() -> None:
    loss, embeddings = make_angular("subcenter_arcface", centres=3)
    weights = loss.weight.detach().numpy().reshape(3, 4, DIM)
    for row, embedding in zip(loss.cosines(embeddings).detach().numpy(), embeddings.numpy(), strict=True):
        nearest = [max(cosine(embedding, weights[k, j]) for k in range(3)) for j in range(4)]
        np.testing.assert_allclose(row, nearest, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "options", "same", "as_options"),
    [
        ("subcenter_arcface", {"centres": 1}, "arcface", {}),
        ("elasticface", {"sigma": 0.0}, "arcface", {}),
        ("elasticface", {"sigma": 0.0, "variant": "cos"}, "cosface", {}),
        ("ldam", {"largest": 0.0}, "normalised_softmax", {}),
        ("gcl", {"amplitude": 0.0}, "normalised_softmax", {}),
        ("adaface", {"m_rad": 0.0}, "normalised_softmax", {"scale": 64}),
        ("adaface", {"concentration": 0.0}, "cosface", {"m": 0.4}),
        ("magface", {"lowest_rad": 0.5, "highest_rad": 0.5, "norm_lambda": 0.0}, "arcface", {}),
        ("arcface", {"by_class": "none"}, "normalised_softmax", {"scale": 64}),
    ],
)
def test_named_points_meet(name: str, options: dict[str, Any], same: str, as_options: dict[str, Any]) -> None:
    loss, embeddings = make_angular(name, **options)
    other, _ = make_angular(same, **as_options)
    torch.testing.assert_close(loss(embeddings, BATCH), other(embeddings, BATCH), rtol=1e-12, atol=0)


def test_sphereface_without_margin_is_a_linear_classifier_of_unit_weights() -> None:
    loss, embeddings = make_angular("sphereface", times=1)
    unit = torch.nn.functional.normalize(loss.weight)
    expected = torch.nn.functional.cross_entropy(embeddings @ unit.T, LABELS)
    torch.testing.assert_close(loss(embeddings, BATCH), expected)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # of the package, under NumPy 2
@pytest.mark.parametrize(
    ("name", "options", "oracle"),
    [
        ("sphereface", {"plain_lambda": 0.0}, lambda: pml.SphereFaceLoss(4, DIM)),
        ("sphereface", {"plain_lambda": 0.0, "times": 3, "scale": 2}, lambda: pml.SphereFaceLoss(4, DIM, 3, 2)),
        (
            "subcenter_arcface",
            {"scale": 20},
            lambda: pml.SubCenterArcFaceLoss(
                num_classes=4, embedding_size=DIM, margin=math.degrees(0.5), scale=20, sub_centers=3
            ),
        ),
    ],
)
def test_agrees_with_pytorch_metric_learning(
    name: str, options: dict[str, Any], oracle: Callable[[], torch.nn.Module]
) -> None:
    (loss, embeddings), theirs = make_angular(name, **options), oracle()
    assert isinstance(theirs.W, torch.nn.Parameter)
    by_class = loss.weight.detach().unflatten(0, (-1, 4)).transpose(0, 1).flatten(0, 1)  # its centres stand by class
    theirs.W.data = by_class.T.clone()
    embeddings.requires_grad_()
    value, expected = loss(embeddings, BATCH), theirs(embeddings, LABELS)
    torch.testing.assert_close(value, expected)
    gradient, expected_gradient = (torch.autograd.grad(v, embeddings)[0] for v in (value, expected))
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize(("name", "options"), WITHOUT_DRAWS)
def test_gradients_are_those_of_finite_differences(name: str, options: dict[str, Any]) -> None:
    loss, embeddings = make_angular(name, **options)
    loss.eval()  # moving averages stand still
    embeddings[7] += 1  # away from θ = π, where the loss has its kink
    parameters = [embeddings.requires_grad_(), *loss.parameters()]
    if name == "adaface":
        embeddings.detach_()  # lengths are cut off the graph on purpose: only directions have a gradient to check
        parameters = [loss.weight]
    assert torch.autograd.gradcheck(lambda *_: loss(embeddings, BATCH), parameters)
