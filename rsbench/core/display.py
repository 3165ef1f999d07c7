"""What a person sees while waiting. All of it goes to standard error: standard output is for results."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.errors import MarkupError
from rich.text import Text

from .text import visible

if TYPE_CHECKING:
    from rich.progress import Progress

Advance = Callable[[int, str], None]

LOG_EVERY_S = 15.0  # where there is no terminal to redraw, a line this often
STEADY = 10  # steps, or a twentieth of all, whose pace tells how long the rest takes: the first ones wait for others


class PlainConsole(Console):
    """The one door to a terminal, a pipe or a file of text: what a stranger wrote is shown, and commands nothing."""

    def render_str(self, text: str, **options: Any) -> Text:
        """A string, a cell of a table too. Markup that does not close is text."""
        try:
            return super().render_str(visible(text), **options)
        except MarkupError:
            return super().render_str(visible(text), **(options | {"markup": False}))

    def out(self, *objects: Any, **options: Any) -> None:
        super().out(*(visible(str(one)) for one in objects), **options)


class Display:
    """Lines and progress bars, of several works at once too; silent when quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = PlainConsole(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self._bars: Progress
        self._tracked = 0  # works that go on; their bars stand together
        self._last_line = 0.0

    @property
    def quiet(self) -> bool:
        return self.console.quiet

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    @contextlib.contextmanager
    def track(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        """A progress bar with an ETA, or in a log a line now and then. Yields `advance(steps, note)`."""
        if not self.console.is_terminal:
            yield self._logger(what, total, done)
            return
        if not self._tracked:
            self._bars = self._make_bars()
            self._bars.start()
        bars = self._bars
        task = bars.add_task(visible(what), total=total, completed=done, note="")
        self._tracked += 1

        def advance(steps: int, note: str = "") -> None:
            bars.update(task, advance=steps, note=visible(note))

        try:
            yield advance
        finally:
            self._tracked -= 1
            if not self._tracked:
                bars.stop()

    def _make_bars(self) -> Progress:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
        )

    def _logger(self, what: str, total: int, done: int) -> Advance:
        started = time.monotonic()
        first = done

        def advance(steps: int, note: str = "") -> None:
            nonlocal done
            done += steps
            now = time.monotonic()
            if now - max(started, self._last_line) >= LOG_EVERY_S:  # one line for all that go on in step
                self._last_line = now
                made = done - first
                left = ""
                if made >= min(STEADY, (total - first) / 20):
                    left = f", about {duration((now - started) / made * (total - done))} left"
                self.say(f"{what}: {done} of {total}{left}  {note}".rstrip())

        return advance


def duration(seconds: float) -> str:
    """Seconds as people say them: '1 s', '40 s', '12 min', '2 h 10 min'."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
