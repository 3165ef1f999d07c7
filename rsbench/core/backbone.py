"""What a backbone is: features in, embeddings out, with the front end and the training recipe it was published with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from torch import Tensor, nn

from .errors import PluginError, SpecError
from .registry import Registry

if TYPE_CHECKING:  # a third of a second to import, and no backbone needs it for itself
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

BACKBONES: Registry[type[Backbone]] = Registry("backbone")

_B = TypeVar("_B", bound="type[Backbone]")


@dataclass(frozen=True)
class Frontend:
    """The front end a backbone was trained for: its registered name and the options that differ from its defaults."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PublicWeights:
    """A public checkpoint: what `--weights NAME` means, where it comes from, how a file on disk is recognised.

    Attributes:
        name: "audioset", "imagenet".
        filename: as it is published.
        source: its page.
        licence: SPDX where it has one.
        pretrained_on: the data sets it was fitted on; a board marks a row CONTAMINATED when one is also a test set.
        download: "hf-hub:OWNER/NAME" or the file's own URL.
        sha256: of the file, "" where it is not known.
        frontend: the front end it was trained with, where that is not the backbone's own.
    """

    name: str
    filename: str
    source: str
    licence: str
    pretrained_on: tuple[str, ...]
    download: str
    sha256: str = ""
    frontend: Frontend | None = None


class Backbone(nn.Module, ABC):
    """Base of every backbone. Subclasses take hyper-parameters as keyword-only arguments with defaults.

    Class attributes say how it was published: `frontend`; `recipe`, fields of the spec's `optim` that differ from
    the common defaults; `public_weights`. `smaller` is the setting that makes it affordable on a CPU, if there is one.
    `after_colon` is the option that a name with a colon gives: with "model", `timm:resnet18` is `timm` with
    model=resnet18.

    A backbone whose front end is None hears no sound: it is given embeddings of clips, (B, n_mels), from the file
    that is its weights, or what its own `given` makes of the clip table. `nothing_to_learn` is the options with which
    nothing in it learns, for a loss that is solved: {} where it never does, None where there are none.

    One whose `takes_mask` is true, on the class or because an option set it, is called with a second tensor: `heard`,
    (B, n_frames) bool, True where a frame holds sound of the clip and False in the silence that follows it. What
    stands in the other frames must not change its embeddings.

    Args:
        n_mels: bins of the features it will be given.
        n_frames: frames of the features it will be given.
    """

    frontend: ClassVar[Frontend | None]
    recipe: ClassVar[Mapping[str, Any]] = {}
    public_weights: ClassVar[tuple[PublicWeights, ...]] = ()
    smaller: ClassVar[str] = ""
    after_colon: ClassVar[str] = ""
    takes_mask: bool = False
    nothing_to_learn: ClassVar[Mapping[str, Any] | None] = None
    embedding_dim: int

    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__()
        self.n_mels = n_mels
        self.n_frames = n_frames

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """(B, D) embeddings of features (B, n_mels, n_frames)."""

    def layer_embeddings(self, features: Tensor) -> Tensor:
        """(B, L, D) embeddings after each of its layers, from input to output, for a probe that weights them.

        Raises SpecError where it has none, or of several widths.
        """
        raise SpecError(f"{type(self).__name__} gives one embedding of a clip, not of its layers. Leave out --layers.")

    @classmethod
    def published_weights(cls, **options: Any) -> tuple[PublicWeights, ...]:
        """The public checkpoints for these options; where they depend on one (a size), a backbone overrides this."""
        return cls.public_weights

    @classmethod
    def frontend_for(cls, **options: Any) -> Frontend | None:
        """The front end for these options; where it depends on one (a model), a backbone overrides this."""
        return cls.frontend

    @classmethod
    def settled(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """`backbone.*` of a spec as a run keeps it, from what was asked for, its weights among it.

        What an option only points to, a model's configuration in a folder say, is written out here, so that the spec
        alone decides what is computed. By default nothing changes.
        """
        return given

    @classmethod
    def given(cls, clips: pd.DataFrame) -> NDArray[np.float32] | None:
        """(N, n_mels) what a backbone without a front end is given of each clip in place of a file of embeddings.

        None of one that hears, or that needs the file.

        Args:
            clips: a row per clip, `data.clips.CLIP_COLUMNS`; no end past its recording's.
        """
        return None

    @classmethod
    def needs_embeddings(cls) -> bool:
        """Whether it hears no sound and has no `given` of its own: only a file of embeddings is left."""
        return cls.frontend is None and cls.given.__func__ is Backbone.given.__func__  # type: ignore[attr-defined]

    def stages(self) -> list[list[str]]:
        """Its modules and parameters by name, from input to output: what is frozen first and learns slowest.

        By default the children in the order of their definition, each a stage, with the entries of an
        `nn.Sequential` in its place.
        """
        found: list[list[str]] = []
        for name, child in self.named_children():
            if isinstance(child, nn.Sequential):
                found += [[f"{name}.{entry}"] for entry, _ in child.named_children()]
            else:
                found.append([name])
        return found

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A public checkpoint's tensors under this module's names and shapes; heads that are not used are left out."""
        return dict(state)


def embeddings_of(backbone: Backbone, features: Tensor, heard: Callable[[int], Tensor]) -> Tensor:
    """(B, D) embeddings of features (B, n_mels, n_frames).

    heard: frames → (B, n_frames) bool, for a backbone that takes a mask; no other asks.
    """
    embeddings: Tensor = backbone(features, heard(features.shape[-1])) if backbone.takes_mask else backbone(features)
    return embeddings


def register_backbone(name: str, *, summary: str = "", paper: str = "") -> Callable[[_B], _B]:
    """Register a `Backbone` subclass. Raises PluginError when the name is taken or a declaration is missing."""

    def decorate(backbone: _B) -> _B:
        if not (isinstance(backbone, type) and issubclass(backbone, Backbone)):
            raise PluginError(f"@register_backbone('{name}') takes a subclass of rsbench.Backbone.")
        if not isinstance(getattr(backbone, "frontend", ...), Frontend | None):
            raise PluginError(
                f"Backbone '{name}' declares no front end. Add, for example, frontend = Frontend('kaldi-fbank')."
            )
        if not (isinstance(backbone.smaller, str) and isinstance(backbone.after_colon, str)):
            raise PluginError(
                f"Backbone '{name}': smaller and after_colon are text. Say, for example, after_colon = 'model'."
            )
        BACKBONES.register(name, backbone, summary=summary, paper=paper)
        return backbone

    return decorate


def create_backbone(name: str, n_mels: int, n_frames: int, **hyper: Any) -> Backbone:
    """A registered backbone by name, for features (B, n_mels, n_frames), e.g. `create_backbone("cnn6", 64, 250)`."""
    from .plugins import discover

    discover()
    backbone: Backbone = BACKBONES.create(name, n_mels, n_frames, **hyper)
    return backbone


def list_backbones() -> list[str]:
    """Names of all backbones: built-in, installed and loaded from plugins."""
    from .plugins import discover

    discover()
    return BACKBONES.names()
