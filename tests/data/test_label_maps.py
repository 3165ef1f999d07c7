"""Label maps: data sets' own words to the four classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import pytest

from rsbench.core.errors import DataError, SpecError
from rsbench.data.clips import FOUR_WORDS, ClipTable
from rsbench.data.tasks import ICBHI_4

WORDS = ("Normal", "Fine Crackle", "Coarse Crackle", "Wheeze", "Rhonchi", "Stridor", "Wheeze+Crackle", *FOUR_WORDS)
OWN_WORDS = {"D": "crackle", "I": None, "Rhonchi": "crackle"}


def classes(name: str, labels: Sequence[str], words: Mapping[str, str | None]) -> list[int | None]:
    clips = pd.DataFrame({"label": labels, "clip_id": [f"r:{index}" for index in range(len(labels))]})
    indices = ICBHI_4.indices(ClipTable("clinic", clips, pd.DataFrame(), words=words), name)
    return [None if index is pd.NA else index for index in indices]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("four-class", [0, 1, 1, 2, 2, 2, 3, 0, 1, 2, 3]),
        ("four-class-strict", [0, 1, 1, 2, None, None, 3, 0, 1, 2, 3]),
    ],
)
def test_words_become_classes(name: str, expected: list[int | None]) -> None:
    assert classes(name, WORDS, {}) == expected


@pytest.mark.parametrize(("name", "rhonchi"), [("four-class", 1), ("four-class-strict", None)])
def test_a_data_sets_own_words_come_first_and_the_strict_map_leaves_out_what_it_says(
    name: str, rhonchi: int | None
) -> None:
    assert classes(name, ["D", "I", "Rhonchi", "Wheeze"], OWN_WORDS) == [1, None, rhonchi, 2]


def test_unknown_words_and_maps_are_named() -> None:
    with pytest.raises(DataError, match=r"'clinic', clip r:1, label: 'Wheez' has no class.*Did you mean 'Wheeze'"):
        classes("four-class", ["Wheeze", "Wheez"], {})
    with pytest.raises(SpecError, match="no label map 'four-clas' of task 'icbhi-4'. Did you mean 'four-class'"):
        ICBHI_4.label_map("four-clas")
