"""Weights & Biases, offline unless the environment says WANDB_MODE=online."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .observer import ObservedRun, Observer, register_observer


@register_observer("wandb", summary="Weights & Biases, offline: wandb sync results/logs/wandb/*/wandb/offline-run-*")
class WeightsAndBiases(Observer):
    """A run of W&B under the run's id, in `logs/wandb/<run id>/`.

    Nothing leaves the machine, and no login is asked for, unless WANDB_MODE is set to online. WANDB_PROJECT (default:
    rsbench) and W&B's other variables hold as usual.
    """

    requires = {"wandb": "rsbench[wandb]"}

    def begin(self, run: ObservedRun) -> None:
        import wandb

        run.folder.mkdir(parents=True)
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            mode=mode,
            project=os.environ.get("WANDB_PROJECT", "rsbench"),
            id=run.run_id,
            name=run.run_id,
            dir=run.folder,
            config=dict(run.spec),
            resume="allow",
            reinit="create_new",  # runs that train in turns are open at once
            settings=wandb.Settings(silent=True, console="off"),
        )

    def epoch(self, row: Mapping[str, Any]) -> None:
        if row["epoch"] >= self._run.starting_step:  # online, a run that goes on keeps the epochs that it has
            self._run.log(dict(row), step=row["epoch"])

    def end(self, state: str, figures: Mapping[str, float]) -> None:
        self._run.summary.update(dict(figures))
        self._run.finish(exit_code=0 if state == "done" else 1)
