"""What is kept of embeddings: their place on a few principal axes, enough for a map and small enough to keep."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

MOST_AXES = 32


def on_principal_axes(
    embeddings: Mapping[str, NDArray[np.float32]], fitted_on: NDArray[np.float32]
) -> dict[str, NDArray[np.float16]]:
    """Embeddings per data set, (N, D) each, as (N, at most 32) places on the axes that spread `fitted_on` most.

    `fitted_on` is of training patients, so that no test clip has a say in where the axes lie. Distances in units of the
    first axis' standard deviation, so that float16 can hold them. {} where fewer than two embeddings are there to fit.
    """
    if len(fitted_on) < 2:
        return {}
    centre = fitted_on.mean(axis=0)
    _, spread, axes = np.linalg.svd(fitted_on - centre, full_matrices=False)
    unit = spread[0] / np.sqrt(len(fitted_on) - 1) or 1.0  # embeddings that are all one have no spread to measure in
    return {
        name: ((found - centre) @ axes[:MOST_AXES].T / unit).astype(np.float16) for name, found in embeddings.items()
    }
