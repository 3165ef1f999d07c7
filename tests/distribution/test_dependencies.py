"""What is imported is declared, what is declared is imported, and boards need the small part of it alone."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import pytest
from documents import blocks
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tiny import PROJECT

PROJECT_TABLE = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Extras that the package itself imports, rather than its tests or its site.
RUNNING = ("sweep", "slurm", "export", "hf", "lora", "pml", "tensorboard", "wandb", "mlflow")

# Imported, and brought by the dependency that they are a part of.
PART_OF = {"markupsafe": "jinja2", "pydantic-core": "pydantic", "sqlalchemy": "optuna"}
# Declared, and imported by a dependency that does not declare it: torch.onnx, torch.utils.tensorboard.
NEEDED_BY_OTHERS = {"onnxscript", "tensorboard"}
# Imported where it is there, and too large for the installation of the tests: module → distribution.
MAY_BE_ABSENT = {"mlflow": "mlflow-skinny", "wandb": "wandb"}

COMMANDS = [
    ["leaderboard", "--split", "tiny,far", "--baseline", "ce", "--figure", "differences.png"],
    ["leaderboard", "--split", "tiny", "--by", "device"],
    ["audit", "--split", "tiny"],
    ["rescore"],
    ["export", "ce-*", "--out", "ce.zip"],
    ["merge", "ce.zip", "--results", "merged"],
    ["site", "--results", "ce.zip", "--out", "site"],
    ["show", "ce-tiny"],
    ["list", "splits"],
]


def declared(*extras: str) -> set[str]:
    lists = [PROJECT_TABLE["dependencies"], *(PROJECT_TABLE["optional-dependencies"][extra] for extra in extras)]
    return {canonicalize_name(Requirement(text).name) for wanted in lists for text in wanted}


def imported() -> set[str]:
    """The distributions of what the package imports anywhere, by statement or by name."""
    found: set[str] = set()
    for path in (path for folder in ("rsbench", "losses", "backbones") for path in (PROJECT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found |= set(_imports(ast.parse(text))) | set(re.findall(r'import_module\("(\w+)', text))
    brought = packages_distributions() | {module: [name] for module, name in MAY_BE_ABSENT.items()}
    outside = found - set(sys.stdlib_module_names) - {"rsbench"}
    return {canonicalize_name(brought[name][0]) for name in outside}


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def for_boards() -> set[str]:
    """What docs/installation.md has installed for boards alone."""
    page = (PROJECT / "docs" / "installation.md").read_text(encoding="utf-8")
    lines = (line for block in blocks(page, "console") for line in block.code.splitlines())
    (names,) = (line.removeprefix("pip install ") for line in lines if line.startswith("pip install numpy"))
    return {canonicalize_name(name) for name in names.split()}


def test_imports_and_declarations_agree() -> None:
    used = {PART_OF.get(name, name) for name in imported()}
    assert used == declared(*RUNNING) - NEEDED_BY_OTHERS


def test_every_dependency_has_a_lower_bound_that_constraints_can_name() -> None:
    listed = subprocess.run(
        [sys.executable, PROJECT / ".ci" / "constraints.py", "lowest"], capture_output=True, text=True, check=True
    )
    lowest = {canonicalize_name(line.partition("==")[0]) for line in listed.stdout.split()}
    extras = PROJECT_TABLE["optional-dependencies"]
    assert lowest == declared(*extras) - {"rsbench"}


def test_the_tested_set_is_whole_and_allowed() -> None:
    """Each dependency has one version in constraints.txt, within the bounds of pyproject.toml."""
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    fixed = {canonicalize_name(one.name): one for one in map(Requirement, (x for x in lines if x[0] != "#"))}
    for text in itertools.chain(PROJECT_TABLE["dependencies"], *PROJECT_TABLE["optional-dependencies"].values()):
        wanted = Requirement(text)
        if wanted.name != "rsbench":
            (bound,) = fixed[canonicalize_name(wanted.name)].specifier
            assert bound.operator == "=="
            assert wanted.specifier.contains(bound.version), text


@pytest.fixture(scope="module")
def results(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results/runs of two losses."""
    from tiny import run_tiny

    folder = tmp_path_factory.mktemp("server")
    for loss in ("ce", "qlung"):
        run_tiny(tiny_root, folder / "results", loss=loss, select="val,last,oracle", optim__epochs=1)
    return folder


@pytest.fixture
def without_the_rest(tmp_path: Path) -> Callable[..., Any]:
    """Run Python where nothing can be imported but the small part of the dependencies, and what it needs itself."""
    absent = declared(*RUNNING) - for_boards()
    heavy = {"torch", "torchvision", "torchaudio", "timm", "ray", "optuna", "librosa", "numba", "transformers"}
    brought = packages_distributions().items()
    hidden = {module for module, names in brought if absent & {canonicalize_name(name) for name in names}}
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(hidden | heavy)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Absent())
"""
    )

    def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )

    return call


def test_boards_need_the_small_part_alone(without_the_rest: Callable[..., Any], results: Path) -> None:
    assert for_boards() < declared()
    refused = without_the_rest("-m", "rsbench", "list", "losses", cwd=results)
    assert (refused.returncode, "torch is needed here and is not installed" in refused.stderr) == (2, True)
    for command in COMMANDS:
        done = without_the_rest("-m", "rsbench", *command, cwd=results)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_their_rooms_can_be_imported(without_the_rest: Callable[..., Any], tmp_path: Path) -> None:
    code = "import pkgutil, importlib\nfor room in ('boards', 'results', 'evaluation', 'publishing'):\n"
    code += "    package = importlib.import_module('rsbench.' + room)\n"
    code += "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
    code += "        importlib.import_module(module.name); print(module.name)"
    done = without_the_rest("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 20


def test_the_version_is_said_once() -> None:
    """Where it stands, and where the installation took it from."""
    import rsbench

    assert version("rsbench") == rsbench.__version__
    said = re.compile(rf'version\W+"?{re.escape(rsbench.__version__)}')
    for name in ("pyproject.toml", "CITATION.cff", "setup.py"):
        assert not said.search((PROJECT / name).read_text(encoding="utf-8")), name
