"""Where data sets are looked for, and what is said when they are not there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rsbench.core.errors import DataError
from rsbench.data.sources import Roots, load_table

Own = Callable[[Sequence[str]], Path]

ROWS = ["path,start_s,end_s,label,patient", "a.wav,0,1,normal,p1"]


def test_a_general_root_holds_a_folder_per_data_set(icbhi: Path) -> None:
    roots = Roots.parse([str(icbhi.parent)], {})
    assert roots.folder("icbhi") == icbhi
    assert len(load_table("icbhi", roots, partial=True).clips) == 6


def test_a_named_root_comes_before_general_ones(icbhi: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    shutil.copytree(icbhi, other)
    assert Roots.parse([str(tmp_path), f"icbhi={other}"], {}).folder("icbhi") == other


def test_several_general_roots_are_tried_in_order(icbhi: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert Roots.parse([str(empty), str(icbhi.parent)], {}).folder("icbhi") == icbhi


def test_the_environment_names_the_default_root(icbhi: Path, tmp_path: Path) -> None:
    environ = {"RSBENCH_DATA": str(icbhi.parent)}
    assert Roots.parse([], environ).folder("icbhi") == icbhi
    assert Roots.parse([f"sprsound={tmp_path}"], environ).folder("icbhi") == icbhi
    given = tmp_path / "given"
    given.mkdir()
    assert Roots.parse([str(given)], environ).general == (given,)


def test_a_folder_with_an_equals_sign_in_its_name(tmp_path: Path) -> None:
    odd = tmp_path / "a=b"
    odd.mkdir()
    assert Roots.parse([str(odd)], {}).general == (odd,)


@pytest.mark.parametrize("value", ["{}/gone", "icbhi={}/gone"])
def test_a_root_that_does_not_exist(tmp_path: Path, value: str) -> None:
    with pytest.raises(DataError, match=r"--root .*there is no folder .*gone"):
        Roots.parse([value.format(tmp_path)], {})


def test_no_root_at_all() -> None:
    with pytest.raises(DataError, match=r"Say --root DIR.*RSBENCH_DATA.*ICBHI_final_database"):
        load_table("icbhi", Roots())


def test_a_root_without_the_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"there is no folder {tmp_path}/icbhi.*ICBHI_final_database"):
        load_table("icbhi", Roots.parse([str(tmp_path)], {}))


def test_a_folder_with_a_csv_is_a_data_set_of_its_name(own: Own) -> None:
    root = own(ROWS)
    roots = Roots.parse([str(root.parent)], {})
    assert roots.own_datasets() == ["mine"]
    assert load_table("mine", roots).dataset == "mine"
    named = Roots.parse([f"clinic={root}"], {})
    assert named.own_datasets() == ["clinic"]
    assert load_table("clinic", named).dataset == "clinic"


def test_a_name_that_no_record_may_hold_is_refused_before_anything_is_computed(own: Own) -> None:
    copied = own(ROWS).rename(own(ROWS).with_name("mine (copy)"))
    with pytest.raises(DataError, match=r"'mine \(copy\)' is no name for a data set.*--root NAME=FOLDER"):
        load_table("mine (copy)", Roots.parse([str(copied.parent)], {}))
    assert load_table("mine", Roots.parse([f"mine={copied}"], {})).dataset == "mine"


def test_an_unknown_data_set_is_told_of_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clips\.csv.*Did you mean 'icbhi'"):
        load_table("icbih", Roots.parse([str(tmp_path)], {}))


def test_an_incomplete_set_is_an_error_unless_partial(icbhi: Path) -> None:
    roots = Roots.parse([str(icbhi.parent)], {})
    with pytest.raises(DataError, match=r"1 official recordings are missing \(107_2b3_Tc_mc_AKGC417L.*--partial"):
        load_table("icbhi", roots)
    assert load_table("icbhi", roots, partial=True).missing == ("107_2b3_Tc_mc_AKGC417L",)
