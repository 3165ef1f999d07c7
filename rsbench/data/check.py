"""What a data set holds beside what it should hold: `rsbench data check`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.errors import DataError
from .audio import AudioInfo, decode
from .catalogue import altered
from .clips import ClipTable, clip_bounds
from .consistency import doubts, same_samples, same_sound_on_both_sides
from .identity import sketch
from .splits import Split, named_splits, own_split
from .sprsound import POOR_QUALITY
from .tasks import ICBHI_4, Task

NAMED = 3  # recordings that a doubt names
SHOWN = 10  # names of missing recordings printed before they are only counted


@dataclass(frozen=True)
class DataCheck:
    """The findings on one data set.

    counts: subset, what, found, official (<NA> where nobody published one), a row per count.
    formats: rate (Hz), coding, channels, recordings. devices: subset, device, recordings.
    durations_s: length of each readable recording, by name.
    splits: split, side, class, clips, patients, sizes (clips of each patient), a row per class of each side.
    on_both_sides: split → patients whom it has in train and in test.
    unreadable: what is wrong with each recording that cannot be read. problems: what else is an error.
    overlapping: clips that start before an earlier one of their recording has ended; allowed.
    clipped: clips whose end lies past the end of their recording by 0.1 s at most; allowed.
    poor_quality: recordings labelled so. twins: names of recordings that hold the same samples.
    doubts: what is allowed, and seldom meant. oddities: what is odd about the sound of some recordings → their file
        names; allowed.
    rules: the splits. clips: those that have a class and a readable recording, with class_index, path, length_s and
        rate, the recording's in Hz; no end past the recording's.
    """

    table: ClipTable
    counts: pd.DataFrame
    formats: pd.DataFrame
    devices: pd.DataFrame
    durations_s: pd.Series
    splits: pd.DataFrame
    on_both_sides: dict[str, tuple[str, ...]]
    unreadable: tuple[str, ...]
    problems: tuple[str, ...]
    overlapping: int
    clipped: int
    poor_quality: int
    twins: tuple[tuple[str, ...], ...]
    doubts: tuple[str, ...]
    oddities: dict[str, tuple[str, ...]]
    rules: tuple[Split, ...]
    clips: pd.DataFrame

    @property
    def broken(self) -> bool:
        """Whether something is wrong with what is there; no `--partial` excuses that."""
        return bool(self.unreadable or self.problems)

    @property
    def ok(self) -> bool:
        """Complete, and nothing broken."""
        return not self.broken and not self.table.partial


def check(table: ClipTable, task: Task = ICBHI_4, map_name: str | None = None) -> DataCheck:
    """Decode every recording and count what there is. What is wrong is not raised: the result says it."""
    infos, sketches, oddities, unreadable = _decode(table.recordings)
    twins = same_samples(table.recordings, infos, sketches)
    durations_s = pd.Series({name: info.frames / info.rate for name, info in infos.items()}, dtype=float)
    clipped, problems = _bounds(table, durations_s)
    rules = [rule for rule in named_splits().values() if rule.dataset == table.dataset] or [own_split(table.dataset)]
    classed = table.clips.assign(class_index=task.indices(table, map_name)).dropna(subset="class_index")
    formats = pd.DataFrame(
        [(info.rate, info.subtype, info.channels) for info in infos.values()],
        columns=["rate", "coding", "channels"],
    )
    return DataCheck(
        table=table,
        counts=_counts(table),
        formats=formats.value_counts().rename("recordings").reset_index().sort_values("rate"),
        devices=table.recordings.groupby(["subset", "device"]).size().rename("recordings").reset_index(),
        durations_s=durations_s,
        splits=_sides(classed, task, rules),
        on_both_sides={rule.name: both for rule in rules if (both := _on_both_sides(table.clips, rule))},
        unreadable=tuple(unreadable),
        problems=(*problems, *same_sound_on_both_sides(table, rules, twins)),
        overlapping=count_overlapping(table.clips),
        clipped=clipped,
        poor_quality=int((table.recordings["record_label"] == POOR_QUALITY).sum()),
        twins=tuple(map(tuple, twins)),
        doubts=(*doubts(table, rules), *_otherwise_than_published(table.dataset, sketches)),
        oddities=oddities,
        rules=tuple(rules),
        clips=_heard(table, classed, durations_s, {name: info.rate for name, info in infos.items()}),
    )


def _otherwise_than_published(dataset: str, sketches: dict[str, np.ndarray]) -> list[str]:
    """A doubt about the recordings whose length or spectrum is not that of the published ones."""
    names = altered(dataset, sketches)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    told = (
        f"{', '.join(names[:NAMED])}{more}: not the sound that was published under this name, by length and spectrum."
    )
    return [told] if names else []


def count_overlapping(clips: pd.DataFrame) -> int:
    """Clips that start before an earlier one of the same recording has ended."""
    ordered = clips.sort_values(["recording", "start_s", "end_s"])
    ended = ordered.groupby("recording")["end_s"].transform(lambda ends: ends.cummax().shift())
    return int((ordered["start_s"] < ended).sum())


@dataclass(frozen=True)
class _Decoded:
    info: AudioInfo
    sketch: np.ndarray
    oddities: tuple[str, ...]


def _decode(
    recordings: pd.DataFrame,
) -> tuple[dict[str, AudioInfo], dict[str, np.ndarray], dict[str, tuple[str, ...]], list[str]]:
    """Header and sketch of each readable recording, what is odd about some, and what is wrong with the others.

    All are decoded to the end.
    """

    def one(path: str) -> _Decoded | DataError:
        try:
            sound = decode(Path(path))
        except DataError as error:
            return error
        return _Decoded(sound.info, sketch(sound.samples, sound.info.rate), sound.oddities())

    with ThreadPoolExecutor() as pool:
        found = dict(zip(recordings["recording"], pool.map(one, recordings["path"]), strict=True))
    decoded = {name: known for name, known in found.items() if not isinstance(known, DataError)}
    infos = {name: known.info for name, known in decoded.items()}
    sketches = {name: known.sketch for name, known in decoded.items()}
    files = dict(zip(recordings["recording"], (Path(path).name for path in recordings["path"]), strict=True))
    odd: dict[str, list[str]] = {}
    for name, known in decoded.items():
        for oddity in known.oddities:
            odd.setdefault(oddity, []).append(files[name])
    unreadable = [str(error) for error in found.values() if isinstance(error, DataError)]
    return infos, sketches, {oddity: tuple(names) for oddity, names in odd.items()}, unreadable


def _bounds(table: ClipTable, durations_s: pd.Series) -> tuple[int, list[str]]:
    """Clips clipped at their recording's end, and an error for each recording that is left too early."""
    clipped, problems = 0, []
    clips = table.clips
    for _, one in clips[clips["recording"].isin(durations_s.index)].groupby("recording"):
        try:
            clipped += clip_bounds(one, durations_s, table.places)[1]
        except DataError as error:
            problems.append(str(error))
    return clipped, problems


