"""Specs and studies that are damaged, absurd or hostile: one message that names the file or the key, at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from mutations import HOSTILE, mutated, teaches

from rsbench.core.settings import read_settings
from rsbench.core.spec import RunSpec, flatten, parse_assignment, parse_seeds
from rsbench.experiment.resolve import known_keys, resolve
from rsbench.sweep.spec import Cell, cells, load_sweep

RUN = b"""loss: qlung
backbone: {name: cnn6, weights: none}
data:
  train: synthetic
  test: [synthetic, synthetic-shift]
optim: &optim
  lr: 1.0e-4
  epochs: 3
  half_step: false
loss.gamma: 0.25
seed: 3
"""
STUDY = b"""name: small
purpose: >
  a study
base: &base
  train: synthetic
  optim.lr: 1.0e-3
grid:
  loss: [ce, {name: qlung, gamma: 0.5, label: ours}]
  backbone: [cnn6, {name: mn04, weights: none}]
seeds: 0-4
track: tuned
search:
  trials: 3
  space:
    optim.lr: {low: 1.0e-4, high: 1.0e-2, log: true}
    loss.class_weights: [none, inverse]
confirm: {seeds: [7, 8]}
resources: {cpus: 1, threads: 1, gpus: 0.25}
limits: {hours: 2, failures: 3}
"""
TOKENS = (
    *HOSTILE,
    b"*optim",
    b"*base",
    b"&a [*a]",
    b"<<: *base",
    b"\t",
    b"[" * 2000,
    b"{a: " * 50,
    b"9" * 5000,
    b"2026-01-01",
    b"null",
    b"010",
    b"!!binary aGk=",
    b"!!python/object:os.system x",
    b"---",
    b"0-2000000000",
    b"[ce, qlung]",
    b"true",
)
VALUES = ("5", "-1", "1e999", "NaN", "-Infinity", "null", "true", '""', "[]", "{}", "[ce, qlung]", "[[[1]]]", "[*a]")
VALUES += ("{name: {name: {}}}", "9" * 400, "9" * 5000, "[" * 5000, '{"a":' * 5000, "\0", "a\nb", "\x1b[31m", "[1")
VALUES += ("2026-01-01", "010", "{a: 1, a: 2}", "0.1", "1e-300", "1e300", ":", "timm:", "pml:", ",", "../x", "é" * 9000)
CHARACTERS = "0123456789-, ,--xe.\n٣²_+\0"


def _resolved(path: Path) -> RunSpec:
    return resolve(flatten(read_settings(path, str(path))))


def _resolved_with(assignment: str) -> str:
    """The text that a run's id is made of, of a spec with one more setting."""
    key, value = parse_assignment(assignment)
    return resolve({"loss": "qlung", "backbone": "cnn6", key: value}).canonical()


def _cells(path: Path, *assignments: str) -> list[Cell]:
    return cells(load_sweep(path, dict(map(parse_assignment, assignments))))


@pytest.fixture
def damaged(generators: Iterator[random.Random], tmp_path: Path) -> Iterator[tuple[Path, random.Random]]:
    """A file to damage, and what to do it with."""
    return ((tmp_path / "spec.yaml", generator) for generator in generators)


def test_a_damaged_spec_is_read_or_named(damaged: Iterator[tuple[Path, random.Random]]) -> None:
    for path, generator in damaged:
        path.write_bytes(mutated(RUN, generator, TOKENS))
        teaches(partial(_resolved, path))


def test_a_damaged_study_is_read_or_named(damaged: Iterator[tuple[Path, random.Random]]) -> None:
    for path, generator in damaged:
        path.write_bytes(mutated(STUDY, generator, TOKENS))
        teaches(partial(_cells, path), naming=[path.name])


def test_absurd_assignments_are_taken_or_named(generators: Iterator[random.Random]) -> None:
    keys = [*known_keys(RunSpec), "loss", "backbone", "frontend", "quality", "weights", "train", "test", "epochs"]
    keys += ["loss.gamma", "loss.kappa", "backbone.x", "optim", "data", "select.x", "", ".", "a\nb", "a" * 9000]
    for generator in generators:
        key, value = generator.choice(keys), generator.choice(VALUES)
        text = mutated(f"{key}={value}".encode(), generator).decode(errors="replace")
        for given in (f"{key}={value}", text):
            teaches(partial(_resolved_with, given))


def test_absurd_assignments_of_a_study_are_taken_or_named(damaged: Iterator[tuple[Path, random.Random]]) -> None:
    keys = ["name", "purpose", "base", "base.epochs", "grid", "grid.loss", "seeds", "track", "search", "search.trials"]
    keys += ["search.space", "search.space.optim.lr", "confirm", "confirm.seeds", "resources.threads", "limits.hours"]
    keys += ["plugins", "partial", "name.x", "seeds.0", "track.x.y", "a." * 2000, ""]
    for path, generator in damaged:
        path.write_bytes(STUDY)
        text = f"{generator.choice(keys)}={generator.choice(VALUES)}"
        teaches(partial(_cells, path, text))


def test_absurd_seeds_are_a_short_list_or_named(generators: Iterator[random.Random]) -> None:
    for generator in generators:
        text = "".join(generator.choices(CHARACTERS, k=generator.randint(0, 40)))
        message = teaches(partial(parse_seeds, text))
        assert message is None or message.startswith("--seeds")
