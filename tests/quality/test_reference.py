"""The fixed scale of quality: percentiles among reference recordings, in a table of the indices as they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import percentileofscore

from rsbench.core.plugins import discover, is_built_in
from rsbench.quality.index import QUALITY, create_quality
from rsbench.quality.reference import (
    IndexReference,
    QualityReference,
    made_reference,
    quality_reference,
    reference_of,
)

numbers = st.lists(st.floats(-1e3, 1e3).map(lambda value: round(value, 1)), min_size=101, max_size=101)


@settings(max_examples=20)
@given(numbers, st.floats(-2e3, 2e3))
def test_a_percentile_is_the_share_of_recordings_that_are_no_better(recordings: list[float], value: float) -> None:
    """Of 101 recordings the quantiles are the recordings themselves; scipy counts them."""
    one = IndexReference({}, {"ward": np.sort(recordings)})
    (found,) = one.percentiles(np.array([value]))
    counted = percentileofscore(recordings, value, kind="weak") * 1.01 - 1
    assert found == pytest.approx(max(0.0, counted), abs=1e-6)


def test_each_data_set_counts_alike_however_large() -> None:
    measures = {"few": [np.arange(10.0)[:, None]], "many": [np.arange(1000.0)[:, None] + 100]}
    made = made_reference({"rms": create_quality("rms")}, measures, {}).indices["rms"]
    assert made.percentiles(np.array([50.0, 2000.0])).tolist() == [50, 100]
    assert 0 <= made.value_at(1) < 1


def test_an_index_of_several_values_is_scored_on_the_reference_alone() -> None:
    index = create_quality("aqs")
    measures = np.random.default_rng(0).uniform(0, 0.3, (200, 2))
    made = made_reference({"aqs": index}, {"ward": [measures]}, {}).indices["aqs"]
    assert made.normaliser == index.fit(measures)
    np.testing.assert_array_equal(made.values(index, measures), index.score(measures, made.normaliser))


def test_the_file_is_what_was_made() -> None:
    shipped = quality_reference()
    again = QualityReference.from_json(shipped.as_json())
    assert again.as_json() == shipped.as_json()
    assert again.provenance == shipped.provenance


def test_the_shipped_table_has_every_index_and_says_that_it_is_partial() -> None:
    discover()
    assert set(quality_reference().indices) == {name for name in QUALITY.names() if is_built_in(QUALITY.entry(name))}
    assert quality_reference().describe() == "reference recordings, version 1: icbhi 188 (PARTIAL), sprsound 2683"
    for name in quality_reference().indices:
        for levels in quality_reference().indices[name].quantiles.values():
            assert len(levels) == 101
            assert (np.diff(levels) >= 0).all()


def test_a_plugins_index_and_other_options_have_no_reference() -> None:
    assert reference_of("aqs", {}) is quality_reference().indices["aqs"]
    assert reference_of("aqs", {"alpha": 0.7}) is not None  # the default, written out
    assert reference_of("aqs", {"alpha": 0.5}) is None


def test_the_shipped_table_is_of_the_indices_as_they_are(real_root: object) -> None:
    """The median recording of SPRSound by one index has the median's value when it is measured now."""
    from pathlib import Path

    from rsbench.data.audio import read

    found = sorted(Path(str(real_root)).rglob("*_p1_*.flac"))[:12]
    samples = [read(path) for path in found]
    for name in ("aqs", "bandwidth", "flatness", "learned", "rms", "snr_levels"):
        index, reference = create_quality(name), quality_reference().indices[name]
        measures = np.array([index.measure(*one) for one in samples])
        percentiles = reference.percentiles(reference.values(index, measures))
        levels = reference.quantiles["sprsound"]
        values = reference.values(index, measures)
        assert levels[0] * (1 - 1e-4 * np.sign(levels[0])) <= values.min(), name
        assert values.max() <= levels[-1] + 1e-4 * abs(levels[-1]), name
        assert 20 < np.median(percentiles) < 80, name
