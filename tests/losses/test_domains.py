"""Losses that know of domains, against loops in float64, and where they meet cross-entropy."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import BATCH, COUNTS, DIM, LABELS, cross_entropy, make_embeddings, make_loss
from torch import Tensor

from rsbench import Batch, Loss, RsbenchError, create_loss

DEVICE = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 3])  # one of them has one clip, and a fifth has none
HEARD = dataclasses.replace(BATCH, device=DEVICE, patient=DEVICE, dataset=DEVICE, progress=0.5)
KNOWN = {"patient": 5, "device": 5, "dataset": 5}
NAMES = ("coral", "dann", "group_dro")
AT_ZERO = {"coral": {"penalty": 0.0}, "dann": {"strength": 0.0}, "group_dro": {"step": 0.0}}


def met(name: str, **options: Any) -> Any:
    loss = make_loss(name, **options)
    loss.meet(KNOWN)
    return loss.double()


def gradients(loss: Loss, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of the embeddings, and of the classifier's weights."""
    embeddings = make_embeddings(loss).requires_grad_()
    loss(embeddings, batch).backward()
    assert embeddings.grad is not None
    weight = loss.get_parameter("classifier.weight").grad
    assert weight is not None
    return embeddings.grad, weight


def losses_of(loss: Any, embeddings: Tensor) -> list[float]:
    scores = loss.logits(embeddings).detach().numpy()
    return [cross_entropy(row, label) for row, label in zip(scores, LABELS.tolist(), strict=True)]


@pytest.mark.parametrize("penalty", [0.3, 2.0])
def test_coral_is_the_mean_distance_of_covariances_over_pairs_of_domains(penalty: float) -> None:
    loss = met("coral", penalty=penalty)
    embeddings = make_embeddings(loss)
    logits = loss.logits(embeddings).detach().numpy()
    covariances = [np.cov(logits[code == DEVICE].T) for code in range(3)]
    apart = [((one - other) ** 2).sum() / (4 * 4**2) for one, other in itertools.combinations(covariances, 2)]
    wanted = np.mean(losses_of(loss, embeddings)) + penalty * np.mean(apart)
    assert loss(embeddings, HEARD).item() == pytest.approx(wanted, rel=1e-9)


def test_coral_does_not_ask_where_a_domain_lies_or_what_it_is_called() -> None:
    loss = met("coral")
    logits = loss.logits(make_embeddings(loss))
    moved = logits + 3.0 * DEVICE.double().unsqueeze(1)
    renamed = torch.tensor([3, 0, 1, 2])[DEVICE]
    members = [loss.members(dataclasses.replace(HEARD, device=codes)) for codes in (DEVICE, renamed)]
    distances = [loss._distance(of, who) for of in (logits, moved) for who in members]
    assert torch.allclose(torch.stack(distances), distances[0])


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_dann_reverses_the_gradient_of_the_domain_for_the_embeddings_alone(progress: float) -> None:
    loss, strength = met("dann", strength=0.7), 0.7
    batch = dataclasses.replace(HEARD, progress=progress)
    of_class, of_domain = (make_embeddings(loss).requires_grad_() for _ in range(2))
    torch.nn.functional.cross_entropy(loss.logits(of_class), LABELS).backward()
    torch.nn.functional.cross_entropy(loss.domains(of_domain), DEVICE).backward()
    as_classifier = {name: part.grad for name, part in loss.domains.named_parameters()}
    loss.zero_grad()
    found, _ = gradients(loss, batch)
    assert of_class.grad is not None
    assert of_domain.grad is not None
    reversal = strength * (2 / (1 + math.exp(-10 * progress)) - 1)
    torch.testing.assert_close(found, of_class.grad - reversal * of_domain.grad)
    for name, part in loss.domains.named_parameters():  # which learns to tell domains apart
        torch.testing.assert_close(part.grad, as_classifier[name])


@pytest.mark.parametrize("class_weights", ["none", "inverse"])
def test_group_dro_weighs_domains_by_what_they_lost_so_far(class_weights: str) -> None:
    loss = met("group_dro", step=0.5, class_weights=class_weights)
    embeddings = make_embeddings(loss)
    weights = [1 / COUNTS[label] if class_weights == "inverse" else 1.0 for label in LABELS.tolist()]
    of_clip, q = np.array(losses_of(loss, embeddings)), np.full(5, 1 / 5)
    own = [np.flatnonzero(DEVICE.numpy() == code) for code in range(4)]
    means = np.array([np.average(of_clip[clips], weights=np.array(weights)[clips]) for clips in own])
    for _ in range(3):
        q *= np.exp(0.5 * np.append(means, 0.0))
        q /= q.sum()
        assert loss(embeddings, HEARD).item() == pytest.approx(np.average(means, weights=q[:4]), rel=1e-6)
    np.testing.assert_allclose(loss.q.numpy(), q, rtol=1e-6)
    assert loss.q.argmax() == means.argmax()
    still = loss.q.clone()
    loss.eval()(embeddings, HEARD)
    assert torch.equal(loss.q, still)


def test_group_dro_with_a_clip_per_domain_is_the_mean_over_clips() -> None:
    loss = make_loss("group_dro", step=0.0)
    loss.meet({"patient": 9, "device": 9, "dataset": 9})
    batch = dataclasses.replace(HEARD, device=torch.arange(9))
    embeddings = make_embeddings(loss)
    assert loss(embeddings, batch).item() == pytest.approx(np.mean(losses_of(loss, embeddings)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("domain", ["device", "dataset", "patient"])
def test_without_its_term_each_is_cross_entropy_in_what_it_teaches(name: str, domain: str) -> None:
    same = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2])  # as many clips of each, so that the mean of means is the mean
    batch = dataclasses.replace(HEARD, **{domain: same})
    plain, loss = make_loss("ce"), met(name, domain=domain, **AT_ZERO[name])
    assert torch.equal(plain.get_parameter("classifier.weight"), loss.get_parameter("classifier.weight"))
    for wanted, found in zip(gradients(plain, batch), gradients(loss, batch), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", ["coral", "group_dro"])
def test_gradients_are_those_of_the_value(name: str) -> None:
    loss = met(name).eval()
    embeddings = make_embeddings(loss).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: loss(values, HEARD), embeddings)


@pytest.mark.parametrize("name", NAMES)
def test_one_domain_alone_is_refused_with_what_else_could_be_compared(name: str) -> None:
    with pytest.raises(
        RsbenchError, match=r"all of one device.*Choose loss.domain=patient \(41\), or train on several"
    ):
        create_loss(name, DIM, COUNTS).meet({"patient": 41, "device": 1, "dataset": 1})
