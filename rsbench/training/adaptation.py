"""A trained model adapted to the clips of a test set, whose labels nobody looks at: transductive, and said so.

What it then calls a clip depends on the others. Two ways, both through batch normalisation: its statistics taken from
the test clips (AdaBN), and its weights moved until the calls are more certain (TENT).
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from ..core.backbone import embeddings_of
from ..core.draws import generator, sent
from ..core.errors import SpecError
from ..core.spec import RunSpec
from .clipset import ClipSet
from .predict import Model, exact

TENT_LR = 1e-3  # Adam's, as in TENT's appendix for all but ImageNet

_BatchNorm = nn.modules.batchnorm._BatchNorm  # of one, two and three dimensions


def adapted(model: Model, clips: ClipSet, rows: Tensor, spec: RunSpec) -> Model:
    """A copy of the model, adapted to some clips as `spec.data.adapt` says; itself where it says "none".

    Args:
        model: as training left it; it stays so.
        clips: the data set that is about to be predicted.
        rows: (N,) those of its clips that adapt the model, on the device.
        spec: the run; its batch size is that of the adaptation.
    """
    adapt = ADAPTATIONS.get(spec.data.adapt)
    return adapt(copy.deepcopy(model), clips, rows, spec) if adapt else model


def refuse_what_cannot_adapt(model: Model, spec: RunSpec) -> None:
    """Raise SpecError for a backbone without what would be adapted, before it is trained."""
    norms, name = _norms(model), spec.backbone.name
    if spec.data.adapt in ADAPTATIONS and not norms:
        raise SpecError(
            f"data.adapt={spec.data.adapt}: '{name}' has no batch normalisation to adapt. Say data.adapt=none."
        )
    if spec.data.adapt == "tent" and not _weights(norms):
        raise SpecError(
            f"data.adapt=tent: the batch normalisation of '{name}' has no weights to move. Say data.adapt=adabn."
        )


def adabn(model: Model, clips: ClipSet, rows: Tensor, spec: RunSpec) -> Model:
    """The statistics of batch normalisation become those of these clips (Li et al., Pattern Recognition 80, 2018).

    Means over batches of the run's size, in one pass; layers are passed in order, each seeing what the others before it
    make of a batch.
    """
    for norm in _norms(model):
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    with torch.no_grad():
        for batch in _batches(model, rows, spec):
            _embedded(model, clips, batch)
    return model.eval()


def tent(model: Model, clips: ClipSet, rows: Tensor, spec: RunSpec) -> Model:
    """Batch normalisation normalises by the batch, and its weights move to where calls are most certain.

    The mean entropy of the calls is lowered by Adam, in one pass over these clips (Wang et al., TENT, ICLR 2021); then
    its statistics are taken from them once more, and all are called by one model: TENT's offline form.
    """
    model.requires_grad_(False)
    moved = _weights(_norms(model))
    for weight in moved:
        weight.requires_grad_(True)
    optimiser = torch.optim.Adam(moved, lr=TENT_LR)
    for batch in _batches(model, rows, spec):
        logits = model.loss.logits(_embedded(model, clips, batch))
        log_p = logits.log_softmax(dim=1)
        entropy = -(log_p.exp() * log_p).sum(dim=1).mean()
        optimiser.zero_grad()
        entropy.backward()
        optimiser.step()
    return adabn(model, clips, rows, spec)


ADAPTATIONS: Mapping[str, Callable[[Model, ClipSet, Tensor, RunSpec], Model]] = {"adabn": adabn, "tent": tent}


def _batches(model: Model, rows: Tensor, spec: RunSpec) -> Iterator[Tensor]:
    """The clips in batches of nearly equal size, at random; batch normalisation alone is in training meanwhile.

    No batch is a lone clip, which has no spread to normalise by.
    """
    model.eval()
    for norm in _norms(model):
        norm.train()
    order = sent(torch.randperm(len(rows), generator=generator(spec.seed, "adapt", 0)), rows.device)
    with exact(rows.device):
        yield from rows[order].tensor_split(-(-len(rows) // spec.optim.batch_size))


def _embedded(model: Model, clips: ClipSet, rows: Tensor) -> Tensor:
    return embeddings_of(model.backbone, clips.features(rows), functools.partial(clips.heard, rows)).float()


def _norms(model: Model) -> list[_BatchNorm]:
    return [module for module in model.backbone.modules() if isinstance(module, _BatchNorm)]


def _weights(norms: list[_BatchNorm]) -> list[nn.Parameter]:
    return [weight for norm in norms for weight in norm.parameters()]
