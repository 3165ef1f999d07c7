"""A model put before clips: the score that a selection rule judges by, and the predictions that are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
import torch
from numpy.typing import NDArray

from ..core.display import Display
from ..core.errors import RunFailed
from ..core.spec import RunSpec
from ..data.tasks import Task
from ..evaluation.counts import hits_table
from ..evaluation.metrics import FloatArray, at_operating_point, mean_auroc, predicted_classes
from ..evaluation.scoring import HEADLINE, prediction_columns
from ..evaluation.selection import rule
from ..training.adaptation import ADAPTATIONS, adapted
from ..training.checkpoint import Checkpoints, TrainingState
from ..training.clipset import ClipSet, why_no_numbers
from ..training.loop import Evaluation
from ..training.predict import Model, ModelOutputs, predict
from .pooling import of_patients
from .prepare import Experiment

EMBEDDINGS_AT_ONCE = 4096
MORE_WITHOUT_GRADIENTS = 2  # a batch of training keeps all its activations, a prediction those of two layers


def evaluate(model: Model, clips: Mapping[str, ClipSet], experiment: Experiment) -> Evaluation:
    """What an epoch is judged by: on validation, and on the test splits only where the oracle was asked for.

    It is predicted in the precision of the training, validation once for all rules. `tables` has what was hit of each
    patient on those test splits, by split, see `schema`.

    Raises RunFailed when the logits are no longer numbers.
    """
    scores: dict[str, float] = {}
    figures: dict[str, float] = {}
    tables: dict[str, pd.DataFrame] = {}
    predicted: dict[str, FloatArray] = {}  # by test split; validation has no name
    spec = experiment.spec
    for selection, looked_at in _judged(experiment).items():
        rule_name, _, split = selection.partition(":")
        if split not in predicted:
            outputs = [
                predict_rows(model, clips[name], rows, spec, precision=spec.precision) for name, rows in looked_at
            ]
            predicted[split] = np.concatenate([of.logits.double().numpy() for of in outputs])
        known = pd.concat([experiment.datasets[name].clips.iloc[rows] for name, rows in looked_at])
        unknown = np.full(len(known), np.nan)
        known = prediction_frame(known, predicted[split], unknown, selection, experiment.task)
        logits = known[list(experiment.task.logit_columns)].to_numpy(dtype=np.float64)
        result = at_operating_point(known["label"], logits, task=experiment.task)
        decides = rule(rule_name).figure
        if decides == "mean_auroc":
            result["mean_auroc"] = mean_auroc(known["label"], logits, experiment.task)
        scores[selection] = result[decides]
        figures |= {f"{selection}_{key}": result[key] for key in dict.fromkeys((*HEADLINE, decides))}
        if split:
            tables[split] = hits_table(known, predicted_classes(logits), experiment.task)
    return Evaluation(scores, figures, tables)


def clips_at_once(spec: RunSpec) -> int:
    """How many clips are predicted at a time, whatever the device: memory that no gradient needs has room for more."""
    if spec.frontend is None:
        return EMBEDDINGS_AT_ONCE
    return MORE_WITHOUT_GRADIENTS * -(-spec.optim.batch_size // spec.optim.accumulate)


def predict_rows(
    model: Model,
    clips: ClipSet,
    rows: np.ndarray,
    spec: RunSpec,
    advance: Callable[[int], None] | None = None,
    *,
    precision: str = "fp32",
    keep_embeddings: bool = False,
) -> ModelOutputs:
    """Predictions of clips by position; see `predict`. Raises RunFailed when they are not numbers."""
    chosen = torch.as_tensor(rows, device=clips.known.labels.device)
    at_once = clips_at_once(spec)
    predicted = predict(model, clips, chosen, at_once, advance, precision=precision, keep_embeddings=keep_embeddings)
    if not torch.isfinite(predicted.logits).all():
        raise RunFailed(f"'{spec.loss.name}' gives logits that are not numbers. {why_no_numbers(clips, chosen, spec)}")
    return predicted


def _judged(experiment: Experiment) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Selection → per data set its name and the positions of the clips that the rule looks at after every epoch."""
    judged: dict[str, list[tuple[str, np.ndarray]]] = {}
    for name in experiment.spec.select:
        if rule(name).judged_on == "validation":
            judged[name] = [(trained, of.rows("validation")) for trained, of in experiment.training.items()]
        elif rule(name).judged_on == "test":
            for item in experiment.tests:
                rows = item.test_rows(experiment.datasets[item.dataset].clips)
                judged[rule(name).selection(item.name)] = [(item.dataset, np.flatnonzero(rows))]
    return judged


@dataclass(frozen=True)
class Chosen:
    """What the chosen epochs make of every clip that was not fitted, by data set.

    predictions: `prediction_columns`, once per chosen epoch. axes: (N, at most 32), see `on_principal_axes`, of the
    clips that stand under the first of the run's rules in `predictions`, in their order; {} without validation clips,
    and of a task of patients.
    """

    predictions: dict[str, pd.DataFrame]
    axes: dict[str, NDArray[np.float16]]


