"""Standard streams that are closed, full, broken or narrow: no traceback, the right exit code, nothing lost."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table
from tiny import Cli

from rsbench.cli import interruptible, main
from rsbench.report.tables.formats import Sheet, print_sheets


class Broken(io.StringIO):
    """A stream that cannot be written to."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


def outcome(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rsbench", *arguments])
    monkeypatch.setattr(os, "dup2", lambda *descriptors: None)  # the tests' own standard output goes on
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.mark.parametrize(("number", "said"), [(errno.ENOSPC, "standard output cannot be written"), (errno.EPIPE, "")])
def test_results_that_cannot_be_printed_are_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, said: str
) -> None:
    with contextlib.redirect_stdout(Broken(number)):
        assert outcome(monkeypatch, "list", "splits") == 1
    assert capsys.readouterr().err.startswith(f"error: {said}" if said else "")


def test_work_goes_on_without_a_place_for_notes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.redirect_stderr(Broken(errno.EPIPE)):
        assert outcome(monkeypatch, "list", "splits") == 0
        assert outcome(monkeypatch, "run", "--loss", "none", "--backbone", "cnn6") == 2
    assert "synthetic-shift" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_narrow_encoding_loses_nothing(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with contextlib.redirect_stdout(out):
        assert outcome(monkeypatch, "list", "losses") == 0
    out.seek(0)
    assert "cos(\\u03b8_y + m)" in out.read()  # of ArcFace


def test_a_closed_terminal_and_a_batch_system_interrupt(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        for number in kept:
            signal.signal(number, signal.SIG_DFL)  # whoever runs the tests may do so under nohup
            monkeypatch.setattr("rsbench.core.plugins.discover", lambda number=number: signal.raise_signal(number))
            done = cli("run", "--loss", "ce", "--backbone", "cnn6", "--plugin", "mine.module")
            assert (done.code, done.err) == (
                130,
                "Interrupted. The same command continues after the last whole epoch.\n",
            )
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # under nohup
        interruptible()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@pytest.mark.skipif(sys.platform == "win32", reason="no /dev/full there")
def test_closed_and_full_streams_of_a_process() -> None:
    command = f"{sys.executable} -m rsbench --version"
    program = f"""{command} >&- 2>&- <&-; echo $?; {command} >/dev/full; echo $?; {command} | true; {command} 2>&-"""
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["0", "1"]
    assert done.stdout.splitlines()[-1].startswith("rsbench ")
    assert done.stderr == "error: standard output cannot be written to: No space left on device.\n"


def test_json_is_json_in_a_narrow_encoding() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", errors="backslashreplace")
    sheet = Sheet(Table(), pd.DataFrame({"name": ["é Δ"]}))
    print_sheets([sheet], "json", Console(file=out))
    out.seek(0)
    assert json.loads(out.read())[0]["rows"] == [{"name": "é Δ"}]


def test_a_word_in_another_encoding_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rsbench.cli.app", lambda: "caf\udce9".encode())
    assert outcome(monkeypatch, "list", "splits") == 2
    assert capsys.readouterr().err == "error: 'caf\\udce9': is no UTF-8 text. Write it in UTF-8.\n"


def test_a_file_that_nobody_expected_to_fail_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("rsbench.cli.app", lambda: (tmp_path / "absent").read_bytes())
    assert outcome(monkeypatch, "list", "splits") == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'absent'}: No such file or directory.\n"
