"""A package that somebody else wrote and installed: what it brings is found without a word."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from examples import documented
from tiny import CLIP_S, PROJECT

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "somebodys-lungs"
version = "1.0"

[project.entry-points."rsbench.backbones"]
pooled = "somebodys_lungs.pooled"
half_done = "somebodys_lungs.half_done"

[project.entry-points."rsbench.datasets"]
ward = "somebodys_lungs.ward"

[project.entry-points."rsbench.observers"]
bests = "somebodys_lungs.bests"

[tool.setuptools]
packages = ["somebodys_lungs"]
"""

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of a package: what the documentation shows of plugins, and a module that cannot be imported."""
    project = tmp_path_factory.mktemp("somebodys_lungs")
    modules = project / "somebodys_lungs"
    modules.mkdir()
    (project / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (modules / "__init__.py").write_text("")
    (modules / "pooled.py").write_text(documented("pooled.py"), encoding="utf-8")
    (modules / "ward.py").write_text(documented("ward.py"), encoding="utf-8")
    (modules / "bests.py").write_text(documented("bests.py"), encoding="utf-8")
    (modules / "half_done.py").write_text("import a_module_that_nobody_has\n")
    return project


@pytest.fixture(scope="module")
def environment(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Python:
    """An environment of its own with the package installed: `environment("-m", "rsbench", …)` runs its Python.

    It sees the packages of the environment that runs the tests, as one that inherits would, editable ones included.
    """
    folder = tmp_path_factory.mktemp("environment")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    purelib = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    lines = [f"import site; site.addsitedir({inherited!r})" for inherited in site.getsitepackages()]
    (purelib / "inherited.pth").write_text("\n".join(lines), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    template = folder / "template"  # built in a copy, since building leaves its traces
    shutil.copytree(PROJECT / "docs" / "plugin-template", template)
    for source in (package, template):
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--no-index", str(source)], check=True)

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        wide = os.environ | {"COLUMNS": "200"}  # so that no summary is folded
        return subprocess.run([python, *arguments], env=wide, capture_output=True, text=True, check=False)

    return call


def test_it_is_listed_and_what_is_broken_is_shown(environment: Python) -> None:
    listed = environment("-m", "rsbench", "list", "backbones")
    assert listed.returncode == 0, listed.stderr
    assert "mean over time, one linear layer" in listed.stdout
    assert "cnn6" in listed.stdout
    (broken,) = [line for line in listed.stdout.splitlines() if line.startswith("broken plugin")]
    assert "half_done (somebodys_lungs.half_done)" in broken
    assert "ModuleNotFoundError: No module named 'a_module_that_nobody_has'" in broken


def test_they_are_run_recorded_ranked_and_cited(
    environment: Python, package: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's backbone, data set and observer, and the template's loss."""
    monkeypatch.chdir(tmp_path)
    rsbench, out = ("-m", "rsbench"), tmp_path / "results"
    options = ["--train", "ward", "--test", "ward,far", "--loss", "my_margin", "--backbone", "pooled", "--epochs", "1"]
    options += ["--root", str(recordings), "--set", f"data.clip_s={CLIP_S}", "--threads", "1", "--results", str(out)]
    done = environment(*rsbench, "run", *options, "--log", "bests", "--quiet", "--format", "json")
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    assert set(run["metrics"]["val"]) == {"ward", "far"}
    assert (tmp_path / "bests.txt").read_text().startswith(f"{run['run_id']} done ")

    plugins = json.loads((Path(run["path"]) / "data.json").read_text())["identity"]["plugins"]
    assert set(plugins) == {"loss:my_margin", "backbone:pooled", "dataset:ward"}
    assert all(len(code) == 64 for code in plugins.values())

    board = environment(*rsbench, "leaderboard", "--split", "ward,far", "--results", out)
    assert board.returncode == 0, board.stderr
    assert board.stdout.count("backbone pooled") == 2  # what all rows share stands once above each board

    cited = environment(*rsbench, "cite", run["run_id"], "--results", out, "--plugin", "lung_margins.my_margin")
    assert "A margin for good recordings" in cited.stdout, cited.stderr


def test_the_template_keeps_the_contracts(environment: Python) -> None:
    examined = environment("-m", "rsbench", "doctor", "my_margin")
    assert "every contract is kept" in examined.stdout, examined.stdout + examined.stderr
    assert examined.returncode == 1  # for the broken one beside it


def test_its_splits_are_listed(environment: Python) -> None:
    listed = environment(
        "-c", "import sys; from rsbench.data.splits import split; print(split('ward'), 'torch' in sys.modules)"
    )
    assert "Every fifth patient tests." in listed.stdout, listed.stderr
    assert listed.stdout.split()[-1] == "False"  # boards need the splits, and not torch
