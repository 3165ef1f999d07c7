"""Several runs at once: every loss with every seed, in one process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.errors import RsbenchError, RunFailed
from ..core.plugins import prints_apart
from ..core.spec import RunSpec
from ..results.run import Run
from .context import RunContext, make_spec
from .prepare import Experiment, prepare_experiment
from .run import alike, run_together


def grid_specs(
    settings: Mapping[str, Any],
    losses: Sequence[str],
    seeds: Sequence[int],
    context: RunContext,
    plugins: Sequence[str] = (),
) -> list[RunSpec]:
    """The spec of every loss with every seed; without losses, those of the settings. Raises SpecError."""
    named = [{"loss": name} for name in losses] or [{}]
    return [
        make_spec({**settings, **loss, "seed": seed}, context, plugins)
        for loss, seed in itertools.product(named, seeds)
    ]


def run_grid(
    specs: Sequence[RunSpec], context: RunContext, begin: Callable[[Experiment], None] = lambda experiment: None
) -> tuple[list[Run], dict[str, RunFailed]]:
    """Do what is left to do of some runs; one that fails stops no other.

    Args:
        specs: of the runs.
        context: where they happen.
        begin: called with the first of them when it is ready.

    Returns those that are done, in the order of their specs, and run id → why it failed. Raises RsbenchError where all
    have to stop, for example on a full disk.
    """
    done: list[Run] = []
    failed: dict[str, RunFailed] = {}
    data_cache = context.data_cache()
    asked: dict[str, int] = {}  # run id → its place among the specs
    for group in alike(specs):
        with prints_apart():
            experiments = [prepare_experiment(specs[number], data_cache) for number in group]
            if not asked:
                begin(experiments[0])
            if len(specs) > 1:
                losses = ", ".join(item.spec.loss.name for item in experiments)
                context.display.say(f"{losses}, seed {experiments[0].spec.seed} ({len(asked) + 1} of {len(specs)})")
            asked |= {item.run_id: number for item, number in zip(experiments, group, strict=True)}
            for run_id, run in run_together(experiments, context):
                if isinstance(run, RunFailed):
                    failed[run_id] = run
                elif isinstance(run, RsbenchError):
                    raise run
                else:
                    done.append(run)
    done.sort(key=lambda run: asked[run.run_id])
    return done, failed
