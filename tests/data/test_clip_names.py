"""The recipe of docs/predictions.md for programs that know no clip ids, on recordings with made-up names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from documents import blocks
from tiny import PROJECT, Cli, Outcome

import rsbench
from rsbench.data.tasks import ICBHI_4

# In the order that a program happens to take them in, with the classes of each one's cycles.
LABELS_OF = {"107_2b3_Tc_mc_AKGC417L": [3, 0, 2], "226_1b1_Pl_sc_LittC2SE": [1], "101_1b1_Al_sc_Meditron": [2, 1, 0, 0]}
MARKS = ("0\t0", "1\t0", "0\t1", "1\t1")


@pytest.fixture
def recipe() -> str:
    """The block of the page that names clips."""
    page = (PROJECT / "docs/predictions.md").read_text(encoding="utf-8")
    (block,) = (block for block in blocks(page, "python") if "labels_of" in block.code)
    return block.code


@pytest.fixture
def root(icbhi: Path, record: Callable[..., Path]) -> Path:
    """A part of ICBHI's layout with cycles of 0.1234567 s, whose times are not told in whole centiseconds."""
    database = icbhi / "ICBHI_final_database"
    for name, labels in LABELS_OF.items():
        record(database / f"{name}.wav", seed=0)
        lines = [f"{place * 0.1234567}\t{(place + 1) * 0.1234567}\t{MARKS[of]}" for place, of in enumerate(labels)]
        (database / f"{name}.txt").write_text("\n".join(lines))
    tested = "".join(f"{name}\ttest\n" for name in LABELS_OF).replace("Pl_sc_LittC2SE", "Pl_sc_Meditron")
    others = "103_2b2_Ar_mc_LittC2SE\ttrain\n104_1b1_Al_sc_Litt3200\ttrain\n"  # the second of which is not here
    (icbhi / "ICBHI_challenge_train_test.txt").write_text(tested + others)
    return icbhi.parent


def named(recipe: str, labels_of: dict[str, list[int]]) -> Path:
    """The file that the recipe writes for a program's recordings."""
    code = re.sub(r"labels_of = \{.*?^\}", f"labels_of = {labels_of}", recipe, flags=re.DOTALL | re.MULTILINE)
    logits = np.eye(4)[np.concatenate(list(labels_of.values()))]
    names: dict[str, Any] = {"np": np, "pd": pd, "given": logits}
    exec(re.sub(r"^logits = .*$", "logits = given", code, flags=re.MULTILINE), names)
    return Path("preds-s1.npz")


def score(cli: Cli, root: Path, file: str) -> Outcome:
    where = ("--root", root, "--partial", "--test", "icbhi-official")
    return cli("score", file, *where, "--method", "theirs", "--select", "test-best")


def test_names_and_places_are_the_clips_of_the_list(
    recipe: str, root: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("data", "clips", "--root", root, "--partial", "--dataset", "icbhi", "--out", "clips.csv").code == 0
    clips = pd.read_csv("clips.csv").query("subset == 'test'").set_index("clip_id")
    with np.load(named(recipe, LABELS_OF)) as written:
        assert dict(zip(written["clip_id"], written["class"], strict=True)) == clips["class"].to_dict()
        assert (np.array(ICBHI_4.classes)[written["logits"].argmax(axis=1)] == written["class"]).all()

    done = score(cli, root, "preds-s1.npz")
    assert done.code == 0, done.err
    (run,) = rsbench.runs()
    assert run.metrics["oracle"]["icbhi-official"]["argmax"]["score"] == 100


def test_a_program_that_sorts_what_it_had_not_sorted_is_told(
    recipe: str, root: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids of the right recordings, each with as many cycles as it has, beside predictions in another order."""
    monkeypatch.chdir(tmp_path)
    with np.load(named(recipe, LABELS_OF)) as written:
        columns = {name: written[name] for name in written.files}
    np.savez("sorted.npz", **columns | {"clip_id": np.sort(columns["clip_id"])})
    told = score(cli, root, "sorted.npz")
    assert told.code == 2
    assert "sorted.npz: column 'class' of clip '101_1b1_Al_sc_Meditron:0' is 'both', and 'wheeze' in" in told.err
    assert "Put the rows in the order of their clip_id" in told.err
    np.savez("silent.npz", clip_id=columns["clip_id"], logits=columns["logits"])
    silent = score(cli, root, "silent.npz")
    assert silent.code == 0, silent.err
    assert "silent.npz: has no column 'class', so clips in a wrong order would not be noticed" in silent.err
