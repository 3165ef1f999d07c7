"""Run folders of strangers: whatever one holds, every command's reader succeeds or names it, and stops for no other."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from mutations import mutated, teaches

from rsbench.report.cite import bibliography
from rsbench.report.tables.run import run_tables
from rsbench.results.document import document, read_whole
from rsbench.results.rows import judgements
from rsbench.results.run import Run, as_written

RECORDS = Path(__file__).parents[1] / "results" / "records" / "1"
TOKENS = (
    *(b"1e999", b"NaN", b"-Infinity", b"9" * 30, b"9" * 5000, b"-1", b"0", b"1e308", b'"x"', b"null", b"[]", b"{}"),
    *(b"true", b"[" * 100_000, b"\x1b[31m", b"\\u001b[2J", b"\\ud800", b"[/b]", b"=cmd()", b"../../x", b"\xef\xbb\xbf"),
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDS, tmp_path / "results", copy_function=os.link))


@pytest.fixture
def victim(results: Path) -> Path:
    """The one with an oracle, and every kind of file."""
    return next(results.glob("runs/qlung-*"))


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


def readers(victim: Path) -> Iterator[Callable[[], object]]:
    """What the commands read of a run; beside it stands none that they would stop for."""

    def show() -> None:
        run = Run(victim)
        with as_written(run):
            list(run_tables(document(run), everything=True))

    def cite() -> None:
        with as_written(run := Run(victim)):
            bibliography([run])

    def whole() -> None:
        if Run(victim).state == "done":
            read_whole(Run(victim))

    yield show
    yield cite
    yield whole
    for split, rule in (("synthetic", "val"), ("synthetic-shift", "last"), ("synthetic", "oracle")):
        yield partial(judgements, Run(victim), split, rule)


def test_a_damaged_file_of_a_record_is_named_by_every_reader(victim: Path, generators: Iterator[random.Random]) -> None:
    files = sorted(path for path in victim.rglob("*") if path.is_file())
    for generator in generators:
        path = generator.choice(files)
        whole = path.read_bytes()
        text = path.suffix in (".json", ".csv")
        put(path, values_changed(whole, generator) if text and generator.random() < 0.7 else mutated(whole, generator))
        read = generator.choice(list(readers(victim)))
        teaches(read, [victim.name])
        put(path, whole)
