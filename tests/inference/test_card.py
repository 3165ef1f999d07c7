"""The model card says what the record says."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import on_disk
import pandas as pd
from tiny import Cli

from rsbench.core.display import Display
from rsbench.report.card import model_card, same_method
from rsbench.results.run import Run

RUN = "qlung-tiny-s0"


def scores_in(card: str) -> pd.DataFrame:
    """The table of scores, indexed by split and operating point."""
    lines = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("| ")]
    headings, _, *rows = lines
    return pd.DataFrame(rows, columns=headings).set_index(["split", "at"])


def test_its_scores_are_the_records_and_its_intervals_the_boards(cli: Cli, results: Path) -> None:
    run = Run.load(RUN, results)
    card = cli("predict", RUN, "--results", results, "--card").out
    table = scores_in(card)
    metrics = on_disk.read(run.path, "metrics.json")["val"]
    for (split, point), row in table.iterrows():
        figures = metrics[split][point]
        assert [row["Sp"], row["Se"], row["Score"]] == [f"{figures[name]:.1f}" for name in ("sp", "se", "score")]
    assert len(table) == 4
    board = cli("leaderboard", "--results", results, "--split", "tiny,far", "--format", "csv").out
    expected = pd.read_csv(io.StringIO(board)).set_index(["split", "operating_point"])
    for place, row in table.iterrows():
        of_board = expected.loc[place]
        assert row["95 %"] == f"{of_board['low']:.1f} … {of_board['high']:.1f}"
        assert row["Score over seeds"] == f"{of_board['score_mean']:.1f} ± {of_board['score_sd']:.1f}"
        assert row["seeds"] == "2/2"


def test_it_names_data_limits_and_intended_use_but_no_patient(cli: Cli, results: Path) -> None:
    run = Run.load(RUN, results)
    card = cli("predict", RUN, "--results", results, "--card").out
    data = on_disk.read(run.path, "data.json")
    assert "Research use. Not a medical device." in card
    assert f"{sum(data['class_counts'].values())} clips" in card
    assert "Tested on far (version 1; external" in card
    assert "random weights" in card
    assert "too few to claim anything" in card
    assert not any(patient in card for patient in data["validation_patients"])


def test_a_single_seed_has_no_interval_and_says_so(results: Path) -> None:
    for other in results.glob("runs/qlung-tiny-s1*"):
        shutil.rmtree(other)
    card = model_card(Run.load(RUN, results).choice(), Display(quiet=True))
    assert set(scores_in(card)["95 %"]) == {"–"}
    assert "there is no interval" in card


def test_other_settings_and_damaged_runs_are_other_methods(results: Path) -> None:
    run = Run.load(RUN, results)
    assert [one.run_id[:14] for one in same_method(run)] == ["qlung-tiny-s0-", "qlung-tiny-s1-"]
    other = Run.load("qlung-tiny-s1", results)
    spec = on_disk.read(other.path, "spec.json")
    on_disk.write(other.path, "spec.json", {**spec, "loss": {**spec["loss"], "kappa_rad": 0.9}})
    assert [one.path for one in same_method(Run(run.path))] == [run.path]
    (other.path / "spec.json").write_text("{")
    assert [one.path for one in same_method(Run(run.path))] == [run.path]


def test_an_oracles_card_says_so(cli: Cli, results: Path) -> None:
    card = cli("predict", RUN, "--results", results, "--select", "oracle:far", "--card").out
    assert "ORACLE" in card
    assert set(scores_in(card).index.get_level_values("split")) == {"far"}


def test_a_card_needs_no_torch() -> None:
    program = "import sys, rsbench.report.card; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
