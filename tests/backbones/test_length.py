"""The floor that hears nothing: what it is given, and that a run needs no file for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rsbench.backbones.embeddings import Embeddings
from rsbench.backbones.length import Length
from tiny import run_tiny

from rsbench import create_backbone
from rsbench.core.errors import SpecError


def test_it_is_given_the_log_of_the_length_and_nothing_else() -> None:
    clips = pd.DataFrame({"start_s": [1.0, 0.0, 3.0], "end_s": [3.0, 1.0, 3.5], "patient": ["a", "b", "c"]})
    given = Length.given(clips)
    assert given.dtype == np.float32
    assert given.tolist() == [[pytest.approx(np.log(2.0))], [0.0], [pytest.approx(np.log(0.5))]]
    octaves = create_backbone("length", 1, 1)(torch.from_numpy(given))
    assert octaves.tolist() == [pytest.approx([1, z, z**2, z**3], abs=1e-6) for z in (0.0, -1.0, -2.0)]


def test_a_line_over_it_can_cut_out_a_middle_range() -> None:
    lengths = np.log(np.float32([[0.3], [2.0], [8.0]]))
    embedded = create_backbone("length", 1, 1)(torch.from_numpy(lengths))
    short, middle, long = (embedded @ torch.tensor([1.0, 0.0, -1.0, 0.0])).tolist()
    assert short < 0 < middle
    assert long < 0


def test_only_what_hears_nothing_and_makes_nothing_of_the_clips_needs_a_file() -> None:
    assert Embeddings.needs_embeddings()
    assert not Length.needs_embeddings()


def test_a_run_takes_no_weights_and_stands_on_the_frozen_track(tiny_root: Path, tmp_path: Path) -> None:
    run = run_tiny(tiny_root, tmp_path, backbone="length", loss="logistic")  # nothing in it would learn
    assert (run.data.backbone, run.data.track, run.spec.frontend) == ("length", "frozen", None)
    lengths = run.predictions("tiny")["length_s"]
    assert lengths.tolist() == pytest.approx([0.5] * len(lengths))
    with pytest.raises(SpecError, match=r"^backbone.weights=some.parquet: 'length' takes none. Leave --weights out.$"):
        run_tiny(tiny_root, tmp_path, backbone="length", weights="some.parquet")
