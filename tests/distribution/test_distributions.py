"""Wheel and sdist: whole, sound on a package index, and at work in an environment and a folder of their own."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path

import pytest
from tiny import PROJECT

import rsbench

Rsbench = Callable[..., "subprocess.CompletedProcess[str]"]

PACKAGES = ("losses", "backbones", "sweeps")  # folders beside rsbench/ that are installed inside it
NOT_IN_THE_SDIST = re.compile(r"^(\.ci|\.github|docker)/|^\.gitignore$|^\.dockerignore$")
MADE_BY_SETUPTOOLS = re.compile(r"^(PKG-INFO|setup\.cfg|rsbench\.egg-info/.*)$")


def files_of_the_project(*others: str) -> set[str]:
    """What git tracks. A source archive holds no history, and is checked as a checkout only."""
    listed = subprocess.run(["git", "ls-files", *others], cwd=PROJECT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: which files are the project's is known to git alone")
    return {name for name in listed.stdout.splitlines() if (PROJECT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was made of the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(PROJECT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def page(wheel: Path) -> str:
    """What a package index shows."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    assert metadata["Version"] == rsbench.__version__
    return str(metadata.get_payload())


def test_the_sdist_holds_the_project(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    held = {name for name in names if not MADE_BY_SETUPTOOLS.match(name)}
    wanted = {name for name in files_of_the_project() if not NOT_IN_THE_SDIST.match(name)}
    assert not wanted - held
    assert held - wanted <= files_of_the_project("--others", "--exclude-standard")  # not committed yet


def test_the_wheel_holds_the_packages_and_their_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    names = files_of_the_project()
    wanted = {name for name in names if name.startswith("rsbench/")}
    wanted |= {f"rsbench/{name}" for name in names if name.partition("/")[0] in PACKAGES}
    assert held == wanted


def test_an_index_accepts_them(built: Path) -> None:
    files = [str(path) for path in built.iterdir()]
    check = [sys.executable, "-m", "twine", "check", "--strict", *files]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == len(files) == 2


def test_links_and_pictures_of_the_page_hold_outside_the_repository(page: str) -> None:
    pictures = {one or other for one, other in re.findall(r'!\[[^\]]*\]\(([^)#]+)|<img src="([^"]+)"', page)}
    targets = {*pictures, *re.findall(r"\]\(([^)#]+)", page)}
    assert any("/raw/" in picture for picture in pictures)
    for target in targets:
        assert target.startswith("https://")
        own = re.match(rf"https://[\w./-]+/(raw|blob)/v{re.escape(rsbench.__version__)}/(.+)", target)
        if own:
            assert (own[1] == "raw") == (target in pictures)
            assert (PROJECT / own[2]).exists(), target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty one, to work from."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def python(wheel: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of an environment which has the wheel, and sees the dependencies of the one that runs the tests."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True)
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    # As plain folders: the editable rsbench of the tests' environment is found by a .pth file, and stays unseen.
    (own / "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    asked = [python, "-c", "import rsbench.losses; print(rsbench.losses.__file__)"]
    origin = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(origin).is_relative_to(own), origin
    return python


@pytest.fixture(scope="module")
def elsewhere(python: Path, folder: Path) -> Rsbench:
    """`elsewhere("list", "losses")`: the wheel's command, in its environment, from one empty folder."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python.with_name("rsbench"), *arguments], cwd=folder, capture_output=True, text=True, check=False
        )

    return call


def test_it_works_from_an_empty_folder(python: Path, folder: Path) -> None:
    """In this order, and one process: the board is of the run."""
    commands = (
        ["run", "--loss", "ce", "--backbone", "cnn6", "--epochs", "1", "--set", "data.clip_s=0.6"],
        ["list", "losses"],
        ["sweep", "smoke", "--dry-run"],
        ["leaderboard", "--split", "synthetic,synthetic-shift"],
        ["cite", "ce-cnn6"],
    )
    lines = [f"assert not app({command!r}, standalone_mode=False)" for command in commands]
    program = [python, "-c", "\n".join(["from rsbench.cli import app", *lines])]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_it_says_its_version(elsewhere: Rsbench) -> None:
    assert elsewhere("--version").stdout == f"rsbench {rsbench.__version__}\n"


def test_it_completes_commands(elsewhere: Rsbench) -> None:
    script = elsewhere("--show-completion", "bash")
    assert "complete -o default" in script.stdout, script.stderr


def test_studies_go_by_name_anywhere(elsewhere: Rsbench) -> None:
    listed = elsewhere("list", "sweeps")
    names = {path.stem for path in (PROJECT / "sweeps").glob("*.yaml")}
    assert all(name in listed.stdout for name in names), listed.stderr
    wrong = elsewhere("sweep", "margin")
    assert (wrong.returncode, "Did you mean 'margins'?" in wrong.stderr) == (2, True)
