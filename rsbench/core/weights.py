"""Weights of backbones: found, read without running their code, checked tensor by tensor, known by their hash."""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .backbone import Backbone, PublicWeights
from .cache import cache_dir
from .downloads import HUB, DownloadError, HubRepository, bring_url
from .errors import WeightsError, did_you_mean
from .files import sha256_of

NONE = "none"
UNKNOWN = "unknown"
AGAIN = "Get the file again."
HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # what a repository's weights are called, the best first
WRAPPERS = ("state_dict", "model")  # under which training scripts keep the state dict beside other things
DATA_PARALLEL = "module."
CHECKSUM = "tensors_sha256"  # what a run's weights say of themselves
SAFETENSORS_HEAD = 10  # bytes that tell one: eight of a length, and the first two of JSON
HEAD = 512  # bytes of a file that tell what it is
SHOWN_OF_TEXT = 200
OTHER_FILES = {
    b"\x1f\x8b": "gzip archive",
    b"BZh": "bzip2 archive",
    b"\xfd7zXZ": "xz archive",
    b"7z\xbc\xaf": "7z archive",
    b"Rar!": "RAR archive",
    b"\x28\xb5\x2f\xfd": "Zstandard archive",
    b"\x89HDF": "Keras or other HDF5 file",
    b"\x93NUMPY": "NumPy array",
    b"%PDF": "PDF",
    b"\x89PNG": "picture",
}
# What readers of damaged checkpoints raise.
DAMAGED = (SafetensorError, RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError, AttributeError)
_UNSAFE_GLOBAL = re.compile(r"GLOBAL (\S+)")

# What NumPy's arrays and numbers are pickled as: published checkpoints hold some beside their tensors.
_ARRAY, _NUMBER = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]
NUMPY_PICKLES: list[Any] = [
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in "?bhilqBHILQefd"),
    *(  # as NumPy 1 and NumPy 2 name them
        (function, f"numpy.{core}.multiarray.{name}")
        for function, name in ((_ARRAY, "_reconstruct"), (_NUMBER, "scalar"))
        for core in ("core", "_core")
    ),
]


@dataclass(frozen=True)
class WeightsFile:
    """A checkpoint that was found, and what is known of it.

    source: what was asked for. path: None for "none". sha256: of the file, "" for none.
    licence: "unknown" where nobody says, "" for none.
    pretrained_on: data sets it was fitted on; ("unknown",) where nobody says, () for none.
    origin: the page it was published on, `OWNER/NAME@COMMIT` of the hub, or its path; "" for none.
    """

    source: str
    path: Path | None = None
    sha256: str = ""
    licence: str = ""
    pretrained_on: tuple[str, ...] = ()
    origin: str = ""


def find_weights(
    source: str,
    public: tuple[PublicWeights, ...],
    folders: Sequence[Path],
    pretrained_on: tuple[str, ...] = (),
) -> WeightsFile:
    """The file that `source` names, downloaded if need be.

    Args:
        source: "none", the name of one of `public`, a path, or `hf-hub:OWNER/NAME[@REVISION][:FILE]`.
        public: the backbone's published checkpoints. One that was placed by hand, in a folder of `folders` or in
            `weights/` of the cache, is used as it is; else it is downloaded into that folder or the hub's cache.
        folders: where to look for it, in order. A public file of the hub is looked for as NAME/FILE, for most are
            called the same.
        pretrained_on: what the user declares of a file of which nobody else says it.

    Raises WeightsError saying which file to get, from where, under which licence, and where to put it.
    """
    if source == NONE:
        return WeightsFile(NONE)
    for entry in public:
        if entry.name == source:
            return _public(entry, [*folders, cache_dir() / "weights"])
    if source.startswith(HUB):
        return _from_hub(source, public, pretrained_on)
    return _own(source, public, pretrained_on)


def _public(entry: PublicWeights, folders: Sequence[Path]) -> WeightsFile:
    """A public checkpoint: placed by hand in one of the folders, or downloaded, a plain URL's into the last."""
    places = [folder / _place(entry) for folder in folders]
    path, origin = next((place for place in places if place.is_file()), None), entry.source
    if path is None:
        try:
            if entry.download.startswith(HUB):
                repository = HubRepository.parse(entry.download)
                path = repository.file(entry.filename)
                origin = _commit(repository, path, entry.filename)
            else:
                path = bring_url(entry.download, places[-1], entry.sha256)
        except DownloadError as failure:
            raise WeightsError(
                f"--weights {entry.name}: {failure} Get {entry.filename} from {entry.source} (licence: "
                f"{entry.licence}) and put it at {places[0].resolve()}, or give its place: --weights PATH."
            ) from None
    sha256 = _sha256(path)
    if entry.sha256 and sha256 != entry.sha256:
        raise WeightsError(
            f"{path} is not the {entry.filename} that was published: its sha256 is {sha256} and should be "
            f"{entry.sha256}. Get it again from {entry.source}, or give it as --weights {path} if it is your own."
        )
    return WeightsFile(entry.name, path, sha256, entry.licence, entry.pretrained_on, origin)


