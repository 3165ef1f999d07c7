"""cos θ → cos(θ + m): exact inside, monotone across its joints, finite at the ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsbench import AngularLoss, Batch, shift_angle

MARGINS_RAD = st.floats(-math.pi + 0.01, 2.33)


@given(theta=st.floats(0, math.pi), margin_rad=MARGINS_RAD)
def test_is_the_cosine_of_the_sum_inside_the_half_circle(theta: float, margin_rad: float) -> None:
    if 0 <= theta + margin_rad <= math.pi:
        shifted = shift_angle(torch.tensor(math.cos(theta), dtype=torch.float64), margin_rad)
        assert shifted.item() == pytest.approx(math.cos(theta + margin_rad), abs=1e-7)


@given(margin_rad=MARGINS_RAD)
def test_never_rises_with_the_angle(margin_rad: float) -> None:
    theta = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    shifted = shift_angle(torch.cos(theta), margin_rad)
    assert (shifted.diff() <= 1e-12).all()


@given(margin_rad=st.floats(0.01, 2.33))
def test_a_margin_always_costs_and_its_opposite_always_helps(margin_rad: float) -> None:
    cosines = torch.cos(torch.linspace(0.01, math.pi - 0.01, 200, dtype=torch.float64))
    assert (shift_angle(cosines, margin_rad) < cosines).all()
    assert (shift_angle(cosines, -margin_rad) > cosines).all()


def test_no_margin_is_no_change_to_the_bit() -> None:
    cosines = torch.linspace(-1, 1, 1001)
    assert torch.equal(shift_angle(cosines, 0.0), cosines)
    assert torch.equal(shift_angle(cosines, torch.zeros(1001)), cosines)


def test_margins_per_clip_are_taken_clip_by_clip() -> None:
    """A tensor of margins and a number each take branches of their own, over both joints."""
    grid = torch.meshgrid(torch.linspace(-1, 1, 9), torch.linspace(-3.1, 2.3, 19), indexing="ij")
    cosines, margins = (values.flatten().double() for values in grid)
    one_by_one = [shift_angle(c, m.item()) for c, m in zip(cosines, margins, strict=True)]
    torch.testing.assert_close(shift_angle(cosines, margins), torch.stack(one_by_one))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin_rad", [-0.5, 0.0, 0.5])
@pytest.mark.parametrize("of_each", [False, True])
def test_gradients_are_finite_at_both_ends(dtype: torch.dtype, margin_rad: float, of_each: bool) -> None:
    ends = torch.tensor([-1.0, 1.0], dtype=dtype, requires_grad=True)
    shift_angle(ends, torch.full((2,), margin_rad) if of_each else margin_rad).sum().backward()
    assert ends.grad is not None
    assert np.isfinite(ends.grad.numpy()).all()


@pytest.mark.parametrize("margin_rad", [0.3, torch.tensor(0.3)])
def test_one_margin_for_all_is_recorded_for_each(margin_rad: float | torch.Tensor) -> None:
    class Learned(AngularLoss):
        def target_margin(self, batch: Batch, cosine: torch.Tensor) -> tuple[float | torch.Tensor, float]:
            return margin_rad, 0.0

    codes = torch.tensor([0, 1, 1])
    recorded = Learned(5, (3, 2)).margin_rad(torch.randn(3, 5), Batch(codes, torch.rand(3), codes, codes))
    torch.testing.assert_close(recorded, torch.full((3,), 0.3))
