"""From a prepared run to its parts on a device: the model, and the clips of its data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..core.backbone import create_backbone
from ..core.loss import create_loss
from ..core.seeds import derive
from ..core.spec import RunSpec
from ..core.weights import load_weights
from ..data.clips import domains_of
from ..data.gathering import ClipGatherer
from ..data.waveforms import Waveforms
from ..data.windows import ClipWindow, clip_window
from ..features.frontends import FrontendModule
from ..results.schema import WeightsUsed
from ..training.adaptation import refuse_what_cannot_adapt
from ..training.adapters import add_adapters
from ..training.clipset import AudioClips, ClipMetadata, ClipSet, EmbeddingClips, joined, standardised
from ..training.finetune import WHOLE, checkpoint_activations, freeze
from ..training.predict import Model
from .prepare import DatasetClips, Experiment

DRAWS = frozenset({"uniform_", "normal_", "kaiming_uniform_"})  # of tensors and of nn.init; its others call these
RESIDENT_SHARE = 0.5  # of the device's free memory that waveforms may take before they are streamed


def build_model(experiment: Experiment) -> tuple[Model, WeightsUsed]:
    """Backbone and loss; initial weights follow from the seed alone, so they are paired across losses.

    Raises SpecError where the run is to be adapted, and there is nothing to adapt in the backbone.
    """
    spec = experiment.spec
    model = untrained_model(spec, *_input_size(experiment), experiment.class_counts, experiment.domains)
    refuse_what_cannot_adapt(model, spec)
    file = experiment.weights
    # Of what made given embeddings no tensor is in this model.
    loaded = load_weights(model.backbone, file) if experiment.frontend else 0.0
    with_adapters(model, spec)
    weights = WeightsUsed(loaded=loaded, **{key: value for key, value in vars(file).items() if key != "path"})
    if spec.optim.checkpoint_activations:
        checkpoint_activations(model.backbone)
    return model, weights


class _Undrawn(TorchFunctionMode):
    """Weights that would be drawn at random are 0 instead, which takes hardly any time."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") not in DRAWS:
            return function(*args, **kwargs)
        tensor: Tensor = args[0] if args else kwargs["tensor"]  # as nn.init passes it
        tensor.detach().zero_()
        return tensor


def model_sizes(experiment: Experiment) -> tuple[int, int]:
    """`Model.sizes` of a run's model, made without drawing its weights. Raises what `build_model` raises."""
    with _Undrawn():
        return build_model(experiment)[0].sizes()


def untrained_model(
    spec: RunSpec, n_mels: int, n_frames: int, class_counts: Sequence[int], domains: Mapping[str, int]
) -> Model:
    """The model of a spec for features (B, n_mels, n_frames), at random weights. domains: see `Loss.meet`."""
    torch.manual_seed(derive(spec.seed, "init", spec.backbone.name))
    backbone = create_backbone(spec.backbone.name, n_mels, n_frames, **spec.backbone.params)
    torch.manual_seed(derive(spec.seed, "init", "classifier"))
    loss = create_loss(spec.loss.name, backbone.embedding_dim, class_counts, **spec.loss.params)
    loss.meet(domains)
    # Beside adapters all of it stays as it is, batch norm's statistics and dropout among it.
    frozen = spec.optim.freeze if spec.optim.adapter == "none" else (WHOLE,)
    model = Model(backbone, loss, freeze(backbone, frozen))
    # A layout in memory, not a change of the model: depthwise convolutions are many times faster so on a CPU.
    model.to(memory_format=torch.channels_last)
    return model


def with_adapters(model: Model, spec: RunSpec) -> Model:
    """The model with the adapters of its spec beside the backbone's layers; their draws follow from the seed alone."""
    torch.manual_seed(derive(spec.seed, "init", "adapter"))
    add_adapters(model.backbone, spec.optim)
    return model


def _input_size(experiment: Experiment) -> tuple[int, int]:
    """Bins and frames of the features, or the width of the embeddings that are given and 1."""
    frontend, embeddings = experiment.frontend, next(iter(experiment.training.values())).embeddings
    if frontend is None:
        assert embeddings is not None
        return embeddings.shape[2], 1
    return feature_size(frontend, experiment.spec.data.clip_s)


