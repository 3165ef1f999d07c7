"""Losses that break a contract each, named after the check that must say so; after a "-" a second way to break it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import AngularLoss, Batch, Loss, Range, register_loss


class Linear(Loss):
    """Cross-entropy over a linear classifier, which keeps every contract."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.classifier = nn.Linear(self.embedding_dim, self.num_classes)

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(self.logits(embeddings), batch.labels)

    def logits(self, embeddings: Tensor) -> Tensor:
        return self.classifier(embeddings)


register_loss("sound", summary="breaks nothing")(Linear)


@register_loss("is_made_with_its_defaults")
class NoDefault(Linear):
    def __init__(self, *args: object, m_rad: float) -> None:
        super().__init__(*args)


@register_loss("gives_a_scalar_and_logits")
def a_loss_per_clip(logits: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(logits, batch.labels, reduction="none")


@register_loss("gives_a_scalar_and_logits-late")
def nan_at_the_end(logits: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(logits, batch.labels) / (batch.progress < 1)


@register_loss("gradients_reach_embeddings_and_parameters")
class SpareParameter(Linear):
    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.spare = nn.Parameter(torch.ones(3))


@register_loss("gradients_reach_embeddings_and_parameters-view")
class SecondViewIgnored(Linear):
    views = 2

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        return super().forward(embeddings.chunk(2)[0], batch)


@register_loss("logits_see_no_labels")
class ReadsLabels(Linear):
    labels: Tensor | None = None

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        loss = super().forward(embeddings, batch)
        self.labels = batch.labels
        return loss

    def logits(self, embeddings: Tensor) -> Tensor:
        known = self.labels is not None and len(self.labels) == len(embeddings)
        return super().logits(embeddings) + (F.one_hot(self.labels, self.num_classes) if known else 0)


@register_loss("logits_see_no_labels-argument")
class AsksForLabels(Linear):
    def logits(self, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().logits(embeddings)


@register_loss("logits_of_a_clip_do_not_depend_on_its_neighbours")
class CentredOnTheBatch(Linear):
    def logits(self, embeddings: Tensor) -> Tensor:
        return super().logits(embeddings - embeddings.mean(dim=0))


class Averaging(Linear):
    """With a moving average of the loss, as a buffer that moves in training."""

    average: Tensor

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.register_buffer("average", torch.ones(()))

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        loss = super().forward(embeddings, batch)
        if self.moves():
            self.average = 0.9 * self.average + 0.1 * loss.detach()
        return loss * self.average

    def moves(self) -> bool:
        return self.training


@register_loss("eval_mode_moves_no_state")
class MovesInEval(Averaging):
    def moves(self) -> bool:
        return True


@register_loss("state_survives_a_round_trip")
class ForgetsItsState(Averaging):
    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        del self.average
        self.average = torch.ones(())  # an attribute, which no checkpoint holds


@register_loss("order_of_the_batch_does_not_matter")
def later_clips_count_more(logits: Tensor, batch: Batch) -> Tensor:
    weights = torch.linspace(0, 1, len(logits))
    return (weights * F.cross_entropy(logits, batch.labels, reduction="none")).mean()


@register_loss("classes_may_be_absent")
def balanced_in_the_batch(logits: Tensor, batch: Batch) -> Tensor:
    losses = F.cross_entropy(logits, batch.labels, reduction="none")
    return torch.stack([losses[batch.labels == label].mean() for label in range(logits.shape[1])]).mean()


@register_loss("a_batch_may_hold_one_clip")
def standardised(logits: Tensor, batch: Batch) -> Tensor:
    losses = F.cross_entropy(logits, batch.labels, reduction="none")
    return losses.mean() + torch.sqrt(losses.var() + 1e-3)


@register_loss("finite_in_bfloat16")
def far_from_zero(logits: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(20 * logits + 5000, batch.labels)


@register_loss("finite_at_the_ends_of_the_cosine")
class ByTheAngle(AngularLoss):
    def cosines(self, embeddings: Tensor) -> Tensor:
        cosines = F.linear(F.normalize(embeddings), F.normalize(self.weight))
        return cosines + (cosines.clamp(-1, 1) - cosines).detach()  # from torch 2.14 on, a clamp has no slope at ±1

    def margined(self, cosines: Tensor, norms: Tensor, batch: Batch) -> Tensor:
        return cosines.acos().cos()


@register_loss("finite_at_an_embedding_of_zeros")
class DividesByTheNorm(Linear):
    def logits(self, embeddings: Tensor) -> Tensor:
        return super().logits(embeddings / embeddings.norm(dim=1, keepdim=True))


@register_loss("compiles")
def another_when_compiled(logits: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(logits, batch.labels) * (2 if torch.compiler.is_compiling() else 1)


@register_loss("stochastic_as_declared")
def draws_without_saying_so(logits: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(logits + torch.randn_like(logits), batch.labels)


@register_loss("stochastic_as_declared-never")
class SaysSoAndNeverDraws(Linear):
    stochastic = True


@register_loss("stochastic_as_declared-numpy")
class DrawsFromNumpy(Linear):
    stochastic = True

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        return super().forward(embeddings, batch) * float(np.random.default_rng().uniform(0.5, 1))


@register_loss("compares_as_declared")
class ComparesWithoutSayingSo(Linear):
    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        return super().forward(embeddings, batch) + F.cosine_similarity(embeddings, embeddings.mean(dim=0)).mean()


@register_loss("compares_as_declared-never")
class SaysSoAndNeverCompares(Linear):
    compares = True


class Mixing(Linear):
    compares = True

    def mix(self, features: Tensor, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        partner = torch.randperm(len(batch.labels), generator=self.drawn_from(generator))
        return (features + features[partner]) / 2, batch

    def drawn_from(self, generator: torch.Generator) -> torch.Generator | None:
        return generator


@register_loss("mixing_keeps_its_contract")
class MixesByTheGlobalGenerator(Mixing):
    def drawn_from(self, generator: torch.Generator) -> None:
        return None


@register_loss("mixing_keeps_its_contract-clips")
class LeavesClipsOut(Mixing):
    def mix(self, features: Tensor, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        return features[:1], batch


@register_loss("class_weights_count_where_classes_differ_in_size")
class IgnoresClassWeights(AngularLoss):
    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(self.logits(embeddings), batch.labels)


@register_loss("a_search_may_try_what_it_registers")
class DefaultOutsideTheRange(Linear):
    search = {"power": Range(1.0, 2.0)}

    def __init__(self, *args: object, power: float = 3.0) -> None:
        super().__init__(*args)


@register_loss("a_search_may_try_what_it_registers-corner")
class DivergesInACorner(AngularLoss):
    search = {"temperature": Range(0.0, 2.0)}

    def __init__(self, *args: object, temperature: float = 1.0, **options: object) -> None:
        super().__init__(*args, **options)
        self.temperature = temperature

    def margined(self, cosines: Tensor, norms: Tensor, batch: Batch) -> Tensor:
        return cosines / self.temperature


@register_loss("separates_what_is_separable")
def prefers_the_wrong_class(logits: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(-logits, batch.labels)


@register_loss("solves_as_declared")
class NeverSolves(Linear):
    solved = True


@register_loss("solves_as_declared-draws")
class SolvesAtRandom(Linear):
    solved = True

    def solve(self, embeddings: Tensor, labels: Tensor, held_out: Tensor, held_out_labels: Tensor) -> dict[str, float]:
        nn.init.normal_(self.classifier.weight)
        return {}
