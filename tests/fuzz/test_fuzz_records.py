"""Run folders of strangers: whatever one holds, every command's reader succeeds or names it, and stops for no other."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mutations import mutated, teaches

from rsbench.boards.leaderboard import leaderboard
from rsbench.boards.pair import compare
from rsbench.core.display import Display
from rsbench.report.cite import bibliography
from rsbench.report.tables.run import run_tables
from rsbench.results.document import document, sort_out
from rsbench.results.rescore import rescore
from rsbench.results.run import Run, as_written, load_runs

RECORDS = Path(__file__).parents[1] / "results" / "records" / "1"
SMALL = 4000  # bytes: of a JSON of this size every value can be reached
TOKENS = (
    *(b"1e999", b"NaN", b"-Infinity", b"9" * 30, b"9" * 5000, b"-1", b"0", b"1e308", b'"x"', b"null", b"[]", b"{}"),
    *(b"true", b"[" * 100_000, b"\x1b[31m", b"\\u001b[2J", b"\\ud800", b"[/b]", b"=cmd()", b"../../x", b"\xef\xbb\xbf"),
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDS, tmp_path / "results", copy_function=os.link))


@pytest.fixture
def victim(results: Path) -> Path:
    return next(results.glob("runs/ce-*"))


def put(path: Path, content: bytes) -> None:
    """In the place of a file, which may be linked to one that must stay."""
    path.unlink()
    path.write_bytes(content)


def values_changed(content: bytes, generator: random.Random) -> bytes:
    """JSON with one value, or a csv with one cell, in whose place another stands."""
    places = [at for at, letter in enumerate(content) if letter in b":,[\n"]
    start = generator.choice(places) + 1 if places else 0
    end = next((at for at in range(start, len(content)) if content[at] in b",]}\n"), len(content))
    return content[:start] + generator.choice(TOKENS) + content[end:]


def readers(results: Path, victim: Path) -> Iterator[Callable[[], object]]:
    """What the commands do with a results folder in which one run is damaged."""

    def show() -> None:
        run = Run(victim)
        with as_written(run):
            list(run_tables(document(run), everything=True))

    def compared() -> None:
        runs = load_runs(results)
        with as_written(*runs):
            compare(*runs[:2], None)

    def cited() -> None:
        with as_written(run := Run(victim)):
            bibliography([run])

    quiet = Display(quiet=True)
    yield show
    yield compared
    yield cited
    yield lambda: [leaderboard(load_runs(results), "synthetic", rule) for rule in ("val", "last")]
    yield lambda: leaderboard(load_runs(results), "synthetic-shift", "oracle")
    yield lambda: rescore(load_runs(results), quiet)
    yield lambda: sort_out(load_runs(results))


def test_a_damaged_file_of_a_record_is_named_by_every_reader(
    results: Path, victim: Path, generators: Iterator[random.Random]
) -> None:
    files = sorted(path for path in victim.rglob("*") if path.is_file())
    for generator in generators:
        path = generator.choice(files)
        whole = path.read_bytes()
        text = path.suffix in (".json", ".csv")
        put(path, values_changed(whole, generator) if text and generator.random() < 0.7 else mutated(whole, generator))
        for read in generator.sample(list(readers(results, victim)), 2):
            if message := teaches(read):
                assert victim.name in message, message
        assert "qlung" in leaderboard(load_runs(results), "synthetic", "val").table["loss"].tolist()
        put(path, whole)
