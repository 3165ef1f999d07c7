"""What a person sees of a study at work: one table that is redrawn, or a plain log where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..core.display import Display, duration

LOG_EVERY_S = 15.0


@dataclass
class AtWork:
    """A run or trial that is being trained."""

    cell: str
    seed: int
    epoch: int = 0
    epochs: int = 0
    score: float | None = None


@dataclass
class StudyProgress:
    """How far a study has come: told of by an engine, shown by `StudyDisplay`."""

    total: int
    done: int = 0
    failed: int = 0
    at_work: dict[str, AtWork] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float | None:
        """Seconds to the end at the pace so far; epochs of what is at work count by their share."""
        share = sum(item.epoch / item.epochs for item in self.at_work.values() if item.epochs)
        finished = self.done + self.failed + share
        return (time.monotonic() - self.started) / finished * (self.total - finished) if finished else None


class StudyDisplay:
    """An engine's `Watch`; use as a context around its work.

    Args:
        display: where lines go; silent when it is quiet.
        what: "runs" or "trials".
        total: of them to do.
        on_end: told of every end: its state, and its error or "".
    """

    def __init__(
        self, display: Display, what: str, total: int, on_end: Callable[[str, str], None] = lambda state, error: None
    ) -> None:
        self.display = display
        self.what = what
        self.on_end = on_end
        self.progress = StudyProgress(total)
        self._live: Live | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> StudyDisplay:
        if self.display.console.is_terminal and not self.display.console.quiet:
            self._live = Live(self._drawn(), console=self.display.console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.update(self._drawn())
            self._live.stop()

    def started(self, key: str, cell: str, seed: int) -> None:
        self.progress.at_work[key] = AtWork(cell, seed)
        self._show()

    def epoch(self, key: str, epoch: int, epochs: int, score: float | None) -> None:
        item = self.progress.at_work.get(key)
        if item is None:
            return
        item.epoch, item.epochs, item.score = epoch, epochs, score
        if score is not None:
            self.progress.best[item.cell] = max(score, self.progress.best.get(item.cell, score))
        self._show()

    def warned(self, key: str, text: str) -> None:
        self.display.say(f"note: {key}: {text}")

    def ended(self, key: str, state: str, seconds: float, error: str) -> None:
        self.on_end(state, error)
        item = self.progress.at_work.pop(key, None)
        self.progress.done += state in ("done", "stopped")
        self.progress.failed += state == "failed"
        name = f"{item.cell}, seed {item.seed}" if item else key
        if error:
            self.display.say(f"{state}: {name}: {error}")
        elif not self._live:
            self.display.say(f"{state}: {name} in {duration(seconds)}  ({self._counts()})")
        self._show()

    def _show(self) -> None:
        if self._live:
            self._live.update(self._drawn())
        elif time.monotonic() - self._last_line > LOG_EVERY_S:
            self._last_line = time.monotonic()
            running = "; ".join(_in_words(item) for item in self.progress.at_work.values())
            self.display.say(f"{self._counts()}  {running}")

    def _counts(self) -> str:
        progress = self.progress
        text = f"{progress.done} of {progress.total} {self.what} done"
        text += f", {progress.failed} failed" if progress.failed else ""
        return text + (f", about {duration(progress.left_s)} left" if progress.left_s is not None else "")

    def _drawn(self) -> Group:
        table = Table("at work", "seed", "epoch", "validation Score", box=None, pad_edge=False)
        for item in self.progress.at_work.values():
            table.add_row(item.cell, str(item.seed), f"{item.epoch}/{item.epochs or '…'}", _score(item.score))
        best = Table("best validation Score so far", "", box=None, pad_edge=False)
        for cell, score in _ranked(self.progress.best).items():
            best.add_row(cell, _score(score))
        return Group(Text(self._counts()), table, best)


def _ranked(best: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(best.items(), key=lambda item: -item[1]))


def _in_words(item: AtWork) -> str:
    return f"{item.cell}, seed {item.seed}: epoch {item.epoch}/{item.epochs or '…'}, Score {_score(item.score)}"


def _score(score: float | None) -> str:
    return "–" if score is None else f"{score:.1f}"
