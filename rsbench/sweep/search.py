"""What is tried next: an Optuna study for each cell, in one SQLite file that outlives whoever writes it.

What came of a trial is told by its record on disk. Optuna's history is brought in line with the records whenever a
study is opened, so that a kill at any moment costs neither: trials that ended are told, trials that did not are tried
again, from their own checkpoints.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from ..core.errors import StorageError
from ..core.seeds import derive
from ..core.spec import Range
from .space import Space
from .spec import Cell, Search
from .trials import TrialRecord, TrialStore

DATABASE = "optuna.db"
INSTEAD_OF = "instead_of"  # a trial's attribute: the number of the one that it takes up again
# Attributes of a trial that has a record: what was trained, and where it lies.
LOSS, RUN_ID, FOLDER = "loss", "run_id", "folder"

REDUCTION = 3  # of three trials at a rung, the best goes on: successive halving, asynchronous (Li et al., MLSys 2020)
RUNGS = 2  # decisions before the last epoch, after a ninth and a third of them


@contextlib.contextmanager
def database_in(study_folder: Path) -> Iterator[None]:
    """Whatever keeps Optuna from writing its database becomes a StorageError."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        found: BaseException = error
        while found.__cause__ is not None:  # SQLite's own words are the last
            found = found.__cause__
        raise StorageError(
            f"{study_folder / DATABASE}: cannot be written ({found}). Mend that, free some room for instance, and give "
            "the same command again."
        ) from error


def open_storage(study_folder: Path) -> RDBStorage:
    """The database of a study, made where there is none, or a damaged one: the records on disk fill it again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study_folder.mkdir(parents=True, exist_ok=True)
    if not _is_whole(study_folder / DATABASE):
        (study_folder / DATABASE).unlink()
    engine = {
        "connect_args": {"timeout": 60},  # seconds, for someone who looks at it meanwhile
        "poolclass": NullPool,  # no connection outlives its use, and none has to be closed by the garbage collector
    }
    return RDBStorage(f"sqlite:///{study_folder / DATABASE}", engine_kwargs=engine)


def _is_whole(database: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
            found: tuple[str] = connection.execute("PRAGMA quick_check").fetchone()
            return found == ("ok",)
    except sqlite3.OperationalError:  # busy, or a full disk: no damage
        return True
    except sqlite3.DatabaseError:
        return False


def open_study(storage: RDBStorage, cell: Cell, space: Space, search: Search, store: TrialStore) -> optuna.Study:
    """The study of a cell, brought in line with the records on disk."""
    study = optuna.create_study(storage=storage, study_name=cell.name, direction="maximize", load_if_exists=True)
    study.set_user_attr(LOSS, cell.settings.get("loss.name", ""))
    study.set_user_attr(FOLDER, str(store.folder))
    ended = {_key(record.params): record for record in store.records() if record.cell == cell.name and record.finished}
    taken_up = _taken_up(study)
    for trial in study.trials:
        record = ended.get(_key(trial.params))
        if record is None and trial.state != TrialState.WAITING and trial.number not in taken_up:
            study.enqueue_trial(trial.params, user_attrs={INSTEAD_OF: trial.number})
        if trial.state == TrialState.RUNNING:
            tell(study, trial.number, record)
    told = {_key(trial.params) for trial in study.trials}
    for key, record in ended.items():
        if key not in told:
            study.add_trial(_as_trial(record, space, _attributes(study, record)))
    study.sampler = make_sampler(search, cell, len(study.trials))
    return study


def make_sampler(search: Search, cell: Cell, begun: int) -> optuna.samplers.BaseSampler:
    """Draws that follow from the search's seed, and go on, instead of starting over, after `begun` trials."""
    seed = derive(search.seed, "search", cell.name, begun) % 2**32
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def make_pruner(search: Search, epochs: int) -> optuna.pruners.BasePruner:
    """Who stops trials early, where anybody does."""
    if search.scheduler == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=first_rung(epochs), reduction_factor=REDUCTION)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The space in Optuna's terms."""
    return {
        key: FloatDistribution(values.low, values.high, log=values.log)
        if isinstance(values, Range)
        else CategoricalDistribution(values)
        for key, values in space.items()
    }


def count_finished(study: optuna.Study) -> int:
    """Trials that have ended, but for those that were taken up again."""
    taken_up = _taken_up(study)
    return sum(trial.state.is_finished() and trial.number not in taken_up for trial in study.trials)


def tell(study: optuna.Study, number: int, record: TrialRecord | None) -> None:
    """Tell a study what came of a trial; without a record it came to nothing."""
    if record:
        describe(study, number, record)
    if record is None or record.value is None:
        study.tell(number, state=TrialState.FAIL)
    else:
        study.tell(number, record.value)


def describe(study: optuna.Study, number: int, record: TrialRecord) -> None:
    """Say in a trial that has not ended what was trained, and where it lies."""
    storage = study._storage
    trial_id = storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
    for key, value in _attributes(study, record).items():
        storage.set_trial_user_attr(trial_id, key, value)


def _attributes(study: optuna.Study, record: TrialRecord) -> dict[str, str]:
    folder = Path(study.user_attrs[FOLDER], record.trial_id)
    return {LOSS: study.user_attrs[LOSS], RUN_ID: record.trial_id, FOLDER: str(folder)}


def first_rung(epochs: int) -> int:
    """The epoch after which successive halving first looks at a trial."""
    return max(1, epochs // REDUCTION**RUNGS)


def _taken_up(study: optuna.Study) -> set[int]:
    return {trial.user_attrs[INSTEAD_OF] for trial in study.trials if INSTEAD_OF in trial.user_attrs}


def _as_trial(record: TrialRecord, space: Space, attributes: dict[str, str]) -> FrozenTrial:
    """A record that the database knows nothing of. Its parameters are those of today's space, or it says nothing."""
    known = {key: found for key, found in distributions(space).items() if key in record.params}
    return optuna.trial.create_trial(
        state=TrialState.FAIL if record.value is None else TrialState.COMPLETE,
        value=record.value,
        params={key: record.params[key] for key in known},
        distributions=known,
        user_attrs=attributes,
    )


def _key(params: Mapping[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)
