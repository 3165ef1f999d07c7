"""rsbench: which loss, on which backbone, for lung sounds?

The public face. Nothing heavy is imported until it is asked for.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import sweep  # a room that brings nothing before it is entered

__version__ = "0.1.0"

# Read when torch is loaded, here and in processes started from here: a thread that waits for others gives up its core
# instead of spinning on it. Where others work on the same cores, spinning makes a computation up to ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_HOMES = {
    "core.loss": (
        "AngularLoss",
        "Batch",
        "ClassWeights",
        "LinearLoss",
        "Loss",
        "at_least_float32",
        "create_loss",
        "cross_entropy",
        "inverse_frequency",
        "list_losses",
        "move_target",
        "own_cosine",
        "register_loss",
        "shift_angle",
    ),
    "core.backbone": (
        "Backbone",
        "Frontend",
        "PublicWeights",
        "create_backbone",
        "list_backbones",
        "register_backbone",
    ),
    "data.clips": ("ClipTable",),
    "data.datasets": ("register_dataset",),
    "data.folder": ("clip_table",),
    "data.splits": ("Split",),
    "data.tasks": ("LabelMap", "Task", "register_task"),
    "observers.observer": ("ObservedRun", "Observer", "register_observer"),
    "quality.index": ("QualityIndex", "register_quality"),
    "core.spec": ("Range", "RunSpec"),
    "results.run": ("Run",),
    "core.errors": ("RsbenchError",),
    "api.run": ("run",),
    "api.runs": ("Runs", "runs"),
    "api.leaderboard": ("Leaderboard", "leaderboard"),
    "api.compare": ("compare",),
    "api.predict": ("predict",),
    "api.score": ("score",),
}
HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


class _Sweep(ModuleType):
    """`rsbench.sweep` is the room of studies; called, it is `api.sweep.sweep`, which carries one out."""

    def __call__(self, study: str | Path, **options: Any) -> StudyLeaderboard:
        from .core.installation import libraries_blamed

        with libraries_blamed():
            from .api.sweep import sweep as carry_out
        return carry_out(study, **options)


sweep.__class__ = _Sweep

__all__ = [*HOME_OF, "__version__", "sweep"]

if TYPE_CHECKING:
    from pathlib import Path

    from .api.compare import compare as compare
    from .api.leaderboard import Leaderboard as Leaderboard
    from .api.leaderboard import leaderboard as leaderboard
    from .api.predict import predict as predict
    from .api.run import run as run
    from .api.runs import Runs as Runs
    from .api.runs import runs as runs
    from .api.score import score as score
    from .api.sweep import StudyLeaderboard
    from .core.backbone import Backbone as Backbone
    from .core.backbone import Frontend as Frontend
    from .core.backbone import PublicWeights as PublicWeights
    from .core.backbone import create_backbone as create_backbone
    from .core.backbone import list_backbones as list_backbones
    from .core.backbone import register_backbone as register_backbone
    from .core.errors import RsbenchError as RsbenchError
    from .core.loss import AngularLoss as AngularLoss
    from .core.loss import Batch as Batch
    from .core.loss import ClassWeights as ClassWeights
    from .core.loss import LinearLoss as LinearLoss
    from .core.loss import Loss as Loss
    from .core.loss import at_least_float32 as at_least_float32
    from .core.loss import create_loss as create_loss
    from .core.loss import cross_entropy as cross_entropy
    from .core.loss import inverse_frequency as inverse_frequency
    from .core.loss import list_losses as list_losses
    from .core.loss import move_target as move_target
    from .core.loss import own_cosine as own_cosine
    from .core.loss import register_loss as register_loss
    from .core.loss import shift_angle as shift_angle
    from .core.spec import Range as Range
    from .core.spec import RunSpec as RunSpec
    from .data.clips import ClipTable as ClipTable
    from .data.datasets import register_dataset as register_dataset
    from .data.folder import clip_table as clip_table
    from .data.splits import Split as Split
    from .data.tasks import LabelMap as LabelMap
    from .data.tasks import Task as Task
    from .data.tasks import register_task as register_task
    from .observers.observer import ObservedRun as ObservedRun
    from .observers.observer import Observer as Observer
    from .observers.observer import register_observer as register_observer
    from .quality.index import QualityIndex as QualityIndex
    from .quality.index import register_quality as register_quality
    from .results.run import Run as Run


def __getattr__(name: str) -> Any:
    if name not in HOME_OF:
        raise AttributeError(f"module 'rsbench' has no attribute '{name}'")
    from .core.installation import libraries_blamed

    with libraries_blamed():
        value = getattr(importlib.import_module(f".{HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
