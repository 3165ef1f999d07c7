"""Files of embeddings: parquet, a row per clip and view. `rsbench embed` writes them, and so may any other model.

Columns: `clip_id`, as in the clip table; `embedding`, a list of numbers, of one length in all rows; `dataset`, needed
only where two data sets have a clip of one name; and, where a clip has augmented views, `view`, counting from 0 (the
clip as it is). Other columns are left alone. Where the embeddings come from stands in the file's own metadata, as
pandas keeps `DataFrame.attrs` (see `Provenance`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..core.errors import DataError
from ..core.files import sha256_of
from .windows import REPEAT

INDEX = {"dataset": "", "clip_id": "", "view": 0}  # columns that tell rows apart, and what an absent one reads as
ATTRS = b"PANDAS_ATTRS"  # where pandas keeps a frame's attrs in parquet


class Provenance(BaseModel):
    """Where embeddings come from. All of it may be left out; what is unknown is shown as such on boards.

    backbone: the model's name. source, licence, pretrained_on, weights_sha256, loaded: of its weights, as in a run's
    record. clip_s: seconds at which a clip was shown to the model, and window: how it came to that length (see
    `windows`); None where nobody said. layers: those of the model whose embeddings stand one after the other in a row.
    clips: data set → hash of its clips' names and times. spec, code_version: the settings and the code that made them.
    code_sha256: of the backbone and the front end.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    backbone: str = "unknown"
    source: str = "unknown"
    licence: str = "unknown"
    pretrained_on: tuple[str, ...] = ("unknown",)
    weights_sha256: str = ""
    loaded: float | None = None
    clip_s: float | None = None
    window: str | None = None
    layers: int = Field(1, ge=1)
    clips: Mapping[str, str] = {}
    spec: Mapping[str, Any] = {}
    code_sha256: str = ""
    code_version: str = "unknown"

    @model_validator(mode="before")
    @classmethod
    def _before_windows(cls, said: Any) -> Any:
        """`rsbench embed` keeps its settings; a file that has them and names no window is from before it had others."""
        return {"window": REPEAT.name} | said if isinstance(said, dict) and said.get("spec") else said


@dataclass(frozen=True)
class EmbeddingFile:
    """A checked file. vectors: (N, D) float32; index: dataset ("" where not said), clip_id and view of each row."""

    path: Path
    sha256: str
    provenance: Provenance
    vectors: np.ndarray
    index: pd.DataFrame

    def refuse_other_clips(self, clip_s: float, window: str) -> None:
        """Raise DataError where the file says that it was made of clips shown otherwise."""
        made = self.provenance
        if made.window not in (None, window):
            raise DataError(
                f"data.window={window}, but {self.path} was made with clips shown as {made.window}. "
                f"Say --set data.window={made.window}, or embed again."
            )
        if made.clip_s not in (None, clip_s):
            raise DataError(
                f"data.clip_s={clip_s:g}, but {self.path} was made with clips of {made.clip_s:g} s. "
                f"Say --set data.clip_s={made.clip_s:g}, or embed again."
            )

    def of(self, dataset: str, clips: pd.DataFrame) -> np.ndarray:
        """(N, V, D) float32: the embeddings of these clips, all views of each.

        Args:
            dataset: its name, for messages.
            clips: a row per clip, with its clip_id.

        Raises DataError when a clip is missing or has other views than the first.
        """
        own = np.flatnonzero(self.index["dataset"].isin([dataset, ""]))
        rows = pd.Series(own, index=pd.MultiIndex.from_frame(self.index.iloc[own][["clip_id", "view"]]))
        views = int(self.index["view"].max()) + 1
        wanted = pd.MultiIndex.from_product([clips["clip_id"], range(views)])
        found = rows.reindex(wanted).to_numpy()
        missing = wanted[np.isnan(found)]
        if len(missing):
            clip, view = missing[0]
            raise DataError(
                f"{self.path}: no embedding for view {view} of clip '{clip}' of '{dataset}', and {len(missing) - 1} "
                "more are missing. Embed the whole data set with rsbench embed; rsbench data clips lists its clips."
            )
        return self.vectors[found.astype(np.int64)].reshape(len(clips), views, -1)


