"""`rsbench leaderboard` and `rsbench audit` from the outside: every option, every format, every refusal."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from imitated import Make, Method
from tiny import TINY_PLUGIN, Cli, Outcome

from rsbench.api.leaderboard import Leaderboard, board_sheet
from rsbench.boards.columns import known_columns
from rsbench.boards.leaderboard import Board
from rsbench.data.tasks import ICBHI_4
from rsbench.report.tables.formats import latex


def done(outcome: Outcome) -> str:
    """What a command printed that had to go well."""
    assert outcome.code == 0, outcome.err
    return outcome.out


def refused(outcome: Outcome) -> str:
    """The one message of a command that had to be refused."""
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    return outcome.err


def starts(picture: Path) -> bytes:
    return picture.read_bytes()[:4]


PNG, PDF = b"\x89PNG", b"%PDF"


@pytest.fixture(scope="module")
def four(four_runs: Path) -> list[str | Path]:
    return ["leaderboard", "--results", four_runs, "--split", "tiny"]


# What a board says in each format


def test_csv_is_the_whole_table(cli: Cli, study: Path, boards: tuple[Board, Board]) -> None:
    said = done(cli("leaderboard", "--results", study, "--split", "tiny, far", "--baseline", "ce", "--format", "csv"))
    frame = pd.read_csv(io.StringIO(said))
    assert list(frame["split"].unique()) == ["tiny", "far"]
    assert set(frame["select"]) == {"val"}
    for board in boards:
        mine = frame[frame["split"] == board.split].reset_index(drop=True)
        alone = board.table
        for name in ("score_mean", "score_sd", "auroc_delta", "delta", "delta_se", "rank_worst"):
            np.testing.assert_allclose(mine[name], alone[name], rtol=1e-9, err_msg=name)
        assert (mine["delta_least"].dropna() >= alone["delta_least"].dropna()).all()  # two boards are one family
        assert mine["method"].to_list() == board.table["method"].to_list()
    np.testing.assert_allclose(frame["shift_mean"].dropna(), boards[1].table["shift_mean"], rtol=1e-9)


def test_json_has_what_rows_share_beside_them(cli: Cli, four: list[Any], four_runs: Path) -> None:
    (content,) = json.loads(done(cli(*four, "--format", "json")))
    assert (content["split"], content["select"], content["backbone"]) == ("tiny", "val", "tiny")
    assert any("effective patients" in warning for warning in content["warnings"])
    scores = [json.loads(path.read_text()) for path in four_runs.glob("runs/ce-*/metrics.json")]
    (row,) = [row for row in content["rows"] if (row["loss"], row["operating_point"]) == ("ce", "argmax")]
    assert row["score_mean"] == pytest.approx(np.mean([one["val"]["tiny"]["argmax"]["score"] for one in scores]))
    assert row["origin"] == "here"


@pytest.mark.parametrize(("points", "count"), [([], 2), (["at,"], 4)], ids=["argmax", "both"])
def test_markdown_has_a_row_per_method(cli: Cli, four: list[Any], points: list[str], count: int) -> None:
    asked = "".join([*points, "score,calibration"])
    table = [line for line in done(cli(*four, "--format", "md", "--columns", asked)).splitlines() if line[:1] == "|"]
    at = "| at " * len(points)
    assert table[0] == f"| loss {at}| Score | NLL | Brier | ECE | NLL (scaled) | Brier (scaled) | ECE (scaled) | n |"
    assert len(table) == 2 + count
    assert {line.count("|") for line in table} == {10 + len(points)}
    assert all(re.search(r"\d ± \d.* \| 2 \|$", line) for line in table[2:])


def test_latex_has_the_numbers_of_the_board_and_says_how_they_were_made(boards: tuple[Board, Board]) -> None:
    found = Leaderboard(boards, [board_sheet(board) for board in boards], summary=False)
    one, _ = found.to_latex().split("\n\n")
    rows = [line for line in one.splitlines() if line.endswith(r" \\")][1:]
    at_argmax = boards[0].table[boards[0].table["operating_point"] == "argmax"]
    for row, (_, method) in zip(rows, at_argmax.iterrows(), strict=True):
        name, score, deviation = row.split(" & ")[:3]
        figures = [f"{method['score_mean']:.1f}", f"{method['score_sd']:.1f}"]
        bold = row == rows[0]
        assert name == (rf"\textbf{{{method['loss']}}}" if bold else method["loss"])
        assert [score, deviation] == ([rf"{{\bfseries {one}}}" for one in figures] if bold else figures)
        assert (r" & $\approx$ & " in row) == (method["verdict"] == "not distinguishable")
    assert sum(r"$\approx$" in row for row in rows) >= 2
    for word in (
        "caption{tiny, selected: val",
        "protocol 2",
        "train tiny v1",
        "seeds 0--7",
        "paired",
        "label{tab:tiny}",
    ):
        assert word in one
    without = latex(board_sheet(boards[0], "score"))  # where no column says it, the names do
    assert r"close $\approx$ & " in without
    assert r"$\approx$: not distinguishable from ce" in without


def test_a_board_is_a_frame_a_page_and_a_picture_that_names_its_rows(
    boards: tuple[Board, Board], tmp_path: Path
) -> None:
    found = Leaderboard(boards, [board_sheet(board) for board in boards], summary=False)
    assert len(found.frame) == sum(len(board.table) for board in boards)
    assert found._repr_html_().count("<td>strong</td>") == repr(found).count("strong") == 2
    figure = found.figure()
    order = boards[0].table.query("loss != 'ce'")["method"].unique().tolist()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == order
    figure.savefig(tmp_path / "board.pdf")  # as anybody would
    assert b"/FontFile2" in (tmp_path / "board.pdf").read_bytes()
    assert b"/Type3" not in (tmp_path / "board.pdf").read_bytes()


def test_a_board_is_drawn_the_same_every_time(cli: Cli, four: list[Any], tmp_path: Path) -> None:
    drawn = [tmp_path / "once.png", tmp_path / "again.png"]
    for path in drawn:
        done(cli(*four, "--figure", path))
    assert drawn[0].read_bytes() == drawn[1].read_bytes()


def test_the_table_is_for_people(cli: Cli, four: list[Any]) -> None:
    said = done(cli(*four, "--columns", "+recall"))
    assert said.startswith("tiny — selected: val (best Score on validation patients), at argmax\n")
    assert "recall" in said
    assert "val-bias" not in said
    assert "options that come with each loss: a long list, see --wide" in said
    wide = done(cli(*four, "--wide"))
    assert {"val-bias", "AUROC", "labels_id"} <= set(re.findall(r"[\w-]+", wide))
    assert "options that come with each loss: ce (smoothing 0), qlung (by_class log_prior, " in wide


def test_columns_help_lists_every_column_and_needs_no_run(cli: Cli, tmp_path: Path) -> None:
    said = done(cli("leaderboard", "--columns", "help", "--results", tmp_path))
    named = {line.split()[0] for line in said.splitlines() if line.strip()}
    assert named >= set(known_columns(ICBHI_4))
    assert re.search(r"sign_flip +p \(training noise only\) +no, needs --baseline", said)
    assert "recall_Stridor" in done(cli("leaderboard", "--columns", "help", "--task", "sprsound-7"))


def test_a_claim_about_the_auroc_shows_its_differences(cli: Cli, study: Path) -> None:
    ask = ["leaderboard", "--results", study, "--split", "tiny", "--baseline", "ce", "--claim", "auroc"]
    said = done(cli(*ask))
    assert "Δ AUROC" in said
    assert "Score ±" not in said
    assert "ranks (by AUROC)" in done(cli(*ask, "--wide"))
    content, summary = json.loads(done(cli(*ask, "--summary", "--format", "json")))
    assert content["claim"] == "auroc"
    assert all(abs(row["mean"]) < 1 for row in summary["rows"])
    (strong,) = [row for row in content["rows"] if (row["loss"], row["operating_point"]) == ("strong", "argmax")]
    assert strong["verdict"] == "better"
    assert 0 < strong["auroc_delta_low"] < strong["auroc_delta"] < strong["auroc_delta_high"] < 1


# What rows are on it


def test_rules_are_chosen_by_name_and_the_oracle_is_labelled(cli: Cli, four: list[Any]) -> None:
    assert "selected: last" in done(cli(*four, "--select", "last"))
    said = done(cli(*four, "--select", "oracle"))
    assert "ORACLE" in said
    assert "oracle − val" in said


def test_only_keeps_what_is_or_begins_so(cli: Cli, four: list[Any]) -> None:
    def losses(*only: str) -> set[str]:
        (content,) = json.loads(done(cli(*four, "--format", "json", *only)))
        return {row["loss"] for row in content["rows"]}

    assert losses("--only", "loss=ql") == {"qlung"}
    assert losses("--only", "seed=1", "--only", "loss=ce") == {"ce"}
    assert losses("--only", "optim.epochs=2") == {"ce", "qlung"}


def test_what_must_not_be_mixed_is_refused_and_then_allowed(cli: Cli, make: Make) -> None:
    results = make(Method("ce"), Method("ce", spec={"validation": {"fraction": 0.3}}))
    board = ["leaderboard", "--results", results, "--split", "tiny"]
    said = refused(cli(*board))
    assert "they differ in train_fraction" in said
    assert "--allow-mixed train_fraction" in said
    allowed = done(cli(*board, "--allow-mixed", "train_fraction", "--baseline", "ce"))
    assert re.search(r"ce +0\.8 +0\.2 +\d", allowed)
    assert re.search(r"ce +0\.7 +0\.3 +\d", allowed)
    assert "train_fraction is 0.7 and 0.8" in allowed
    published = done(cli(*board, "--allow-mixed", "train_fraction", "--published", "--format", "json"))
    assert len(json.loads(published)[0]["rows"]) == 2


def test_other_clips_side_by_side_have_no_difference(cli: Cli, make: Make, four_runs: Path) -> None:
    results = make(Method("ce"))
    for run in four_runs.glob("runs/qlung-*"):
        shutil.copytree(run, results / "runs" / run.name)
    mixed: list[Any] = ["leaderboard", "--results", results, "--split", "tiny"]
    for column in ("train_labels_id", "labels_id"):
        assert f"they differ in {column}:" in refused(cli(*mixed))
        mixed += ["--allow-mixed", column]
    assert "no intervals: the rows judged different clips" in done(cli(*mixed))
    assert "--baseline ce: the rows judged different clips" in refused(cli(*mixed, "--baseline", "ce"))


def test_a_damaged_run_is_one_named_warning(cli: Cli, results: Path) -> None:
    (victim,) = results.glob("runs/ce-*-s1-*")
    (victim / "metrics.json").write_bytes((victim / "metrics.json").read_bytes()[:100])
    said = done(cli("leaderboard", "--results", results, "--split", "tiny"))
    assert "left out" in said
    assert str(victim / "metrics.json") in said
    assert re.search(r"ce +\d.* 1 ", said)


def test_a_folder_of_which_nothing_is_done_is_shown_and_not_drawn(cli: Cli, results: Path, tmp_path: Path) -> None:
    for status in results.glob("runs/*/status.json"):
        status.write_text('{"state": "interrupted"}')
    board = ["leaderboard", "--results", results, "--split", "tiny"]
    said = done(cli(*board))
    assert said.count("0/2") == 2
    assert " ".join(said.split()).count(" and 1 more") == 1  # of four, three are named
    assert all(run.name in done(cli(*board, "--wide")) for run in results.glob("runs/*"))
    assert "--figure: there is nothing to draw" in refused(cli(*board, "--figure", tmp_path / "board.png"))


def test_a_plugin_is_loaded_first(cli: Cli, four: list[Any]) -> None:
    assert "no such file" in refused(cli(*four, "--plugin", "absent.py"))
    done(cli(*four, "--plugin", TINY_PLUGIN))


# Other tables, and pictures


def test_slices_and_published_results(cli: Cli, four: list[Any], four_runs: Path) -> None:
    (slices,) = json.loads(done(cli(*four, "--by", "class", "--format", "json")))
    (board,) = json.loads(done(cli(*four, "--format", "json")))
    assert (slices["by"], slices["split"], slices["select"]) == ("class", "tiny", "val")
    recalls = {(row["method"], row["slice"]): row["accuracy_mean"] for row in slices["rows"]}
    for row in (row for row in board["rows"] if row["operating_point"] == "argmax"):
        for name in ("normal", "crackle", "wheeze", "both"):
            assert recalls[row["method"], name] == pytest.approx(row[f"recall_{name}_mean"])
    assert "recall by class, mean ± sd over 2 seeds" in done(cli(*four, "--by", "class"))
    (published,) = json.loads(done(cli(*four, "--published", "--format", "json")))
    assert {(row["kind"], row["method"], row["n"]) for row in published["rows"]} == {
        ("rsbench", "ce", 2),
        ("rsbench", "qlung", 2),
    }


def test_a_summary_over_splits_and_its_forest(cli: Cli, study: Path, tmp_path: Path) -> None:
    picture = tmp_path / "folder" / "forest.PNG"
    board = ["leaderboard", "--results", study, "--split", "tiny,far", "--baseline", "ce", "--summary"]
    *_, summary = json.loads(done(cli(*board, "--format", "json", "--figure", picture)))
    found = {row["loss"]: row for row in summary["rows"] if row["operating_point"] == "argmax"}
    assert set(found) == {"close", "strong", "narrow"}
    assert found["strong"]["low"] > 0
    assert starts(picture) == PNG


@pytest.mark.parametrize(
    ("options", "name", "start"),
    [
        ([], "scores.png", PNG),
        (["--baseline", "ce"], "differences.pdf", PDF),
        (["--only", "loss=ce"], "one.svg", b"<?xm"),
    ],
)
def test_figures_open(cli: Cli, four: list[Any], tmp_path: Path, options: list[str], name: str, start: bytes) -> None:
    outcome = cli(*four, *options, "--figure", tmp_path / name)
    done(outcome)
    assert f"drawn in {tmp_path / name}" in outcome.err
    assert starts(tmp_path / name) == start


def test_a_figure_that_cannot_be_drawn_or_written(cli: Cli, four: list[Any], tmp_path: Path) -> None:
    alone = ["--only", "loss=ce", "--baseline", "ce"]
    assert "there is nothing to draw" in refused(cli(*four, *alone, "--figure", tmp_path / "a.png"))
    assert "--summary: no difference from ce" in refused(cli(*four, *alone, "--summary"))
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(cli(*four, "--figure", tmp_path / "file" / "a.png"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--columns", "scor"], "--columns scor: there is no such column. Did you mean 'score'"),
        (["--columns", "delta"], "--columns delta: needs --baseline LOSS"),
        (["--format", "xlsx"], "--format xlsx: there is no such format"),
        (["--figure", "board.xls"], "--figure board.xls: its name must end in one of .png"),
        (["--summary"], "--summary: sums up differences; say from what with --baseline LOSS"),
        (["--baseline", "qlong"], "--baseline qlong: no row has this loss. Did you mean 'qlung'"),
        (
            ["--allow-mixed", "trainfraction"],
            "--allow-mixed trainfraction: is no column that boards keep apart. Did you",
        ),
        (["--only", "loss"], "--only loss: write FIELD=VALUE"),
        (["--only", "=ce"], "--only =ce: write FIELD=VALUE"),
        (["--only", "los=ce"], "--only los=ce: a row has no such field. Did you mean 'loss'"),
        (["--only", "loss=focal"], "--only loss=focal: no row has it. There are: ce, qlung"),
        (["--only", "optim.epochs=9"], "--only optim.epochs=9: no row has it. There are: 2"),
        (["--by", "size"], "There is no slices by 'size'"),
        (["--claim", "auc"], "--claim auc: there is no such claim. Did you mean 'auroc'"),
        (["--baseline", "backbone=mn04"], "--baseline backbone=mn04: no row has this backbone. Known: tiny"),
        (["--baseline", "losss=ce"], "--baseline losss=ce: rows do not differ in 'losss', or have no such field. Did"),
        (["--by", "class", "--published"], "--by and --published are two tables"),
        (["--select", "best"], "no selection rule 'best'"),
        (["--select", "cv-refit"], "No run was judged on 'tiny' under 'cv-refit'"),
        (["--split", "tinny"], "no split 'tinny'. Did you mean 'tiny'"),
        (["--results", "/nowhere"], "/nowhere/runs: there are no runs here"),
    ],
)
def test_a_wrong_option_is_one_message(cli: Cli, four: list[Any], options: list[str], said: str) -> None:
    assert said in refused(cli(*four, *options))


# The audit


def test_without_a_split_it_says_which_there_are(cli: Cli, four: list[Any], four_runs: Path, tmp_path: Path) -> None:
    said = refused(cli("leaderboard", "--results", four_runs))
    assert re.search(r"--split is missing\. Splits that runs in .* were judged on, and how many: tiny \(\d+\)", said)
    (tmp_path / "runs").mkdir()
    assert f"No run in {tmp_path} is finished yet" in refused(cli("leaderboard", "--results", tmp_path))


def test_an_audit_in_every_format(cli: Cli, four_runs: Path, tmp_path: Path) -> None:
    ask = ["audit", "--results", four_runs, "--split"]
    frame = pd.read_csv(io.StringIO(done(cli(*ask, "tiny, far", "--format", "csv"))))
    assert frame.groupby("split").size().to_dict() == {"tiny": 12, "far": 12}  # methods, rules, operating points
    outcome = cli(*ask, "tiny", "--format", "json", "--baseline", "ce", "--figure", tmp_path / "audit.png")
    (content,) = json.loads(done(outcome))
    assert (content["split"], content["backbone"]) == ("tiny", "tiny")
    assert {row["verdict"] for row in content["rows"]} == {"not above the floor", "too few patients"}
    assert f"drawn in {tmp_path / 'audit.png'}" in outcome.err
    assert starts(tmp_path / "audit.png") == PNG
    lines = done(cli(*ask, "tiny", "--only", "loss=ce", "--format", "md")).splitlines()
    assert [line.partition(" |")[0] for line in lines if line.startswith("| ")] == ["| method", "| ---", "| ce"]
    said = done(cli(*ask, "tiny", "--plugin", TINY_PLUGIN))
    assert said.startswith("tiny — replication audit: who chose the epoch\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "xlsx"], "--format xlsx: there is no such format"),
        (["--figure", "audit"], "--figure audit: its name must end in one of"),
        (["--baseline", "qlong"], "--baseline qlong: no row has this loss"),
        (["--only", "loss=focal"], "--only loss=focal: no row has it"),
        (["--only", "loss"], "--only loss: write FIELD=VALUE"),
        (["--split", "tinny"], "no split 'tinny'"),
        (["--plugin", "absent.py"], "no such file"),
    ],
)
def test_a_wrong_option_of_an_audit_is_one_message(cli: Cli, four_runs: Path, options: list[str], said: str) -> None:
    assert said in refused(cli("audit", "--results", four_runs, "--split", "tiny", *options))


def test_no_board_imports_torch(four_runs: Path, tmp_path: Path) -> None:
    """Nor pandas, where only help is asked for, nor all distributions for an interval."""
    results = ["--results", str(four_runs), "--split", "tiny"]
    board = ["leaderboard", *results, "--baseline", "ce"]
    calls = [
        ["leaderboard", *results, "--baseline", "ce", "--figure", str(tmp_path / "board.png")],
        ["leaderboard", *results, "--by", "quality"],
        ["leaderboard", *results, "--published"],
        ["audit", *results, "--figure", str(tmp_path / "audit.png")],
    ]
    lines = [
        "import sys",
        "from rsbench.cli import app",
        "assert 'pandas' not in sys.modules",
        f"app({board!r}, standalone_mode=False)",
        "assert 'scipy.stats' not in sys.modules",
        *(f"app({call!r}, standalone_mode=False)" for call in calls),
        "sys.exit('torch' in sys.modules)",
    ]
    ran = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
