"""Standard input, output and error as the caller left them: closed, full, a broken pipe, a narrow encoding."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast


class Unfailing:
    """A stream that work does not depend on: where it cannot be written to, the work goes on, and `error` says why."""

    def __init__(self, stream: TextIO) -> None:
        self.error: OSError | None = None
        self._stream = stream

    def write(self, text: str) -> int:
        with self._remembered():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._remembered():
            self._stream.flush()

    @contextlib.contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextlib.contextmanager
def dependable_streams() -> Iterator[Unfailing]:
    """For the length of the block streams are open and never fail; a sign that an encoding has not becomes an escape.

    Yields standard output.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the caller: the next file to be opened would take its place
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    out, notes = Unfailing(sys.stdout), Unfailing(sys.stderr)
    with contextlib.redirect_stdout(cast(TextIO, out)), contextlib.redirect_stderr(cast(TextIO, notes)):
        yield out


def what_was_lost(out: Unfailing) -> str:
    """Why not all that was printed has left the process; "" where it has, and where its reader had seen enough."""
    out.flush()
    if out.error is None:
        return ""
    # What is left would be tried once more when the process ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    if out.error.errno == errno.EPIPE:
        return ""
    return f"standard output cannot be written to: {out.error.strerror or out.error}."
