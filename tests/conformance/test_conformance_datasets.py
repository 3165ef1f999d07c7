"""Data sets keep their contracts: the built-in ones where their recordings are, and broken ones are found out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tiny import Cli, write_own_dataset

from rsbench import ClipTable, Split, register_dataset
from rsbench.conformance.checks import BrokenContract
from rsbench.conformance.datasets import CHECKS, located
from rsbench.conformance.examination import NO_RECORDINGS, plan
from rsbench.core.errors import DataError
from rsbench.data.datasets import DATASETS
from rsbench.data.folder import read_folder
from rsbench.data.sources import Roots
from rsbench.data.splits import SPLITS

Change = Callable[[ClipTable, Path, int], ClipTable]  # of a table, its folder, and how often it has been read


@pytest.fixture(scope="module")
def broken_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("broken")
    write_own_dataset(root / "broken", {"train": 2, "test": 1})
    return root


@pytest.fixture
def broken_by(broken_root: Path) -> Iterator[Callable[[Change], None]]:
    """Register the data set "broken", read soundly and then changed: `broken_by(change)`."""
    reads = {"number": 0}

    def register(change: Change) -> None:
        @register_dataset(
            "broken", summary="for tests", splits=[Split("broken", 1, "broken", "", ("train",), ("test",))]
        )
        def read(root: Path) -> ClipTable:
            reads["number"] += 1
            return change(read_folder(root, "broken"), root, reads["number"])

    with DATASETS.scoped(), SPLITS.scoped():
        yield register


def with_clips(table: ClipTable, **columns: object) -> ClipTable:
    return replace(table, clips=table.clips.assign(**columns))


def with_patient(table: ClipTable, patient: str) -> ClipTable:
    return replace(with_clips(table, patient=patient), recordings=table.recordings.assign(patient=patient))


def shuffled(table: ClipTable, root: Path, number: int) -> ClipTable:
    return with_clips(table, location=f"visit {number}")


def named_by_path(table: ClipTable, root: Path, number: int) -> ClipTable:
    return with_clips(table, device=str(root))


BROKEN: dict[str, tuple[Change, str]] = {
    "is_read": (lambda table, *_: replace(table, clips=pd.DataFrame()), "its clips have no column clip_id"),
    "recordings_name_patients": (lambda table, *_: with_patient(table, " "), "3 recordings without a patient"),
    "words_have_a_class": (lambda table, *_: with_clips(table, label="whistle"), "'whistle' has no class"),
    "clips_lie_within_their_recordings": (
        lambda table, *_: with_clips(table, end_s=table.clips["end_s"] * 1000),
        "its clip train00:0 runs from 0.000 to 500.000 s",
    ),
    "patients_are_on_one_side": (lambda table, *_: with_patient(table, "p1"), "1 patients on both sides of 'broken'"),
    "clips_are_in_a_split": (lambda table, *_: with_clips(table, subset="later"), "no split takes the subset later"),
    "identity_is_stable": (shuffled, "another identity the second time"),
}


def verdicts(root: Path) -> dict[str, str]:
    """What is seen of each broken contract of the data set "broken"."""
    seen = {}
    for check in CHECKS:
        try:
            check(located("broken", Roots((root,))))
        except BrokenContract as error:
            seen[error.check] = error.seen
    return seen


def test_every_contract_can_be_broken() -> None:
    assert set(BROKEN) == {check.name for check in CHECKS}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_data_set_fails_that_very_check(name: str, broken_by: Callable[..., None], broken_root: Path) -> None:
    change, said = BROKEN[name]
    broken_by(change)
    seen = verdicts(broken_root)
    assert said in seen[name]
    if name not in ("is_read", "recordings_name_patients"):  # which the others need, or all whose patients are one
        assert set(seen) == {name}


def test_a_path_in_a_name_is_found(broken_by: Callable[..., None], broken_root: Path) -> None:
    broken_by(named_by_path)
    assert verdicts(broken_root) == {"identity_is_stable": "another identity under another path"}


def test_a_sound_data_set_breaks_nothing(broken_by: Callable[..., None], broken_root: Path) -> None:
    broken_by(lambda table, *_: table)
    assert verdicts(broken_root) == {}


@pytest.mark.parametrize("name", ["icbhi", "sprsound"])
def test_real_recordings_keep_every_contract(name: str, real_root: Path) -> None:
    for check in CHECKS:
        check(located(name, Roots((real_root,))))


def test_what_has_no_recordings_is_not_checked_and_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "sprsound").mkdir()  # where sprsound-later could lie too
    planned = {one.case.name: one for one in plan(kind="dataset", roots=Roots((tmp_path,)))}
    for name in ("icbhi", "kauh", "sprsound-later"):
        assert (planned[name].checks, planned[name].note) == ((), NO_RECORDINGS)
    assert planned["synthetic"].checks == planned["sprsound"].checks == CHECKS
    with pytest.raises(DataError, match="Data set 'kauh': there is no folder"):
        plan(["kauh"], roots=Roots((tmp_path,)))


def test_the_command_looks_at_a_root(broken_by: Callable[..., None], broken_root: Path, cli: Cli) -> None:
    broken_by(BROKEN["words_have_a_class"][0])
    done = cli("doctor", "--kind", "dataset", "broken", "--root", broken_root, "--quiet")
    assert done.code == 1
    assert f"broken (folder={broken_root}/broken)" in done.out
    assert f"{len(CHECKS) - 1} of {len(CHECKS)}" in done.out
    assert "dataset broken" in done.out
    assert "fails words_have_a_class" in done.out
    assert "remedy:   Add the word to the `words` of its clip table" in done.out
    absent = cli("doctor", "--root", broken_root / "nowhere")
    assert absent.code == 2
    assert "there is no folder" in absent.err
