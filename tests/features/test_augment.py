"""SpecAugment: what is masked, how wide, where, and with what."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from rsbench.core.errors import SpecError
from rsbench.features.augment import spec_augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features(clips: int, bins: int, frames: int) -> Tensor:
    return torch.randn(clips, bins, frames, generator=generator(99), dtype=torch.float64)


def masked(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """(clips, bins) and (clips, frames) True where a whole bin or frame was replaced."""
    changed = before != after
    return changed.all(dim=2), changed.all(dim=1)


@given(
    clips=st.integers(1, 4),
    bins=st.integers(1, 30),
    frames=st.integers(1, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**63 - 1),
)
def test_one_band_is_contiguous_and_below_its_share(
    clips: int, bins: int, frames: int, share: float, seed: int
) -> None:
    before = features(clips, bins, frames)
    after = spec_augment(before, generator(seed), 1, share, 0, 0.0)
    rows = (before != after).any(dim=2)
    for row in rows:
        width = int(row.sum())
        assert width == 0 or width < share * bins
        assert (row.diff().sum() if bins > 1 else 0) <= 2


def test_masked_cells_hold_the_mean_of_their_clip_and_others_are_untouched() -> None:
    before = features(16, 128, 798)
    kept = before.clone()
    after = spec_augment(before, generator())
    assert torch.equal(before, kept)
    rows, columns = masked(before, after)
    band = rows.unsqueeze(2) | columns.unsqueeze(1)
    assert band.any()
    assert torch.equal(after[~band], before[~band])
    means = before.mean(dim=(1, 2), keepdim=True).expand_as(before)
    assert torch.equal(after[band], means[band])


def test_the_default_widths_are_the_published_ones() -> None:
    few_frames, few_bins = features(600, 128, 3), features(600, 3, 798)
    rows, _ = masked(few_frames, spec_augment(few_frames, generator(), freq_masks=1, time_masks=0))
    _, columns = masked(few_bins, spec_augment(few_bins, generator(), freq_masks=0, time_masks=1))
    assert rows.sum(dim=1).max() == 47
    assert 155 < columns.sum(dim=1).max() <= 159


def test_widths_and_places_are_uniform() -> None:
    before = features(20_000, 8, 1)
    rows = (before != spec_augment(before, generator(), 1, 0.5, 0, 0.0)).squeeze(2)
    width = rows.sum(dim=1)
    assert chisquare(torch.bincount(width, minlength=4)).pvalue > 1e-3
    start = rows[width == 3].to(torch.int8).argmax(dim=1)
    places = torch.bincount(start)
    assert len(places) == 6
    assert chisquare(places).pvalue > 1e-3


def test_clips_have_their_own_masks_and_the_generator_decides_them() -> None:
    before = features(6, 64, 100)
    after = spec_augment(before, generator(1))
    rows, _ = masked(before, after)
    assert len(rows.unique(dim=0)) > 1
    assert torch.equal(after, spec_augment(before, generator(1)))
    assert not torch.equal(after, spec_augment(before, generator(2)))


def test_draws_do_not_depend_on_the_features() -> None:
    first, second = generator(), generator()
    spec_augment(features(3, 64, 100), first)
    spec_augment(torch.zeros(3, 64, 100, dtype=torch.bfloat16), second)
    assert torch.equal(first.get_state(), second.get_state())


def test_no_masks_change_nothing() -> None:
    before = features(3, 64, 100)
    assert torch.equal(before, spec_augment(before, generator(), freq_masks=0, time_masks=0))
    assert torch.equal(before, spec_augment(before, generator(), freq_share=0.0, time_share=0.0))


def test_quirk_one_mask_per_batch() -> None:
    before = features(6, 64, 100)
    rows, columns = masked(before, spec_augment(before, generator(1), quirks=("one-mask-per-batch",)))
    assert rows.any()
    assert len(rows.unique(dim=0)) == len(columns.unique(dim=0)) == 1


def test_quirk_randn_gate_leaves_one_batch_in_six_alone() -> None:
    before = features(1, 16, 16)
    draws = generator()
    wide = {"freq_masks": 8, "freq_share": 1.0, "time_masks": 0}
    batches = [spec_augment(before, draws, **wide, quirks=("randn-gate",)) for _ in range(3000)]
    share = sum(not torch.equal(before, batch) for batch in batches) / 3000
    assert share == pytest.approx(0.8413, abs=0.03)


def test_an_unknown_quirk_is_an_error() -> None:
    with pytest.raises(SpecError, match="Did you mean 'randn-gate'"):
        spec_augment(features(1, 16, 16), generator(), quirks=("rand-gate",))
