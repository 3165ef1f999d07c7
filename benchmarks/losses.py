"""What does a loss cost beside the same one of pytorch-metric-learning? Forward and backward, on one batch.

    python benchmarks/losses.py [--batch 64] [--width 512] [--classes 4 1000]

Both own their classifier; margins and scales are each package's defaults, which cost the same whatever they are.
"""

from __future__ import annotations

import argparse
import statistics
import warnings

import torch
from measured import Ratio, compared, cpu_seconds, in_turn
from torch import Tensor, nn

from rsbench.core.loss import Batch, create_loss

PEERS = {
    "arcface": "ArcFaceLoss",
    "cosface": "CosFaceLoss",
    "subcenter_arcface": "SubCenterArcFaceLoss",
    "normalised_softmax": "NormalizedSoftmaxLoss",
}
REPEATS = 20  # steps to one figure


def measure(name: str, batch_size: int, width: int, classes: int, rounds: int) -> Ratio:
    """One loss beside its peer. Raises ModuleNotFoundError where the package is not there."""
    from pytorch_metric_learning import losses as package

    torch.manual_seed(0)
    embeddings = torch.randn(batch_size, width)
    labels = torch.randint(classes, (batch_size,))
    batch = Batch(labels, torch.rand(batch_size), labels, labels)
    ours = create_loss(name, width, [10] * classes)
    theirs: nn.Module = getattr(package, PEERS[name])(num_classes=classes, embedding_size=width)
    steps = {
        f"{name}, {classes} classes": lambda: _steps(ours, embeddings, batch),
        f"{PEERS[name]} of pytorch-metric-learning": lambda: _steps(theirs, embeddings, labels),
    }
    return compared(in_turn(cpu_seconds, steps, rounds))


def _steps(loss: nn.Module, embeddings: Tensor, labels: Batch | Tensor) -> None:
    for _ in range(REPEATS):
        loss.zero_grad()
        loss(embeddings.clone().requires_grad_(), labels).backward()


def ratios(quick: bool, batch_size: int = 64, width: int = 512, classes: tuple[int, ...] = (4, 1000)) -> list[Ratio]:
    torch.set_num_threads(1)  # such small steps are not divided
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array_wrap__", DeprecationWarning)  # of the package, under NumPy 2
        rounds = 3 if quick else 7
        return [measure(name, batch_size, width, count, rounds) for count in classes for name in PEERS]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=512, help="of an embedding")
    parser.add_argument("--classes", type=int, nargs="+", default=[4, 1000])
    options = parser.parse_args()
    for ratio in ratios(False, options.batch, options.width, tuple(options.classes)):
        print(f"{ratio.what}: {statistics.median(ratio.rounds):.2f} of the CPU time of {ratio.beside}")


if __name__ == "__main__":
    main()
