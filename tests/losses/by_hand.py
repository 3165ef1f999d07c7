"""Losses computed clip by clip in float64, as the papers write them, and the clips to do it with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsbench import AngularLoss, Batch, Loss, create_loss

COUNTS = (2063, 1215, 501, 363)
PRIORS = np.array(COUNTS) / sum(COUNTS)
LABELS = torch.tensor([0, 1, 2, 3, 3, 2, 0, 1, 0])
QUALITY = torch.linspace(0, 1, 9, dtype=torch.float64)
BATCH = Batch(LABELS, QUALITY, torch.zeros(9), torch.zeros(9))
DIM = 6


def make_loss(name: str, **options: Any) -> Loss:
    torch.manual_seed(0)
    return create_loss(name, DIM, COUNTS, **options).double()


def make_embeddings(loss: Loss) -> Tensor:
    """Nine clips in all directions; the eighth lies against its own class, past every margin's π − m."""
    embeddings = torch.randn(9, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    if isinstance(loss, AngularLoss):
        embeddings[7] = -2 * loss.weight[LABELS[7]].detach() + 0.01 * embeddings[7]
    return embeddings


def cross_entropy(logits: np.ndarray, label: int) -> float:
    """−log softmax, for one clip."""
    return math.log(sum(math.exp(logit - logits.max()) for logit in logits)) + logits.max() - logits[label]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return float(product / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b)))


def cosines_of(loss: AngularLoss, embedding: np.ndarray) -> np.ndarray:
    return np.array([cosine(embedding, weight) for weight in loss.weight.detach().numpy()])


def turned(target: float, margin_rad: float) -> float:
    """cos(θ + m), or ArcFace's continuation where θ + m passes π."""
    angle = math.acos(target)
    return math.cos(angle + margin_rad) if angle + margin_rad <= math.pi else target - margin_rad * math.sin(margin_rad)


def with_target(cosines: np.ndarray, label: int, value: float) -> np.ndarray:
    return np.array([value if k == label else c for k, c in enumerate(cosines)])
