"""Weights of backbones: read without running their code, checked tensor by tensor, known by their hash."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .backbone import Backbone, PublicWeights
from .errors import WeightsError, did_you_mean

NONE = "none"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class WeightsRecord:
    """Where a backbone's weights come from, as a run's record and a board need it.

    source: what was asked for. sha256: of the file, "" for none.
    licence: "unknown" for a file that is none of the backbone's public weights, "" for none.
    pretrained_on: data sets it was fitted on; ("unknown",) for a file that is not public, () for none.
    loaded: share of the backbone's tensors that came from it, in [0, 1].
    """

    source: str
    sha256: str = ""
    licence: str = ""
    pretrained_on: tuple[str, ...] = ()
    loaded: float = 0.0


def weights_sha256(source: str, public: tuple[PublicWeights, ...] = ()) -> str:
    """The hash of a weights file, for the run id; "" for "none".

    Raises WeightsError if it cannot be read, or if `source` is one of the `public` names, saying what to get.
    """
    if source == NONE:
        return ""
    try:
        with _existing(source, public).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"--weights {source}: the file cannot be read ({error.strerror}).") from None


def load_weights(backbone: Backbone, source: str) -> WeightsRecord:
    """Fill a backbone from a .pt, .pth or .safetensors file; "none" leaves it as it is.

    Every tensor must fit, or none is changed. Raises WeightsError naming the file, and the first tensor that
    differs with both shapes.
    """
    if source == NONE:
        return WeightsRecord(NONE)
    path = _existing(source, backbone.public_weights)
    state = backbone.translate(_read(path))
    own = backbone.state_dict()
    _check_fits(own, state, path, type(backbone).__name__)
    backbone.load_state_dict(state)
    sha256 = weights_sha256(source)
    public = next((entry for entry in backbone.public_weights if entry.sha256 == sha256), None)
    return WeightsRecord(
        source=source,
        sha256=sha256,
        licence=public.licence if public else UNKNOWN,
        pretrained_on=public.pretrained_on if public else (UNKNOWN,),
        loaded=len(own.keys() & state.keys()) / len(own),
    )


def _existing(source: str, public: tuple[PublicWeights, ...]) -> Path:
    """The file that `source` names. A public name is not downloaded: the error says what to get and where."""
    for entry in public:
        if entry.name == source:
            raise WeightsError(
                f"--weights {source}: public weights are not downloaded. Get {entry.filename} from "
                f"{entry.source} (licence: {entry.licence}) and give its place: --weights PATH."
            )
    path = Path(source)
    if not path.is_file():
        names = [NONE, *(entry.name for entry in public)]
        raise WeightsError(f"--weights {source}: there is no such file.{did_you_mean(source, names)}")
    return path


def _read(path: Path) -> dict[str, Tensor]:
    """Names to tensors. Nothing in the file is executed."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is not a checkpoint of tensors alone, and is not opened because it could run code. "
            f"Save its state_dict() again, best as .safetensors. ({_first_line(error)})"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read as a checkpoint; it may be incomplete, so get it again. ({_first_line(error)})"
        ) from None
    if not (isinstance(state, Mapping) and state and all(isinstance(item, Tensor) for item in state.values())):
        raise WeightsError(
            f"{path} is not a state dict (names to tensors). Save module.state_dict() alone and load that."
        )
    return dict(state)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _check_fits(own: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path, backbone: str) -> None:
    """Raises WeightsError on the first tensor that is missing, too many, of another shape or not finite."""
    for name in [*own, *given]:
        here = _shape(own, name)
        there = _shape(given, name)
        if here != there:
            raise WeightsError(
                f"{path} does not fit {backbone}: tensor '{name}' is {there} in the file and {here} in the "
                "backbone. Give the weights of this backbone and size, or the options they were trained with."
            )
        if not given[name].isfinite().all():
            raise WeightsError(f"{path}: tensor '{name}' {there} holds NaN or infinity. Get the file again.")


def _shape(state: Mapping[str, Tensor], name: str) -> str:
    return str(tuple(state[name].shape)) if name in state else "missing"
