"""What is asked of a GPU runs on the CPU too, at sizes that mean nothing; there it agrees with itself."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import CLIP_S, PROJECT, TINY_PLUGIN

from rsbench.core.plugins import load

sys.path.append(str(PROJECT / "benchmarks"))

import gpu
import gpu_parts
from frozen_grid import Grid
from gpu_parts import Row, Scale, parts

AT_ONCE = "at-once"  # starts processes, see below


@pytest.fixture
def scale() -> Scale:
    grid = Grid(losses=("ce",), seeds=1, epochs=1, patients=3)
    load(TINY_PLUGIN)
    small = gpu_parts.tiny("cpu", grid)
    return dataclasses.replace(small, kinds={"tiny": {}}, large={"tiny": 2}, small="tiny", clip_s=CLIP_S)


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_every_part_gives_figures_that_are_as_wanted(scale: Scale) -> None:
    rows = {name: list(part(scale)) for name, part in parts(scale).items() if name != AT_ONCE}
    assert all(rows.values())
    slow = ("beside", "share of the ceiling")  # no promise of a processor that others use
    missed = [
        row for each in rows.values() for row in each if row.ok is False and not any(it in row.what for it in slow)
    ]
    assert not missed


def test_runs_at_once_are_put_beside_one(scale: Scale, monkeypatch: pytest.MonkeyPatch) -> None:
    def clips(count: int, scale: Scale, more: object) -> float:
        return 10.0 * count**0.5

    monkeypatch.setattr(gpu_parts, "clips_of_processes", clips)
    monkeypatch.setattr("shutil.which", lambda name: None)
    alone, together, by_mps = parts(scale)[AT_ONCE](scale)
    assert alone.value == 10
    assert together.value == pytest.approx(5**0.5)
    assert by_mps.note == "nvidia-cuda-mps-control is not there"


def test_a_worker_begins_when_it_is_told_to(
    scale: Scale, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("go\n"))
    assert gpu_parts.train_for(0.01, scale) > 0
    assert capsys.readouterr().out == "ready\n"


def test_what_lies_apart_is_not_as_wanted() -> None:
    wanted = torch.tensor([1.0, -10.0])
    assert gpu_parts.close("a", wanted + 0.009, wanted, "fp32").ok
    assert not gpu_parts.close("a", wanted + 0.02, wanted, "fp32").ok


def test_a_part_that_fails_keeps_its_rows_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "part.py"
    script.write_text(
        "import json, sys, time\n"
        "row = dict(what='a', value=1.0, unit='s', wanted='', ok=None, note='')\n"
        "name, file = sys.argv[sys.argv.index('--part') + 1 :]\n"
        "print(json.dumps(row), file=open(file, 'w'), flush=True)\n"
        "if name == 'logits': raise ValueError('no such thing')\n"
        "if name == 'waits': time.sleep(60)\n"
    )
    monkeypatch.setattr(gpu, "__file__", str(script))
    monkeypatch.setattr(gpu, "LONGEST_S", 0.5)
    out = tmp_path / "gpu.csv"
    only = [word for name in ("logits", "waits", "card") for word in ("--only", name)]
    monkeypatch.setattr("sys.argv", ["gpu.py", "--device", "cpu", "--out", str(out), *only])
    gpu.main()
    found = [line.split(",") for line in out.read_text().splitlines()[1:]]
    assert [(line[0], line[-1]) for line in found] == [
        ("a", ""),
        ("logits", "ValueError: no such thing"),
        ("a", ""),
        ("waits", "ended after 0 s"),
        ("a", ""),
    ]
    assert "2 figures are not as wanted" in capsys.readouterr().out
    assert gpu.shown([Row("a", None, "")]).row_count == 1