def _counts(table: ClipTable) -> pd.DataFrame:
    """Recordings, patients and clips per label of each subset: found beside official."""
    by_subset = table.recordings.groupby("subset")
    labels = pd.crosstab(table.clips["subset"], table.clips["label"])
    found = labels.assign(recordings=by_subset.size(), patients=by_subset["patient"].nunique())
    # Poor Quality is a label of recordings, which have no clip to count.
    poor = table.recordings["record_label"].eq(POOR_QUALITY).groupby(table.recordings["subset"]).sum()
    official = table.official.set_index("subset") if len(table.official) else pd.DataFrame()
    if POOR_QUALITY in official:
        found = found.assign(**{POOR_QUALITY: poor})
    columns = [*dict.fromkeys([*official.columns, "recordings", "patients", *labels.columns])]
    subsets = list(dict.fromkeys([*official.index, *found.index]))
    found = found.reindex(index=subsets, columns=columns, fill_value=0).fillna(0)
    official = official.reindex(index=subsets, columns=columns)
    long = [
        (subset, what, int(found.loc[subset, what]), official.loc[subset, what])
        for subset in subsets
        for what in columns
    ]
    return pd.DataFrame(long, columns=["subset", "what", "found", "official"]).astype({"official": "Int64"})


def _sides(clips: pd.DataFrame, task: Task, rules: list[Split]) -> pd.DataFrame:
    rows = []
    for rule in rules:
        for side, chosen in (("train", rule.train_rows(clips)), ("test", rule.test_rows(clips))):
            if not chosen.any():
                continue
            part = clips[chosen]
            for index, name in enumerate(task.classes):
                sizes = tuple(part["patient"][part["class_index"] == index].value_counts())
                rows.append((rule.name, side, name, sum(sizes), len(sizes), sizes))
    return pd.DataFrame(rows, columns=["split", "side", "class", "clips", "patients", "sizes"])


def _heard(table: ClipTable, clips: pd.DataFrame, durations_s: pd.Series, rates: dict[str, int]) -> pd.DataFrame:
    """The clips that have a class and a readable recording; those without a sample are problems of their own."""
    clips = clips[clips["recording"].isin(durations_s.index)]
    paths = table.recordings.set_index("recording")["path"]
    clips = clips.assign(
        end_s=np.minimum(clips["end_s"], clips["recording"].map(durations_s)),
        rate=clips["recording"].map(rates),
        path=clips["recording"].map(paths),
    ).astype({"class_index": np.int64, "rate": np.int64})
    clips = clips.assign(length_s=clips["end_s"] - clips["start_s"])
    return clips[(clips["end_s"] * clips["rate"]).astype(int) > (clips["start_s"] * clips["rate"]).astype(int)]


def _on_both_sides(clips: pd.DataFrame, rule: Split) -> tuple[str, ...]:
    """Patients with clips in train and others in test; a split that tests on what it trains on aside."""
    if set(rule.train) & set(rule.test):
        return ()
    sides = (rule.train_rows(clips), rule.test_rows(clips))
    train, test = (set(clips.loc[rows, "patient"]) for rows in sides)
    return tuple(sorted(train & test))
