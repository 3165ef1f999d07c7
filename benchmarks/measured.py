"""What the benchmarks share: two ways to do one thing, measured in turn, and the ratio of what they take."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

CPU_TIME = "CPU time"  # of all threads: others at work on the same cores change it little


@dataclass(frozen=True)
class Ratio:
    """How much one thing takes of what its peer takes, once a round; below 1 it takes less.

    what, beside: the two. of: what is compared.
    """

    what: str
    beside: str
    of: str
    rounds: tuple[float, ...]


def compared(found: Mapping[str, Sequence[float]], of: str = CPU_TIME, about: str = "") -> Ratio:
    """The ratio of two things' figures, by their names; `about` is put before the first."""
    (what, ours), (beside, theirs) = found.items()
    return Ratio(about + what, beside, of, tuple(our / their for our, their in zip(ours, theirs, strict=True)))


def in_turn(timed: Callable[[T], float], contenders: Mapping[str, T], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, in turn, after one round that pays for plans and memory."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, work in contenders.items():
            took = timed(work)
            if number:
                found[name].append(took)
    return found


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of this process, all threads together."""
    started = time.process_time()
    work()
    return time.process_time() - started


def device_seconds(work: Callable[[], object], device: torch.device) -> float:
    """CPU seconds on a CPU; on a GPU those of the clock, until its work is done."""
    if device.type != "cuda":
        return cpu_seconds(work)
    import torch

    torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - started


def command_seconds(command: Sequence[str]) -> float:
    """CPU seconds of a command and of what it starts. Its output is kept back; where it fails, that ends this too."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {last_line(done.stdout)}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def last_line(text: str) -> str:
    """The last line of a text that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")


def recordings() -> Path:
    """The folder of real recordings. Ends the process with a message where none is named."""
    root = os.environ.get("RSBENCH_DATA")
    if root is None:
        raise SystemExit("no recordings: set RSBENCH_DATA to a folder that holds icbhi/, sprsound/ and embeddings/")
    return Path(root)
