"""Plugins and the public face."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import CLIP_S, TINY_PLUGIN, Cli

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


def test_waiting_threads_give_up_their_core_unless_a_user_says_otherwise() -> None:
    program = "import os, rsbench; print(os.environ['OMP_WAIT_POLICY'])"
    unset = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    for given, expected in (({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")):
        environ = unset | given
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environ, check=True)
        assert run.stdout.strip() == expected


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class Odd(BaseException): ...\nraise Odd('a\\nb')", "Odd: a b"),
        ("def f(:", "invalid syntax .*line 1"),
        ("", "the file is empty"),
        (
            "from rsbench import register_loss\nregister_loss(5)(lambda logits, batch: logits)",
            "a name is letters",
        ),
        ("from rsbench import register_loss\nregister_loss('mine')(5)", "takes a subclass of Loss or a function"),
    ],
)
def test_a_plugin_that_ends_or_misleads_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path / "hostile.py", text)
    with pytest.raises(PluginError, match=said):
        plugins.load(path)


@pytest.mark.parametrize("name", ["", ".", "my plugin", "plugins/", "loss.txt/x", "a\nb"])
def test_what_can_be_no_plugin_is_refused(name: str) -> None:
    with pytest.raises(PluginError, match="name a file that ends in .py, or a module"):
        plugins.load(name)


def test_what_a_plugin_prints_is_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugins.load(write(tmp_path / "loud.py", "print('loud')"))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "loud\n")


def test_a_real_interrupt_during_an_import_is_one(tmp_path: Path) -> None:
    path = write(tmp_path / "slow.py", "import signal\nsignal.raise_signal(signal.SIGINT)\nfor _ in range(9): pass\n")
    # A shell lets what it starts in the background ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            plugins.load(path)
    finally:
        signal.signal(signal.SIGINT, before)


LOUD_AND_BROKEN = """
import sys
from rsbench import AngularLoss, register_loss

@register_loss("loud")
def loud(logits, batch):
    print("loud")
    return logits.sum() * 0

@register_loss("leaving")
def leaving(logits, batch):
    sys.exit(0)

@register_loss("unmade")
class Unmade(AngularLoss):
    def __init__(self, *args, **options):
        raise ValueError("not today")

    def target_margin(self, batch, cosine):
        return 0.0, 0.0

@register_loss("unmade_by_leaving")
class Leaving(Unmade):
    def __init__(self, *args, **options):
        sys.exit(0)
"""


def test_json_holds_results_alone_and_code_that_leaves_or_fails_is_blamed(
    cli: Cli, tiny_root: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "loud.py", LOUD_AND_BROKEN)
    base = ("run", "--plugin", path, "--plugin", TINY_PLUGIN, "--backbone", "tiny", "--train", "tiny", "--test", "tiny")
    base += (
        "--set",
        f"data.clip_s={CLIP_S}",
        "--epochs",
        "1",
        "--root",
        str(tiny_root),
        "--results",
        str(tmp_path / "out"),
    )
    loud = cli(*base, "--loss", "loud", "--format", "json")
    assert len(json.loads(loud.out)["runs"]) == 1
    assert "loud\n" in loud.err
    leaving = cli(*base, "--loss", "leaving", "--format", "json")
    assert leaving.code == 1
    assert "SystemExit" in json.loads(leaving.out)["failed"][0]
    for name, said in (("unmade", "cannot be made: ValueError: not today"), ("unmade_by_leaving", "SystemExit: 0")):
        broken = cli(*base, "--loss", name, "--dry-run")
        assert broken.code == 2
        assert said in broken.err
        assert path in broken.err
