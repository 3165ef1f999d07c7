"""Runs are named in one way everywhere: ids, their beginnings, globs, and folders."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tiny import Cli

from rsbench.core.errors import ResultsError
from rsbench.results.run import Run, chosen_runs

RESULTS = Path(__file__).with_name("records") / "1"
CE, QLUNG = "ce-cnn6-s0-5abf1b375d", "qlung-cnn6-s0-0e44e8f822"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([], [CE, QLUNG]),
        ([QLUNG, CE], [QLUNG, CE]),
        (["qlung"], [QLUNG]),
        (["*-cnn6-s0-*"], [CE, QLUNG]),
        (["*-[0-9]e*"], [QLUNG]),
        ([str(RESULTS / "runs" / CE)], [CE]),
        ([f"{RESULTS / 'runs' / CE}/", "ce-*", CE], [CE]),  # each once
    ],
)
def test_words_mean_runs(words: list[str], meant: list[str]) -> None:
    assert [run.run_id for run in chosen_runs(RESULTS, words)] == meant


def test_a_whole_id_means_that_run_even_where_others_begin_so(tmp_path: Path) -> None:
    for name in ("ce-s1", "ce-s10", "ce-s11"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert [run.run_id for run in chosen_runs(tmp_path, ["ce-s1"])] == ["ce-s1"]
    assert len(chosen_runs(tmp_path, ["ce-s"])) == len(chosen_runs(tmp_path, ["ce-s1", "ce-s1?"])) == 3
    with pytest.raises(ResultsError, match=re.escape("ce-s1?: 2 runs are meant: ce-s10, ce-s11. Write out more")):
        Run.load("ce-s1?", tmp_path)


def test_a_word_that_means_none_is_named_with_a_remedy() -> None:
    for word in ("ce-cnn7*", "nowhere/at/all", "s0"):
        with pytest.raises(ResultsError, match=f"^{re.escape(word)}: no run in .* begins or matches so"):
            chosen_runs(RESULTS, ["ce-*", word])


def test_commands_take_globs(cli: Cli) -> None:
    def printed(*words: str) -> str:
        done = cli(*words, "--results", RESULTS)
        assert done.code == 0, done.err
        return done.out

    assert printed("compare", "*-s0-*") == printed("compare", "ce-*", "qlung")
    assert printed("cite", "*").count("@") > printed("cite", "ce*").count("@")
    both = printed("show", "*")
    assert both == printed("show", CE) + printed("show", QLUNG)
    assert [run["run_id"] for run in json.loads(printed("show", "*", "--format", "json"))] == [CE, QLUNG]
    assert {line.split(",")[0] for line in printed("show", "*", "--format", "csv").splitlines()[1:]} == {CE, QLUNG}


def test_compare_takes_two(cli: Cli) -> None:
    for words, said in ((("ce",), "ce means 1: ce-cnn6"), (("*", "ce"), "* ce means 3: ce-cnn6-s0-5abf1b375d, qlung")):
        done = cli("compare", *words, "--results", RESULTS)
        assert (done.code, f"compare takes two runs, and {said}" in done.err) == (2, True), done.err
