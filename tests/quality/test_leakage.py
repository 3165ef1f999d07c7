"""An index that was fitted on recordings judges only patients whom it did not see, and every row says what it knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import TINY_PLUGIN, BringSplit, Cli, run_tiny, tiny_settings, write_own_dataset

from rsbench import QualityIndex, RsbenchError, register_quality
from rsbench.data.splits import Split
from rsbench.quality.index import QUALITY, create_quality
from rsbench.results.pseudonyms import Pseudonyms
from rsbench.results.rows import judgements
from rsbench.results.run import Run

MakeRun = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def fitted_indices() -> None:
    """`knows_far` saw two patients of `far`; `knows_part` those of a part of `wide`; `knows_tiny` some trained on."""
    create_quality("aqs")
    seen = {
        "knows_far": {"far": ("test00", "test03")},
        "knows_part": {"wide": ("a00", "a01")},
        "knows_tiny": {"tiny": ("train01", "train02")},
    }
    for name, patients in seen.items():
        _register(name, {dataset: frozenset(names) for dataset, names in patients.items()})


def _register(name: str, of: dict[str, frozenset[str]]) -> None:
    @register_quality(name)
    class Fitted(QualityIndex):
        fitted_on = tuple(f"{dataset}-part" for dataset in of)
        seen = of

        def measure(self, samples: np.ndarray, rate: int) -> tuple[float]:
            return (float(np.abs(samples).mean()),)


@pytest.fixture(scope="module")
def wide_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny`, and `wide`, whose patients are in the subsets a and b."""
    root = tmp_path_factory.mktemp("wide")
    write_own_dataset(root / "tiny", {"train": 10, "test": 4})
    write_own_dataset(root / "wide", {"a": 2, "b": 3}, seed=1)
    return root


def only_row(folder: Path, split: str = "tiny") -> dict[str, Any]:
    return judgements(Run(folder), split, "val")[0].row


@pytest.mark.parametrize("control", ["none", "constant", "shuffled"])
def test_a_run_is_refused_before_it_starts(tiny_root: Path, tmp_path: Path, control: str) -> None:
    """What a control makes of the qualities still comes from the index."""
    with pytest.raises(RsbenchError, match=r"quality\.name=knows_far: .* 2 patients of the split 'far' \(data\.test\)"):
        run_tiny(tiny_root, tmp_path, quality="knows_far", quality__control=control)
    assert not list(tmp_path.rglob("spec.json"))


def test_the_refusal_names_splits_and_indices_that_are_blind(
    wide_root: Path, tmp_path: Path, bring_split: BringSplit
) -> None:
    for name, subsets in (("wide-b", ("b",)), ("wide-all", ("a", "b"))):
        bring_split(Split(name, 1, "wide", "A part.", (), subsets))
    with pytest.raises(RsbenchError) as refused:
        run_tiny(wide_root, tmp_path, quality="knows_part", test="tiny,wide-all")
    assert "--test wide-b" in str(refused.value)
    assert "--test wide-all" not in str(refused.value)
    assert "quality=learned " in str(refused.value)
    assert "quality=knows_part" not in str(refused.value)


def test_the_command_line_says_it_in_one_message(cli: Cli, tiny_root: Path, tmp_path: Path) -> None:
    settings = [f"--set={key}={value}" for key, value in tiny_settings(quality="knows_far").items()]
    outcome = cli("run", "--plugin", TINY_PLUGIN, "--root", tiny_root, "--results", tmp_path, *settings)
    assert outcome.code == 2
    assert "was fitted on recordings of 2 patients of the split 'far'" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_record_says_what_its_index_knows(tiny_run: MakeRun) -> None:
    blind, knowing = tiny_run(epochs=1), tiny_run(epochs=1, quality="knows_far", test="tiny")
    assert blind.data.quality_index.document() == {"fitted_on": [], "seen": {}}
    assert knowing.data.quality_index.document() == {"fitted_on": ["far-part"], "seen": {"far": ["test00", "test03"]}}
    assert only_row(blind.path)["fitted_on"] == "–"
    assert only_row(knowing.path)["fitted_on"] == "far-part"


def test_training_on_patients_whom_the_index_knows_is_marked(cli: Cli, tiny_run: MakeRun) -> None:
    record = tiny_run(epochs=1, quality="knows_tiny")
    assert only_row(record.path)["fitted_on"] == "IN TRAINING (tiny-part)"
    shown = cli("show", record.run_id, "--results", record.path.parent.parent)
    assert "fitted_on IN TRAINING (tiny-part): the quality index knows patients trained on" in " ".join(
        shown.out.split()
    )


def test_a_board_has_the_column_where_rows_differ(cli: Cli, tiny_run: MakeRun) -> None:
    for index in ("aqs", "knows_far"):
        record = tiny_run(epochs=1, quality=index, test="tiny")
    board = cli("leaderboard", "--split", "tiny", "--results", record.path.parent.parent, "--format", "csv")
    rows = [line.split(",") for line in board.out.splitlines() if line and not line.startswith("#")]
    place = rows[0].index("fitted_on")
    assert {row[place] for row in rows[1:]} == {"–", "far-part"}


def test_a_board_of_a_split_from_stored_predictions_leaves_such_runs_out(
    cli: Cli, wide_root: Path, tmp_path: Path, bring_split: BringSplit
) -> None:
    for name, subsets in (("wide-b", ("b",)), ("wide-all", ("a", "b"))):
        bring_split(Split(name, 1, "wide", "A part.", (), subsets))
    knowing = run_tiny(wide_root, tmp_path, quality="knows_part", test="tiny,wide-b", epochs=1)
    blind = run_tiny(wide_root, tmp_path, test="tiny,wide-b", epochs=1)
    board = cli("leaderboard", "--split", "wide-all", "--results", tmp_path)
    assert board.code == 0
    said = " ".join(board.out.split())
    assert f"left out: {knowing.run_id}: its quality index, knows_part, was fitted on recordings of 2 patients" in said
    assert only_row(blind.path, "wide-all")["fitted_on"] == "–"
    assert only_row(knowing.path, "wide-b")["fitted_on"] == "wide-part"
    with pytest.raises(RsbenchError, match="judged only on patients it has not seen"):
        judgements(knowing, "wide-all", "val")


def test_patients_whom_an_index_knows_are_renamed_as_in_predictions(wide_root: Path, tmp_path: Path) -> None:
    record = run_tiny(wide_root, tmp_path, quality="knows_tiny", test="tiny", epochs=1)
    pseudonyms = Pseudonyms("0" * 64)
    renamed = pseudonyms.data_record(record.data, ["tiny"])
    frame = record.predictions("tiny")
    known = frame[frame["patient"].isin(["train01", "train02"])]
    assert set(renamed.quality_index.seen["tiny"]) >= set(pseudonyms.predictions("tiny", known)["patient"])
    assert not {"train01", "train02"} & set(renamed.quality_index.seen["tiny"])


def test_learned_may_judge_sprsound_inter_and_not_sprsound(real_root: Path) -> None:
    from rsbench.data.splits import named_splits
    from rsbench.data.sprsound import read_sprsound
    from rsbench.quality.leakage import refuse_seen_patients

    index, tables = create_quality("learned"), {"sprsound": read_sprsound(real_root / "sprsound")}
    splits = named_splits()
    refuse_seen_patients("learned", index, [splits["sprsound-inter"]], tables)
    with pytest.raises(RsbenchError, match=r"--test sprsound-inter or .*--set quality=learned_icbhi"):
        refuse_seen_patients("learned", index, [splits["sprsound"]], tables)
    assert "learned" in QUALITY.names()
