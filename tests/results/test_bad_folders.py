"""Folders of strangers among one's runs: each is named, none stops a command, and what they say is shown as text."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import on_disk
import pandas as pd
import pytest
from markupsafe import Markup
from matplotlib.axes import Axes
from rich.markup import escape
from rich.table import Table
from tiny import Cli

from rsbench.core.display import PlainConsole
from rsbench.report.figures.picture import Panel, Picture, render
from rsbench.report.figures.style import name_rows
from rsbench.report.page.templates import finalised
from rsbench.report.tables.formats import Sheet, print_sheets
from rsbench.results.run import load_runs

RECORDS = Path(__file__).with_name("records") / "1"


def put(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda run: (run / name).write_bytes(content)


def pipe(name: str) -> Callable[[Path], object]:
    return lambda run: ((run / name).unlink(), os.mkfifo(run / name))


def folder(name: str) -> Callable[[Path], object]:
    return lambda run: ((run / name).unlink(), (run / name).mkdir())


def edit(name: str, change: Callable[[Any], object]) -> Callable[[Path], object]:
    return lambda run: on_disk.edit(run, name, change)


def loop(run: Path) -> None:
    shutil.rmtree(run)
    run.symlink_to(run.name)


BAD: dict[str, Callable[[Path], object]] = {
    "brackets": put("status.json", b"[" * 100_000),
    "brackets_in_spec": put("spec.json", b"[" * 100_000),
    "empty": put("status.json", b""),
    "loop": loop,
    "pipe": pipe("status.json"),
    "pipe_for_spec": pipe("spec.json"),
    "pipe_for_table": pipe("predictions/synthetic.parquet"),
    "folder": folder("data.json"),
    "infinite": lambda run: on_disk.edit(
        run, "metrics.json", lambda known: known["val"].update(synthetic={"a": 1e999})
    ),
    "not_a_number": put("cost.json", b'{"seconds": NaN}'),
    "huge": edit("spec.json", lambda spec: spec.update(seed=10**400)),
    "half_a_letter": put("spec.json", b'{"loss": {"name": "\\ud800"}}'),
    "split": edit("spec.json", lambda spec: spec["data"].update(test=["x/../../VICTIM"])),
    "markup[b]": lambda run: None,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sound runs, a bad one of every kind, and one whose name is no UTF-8."""
    results = Path(shutil.copytree(RECORDS, tmp_path_factory.mktemp("bad") / "results"))
    sound = next(results.glob("runs/ce-*"))
    for name, spoil in BAD.items():
        spoil(Path(shutil.copytree(sound, results / "runs" / name)))
    shutil.copytree(sound, results / "runs" / os.fsdecode(b"not-utf8-\xff"))
    return results


@pytest.mark.parametrize(
    "command",
    [
        ("leaderboard", "--split", "synthetic"),
        ("export", "--out", "OUT/bundle.zip"),
        ("merge", "RESULTS", "--results", "OUT/all"),
        ("rescore",),
    ],
    ids=lambda command: command[0],
)
def test_every_bad_folder_is_named_and_stops_no_command(
    cli: Cli, results: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    words = [word.replace("OUT", str(tmp_path)).replace("RESULTS", str(results)) for word in command]
    done = cli(*words, *([] if command[0] == "merge" else ["--results", results]))
    told = done.out + done.err
    unnamed = [name for name in (*BAD, "not-utf8-\\udcff") if f"{name}/" not in told and f"{name}:" not in told]
    # What a run cost is no figure to score again.
    assert unnamed == (["not_a_number"] if command[0] == "rescore" else []), told
    assert done.code == (0 if command[0] == "leaderboard" else 1)
    assert {"leaderboard": "qlung", "export": "2 finished runs", "merge": "2 brought in"}.get(
        command[0], ""
    ) in done.out
    assert done.out.isprintable() or "\n" in done.out


HOSTILE = "\x1b[2J\u202e[/b]<script>alert(1)</script>|`$x\\frac{$\x00\ufffe"


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Runs that give a patient's device, an option of a loss, and who brought them, a hostile name."""
    results = Path(shutil.copytree(RECORDS, tmp_path / "results"))
    for run in load_runs(results):

        def rename(spec: dict[str, Any], run_id: str = run.run_id) -> None:
            spec["loss"]["word"] = HOSTILE + run_id[:2]

        on_disk.edit(run.path, "spec.json", rename)
        origin = {"via": [], "status": "self-reported", "confirmed_by": None, "from": f"=cmd|{HOSTILE}"}
        on_disk.write(run.path, "origin.json", origin)
        for path in run.path.glob("predictions/*.parquet"):
            frame = run.predictions(path.stem)
            frame.assign(device=HOSTILE).to_parquet(path)
    return results


def test_what_strangers_write_is_shown_as_text(cli: Cli, named: Path) -> None:
    for words in (("leaderboard", "--split", "synthetic"), ("show", "ce-")):
        done = cli(*words, "--results", named)
        assert (done.code, set(done.out) & set("\x1b\u202e\x00\ufffe")) == (0, set())
        assert "\\u001b[2J\\u202e[/b]<script>" in done.out


@pytest.mark.parametrize("form", ["table", "md", "csv", "json"])
def test_a_sheet_shows_it_in_every_form(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(escape(HOSTILE), title=HOSTILE)
    table.add_row(escape(f"={HOSTILE}"))
    frame = pd.DataFrame({"name": [f"={HOSTILE}", "-1.5", "ce"], "figure": [-1.5, 2, 3]})
    print_sheets([Sheet(table, frame)], form, PlainConsole(width=400))
    out = capsys.readouterr().out
    assert not set(out) & set("\x1b\u202e\x00\ufffe")
    assert "\\u001b" in out
    assert ("<script>" in out) == (form != "md")
    if form == "csv":
        (_, first, second, third) = csv.reader(io.StringIO(out))
        assert (first[0][:2], first[1], second, third) == ("'=", "-1.5", ["-1.5", "2.0"], ["ce", "3.0"])
    if form == "json":
        assert json.loads(out)[0]["rows"][0]["name"] == f"={HOSTILE}"


def test_a_picture_shows_them_as_text_too() -> None:
    def draw(axes: Axes) -> None:
        name_rows(axes, [HOSTILE, "ce"])
        axes.set_xlabel(HOSTILE)

    drawn = render(Picture(f"x/../../{HOSTILE}", HOSTILE, "", [Panel(HOSTILE, draw, 9.0, 5.0)]))
    assert {Path(name).name for name in drawn.files} == set(drawn.files)
    assert "\\u001b[2J\\u202e[/b]&lt;script" in drawn.panels[0]
    assert not set(drawn.panels[0]) & set("\x1b\u202e\x00\ufffe")


def test_the_page_shows_text_and_leaves_rsbenchs_own_markup() -> None:
    assert finalised(HOSTILE).startswith("\\u001b[2J\\u202e[/b]<script>")  # which the template escapes after that
    assert finalised(Markup("<b>")) == "<b>"
