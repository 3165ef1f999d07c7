"""`rsbench publish`: what is refused, what is written, and the request that git and gh open."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import zipfile
from pathlib import Path

import pytest
from tiny import Cli

from rsbench.core.errors import ResultsError
from rsbench.publishing.request import PullRequest, open_request

GH = """#!/bin/sh
printf '%s\\n' "$@" > "$GH_SAID"
cat "$6" > "$GH_SAID.body"
echo https://github.com/them/rsbench/pull/7
"""


def git(*words: str, cwd: Path) -> str:
    return subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def clone(bundles: Path, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of a bare repository whose results/ holds ce.zip; runs of one's own, ignored, in results/runs."""
    for name, value in {"AUTHOR": "Carol", "COMMITTER": "Carol"}.items():
        monkeypatch.setenv(f"GIT_{name}_NAME", value)
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "carol@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    git("init", "--quiet", "--bare", "origin.git", cwd=tmp_path)
    git("clone", "--quiet", "origin.git", "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    git("config", "user.name", "Carol", cwd=clone)
    (clone / "results").mkdir()
    (bundles / "ce.zip").rename(clone / "results" / "ce.zip")
    (clone / ".gitignore").write_text("results/runs/\n")
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "-m", "Before", cwd=clone)
    git("push", "--quiet", "-u", "origin", "HEAD", cwd=clone)
    (results / "runs").rename(clone / "results" / "runs")
    monkeypatch.chdir(clone)
    return clone


def test_a_bundle_its_text_and_what_to_type(clone: Path, cli: Cli) -> None:
    dry = cli("publish", "qlung-*", "--synthetic", "--dry-run")
    assert dry.code == 0, dry.err
    assert "would write results/qlung-cnn6.zip and results/qlung-cnn6.pull-request.md" in dry.out
    assert sorted(path.name for path in Path("results").iterdir()) == ["ce.zip", "runs"]

    done = cli("publish", "qlung-*", "--synthetic")
    assert done.code == 0, done.err
    with zipfile.ZipFile("results/qlung-cnn6.zip") as bundle:
        assert json.loads(bundle.read("manifest.json"))["made_by"] == "Carol"
    text = Path("results/qlung-cnn6.pull-request.md").read_text()
    of_bundle = re.compile(r"[\d,]+ bytes, sha256 `?[0-9a-f]{64}`?")  # which has the time in it
    assert of_bundle.sub("", dry.out).startswith(of_bundle.sub("", text))
    assert text.startswith("1 run by Carol, in `qlung-cnn6.zip` (")
    assert "New:\n\n- qlung-cnn6.zip: 1 run by Carol" in text
    assert text.count("<details>") == text.count("rsbench run --spec qlung.json --seeds 0\n") == 1
    assert '"name": "qlung"' in text
    assert "torch " in text
    assert "**SYNTHETIC**" in text
    rows = [line.split(" | ")[:3] for line in text.splitlines() if re.match(r"\| (\d|–) \|", line)]
    assert rows == [["| –", "–", "ce"], ["| –", "new", "qlung"]]  # always-normal is as good
    typed = [shlex.split(line) for line in done.out.splitlines() if line.startswith("  ")]
    assert [line[0] for line in typed] == ["git", "git", "git", "git", "gh"]
    for line in typed[:-1]:
        subprocess.run(line, check=True, capture_output=True)
    assert "results/qlung-cnn6.zip" in git("ls-tree", "-r", "--name-only", "origin/results/qlung-cnn6", cwd=clone)


@pytest.fixture
def fake_gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gh that keeps what it was told, first on the PATH."""
    gh = tmp_path / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(GH)
    gh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gh.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GH_SAID", str(tmp_path / "said"))
    return gh


def test_open_hands_it_to_gh(clone: Path, cli: Cli, tmp_path: Path, fake_gh: Path) -> None:
    done = cli("publish", "qlung-*", "--synthetic", "--name", "mine", "--from", "dora", "--open")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "https://github.com/them/rsbench/pull/7"
    said = (tmp_path / "said").read_text().splitlines()
    assert said == ["pr", "create", "--title", "Results: mine by dora", "--body-file", "results/mine.pull-request.md"]
    assert (tmp_path / "said.body").read_text() == Path("results/mine.pull-request.md").read_text()
    assert git("log", "-1", "--format=%s", "origin/results/mine", cwd=clone) == "Results: mine by dora\n"
    assert git("show", "--name-only", "--format=", "origin/results/mine", cwd=clone) == "results/mine.zip\n"


def test_where_a_step_fails_what_is_left_is_told(clone: Path, fake_gh: Path) -> None:
    fake_gh.write_text("#!/bin/sh\necho 'log in first: gh auth login' >&2\nexit 4\n")
    Path("results/mine.zip").write_bytes(b"a bundle")
    request = PullRequest(
        Path("results/mine.zip"), Path("results/mine.pull-request.md"), "", "results/mine", "Results: mine"
    )
    with pytest.raises(ResultsError, match="failed: log in first: gh auth login") as raised:
        open_request(request)
    assert (
        str(raised.value).splitlines()[-1]
        == "gh pr create --title 'Results: mine' --body-file results/mine.pull-request.md"
    )
    assert git("log", "-1", "--format=%s", "origin/results/mine", cwd=clone) == "Results: mine\n"
    with pytest.raises(ResultsError, match="git switch -c results/mine failed"):
        open_request(request)


def test_open_needs_gh_and_says_so_before_anything_is_written(
    clone: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name == "gh" else f"/usr/bin/{name}")
    done = cli("publish", "qlung-*", "--synthetic", "--open")
    assert (done.code, "there is no gh here" in done.err) == (2, True)
    assert sorted(path.name for path in Path("results").iterdir()) == ["ce.zip", "runs"]


def edit(name: str, old: str, new: str) -> None:
    (path,) = Path("results/runs").glob(f"qlung-*/{name}")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new", "code", "message"),
    [
        ("status.json", '"done"', '"failed"', 2, "not finished"),
        ("metrics.json", '"score": ', '"score": 1', 1, "stored 1"),
        ("spec.json", "{", "{ half", 2, "Damaged runs cannot be published"),
        ("spec.json", "{", "{", 2, "synthetic recordings, which say nothing about real lungs"),
    ],
    ids=["unfinished", "false figures", "damaged", "synthetic"],
)
def test_what_is_not_fit_is_refused(
    name: str, old: str, new: str, code: int, message: str, clone: Path, cli: Cli
) -> None:
    edit(name, old, new)
    done = cli("publish", "qlung-*", *(["--synthetic"] if code == 1 else []))
    assert done.code == code, done.err
    assert message in done.err
    assert not list(Path("results").glob("qlung*"))


def test_a_bundle_that_is_there_is_not_written_over(clone: Path, cli: Cli) -> None:
    before = Path("results/ce.zip").read_bytes()
    done = cli("publish", "ce-*", "--synthetic", "--name", "ce")
    assert (done.code, "ce.zip: is there already" in done.err) == (2, True)
    assert Path("results/ce.zip").read_bytes() == before
