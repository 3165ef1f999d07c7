"""A plugin for the tests: observers that write down what they are told, and some that misbehave."""

from __future__ import annotations

import json
import random
import signal
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from rsbench import ObservedRun, Observer, register_observer


@register_observer("recorder", summary="a line of JSON for all that it is told")
class Recorder(Observer):
    def begin(self, run: ObservedRun) -> None:
        run.folder.mkdir(parents=True)
        self.file = run.folder / "told.jsonl"
        self.write("begin", run.run_id, dict(run.spec))

    def epoch(self, row: Mapping[str, Any]) -> None:
        self.write("epoch", dict(row))

    def end(self, state: str, figures: Mapping[str, float]) -> None:
        self.write("end", state, dict(figures))

    def write(self, *told: object) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps(told) + "\n")


@register_observer("meddler", summary="changes whatever it can reach, and prints")
class Meddler(Observer):
    def meddle(self, given: Any) -> None:
        for key in given:
            given[key] = -1
        print("nobody asked for this")
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)

    def begin(self, run: ObservedRun) -> None:
        self.meddle(run.spec)

    def epoch(self, row: Mapping[str, Any]) -> None:
        self.meddle(row)

    def end(self, state: str, figures: Mapping[str, float]) -> None:
        self.meddle(figures)


@register_observer("cannot_begin")
class CannotBegin(Observer):
    def __init__(self) -> None:
        raise ValueError("there is no server")


@register_observer("quits", summary="ends the process in the second epoch, if it is let")
class Quits(Observer):
    def epoch(self, row: Mapping[str, Any]) -> None:
        if row["epoch"] == 2:
            sys.exit(3)


@register_observer("fails_at_the_end")
class FailsAtTheEnd(Observer):
    def end(self, state: str, figures: Mapping[str, float]) -> None:
        raise OSError(28, "No space left on device")


@register_observer("slurm_signals", summary="Slurm's signal to stop while the second epoch is told")
class SlurmSignals(Observer):
    def epoch(self, row: Mapping[str, Any]) -> None:
        if row["epoch"] == 2:
            signal.raise_signal(signal.SIGUSR2)


@register_observer("user_interrupts", summary="Ctrl-C, or SIGTERM, while the second epoch is told")
class UserInterrupts(Observer):
    def epoch(self, row: Mapping[str, Any]) -> None:
        if row["epoch"] == 2:
            signal.raise_signal(signal.SIGTERM)
