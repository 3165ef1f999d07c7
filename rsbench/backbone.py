"""What a backbone is: features in, embeddings out, with the front end and the training recipe it was published with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from .errors import PluginError
from .registry import Registry

BACKBONES: Registry[type[Backbone]] = Registry("backbone")

_B = TypeVar("_B", bound="type[Backbone]")


@dataclass(frozen=True)
class Frontend:
    """The front end a backbone was trained for: its registered name and the options that differ from its defaults."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PublicWeights:
    """A public checkpoint: what `--weights NAME` means, and how a file on disk is recognised.

    `sha256` is of the file. `pretrained_on` names the data sets it was fitted on; a board marks a row
    CONTAMINATED when one of them is also a test set.
    """

    name: str
    filename: str
    sha256: str
    licence: str
    source: str
    pretrained_on: tuple[str, ...]


class Backbone(nn.Module, ABC):
    """Base of every backbone. Subclasses take hyper-parameters as keyword-only arguments with defaults.

    Class attributes say how it was published: `frontend`; `recipe`, fields of the spec's `optim` that differ from
    the common defaults; `public_weights`. `smaller` is the setting that makes it affordable on a CPU, if there is one.

    Args:
        n_mels: bins of the features it will be given.
        n_frames: frames of the features it will be given.
    """

    frontend: ClassVar[Frontend]
    recipe: ClassVar[Mapping[str, Any]] = {}
    public_weights: ClassVar[tuple[PublicWeights, ...]] = ()
    smaller: ClassVar[str] = ""
    embedding_dim: int

    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__()
        self.n_mels = n_mels
        self.n_frames = n_frames

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """(B, D) embeddings of features (B, n_mels, n_frames)."""

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A public checkpoint's tensors under this module's names and shapes; heads that are not used are left out."""
        return dict(state)


def register_backbone(name: str, *, summary: str = "", paper: str = "") -> Callable[[_B], _B]:
    """Register a `Backbone` subclass. Raises PluginError when the name is taken or a declaration is missing."""

    def decorate(backbone: _B) -> _B:
        if not (isinstance(backbone, type) and issubclass(backbone, Backbone)):
            raise PluginError(f"@register_backbone('{name}') takes a subclass of rsbench.Backbone.")
        if not isinstance(getattr(backbone, "frontend", None), Frontend):
            raise PluginError(
                f"Backbone '{name}' declares no front end. Add, for example, frontend = Frontend('kaldi-fbank')."
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
