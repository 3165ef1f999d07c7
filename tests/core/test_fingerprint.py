"""Hashes of code: what changes a result changes them, and how it is written does not."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import on_disk
import pytest
from tiny import PROJECT, TINY_PLUGIN, Cli

from rsbench.core import fingerprint
from rsbench.core.backbone import BACKBONES
from rsbench.core.loss import LOSSES
from rsbench.core.plugins import load
from rsbench.features.frontends import FRONTENDS
from rsbench.quality.index import QUALITY

LOSS = '''
from rsbench import register_loss

FACTOR = 2

@register_loss("{name}")
def loss(logits, batch):
    """Twice the sum."""
    return FACTOR * logits.sum()  # of all
'''
SAME = '''
from rsbench import (
    register_loss,
)
# Another comment.
FACTOR = (2)


@register_loss("{name}")
def loss(
    logits, batch,
):
    """Another docstring."""

    return FACTOR*logits . sum()
'''


def plain(text: str) -> str:
    return fingerprint._text(ast.parse(text))


def test_only_what_is_computed_counts() -> None:
    assert plain(LOSS) == plain(SAME)
    for changed in (("FACTOR = 2", "FACTOR = 3"), ("logits.sum()", "logits.mean()"), ("FACTOR * ", "")):
        assert plain(LOSS) != plain(LOSS.replace(*changed))


def test_it_is_the_same_on_every_python() -> None:
    """Of syntax whose tree has had other fields in other versions: functions, classes, formatted text, numbers."""
    text = 'class A(B, c=1):\n    def f(self, x: int = 1, *y, z) -> str:\n        return f"{x!r:>{z}} b" + "c" "d"\n'
    assert (
        hashlib.sha256(plain(text).encode()).hexdigest()
        == "e64c9335d5e7ed26b2c773f59628206bf8df15a7b4ea1fec576d01321003dc03"
    )


@pytest.mark.parametrize("path", sorted((PROJECT / "losses").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_a_file_that_is_formatted_anew_is_the_same(path: Path) -> None:
    text = path.read_text()
    assert plain(ast.unparse(ast.parse(text))) == plain(text)


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        (lambda: LOSSES.entry("arcface"), {"rsbench.losses.arcface", "rsbench.losses._margins", "rsbench.core.loss"}),
        (lambda: BACKBONES.entry("ast"), {"rsbench.backbones.ast", "rsbench.core.backbone"}),
        (lambda: FRONTENDS.entry("kaldi-fbank"), {"rsbench.features.frontends"}),
        (lambda: QUALITY.entry("aqs"), {"rsbench.quality.indices.aqs", "rsbench.quality.index"}),
    ],
    ids=["loss", "backbone", "frontend", "quality"],
)
def test_what_it_imports_of_the_project_is_part_of_it(entry: Callable[[], Any], parts: set[str]) -> None:
    found = fingerprint._closure(fingerprint._module_of(entry()), entry().origin)
    assert parts <= set(found)
    assert not set(found) & fingerprint.PLUMBING
    assert all(name.startswith("rsbench.") for name in found)


def test_what_carries_no_arithmetic_exists_and_imports_no_tensors() -> None:
    for name in fingerprint.PLUMBING:
        path = fingerprint._file_of(name)
        assert path is not None, name
        imported = set(fingerprint._imported(fingerprint._tree(path), name.rpartition(".")[0]))
        assert not imported & {"torch", "torchaudio", "scipy"}, name


def test_training_is_what_a_run_does_and_not_what_boards_say_of_it() -> None:
    found = fingerprint._closure(fingerprint.TRAINING, fingerprint._file_of(fingerprint.TRAINING))
    assert {"rsbench.training.loop", "rsbench.data.splits", "rsbench.evaluation.metrics"} <= set(found)
    assert "rsbench.evaluation.statistics" not in found
    assert len(fingerprint.training_sha256()) == 64


def test_a_plugin_is_what_it_computes_with_what_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two copies of one package, and a third whose helper says something else."""
    found = []
    for number, factor in enumerate((2, 2, 3)):
        package = tmp_path / str(number) / f"theirs{number}"
        package.mkdir(parents=True)
        monkeypatch.syspath_prepend(package.parent)
        (package / "__init__.py").write_text("")
        (package / "helper.py").write_text(f"FACTOR = {factor}  # {number}\n")
        body = "@register_loss(f'theirs{__name__}')\ndef loss(logits, batch):\n    return FACTOR * logits.sum()\n"
        (package / "loss.py").write_text(f"from rsbench import register_loss\nfrom .helper import FACTOR\n{body}")
        load(f"theirs{number}.loss")
        found.append(fingerprint.code_sha256(LOSSES.entry(f"theirstheirs{number}.loss")))
    assert found[0] == found[1] != found[2]


def test_a_loss_that_is_edited_in_a_checkout_is_another_one(tmp_path: Path) -> None:
    """In a copy of the package: one loss with another number, one with another comment."""
    package = tmp_path / "rsbench"
    shutil.copytree(PROJECT / "rsbench", package)
    for part in ("losses", "backbones", "sweeps"):
        shutil.copytree(PROJECT / part, package / part)
    edited, commented = package / "losses" / "ce.py", package / "losses" / "arcface.py"
    edited.write_text(edited.read_text().replace("lt=1)] = 0.0", "lt=1)] = 0.1"))
    commented.write_text("# Another comment.\n" + commented.read_text())
    program = (
        "from rsbench.core.plugins import discover, is_built_in; discover()\n"
        "from rsbench.core.fingerprint import code_sha256\n"
        "from rsbench.core.loss import LOSSES\n"
        "for name in ('ce', 'arcface'):\n"
        "    print(code_sha256(LOSSES.entry(name)), is_built_in(LOSSES.entry(name)))"
    )
    command = [sys.executable, "-c", program]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ce, arcface = (line.split() for line in done.stdout.splitlines())
    assert ce[1] == arcface[1] == "True"
    assert ce[0] != fingerprint.code_sha256(LOSSES.entry("ce"))
    assert arcface[0] == fingerprint.code_sha256(LOSSES.entry("arcface"))


def test_a_run_that_is_done_says_when_training_is_other_code_now(
    cli: Cli, tiny_root: Path, tiny_run: Callable[..., Any], tmp_path: Path
) -> None:
    run = tiny_run(tmp_path, epochs=1)
    assert run.data.identity.built_in["loss:ce"] == fingerprint.code_sha256(LOSSES.entry("ce"))
    assert run.environment.training_code == fingerprint.training_sha256()
    again = ["run", "--spec", run.path / "spec.json", "--root", tiny_root, "--results", tmp_path]
    again += ["--plugin", TINY_PLUGIN]
    done = cli(*again, "--device", "cpu", "--threads", "1")
    assert (done.code, "already done" in done.err) == (0, True)
    assert "has changed since" not in done.err
    on_disk.edit(run.path, "env.json", lambda known: known.update(training_code="0" * 64))
    done = cli(*again, "--device", "cpu", "--threads", "1")
    assert (done.code, "the code of training or protocol has changed since" in done.err) == (0, True)
    on_disk.edit(run.path, "spec.json", lambda known: known.update(protocol=1))
    done = cli(*again, "--device", "cpu", "--threads", "1")
    assert (done.code, "protocol=1: this rsbench makes runs under protocol 2" in done.err) == (2, True)