def _place(entry: PublicWeights) -> str:
    """Where a public file is looked for in a folder; the hub's, most of which are called the same, as NAME/FILE."""
    if entry.download.startswith(HUB):
        return f"{HubRepository.parse(entry.download).name.rpartition('/')[2]}/{entry.filename}"
    return entry.filename


def _from_hub(source: str, public: tuple[PublicWeights, ...], pretrained_on: tuple[str, ...]) -> WeightsFile:
    """A file of any repository on the hub; what its card says of licence and training data is believed."""
    text, _, filename = source.removeprefix(HUB).partition(":")
    repository = HubRepository.parse(text)
    try:
        path = repository.file(*([filename] if filename else HUB_FILES))
        licence, datasets = _published(repository, public) or repository.card()
    except DownloadError as failure:
        raise WeightsError(
            f"--weights {source}: {failure} A file that you have may be given by its place: --weights PATH."
        ) from None
    name = filename or path.name
    known = tuple(dict.fromkeys((*datasets, *pretrained_on)))
    origin = _commit(repository, path, name)
    return WeightsFile(source, path, _sha256(path), licence or UNKNOWN, known or (UNKNOWN,), origin)


def _published(repository: HubRepository, public: tuple[PublicWeights, ...]) -> tuple[str, tuple[str, ...]] | None:
    """Licence and training data of one of the public repositories."""
    for entry in public:
        if entry.download == f"{HUB}{repository.name}":
            return entry.licence, entry.pretrained_on
    return None


def _commit(repository: HubRepository, path: Path, filename: str) -> str:
    """`OWNER/NAME@COMMIT`: the hub's cache keeps a file at snapshots/COMMIT/FILE."""
    return f"{repository.name}@{path.parents[filename.count('/')].name}"


def _own(source: str, public: tuple[PublicWeights, ...], pretrained_on: tuple[str, ...]) -> WeightsFile:
    """A file by its path; a public one is known by its hash."""
    path = Path(source).expanduser()
    if not path.is_file():
        what = "is a folder; name a file in it" if path.is_dir() else "there is no such file"
        names = [NONE, *(entry.name for entry in public)]
        raise WeightsError(
            f"--weights {source}: {what}.{did_you_mean(source, names)} A path or {HUB}OWNER/NAME will do as well."
        )
    sha256 = _sha256(path)
    known = next((entry for entry in public if entry.sha256 == sha256), None)
    if known:
        return WeightsFile(source, path, sha256, known.licence, known.pretrained_on, known.source)
    return WeightsFile(source, path, sha256, UNKNOWN, pretrained_on or (UNKNOWN,), str(path))


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}).") from None


def load_weights(backbone: Backbone, file: WeightsFile) -> float:
    """Fill a backbone from a .pt, .pth, .bin or .safetensors file; "none" leaves it as it is.

    Returns the share of the backbone's tensors that came from the file. Every tensor must fit, or none is changed.

    Raises WeightsError naming the file, and the first tensor that differs with both shapes.
    """
    if file.path is None:
        return 0.0
    read = read_state(file.path)
    for name, tensor in read.items():
        if not tensor.isfinite().all():
            raise WeightsError(f"{file.path}: tensor '{name}' {_shape(read, name)} holds NaN or infinity. {AGAIN}")
    state = backbone.translate(read)
    own = backbone.state_dict()
    _check_fits(own, state, file.path, type(backbone).__name__)
    backbone.load_state_dict(state)
    return len(own.keys() & state.keys()) / len(own)


def read_state(path: Path) -> dict[str, Tensor]:
    """Names to tensors of a checkpoint, on the CPU; of its code, none runs.

    A state dict that is kept under "state_dict" or "model" is taken out, and the "module." that
    `nn.DataParallel` puts before every name is dropped. Raises WeightsError when that leaves anything but tensors.
    """
    state = _opened(path)
    if isinstance(state, Mapping):
        state = next((state[key] for key in WRAPPERS if isinstance(state.get(key), Mapping)), state)
    if not (isinstance(state, Mapping) and state and all(_is_named_tensor(item) for item in state.items())):
        raise WeightsError(
            f"{path} is not a state dict (names to plain tensors). Save module.state_dict() alone and load that."
        )
    parallel = all(name.startswith(DATA_PARALLEL) for name in state)
    return {name.removeprefix(DATA_PARALLEL) if parallel else name: tensor for name, tensor in state.items()}


def _is_named_tensor(item: tuple[object, object]) -> bool:
    name, value = item
    if not (isinstance(name, str) and isinstance(value, Tensor)):
        return False
    return value.layout is torch.strided and not (value.is_complex() or value.is_quantized or value.is_meta)


def _opened(path: Path) -> Any:
    _refuse_other_files(path)
    try:
        if _is_safetensors(path):
            return load_tensors(path)
        with torch.serialization.safe_globals(NUMPY_PICKLES):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is not a checkpoint of tensors alone, and is not opened because it could run code. "
            f"Save its state_dict() again, best as .safetensors.{_in_brackets(error)}"
        ) from None
    # A pickle that is cut short or overwritten fails wherever the reader happens to be.
    except (*DAMAGED, MemoryError) as error:
        raise WeightsError(
            f"{path} cannot be read as a checkpoint; it may be incomplete, so get it again.{_in_brackets(error)}"
        ) from None


