"""Clips of one length, cut out of waveforms many at once. Padding and fades are arithmetic, never stored."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..core.errors import DataError
from .clips import clip_bounds
from .waveforms import Waveforms
from .windows import REPEAT, ClipWindow


class ClipGatherer:
    """Cuts clips of one length out of waveforms, many at once and on the device.

    As the published chain does it: the first and last `edge_fade` samples of a recording are faded linearly,
    the clip [int(start·rate), int(end·rate)] is cut; a longer one is truncated, a shorter one is repeated,
    truncated, and its last `edge_fade` samples are faded out. Other windows take other samples, or let silence follow
    the faded end of what is too short.

    Args:
        waveforms: the recordings.
        clips: rows of the clip table, in the order that `gather` counts in.
        n_samples: length of a gathered clip.
        edge_fade: samples of each fade; 0 for none.
        device: where gathered clips are wanted.
        resident: keep all recordings on the device; otherwise they are read from the map and moved.
        window: how clips come to that length.

    Raises:
        DataError: a clip lies outside its recording or holds no sample at this rate.
    """

    def __init__(
        self,
        waveforms: Waveforms,
        clips: pd.DataFrame,
        n_samples: int,
        *,
        edge_fade: int,
        device: torch.device,
        resident: bool,
        window: ClipWindow = REPEAT,
    ) -> None:
        self.device = device
        self.n_samples = n_samples
        self.edge_fade = edge_fade
        self._spans = window.place(clip_spans(waveforms, clips), n_samples)
        self._silence = window.silence
        length = self._spans[:, 2] if window.silence else np.full(len(clips), n_samples)
        self._heard = torch.from_numpy(length.clip(max=n_samples)).to(device)
        self._samples = waveforms.samples
        # The weight of a sample by its distance to the edge; from `edge_fade` on it is 1.
        self._ramp = torch.cat([torch.linspace(0, 1, edge_fade), torch.ones(1)])
        on_device = resident and device.type != "cpu"
        self._indexed = (
            IndexedClips(waveforms.samples, self._spans, self._ramp, n_samples, device, silence=window.silence)
            if on_device
            else None
        )

    def gather(self, rows: Tensor) -> Tensor:
        """(B, n_samples) float32 on the device, for clips given by their row numbers (B,), int64."""
        if self._indexed:
            return self._indexed.gather(rows)
        # Copies of slices: on a CPU, looking samples up one by one takes forty times as long.
        clips = np.empty((len(rows), self.n_samples), dtype=np.float32)
        for clip, row in zip(clips, rows.tolist(), strict=True):
            self._cut(clip, *self._spans[row].tolist())
        return torch.from_numpy(clips).to(self.device)

    def heard_samples(self, rows: Tensor) -> Tensor:
        """(B,) int64 on the device: after how many samples of a gathered clip silence follows; n_samples if none."""
        return self._heard[rows]

    def _cut(self, clip: np.ndarray, first: int, start: int, length: int, size: int) -> None:
        """Write the clip [start, start + length) of a recording of `size` samples that begins at `first`."""
        ramp, fade = self._ramp.numpy(), self.edge_fade
        heard = min(length, self.n_samples)
        sound = self._samples[first + start : first + start + heard]
        # Where the recording has faded in, and where it begins to fade out.
        risen = min(max(fade - start, 0), heard)
        falling = min(max(size - fade - start, risen), heard)
        if risen or falling < heard:
            sound = sound.copy()
            for begin, end in ((0, risen), (falling, heard)):
                position = np.arange(start + begin, start + end)
                sound[begin:end] *= ramp[np.minimum(position, fade)] * ramp[np.minimum(size - 1 - position, fade)]
        filled = heard if self._silence else self.n_samples
        for place in range(0, filled, heard):
            clip[place : place + heard] = sound[: self.n_samples - place]
        clip[filled:] = 0.0
        if length < self.n_samples:
            faded = min(fade, filled)
            clip[filled - faded : filled] *= ramp[:faded][::-1]


class IndexedClips:
    """The same where the recordings stand on a GPU: index arithmetic, in which nothing waits for the host.

    samples: all recordings. spans: as `ClipWindow.place` gives them. ramp: the weights of samples by distance to an
    edge. silence: whether it follows what is too short, which is repeated otherwise.
    """

    def __init__(
        self,
        samples: np.ndarray,
        spans: np.ndarray,
        ramp: Tensor,
        n_samples: int,
        device: torch.device,
        *,
        silence: bool = False,
    ) -> None:
        self._silence = silence
        self._samples = torch.from_numpy(samples).to(device)
        self._first = torch.from_numpy(spans[:, :1].copy()).to(device)
        # (clips, 3) within the recording: first sample of the clip, its length, samples of the recording.
        self._spans = torch.from_numpy(spans[:, 1:].astype(np.int32)).to(device)
        self._ramp = ramp.to(device)
        self._time = torch.arange(n_samples, device=device, dtype=torch.int32)

    def gather(self, rows: Tensor) -> Tensor:
        """(B, n_samples) float32 of clips by their row numbers (B,), int64, on the device."""
        start, length, size = self._spans[rows].unsqueeze(2).unbind(1)
        inside = self._time.minimum(length - 1) if self._silence else self._time % length
        position = start + inside
        clips = self._samples.take(self._first[rows] + position)
        fade = len(self._ramp) - 1
        if fade:  # all clips alike: to choose those near an edge, the host would have to know which they are
            clips *= self._weight(position) * self._weight(size - 1 - position)
            if self._silence:
                clips *= torch.where(length < len(self._time), self._weight(length - 1 - inside), 1.0)
            else:
                faded = min(fade, len(self._time))
                fade_out = self._ramp[:faded].flip(0)
                clips[:, len(self._time) - faded :] *= torch.where(length < len(self._time), fade_out, 1.0)
        return clips.masked_fill_(self._time >= length, 0.0) if self._silence else clips

    def _weight(self, distance: Tensor) -> Tensor:
        """The fade's weight for samples at a distance from the recording's edge."""
        return self._ramp[distance.clamp(max=len(self._ramp) - 1)]


def clip_spans(waveforms: Waveforms, clips: pd.DataFrame) -> np.ndarray:
    """(clips, 4) int64: where its recording begins; within that, its first sample and length; the recording's size."""
    bounded, _ = clip_bounds(clips, waveforms.durations_s)
    start = (bounded["start_s"].to_numpy() * waveforms.rate).astype(np.int64)
    length = (bounded["end_s"].to_numpy() * waveforms.rate).astype(np.int64) - start
    if (length < 1).any():
        clip = bounded["clip_id"].iloc[int(np.argmax(length < 1))]
        raise DataError(f"Clip {clip} holds no sample at {waveforms.rate} Hz. Mend its times, or leave it out.")
    recording = pd.Index(waveforms.recordings).get_indexer(pd.Index(bounded["recording"]))
    first, past = waveforms.offsets[recording], waveforms.offsets[recording + 1]
    return np.stack([first, start, length, past - first], axis=1)
