"""What a loss is: the contracts `Batch` and `Loss`, and the base of the angular family.

A loss owns its classifier. `forward` is what training minimises; `logits` is what inference uses, without
labels.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import PluginError, SpecError
from .registry import Registry, adopt_options
from .spec import Range

LOSSES: Registry[type[Loss]] = Registry("loss")

#: How a cross-entropy counts a clip: "none" for all alike, "inverse" for ∝ 1/n of its class.
ClassWeights = Literal["none", "inverse"]

_D = TypeVar("_D", bound=Callable[..., Any])


@dataclass(frozen=True)
class Batch:
    """What is known of the clips in a step, apart from their sound.

    Attributes:
        labels: (B,) class indices.
        quality: (B,) in [0, 1].
        patient: (B,) integer codes; those of the clips that are trained on count from 0.
        device: (B,) likewise.
        progress: share of the whole training done, in [0, 1].
        partner: (B,) the clip each one is mixed with; None where nothing is mixed.
        share: (B,) what it keeps of itself when it is mixed, in [0, 1]; None likewise.
        dataset: (B,) integer codes, as of patients.
    """

    labels: Tensor
    quality: Tensor
    patient: Tensor
    device: Tensor
    progress: float = 0.0
    partner: Tensor | None = None
    share: Tensor | None = None
    dataset: Tensor | None = None


class Loss(nn.Module, ABC):
    """Base of every loss. Subclasses take hyper-parameters as keyword-only arguments with defaults.

    `search` says what a tuning may try for a loss's own options: a range, or the words to choose from. `scale` and
    `class_weights` stay out of it, because a fair tuning searches them alike for all losses.

    Args:
        embedding_dim: D, the width of the embeddings it will be given.
        class_counts: training clips per class, in label order; every one at least 1.
    """

    search: ClassVar[Mapping[str, Range | tuple[str, ...]]] = {}  #: what a tuning may try
    views = 1  #: augmented views per clip; embeddings arrive view-major, (views·B, D)
    stochastic: ClassVar[bool] = False  #: forward draws at random, from torch's own generators, seeded at every step
    compares: ClassVar[bool] = False  #: a clip's loss depends on its neighbours in the batch
    solved: ClassVar[bool] = False  #: by `solve`, of all embeddings at once; the backbone has nothing to learn then
    class_counts: Tensor

    def __init__(self, embedding_dim: int, class_counts: Sequence[int]) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.num_classes = len(class_counts)
        if min(class_counts) < 1:
            raise SpecError(f"class_counts={list(class_counts)}: every class needs at least one training clip.")
        counts = torch.as_tensor(list(class_counts), dtype=torch.float64)
        self.register_buffer("class_counts", counts, persistent=False)

    @property
    def priors(self) -> Tensor:
        """(C,) share of each class among the training clips, float64."""
        return self.class_counts / self.class_counts.sum()

    def meet(self, domains: Mapping[str, int]) -> None:
        """Told once, before training: how many codes of "patient", "device" and "dataset" its batches will hold.

        Raises SpecError where it can make nothing of them.
        """

    def mix(self, features: Tensor, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """Mix clips before the backbone (mixup, Patch-Mix), and say in the batch which with which.

        Args:
            features: (views·B, n_mels, n_frames), view by view; waveforms (views·B, 1, T) or embeddings (views·B, D)
                where the backbone takes these.
            batch: the B clips.
            generator: on the CPU, of all draws.
        """
        return features, batch

    @abstractmethod
    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        """The scalar that training minimises, for embeddings (views·B, D)."""

    @abstractmethod
    def logits(self, embeddings: Tensor) -> Tensor:
        """(B, C) scores for inference: no margin, no labels."""

    def solve(self, embeddings: Tensor, labels: Tensor, held_out: Tensor, held_out_labels: Tensor) -> dict[str, float]:
        """Set the parameters of a loss that is solved, in place of training; the same embeddings give the same bits.

        Args:
            embeddings: (N, D) of all clips to fit, on the CPU like all else here.
            labels: (N,).
            held_out: (M, D) of validation clips, for settings that are chosen on them; M may be 0.
            held_out_labels: (M,).

        Returns what was chosen, for the run's table of epochs.
        """
        raise PluginError(f"{type(self).__name__} says solved = True and defines no solve.")


def inverse_frequency(class_counts: Tensor) -> Tensor:
    """(C,) class weights ∝ 1/n with sum 1, as the published ICBHI scripts use them."""
    weights = 1.0 / class_counts
    return weights / weights.sum()


def at_least_float32(values: Tensor) -> Tensor:
    """Values of any shape: half precision becomes float32; float32 and float64 stay."""
    return values if values.dtype == torch.float64 else values.float()


def cross_entropy(
    logits: Tensor, labels: Tensor, class_counts: Tensor, class_weights: ClassWeights, smoothing: float = 0.0
) -> Tensor:
    """The mean cross-entropy of logits (B, C) over labels (B,), each clip counted by its class: Σ w_y·ℓ / Σ w_y.

    Args:
        logits: (B, C).
        labels: (B,) class indices.
        class_counts: (C,) training clips per class.
        class_weights: "none" for w = 1, "inverse" for `inverse_frequency`.
        smoothing: ε of label smoothing, in [0, 1).
    """
    logits = at_least_float32(logits)
    weight = inverse_frequency(class_counts).to(logits.dtype) if class_weights == "inverse" else None
    return F.cross_entropy(logits, labels, weight, label_smoothing=smoothing)


def shift_angle(cosine: Tensor, angle_rad: Tensor | float) -> Tensor:
    """cos(θ + m) from cos θ, non-increasing in θ over all of [0, π] and with finite gradients at ±1.

    Where θ + m passes π it goes on as cos θ − m·sin m, the rule of ArcFace's authors; where a negative margin
    passes 0 it goes on as 1 + cos θ − cos m.

    Args:
        cosine: cosines in [−1, 1], any shape.
        angle_rad: the margin m in radians, a number or of the same shape; −π < m ≤ 2.33, above which
            cos m + m·sin m < 1 and the authors' rule is no longer monotone.
    """
    if not isinstance(angle_rad, Tensor):
        return _shift_by_one_angle(cosine, angle_rad)
    margin = angle_rad.to(cosine.dtype)
    cos_margin, sin_margin = torch.cos(margin), torch.sin(margin)
    # No margin must be no change, to the bit, whatever the rounding of the sine.
    shifted = torch.where(margin == 0, cosine, cosine * cos_margin - _sine(cosine) * sin_margin)
    past_pi = (margin > 0) & (cosine <= -cos_margin)
    past_zero = (margin < 0) & (cosine >= cos_margin)
    shifted = torch.where(past_pi, cosine - margin * sin_margin, shifted)
    return torch.where(past_zero, 1 + cosine - cos_margin, shifted)


def _shift_by_one_angle(cosine: Tensor, margin: float) -> Tensor:
    """The same for a number: the branches are taken on the host, and the device waits for nothing."""
    if margin == 0:
        return cosine
    cos_margin, sin_margin = math.cos(margin), math.sin(margin)
    shifted = cosine * cos_margin - _sine(cosine) * sin_margin
    if margin > 0:
        return torch.where(cosine <= -cos_margin, cosine - margin * sin_margin, shifted)
    return torch.where(cosine >= cos_margin, 1 + cosine - cos_margin, shifted)


def _sine(cosine: Tensor) -> Tensor:
    """sin θ from cos θ. The root's slope is infinite at ±1; the floor is what the dtype can still resolve there."""
    return torch.sqrt((1 - cosine * cosine).clamp_min(torch.finfo(cosine.dtype).eps))


