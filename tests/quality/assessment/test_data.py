"""What a data set is to the workbench: kinds of recordings, the clips of runs, what normalisers are fitted on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import run_tiny

from rsbench.core.display import Display
from rsbench.data.sources import Roots
from rsbench.quality.assessment.data import QualityData, load_quality_data
from rsbench.quality.assessment.discrimination import QUALITY, discrimination
from rsbench.quality.assessment.study import study_indices
from rsbench.quality.index import create_quality
from rsbench.quality.measuring import measure_clips

QUIET = Display(quiet=True)


@pytest.fixture(scope="module")
def data(ward: Path) -> QualityData:
    return load_quality_data("ward", Roots((ward,)), QUIET)


def test_recordings_are_poor_normal_or_adventitious(data: QualityData) -> None:
    kinds = data.recordings.set_index("recording")["kind"]
    assert kinds.value_counts().to_dict() == {"poor": 14, "normal": 7, "adventitious": 7}
    assert kinds[["train0_N", "train1_N", "train1_P"]].tolist() == ["normal", "adventitious", "poor"]


def test_normalisers_are_fitted_on_training_clips(data: QualityData, tiny_root: Path) -> None:
    assert data.clips["subset"][data.fit].eq("train").all()
    assert data.fit.sum() == 64
    assert data.fitted_on == "the training clips of ward"
    far = load_quality_data("far", Roots((tiny_root,)), QUIET)
    assert far.fit.all()
    assert far.fitted_on.startswith("all of its clips")


def test_what_a_run_measured_is_found_in_the_cache(
    ward: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_tiny(ward, tmp_path, train="ward", test="ward", epochs=1)
    data = load_quality_data("ward", Roots((ward,)), QUIET)
    monkeypatch.setattr("rsbench.quality.measuring.read", None)
    assert len(measure_clips(create_quality("aqs"), data.clips, data.bytes_id)) == len(data.clips)


def test_real_recordings(real_root: Path) -> None:
    """Poor Quality recordings have no clips; an index that only hears level is near chance on them."""
    whole = load_quality_data("sprsound", Roots((real_root,)), QUIET, partial=True)
    poor = whole.recordings["kind"] == "poor"
    assert poor.sum() >= 100
    assert not whole.clips["recording"].isin(whole.recordings["recording"][poor]).any()
    few = np.flatnonzero(poor | (np.arange(len(poor)) % 10 == 0))
    sample = replace(whole, recordings=whole.recordings.iloc[few], clips=whole.clips.iloc[:20], fit=whole.fit[:20])
    found = discrimination(study_indices(sample, {"rms": create_quality("rms")}, QUIET)).set_index("contrast")
    assert found.loc[QUALITY, "low"] < 0.6
