"""The model card of a run: what it is, what it learnt from, how it was judged, what it is not for. All from records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from ..boards.columns import mean_sd
from ..boards.leaderboard import POINT, Board, leaderboard
from ..core.display import Display
from ..core.errors import ResultsError
from ..core.spec import RunSpec
from ..data.clips import CLASSES
from ..evaluation.scoring import HEADLINE
from ..inference.trained import INTENDED_USE, TrainedRun
from ..results.schema import OPERATING_POINTS, full_spec
from ..results.store import RunFolder


def model_card(run: TrainedRun, display: Display, use: Iterable[str] = ()) -> str:
    """The card in Markdown.

    Scores come with intervals where the folder that holds the run has the same method with other seeds.

    Args:
        run: what the card is of.
        display: shows how far a long reading of runs has come.
        use: lines on how the model is used in the form that the card goes with.

    Raises ResultsError where the record of the run is damaged.
    """
    boards = [leaderboard(same_method(run), split, run.rule.name, display=display) for split in run.figures]
    sections = {
        "Model": _model(run),
        **({"Use": use} if use else {}),
        "Data": _data(run),
        "Protocol": _protocol(run),
        "Scores": _scores(run, boards),
        "Limits": _limits(run, boards),
    }
    title = f"# {run.spec.loss.name} on {run.data['backbone']}: lung sounds to {', '.join(CLASSES)}"
    body = "\n\n".join("\n".join([f"## {heading}", "", *lines]) for heading, lines in sections.items())
    return f"{title}\n\n**{INTENDED_USE}**\n\n{body}\n"


def same_method(run: TrainedRun) -> list[RunFolder]:
    """The folders beside a run that differ from it in nothing but the seed, itself among them.

    One whose record cannot be read is nobody's: boards and `rescore` name such folders.
    """
    mine = _method(run.folder)
    beside = [RunFolder(path) for path in sorted(run.folder.path.parent.iterdir()) if (path / "data.json").is_file()]
    found = []
    for folder in beside:
        try:
            same = _method(folder) == mine
        except ResultsError:
            continue
        if same:
            found.append(folder)
    return found


def _method(folder: RunFolder) -> tuple[str, Any]:
    """All that decides a run's result, but for the seed."""
    spec = RunSpec.model_validate(full_spec(folder))
    return spec.model_copy(update={"seed": 0}).canonical(), folder.read_json("data.json")["identity"]


def _model(run: TrainedRun) -> Iterator[str]:
    spec, weights = run.spec, run.data["weights"]
    front_end = f", front end {spec.frontend.name}" if spec.frontend else ""
    yield f"- Hears clips of {spec.data.clip_s:g} s: longer ones are cut, shorter ones repeated."
    yield f"- Loss {spec.loss.name}, backbone {run.data['backbone']}{front_end}; the backbone is {run.data['track']}."
    if weights["sha256"]:
        fitted_on = ", ".join(weights["pretrained_on"]) or "nobody says what"
        yield (
            f"- It began with the weights {weights['source']} ({weights['origin']}; licence {weights['licence']}), "
            f"pretrained on {fitted_on}."
        )
    else:
        yield "- It began with random weights."
    yield f"- Run {run.folder.run_id}, seed {spec.seed}, epoch {run.epoch}; {run.rule.header}."
    yield f"- Operating point {run.at}: {run.describe_point()}."
    yield "- Probabilities are softmax((logits + offset) / temperature)."
    yield f"- Made with rsbench {run.folder.read_json('env.json')['code_version']}, {run.folder.status()['at'][:10]}."


def _data(run: TrainedRun) -> Iterator[str]:
    splits = run.data["splits"]
    clips = ", ".join(f"{name} {count}" for name, count in run.data["class_counts"].items())
    train = run.spec.data.train
    yield (
        f"- Trained on {train} (version {splits[train]['version']}): {sum(run.class_counts)} clips ({clips}) of "
        f"{run.data['train_patients']} patients."
    )
    held_out = len(run.data["validation_patients"])
    yield f"- Validation: {held_out} other patients of it." if held_out else "- Validation: none."
    for name in run.figures:
        judged, dataset = run.figures[name], splits[name]["dataset"]
        where = "in distribution" if dataset == splits[train]["dataset"] else "external, never trained on"
        yield (
            f"- Tested on {name} (version {splits[name]['version']}; {where}): {judged['clips']} clips of "
            f"{judged['patients']} patients."
        )
    for dataset, labels_id in run.data["identity"]["labels"].items():
        missing = run.data["datasets"][dataset]["missing_recordings"]
        incomplete = f"; INCOMPLETE, {missing} official recordings were missing" if missing else ""
        yield f"- Identity of {dataset}: {labels_id[:16]}{incomplete}."


def _protocol(run: TrainedRun) -> Iterator[str]:
    spec, label_map = run.spec, run.data["label_map"]
    yield f"- Version {spec.protocol}; label map {label_map['name']} v{label_map['version']}."
    yield f"- {run.rule.summary}"
    yield (
        "- Sp: share of normal clips called normal. Se: share of abnormal clips called by their own class. "
        "Score: their mean; calling everything normal scores 50."
    )
    if spec.tuning_trials:
        yield f"- Settings chosen from {spec.tuning_trials} trials, none of which is in these scores."


def _scores(run: TrainedRun, boards: list[Board]) -> Iterator[str]:
    yield "| split | at | Sp | Se | Score | Score over seeds | 95 % | seeds |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for board in boards:
        of_run = run.figures[board.split]
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


def _limits(run: TrainedRun, boards: list[Board]) -> Iterator[str]:
    yield (
        f"- {INTENDED_USE} It was judged on annotated clips of a few data sets, not on patients' outcomes, and must "
        "decide nothing about anybody's care."
    )
    yield (
        "- It knows four classes. Coughs, speech, heart sounds, noise and lung sounds of other kinds are given one of "
        "the four all the same, as confidently as any."
    )
    yield "- Other stethoscopes, ages and rooms than those above shift its scores: see the splits apart."
    if run.at != OPERATING_POINTS[0]:
        yield (
            "- The temperature was chosen without the offset: only at argmax are probabilities what the calibration "
            "figures of the record are of."
        )
    for board in boards:
        yield from (f"- {board.split}: {warning}." for warning in board.warnings if "single seed" not in warning)