def predict_chosen(
    model: Model,
    clips: Mapping[str, ClipSet],
    experiment: Experiment,
    checkpoints: Checkpoints,
    progress: TrainingState,
    display: Display,
) -> Chosen:
    """Put every clip that was not fitted before the chosen epochs, once per data set and epoch."""
    rows = {name: dataset.rows("validation", "test") for name, dataset in experiment.datasets.items()}
    selections: dict[tuple[str, int], list[str]] = {}
    for selection, kept in progress.kept.items():
        for name in experiment.datasets:
            if len(rows[name]) and _concerns(selection, name, experiment):
                selections.setdefault((name, kept.epoch), []).append(selection)
    frames: dict[str, list[pd.DataFrame]] = {}
    seen: dict[str, NDArray[np.float32]] = {}
    shown = experiment.spec.select[0]
    with display.track("predicting", sum(len(rows[name]) for name, _ in selections)) as advance:
        for (name, _), chosen_by in selections.items():
            checkpoints.restore(model, progress.kept[chosen_by[0]])
            predicted = _predict_adapted(
                model,
                clips[name],
                rows[name],
                experiment.datasets[name].rows("test"),
                experiment.spec,
                lambda count: advance(count, ""),
                keep_embeddings=shown in chosen_by and experiment.task.level != "patient",
            )
            known = experiment.datasets[name].clips.iloc[rows[name]]
            if predicted.embeddings is not None:
                seen[name] = predicted.embeddings.numpy()
            frames.setdefault(name, []).extend(
                prediction_frame(
                    known, predicted.logits.numpy(), predicted.margin_rad.numpy(), selection, experiment.task
                )
                for selection in chosen_by
            )
    return Chosen(
        {name: pd.concat(parts) for name, parts in frames.items()},
        on_principal_axes(seen, _of_validation(seen, rows, experiment)),
    )


def _predict_adapted(
    model: Model,
    clips: ClipSet,
    rows: np.ndarray,
    tested: np.ndarray,
    spec: RunSpec,
    advance: Callable[[int], None],
    *,
    keep_embeddings: bool,
) -> ModelOutputs:
    """Predictions of clips by position; of those to test by the model adapted to them, where the run says so."""
    of_test = np.isin(rows, tested)
    if spec.data.adapt not in ADAPTATIONS or not of_test.any():
        return predict_rows(model, clips, rows, spec, advance, keep_embeddings=keep_embeddings)
    moved = adapted(model, clips, torch.as_tensor(rows[of_test], device=clips.known.labels.device), spec)
    order, parts = [], []
    for which, by in ((of_test, moved), (~of_test, model)):
        if which.any():
            order.append(np.flatnonzero(which))
            parts.append(predict_rows(by, clips, rows[which], spec, advance, keep_embeddings=keep_embeddings))
    back = np.argsort(np.concatenate(order))
    embeddings = [part.embeddings for part in parts if part.embeddings is not None]
    return ModelOutputs(
        torch.cat([part.logits for part in parts])[back],
        torch.cat([part.margin_rad for part in parts])[back],
        torch.cat(embeddings)[back] if embeddings else None,
    )


def _of_validation(
    seen: Mapping[str, NDArray[np.float32]], rows: Mapping[str, np.ndarray], experiment: Experiment
) -> NDArray[np.float32]:
    """The embeddings of the validation clips, who are training patients."""
    trained = {name: of.rows("validation") for name, of in experiment.training.items() if name in seen}
    if not trained:
        return np.empty((0, 0), dtype=np.float32)
    return np.concatenate([seen[name][np.isin(rows[name], validation)] for name, validation in trained.items()])


def prediction_frame(
    clips: pd.DataFrame, logits: np.ndarray, margin_rad: np.ndarray, selection: str, task: Task
) -> pd.DataFrame:
    """`prediction_columns` of clips, from their logits (N, C) and margins (N,); of a task of patients, of these."""
    frame = clips.drop(columns="label").rename(columns={"class_index": "label"})
    frame = frame.assign(**dict(zip(task.logit_columns, logits.T, strict=True)))
    frame = frame.assign(margin_rad=margin_rad, selection=selection)
    frame = frame.assign(length_s=frame["end_s"] - frame["start_s"])
    frame = frame[list(prediction_columns(task))]
    return of_patients(frame, task) if task.level == "patient" else frame


def _concerns(selection: str, dataset: str, experiment: Experiment) -> bool:
    """An oracle's epoch is used for its own split, and for the validation clips that give its operating point."""
    split_name = selection.partition(":")[2]
    own = {item.dataset for item in experiment.tests if item.name == split_name}
    return not split_name or dataset in own | set(experiment.training)


MOST_AXES = 32


def on_principal_axes(
    embeddings: Mapping[str, NDArray[np.float32]], fitted_on: NDArray[np.float32]
) -> dict[str, NDArray[np.float16]]:
    """Embeddings per data set, (N, D) each, as (N, at most 32) places on the axes that spread `fitted_on` most.

    `fitted_on` is of training patients, so that no test clip has a say in where the axes lie. Distances in units of the
    first axis' standard deviation, so that float16 can hold them. {} where fewer than two embeddings are there to fit.
    """
    if len(fitted_on) < 2:
        return {}
    centre = fitted_on.mean(axis=0)
    count, width = fitted_on.shape
    variance, axes = scipy.linalg.eigh(  # in ascending order
        np.cov(fitted_on.T.astype(np.float64)).reshape(width, width),
        subset_by_index=[width - min(MOST_AXES, count, width), width - 1],
    )
    unit = np.sqrt(max(0.0, variance[-1])) or 1.0  # embeddings that are all one have no spread to measure in
    axes = axes[:, ::-1].astype(np.float32)
    return {name: ((found - centre) @ axes / unit).astype(np.float16) for name, found in embeddings.items()}
