"""What the documentation shows is true: its pages run from top to bottom."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from documents import Block, blocks, check_options, commands
from tiny import CLIP_S, PROJECT, RATE, TINY_PLUGIN, Cli

import rsbench
from rsbench.core.plugins import load
from rsbench.data import icbhi, sprsound
from rsbench.data.splits import CLAIMS_FROM
from rsbench.evaluation.statistics import RESAMPLES
from rsbench.sweep.slurm_settings import SlurmSettings, load_slurm_settings
from rsbench.sweep.spec import Confirm, Limits, Resources, Search, SweepSpec, cells, load_sweep

DOCS = PROJECT / "docs"
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
    if "plugin-template" not in path.parts
}

# The embedded recordings and the smallest real backbone take minutes; the tests' own take a second.
SMALL = {"synthetic-shift": "far", "synthetic": "tiny", "cnn6": "tiny", "seeds: 0-7": "seeds: 0-2"}
SMALL_RUN = ["--plugin", TINY_PLUGIN, "--set", f"data.clip_s={CLIP_S}", "--epochs", "1", "--threads", "1", "--quiet"]
SMALL_STUDY = ["--plugin", TINY_PLUGIN, "--set", f"base.data.clip_s={CLIP_S}", "--quiet"]

# Real recordings, weights or other machines, the seconds that a report's figures take (tests/report has them), and what
# goes on until it is stopped: the commands of such a block are only parsed.
ELSEWHERE = re.compile(r"icbhi|sprsound|\bDATA\b|<id>|gpu1|/shared/|rsbench report|rsbench serve")


def small(text: str) -> str:
    return re.sub(r"synthetic-shift|(?<!--yes-)\bsynthetic\b|cnn6\b|seeds: 0-7", lambda word: SMALL[word[0]], text)


def words_of(command: str) -> list[str]:
    """A command of a page as it is run here."""
    words = shlex.split(small(command))[1:]
    if words[0] == "run":
        data = (
            [] if "--train" in words else ["--train", "tiny", "--test", "tiny,far"]
        )  # the embedded set is the default
        return [*words, *data, *SMALL_RUN]
    if words[0] == "embed":
        return [*words, "--plugin", TINY_PLUGIN, "--clip-s", str(CLIP_S), "--quiet"]
    return [*words, *SMALL_STUDY] if words[0] == "sweep" and words[1].endswith(".yaml") else words


def carry_out(block: Block, cli: Cli, names: dict[str, Any]) -> None:
    """Write a file, run commands, or execute Python, as a reader of the page would."""
    if block.title:
        Path(block.title).write_text(small(block.code), encoding="utf-8")
    elif block.language == "python":
        exec(small(block.code), names)
    elif block.language == "console":
        for command in (line for line in commands(block.code) if line.startswith("rsbench ")):
            if ELSEWHERE.search(block.code):
                check_options(cli, command)
            else:
                done = cli(*words_of(command))
                assert done.code == 0, f"{command}\n{done.out}\n{done.err}"


@pytest.fixture
def desk(tmp_path: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to follow a page in, with the recordings that pages name: breath.wav, visits/, and a root."""
    generator = np.random.default_rng(0)
    root = tmp_path / "recordings"
    for folder in (root / "mine", root / "clinic", tmp_path / "visits"):
        folder.mkdir(parents=True)
    for name in (
        "breath",
        "visits/first",
        *(f"recordings/mine/{name}" for name in ("p01_left", "p02_base", "p03_base")),
    ):
        soundfile.write(tmp_path / f"{name}.wav", generator.uniform(-0.1, 0.1, 5 * RATE), RATE)
    marks = [(index * CLIP_S, (index + 1) * CLIP_S, word) for index, word in enumerate(("n", "c", "w", "cw", "?"))]
    for patient in range(1, 26):
        pd.DataFrame(marks).to_csv(root / f"clinic/{patient}_left.txt", sep="\t", header=False, index=False)
        soundfile.write(root / f"clinic/{patient}_left.wav", generator.uniform(-0.1, 0.1, 5 * RATE), RATE)
    for name in ("tiny", "far"):
        (root / name).symlink_to(tiny_root / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSBENCH_DATA", str(root))
    return tmp_path


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"tutorials/review"}))  # which has a test of its own
def test_a_page_can_be_followed(page: str, cli: Cli, desk: Path) -> None:
    names: dict[str, Any] = {}
    for block in blocks(PAGES[page]):
        carry_out(block, cli, names)


