"""`rsbench embed`: a backbone runs once over clips, and what it makes of them is kept in a file.

The work is kept in pieces beside the file, in FILE.unfinished, so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..core.backbone import BACKBONES, Backbone, create_backbone, embeddings_of
from ..core.errors import DataError
from ..core.files import locked_file, read_sealed, remove, write_sealed, writing
from ..core.fingerprint import code_sha256
from ..core.plugins import discover, load
from ..core.seeds import derive
from ..core.spec import MIXING, EmbedSpec
from ..core.weights import WeightsFile, load_weights
from ..data.clips import ClipTable
from ..data.embeddings import Provenance, clips_hash, read_provenance, write_embeddings
from ..data.gathering import ClipGatherer
from ..data.windows import clip_window
from ..features.augment import spec_augment
from ..features.frontends import FRONTENDS, FrontendModule, create_frontend
from ..results.environment import code_version
from ..training.predict import exact
from .build import gather_from
from .context import DataCache, RunContext
from .identity import backbone_name, weights_of
from .resolve import resolve_embedding

PIECE = 256  # clips that are lost at most when it is stopped
AT_ONCE = 16  # clips in a batch


@dataclass(frozen=True)
class EmbeddingJob:
    """Embeddings that could be made now: everything is read and checked but the sound itself."""

    spec: EmbedSpec
    data_cache: DataCache
    tables: tuple[ClipTable, ...]
    out: Path
    weights: WeightsFile
    frontend: FrontendModule
    backbone: Backbone
    provenance: Provenance

    @property
    def clips(self) -> int:
        return sum(len(table.clips) for table in self.tables)

    def describe(self) -> str:
        """What would be done, in a line."""
        made_by = self.provenance.backbone
        weights = f"weights from {self.weights.source}" if self.weights.path else "RANDOM weights"
        views = f", {self.spec.views} augmented views of each" if self.spec.views else ""
        layers = f", {self.provenance.layers} layers" if self.spec.layers else ""
        sets = " and ".join(table.dataset for table in self.tables)
        length = f"{self.spec.clip_s:g} s (window {self.spec.window})"
        return f"{self.clips} clips of {length} from {sets}{views}, by {made_by}{layers} with {weights}"


def prepare_embedding(
    settings: Mapping[str, Any], data: Sequence[str], out: Path, context: RunContext, plugins: Sequence[str]
) -> EmbeddingJob:
    """Read and check everything but the sound. Raises RsbenchError."""
    discover()
    for plugin in plugins:
        load(plugin)
    spec = resolve_embedding(settings, data)
    data_cache = context.data_cache()
    tables = tuple(data_cache.table(name) for name in data)
    weights = weights_of(spec.backbone, context.roots)
    frontend = create_frontend(spec.frontend.name, **spec.frontend.params)
    frames = frontend.frames(round(spec.clip_s * frontend.rate))
    torch.manual_seed(derive(spec.seed, "init", spec.backbone.name))
    backbone = create_backbone(spec.backbone.name, frontend.n_mels, frames, **spec.backbone.params)
    loaded = load_weights(backbone, weights)
    code = code_sha256(BACKBONES.entry(spec.backbone.name)), code_sha256(FRONTENDS.entry(spec.frontend.name))
    provenance = Provenance(
        backbone=backbone_name(spec.backbone),
        source=weights.origin,
        licence=weights.licence,
        pretrained_on=weights.pretrained_on,
        weights_sha256=weights.sha256,
        loaded=loaded,
        clip_s=spec.clip_s,
        window=spec.window,
        layers=_layers(backbone, frames) if spec.layers else 1,
        clips={table.dataset: clips_hash(table.clips) for table in tables},
        # Window and layers have keys of their own, which files from before there was a choice read as what they were.
        spec=spec.model_dump(
            mode="json", exclude={"backbone": {"weights"}, "window": True, "layers": True, "augment": MIXING}
        ),
        code_sha256="+".join(code),
        code_version=code_version(),
    )
    return EmbeddingJob(spec, data_cache, tables, out, weights, frontend, backbone, provenance)


@torch.no_grad()
def _layers(backbone: Backbone, frames: int) -> int:
    """How many layers' embeddings a backbone gives. Raises SpecError where it gives none that can be weighted."""
    return backbone.eval().layer_embeddings(torch.zeros(1, backbone.n_mels, frames)).shape[1]


def run_embedding(job: EmbeddingJob, context: RunContext) -> None:
    """Do what is left to do.

    Raises DataError when FILE, or its pieces, were made by other settings, ResultsError when another process makes it.
    """
    with locked_file(job.out):
        _embed(job, context)


