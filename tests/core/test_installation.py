"""Libraries that do not load are blamed for it, in one line with the command that mends it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from tiny import PROJECT

from rsbench.core.errors import InstallationError
from rsbench.core.installation import FAMILY, FITTING, NEWEST_ALLOWED, raise_if_library, remedy
from rsbench.core.installation import libraries_blamed as blamed

SAID = "undefined symbol: torch_exception_get_what_without_backtrace"
NEEDS_TORCH = [
    ["run", "--loss", "ce", "--backbone", "cnn6"],
    ["list", "indices"],
    ["sweep", "smoke", "--serial"],
]


def stand_in(folder: Path, library: str, error: str = f'OSError("{SAID}")') -> Path:
    """A module of this name that does not load, to be found before the real one."""
    (folder / library).mkdir(parents=True)
    (folder / library / "__init__.py").write_text(f"raise {error}\n", encoding="utf-8")
    return folder


def rsbench(*arguments: str, first_on_path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(first_on_path)}
    command = [sys.executable, "-m", "rsbench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=cwd)


def check_message(done: subprocess.CompletedProcess[str], library: str) -> None:
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith(f"error: {library} does not load beside the others (OSError: {SAID}). Found: torch ")
    assert done.stderr.count("pip install") == 1


@pytest.mark.parametrize("command", NEEDS_TORCH, ids=" ".join)
def test_a_torchaudio_that_does_not_load_is_one_line(command: list[str], tmp_path: Path) -> None:
    done = rsbench(*command, first_on_path=stand_in(tmp_path / "path", "torchaudio"), cwd=tmp_path)
    check_message(done, "torchaudio")
    assert not (tmp_path / "results").exists()


def test_so_is_torch(tmp_path: Path) -> None:
    done = rsbench("list", "losses", first_on_path=stand_in(tmp_path / "path", "torch"), cwd=tmp_path)
    check_message(done, "torch")


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--loss", "ce", "--backbone", "mn04", "--set", "data.clip_s=0.6"],
        ["list", "losses", "--plugin", "plugin.py"],
    ],
    ids=lambda command: command[0],
)
def test_torchvision_is_blamed_where_it_is_needed(command: list[str], tmp_path: Path) -> None:
    """Not the backbone, nor the run, nor the plugin that asked for it."""
    (tmp_path / "plugin.py").write_text("import torchvision\n", encoding="utf-8")
    done = rsbench(*command, first_on_path=stand_in(tmp_path / "path", "torchvision"), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: torchvision does not load beside the others")
    assert "Traceback" not in done.stderr


def test_what_needs_none_of_them_does_not_ask(tmp_path: Path) -> None:
    path = stand_in(stand_in(tmp_path / "path", "torchaudio"), "torch")
    assert rsbench("list", "splits", first_on_path=path, cwd=tmp_path).returncode == 0


def test_a_run_in_python_says_the_same(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(stand_in(tmp_path / "path", "torchaudio"))}
    code = "import rsbench\ntry: rsbench.run\nexcept rsbench.RsbenchError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.startswith("torchaudio does not load beside the others"), done.stderr


@pytest.mark.parametrize(("module", "package"), [("nowhere_at_all", "nowhere_at_all"), ("sklearn.no", "scikit-learn")])
def test_what_else_is_missing_is_named_with_its_package(module: str, package: str) -> None:
    """As in an installation for boards alone; what a plugin asks for is the plugin's affair."""
    code = compile(f"raise ModuleNotFoundError('No module', name='{module}')", "module.py", "exec")
    with pytest.raises(InstallationError, match=f"is not installed. This mends it: pip install {package}$"), blamed():
        exec(code, {"__name__": "rsbench.some.module"})
    with pytest.raises(ModuleNotFoundError), blamed():
        exec(code, {"__name__": "somebodys_plugin"})


def test_other_errors_are_left_alone() -> None:
    for error in (OSError("no space left"), ModuleNotFoundError("No module named 'mine'", name="mine")):
        try:
            raise error
        except Exception as caught:
            raise_if_library(caught)


@pytest.mark.parametrize(
    ("torch", "torchaudio", "library", "said"),
    [
        ("2.11.0", "2.11.1", "torchaudio", "--force-reinstall --no-deps torchvision==0.26.0 torchaudio==2.11.0"),
        (
            "2.13.0+cpu",
            "2.11.0",
            "torchaudio",
            "--force-reinstall --no-deps torchvision==0.28.0 torchaudio==2.11.0 "
            "--index-url https://download.pytorch.org/whl/cpu",
        ),
        ("2.15.0", "2.11.0", "torchaudio", "--no-deps torchvision==0.29.2 torchaudio==2.11.1"),
        ("2.10.0", "2.11.0", "torchaudio", "--force-reinstall torch==2.14.1 torchvision==0.29.1 torchaudio==2.11.0"),
        ("2.14.1", "2.11.0", "torch", "--force-reinstall torch==2.14.1 torchvision==0.29.1 torchaudio==2.11.0"),
        (None, None, "torch", "pip install torch==2.14.1 torchvision==0.29.1 torchaudio==2.11.0"),
    ],
)
def test_the_remedy_fits_what_is_there(torch: str | None, torchaudio: str | None, library: str, said: str) -> None:
    assert said in remedy({"torch": torch, "torchvision": "0.26.0", "torchaudio": torchaudio}, library)


def test_what_pyproject_allows_is_known_to_load() -> None:
    """Every set of the table that has the torchaudio of pyproject.toml is allowed, its ends are the bounds."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = {needed.name: needed.specifier for needed in map(Requirement, project["dependencies"])}
    (pinned,) = wanted["torchaudio"]
    assert pinned.operator == "=="
    left_out = next(SpecifierSet(f"=={bound.version}") for bound in wanted["torch"] if bound.operator == "!=")
    allowed = [versions for versions in FITTING if versions[2] == pinned.version and versions[0] not in left_out]
    assert all(version in wanted[name] for versions in allowed for name, version in zip(FAMILY, versions, strict=True))
    bounds = {bound.operator: bound.version for bound in wanted["torch"]}
    assert (allowed[0][0], allowed[-1][0]) == (f"{bounds['>=']}.0", bounds["<="])
    assert allowed[-1] == NEWEST_ALLOWED
