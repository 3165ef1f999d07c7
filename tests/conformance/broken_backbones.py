"""Backbones that break a contract each, named after the check that must say so."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rsbench import Backbone, Frontend, PublicWeights, register_backbone


class Pooled(Backbone):
    """The mean over time, and two layers on it: keeps every contract."""

    frontend = Frontend("kaldi-fbank")

    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__(n_mels, n_frames)
        self.embedding_dim = 16
        self.hidden = nn.Sequential(nn.Linear(n_mels, 32), nn.ReLU())
        self.project = nn.Linear(32, 16)

    def forward(self, features: Tensor) -> Tensor:
        return self.project(self.hidden(features.mean(dim=2)))


register_backbone("sound", summary="breaks nothing")(Pooled)


@register_backbone("sound-faint", summary="embeddings of 1e-10, which break nothing before training")
class FaintButSound(Pooled):
    def forward(self, features: Tensor) -> Tensor:
        return 1e-10 * super().forward(features)


@register_backbone("is_made_with_its_defaults", summary="raises")
class CannotBeMade(Pooled):
    def __init__(self, n_mels: int, n_frames: int) -> None:
        raise ZeroDivisionError("on purpose")


@register_backbone("is_made_with_its_defaults-exit", summary="ends the process")
class Exits(Pooled):
    def __init__(self, n_mels: int, n_frames: int) -> None:
        sys.exit(0)


@register_backbone("what_it_declares_exists", summary="a recipe of unknown fields")
class UnknownRecipe(Pooled):
    recipe = {"learning_rate": 1e-3}


@register_backbone("what_it_declares_exists-licence", summary="weights without a licence")
class WeightsWithoutLicence(Pooled):
    public_weights = (PublicWeights("some", "some.pt", "https://some.org", "", ("AudioSet",), "https://some.org/a.pt"),)


@register_backbone("embeddings_have_their_shape_for_any_length", summary="another width than it says")
class WrongWidth(Pooled):
    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__(n_mels, n_frames)
        self.embedding_dim = 17


@register_backbone("embeddings_have_their_shape_for_any_length-none", summary="no embeddings at all")
class ReturnsNothing(Pooled):
    def forward(self, features: Tensor) -> None:
        super().forward(features)


@register_backbone("embeddings_have_their_shape_for_any_length-deaf", summary="one embedding for all")
class Deaf(Pooled):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(torch.zeros_like(features))


@register_backbone("a_clip_alone_is_the_clip_in_a_batch", summary="normalised over the batch")
class OverTheBatch(Pooled):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features - features.mean(dim=0))


@register_backbone("a_clip_alone_is_the_clip_in_a_batch-faint", summary="the same, with embeddings of 1e-10")
class FaintOverTheBatch(OverTheBatch):
    def forward(self, features: Tensor) -> Tensor:
        return 1e-10 * super().forward(features)


@register_backbone("unheard_frames_change_nothing", summary="asks for a mask and leaves it aside")
class DeafToTheMask(Pooled):
    takes_mask = True

    def forward(self, features: Tensor, heard: Tensor) -> Tensor:
        return super().forward(features)


@register_backbone("its_stages_hold_every_parameter_once", summary="leaves out its last layer")
class LeavesOutAStage(Pooled):
    def stages(self) -> list[list[str]]:
        return super().stages()[:-1]


@register_backbone("its_own_checkpoint_fits_and_is_not_touched", summary="drops what it does not know")
class Forgetful(Pooled):
    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in state.items() if name.startswith("hidden")}


@register_backbone("features_are_left_as_they_are", summary="works in place")
class InPlace(Pooled):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.mul_(2))


@register_backbone("gradients_are_finite_and_reach_every_parameter", summary="a layer that nothing uses")
class SpareLayer(Pooled):
    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__(n_mels, n_frames)
        self.spare = nn.Linear(2, 2)


@register_backbone("the_seed_decides_the_weights", summary="seeds itself")
class SeedsItself(Pooled):
    def __init__(self, n_mels: int, n_frames: int) -> None:
        torch.manual_seed(7)
        super().__init__(n_mels, n_frames)


@register_backbone("state_survives_a_round_trip", summary="a running mean as an attribute")
class RunningMean(Pooled):
    mean = torch.zeros(())

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * features.mean()
        return super().forward(features - self.mean)


@register_backbone("bfloat16_is_close_to_float32", summary="far from zero and back")
class FarFromZero(Pooled):
    def forward(self, features: Tensor) -> Tensor:
        return (super().forward(features) + 1000) - 1000


@register_backbone("bfloat16_is_close_to_float32-nan", summary="no numbers in half precision")
class NotInHalfPrecision(Pooled):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) / (not torch.is_autocast_enabled("cpu"))


@register_backbone("compiles", summary="another one when compiled")
class AnotherWhenCompiled(Pooled):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * (2 if torch.compiler.is_compiling() else 1)


@register_backbone("it_overfits_eight_clips", summary="too faint to learn from")
class Faint(Pooled):
    def forward(self, features: Tensor) -> Tensor:
        return 1e-6 * super().forward(features)


@register_backbone("what_it_declares_exists-frontend", summary="whose front end cannot be asked for")
class FrontendUnknown(Pooled):
    @classmethod
    def frontend_for(cls) -> Frontend:
        raise ZeroDivisionError("on purpose")
