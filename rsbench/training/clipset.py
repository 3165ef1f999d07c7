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
    """Gathers from one data set or another: rows count through the first, then through the second, and so on.

    starts: (parts,) the row with which each begins, on the host.
    """

    parts: tuple[Callable[[Tensor], Tensor], ...]
    starts: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        part = torch.searchsorted(self.starts.to(rows.device), rows, right=True) - 1
        places, gathered = [], []
        for number, (gather, start) in enumerate(zip(self.parts, self.starts.tolist(), strict=True)):
            places.append(torch.nonzero(part == number).squeeze(1))
            gathered.append(gather(rows[places[-1]] - start))
        return torch.cat(gathered)[torch.cat(places).argsort()]


def joined(known: ClipMetadata, parts: Sequence[ClipSet]) -> ClipSet:
    """The clips of several data sets, one after the other, as one set. known: of all of them, in that order."""
    audio = [part for part in parts if isinstance(part, AudioClips)]
    if not audio:
        return EmbeddingClips(known, torch.cat([part.embeddings for part in parts if isinstance(part, EmbeddingClips)]))
    sizes = torch.tensor([0, *(len(part.known.labels) for part in audio[:-1])])
    return replace(audio[0], known=known, gather=_JoinedGather(tuple(one.gather for one in audio), sizes.cumsum(0)))


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
