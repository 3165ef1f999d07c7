"""Losses of pytorch-metric-learning under names of their own, and what is said where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from by_hand import BATCH, COUNTS, DIM, LABELS, make_loss
from pytorch_metric_learning import losses as pml
from tiny import Cli

from rsbench import RsbenchError, create_loss
from rsbench.core.loss import LOSSES

pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # of the package, under NumPy 2

CLASSIFYING = [name for name in dir(pml) if hasattr(getattr(pml, name), "get_logits")]


def make_clips() -> torch.Tensor:
    return torch.randn(9, DIM, generator=torch.Generator().manual_seed(1))


def test_it_is_the_class_of_that_name_with_its_own_options() -> None:
    torch.manual_seed(0)
    ours = create_loss("pml:ArcFaceLoss", DIM, COUNTS, margin=20, scale=16)
    torch.manual_seed(0)
    theirs = pml.ArcFaceLoss(4, DIM, margin=20, scale=16)
    clips = make_clips()
    assert torch.equal(ours(clips, BATCH), theirs(clips, LABELS))
    assert torch.equal(ours.logits(clips), theirs.get_logits(clips))


def test_its_margin_is_in_degrees() -> None:
    wrapped: Any = make_loss("pml:ArcFaceLoss", margin=28.64788975654116, scale=64)
    own: Any = make_loss("arcface", m_rad=0.5)
    wrapped.inner.W.data = own.weight.detach().T.clone()
    clips = make_clips().double()
    torch.testing.assert_close(wrapped(clips, BATCH), own(clips, BATCH))


@pytest.mark.parametrize("name", CLASSIFYING)
def test_every_classifying_loss_learns_what_its_logits_say(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    centres = torch.nn.functional.normalize(torch.randn(4, 16, generator=generator))
    labels = torch.arange(64) % 4
    clips = 4 * centres[labels] + 0.4 * torch.randn(64, 16, generator=generator)
    torch.manual_seed(0)
    loss = create_loss(f"pml:{name}", 16, COUNTS)
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.05)
    batch = type(BATCH)(labels, torch.ones(64), labels, labels)
    for _ in range(40):
        optimiser.zero_grad()
        loss(clips, batch).backward()
        optimiser.step()
    assert (loss.logits(clips).argmax(dim=1) == labels).float().mean() > 0.95


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("ArcFaceLos", {}, r"pytorch-metric-learning has no loss 'ArcFaceLos'. Did you mean 'ArcFaceLoss'?"),
        ("TripletMarginLoss", {}, r"'pml:TripletMarginLoss' compares clips and has no classifier.*ArcFaceLoss"),
        ("ArcFaceLoss", {"margn": 3}, r"loss\.margn: 'pml:ArcFaceLoss' has no such option. Did you mean 'margin'?"),
        ("ArcFaceLoss", {"margin": "wide"}, r"loss\.margin='wide' for 'pml:ArcFaceLoss'"),
        ("SubCenterArcFaceLoss", {"sub_centers": 1.5}, r"makes no SubCenterArcFaceLoss with.*loss\.sub_centers=1\.5"),
        ("ArcFaceLoss", {"version": "2.1.0"}, r"loss\.version=2\.1\.0: .* is installed. pip install .*==2\.1\.0"),
    ],
)
def test_what_cannot_be_had_is_one_message(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RsbenchError, match=said):
        create_loss(f"pml:{name}", DIM, COUNTS, **options)


def test_without_the_package_one_is_told_how_to_get_it(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {name: LOSSES.entry(name) for name in LOSSES.names() if not name.startswith("pml:")}
    monkeypatch.setattr(LOSSES, "_entries", others)
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning.losses", None)
    done = cli("run", "--loss", "pml:CosFaceLoss", "--backbone", "cnn6", "--dry-run", "--results", tmp_path)
    assert done.code == 2
    assert "not installed: pip install 'rsbench[pml]'" in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_a_run_says_which_class_and_which_version_it_is_of(tiny_run: Callable[..., Any]) -> None:
    first = tiny_run(loss="pml:ArcFaceLoss", loss__scale=20, optim__epochs=1)
    assert first.run_id.startswith("pml_ArcFaceLoss-tiny-s0-")
    wanted = {"name": "pml:ArcFaceLoss", "margin": 28.6, "scale": 20, "version": version("pytorch-metric-learning")}
    assert first.spec.loss.model_dump() == wanted
    other = tiny_run(loss="pml:ArcFaceLoss", loss__scale=30, optim__epochs=1)
    assert other.run_id != first.run_id


def test_it_is_listed_as_a_family(cli: Cli) -> None:
    listed = cli("list", "losses")
    assert "pml:NAME" in listed.out
    assert "a classification loss of pytorch-metric-learning" in listed.out
