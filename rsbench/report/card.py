"""The model card of a run: what it is, what it learnt from, how it was judged, what it is not for. All from records."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import pandas as pd

from ..boards.columns import mean_sd
from ..boards.leaderboard import POINT, Board, leaderboard
from ..core.display import Display
from ..core.errors import ResultsError
from ..data.windows import clip_window
from ..evaluation.scoring import HEADLINE
from ..experiment.pooling import RULE
from ..quality.reference import quality_reference
from ..results.calls import OPERATING_POINTS
from ..results.run import Run
from ..results.schema import Identity
from ..results.trained_model import INTENDED_USE, SYNTHETIC_WARNING, TrainedModel


def model_card(choice: TrainedModel, display: Display, use: Iterable[str] = ()) -> str:
    """The card in Markdown.

    Scores come with intervals where the folder that holds the run has the same method with other seeds.

    Args:
        choice: the finished run, and how it is used.
        display: shows how far a long reading of runs has come.
        use: lines on how the model is used in the form that the card goes with.

    Raises ResultsError where the record of the run is damaged.
    """
    boards = [
        leaderboard(same_method(choice.run), split, choice.rule.name, display=display) for split in choice.figures
    ]
    sections = {
        "Model": _model(choice),
        **({"Use": use} if use else {}),
        "Data": _data(choice),
        "Protocol": _protocol(choice),
        "Scores": _scores(choice, boards),
        "Limits": _limits(choice, boards),
    }
    classes = ", ".join(choice.run.task.classes)
    title = f"# {choice.run.spec.loss.name} on {choice.run.data.backbone}: lung sounds to {classes}"
    body = "\n\n".join("\n".join([f"## {heading}", "", *lines]) for heading, lines in sections.items())
    synthetic = f"\n\n**{SYNTHETIC_WARNING}.**" if choice.trained_on_synthetic else ""
    return f"{title}\n\n**{INTENDED_USE}**{synthetic}\n\n{body}\n"


def same_method(run: Run) -> list[Run]:
    """The runs beside a run that differ from it in nothing but the seed, itself among them.

    One whose record cannot be read is nobody's: boards and `rescore` name such folders.
    """
    mine = _method(run)
    beside = (Run(path) for path in sorted(run.path.parent.iterdir()))
    found = []
    for other in (other for other in beside if other.begun):
        with contextlib.suppress(ResultsError):
            if _method(other) == mine:
                found.append(other)
    return found


def _method(run: Run) -> tuple[str, Identity]:
    """All that decides a run's result, but for the seed."""
    return run.spec.model_copy(update={"seed": 0}).canonical(), run.data.identity


def _model(choice: TrainedModel) -> Iterator[str]:
    run, spec, data = choice.run, choice.run.spec, choice.run.data
    weights, front_end = data.weights, f", front end {spec.frontend.name}" if spec.frontend else ""
    yield f"- Hears clips of {spec.data.clip_s:g} s: {clip_window(spec.data.window).in_words}."
    yield f"- Loss {spec.loss.name}, backbone {data.backbone}{front_end}; the backbone is {data.track}."
    if weights.sha256:
        fitted_on = ", ".join(weights.pretrained_on) or "unknown data"
        yield (
            f"- It began with the weights {weights.source} ({weights.origin}; licence {weights.licence}), "
            f"pretrained on {fitted_on}."
        )
    else:
        yield "- It began with random weights."
    yield f"- Run {run.run_id}, seed {spec.seed}, epoch {choice.epoch}; {choice.rule.header}."
    yield f"- Operating point {choice.at}: {choice.describe_point()}."
    yield "- Probabilities are softmax((logits + offset) / temperature)."
    yield f"- Pooled to recordings and patients (predict --per) by {RULE}; the offset is added to what is pooled."
    yield f"- Quality by the index {spec.quality.name}; percentiles are among {quality_reference().describe()}."
    yield f"- Made with rsbench {run.environment.code_version}, {run.status.at[:10]}."


