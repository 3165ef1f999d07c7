"""The page says what the records say, needs nothing but itself, and says why something is absent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from pages import Reported
from scipy.special import softmax
from tiny import Cli

LOGITS = ["logit_normal", "logit_crackle", "logit_wheeze", "logit_both"]
CLASSES = ["normal", "crackle", "wheeze", "both"]
RESULTS = ["boards", "shift", "differences", "audit", "curves", "recall", "length", "confusion", "reliability"]
SECTIONS = [*RESULTS, "risk", "margin", "map", "mistakes", "training", "again"]


def test_nothing_is_fetched_and_every_link_leads_somewhere(reported: Reported) -> None:
    links = [value for _, name, value in reported.parsed.attributes if name in ("src", "href", "xlink:href")]
    ids = Counter(value for _, name, value in reported.parsed.attributes if name == "id")
    assert len(links) > 100
    for link in links:
        if link.startswith("#"):
            assert ids[link[1:]] == 1, link
        elif not link.startswith("data:"):
            assert (reported.page.parent / link).is_file(), link
    assert max(ids.values()) == 1, ids.most_common(3)
    assert not re.search(r"@import|url\((?!#)|<link rel=\"stylesheet|<script src", reported.text)


def test_every_section_has_something_or_says_what_would_bring_it(reported: Reported) -> None:
    first, second = "01", "02"
    for group in (first, second):
        assert [name for name in reported.parsed.sections if name.startswith(f"{group}-")] == [
            f"{group}-{name}" for name in SECTIONS
        ]
    absent = {name for name, text in reported.parsed.sections.items() if "To bring" in text or "Try:" in text}
    assert {name for name in absent if "-" in name} == {"02-shift", "02-differences", "02-audit", "02-margin"}
    for name in absent:
        assert "rsbench r" in reported.parsed.sections[name]


def test_runs_that_share_no_board_stand_in_groups_of_their_own(reported: Reported) -> None:
    assert "5 runs done, 1 run failed; 2 groups" in " ".join(reported.text.split())
    headings = re.findall(r"<h2>(.*?)</h2>", reported.text)
    assert headings == [
        "fine-tuned, trained on tiny, train fraction 0.8",
        "fine-tuned, trained on tiny, train fraction 1.0",
    ]
    assert "failed: qlung-tiny" in reported.parsed.sections["02-boards"]


def test_what_length_alone_tells_stands_beside_each_run(reported: Reported) -> None:
    """Of the first group on its own split: all clips of `tiny` are equally long, so that nothing is lost within."""
    text = reported.parsed.sections["01-length"]
    assert "On tiny the AUROC of length alone for abnormal is 0.500" in " ".join(text.split())
    tables = [table for table in reported.parsed.tables if table[0][:4] == ["method", "seed", "AUROC", "within length"]]
    seeds = [row[1] for row in tables[0][1:]]
    assert sorted(seeds) == ["0", "0", "1", "1"]
    assert all(row[2] == row[3] != "–" for table in tables for row in table[1:])


def test_scores_are_the_means_of_the_runs(reported: Reported) -> None:
    """Of every loss, split and operating point of the first group, from metrics.json alone."""
    shown: dict[tuple[str, str], list[str]] = {}
    for table in reported.parsed.tables:
        headings = [" ".join(heading.split()) for heading in table[0]]
        if {"loss", "at", "Score"} <= set(headings):
            for row in table[1:]:
                cells = dict(zip(headings, row, strict=True))
                shown.setdefault((cells["loss"], cells["at"]), []).append(cells["Score"])
    for (loss, point), cells in shown.items():
        runs = [json.loads(path.read_text()) for path in sorted(reported.results.glob(f"runs/{loss}-*/metrics.json"))]
        mine = [run["val"] for run in runs if "val" in run]
        assert len(mine) == 2
        for place, split in enumerate(("tiny", "far")):
            scores = [run[split][point]["score"] for run in mine]
            assert cells[place] == f"{np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f}"
    assert len(shown) == 4


def test_the_score_comes_first_in_every_board(reported: Reported) -> None:
    boards = [table[0] for table in reported.parsed.tables if table[0][:2] == ["loss", "at"]]
    assert len(boards) == 3
    for headings in boards:
        assert headings[2:4] == ["Score", "95 %"]
        assert {"Sp", "Se", "Brier", "n"} < set(headings)
        assert len(set(headings)) == len(headings)


def test_every_table_stands_in_a_box_that_scrolls_and_says_so(reported: Reported) -> None:
    said = (
        r'<p class="wider">Wider than it is shown here: scroll it sideways.</p>\s*<div class="scroll"[^>]*>\s*<table>'
    )
    assert len(re.findall(said, reported.text)) == len(reported.parsed.tables) > 10


def test_spectrograms_have_axes(reported: Reported) -> None:
    """Recordings of 4 kHz, clips of half a second."""
    pictures = re.findall(r'<div class="spectrogram">(.*?)</article>', reported.text, flags=re.DOTALL)
    assert len(pictures) > 8
    for picture in pictures:
        assert re.findall(r"<span>(.*?)</span>", picture) == ["2 kHz", "1", "0", "0", "0.25", "0.5 s"]


def test_the_worst_errors_are_those_of_a_loop(reported: Reported) -> None:
    """Mean over methods of the mean over runs of the probability of a wrong class, the highest of each recording."""
    methods: dict[str, list[pd.DataFrame]] = {}
    for run in sorted(reported.results.glob("runs/*-s*")):
        spec = json.loads((run / "spec.json").read_text())
        if "val" in spec["select"]:
            frame = pd.read_parquet(run / "predictions" / "far.parquet").query("selection == 'val'")
            temperature = json.loads((run / "metrics.json").read_text())["val"]["far"]["operating_point"]["temperature"]
            frame[CLASSES] = softmax(frame[LOGITS].to_numpy(dtype="float64") / temperature, axis=1)
            methods.setdefault(spec["loss"]["name"], []).append(frame.set_index("clip_id"))
    assert len(methods) == 2
    worst: dict[str, tuple[float, str]] = {}
    any_run = next(iter(methods.values()))[0]
    for clip_id, clip in any_run.iterrows():
        means = [np.mean([run.loc[clip_id, CLASSES] for run in runs], axis=0) for runs in methods.values()]
        probability = max(share for index, share in enumerate(np.mean(means, axis=0)) if index != clip["label"])
        worst[clip["recording"]] = max(worst.get(clip["recording"], (0.0, "")), (probability, str(clip_id)))
    expected = [clip_id for _, clip_id in sorted(worst.values(), reverse=True)][:12]
    found = re.findall(r'alt="spectrogram of ([^"]+)"', reported.text)
    assert found[4:9] == expected  # behind those of the four recordings of the other split


def test_pictures_are_files_too(reported: Reported) -> None:
    names = {path.stem for path in reported.figures.iterdir()}
    assert {"01-scores", "01-shift-far", "01-differences", "01-audit-tiny", "01-map", "01-training"} <= names
    assert {f"{name}.{ending}" for name in names for ending in ("png", "svg")} == {
        path.name for path in reported.figures.iterdir()
    }
    for path in reported.figures.glob("*.png"):
        assert imread(path).std() > 0.01, path  # not an empty sheet


def test_a_report_is_known_for_what_it_is(reported: Reported) -> None:
    assert "Not a medical device" in reported.text
    svg = (reported.figures / "01-shift-far.svg").read_text()
    assert "selected: val (best Score on validation patients)" in svg


def test_the_command_makes_the_runs_again(reported: Reported) -> None:
    told = reported.parsed.sections["01-again"]
    (command,) = re.findall(r"rsbench run --spec ce\S*\.json .*", told)
    assert command.startswith("rsbench run --spec ce.json --seeds 0-1")
    for name in ("labels", "sha256", "torch 2."):
        assert name in told


def test_damaged_runs_are_named_and_the_others_reported(reported: Reported) -> None:
    assert f"Damaged, left out: {reported.results / 'runs' / 'damaged' / 'spec.json'}: cannot be read" in reported.text


def test_a_group_of_which_nothing_is_finished_says_so(
    cli: Cli, reported: Reported, tmp_path: Path, sketched: None
) -> None:
    results = shutil.copytree(reported.results, tmp_path / "results", ignore=shutil.ignore_patterns("damaged"))
    for status in results.glob("runs/*/status.json"):
        if json.loads((status.parent / "spec.json").read_text())["validation"]["fraction"] == 0:
            status.write_text(json.dumps({"state": "running"}))
    done = cli("report", "--results", results, "--out", tmp_path / "page.html")
    assert done.code == 0, done.err
    assert "4 runs done, 2 runs running" in " ".join((tmp_path / "page.html").read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--baseline", "cee"], "--baseline cee: no run has this loss. Did you mean 'ce'?"),
        (["--audio"], "--audio: say where the recordings are with --root DIR"),
        (["--root", "/nowhere"], "--root /nowhere: there is no folder"),
        (["--results", "/nowhere"], "/nowhere/runs: there are no runs here"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    cli: Cli, reported: Reported, tmp_path: Path, options: list[str], said: str
) -> None:
    done = cli("report", "--results", reported.results, "--out", tmp_path / "r.html", *options)
    assert (done.code, said in done.err, done.err.count("\n")) == (2, True, 1), done.err
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("module", "needless"),
    [
        ("rsbench.report.page.page, rsbench.cli.report", "torch, seaborn, sklearn, scipy.stats"),
        (
            "rsbench.report.figures.panels, rsbench.report.figures.rows",
            "pandas, scipy, rsbench.results",
        ),  # in each process
    ],
)
def test_who_draws_loads_no_more_than_that_takes(module: str, needless: str) -> None:
    code = f"import sys, {module}; print(sorted(set({needless.split(', ')}) & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "[]"
