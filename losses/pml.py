"""The classification losses of pytorch-metric-learning, by their names there: pml:ArcFaceLoss, pml:SoftTripleLoss."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rsbench import Batch, Loss, at_least_float32
from rsbench.core.errors import SpecError, did_you_mean
from rsbench.core.loss import LOSSES
from rsbench.core.registry import Family

PACKAGE = "pytorch-metric-learning"


class PmlLoss(Loss):
    """A loss of pytorch-metric-learning with the classifier that it owns.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        **options: those of the wrapped class in its own units (degrees, say), and `version`, that of the package:
            other versions may compute another loss, so that a run is of one of them.

    Raises SpecError when another version is installed, and when the wrapped class refuses its options.
    """

    wrapped: ClassVar[type[nn.Module]]

    def __init__(self, embedding_dim: int, class_counts: Sequence[int], **options: Any) -> None:
        super().__init__(embedding_dim, class_counts)
        wanted = options.pop("version")
        if wanted != version(PACKAGE):
            raise SpecError(
                f"loss.version={wanted}: {PACKAGE} {version(PACKAGE)} is installed. "
                f"pip install {PACKAGE}=={wanted}, or leave out loss.version."
            )
        try:
            self.inner: Any = self.wrapped(num_classes=self.num_classes, embedding_size=embedding_dim, **options)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:  # as the package puts it
            told = ", ".join(f"loss.{name}={value}" for name, value in options.items())
            raise SpecError(f"{PACKAGE} makes no {self.wrapped.__name__} with {told}: {error}.") from None

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            loss: Tensor = self.inner(at_least_float32(embeddings), batch.labels)
        return loss

    def logits(self, embeddings: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            scores: Tensor = self.inner.get_logits(at_least_float32(embeddings))
        # "Inverted" is the package's word for a similarity; ProxyNCALoss gives distances, the least to the own class.
        return scores if self.inner.distance.is_inverted else -scores


def _register(name: str) -> None:
    """Register `pml:<name>`. Raises SpecError where that cannot be."""
    losses = _package()
    classes = dict(inspect.getmembers(losses, inspect.isclass))
    classifying = [known for known, found in classes.items() if hasattr(found, "get_logits")]
    if name not in classes:
        raise SpecError(f"{PACKAGE} has no loss '{name}'.{did_you_mean(name, classifying)}")
    if name not in classifying:
        raise SpecError(
            f"loss 'pml:{name}' compares clips and has no classifier, so that nothing could be predicted. "
            f"Choose one of {', '.join(classifying)}."
        )
    defaults = _options(classes[name]) | {"version": version(PACKAGE)}
    loss = type(name, (PmlLoss,), {"wrapped": classes[name], "__init__": _constructor(defaults)})
    summary = f"{name} of {PACKAGE} {version(PACKAGE)}"
    paper = "Musgrave et al., 2020, arXiv:2008.09164"
    LOSSES.register(f"pml:{name}", loss, summary=summary, paper=paper, source=PmlLoss)


def _package() -> ModuleType:
    try:
        return importlib.import_module("pytorch_metric_learning.losses")
    except ModuleNotFoundError:
        raise SpecError(
            f"loss 'pml:…' is one of {PACKAGE}, which is not installed: pip install 'rsbench[pml]'."
        ) from None


def _options(wrapped: type) -> dict[str, Any]:
    """The numbers that a loss of the package takes, with their defaults: not its distances, reducers, regularisers."""
    found: dict[str, Any] = {}
    for base in wrapped.__mro__:
        _, _, module = base.__module__.partition("pytorch_metric_learning.losses.")
        if module not in ("", "mixins") and "__init__" in vars(base):
            arguments = inspect.signature(vars(base)["__init__"]).parameters.values()
            numbers = {each.name: each.default for each in arguments if isinstance(each.default, int | float)}
            found = numbers | found  # what a class says goes before what its base says
    return found


def _constructor(defaults: Mapping[str, Any]) -> Callable[..., None]:
    """A constructor whose signature names these options, for the registry reads options off signatures."""

    def init(self: PmlLoss, embedding_dim: int, class_counts: Sequence[int], **options: Any) -> None:
        PmlLoss.__init__(self, embedding_dim, class_counts, **{**defaults, **options})

    kinds = {name: str if isinstance(default, str) else int | float for name, default in defaults.items()}
    positional = [p for p in inspect.signature(init).parameters.values() if p.kind is not p.VAR_KEYWORD]
    named = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=d) for name, d in defaults.items()]
    init.__signature__ = inspect.Signature([*positional, *named])  # type: ignore[attr-defined]
    init.__annotations__ = kinds
    return init


LOSSES.families["pml"] = Family(
    _register, f"a classification loss of {PACKAGE} (pml:ArcFaceLoss), in its own units", example="CosFaceLoss"
)