def _embed(job: EmbeddingJob, context: RunContext) -> None:
    pieces = job.out.with_name(f"{job.out.name}.unfinished")
    if job.out.exists():
        if not same_work(read_provenance(job.out), job.provenance):
            raise DataError(f"{job.out} was made by other settings or code. Choose another --out, or delete it.")
        remove(pieces)  # of a process that was killed at the very end
        context.display.say(f"already done: {job.out}")
        return
    _claim(pieces, job)
    waveforms = {table.dataset: job.data_cache.waveforms(table.dataset, job.frontend.rate) for table in job.tables}
    backbone = job.backbone.to(context.device).eval()
    frontend = job.frontend.to(context.device)
    window = clip_window(job.spec.window)
    done = PIECE * len(list(pieces.glob("*.npy")))
    made: list[np.ndarray] = []
    with context.display.track("embedding", job.clips, min(done, job.clips)) as advance:
        for table in job.tables:
            sound = waveforms[table.dataset]
            gatherer = gather_from(sound, table.clips, frontend, job.spec.clip_s, window, context.device)
            for start in range(0, len(table.clips), PIECE):
                rows = range(start, min(start + PIECE, len(table.clips)))
                piece = pieces / f"{table.dataset}-{start:06d}.npy"
                kept = read_sealed(piece)  # None where it is damaged, too: it is made again
                if kept is not None:
                    made.append(np.load(io.BytesIO(kept)))
                    continue
                vectors = np.concatenate(list(_vectors(job, backbone, frontend, gatherer, rows)))
                _check_finite(vectors, table.clips["clip_id"].iloc[rows.start : rows.stop], job)
                made.append(vectors)
                buffer = io.BytesIO()
                np.save(buffer, vectors)
                write_sealed(piece, buffer.getvalue())
                advance(len(rows), table.dataset)
    vectors = np.concatenate(made)
    with writing(job.out) as file:
        write_embeddings(file, _index(job), vectors.reshape(-1, vectors.shape[-1]), job.provenance)
    remove(pieces)


def same_work(one: Provenance, other: Provenance) -> bool:
    """Whether two files hold the same embeddings: other code may have changed, and the weights may lie elsewhere."""
    apart = {"code_version", "source"}
    return one.model_dump(mode="json", exclude=apart) == other.model_dump(mode="json", exclude=apart)


def _claim(pieces: Path, job: EmbeddingJob) -> None:
    """Make the folder of pieces, or take over one that the same settings began; of what is damaged nothing is kept."""
    begun = pieces / "provenance.json"
    kept = read_sealed(begun)
    if kept is None:
        remove(pieces)
    elif not same_work(Provenance.model_validate_json(kept), job.provenance):
        raise DataError(f"{pieces} was begun with other settings or code. Choose another --out, or delete that folder.")
    write_sealed(begun, job.provenance.model_dump_json(indent=1).encode())


def _check_finite(vectors: np.ndarray, clip_ids: pd.Series, job: EmbeddingJob) -> None:
    broken = clip_ids[~np.isfinite(vectors).all(axis=(1, 2))]
    if len(broken):
        raise DataError(
            f"The embedding of clip '{broken.iloc[0]}' holds NaN or infinity, with the weights {job.weights.source}. "
            "Check the clip (rsbench data check) and the weights."
        )


@torch.no_grad()
def _vectors(
    job: EmbeddingJob, backbone: Backbone, frontend: FrontendModule, gatherer: ClipGatherer, rows: range
) -> Iterator[np.ndarray]:
    """(b, 1 + views, D) float32 at a time. Masks follow from the seed and the clip's place in its data set."""
    masks = job.spec.augment.masks
    for start in range(rows.start, rows.stop, AT_ONCE):
        chosen = torch.arange(start, min(start + AT_ONCE, rows.stop), device=gatherer.device)
        features = frontend(gatherer.gather(chosen))
        heard = functools.partial(frontend.heard_frames, gatherer.heard_samples(chosen))
        draws = torch.Generator().manual_seed(derive(job.spec.seed, "embed", start))
        with exact(gatherer.device):
            views = [_embedded(job, backbone, features, heard)]
            for _ in range(job.spec.views):
                views.append(_embedded(job, backbone, spec_augment(features, draws, **masks), heard))
        yield torch.stack(views, dim=1).float().cpu().numpy()


def _embedded(job: EmbeddingJob, backbone: Backbone, features: Tensor, heard: Callable[[int], Tensor]) -> Tensor:
    """(b, D) of features, or (b, L · D) of all layers."""
    if job.spec.layers:
        return backbone.layer_embeddings(features).flatten(1)
    return embeddings_of(backbone, features, heard)


def _index(job: EmbeddingJob) -> pd.DataFrame:
    """dataset, clip_id and view of every row."""
    parts = [
        pd.MultiIndex.from_product([[table.dataset], table.clips["clip_id"], range(1 + job.spec.views)]).to_frame(
            index=False, name=["dataset", "clip_id", "view"]
        )
        for table in job.tables
    ]
    return pd.concat(parts, ignore_index=True)