def feature_size(frontend: FrontendModule, clip_s: float) -> tuple[int, int]:
    """Bins and frames of the features of clips of `clip_s` seconds."""
    return frontend.n_mels, frontend.frames(round(clip_s * frontend.rate))


def clip_set(dataset: DatasetClips, experiment: Experiment, device: torch.device) -> ClipSet:
    """One data set's clips on the device; the waveforms too, where they fit.

    Standardised where the run says so: those to test by themselves, the others as those to fit are.
    """
    clips = _as_they_are(dataset, experiment, device)
    if experiment.spec.data.adapt != "standardise":
        return clips
    fitted, tested = (torch.as_tensor(dataset.rows(part), device=device) for part in ("fit", "test"))
    return standardised(clips, [(rows, rows) for rows in (fitted, tested) if len(rows)])


def _as_they_are(dataset: DatasetClips, experiment: Experiment, device: torch.device) -> ClipSet:
    known = _known(dataset.clips.assign(dataset=dataset.table.dataset), device)
    if experiment.frontend is None:
        return EmbeddingClips(known, torch.as_tensor(dataset.embeddings, device=device))
    frontend = experiment.frontend.to(device)
    data = experiment.spec.data
    gatherer = gather_from(dataset.waveforms, dataset.clips, frontend, data.clip_s, clip_window(data.window), device)
    return AudioClips(known, gatherer.gather, frontend, experiment.spec.augment, gatherer.heard_samples)


def with_parts(clips: ClipSet, dataset: DatasetClips) -> ClipSet:
    """The clips of a data set in other parts, whose quality is another; the sound, or the embeddings, are the same."""
    known = _known(dataset.clips.assign(dataset=dataset.table.dataset), clips.known.labels.device)
    return replace(clips, known=known)


def _known(clips: pd.DataFrame, device: torch.device) -> ClipMetadata:
    """What is known of clips that have a column `dataset`.

    Codes count those of clips to fit from 0, and then the others.
    """
    fitted = clips["part"] == "fit"
    columns = (
        clips["class_index"].to_numpy(np.int64),
        clips["quality"].to_numpy(np.float32),
        *(_codes(names, fitted) for names in domains_of(clips).values()),
    )
    return ClipMetadata(tuple(clips["clip_id"]), *(torch.tensor(column, device=device) for column in columns))


def _codes(names: pd.Series, fitted: pd.Series) -> np.ndarray:
    """(N,) int64: the codes of names, those of clips to fit first."""
    known = [*sorted(names[fitted].unique()), *sorted(names.unique())]
    return pd.Index(known).unique().get_indexer(pd.Index(names)).astype(np.int64)


def training_clips(experiment: Experiment, clips: Mapping[str, ClipSet]) -> ClipSet:
    """What is trained on, one data set after the other: the clips of the one, or of several together.

    clips: data set → its own, as `clip_set` makes them.
    """
    parts = [clips[name] for name in experiment.training]
    if len(parts) == 1:
        return parts[0]
    together = pd.concat([of.clips.assign(dataset=name) for name, of in experiment.training.items()], ignore_index=True)
    return joined(_known(together, parts[0].known.labels.device), parts)


def training_rows(experiment: Experiment, part: str) -> np.ndarray:
    """Positions of the clips of a part among `training_clips`."""
    return np.flatnonzero(np.concatenate([of.clips["part"] == part for of in experiment.training.values()]))


def gather_from(
    waveforms: Waveforms,
    clips: pd.DataFrame,
    frontend: FrontendModule,
    clip_s: float,
    window: ClipWindow,
    device: torch.device,
) -> ClipGatherer:
    """Clips of `clip_s` seconds for this front end, from waveforms that live on the device where they fit."""
    size = waveforms.samples.nbytes
    return ClipGatherer(
        waveforms,
        clips,
        n_samples=round(clip_s * frontend.rate),
        edge_fade=frontend.edge_fade,
        device=device,
        resident=device.type == "cpu" or size < RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0],
        window=window,
    )
