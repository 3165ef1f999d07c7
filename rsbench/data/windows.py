"""How a clip is shown to a model: which samples are taken, and what follows where they do not fill its length."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..core.errors import SpecError, did_you_mean, shown
from ..core.spec import LONGEST_CLIP_S

CONTEXT = "context"


@dataclass(frozen=True)
class ClipWindow:
    """A rule that makes clips of any length the same length.

    name: as a spec says it, "context:2". takes: the "start" of a clip that is longer, its "middle", or what its
    "recording" holds around that middle. silence: what is shorter is followed by silence; otherwise it is repeated.
    in_words: what becomes of clips, for people. context_s: the length that the name gives, in seconds.
    """

    name: str
    takes: Literal["start", "middle", "recording"]
    silence: bool
    in_words: str
    context_s: float | None = None

    def place(self, spans: np.ndarray, n_samples: int) -> np.ndarray:
        """Where `n_samples` are taken from: spans (clips, 4), as `gathering.clip_spans` gives them, of clips.

        The middle of a clip is rounded down to a whole sample, and so is that of what is shown.
        """
        if self.takes == "start":
            return spans
        first, start, length, size = spans.T
        around = start + (length - n_samples) // 2
        if self.takes == "middle":
            start = np.where(length > n_samples, around, start)
            length = np.minimum(length, n_samples)
        else:
            start = np.clip(around, 0, np.maximum(size - n_samples, 0))
            length = np.minimum(size, n_samples)
        return np.stack([first, start, length, size], axis=1)

    def of_cuts(self) -> ClipWindow:
        """The same for pieces that were cut to the right length, and that nobody annotated: they have no middle."""
        return replace(self, takes="start")


REPEAT = ClipWindow("repeat", "start", False, "longer ones are cut, shorter ones repeated")
WINDOWS = {
    window.name: window
    for window in (
        REPEAT,
        ClipWindow("zero", "start", True, "longer ones are cut, shorter ones followed by silence"),
        ClipWindow("crop", "middle", False, "of longer ones the middle is kept, shorter ones are repeated"),
    )
}
AROUND = "each is the sound around a clip's middle, from its recording; silence follows a recording that is shorter"


def clip_window(name: Any, key: str = "data.window") -> ClipWindow:
    """The window of a name: repeat, zero, crop or context:SECONDS. Raises SpecError naming the key."""
    word, _, number = str(name).partition(":")
    if word == CONTEXT:
        try:
            seconds = round(float(number), 3)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= LONGEST_CLIP_S:
            raise SpecError(
                f"{key}={shown(name)}: {CONTEXT} needs seconds above 0, at most {LONGEST_CLIP_S}. Say, for example, "
                f"{key}={CONTEXT}:2."
            )
        return ClipWindow(f"{CONTEXT}:{seconds:g}", "recording", True, AROUND, seconds)
    if word not in WINDOWS or number:
        known = [*WINDOWS, f"{CONTEXT}:SECONDS"]
        raise SpecError(f"{key}={shown(name)}: there is no such window.{did_you_mean(str(name), known)}")
    return WINDOWS[word]