def _data(choice: TrainedModel) -> Iterator[str]:
    data, spec = choice.run.data, choice.run.spec
    splits, counts = data.splits, data.class_counts
    clips = ", ".join(f"{name} {count}" for name, count in counts.items())
    trains = " and ".join(f"{name} (version {splits[name].version})" for name in spec.data.trains)
    yield (f"- Trained on {trains}: {sum(counts.values())} clips ({clips}) of {data.train_patients} patients.")
    held_out = len(data.validation_patients)
    of_these = "it" if len(spec.data.trains) == 1 else "them"
    yield f"- Validation: {held_out} other patients of {of_these}." if held_out else "- Validation: none."
    for name, judged in choice.figures.items():
        where = "in distribution" if splits[name].dataset in data.trained_on(spec) else "external, never trained on"
        yield (
            f"- Tested on {name} (version {splits[name].version}; {where}): {judged['clips']} clips of "
            f"{judged['patients']} patients."
        )
    for dataset, labels_id in data.identity.labels.items():
        missing = data.datasets[dataset].missing_recordings
        incomplete = f"; INCOMPLETE, {missing} official recordings were missing" if missing else ""
        yield f"- Identity of {dataset}: {labels_id[:16]}{incomplete}."


def _protocol(choice: TrainedModel) -> Iterator[str]:
    spec, label_map = choice.run.spec, choice.run.data.label_map
    yield f"- Version {spec.protocol}; label map {label_map.name} v{label_map.version}."
    yield f"- {choice.rule.summary}"
    yield (
        "- Sp: share of normal clips called normal. Se: share of abnormal clips called by their own class. "
        "Score: their mean; calling everything normal scores 50."
    )
    if spec.tuning_trials:
        yield f"- Settings chosen from {spec.tuning_trials} trials, none of which is in these scores."


def _scores(choice: TrainedModel, boards: list[Board]) -> Iterator[str]:
    yield "| split | at | Sp | Se | Score | Score over seeds | 95 % | seeds |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for board in boards:
        of_run = choice.figures[board.split]
        for point in (name for name in OPERATING_POINTS if name in of_run):
            own = [f"{of_run[point][name]:.1f}" for name in HEADLINE]
            over_seeds = board.table[board.table[POINT] == point].iloc[0]
            yield f"| {' | '.join([board.split, point, *own, *_over_seeds(over_seeds)])} |"
    yield ""
    if all((board.table["n_ok"] == 1).all() for board in boards):
        yield "One seed: nothing says how another would do, so there is no interval."
    else:
        yield "Sp, Se and Score are this run's. Intervals are of the expected Score, over new patients and new seeds."


def _over_seeds(row: pd.Series) -> list[str]:
    """Mean ± sd of the Score, its interval, and how many seeds are done."""
    seeds = f"{row['n_ok']}/{row['n_planned']}"
    if pd.isna(row["low"]):
        return ["–", "–", seeds]
    return [mean_sd(row["score_mean"], row["score_sd"], 1), f"{row['low']:.1f} … {row['high']:.1f}", seeds]


def _limits(choice: TrainedModel, boards: list[Board]) -> Iterator[str]:
    yield (
        f"- {INTENDED_USE} It was judged on annotated clips of a few data sets, not on patients' outcomes, and must "
        "decide nothing about anybody's care."
    )
    yield (
        f"- It knows {len(choice.run.task.classes)} classes. Coughs, speech, heart sounds, noise and lung sounds of "
        "other kinds are given one of these all the same, as confidently as any."
    )
    if choice.run.task.level == "clip":
        yield "- Its scores are of clips: how well it calls whole recordings and patients was not tested."
    yield "- Other stethoscopes, ages and rooms than those above shift its scores: see the splits apart."
    if choice.at != OPERATING_POINTS[0]:
        yield (
            "- The temperature was chosen without the offset: only at argmax are probabilities what the calibration "
            "figures of the record are of."
        )
    for board in boards:
        yield from (f"- {board.split}: {warning}." for warning in board.warnings if "single seed" not in warning)
