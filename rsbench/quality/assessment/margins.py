"""The margin that an index makes a loss give each training clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from ...core.errors import SpecError
from ...core.loss import AngularLoss, Batch, create_loss
from ...data.tasks import ICBHI_4
from .study import QualityStudy

QUANTILES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}
EMBEDDING_DIM = 2  # of a loss that never sees an embedding


def angular_loss(name: str, class_counts: Sequence[int], options: Mapping[str, Any]) -> AngularLoss:
    """A loss that has margins. Raises SpecError for one that has none, and for options that are not its."""
    loss = create_loss(name, EMBEDDING_DIM, class_counts, **options)
    if not isinstance(loss, AngularLoss):
        raise SpecError(f"--loss {name}: it has no angular margin. Name one that has; see: rsbench list losses.")
    return loss


def margins(study: QualityStudy, name: str, options: Mapping[str, Any]) -> pd.DataFrame:
    """The distribution of a loss's angular margin over the clips that normalisers are fitted on, per index and class.

    Every class has such a clip. Where a margin depends on the cosine too, it is that of a right angle, as at the start
    of a training.

    Columns: dataset, loss, index, class, clips, q_mean; mean, sd (ddof 0) and QUANTILES of the margin in rad.
    """
    fit = study.data.fit
    labels = study.data.clips["class_index"].to_numpy()[fit]
    loss = angular_loss(name, np.bincount(labels).tolist(), options)
    rows = []
    for index, quality in study.clips.items():
        of_fit = quality[fit]
        margin_rad = target_margins(loss, labels, of_fit)
        for label, class_name in enumerate(ICBHI_4.classes):
            mine = labels == label
            found = margin_rad[mine]
            spread = dict(zip(QUANTILES, np.quantile(found, list(QUANTILES.values())), strict=True))
            about = {"index": index, "class": class_name, "clips": int(mine.sum())}
            rows.append({**about, "q_mean": of_fit[mine].mean(), "mean": found.mean(), "sd": found.std(), **spread})
    return pd.DataFrame(rows).assign(dataset=study.data.dataset, loss=name)


@torch.no_grad()
def target_margins(loss: AngularLoss, labels: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """(N,) the angle in rad that a loss adds to each clip's own, from its class (N,) and quality (N,)."""
    code = torch.as_tensor(labels)
    nobody = torch.zeros_like(code)
    batch = Batch(labels=code, quality=torch.as_tensor(quality), patient=nobody, device=nobody)
    at_right_angles = torch.zeros(len(code), EMBEDDING_DIM, dtype=torch.float64)
    angle_rad: np.ndarray = loss.margin_rad(at_right_angles, batch).double().numpy()
    return angle_rad
