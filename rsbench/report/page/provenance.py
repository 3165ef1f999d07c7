"""What a reader needs to make the runs again: commands, specs, versions, splits and identities."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...boards.leaderboard import POINT, Board
from ...core.text import file_name
from ...results.run import Run
from ...results.schema import DataUsed
from .groups import Group


@dataclass(frozen=True)
class Command:
    """How the runs of a method are made: a command, and the file that it names."""

    method: str
    command: str
    spec_file: str
    spec: str


def commands(group: Group) -> list[Command]:
    """One per method of the group's boards."""
    runs: dict[str, dict[str, Run]] = {}
    for board in group.boards:
        for method, run_id in zip(board.runs["method"], board.runs["run_id"], strict=True):
            runs.setdefault(str(method), {})[str(run_id)] = group.runs[str(run_id)]
    return [_command(method, list(mine.values())) for method, mine in runs.items()]


def _command(method: str, runs: Sequence[Run]) -> Command:
    first = runs[0]
    if first.data.elsewhere:
        return _command_to_score(method, runs)
    file = file_name("_".join(re.findall(r"[\w.-]+", method))) + ".json"
    spec = first.spec.model_dump(mode="json", exclude={"seed"})
    words = ["rsbench run", f"--spec {file}", f"--seeds {ranges([run.spec.seed for run in runs])}"]
    command = " ".join([*words, *_about_data(first.data)])
    return Command(method, command, file, json.dumps(spec, indent=1, ensure_ascii=False))


def _command_to_score(method: str, runs: Sequence[Run]) -> Command:
    """How predictions made elsewhere are judged again, with what was said of them in place of a spec."""
    by_seed = sorted(runs, key=lambda run: run.spec.seed)
    said = [run.data.elsewhere for run in by_seed if run.data.elsewhere]
    spec, known = by_seed[0].spec, by_seed[0].known_spec
    words = [
        f"rsbench score {' '.join(shlex.quote(one.files[0]) for one in said)}",
        f"--method {spec.loss.name} --select {said[0].declared} --test {','.join(spec.data.test)}",
        f"--train {spec.data.train} --seeds {ranges([run.spec.seed for run in runs])}",
        *(f"--validation {shlex.quote(file)}" for one in said for file in one.files[1:]),
        f"--pretrained-on {shlex.quote(','.join(spec.backbone.pretrained_on) or 'none')}",
    ]
    command = " ".join([*words, *_about_data(by_seed[0].data)])
    declared = json.dumps(known | said[0].document(), indent=1, ensure_ascii=False)
    return Command(method, command, "as declared", declared)


def _about_data(data: DataUsed) -> list[str]:
    """The options that say where recordings come from, and that some may be missing."""
    options = [
        ("--partial", data.partial),
        ("--plugin FILE", data.identity.plugins),
        ("--root DIR", not data.synthetic),
    ]
    return [option for option, needed in options if needed]


def ranges(numbers: Sequence[int]) -> str:
    """Numbers as `--seeds` takes them: [0, 1, 2, 5] is "0-2,5"."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in spans)


def split_rows(group: Group) -> list[list[str]]:
    """SPLIT_HEADINGS: a row per board."""
    rows = []
    for board in group.boards:
        if board.runs.empty:
            continue
        run = group.runs[str(board.runs["run_id"].iloc[0])]
        about = run.data.datasets[board.runs["dataset"].iloc[0]]
        rows.append(
            [
                board.split,
                f"v{board.shared['split_version']}",
                str(board.runs["dataset"].iloc[0]),
                str(about.recordings),
                str(about.missing_recordings),
                str(board.shared["label_map"]),
                str(board.shared["labels_id"]),
                str(about.bytes_id),
            ]
        )
    return rows


SPLIT_HEADINGS = ["split", "version", "data set", "recordings", "missing", "label map", "labels", "bytes"]


def counted(facts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Each different row once, with how many there were of it at its end; the most frequent first."""
    return [[*row, str(count)] for row, count in Counter(map(tuple, facts)).most_common()]


WEIGHT_HEADINGS = ["backbone", "weights", "sha256", "licence", "pretrained on", "origin", "runs"]


def weight_rows(runs: Mapping[str, Run]) -> list[list[str]]:
    """WEIGHT_HEADINGS: a row per backbone and its weights."""

    def facts(data: DataUsed) -> list[str]:
        weights = data.weights
        named = (weights.source, weights.sha256 or "–", weights.licence or "?")
        return [data.backbone, *named, ", ".join(weights.pretrained_on) or "–", weights.origin or "–"]

    return counted([facts(run.data) for run in runs.values()])


VERSION_HEADINGS = ["rsbench", "protocol", "Python", "libraries", "device", "runs"]


def version_rows(runs: Mapping[str, Run]) -> list[list[str]]:
    """VERSION_HEADINGS: a row per environment that runs were made in."""

    def facts(run: Run) -> list[str]:
        made = run.environment
        libraries = ", ".join(f"{name} {version}" for name, version in made.libraries.items())
        return [made.code_version, str(run.spec.protocol), made.python, libraries, made.device_name or made.device]

    return counted([facts(run) for run in runs.values()])


def run_headings(boards: Sequence[Board]) -> list[str]:
    return ["run", "method", "seed", "state", *(f"epoch, Score: {board.split}" for board in boards)]


def run_rows(group: Group) -> list[list[str]]:
    """`run_headings`: a row per run, with the epoch that was chosen and the Score at argmax on each split."""
    by_board = [
        board.runs[board.runs[POINT] == "argmax"].set_index("run_id")[["method", "epoch", "score"]].to_dict("index")
        for board in group.boards
    ]
    rows = []
    for run_id, run in group.runs.items():
        method = next((str(of[run_id]["method"]) for of in by_board if run_id in of), "–")
        cells = [_epoch_and_score(of[run_id]) if run_id in of else "–" for of in by_board]
        rows.append([run_id, method, str(run.spec.seed), run.state, *cells])
    return rows


def _epoch_and_score(row: Mapping[Hashable, Any]) -> str:
    return f"{row['epoch']:.0f}, {row['score']:.1f}" if row["epoch"] else f"–, {row['score']:.1f}"
