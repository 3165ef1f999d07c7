"""torch, torchvision and torchaudio: binaries that must fit one another, which pip cannot know.

Where one of them does not load, the fault is the installation's, whatever was being run: one message says which
versions there are, and the one command that mends it.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

from .errors import InstallationError

FAMILY = ("torch", "torchvision", "torchaudio")

# Versions that load beside one another, oldest first. pyproject.toml allows those with torchaudio 2.11.0, which loads
# beside the most releases of torch (2.11.1 wants torch 2.13 or later, and its metadata asks for 2.11), without torch
# 2.13.
FITTING = (
    ("2.11.0", "0.26.0", "2.11.0"),
    ("2.12.0", "0.27.0", "2.11.0"),
    ("2.12.1", "0.27.1", "2.11.0"),
    ("2.13.0", "0.28.0", "2.11.0"),
    ("2.14.0", "0.29.0", "2.11.0"),
    ("2.14.1", "0.29.1", "2.11.0"),
    ("2.15.0", "0.29.2", "2.11.1"),
)
NEWEST_ALLOWED = ("2.14.1", "0.29.1", "2.11.0")

PACKAGE = {"sklearn": "scikit-learn", "yaml": "pyyaml"}  # of modules that are called otherwise


@contextlib.contextmanager
def libraries_blamed() -> Iterator[None]:
    """Raise InstallationError instead of what a library raises that is not there or does not load."""
    try:
        yield
    except Exception as error:
        raise_if_library(error)
        raise


def raise_if_library(error: BaseException) -> None:
    """Raise InstallationError where `error` came of importing a library that rsbench needs; else do nothing."""
    library = _at_fault(error)
    if library:
        raise InstallationError(_in_words(library, error)) from error
    if isinstance(error, ModuleNotFoundError) and _imported_here(error):
        module = str(error.name).partition(".")[0]
        raise InstallationError(
            f"{module} is needed here and is not installed. This mends it: pip install {PACKAGE.get(module, module)}"
        ) from error


def _at_fault(error: BaseException) -> str | None:
    """The innermost library of the family whose import raised the error, or the one that is not there."""
    if isinstance(error, ModuleNotFoundError) and error.name in FAMILY:
        return error.name
    bodies = (frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name == "<module>")
    importing = [name for name in (_package(frame.f_globals) for frame in bodies) if name in FAMILY]
    return importing[-1] if importing else None


def _imported_here(error: ModuleNotFoundError) -> bool:
    """Whether a module of rsbench asked for something of somebody else's."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    package = __name__.partition(".")[0]
    return _package(frame.f_globals) == package != str(error.name).partition(".")[0]


def _package(names: Mapping[str, object]) -> str:
    """The top-level package of the module that has these global names."""
    return str(names.get("__name__", "")).partition(".")[0]


def _in_words(library: str, error: BaseException) -> str:
    found = {name: _version(name) for name in FAMILY}
    versions = ", ".join(f"{name} {number or 'not installed'}" for name, number in found.items())
    if isinstance(error, ModuleNotFoundError) and error.name in FAMILY:
        trouble = f"{error.name} is needed here and is not installed"
    else:
        reason = " ".join(str(error).split())
        trouble = f"{library} does not load beside the others ({type(error).__name__}: {reason})"
    return f"{trouble}. Found: {versions}. This mends it: {remedy(found, library)}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def remedy(found: dict[str, str | None], library: str) -> str:
    """The `pip install` after which all three load.

    Args:
        found: package → installed version, with its local part (`2.11.0+cu128`), or None.
        library: the one that does not load. Unless that is torch itself, a torch whose companions are known stays.
    """
    public, _, build = (found["torch"] or "").partition("+")
    fitting = next((versions for versions in FITTING if versions[0] == public), None)
    if library == "torch" or fitting is None:
        wanted = [f"{name}=={number}" for name, number in zip(FAMILY, NEWEST_ALLOWED, strict=True)]
        # What is installed and does not load may carry these very versions.
        return " ".join(["pip install", *(["--force-reinstall"] if found["torch"] else []), *wanted])
    companions = [f"{name}=={number}" for name, number in zip(FAMILY[1:], fitting[1:], strict=True)]
    # Builds for one CUDA, or for none, come from an index of their own, and only those of one index fit.
    index = ["--index-url", f"https://download.pytorch.org/whl/{build}"] if build else []
    return " ".join(["pip install --force-reinstall --no-deps", *companions, *index])
