"""Whatever differs between two rows is a column, a line above the table, or a refusal, in every format."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import on_disk
import pandas as pd
import pytest
from imitated import Method, imitate
from rich.console import Console
from tiny import Cli

from rsbench.api.leaderboard import board_sheet
from rsbench.boards.leaderboard import Board, leaderboard
from rsbench.boards.methods import ASKED, short
from rsbench.core.errors import ResultsError
from rsbench.core.spec import flatten
from rsbench.data.splits import own_split
from rsbench.evaluation.scoring import score_run
from rsbench.report.tables.formats import FORMATS, print_sheets
from rsbench.results.run import Run, load_runs

WORDS = {"precision": "bf16", "quality.name": "rms", "quality.control": "shuffled", "optim.algorithm": "sgd"}
WORDS |= {"frontend.name": "logmel", "augment.quirks": ["time_mask_whole"], "select": ["val", "last"]}
WORDS |= {"data.test": ["tiny", "far"], "data.window": "zero", "optim.compile": "inductor"}
WORDS |= {"data.adapt": "adabn", "optim.sampling": "balanced", "optim.adapter": "lora"}
# What a run folder says beside its spec, which boards keep apart by name (test_leaderboard).
ELSEWHERE = ("loss.name", "backbone.name", "backbone.weights", "data.train", "data.task", "data.label_map", "seed")
ELSEWHERE += ("protocol",)
BESIDE_LORA = ("optim.adapter_rank", "optim.adapter_targets")  # without it neither may differ


def other(field: str, value: Any) -> Any:
    """Another value that the field may have."""
    if field in WORDS:
        return WORDS[field]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return value / 2 if isinstance(value, float) and value else 0.25 if isinstance(value, float) else ["more"]


@pytest.fixture(scope="module")
def like(of_many_patients: Run) -> Run:
    return of_many_patients


def fields(run: Run) -> dict[str, Any]:
    flat = flatten(on_disk.read(run.path, "spec.json")) | {"select": ["val"], "data.test": ["tiny"]}
    return {field: value for field, value in flat.items() if field not in (*ELSEWHERE, *BESIDE_LORA)}


def board_or_refusal(results: Path) -> tuple[Board | None, str]:
    try:
        return leaderboard(load_runs(results), "tiny", "val"), ""
    except ResultsError as error:
        return None, str(error)


def boards(cli: Cli, results: Path, *options: str) -> Iterator[tuple[str, Any]]:
    for form in FORMATS:
        yield form, cli("leaderboard", "--results", results, "--split", "tiny", "--format", form, *options)


@pytest.mark.parametrize("rival", ["ce", "cosface"], ids=["the_same_loss", "another_loss"])
def test_two_specs_that_differ_in_one_field(like: Run, tmp_path: Path, rival: str) -> None:
    """The other loss is where it would be easiest to miss: both rows have names of their own."""
    methods = Method("ce"), Method(rival, noise="b")
    results = imitate(like, tmp_path, methods, seeds=[0])
    changing = Run(results / "runs" / methods[1].run_id(0)).path
    same = on_disk.read(changing, "spec.json")
    seen = 0
    for field, value in fields(like).items():
        part, _, key = field.partition(".")
        if part == "loss" and rival != "ce":
            continue  # an option of one loss is none of another
        changed = other(field, value)
        on_disk.write(changing, "spec.json", same | {part: same[part] | {key: changed} if key else changed})
        seen += 1
        made, refused = board_or_refusal(results)
        if made is None:
            twice = field in ASKED and rival == "ce"  # one training, judged on more or less
            assert ("same method and seed twice" if twice else "do not belong on one board") in refused, field
            continue
        for form in FORMATS if rival == "ce" else FORMATS[:1]:  # what one form shows of another loss, all do
            console = Console(file=io.StringIO(), width=2000)
            print_sheets([board_sheet(made, "score")], form, console)
            said = console.file.getvalue().replace(r"\_", "_")  # as LaTeX has it
            assert field in said, (field, form, said)
            for told in (value, changed):
                written = json.dumps(told)
                texts = {short(written), written.replace('"', '""'), written.replace('"', r"\"")}
                assert any(text in said for text in texts), (field, form, told, said)
    assert seen >= 40


@pytest.fixture
def pair(like: Run, tmp_path: Path) -> tuple[Path, Run, Run]:
    """A results folder with ce and cosface, one seed of each, and the two runs."""
    methods = Method("ce"), Method("cosface")
    results = imitate(like, tmp_path / "pair", methods, seeds=[0])
    one, two = (Run(results / "runs" / method.run_id(0)) for method in methods)
    return results, one, two


def edit_file(run: Run, name: str, change: dict[str, Any]) -> None:
    on_disk.edit(run.path, name, lambda known: known.update(change))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("env.json", {"threads": 97}, ("made with", "threads", "97")),
        ("env.json", {"device_name": "Other GPU"}, ("made with", "device_name", "Other GPU")),
        ("env.json", {"code_version": "9.9.9"}, ("made with", "rsbench", "9.9.9")),
        ("env.json", {"python": "3.99.1"}, ("made with", "python", "3.99.1")),
        ("env.json", {"libraries": {"torch": "9.9"}}, ("made with", "torch", "9.9")),
    ],
    ids=lambda value: "" if isinstance(value, tuple | str) else next(iter(value)),
)
def test_what_runs_were_made_with(
    cli: Cli, pair: tuple[Path, Run, Run], name: str, change: dict[str, Any], said: tuple[str, ...]
) -> None:
    results, _, two = pair
    edit_file(two, name, change)
    for form, outcome in boards(cli, results):
        assert outcome.code == 0, outcome.err
        shown = outcome.out.replace(r"\_", "_")  # as LaTeX has it
        assert all(word in shown for word in said), (form, shown)


def test_code_of_what_is_registered_tells_methods_apart(cli: Cli, like: Run, tmp_path: Path) -> None:
    """An edited loss is another one: seeds of both are not averaged."""
    results = imitate(like, tmp_path / "edited", [Method("ce")], seeds=[0, 1])
    edited = Run(results / "runs" / Method("ce").run_id(1))
    on_disk.edit(edited.path, "data.json", lambda data: data["identity"]["built_in"].update({"loss:ce": "f" * 64}))
    for form, outcome in boards(cli, results, "--columns", "score"):
        assert outcome.code == 0, outcome.err
        assert "code of loss:ce" in outcome.out, form
        assert "f" * 8 in outcome.out, form
        if form == "json":
            assert [row["n_ok"] for row in json.loads(outcome.out)[0]["rows"]] == [1] * 4


def test_other_code_of_training_is_not_averaged_over_unless_told(cli: Cli, like: Run, tmp_path: Path) -> None:
    results = imitate(like, tmp_path / "loop", [Method("ce")], seeds=[0, 1])
    edit_file(Run(results / "runs" / Method("ce").run_id(1)), "env.json", {"training_code": "f" * 64})
    ask = ("leaderboard", "--results", results, "--split", "tiny")
    refused = cli(*ask)
    assert (refused.code, "they differ in code: " in refused.err) == (2, True)
    assert "--only code=" in refused.err
    told = cli(*ask, "--allow-mixed", "code", "--format", "json")
    (content,) = json.loads(told.out)
    assert [row["n_ok"] for row in content["rows"]] == [2, 2]
    assert any(
        line.startswith("MIXED on purpose: code is ") and "means over both" in line for line in content["warnings"]
    )


def test_protocols_share_no_board(cli: Cli, pair: tuple[Path, Run, Run]) -> None:
    results, one, _ = pair
    edit_file(one, "spec.json", {"protocol": 1})
    refused = cli("leaderboard", "--results", results, "--split", "tiny")
    assert (refused.code, "they differ in protocol: protocol=1 (" in refused.err) == (2, True)
    assert "--allow-mixed" not in refused.err
    forced = cli("leaderboard", "--results", results, "--split", "tiny", "--allow-mixed", "protocol")
    assert (forced.code, "runs of two protocols share no board" in forced.err) == (2, True)
    assert cli("leaderboard", "--results", results, "--split", "tiny", "--only", "protocol=1").code == 0


def test_labels_that_were_swapped_between_clips_of_a_patient(cli: Cli, pair: tuple[Path, Run, Run]) -> None:
    """As many clips of every class for every patient, and figures that follow from the predictions."""
    results, one, _ = pair
    predictions = {dataset: one.predictions(dataset).reset_index(drop=True) for dataset in one.datasets}
    frame = predictions["tiny"]
    for _, clips in frame[frame["part"] == "test"].groupby(["selection", "patient"]):
        frame.loc[clips.index, "label"] = np.roll(clips["label"].to_numpy(), 1)
    path = one.path / "predictions" / "tiny.parquet"
    path.unlink()
    frame.to_parquet(path, index=False)
    on_disk.write(one.path, "metrics.json", score_run(predictions, [own_split("tiny")], ["val"], ("tiny",)))
    assert cli("rescore", "--results", results).code == 0
    refused = cli("leaderboard", "--results", results, "--split", "tiny")
    assert (refused.code, "or on clips with other labels" in refused.err) == (2, True)


@pytest.mark.parametrize("dataset", ["tiny", "far"], ids=["train", "test"])
def test_sound_of_the_training_set_is_compared_too(cli: Cli, like: Run, tmp_path: Path, dataset: str) -> None:
    """Judged on `far`, trained on `tiny`."""
    methods = Method("ce"), Method("cosface")
    results = imitate(like, tmp_path / "sound", methods, seeds=[0], tests=("tiny", "far"))
    path = results / "runs" / methods[1].run_id(0) / "sketch" / f"{dataset}.parquet"
    sketch = pd.read_parquet(path)
    path.unlink()
    sketch.assign(duration_s=sketch["duration_s"] + 1).to_parquet(path, index=False)
    refused = cli("leaderboard", "--results", results, "--split", "far")
    assert (refused.code, f"have different sound of '{dataset}'" in refused.err) == (2, True)


def test_seeds_that_were_fitted_on_other_clips_are_no_pairs(cli: Cli, pair: tuple[Path, Run, Run]) -> None:
    results, _, two = pair
    edit_file(two, "data.json", {"fitted_id": "0" * 64})
    refused = cli("leaderboard", "--results", results, "--split", "tiny")
    assert (refused.code, "were trained on different clips under one seed, 0" in refused.err) == (2, True)


def test_of_protocol_1_the_patients_kept_for_validation_tell_who_was_fitted(
    cli: Cli, pair: tuple[Path, Run, Run]
) -> None:
    results, one, two = pair
    for run in (one, two):
        edit_file(run, "spec.json", {"protocol": 1})
        on_disk.edit(run.path, "data.json", lambda known: known.pop("fitted_id"))
    ask = ("leaderboard", "--results", results, "--split", "tiny")
    assert cli(*ask).code == 0
    edit_file(two, "data.json", {"validation_patients": ["train00"]})
    refused = cli(*ask)
    assert (refused.code, "were trained on different clips under one seed, 0" in refused.err) == (2, True)


def test_a_board_that_is_kept_follows_what_a_run_was_made_with(cli: Cli, pair: tuple[Path, Run, Run]) -> None:
    """Rows are kept between boards, and read again where env.json has changed."""
    results, _, two = pair
    ask = ("leaderboard", "--results", results, "--split", "tiny")
    assert "threads" not in cli(*ask).out
    edit_file(two, "env.json", {"threads": 97})
    assert "made with different: threads 1 and 97" in cli(*ask).out


def test_a_document_is_shown_by_its_hash() -> None:
    """What a spec keeps of a model's configuration is thousands of letters long; two that differ look different."""
    one, other = (short(f'{{"hidden_size": {width}, "model_type": "wav2vec2"}}') for width in (768, 1024))
    assert re.fullmatch(r"[0-9a-f]{8}", one)
    assert one != other
