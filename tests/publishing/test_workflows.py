"""The workflows on results: what their steps run works as it stands, and no step trusts a fork."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import blocks
from tiny import PROJECT

WORKFLOWS = PROJECT / ".github" / "workflows"
BUNDLE = Path("results") / "sprsound-fine-tuned" / "runs.zip"

if not WORKFLOWS.is_dir():
    pytest.skip("a source archive has no workflows", allow_module_level=True)


def workflow(name: str) -> dict[str, Any]:
    """As it stands; the key `on`, which YAML takes for a truth, by that name."""
    read = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in read.items()}


def scripts(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def bash(script: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """As the runner does it: the shell ends at the first failure, in a pipe too."""
    path = os.pathsep.join([str(Path(sys.executable).parent), variables.pop("PATH", os.environ["PATH"])])
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    environment = os.environ | variables | {"PATH": path}
    return subprocess.run(shell, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_steps_of_a_request_score_its_bundle_and_tell_what_it_changes(tmp_path: Path) -> None:
    proposed, summary = tmp_path / "proposed", tmp_path / "summary.md"
    (proposed / BUNDLE).parent.mkdir(parents=True)
    (proposed / "results" / "README.md").write_text("# Results\n")
    base = bash(
        "git init -q . && git config user.name me && git config user.email me@example.org && git add . && "
        "git commit -qm base && git rev-parse HEAD && git worktree add -q ../present",
        proposed,
    )
    assert base.returncode == 0, base.stderr
    shutil.copy(PROJECT / BUNDLE, proposed / BUNDLE)
    assert bash("git add . && git commit -qm bundle", proposed).returncode == 0
    said = []
    for script in scripts(workflow("results")["jobs"]["check"]):
        if not script.startswith("pip install"):
            variables = {"BASE": base.stdout.strip(), "NUMBER": "7", "GITHUB_STEP_SUMMARY": str(summary)}
            done = bash(script, tmp_path, **variables)
            assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
            said.append(done.stdout)
    assert said[0] == "744 figures of 6 runs follow from the stored predictions\n"
    text = summary.read_text(encoding="utf-8")
    assert text == (tmp_path / "change" / "change.md").read_text(encoding="utf-8")
    assert "Scored again: 6 runs. Every figure follows from the predictions." in text
    assert "### sprsound-inter, icbhi-4: fine-tuned, trained on sprsound-train" in text
    assert "First above the floor: none → ce (67.8)." in text
    assert "| 1 | new | ce | 67.8 ± 1.8 |" in text
    assert "| 2 | new | qlung | 67.1 ± 2.2 |" in text
    assert (tmp_path / "change" / "number").read_text() == "7\n"


GH = """#!/bin/sh
echo "$@" >> said
case "$1 $2" in
  "run download") mkdir change; echo '7; touch harm' > change/number; echo text > change/change.md ;;
  "pr view") echo abc ;;
esac
"""


@pytest.mark.parametrize(("commit", "comments"), [("abc", True), ("other", False)])
def test_the_comment_goes_to_the_request_of_that_commit_alone(commit: str, comments: bool, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text(GH)
    (tmp_path / "bin" / "gh").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    first, second = scripts(workflow("results-comment")["jobs"]["comment"])
    assert bash(first, tmp_path, PATH=path, RUN="12").returncode == 0
    done = bash(second, tmp_path, PATH=path, COMMIT=commit)
    assert (done.returncode == 0) == comments
    said = (tmp_path / "said").read_text().splitlines()
    assert said[0] == "run download 12 --name change --dir change"
    assert any(line.startswith("pr comment 7 --body-file comment.md") for line in said) == comments
    assert not (tmp_path / "harm").exists()


RELEASES = """#!/bin/sh
case "$1 $2" in
  "release upload") mkdir -p ../releases && cp "$4" ../releases ;;
  "release list") echo v0.9; echo v1.0 ;;
  "release view") [ -f "../releases/boards-$3.tar.gz" ] && echo "boards-$3.tar.gz" || echo notes.txt ;;
  "release download") cp "../releases/$5" "$7" ;;
esac
"""
SITE = """#!/bin/sh
mkdir -p "$5/$7" && echo "the boards of $7" > "$5/$7/index.html"
"""


def test_a_release_keeps_its_boards_and_every_build_lays_them_beside(tmp_path: Path) -> None:
    """With a stand-in for rsbench site, which has tests of its own."""
    for name, text in (("gh", RELEASES), ("rsbench", SITE)):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    for folder in ("release", "later"):
        (tmp_path / folder).mkdir()
    variables = {"TAG": "v1.0", "PATH": os.environ["PATH"]}
    jobs = workflow("pages")["jobs"]
    for job, folder in (("freeze", "release"), ("build", "later")):
        own = [script for script in scripts(jobs[job]) if not script.startswith(("pip", "sphinx", "rsbench site"))]
        if job == "freeze":
            own = [next(one for one in scripts(jobs[job]) if one.startswith("rsbench site")), *own]
        for script in own:
            done = bash(f'PATH="{tmp_path / "bin"}:$PATH"\n{script}', tmp_path / folder, **variables)
            assert done.returncode == 0, f"{script}\n{done.stderr}"
    frozen = list((tmp_path / "later" / "site" / "results").rglob("*.html"))
    assert [path.relative_to(tmp_path / "later").as_posix() for path in frozen] == ["site/results/v1.0/index.html"]
    assert frozen[0].read_text() == "the boards of v1.0\n"


def test_what_runs_for_forks_can_write_nothing_and_runs_nothing_of_theirs() -> None:
    check = workflow("results")
    assert set(check["on"]) == {"pull_request"}
    assert check["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in check["jobs"].values())
    installed = [script for job in check["jobs"].values() for script in scripts(job) if script.startswith("pip")]
    assert [script.split()[-1] for script in installed] == ["present/constraints.txt", "./present"]
    comment = workflow("results-comment")
    assert comment["on"] == {"workflow_run": {"workflows": [check["name"]], "types": ["completed"]}}
    assert comment["permissions"] == {}
    assert not [step for step in comment["jobs"]["comment"]["steps"] if "uses" in step]  # it checks nothing out


def test_what_others_wrote_reaches_a_shell_as_a_variable_only() -> None:
    for name in ("results", "results-comment", "pages"):
        for job in workflow(name)["jobs"].values():
            assert not [script for script in scripts(job) if "${{" in script], name


def test_boards_are_installed_as_the_documentation_says() -> None:
    page = (PROJECT / "docs" / "installation.md").read_text(encoding="utf-8")
    lines = (line for block in blocks(page, "console") for line in block.code.splitlines())
    (documented,) = (line for line in lines if line.startswith("pip install numpy"))
    for name, job in (("results", "check"), ("pages", "freeze")):
        found = [script for script in scripts(workflow(name)["jobs"][job]) if script.startswith("pip install numpy")]
        assert [script.partition(" -c ")[0] for script in found] == [documented], name
