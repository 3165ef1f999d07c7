"""Plugins and the public face."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import Cli

import rsbench
from rsbench.core import plugins
from rsbench.core.errors import PluginError
from rsbench.core.loss import LOSSES


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_every_public_name_is_there() -> None:
    for name in rsbench.__all__:
        assert getattr(rsbench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rsbench.nothing  # noqa: B018


def test_importing_the_package_is_light() -> None:
    program = (
        "import sys, rsbench, rsbench.cli; print([m for m in ('torch', 'pandas', 'numpy', 'ray') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_boards_and_scores_need_no_torch() -> None:
    program = "import sys, rsbench.report.tables.board, rsbench.report.figures.board; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_a_run_needs_no_sweep_engine() -> None:
    program = "import sys, rsbench.experiment.run; print([m for m in ('ray', 'optuna') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_file_is_loaded_once(tmp_path: Path) -> None:
    text = (
        "from rsbench import register_loss\n@register_loss('once')\ndef once(logits, batch):\n    return logits.sum()\n"
    )
    path = write(tmp_path / "once.py", text)
    assert plugins.load(path) == plugins.load(path)
    assert "once" in rsbench.list_losses()
    assert not plugins.is_built_in(LOSSES.entry("once"))
    assert plugins.is_built_in(LOSSES.entry("qlung"))


def test_the_same_file_under_two_names_is_refused(tmp_path: Path) -> None:
    text = (
        "from rsbench import register_loss\n@register_loss('twin')\ndef twin(logits, batch):\n    return logits.sum()\n"
    )
    first, second = write(tmp_path / "first.py", text), write(tmp_path / "second.py", text)
    plugins.load(first)
    with pytest.raises(PluginError) as caught:
        plugins.load(second)
    assert first in str(caught.value)
    assert second in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("import no_such_module_here", "ModuleNotFoundError"), ("def f(:", "SyntaxError"), ("1 / 0", "ZeroDivisionError")],
)
def test_a_broken_plugin_is_named_with_its_error(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path / "broken.py", text)
    with pytest.raises(PluginError, match=said) as caught:
        plugins.load(path)
    assert path in str(caught.value)


def test_a_missing_plugin_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="no such file"):
        plugins.load(str(tmp_path / "absent.py"))
    with pytest.raises(PluginError, match="ModuleNotFoundError"):
        plugins.load("no_such_module_here")


def test_plugins_of_the_environment_are_loaded(tmp_path: Path) -> None:
    text = (
        "from rsbench import register_loss\n@register_loss('ambient')\ndef f(logits, batch):\n    return logits.sum()\n"
    )
    environ = {**os.environ, "RSBENCH_PLUGINS": write(tmp_path / "ambient.py", text)}
    program = "import rsbench; print('ambient' in rsbench.list_losses())"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environ, check=False)
    assert run.stdout.strip() == "True", run.stderr


def test_an_unknown_name_may_be_that_of_a_broken_plugin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins.broken, "cnn7 (theirs.cnn7)", "Traceback …\nImportError: no such thing\n")
    done = cli("run", "--loss", "ce", "--backbone", "cnn7")
    assert done.code == 2
    note, error = done.err.strip().splitlines()
    assert note == "note: broken plugin cnn7 (theirs.cnn7): ImportError: no such thing"
    assert error.startswith("error: There is no backbone 'cnn7'")
