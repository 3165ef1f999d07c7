"""The report of a results folder at an address of this machine, made again when the results have changed."""

from __future__ import annotations

import hashlib
import html
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...core.errors import RsbenchError, SpecError
from ...core.text import visible
from ...results.index import stamp
from ...results.run import Run

ADDRESS = "127.0.0.1"  # nobody else's machine can ask
OWN_NAMES = (ADDRESS, "localhost")  # a web page elsewhere may point a name of its own at this machine
PAGE = "index.html"


class LiveReport:
    """The page on some results, as they are whenever it is asked for.

    Args:
        read: the runs that it is about, which may raise RsbenchError.
        write: writes the page on them to a file.
        folder: where the page and its figures are kept.
        say: is told why a page cannot be made.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[Run]],
        write: Callable[[Sequence[Run], Path], object],
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self._read, self._write, self._say = read, write, say
        self._made_of: dict[str, str] | None = None
        self._content = b""
        self._one_at_a_time = threading.Lock()

    def page(self) -> tuple[bytes, str]:
        """The page, and the ETag of what it says. What keeps it from being made is said in its place."""
        with self._one_at_a_time:
            made_of = None
            try:
                runs = self._read()
                made_of = {str(run.path): stamp(run) for run in runs}
                if made_of != self._made_of:
                    self._write(runs, self.folder / PAGE)
                    self._content = (self.folder / PAGE).read_bytes()
            except RsbenchError as error:
                content = _instead(str(error))
                if content != self._content:
                    self._say(f"no report: {error}")
                self._content = content
            self._made_of = made_of  # what could not be written is tried again when the results have changed
            tag = f'"{hashlib.sha256(self._content).hexdigest()[:32]}"'
            return _asking_again(self._content, tag), tag


def _instead(why: str) -> bytes:
    said = html.escape(visible(why))
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>rsbench</title><p>{said}</p></html>'.encode()


def _asking_again(page: bytes, tag: str) -> bytes:
    """The page with a script that asks whether it still is what it was, and else loads it anew."""
    script = files(__package__).joinpath("live.js").read_bytes()
    before, end, after = page.rpartition(b"</html>")
    return b"".join([before, f"<script data-tag='{tag}'>".encode(), script, b"</script>\n", end, after])


class ReportServer(ThreadingHTTPServer):
    """Serves a live report to this machine. Raises SpecError where the port is taken."""

    daemon_threads = True  # whoever still waits for a page does not keep Ctrl-C from ending all

    def __init__(self, report: LiveReport, port: int) -> None:
        self.report = report
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise SpecError(
                f"--port {port}: cannot be opened ({error.strerror}). Choose another, or 0 for any that is free."
            ) from error

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_address[1]}/"


class _Handler(SimpleHTTPRequestHandler):
    server: ReportServer

    def __init__(self, *args: Any, **options: Any) -> None:
        server: ReportServer = args[2]
        super().__init__(*args, directory=str(server.report.folder), **options)

    def do_GET(self) -> None:
        self._answer(super().do_GET)

    def do_HEAD(self) -> None:
        self._answer(super().do_HEAD)

    def _answer(self, with_file: Callable[[], None]) -> None:
        if self.headers.get("Host", "").partition(":")[0] not in OWN_NAMES:
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self.path == "/":
            self._send_page()
        else:
            with_file()

    def _send_page(self) -> None:
        page, tag = self.server.report.page()
        known = self.headers.get("If-None-Match") == tag
        self.send_response(HTTPStatus.NOT_MODIFIED if known else HTTPStatus.OK)
        self.send_header("ETag", tag)
        self.send_header("Cache-Control", "no-cache")
        if not known:
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.command == "GET" and not known:
            self.wfile.write(page)

    def log_message(self, *args: object) -> None:
        """Nobody waits for a line per request."""
