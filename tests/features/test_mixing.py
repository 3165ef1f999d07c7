"""Clips mixed with one another: mixup in the loop, for any loss, and MixStyle on spectrograms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy
import torch
from torch import Tensor

from rsbench import create_backbone, create_loss
from rsbench.core.draws import generator as step_generator
from rsbench.core.errors import SpecError
from rsbench.core.plugins import discover
from rsbench.core.seeds import derive
from rsbench.core.spec import AugmentPart, RunSpec
from rsbench.experiment.resolve import resolve, resolve_embedding
from rsbench.features.augment import mixstyle, mixup
from rsbench.features.frontends import create_frontend
from rsbench.training.clipset import AudioClips, ClipMetadata, ClipSet, EmbeddingClips, SharedClips
from rsbench.training.loop import training_loss
from rsbench.training.predict import Model

CLIPS, WIDTH, COUNTS = 12, 8, (6, 3, 2, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def known() -> ClipMetadata:
    order = torch.arange(CLIPS)
    columns = (order % 4, torch.linspace(0, 1, CLIPS), order // 2, order % 3, torch.zeros_like(order))
    return ClipMetadata(tuple(map(str, range(CLIPS))), *columns)


def embedded() -> EmbeddingClips:
    return EmbeddingClips(known(), torch.randn(CLIPS, 3, WIDTH, generator=generator()))


def model_of(loss: str) -> Model:
    torch.manual_seed(0)
    return Model(create_backbone("embeddings", WIDTH, 1), create_loss(loss, 128, COUNTS)).train()


def spec_of(**changes: Any) -> RunSpec:
    return RunSpec.model_validate(
        {
            "loss": {"name": "ce"},
            "backbone": {"name": "embeddings"},
            "frontend": None,
            "data": {"test": "x"},
            "augment": changes,
        }
    )


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_the_share_is_of_a_beta_and_one_for_the_batch(alpha: float) -> None:
    draws, features = generator(), torch.eye(CLIPS).repeat(2, 1)
    shares = []
    for _ in range(200):
        mixed, partner, share = mixup(features, CLIPS, draws, alpha)
        shares.append(share)
        wanted = share * torch.eye(CLIPS) + (1 - share) * torch.eye(CLIPS)[partner]
        torch.testing.assert_close(mixed, wanted.repeat(2, 1))  # both views of a clip have one partner
        assert sorted(partner.tolist()) == list(range(CLIPS))
    assert scipy.stats.kstest(shares, scipy.stats.beta(alpha, alpha).cdf).pvalue > 0.01


@pytest.mark.parametrize("loss", ["ce", "qlung", "supcon"])
def test_mixup_weighs_a_losses_view_of_the_clip_and_of_its_partner(loss: str) -> None:
    clips, model, rows = embedded(), model_of(loss), torch.tensor([3, 0, 7, 5, 10, 2])
    found = training_loss(model, clips, rows, spec_of(mixup=0.4), draw=5, done=0.3)
    draws = step_generator(0, "augment", 5)
    mixed, partner, share = mixup(clips.views(rows, model.loss.views, draws), len(rows), draws, 0.4)
    model = model_of(loss)
    with torch.random.fork_rng():
        torch.manual_seed(derive(0, "model", 5))
        seen = model.backbone(mixed)
    own, other = (model.loss(seen, clips.batch(chosen, 0.3)) for chosen in (rows, rows[partner]))
    assert found.item() == pytest.approx((share * own + (1 - share) * other).item(), rel=1e-6)
    assert 0 < share < 1


def test_losses_in_step_draw_the_mixtures_that_each_would_alone() -> None:
    shared, rows, spec = SharedClips(known(), embedded()), torch.arange(CLIPS), spec_of(mixup=0.4)
    for draw in range(3):
        for loss in ("ce", "supcon", "qlung", "ce"):  # one view and two
            alone = training_loss(model_of(loss), embedded(), rows, spec, draw, 0.0)
            assert torch.equal(training_loss(model_of(loss), shared, rows, spec, draw, 0.0), alone)


def statistics(features: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return features.mean(dim=2).numpy(), features.std(dim=2, correction=0).numpy()


def test_mixstyle_moves_bins_between_a_clip_and_its_partner_and_keeps_their_course() -> None:
    draws = generator()
    spread, level = torch.rand(CLIPS, 5, 1, generator=draws) + 0.2, torch.randn(CLIPS, 5, 1, generator=draws)
    before = spread * torch.randn(CLIPS, 5, 400, generator=draws) + level
    after = mixstyle(before, generator(1), alpha=0.5, probability=1.0)
    (mean, deviation), (new_mean, new_deviation) = statistics(before), statistics(after)
    own_course, new_course = ((of - of.mean(2, keepdim=True)) / of.std(2, keepdim=True) for of in (before, after))
    torch.testing.assert_close(own_course, new_course, rtol=1e-3, atol=1e-3)
    partners = []
    for clip in range(CLIPS):
        # One share of one partner explains all bins, means and deviations alike.
        apart = [
            np.concatenate([mean[other] - mean[clip], deviation[other] - deviation[clip]]) for other in range(CLIPS)
        ]
        moved = np.concatenate([new_mean[clip] - mean[clip], new_deviation[clip] - deviation[clip]])
        shares = [float(way @ moved / (way @ way)) if way.any() else 0.0 for way in apart]
        misses = [np.abs(moved - share * way).max() for share, way in zip(shares, apart, strict=True)]
        partners.append(int(np.argmin(misses)))
        assert min(misses) < 1e-3
        assert -1e-3 < shares[partners[-1]] < 1 + 1e-3
    assert len(set(partners)) > CLIPS / 2


def test_mixstyle_is_done_for_as_many_batches_as_asked() -> None:
    draws, before = generator(), torch.randn(4, 3, 5, generator=generator())
    batches = [mixstyle(before, draws, alpha=0.3, probability=0.3) is before for _ in range(1000)]
    assert 0.65 < np.mean(batches) < 0.75
    assert torch.isfinite(mixstyle(torch.ones(4, 3, 5), draws, alpha=1e-3, probability=1.0)).all()


def heard(**changes: Any) -> ClipSet:
    frontend = create_frontend("kaldi-fbank")
    sound = 0.1 * torch.randn(CLIPS, frontend.rate // 4, generator=generator())
    return AudioClips(known(), lambda rows: sound[rows], frontend, AugmentPart(**changes))


def test_masks_are_where_they_were_and_views_have_styles_of_their_own() -> None:
    rows, masks = torch.arange(CLIPS), {"freq_masks": 0, "time_masks": 0}
    plain = heard().views(rows, 2, generator())
    assert torch.equal(plain, heard(mixstyle_p=1.0).views(rows, 2, generator()))  # without an α nothing is drawn
    first, second = heard(mixstyle=0.5, mixstyle_p=1.0, **masks).views(rows, 2, generator()).chunk(2)
    assert not torch.equal(first, second)
    assert not torch.equal(first, heard(**masks).features(rows))


def test_what_cannot_be_mixed_is_refused() -> None:
    discover()
    with pytest.raises(SpecError, match="augment.mixup: loss 'patchmix_cl' mixes clips itself"):
        resolve({"loss": "patchmix_cl", "backbone": "cnn6", "augment.mixup": 0.2})
    given = {"loss": "ce", "backbone": "embeddings", "weights": "x.parquet"}
    assert resolve(given | {"augment.mixup": 0.2}).augment.mixup == 0.2
    with pytest.raises(SpecError, match="augment.mixstyle.*embeddings have none. Try augment.mixup"):
        resolve(given | {"augment.mixstyle": 0.2})
    with pytest.raises(SpecError, match="rsbench embed mixes no clips"):
        resolve_embedding({"backbone": "cnn6", "augment.mixup": 0.2}, ["synthetic"])


def test_runs_of_before_keep_their_identity() -> None:
    spec = resolve({"loss": "ce", "backbone": "cnn6"})
    assert "mix" not in spec.canonical()
    assert '"mixup":0.2' in resolve({"loss": "ce", "backbone": "cnn6", "augment.mixup": 0.2}).canonical()
