"""Curves for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .observer import ObservedRun, Observer, register_observer


@register_observer("tensorboard", summary="curves and final figures: tensorboard --logdir results/logs/tensorboard")
class TensorBoard(Observer):
    """An event file in `logs/tensorboard/<run id>/`: every column of epochs.csv, `final/…`, and the spec as text."""

    requires = {"tensorboard": "rsbench[tensorboard]"}

    def begin(self, run: ObservedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._epoch = 0
        self._writer = SummaryWriter(run.folder)
        # Shown as Markdown, where four spaces make a block of code.
        self._writer.add_text("spec", "    " + json.dumps(run.spec, indent=1).replace("\n", "\n    "))

    def epoch(self, row: Mapping[str, Any]) -> None:
        self._epoch = row["epoch"]
        self._add({name: value for name, value in row.items() if name != "epoch"})

    def end(self, state: str, figures: Mapping[str, float]) -> None:
        self._add({f"final/{name}": value for name, value in figures.items()})
        self._writer.close()

    def _add(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, self._epoch)
        self._writer.flush()  # to be seen at once; without, every two minutes
