"""Class weights that several losses share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

Beta = Annotated[float, Field(ge=0, lt=1)]


def effective_number_weights(class_counts: Tensor, beta: float) -> Tensor:
    """(C,) weights (1 − β) / (1 − β^n) with sum C: the inverse of how many distinct clips n clips stand for.

    From 1 for all at β = 0 to ∝ 1/n as β nears 1. Cui et al., CVPR 2019.
    """
    weights = (1 - beta) / (1 - beta**class_counts)
    return weights * len(weights) / weights.sum()
