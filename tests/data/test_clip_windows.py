"""How clips are shown: the samples that each rule takes, and what it is called by."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from test_gathering import made_of

from rsbench.core.errors import SpecError
from rsbench.data.gathering import ClipGatherer
from rsbench.data.windows import clip_window

COUNTED = np.arange(1.0, 11.0)  # a recording whose samples say where they were, at 1000 Hz


@pytest.mark.parametrize(
    ("window", "start", "end", "n_samples", "shown"),
    [
        ("repeat", 2, 5, 7, [3, 4, 5, 3, 4, 5, 3]),
        ("repeat", 2, 9, 3, [3, 4, 5]),
        ("zero", 2, 5, 7, [3, 4, 5, 0, 0, 0, 0]),
        ("zero", 2, 9, 3, [3, 4, 5]),
        ("crop", 2, 5, 7, [3, 4, 5, 3, 4, 5, 3]),
        ("crop", 2, 9, 3, [5, 6, 7]),
        ("crop", 2, 9, 4, [4, 5, 6, 7]),
        ("context:1", 4, 6, 4, [4, 5, 6, 7]),
        ("context:1", 2, 9, 3, [5, 6, 7]),  # a longer clip shows its middle
        ("context:1", 0, 2, 5, [1, 2, 3, 4, 5]),  # moved inward at the start
        ("context:1", 9, 10, 5, [6, 7, 8, 9, 10]),  # and at the end
        ("context:1", 9, 10, 12, [*range(1, 11), 0, 0]),  # a recording that is shorter
    ],
)
def test_what_is_shown(window: str, start: int, end: int, n_samples: int, shown: list[int]) -> None:
    clips = pd.DataFrame({"clip_id": ["c"], "recording": "r0", "start_s": [start / 1000], "end_s": [end / 1000]})
    gatherer = ClipGatherer(
        made_of(COUNTED),
        clips,
        n_samples,
        edge_fade=0,
        device=torch.device("cpu"),
        resident=True,
        window=clip_window(window),
    )
    assert gatherer.gather(torch.tensor([0]))[0].tolist() == shown


@pytest.mark.parametrize(
    ("given", "name", "seconds"),
    [("zero", "zero", None), ("context:2", "context:2", 2.0), ("context: 2.50", "context:2.5", 2.5)],
)
def test_a_window_has_one_name(given: str, name: str, seconds: float | None) -> None:
    assert (clip_window(given).name, clip_window(given).context_s) == (name, seconds)


@pytest.mark.parametrize("wrong", ["context", "context:", "context:0", "context:61", "context:nan", "context:long"])
def test_a_context_has_a_length(wrong: str) -> None:
    with pytest.raises(SpecError, match=r"window='context.*seconds above 0, at most 60. Say, for example, window=cont"):
        clip_window(wrong, "window")


@pytest.mark.parametrize(("wrong", "said"), [("zeros", "Did you mean 'zero'"), ("crop:2", "no such window"), (3, "=3")])
def test_an_unknown_window_is_named(wrong: object, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        clip_window(wrong)
