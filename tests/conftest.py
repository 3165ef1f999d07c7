"""What every test may ask for: real recordings where they are at hand, a small own data set, a cache of its own."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from tiny import PROJECT, BringSplit, Cli, Outcome, run_tiny, write_own_dataset

# Files that take minutes, mostly of waiting for processes: begun first, so that no worker is left alone with one.
LONGEST = ("durability", "full_disks", "ray_engine", "installation", "distributions")


# Before torch is loaded, here and in every process that a test starts: workers share the cores, and threads that wait
# for one another on a core that is taken cost more than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# An example may take seconds where others use the cores.
settings.register_profile("rsbench", deadline=None)
settings.load_profile("rsbench")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--inputs", type=int, default=200, help="random inputs to every fuzzer of tests/fuzz (200)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> None:
    """The tests neither use nor fill the cache of the person who runs them; their workers share one."""
    folder = tmp_path_factory.getbasetemp()
    os.environ["RSBENCH_CACHE"] = str((folder if worker_id == "master" else folder.parent) / "cache")


@pytest.fixture(scope="module", autouse=True)
def forgotten_plugins() -> Iterator[None]:
    """What the tests of one file register is gone before the next file: any worker may get any file after any other."""
    from rsbench.core.plugins import discover, scoped
    from rsbench.data.splits import SPLITS
    from rsbench.report.tables.registered import registries

    discover()
    with scoped([*registries().values(), SPLITS]):
        yield


@pytest.fixture
def generators(request: pytest.FixtureRequest) -> Iterator[random.Random]:
    """For a fuzzer: sources of randomness, as many as `--inputs` asks for and the same each time."""

    def draw() -> Iterator[random.Random]:
        for seed in range(request.config.getoption("--inputs")):
            print(f"input {seed}")  # pytest shows what a failed test printed
            yield random.Random(seed)

    return draw()


@pytest.fixture
def bring_split() -> Iterator[BringSplit]:
    """Register a split for the length of a test, over one of its name if need be."""
    from rsbench.data.splits import SPLITS, named_splits

    named_splits()  # what is discovered once must not be forgotten with the test
    with SPLITS.scoped():
        yield lambda split: SPLITS.register(split.name, split, source=bring_split)


@pytest.fixture(scope="session")
def real_root() -> Path:
    """The folder of real recordings: RSBENCH_DATA, or shared/data beside the project."""
    root = Path(os.environ.get("RSBENCH_DATA", PROJECT.parent / "shared" / "data"))
    if not (root / "icbhi").is_dir():
        pytest.skip(f"no real recordings at {root}: set RSBENCH_DATA to a folder that holds icbhi/ and sprsound/")
    return root


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder that rsbench uses for the length of the test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RSBENCH_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with two own data sets: `tiny` (10 patients to train on, 4 to test) and `far` (test only)."""
    root = tmp_path_factory.mktemp("recordings")
    write_own_dataset(root / "tiny", {"train": 10, "test": 4})
    write_own_dataset(root / "far", {"test": 5}, seed=1, pitch=0.8)
    return root


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Panels of a report are drawn on bare axes: to lay them out and write them takes longer than all else in it."""
    from matplotlib.figure import Figure

    from rsbench.report.figures.picture import Drawn, Picture

    def sketch(kept: object, pictures: Sequence[Picture], folder: Path) -> Iterator[tuple[Picture, Drawn]]:
        for picture in pictures:
            for panel in picture.panels:
                panel.draw(Figure().subplots())
            yield picture, Drawn(picture.name, picture.caption, (), {})

    monkeypatch.setattr("rsbench.report.page.kept.KeptReports.render_all", sketch)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in this process: `cli("run", "--loss", "ce") -> Outcome`."""
    from rsbench.cli import main

    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["rsbench", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return Outcome(int(code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def tiny_run(tiny_root: Path, tmp_path: Path) -> Callable[..., Any]:
    """`run_tiny` on the session's recordings, kept under the test's own folder."""

    def call(out: Path = tmp_path / "results", **changes: Any) -> Any:
        return run_tiny(tiny_root, out, **changes)

    return call