def save_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """A safetensors file of tensors on the CPU, with a checksum in its metadata."""
    return save(dict(tensors), {CHECKSUM: _tensors_sha256(tensors)})


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; those that `save_tensors` wrote are checked.

    Raises WeightsError where they are not as they were written; SafetensorError or OSError where they cannot be read.
    """
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        expected = (file.metadata() or {}).get(CHECKSUM)
    if expected not in (None, _tensors_sha256(tensors)):
        raise WeightsError(f"{path} is damaged: its tensors are not those that were written. {AGAIN}")
    return tensors


def _tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Over names, types, shapes and bytes."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _is_safetensors(path: Path) -> bool:
    """By its beginning, whatever it is called: the length of a JSON object, and the object."""
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(SAFETENSORS_HEAD)[8:] == b'{"'


def _in_brackets(error: Exception) -> str:
    """The reader's words, without PyTorch's advice to open the file all the same: it would run the file's code."""
    unsafe = _UNSAFE_GLOBAL.search(str(error))
    words = f"it holds {unsafe[1]}" if unsafe else str(error).partition("\n")[0]
    return "" if not words or "weights_only" in words else f" ({words})"


def _refuse_other_files(path: Path) -> None:
    """Raise WeightsError for what was saved in the place of a checkpoint, calling it what it is."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    size = path.stat().st_size
    if not size:
        raise WeightsError(f"{path} is empty: its download or copy failed. {AGAIN}")
    if head.startswith(b"version https://git-lfs.github.com"):
        raise WeightsError(
            f"{path} is a Git LFS pointer, and the checkpoint is not there yet. Get it with: git lfs pull"
        )
    if what := _text_in_words(head, size):
        raise WeightsError(f"{path} is {what}, not a checkpoint. {AGAIN}")
    archive = next((name for magic, name in OTHER_FILES.items() if head.startswith(magic)), None)
    archive = "tar archive" if head[257:262] == b"ustar" else archive
    if archive:
        raise WeightsError(f"{path} is a {archive}, not a checkpoint. Take the checkpoint out of it, or get another.")
    if head.startswith(b"PK"):
        _refuse_other_zips(path)


def _text_in_words(head: bytes, size: int) -> str:
    """What a text is that a server sent in the place of a file; "" for what is no text."""
    try:
        text = head[:SHOWN_OF_TEXT].decode("utf-8-sig", errors="ignore" if size > SHOWN_OF_TEXT else "strict")
    except UnicodeDecodeError:
        return ""
    if not all(letter.isprintable() or letter.isspace() for letter in text):
        return ""
    text = " ".join(text.split())
    if text.startswith("<"):
        return f"a web page of {size:,} bytes"
    return f"a text of {size:,} bytes that begins '{text[:40]}'"


def _refuse_other_zips(path: Path) -> None:
    """Raise WeightsError for a zip that torch.save did not write. A damaged one is left to the reader."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, *DAMAGED):
        return
    if any(name.endswith("/constants.pkl") for name in names):
        raise WeightsError(f"{path} is a TorchScript archive, which holds code. Save its state_dict() and load that.")
    if not any(name.endswith("data.pkl") for name in names):
        listed = f" ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else ""
        raise WeightsError(
            f"{path} is a zip of {len(names)} files{listed}, not a checkpoint. Take the checkpoint out of it."
        )


def _check_fits(own: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path, backbone: str) -> None:
    """Raises WeightsError on the first tensor that is missing, too many or of another shape, and counts the rest."""
    differing = [name for name in dict.fromkeys((*own, *given)) if _shape(own, name) != _shape(given, name)]
    if not differing:
        return
    prefix = common_prefix(given, own)
    if prefix:
        raise WeightsError(
            f"{path} does not fit {backbone}: its tensors are named '{prefix}…', as those of a larger model of which "
            "the backbone is a part. Save the state_dict() of that part alone and load that."
        )
    first, more = differing[0], len(differing) - 1
    others = f" and {more} more differ" if more else ""
    raise WeightsError(
        f"{path} does not fit {backbone}: tensor '{first}' is {_shape(given, first)} in the file and "
        f"{_shape(own, first)} in the backbone{others}. Give the weights of this backbone and size, or the options "
        "they were trained with."
    )


def common_prefix(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """What stands before most of `own` names in `given`, such as "encoder."; "" for nothing."""
    prefixes = Counter(name.removesuffix(ours) for name in given for ours in _tails(name) if ours in own)
    prefix, count = prefixes.most_common(1)[0] if prefixes else ("", 0)
    return prefix if 2 * count > len(own) else ""


def _tails(name: str) -> list[str]:
    """The ends of a dotted name, itself left out: "a.b.c" gives "b.c" and "c"."""
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(1, len(parts))]


def _shape(state: Mapping[str, Tensor], name: str) -> str:
    return str(tuple(state[name].shape)) if name in state else "missing"