def own_cosine(cosines: Tensor, labels: Tensor) -> Tensor:
    """(B,) of the cosines (B, C), each clip's with its own class."""
    return cosines.gather(1, labels.unsqueeze(1)).squeeze(1)


def move_target(cosines: Tensor, labels: Tensor, angle_rad: Tensor | float, additive: Tensor | float) -> Tensor:
    """(B, C) cosines with each clip's own, that of its label, replaced by cos(θ_y + angle) − additive.

    Args:
        cosines: (B, C).
        labels: (B,).
        angle_rad: a number, or one per clip; see `shift_angle`.
        additive: in units of the cosine, a number or one per clip.
    """
    moved = shift_angle(own_cosine(cosines, labels), angle_rad) - additive
    return cosines.scatter(1, labels.unsqueeze(1), moved.unsqueeze(1))


class AngularLoss(Loss):
    """Cross-entropy over scaled cosines between normalised embeddings and normalised class weights.

    A margin is one method: `target_margin`. Losses that change other classes' cosines override `margined`.

    Args:
        scale: s, by which the cosines are multiplied.
        class_weights: how the cross-entropy counts a clip: "none" for all alike, "inverse" for ∝ 1/n of its class.
    """

    def __init__(
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        scale: Annotated[float, Field(gt=0)] = 30.0,
        class_weights: ClassWeights = "none",
    ) -> None:
        super().__init__(embedding_dim, class_counts)
        self.scale = scale
        self.class_weights = class_weights
        self.weight = nn.Parameter(torch.empty(self.num_classes, embedding_dim))
        nn.init.xavier_uniform_(self.weight)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """(B, C) cosines between embeddings and class weights, in at least float32."""
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = at_least_float32(embeddings)
            weight = self.weight.to(embeddings.dtype)
            return F.linear(F.normalize(embeddings), F.normalize(weight)).clamp(-1, 1)

    def target_margin(self, batch: Batch, cosine: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """(angle in radians, additive margin in cosine units) for each clip's own class.

        Args:
            batch: the clips.
            cosine: (B,) the cosine of each clip with its own class.
        """
        return 0.0, 0.0

    def margined(self, cosines: Tensor, norms: Tensor, batch: Batch) -> Tensor:
        """(B, C) cosines with the target's replaced by cos(θ_y + angle) − additive.

        Args:
            cosines: (B, C).
            norms: (B,) lengths of the embeddings before normalisation.
            batch: the clips.
        """
        return move_target(cosines, batch.labels, *self.target_margin(batch, own_cosine(cosines, batch.labels)))

    def margined_logits(self, embeddings: Tensor, batch: Batch) -> Tensor:
        """(B, C) the scores whose cross-entropy training minimises."""
        norms = at_least_float32(embeddings).norm(dim=1)
        return self.scale * self.margined(self.cosines(embeddings), norms, batch)

    def margin_rad(self, embeddings: Tensor, batch: Batch) -> Tensor:
        """(B,) the angle that training would add to each clip's own, for a run's record; NaN where there is none."""
        own = own_cosine(self.cosines(embeddings), batch.labels)
        angle_rad, _ = self.target_margin(batch, own)
        if isinstance(angle_rad, Tensor):
            return angle_rad.to(own.dtype).expand(len(own))  # a learned margin may be one number for all
        return torch.full_like(own, angle_rad)

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        logits = self.margined_logits(embeddings, batch)
        return cross_entropy(logits, batch.labels, self.class_counts, self.class_weights)

    def logits(self, embeddings: Tensor) -> Tensor:
        return self.scale * self.cosines(embeddings)


class LinearLoss(Loss):
    """Base of losses over a linear classifier, W·x + b."""

    def __init__(self, embedding_dim: int, class_counts: Sequence[int]) -> None:
        super().__init__(embedding_dim, class_counts)
        self.classifier = nn.Linear(embedding_dim, self.num_classes)

    def logits(self, embeddings: Tensor) -> Tensor:
        logits: Tensor = self.classifier(embeddings)
        return logits


def _loss_from_function(function: Callable[..., Tensor]) -> type[Loss]:
    """A plain `f(logits, batch, *, …)` over a linear classifier; its keyword-only arguments are options."""

    class FunctionLoss(LinearLoss):
        def __init__(self, embedding_dim: int, class_counts: Sequence[int], **hyper: Any) -> None:
            super().__init__(embedding_dim, class_counts)
            self.hyper = hyper

        def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
            return function(self.logits(embeddings), batch, **self.hyper)

    FunctionLoss.__name__ = FunctionLoss.__qualname__ = function.__name__
    FunctionLoss.__doc__ = function.__doc__
    adopt_options(FunctionLoss.__init__, function)
    return FunctionLoss


def register_loss(name: str, *, summary: str = "", paper: str = "") -> Callable[[_D], _D]:
    """Register a `Loss` subclass, or a plain function `f(logits, batch)` that gets a linear classifier.

    Raises PluginError when the name is taken or the decorated thing is neither.
    """

    def decorate(thing: _D) -> _D:
        if isinstance(thing, type) and issubclass(thing, Loss):
            loss: type[Loss] = thing
        elif inspect.isfunction(thing):
            loss = _loss_from_function(thing)
        else:
            raise PluginError(f"@register_loss('{name}') takes a subclass of Loss or a function f(logits, batch).")
        LOSSES.register(name, loss, summary=summary, paper=paper, source=thing)
        return thing

    return decorate


def create_loss(name: str, embedding_dim: int, class_counts: Sequence[int], **hyper: Any) -> Loss:
    """A registered loss by name, e.g. `create_loss("qlung", 512, (2063, 1215, 501, 363), kappa_rad=0.7)`.

    Args:
        name: see `list_losses`.
        embedding_dim: D, the width of the embeddings it will be given.
        class_counts: training clips per class, in label order.
        hyper: its options; one that it does not have raises SpecError.
    """
    from .plugins import discover

    discover()
    loss: Loss = LOSSES.create(name, embedding_dim, class_counts, **hyper)
    return loss


def list_losses() -> list[str]:
    """Names of all losses: built-in, installed and loaded from plugins."""
    from .plugins import discover

    discover()
    return LOSSES.names()
