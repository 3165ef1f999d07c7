"""One run, or several losses and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

from ..core.errors import RunFailed, SpecError, shown
from ..core.spec import flatten, parse_seeds
from ..experiment.context import make_context, make_spec
from ..experiment.grid import grid_specs, run_grid
from ..experiment.prepare import prepare_experiment
from ..experiment.run import run_experiment
from ..observers.observer import observers_named
from ..results.run import Run
from ..training.checkpoint import SAVE_EVERY_S
from .runs import Runs


class RunOptions(TypedDict, total=False):
    """What decides no result; see `run`."""

    plugins: Sequence[str]
    root: str | Path | Sequence[str | Path]
    partial: bool
    results: str | Path
    device: str
    threads: int | None
    save_every_s: float
    log: str | Sequence[str]
    quiet: bool


@overload
def run(
    settings: Mapping[str, Any], *, losses: None = None, seeds: None = None, **options: Unpack[RunOptions]
) -> Run: ...


@overload
def run(
    settings: Mapping[str, Any],
    *,
    losses: str | Sequence[str] | None = None,
    seeds: str | Sequence[int] | None = None,
    **options: Unpack[RunOptions],
) -> Runs: ...


def run(  # noqa: PLR0913 (all that a run can be told)
    settings: Mapping[str, Any],
    *,
    losses: str | Sequence[str] | None = None,
    seeds: str | Sequence[int] | None = None,
    plugins: Sequence[str] = (),
    root: str | Path | Sequence[str | Path] = (),
    partial: bool = False,
    results: str | Path = "results",
    device: str = "auto",
    threads: int | None = None,
    save_every_s: float = SAVE_EVERY_S,
    log: str | Sequence[str] = (),
    quiet: bool = False,
) -> Run | Runs:
    """Train and judge a loss on a backbone; return at once what is done already.

    >>> rsbench.run({"loss": "qlung", "backbone": "cnn6", "optim.epochs": 3})
    >>> rsbench.run({"backbone": "cnn6"}, losses="ce,qlung", seeds="0-4").frame

    Args:
        settings: the spec's keys, nested or dotted.
        losses: several, in place of the settings' one.
        seeds: several, as numbers or "0-4", in place of the settings' one; every loss is run with every seed.
        plugins: files or modules that register losses, backbones, data sets, indices or observers.
        root: folders of recordings (default: the environment's RSBENCH_DATA); "icbhi=DIR" names one data set's.
        partial: accept an incomplete data set; the row says so.
        results: where `runs/<run id>/` is kept.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: CPU threads (default: all cores); recorded, since sums depend on it in the last bits.
        save_every_s: seconds between two states on disk to go on from; Ctrl-C and the end write one too.
        log: observers that are told of every epoch, "tensorboard,csv" say; they change nothing.
        quiet: say nothing on standard error.

    Returns the run; with losses or seeds, all of them.

    Raises RsbenchError with one clear message; RunFailed when training itself failed, which is recorded. Of several,
    one that fails stops no other, and the error comes when all have ended.
    """
    context = make_context(
        root,
        results,
        device=device,
        threads=threads,
        partial=partial,
        save_every_s=save_every_s,
        observers=observers_named(log, plugins),
        quiet=quiet,
    )
    if losses is None and seeds is None:
        spec = make_spec(settings, context, plugins)
        return run_experiment(prepare_experiment(spec, context.data_cache()), context)
    given = flatten(settings)
    for argument, key in ((losses, "loss.name"), (seeds, "seed")):
        if argument is not None and key in given:
            raise SpecError(f"{key} {shown(given[key])} and {shown(argument)}: both say the same field. Leave out one.")
    names = [name.strip() for name in (losses.split(",") if isinstance(losses, str) else losses or ())]
    numbers = (
        parse_seeds(seeds, "seeds") if isinstance(seeds, str) else [given.get("seed", 0)] if seeds is None else seeds
    )
    specs = grid_specs(given, names, numbers, context, plugins)
    done, failed = run_grid(specs, context)
    if failed:
        reasons = "".join(f"\n{run_id}: {error}" for run_id, error in failed.items())
        raise RunFailed(f"{len(failed)} of {len(specs)} runs failed, the others are kept in {context.out}.{reasons}")
    return Runs(done)