def clips_hash(clips: pd.DataFrame) -> str:
    """sha256 over the names and times of clips, in any order: whether a file was made of the same pieces of sound."""
    lines = sorted(f"{row.clip_id} {row.start_s:.6f} {row.end_s:.6f}" for row in clips.itertuples())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_embeddings(path: Path) -> EmbeddingFile:
    """Read and check a whole file. Raises DataError naming the file, the column and the remedy."""
    with _readable(path):
        sha256 = sha256_of(path)
        table = pq.read_table(path, page_checksum_verification=True)
    for column in ("clip_id", "embedding"):
        if column not in table.column_names:
            raise DataError(
                f"{path}: the column '{column}' is not there (there are: {', '.join(table.column_names)}). "
                "A file of embeddings has clip_id, embedding and, where clips have several, view."
            )
    return EmbeddingFile(path, sha256, _provenance(table.schema, path), _vectors(table, path), _index(table, path))


def read_provenance(path: Path) -> Provenance:
    """What a file says of itself. Raises DataError where it cannot be read."""
    with _readable(path):
        schema = pq.read_schema(path)
    return _provenance(schema, path)


def write_embeddings(file: IO[bytes], index: pd.DataFrame, vectors: np.ndarray, provenance: Provenance) -> None:
    """Write index (columns dataset, clip_id, view) and vectors (N, D) float32, in the same order."""
    table = pa.Table.from_pandas(index, preserve_index=False)
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    table = table.append_column("embedding", pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]))
    attrs = json.dumps(provenance.model_dump(mode="json"))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), ATTRS: attrs})
    pq.write_table(table, file, write_page_checksum=True)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Errors of the file as one message."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file. Make it with rsbench embed --out {path}.") from None
    except (OSError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path} cannot be read as parquet; it may be incomplete, so make it again. ({reason})"
        ) from None


def _provenance(schema: pa.Schema, path: Path) -> Provenance:
    written = (schema.metadata or {}).get(ATTRS, b"{}")
    try:
        return Provenance.model_validate_json(written)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: its attrs say {key}={first['input']!r}: {first['msg']}. Put that right.") from None


def _vectors(table: pa.Table, path: Path) -> np.ndarray:
    column = table["embedding"].combine_chunks()
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise DataError(f"{path}: column 'embedding' holds {kind}, not lists of numbers.")
    if not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise DataError(f"{path}: column 'embedding' holds lists of {kind.value_type}, not of numbers.")
    if not len(column):
        raise DataError(f"{path}: there is no row in it. Give a row per clip.")
    lengths = column.value_lengths().fill_null(0).to_numpy()
    odd = np.flatnonzero((lengths != lengths[0]) | (lengths == 0))
    if len(odd):
        clip = table["clip_id"][int(odd[0])]
        raise DataError(
            f"{path}: the embedding of clip '{clip}' has {lengths[odd[0]]} numbers, and that of the first "
            f"{lengths[0]}. All must have the same, at least one."
        )
    flat = column.flatten().cast(pa.float32(), safe=False)
    vectors: np.ndarray = flat.to_numpy(zero_copy_only=False).reshape(len(column), -1)
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        clip = table["clip_id"][int(broken[0])]
        raise DataError(
            f"{path}: the embedding of clip '{clip}' holds NaN or infinity, and those of {len(broken) - 1} more do. "
            "Mend the model that made them."
        )
    return vectors


def _index(table: pa.Table, path: Path) -> pd.DataFrame:
    named = [name for name in INDEX if name in table.column_names]
    index = table.select(named).to_pandas().assign(**{name: INDEX[name] for name in INDEX if name not in named})
    if not pd.api.types.is_integer_dtype(index["view"]) or index["view"].min() < 0:
        raise DataError(f"{path}: column 'view' must count the views of a clip, 0, 1, 2, …, without a gap.")
    twice = index[index.duplicated(list(INDEX))]
    if len(twice):
        clip, view = twice[["clip_id", "view"]].iloc[0]
        raise DataError(
            f"{path}: view {view} of clip '{clip}' is there twice. Keep one, number the views, or say in a column "
            "'dataset' which data set each is of."
        )
    return index.astype({"dataset": str, "clip_id": str})
