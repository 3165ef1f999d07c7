"""The page of a results folder at an address: made again when runs change, and for this machine alone."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tiny import Cli

from rsbench.core.display import Display
from rsbench.report.page.page import write_report
from rsbench.report.page.server import LiveReport, ReportServer
from rsbench.results.run import load_runs


@dataclass
class Served:
    """A server of a results folder. written: what it wrote, page by page; said: lines for whoever started it."""

    results: Path
    port: int
    written: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str = "/", **headers: str) -> tuple[int, str, str]:
        """Status, ETag and text of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        found = answer.status, answer.headers["ETag"] or "", answer.read().decode(errors="replace")
        connection.close()
        return found


@pytest.fixture
def served(one_run: Path, tmp_path: Path, sketched: None) -> Iterator[Served]:
    results = shutil.copytree(one_run, tmp_path / "results")
    (tmp_path / "page").mkdir()

    def write(runs: object, out: Path) -> None:
        quiet = Display(quiet=True)
        write_report(load_runs(results), out, baseline=None, cache=results / ".index", display=quiet)
        found.written.append(out.read_text(encoding="utf-8"))

    found = Served(results, 0)
    report = LiveReport(lambda: load_runs(results), write, tmp_path / "page", found.said.append)
    with ReportServer(report, 0) as server:
        found.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def test_the_page_of_report_is_made_again_only_when_runs_change(served: Served) -> None:
    status, tag, text = served.ask("GET")
    assert (status, len(served.written)) == (200, 1)
    assert re.sub(r"<script data-tag='.*?</script>\n", "", text, flags=re.DOTALL) == served.written[0]
    assert f"data-tag='{tag}'" in text
    assert served.ask("HEAD", If_None_Match=tag) == (304, tag, "")
    assert served.ask("GET") == (status, tag, text)
    assert len(served.written) == 1

    (run,) = (served.results / "runs").iterdir()
    other = shutil.copytree(run, run.with_name("another"))
    (other / "status.json").write_text('{"state": "failed"}')
    status, changed, _ = served.ask("HEAD", If_None_Match=tag)
    assert (status, changed != tag, len(served.written)) == (200, True, 2)
    assert "1 run done, 1 run failed" in " ".join(served.ask("GET")[2].split())
    assert len(served.written) == 2


def test_what_keeps_a_page_from_being_made_is_shown_and_said_once(served: Served) -> None:
    (run,) = (served.results / "runs").iterdir()
    aside = run.rename(served.results / "aside")
    begun = served.results / "runs" / "<b>begun"
    begun.mkdir()
    (begun / "status.json").write_text('{"state": "running"}')
    for _ in range(2):
        status, tag, text = served.ask("GET")
        assert (status, "nothing to report on" in text) == (200, True)
    assert len(served.said) == 1
    aside.rename(run)
    assert served.ask("HEAD", If_None_Match=tag)[0] == 200
    assert "<h1>" in served.ask("GET")[2]

    runs = (served.results / "runs").rename(served.results / "aside")
    assert "there are no runs here" in served.ask("GET")[2]
    runs.rename(served.results / "runs")
    assert "<h1>" in served.ask("GET")[2]
    assert len(served.said) == 2


def test_nobody_else_is_answered(served: Served) -> None:
    """A page of another site may have given its own name this machine's address."""
    for name in ("rebound.example", "", "127.0.0.1.example:80"):
        status, _, text = served.ask("GET", Host=name)
        assert (status, "rsbench report" in text) == (403, False)
    assert served.ask("GET", "/../results/runs")[0] == 404
    assert not served.written


def test_the_command_serves_until_it_is_interrupted(one_run: Path, tmp_path: Path) -> None:
    # Where the tests run in the background, SIGINT is ignored, and children inherit that: a terminal's does not.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heeding}; from rsbench.cli import main; main()"]
    command += ["serve", "--results", str(one_run), "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **pipes) as process:
        line = process.stdout.readline()
        (port,) = re.findall(rf"^http://127\.0\.0\.1:(\d+)/ shows {re.escape(str(one_run))}", line)
        assert Served(one_run, int(port)).ask("GET", Host="elsewhere")[0] == 403
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read() == "Interrupted. The page is served no more.\n"
        assert process.stdout.read() == ""


def test_what_cannot_be_served_is_one_message(cli: Cli, one_run: Path) -> None:
    report = LiveReport(list, lambda runs, out: None, one_run, print)
    with ReportServer(report, 0) as server:
        taken = server.server_address[1]
        done = cli("serve", "--results", one_run, "--port", str(taken))
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"--port {taken}: cannot be opened (" in done.err
    assert cli("serve", "--results", "/nowhere").err.startswith("error: /nowhere/runs: there are no runs here")
