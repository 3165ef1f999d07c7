"""Files of embeddings: what any program may write, what is refused, and what a reader gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rsbench.core.errors import DataError
from rsbench.data.embeddings import Provenance, clips_hash, read_embeddings, read_provenance, write_embeddings

CLIPS = pd.DataFrame({"clip_id": ["b:0", "a:0", "a:1"], "start_s": [0.0, 0.0, 1.5], "end_s": [1.0, 1.5, 3.0]})


def foreign(path: Path, **changes: Any) -> Path:
    """A file as a person with pandas writes it; a change of None drops the column."""
    columns = {"clip_id": ["a:0", "a:1", "b:0"], "embedding": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]} | changes
    frame = pd.DataFrame({name: values for name, values in columns.items() if values is not None})
    frame.to_parquet(path)
    return path


def test_a_frame_of_lists_is_a_file_of_embeddings(tmp_path: Path) -> None:
    file = read_embeddings(foreign(tmp_path / "clap.parquet"))
    assert file.of("mine", CLIPS).tolist() == [[[5, 6]], [[1, 2]], [[3, 4]]]
    assert file.provenance == Provenance()
    assert (file.provenance.backbone, file.provenance.pretrained_on) == ("unknown", ("unknown",))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int64])
def test_numbers_of_any_kind_are_read(tmp_path: Path, kind: Any) -> None:
    vectors = [np.array([row, row + 1], dtype=kind) for row in (1, 3, 5)]
    assert read_embeddings(foreign(tmp_path / "f.parquet", embedding=vectors)).vectors[2].tolist() == [5, 6]


def test_attrs_of_a_frame_say_where_it_comes_from(tmp_path: Path) -> None:
    frame = pd.DataFrame({"clip_id": ["a:0"], "embedding": [[1.0]]})
    frame.attrs = {"backbone": "opera-ct", "pretrained_on": ["ICBHI", "HF Lung"], "clip_s": 8, "mine": "kept apart"}
    frame.to_parquet(tmp_path / "opera.parquet")
    known = read_provenance(tmp_path / "opera.parquet")
    assert (known.backbone, known.pretrained_on, known.clip_s) == ("opera-ct", ("ICBHI", "HF Lung"), 8.0)
    frame.attrs = {"clip_s": "long"}
    frame.to_parquet(tmp_path / "opera.parquet")
    with pytest.raises(DataError, match=r"opera\.parquet: its attrs say clip_s='long'"):
        read_embeddings(tmp_path / "opera.parquet")


def test_views_of_a_clip_stay_together(tmp_path: Path) -> None:
    index = pd.DataFrame({"dataset": "x", "clip_id": ["a:0", "a:0", "b:0", "b:0"], "view": [1, 0, 0, 1]})
    vectors = np.arange(8.0).reshape(4, 2)
    with (tmp_path / "v.parquet").open("wb") as file:
        write_embeddings(file, index, vectors, Provenance(backbone="mn04", clips={"x": "h"}))
    read = read_embeddings(tmp_path / "v.parquet")
    assert read.of("x", CLIPS.iloc[:2]).tolist() == [[[4, 5], [6, 7]], [[2, 3], [0, 1]]]
    assert read.provenance == Provenance(backbone="mn04", clips={"x": "h"})
    back = pd.read_parquet(tmp_path / "v.parquet")  # and pandas reads it, attrs and all
    assert back["embedding"][3].tolist() == [6, 7]
    assert back.attrs["backbone"] == "mn04"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embedding": None}, "'embedding' is not there .*clip_id"),
        ({"clip_id": None}, "'clip_id' is not there"),
        ({"embedding": [1.0, 2.0, 3.0]}, "holds double, not lists"),
        ({"embedding": [["x"], ["y"], ["z"]]}, "not of numbers"),
        ({"embedding": [[1.0], [1.0, 2.0], [1.0]]}, "clip 'a:1' has 2 numbers, and that of the first 1"),
        ({"embedding": [[], [], []]}, "'embedding' holds|has 0 numbers"),
        ({"embedding": [[1.0], None, [1.0]]}, "clip 'a:1' has 0 numbers"),
        ({"embedding": [[1.0], [np.nan], [np.inf]]}, "clip 'a:1' holds NaN or infinity, and those of 1 more"),
        ({"clip_id": ["a:0", "a:0", "b:0"]}, "view 0 of clip 'a:0' is there twice"),
        ({"view": [0, -1, 0]}, "'view' must count"),
        ({"view": ["x", "y", "z"]}, "'view' must count"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        read_embeddings(foreign(tmp_path / "mine.parquet", **changes))
    assert "mine.parquet" in str(raised.value)


def test_missing_clips_and_views_are_counted(tmp_path: Path) -> None:
    file = read_embeddings(foreign(tmp_path / "f.parquet", clip_id=["a:0", "a:9", "b:9"]))
    with pytest.raises(DataError, match=r"no embedding for view 0 of clip 'b:0' of 'mine', and 1 more.*data clips"):
        file.of("mine", CLIPS)
    uneven = read_embeddings(foreign(tmp_path / "g.parquet", clip_id=["a:0", "a:0", "b:0"], view=[0, 1, 0]))
    with pytest.raises(DataError, match="no embedding for view 1 of clip 'b:0'"):
        uneven.of("mine", CLIPS.iloc[:2])


def test_a_file_without_a_row_is_refused(tmp_path: Path) -> None:
    foreign(tmp_path / "f.parquet")
    pd.read_parquet(tmp_path / "f.parquet").head(0).to_parquet(tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"none\.parquet: (there is no row|column 'embedding' holds)"):
        read_embeddings(tmp_path / "none.parquet")


def test_clips_of_one_name_in_two_data_sets_need_the_data_set(tmp_path: Path) -> None:
    columns = {"clip_id": ["a:0", "a:0"], "embedding": [[1.0], [2.0]]}
    with pytest.raises(DataError, match="is there twice.*'dataset'"):
        read_embeddings(foreign(tmp_path / "f.parquet", **columns))
    file = read_embeddings(foreign(tmp_path / "f.parquet", **columns, dataset=["mine", "other"]))
    assert file.of("mine", CLIPS.iloc[1:2]).tolist() == [[[1.0]]]
    assert file.of("other", CLIPS.iloc[1:2]).tolist() == [[[2.0]]]


def test_files_that_are_no_parquet_are_refused(tmp_path: Path) -> None:
    whole = foreign(tmp_path / "whole.parquet").read_bytes()
    for name, content in (("empty", b""), ("text", b"clip_id,embedding\n"), ("cut", whole[: len(whole) // 2])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name} cannot be read as parquet"):
            read_embeddings(tmp_path / name)
    with pytest.raises(DataError, match=r"no such file.*rsbench embed --out"):
        read_embeddings(tmp_path / "nowhere.parquet")


def test_clips_are_known_by_name_and_time_in_any_order() -> None:
    assert clips_hash(CLIPS) == clips_hash(CLIPS.iloc[::-1])
    assert clips_hash(CLIPS) != clips_hash(CLIPS.assign(end_s=CLIPS["end_s"] + 0.01))
    assert clips_hash(CLIPS) != clips_hash(CLIPS.iloc[:2])
