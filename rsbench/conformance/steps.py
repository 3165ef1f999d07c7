"""Steps of training as a loss meets them, without a backbone and without recordings.

As in the loop: as many views as the loss asks for, mixed by its own `mix`, and torch's generators seeded before
`forward`. A small fixed projection stands for the backbone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..core.loss import Batch, Loss, create_loss
from .checks import Case, expect_finite

COUNTS = (2063, 1215, 501, 363)  # of ICBHI's official training half
CLASSES = len(COUNTS)
DIM = 16
DOMAINS = {"patient": 4, "device": 2, "dataset": 2}
FEATURES = (32, 48)  # bins and frames, whole patches of 16
LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 0, 3])


def build(case: Case, counts: tuple[int, ...] = COUNTS, seed: int = 0, **options: Any) -> Loss:
    torch.manual_seed(seed)
    loss = create_loss(case.name, DIM, counts, **dict(case.options), **options)
    loss.meet(DOMAINS)
    return loss


def clips(labels: Tensor, progress: float = 0.5) -> Batch:
    """Clips (B,) of these labels, whose qualities span [0, 1]: of patients and devices that do not go by class."""
    quality = torch.rand(len(labels), generator=generator(1))
    quality[0], quality[-1] = 0.0, 1.0
    order = torch.arange(len(labels))
    device = order // CLASSES % DOMAINS["device"]
    return Batch(labels, quality, order // 2 % DOMAINS["patient"], device, progress, dataset=device)


def recordings(loss: Loss, labels: Tensor) -> Tensor:
    """Features (views·B, bins, frames): a pattern for each class, under noise of 0.4 times its level."""
    patterns = torch.randn(CLASSES, *FEATURES, generator=generator(2))
    noise = torch.randn(loss.views * len(labels), *FEATURES, generator=generator(3))
    return patterns[labels.repeat(loss.views)] + 0.4 * noise


def embed(features: Tensor) -> Tensor:
    """(N, D) embeddings of features (N, bins, frames), of norm about 4, by a fixed projection."""
    directions = torch.randn(features[0].numel(), DIM, generator=generator(4))
    return features.flatten(1) @ directions / features[0].numel() ** 0.5


def training_step(loss: Loss, labels: Tensor, progress: float = 0.5, draw: int = 0) -> tuple[Tensor, Batch]:
    """Embeddings (views·B, D) and their batch, as a step of training gives them to `forward`."""
    features, batch = loss.mix(recordings(loss, labels), clips(labels, progress), generator(draw))
    return embed(features), batch


def value(loss: Loss, embeddings: Tensor, batch: Batch, seed: int = 0) -> Tensor:
    """The loss, with torch's generators seeded as the loop does before every step."""
    torch.manual_seed(seed)
    result: Tensor = loss(embeddings, batch)
    return result


def backward(loss: Loss, embeddings: Tensor, batch: Batch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The loss, and its gradients for the embeddings and for each parameter that learns; 0 where none arrives."""
    leaf = embeddings.detach().clone().requires_grad_()
    learning = {name: parameter for name, parameter in loss.named_parameters() if parameter.requires_grad}
    result = value(loss, leaf, batch)
    of_embeddings, *of_parameters = torch.autograd.grad(
        result, [leaf, *learning.values()], allow_unused=True, materialize_grads=True
    )
    return result.detach(), of_embeddings, dict(zip(learning, of_parameters, strict=True))


def expect_finite_step(loss: Loss, embeddings: Tensor, batch: Batch, where: str) -> Tensor:
    """The loss and all gradients are numbers; returns the loss."""
    result, of_embeddings, of_parameters = backward(loss, embeddings, batch)
    expect_finite(result, f"the loss {where}")
    expect_finite(of_embeddings, f"the gradient of the embeddings {where}")
    for name, gradient in of_parameters.items():
        expect_finite(gradient, f"the gradient of {name} {where}")
    return result


def as_embeddings(parameter: Tensor) -> list[Tensor]:
    """The rows and the columns of a matrix that are D wide, (N, D) each."""
    turned = [parameter, parameter.transpose(0, -1)] if parameter.ndim > 1 else []
    return [matrix.reshape(-1, DIM) for matrix in turned if matrix.shape[-1] == DIM]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
