"""One table of speeds: every part is there, what fails is a row, and what is measured again replaces its own rows."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from tiny import PROJECT

HERE = PROJECT / "benchmarks"
NO_SPEED = {
    "boards",
    "report",
    "gpu",
    "gpu_parts",
    "real_kills",
    "measured",
    "__main__",
}  # `growth` calls the first two


@pytest.fixture(scope="module")
def benchmarks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("all_benchmarks", HERE / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_script_that_measures_a_speed_is_a_part(benchmarks: ModuleType) -> None:
    scripts = {path.stem for path in HERE.glob("*.py")} - NO_SPEED
    assert scripts == set(benchmarks.PARTS)
    assert all("ratios" in functions(HERE / f"{name}.py") for name in scripts)


PART = """
import json, os, sys
_, here, part, file = sys.argv[:4]
if part == "broken":
    raise ValueError("no such thing")
if part == "absent":
    sys.exit("no recordings: set RSBENCH_DATA")
if part == "killed":
    os.kill(os.getpid(), 9)
ratio = {"what": "a", "beside": "b", "of": "CPU time", "rounds": [1.0, 0.5, 2.0]}
json.dump({"threads": 2, "ratios": [ratio]}, open(file, "w"))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "part.py"
    path.write_text(PART)
    return path


@pytest.mark.parametrize(
    ("part", "note"),
    [
        ("broken", "ValueError: no such thing"),
        ("absent", "no recordings: set RSBENCH_DATA"),
        ("killed", "ended by signal 9"),
    ],
)
def test_what_cannot_be_measured_is_a_row_that_says_why(
    benchmarks: ModuleType, script: Path, part: str, note: str
) -> None:
    (row,) = benchmarks.measure(part, False, script)
    assert (row["what"], row["ratio"], row["note"]) == (part, "", note)


def test_a_row_is_the_middle_of_its_rounds_and_names_the_machine(benchmarks: ModuleType, script: Path) -> None:
    (row,) = benchmarks.measure("whole", True, script)
    assert [row[name] for name in ("ratio", "lowest", "highest", "rounds", "threads")] == ["1", "0.5", "2", "3", "2"]
    assert row["command"] == "python -m benchmarks --only whole --quick"
    assert all(row[name] for name in ("processor", "cores", "torch", "date"))


def test_what_is_measured_again_replaces_its_own_rows(
    benchmarks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(part: str, quick: bool) -> list[dict[str, str]]:
        row = {"what": part, "ratio": "2" if quick else "1", "command": f"python -m benchmarks --only {part}"}
        return [dict.fromkeys(benchmarks.COLUMNS, "") | row]

    def called(*words: str) -> list[tuple[str, str]]:
        monkeypatch.setattr("sys.argv", ["benchmarks", "--out", str(tmp_path / "found.csv"), *words])
        benchmarks.main()
        rows = pd.read_csv(tmp_path / "found.csv", dtype=str)
        return list(zip(rows["what"], rows["ratio"], strict=True))

    monkeypatch.setattr(benchmarks, "measure", measure)
    called("--only", "probe")
    assert called("--quick", "--only", "startup") == [("startup", "2"), ("probe", "1")]
