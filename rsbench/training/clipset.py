"""The clips of one data set, or of several, as the loop sees them: recordings, or embeddings made beforehand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..core.draws import sent
from ..core.loss import Batch
from ..core.spec import AugmentPart, RunSpec
from ..features.augment import mixstyle, spec_augment
from ..features.frontends import FrontendModule


@dataclass(frozen=True)
class ClipMetadata:
    """What is known of every clip apart from its sound; all (N,), on the device. clip_ids: N names."""

    clip_ids: tuple[str, ...]
    labels: Tensor
    quality: Tensor
    patient: Tensor
    device: Tensor
    dataset: Tensor


@dataclass(frozen=True)
class ClipSet(ABC):
    """Clips by row number. Tensors are on the device of `known`."""

    known: ClipMetadata

    @abstractmethod
    def features(self, rows: Tensor) -> Tensor:
        """What a backbone is given for clips (B,), as they are: (B, n_mels, frames), or (B, D) embeddings."""

    @abstractmethod
    def views(self, rows: Tensor, count: int, draws: torch.Generator) -> Tensor:
        """The same, augmented `count` times, view-major: (count · B, …). All draws come from `draws`, on the CPU."""

    def heard(self, rows: Tensor, n_frames: int) -> Tensor:
        """(B, n_frames) True where a frame of the features of clips (B,) holds sound of theirs; here, everywhere."""
        return torch.ones(len(rows), n_frames, dtype=torch.bool, device=rows.device)

    def batch(self, rows: Tensor, progress: float) -> Batch:
        known = self.known
        columns = (known.labels[rows], known.quality[rows], known.patient[rows], known.device[rows])
        return Batch(*columns, progress=progress, dataset=known.dataset[rows])


@dataclass(frozen=True)
class AudioClips(ClipSet):
    """Recordings: gathered, made features of and masked on the device.

    gather: clip rows (B,) → waveforms (B, samples). heard_samples: clip rows (B,) → how many of these, from the first,
    are sound; None where all are.
    """

    gather: Callable[[Tensor], Tensor]
    frontend: FrontendModule
    augment: AugmentPart
    heard_samples: Callable[[Tensor], Tensor] | None = None

    def heard(self, rows: Tensor, n_frames: int) -> Tensor:
        if self.heard_samples is None:
            return super().heard(rows, n_frames)
        return self.frontend.heard_frames(self.heard_samples(rows), n_frames)

    def features(self, rows: Tensor) -> Tensor:
        features: Tensor = self.frontend(self.gather(rows))
        return features

    def views(self, rows: Tensor, count: int, draws: torch.Generator) -> Tensor:
        features, masks = self.features(rows), self.augment.masks
        return torch.cat([spec_augment(self._restyled(features, draws), draws, **masks) for _ in range(count)])

    def _restyled(self, features: Tensor, draws: torch.Generator) -> Tensor:
        alpha = self.augment.mixstyle
        return mixstyle(features, draws, alpha, self.augment.mixstyle_p) if alpha else features


@dataclass(frozen=True)
class EmbeddingClips(ClipSet):
    """Embeddings from a file, (N, V, D): view 0 is the clip as it is, the others are augmented."""

    embeddings: Tensor

    def features(self, rows: Tensor) -> Tensor:
        return self.embeddings[rows, 0]

    def views(self, rows: Tensor, count: int, draws: torch.Generator) -> Tensor:
        """Drawn evenly from all views, the clip as it is among them."""
        drawn = torch.randint(self.embeddings.shape[1], (count, len(rows)), generator=draws)
        return self.embeddings[rows.expand(count, -1), sent(drawn, rows.device)].flatten(0, 1)


@dataclass(frozen=True)
class _JoinedGather:
    """Gathers from several data sets, whose rows count on from each to the next. sizes: clips of each.

    From each of them for all rows, in which nothing waits for the host: to choose rows, it would have to know them.
    """

    parts: tuple[Callable[[Tensor], Tensor], ...]
    sizes: tuple[int, ...]

    def __call__(self, rows: Tensor) -> Tensor:
        gathered, start = self.parts[0](rows.clamp(max=self.sizes[0] - 1)), self.sizes[0]
        for gather, size in zip(self.parts[1:], self.sizes[1:], strict=True):
            own = gather((rows - start).clamp(0, size - 1))
            gathered = torch.where((rows >= start).view(-1, *[1] * (own.ndim - 1)), own, gathered)
            start += size
        return gathered


def joined(known: ClipMetadata, parts: Sequence[ClipSet]) -> ClipSet:
    """The clips of several data sets, all of one kind, one after the other. known: of all of them, in that order."""
    standardised = [part for part in parts if isinstance(part, StandardisedClips)]
    if standardised:
        return _joined_standardised(known, standardised)
    audio = [part for part in parts if isinstance(part, AudioClips)]
    if not audio:
        return EmbeddingClips(known, torch.cat([part.embeddings for part in parts if isinstance(part, EmbeddingClips)]))
    sizes = tuple(len(part.known.labels) for part in audio)
    heard = [part.heard_samples for part in audio if part.heard_samples is not None]
    return replace(
        audio[0],
        known=known,
        gather=_JoinedGather(tuple(part.gather for part in audio), sizes),
        heard_samples=_JoinedGather(tuple(heard), sizes) if len(heard) == len(audio) else None,
    )


@dataclass(frozen=True)
class StandardisedClips(ClipSet):
    """The same clips, each bin less its mean over a group of clips, and in units of its spread there.

    group: (N,) each clip's. mean, spread: (groups, bins), or (groups, D) of embeddings.
    """

    clips: ClipSet
    group: Tensor
    mean: Tensor
    spread: Tensor

    def heard(self, rows: Tensor, n_frames: int) -> Tensor:
        return self.clips.heard(rows, n_frames)

    def features(self, rows: Tensor) -> Tensor:
        return self._standardised(self.clips.features(rows), rows)

    def views(self, rows: Tensor, count: int, draws: torch.Generator) -> Tensor:
        return self._standardised(self.clips.views(rows, count, draws), rows.repeat(count))

    def _standardised(self, features: Tensor, rows: Tensor) -> Tensor:
        group = self.group[rows]
        shape = (*features.shape[:2], *[1] * (features.ndim - 2))
        return (features - self.mean[group].view(shape)) / self.spread[group].view(shape)


AT_ONCE = 256  # clips whose features are in memory together while they are measured
LEAST_SPREAD = 1e-5  # of a bin in which nothing sounds


@torch.no_grad()
def standardised(clips: ClipSet, groups: Sequence[tuple[Tensor, Tensor]]) -> StandardisedClips:
    """Clips in groups of their own.

    groups: of each the rows that mean and spread are measured on, at least one, and the rows that belong to it. Rows
    that belong to none are of the first.
    """
    group = torch.zeros(len(clips.known.labels), dtype=torch.int64, device=clips.known.labels.device)
    measured = []
    for number, (fitted, rows) in enumerate(groups):
        group[rows] = number
        measured.append(_mean_and_spread(clips, fitted))
    mean, spread = (torch.stack(values) for values in zip(*measured, strict=True))
    return StandardisedClips(clips.known, clips, group, mean, spread)


def _mean_and_spread(clips: ClipSet, rows: Tensor) -> tuple[Tensor, Tensor]:
    """(bins,) each, float32; summed in float64."""
    sums, count = torch.zeros(2, 1, dtype=torch.float64, device=rows.device), 0
    for chosen in rows.split(AT_ONCE):
        values = clips.features(chosen).double().transpose(0, 1).flatten(1)
        sums = sums + torch.stack([values.sum(dim=1), values.square().sum(dim=1)])
        count += values.shape[1]
    mean, square = sums / count
    spread = (square - mean.square()).clamp_min(0).sqrt().clamp_min(LEAST_SPREAD)
    return mean.float(), spread.float()


def _joined_standardised(known: ClipMetadata, parts: Sequence[StandardisedClips]) -> StandardisedClips:
    groups, start = [], 0
    for part in parts:
        groups.append(part.group + start)
        start += len(part.mean)
    mean, spread = torch.cat([part.mean for part in parts]), torch.cat([part.spread for part in parts])
    return StandardisedClips(known, joined(known, [part.clips for part in parts]), torch.cat(groups), mean, spread)


@dataclass
class _Drawn:
    """Views of one draw, by their number per clip; with each the state in which drawing them left the generator."""

    seed: int = -1
    views: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class SharedClips(ClipSet):
    """Clips that several trainings draw in step: what one of them was just given, the others are given too.

    They have the seed, the clips to fit and the batch size in common, so that the seed of a draw says which clips it is
    of. Nobody may change views in place.
    """

    clips: ClipSet
    _drawn: _Drawn = field(default_factory=_Drawn)

    def features(self, rows: Tensor) -> Tensor:
        return self.clips.features(rows)

    def heard(self, rows: Tensor, n_frames: int) -> Tensor:
        return self.clips.heard(rows, n_frames)

    def views(self, rows: Tensor, count: int, draws: torch.Generator) -> Tensor:
        drawn = self._drawn
        if drawn.seed != draws.initial_seed():
            drawn.seed, drawn.views = draws.initial_seed(), {}
        if count not in drawn.views:
            drawn.views[count] = self.clips.views(rows, count, draws), draws.get_state()
        views, state = drawn.views[count]
        draws.set_state(state)
        return views


@torch.no_grad()
def why_no_numbers(clips: ClipSet, rows: Tensor, spec: RunSpec) -> str:
    """What to do about a loss or logits of these clips that are no numbers: blame a recording, or the training."""
    broken: list[str] = []
    for chosen in rows.split(spec.optim.batch_size):
        finite = clips.features(chosen).flatten(1).isfinite().all(dim=1)
        broken += [clips.known.clip_ids[row] for row in chosen[~finite].tolist()]
    if broken:
        more = f", and of {len(broken) - 1} more clips" if len(broken) > 1 else ""
        return (
            f"The features of clip {broken[0]}{more} are no numbers: its recording is at fault, not the training. "
            "Look at it (rsbench data check), and mend it or leave it out."
        )
    return f"Lower optim.lr (now {spec.optim.lr:g}), or set optim.clip_norm=1."
