"""Label maps: data sets' own words to the four classes."""

from __future__ import annotations

import pandas as pd
import pytest

from rsbench.data.clips import CLASSES, label_map
from rsbench.errors import SpecError

WORDS = pd.Series(
    ["Normal", "Fine Crackle", "Coarse Crackle", "Wheeze", "Rhonchi", "Stridor", "Wheeze+Crackle", *CLASSES]
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("four-class", [0, 1, 1, 2, 2, 2, 3, 0, 1, 2, 3]),
        ("four-class-strict", [0, 1, 1, 2, None, None, 3, 0, 1, 2, 3]),
    ],
)
def test_words_become_classes(name: str, expected: list[int | None]) -> None:
    indices = label_map(name).indices(WORDS)
    assert [None if index is pd.NA else index for index in indices] == expected


def test_unknown_words_and_maps_are_named() -> None:
    with pytest.raises(SpecError, match="does not know the label 'Wheez'. Did you mean 'Wheeze'"):
        label_map("four-class").indices(pd.Series(["Wheez"]))
    with pytest.raises(SpecError, match="no label map 'four-clas'. Did you mean 'four-class'"):
        label_map("four-clas")
