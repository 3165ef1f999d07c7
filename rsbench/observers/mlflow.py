"""MLflow, into a folder unless the environment names a server."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from ..core.files import locked
from ..core.spec import flatten
from .observer import ObservedRun, Observer, register_observer

STATUS = {"done": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
FOLDER = "rsbench.folder"  # the tag by which a run that goes on is found: others may have made the same run


@register_observer("mlflow", summary="MLflow: mlflow ui --backend-store-uri results/logs/mlflow")
class MlflowTracking(Observer):
    """A run of MLflow's experiment "rsbench", in the file store `logs/mlflow/` or at MLFLOW_TRACKING_URI.

    MLFLOW_EXPERIMENT_NAME names another experiment.
    """

    requires = {"mlflow": "rsbench[mlflow]"}

    def begin(self, run: ObservedRun) -> None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # which MLflow would rather have as a database
        from mlflow import MlflowClient

        store = run.folder.parent
        self._epoch = 0
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", store.absolute().as_uri()))
        with locked(store, wait_s=60):  # two processes would both make the experiment
            experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "rsbench"))
        folder = str(run.folder.absolute())
        for earlier in self._client.search_runs([experiment], f"attributes.run_name = '{run.run_id}'"):
            if earlier.data.tags.get(FOLDER) == folder:
                self._client.delete_run(earlier.info.run_id)
        made = self._client.create_run(experiment, run_name=run.run_id, tags={FOLDER: folder})
        self._run: str = made.info.run_id
        for name, value in flatten(run.spec).items():
            self._client.log_param(self._run, _plain(name), value)

    def epoch(self, row: Mapping[str, Any]) -> None:
        self._epoch = row["epoch"]
        self._log({name: value for name, value in row.items() if name != "epoch"})

    def end(self, state: str, figures: Mapping[str, float]) -> None:
        self._log(figures)
        self._client.set_terminated(self._run, STATUS[state])

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        experiment: str = found.experiment_id if found else self._client.create_experiment(name)
        return experiment

    def _log(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._client.log_metric(self._run, _plain(name), value, step=self._epoch)


def _plain(name: str) -> str:
    """As MLflow takes names."""
    return re.sub(r"[^\w. /-]", "_", name)
