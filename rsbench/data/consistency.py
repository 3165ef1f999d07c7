"""What may be wrong with clips that can each be read: too short, twice, on two sides, a patient spelled in two ways."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.errors import DataError
from .annotations import refuse_all
from .audio import AudioInfo, probe, read
from .clips import ClipTable
from .identity import TOLERANCE_DB
from .splits import Split

ROUNDING = 2.5 / 2**15  # between the 16 bit that two programs make of one sample
NAMED = 4  # recordings of one sound that a message names
SHORT_S = 0.02  # the shortest real cycle has 0.2 s, the shortest real event 0.126 s


def refuse_doubtful(table: ClipTable) -> None:
    """Raise DataError for clips of less than a sample, and for patients who seem to be spelled in several ways."""
    refuse_all([*_below_one_sample(table), *_several_spellings(table)])


def doubts(table: ClipTable, rules: Sequence[Split]) -> list[str]:
    """What may be meant, and seldom is: clips of less than 20 ms, one interval twice, subsets that no split takes."""
    return [*_short(table), *_one_interval_twice(table), *_in_no_split(table, rules)]


def same_samples(
    recordings: pd.DataFrame, infos: Mapping[str, AudioInfo], sketches: Mapping[str, np.ndarray]
) -> list[list[str]]:
    """Names under which one sound stands, whatever the container, two and more each.

    Args:
        recordings: of a clip table.
        infos: header of each recording that can be read, by its name.
        sketches: likewise; see `identity`. Only where they agree are samples compared.
    """
    paths = recordings.set_index("recording")["path"]
    groups: dict[tuple[int, int], list[list[str]]] = {}
    for name, info in infos.items():
        of_one_length = groups.setdefault((info.rate, info.frames), [])
        for group in of_one_length:
            near = np.abs(sketches[group[0]] - sketches[name]) < TOLERANCE_DB
            if near.all() and _agree(Path(paths[group[0]]), Path(paths[name])):
                group.append(name)
                break
        else:
            of_one_length.append([name])
    return [group for of_one_length in groups.values() for group in of_one_length if len(group) > 1]


def _agree(one: Path, other: Path) -> bool:
    """Whether the samples of two recordings of one length are the same but for rounding."""
    return bool(np.abs(read(one)[0] - read(other)[0]).max() <= ROUNDING)


def same_sound_on_both_sides(table: ClipTable, rules: Sequence[Split], twins: Sequence[Sequence[str]]) -> list[str]:
    """What to say of names under which one sound stands on both sides of a split."""
    recordings = table.recordings[table.recordings["recording"].isin(table.clips["recording"])]
    parted = []
    for names in twins:
        one = recordings[recordings["recording"].isin(names)]
        both = [rule.name for rule in rules if not set(rule.train) & set(rule.test) and _on_both_sides(one, rule)]
        paths = table.recordings.set_index("recording").loc[list(names), "path"]
        more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        told = " and ".join(paths[:NAMED]) + more
        if both:
            parted.append(f"{told}: one sound, in train and in test of {', '.join(both)}. Keep one of them.")
    return parted


def _on_both_sides(recordings: pd.DataFrame, rule: Split) -> bool:
    return bool(rule.train_rows(recordings).any() and rule.test_rows(recordings).any())


def _below_one_sample(table: ClipTable) -> Iterator[str]:
    """Of no other recordings than those of very short clips is the header read."""
    short = _shorter_than(table.clips, SHORT_S)
    paths = table.recordings.set_index("recording")["path"]
    for name, clips in short.groupby("recording", sort=False):
        try:
            rate = probe(Path(paths[name])).rate
        except DataError:
            continue  # whoever decodes it says so
        for clip in _shorter_than(clips, 1 / rate).to_dict("records"):
            yield f"{_length_told(table, clip)}, less than one sample at {rate} Hz. Mend its times, or leave it out."


def _short(table: ClipTable) -> Iterator[str]:
    for clip in _shorter_than(table.clips, SHORT_S).to_dict("records"):
        yield f"{_length_told(table, clip)}. Were seconds and milliseconds mixed up?"


def _shorter_than(clips: pd.DataFrame, length_s: float) -> pd.DataFrame:
    return clips[clips["end_s"] - clips["start_s"] < length_s]


def _length_told(table: ClipTable, clip: Mapping[Hashable, Any]) -> str:
    length_ms = 1000 * (clip["end_s"] - clip["start_s"])
    interval = f"from {clip['start_s']:g} to {clip['end_s']:g} s"
    return f"{table.place(clip['clip_id'])}: the clip {interval} is {length_ms:.3g} ms long"


def _one_interval_twice(table: ClipTable) -> Iterator[str]:
    """With the same label it counts twice; with two it is nothing that a classifier could learn."""
    intervals = ["recording", "start_s", "end_s"]
    first: dict[tuple, Mapping[Hashable, Any]] = {}
    for clip in table.clips[table.clips.duplicated(intervals, keep=False)].to_dict("records"):
        earlier = first.setdefault(tuple(clip[column] for column in intervals), clip)
        if earlier is not clip:
            labels = " and ".join(f"'{label}'" for label in dict.fromkeys((earlier["label"], clip["label"])))
            yield (
                f"{table.place(clip['clip_id'])}: the same interval as {table.place(earlier['clip_id'])}, labelled "
                f"{labels}. Keep one of them."
            )


def _in_no_split(table: ClipTable, rules: Sequence[Split]) -> Iterator[str]:
    taken = {subset for rule in rules for subset in (*rule.train, *rule.test)}
    for subset, clips in table.clips[~table.clips["subset"].isin(taken)].groupby("subset"):
        yield (
            f"Subset '{subset}' is in no split: its {len(clips)} clips are neither trained nor judged on; the first: "
            f"{table.place(clips['clip_id'].iloc[0])}."
        )


def _several_spellings(table: ClipTable) -> Iterator[str]:
    """7, 7.0 and 007, P1 and p1: one patient counted as several may be on both sides of a split."""
    first = table.clips.drop_duplicates("patient")
    for _, clips in first.groupby(first["patient"].map(_spelled_plainly)):
        if len(clips) > 1:
            told = ", ".join(f"'{row['patient']}' ({table.place(row['clip_id'])})" for row in clips.to_dict("records"))
            yield f"Patients {told} seem to be one. Spell a patient in one way, and two patients not so alike."


def _spelled_plainly(patient: str) -> str:
    text = re.sub(r"[\s_-]+", "", str(patient).casefold())
    text = re.sub(r"\.0+$", "", text)
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)