def displayed(cell: str, names: dict[str, Any]) -> object:
    """Execute a cell as a notebook does; its last expression is what the notebook shows."""
    *before, last = ast.parse(cell).body
    if not isinstance(last, ast.Expr):
        before, last = [*before, last], ast.Expr(ast.Constant(None))
    exec(compile(ast.Module(before, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_the_notebook_runs_from_top_to_bottom_and_shows_what_comes_of_it(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = json.loads((DOCS / "study.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    load(TINY_PLUGIN)
    names: dict[str, Any] = {}
    shown: list[Any] = []
    for cell in code:
        source = small("".join(cell["source"])).replace(
            '"epochs": 5', f'"epochs": 1, "select": "val", "data.clip_s": {CLIP_S}'
        )
        shown.append(displayed(source, names))
    figures = [one for one in shown if hasattr(one, "_repr_png_")]
    tables = [one._repr_html_() for one in shown if hasattr(one, "_repr_html_") and not hasattr(one, "_repr_png_")]
    assert len(figures) == 3
    assert figures[0]._repr_png_().startswith(b"\x89PNG")
    assert [re.findall(r"<td>qlung</td>", table) != [] for table in tables] == [True, True, True, False]
    assert r"\bottomrule" in capsys.readouterr().out
    assert b"/Type3" not in Path("differences.pdf").read_bytes()


def test_the_score_by_hand_is_the_one_that_is_stored(cli: Cli, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(*words_of("rsbench run --loss qlung --backbone cnn6")).code == 0
    (by_hand,) = (block for block in blocks(PAGES["runs"], "python") if "read_parquet" in block.code)
    carry_out(by_hand, cli, {})
    printed = capsys.readouterr().out
    (stored,) = (json.loads(path.read_text()) for path in Path("results/runs").glob("*/metrics.json"))
    figures = stored["val"]["tiny"]["argmax"]
    assert printed == f"Sp {figures['sp'] / 100:.3f}, Se {figures['se'] / 100:.3f}\n"


def test_the_claim_is_what_the_bundle_says(cli: Cli, desk: Path) -> None:
    """The reviewer's page, on the bundle that ships: every command, and every figure that it reads off."""
    (desk / "results").mkdir()
    (desk / "results" / "sprsound-fine-tuned").symlink_to(PROJECT / "results" / "sprsound-fine-tuned")
    page = PAGES["tutorials/review"]
    said = ""
    for command in (line for block in blocks(page, "console") for line in commands(block.code)):
        done = cli(*shlex.split(command)[1:])
        assert done.code == 0, f"{command}\n{done.err}"
        said += done.out
    (quoted,) = blocks(page, "text")
    assert quoted.code.strip() in said
    board = rsbench.leaderboard("sprsound-inter", results="claim", baseline="ce").frame
    figures = {(row["loss"], row["operating_point"]): row for _, row in board.iterrows()}
    ce, qlung = figures["ce", "val-bias"], figures["qlung", "val-bias"]
    argmax = figures["qlung", "argmax"]
    for told in (
        f"Se at `val-bias` is {qlung.se_mean - ce.se_mean:.1f} points above",
        f"the Score of `qlung` is {ce.score_mean - qlung.score_mean:.1f} points *below*",
        f"is {argmax.delta:.1f}, between {argmax.delta_low:.1f} and {argmax.delta_high:+.1f}".replace("-", "−"),
        f"`least Δ` is {argmax.delta_least:.1f} points",
        f"is {qlung.auroc_abnormal_mean:.3f}\nagainst {ce.auroc_abnormal_mean:.3f}".replace("0.", "."),
        "the one is {:.0f} and the other {:.0f}".format(*figures["ce", "argmax"][["se_two_class_mean", "se_mean"]]),
    ):
        assert told in page


def test_the_reference_of_studies_has_every_key(tmp_path: Path) -> None:
    (reference,) = (block for block in blocks(PAGES["sweeps"], "yaml") if block.title == "tuned.yaml")
    path = tmp_path / reference.title
    path.write_text(reference.code, encoding="utf-8")
    study, written = load_sweep(path), yaml.safe_load(reference.code)
    assert len(cells(study)) == 6
    assert written.keys() == SweepSpec.model_fields.keys() - {"seeds"}  # which a study that tunes has in `confirm`
    parts = {"search": Search, "confirm": Confirm, "resources": Resources, "limits": Limits}
    for name, part in parts.items():
        assert written[name].keys() == part.model_fields.keys()


def test_the_reference_of_slurm_has_every_field(tmp_path: Path) -> None:
    (reference,) = blocks(PAGES["slurm"], "yaml")
    path = tmp_path / reference.title
    path.write_text(reference.code, encoding="utf-8")
    assert load_slurm_settings(path).model_fields_set == SlurmSettings.model_fields.keys()


def test_figures_are_those_of_the_code() -> None:
    for row in icbhi.OFFICIAL.itertuples(index=False):
        assert f"| {' | '.join(map(str, row))} |" in PAGES["data"]
    for row in sprsound.OFFICIAL.itertuples(index=False):
        assert re.search(rf"\| {row.subset} \| {row.recordings} \| {row.patients}\b", PAGES["data"])
    assert f"{RESAMPLES:,} draws" in PAGES["statistics"]
    assert f"fewer than {CLAIMS_FROM}." in PAGES["statistics"]
