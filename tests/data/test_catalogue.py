"""Catalogues: what was published, by name and by sketch, beside what is here."""

from __future__ import annotations

import io
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import Cli

from rsbench import data
from rsbench.data.audio import decode
from rsbench.data.catalogue import absent, altered, catalogue, catalogued, packed, strangers
from rsbench.data.icbhi import OFFICIAL as ICBHI
from rsbench.data.identity import SKETCH_COLUMNS, sketch
from rsbench.data.sources import Roots, load_table
from rsbench.data.sprsound import OFFICIAL as SPRSOUND


@pytest.mark.parametrize(("name", "official"), [("icbhi", ICBHI), ("sprsound", SPRSOUND)])
def test_a_catalogue_has_the_published_counts(name: str, official: pd.DataFrame) -> None:
    published = catalogue(name)
    assert published is not None
    assert published.index.is_unique
    assert published["subset"].value_counts().to_dict() == dict(
        zip(official["subset"], official["recordings"], strict=True)
    )
    patients = published.index.str.partition("_").get_level_values(0)
    counted = pd.Series(patients, index=published["subset"]).groupby("subset").nunique()
    assert counted.to_dict() == dict(zip(official["subset"], official["patients"], strict=True))


def test_it_is_small() -> None:
    assert catalogued() == ["icbhi", "sprsound"]
    assert catalogue("kauh") is None
    root = Path(data.__path__[0]) / "catalogues"
    assert sum(path.stat().st_size for path in root.iterdir()) < 64 * 1024


def test_real_recordings_are_those_of_the_catalogue(real_root: Path) -> None:
    """The recordings were the source of the catalogue: a sample of them is read and sketched again."""
    table = load_table("sprsound", Roots((real_root,)), partial=True)
    assert not strangers("sprsound", table.recordings["recording"])
    some = table.recordings.sample(40, random_state=0)
    sketches = {}
    for name, path in zip(some["recording"], some["path"], strict=True):
        sound = decode(Path(path))
        sketches[name] = sketch(sound.samples, sound.info.rate)
    assert altered("sprsound", sketches) == ()
    first, second, *_ = sketches
    sketches[first], sketches[second] = sketches[second], sketches[first] + np.float32([0, 0, 0.2, 0, 0, 0])
    assert set(altered("sprsound", sketches)) == {first, second}


def test_names_and_sketches_survive_packing() -> None:
    sketches = np.arange(12, dtype=np.float32).reshape(2, 6) / 7
    made = pd.DataFrame(sketches, columns=list(SKETCH_COLUMNS), index=["b", "a,x"]).assign(subset="train")
    read = pd.read_csv(io.BytesIO(lzma.decompress(packed(made))), index_col="recording")
    assert list(read.index) == ["a,x", "b"]
    assert np.abs(read.loc[made.index, list(SKETCH_COLUMNS)].to_numpy() - sketches).max() <= 0.005
    assert packed(made) == packed(made[::-1])


def test_what_is_absent_and_what_is_strange() -> None:
    published = catalogue("icbhi")
    assert published is not None
    here = [*published.index[3:], "x"]
    assert absent("icbhi", here) == tuple(published.index[:3])
    assert strangers("icbhi", here) == ("x",)
    assert absent("kauh", here) == strangers("kauh", here) == ()
    assert altered("icbhi", {name: np.zeros(6) for name in published.index}) == ()  # no sketch is known


def test_names_are_listed_and_those_that_are_missing(cli: Cli, sprsound: Callable[..., Path]) -> None:
    event = {"record_annotation": "Normal", "event_annotation": [{"start": "0", "end": "9", "type": "Normal"}]}
    root = sprsound({"train2022": {"40512331_8.1_1_p1_3544": event}})
    every = cli("data", "names", "sprsound").out.split()
    assert len(every) == 2683
    missing = cli("data", "names", "sprsound", "--missing", "--root", root.parent).out.split()
    assert set(every) - set(missing) == {"40512331_8.1_1_p1_3544"}
    refused = cli("data", "names", "kauh")
    assert refused.code == 2
    assert "kauh: the names of its recordings are not known here. Known: icbhi, sprsound." in refused.err
