"""SPRSound 2023 to 2025: the test sets of three challenges, beside SPRSound 2022 and in its form (see sprsound.py).

Annotations of 2024 and 2025 have no label of the recording. Some children were in an earlier edition too, and some
recordings name no child. Tested on generated files in the published layout.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from ..core.errors import DataError
from .annotations import frames, places_of, read_each
from .audio import audio_files
from .catalogue import catalogue
from .clips import ClipTable
from .datasets import register_dataset
from .layout import folders_below, where_recordings_lie
from .splits import Split
from .sprsound import (
    POOR_QUALITY,
    PUBLICATION,
    Described,
    read_recording,
    refuse_in_two_subsets,
    refuse_unannotated,
)

PUBLISHED = {2023: 871, 2024: 1704, 2025: 1309}  # recordings, as the README of each release says
HOLDS = "BioCAS2023/ with test2023_wav and test2023_json, and likewise BioCAS2024/ and BioCAS2025/"


def _subsets(year: int) -> tuple[str, str, str]:
    """Recordings of new patients, of patients of an earlier edition, and those that name no patient."""
    return f"test{year}", f"test{year}-known", f"test{year}-unnumbered"


SPLITS = [
    *(
        Split(f"sprsound-{year}", 1, "sprsound-later", f"The test set of {year}.", (), _subsets(year))
        for year in PUBLISHED
    ),
    Split(
        "sprsound-new",
        1,
        "sprsound-later",
        "The test sets of 2023 to 2025, less every patient of an earlier edition and recordings that name no patient.",
        (),
        tuple(_subsets(year)[0] for year in PUBLISHED),
    ),
]


def holds_later_editions(root: Path) -> bool:
    """Whether annotations of any of them lie in the folder or below it."""
    return bool(_editions(root))


@register_dataset(
    "sprsound-later",
    summary=f"SPRSound 2023, 2024 and 2025, for testing. {HOLDS}",
    paper="Zhang et al., IEEE TBioCAS 16, 2022",
    defaults={"data.clip_s": 8.0},
    splits=SPLITS,
    edition_of="sprsound",
    lies_in=holds_later_editions,
    publication=PUBLICATION,
)
def read_sprsound_later(root: Path) -> ClipTable:
    """Read the test sets, wherever their folders lie below `root`.

    Who was in an earlier edition follows from the catalogue of 2022 and from the annotations that are here.
    """
    editions = _editions(root)
    if not editions:
        raise DataError(
            f"{root}: there are no annotations of SPRSound 2023 to 2025. This folder must hold {HOLDS}. "
            f"{where_recordings_lie(root)}"
        )
    earlier = _spellings(_names_of_2022())
    described: list[Described] = []
    missing: list[str] = []
    for year, count in PUBLISHED.items():
        annotations = sorted((editions[year] / f"test{year}_json").glob("[!.]*.json")) if year in editions else []
        spelled = _spellings(path.stem for path in annotations) | earlier
        found = list(_described(year, annotations, earlier, spelled))
        described += found
        here = {one.annotation for one in found}
        missing += [path.stem for path in annotations if path not in here]
        missing += [f"a recording of {year}"] * max(0, count - len(annotations))
        earlier = spelled
    if not described:
        raise DataError(
            f"{root}: none of its annotations of later editions has a recording. {where_recordings_lie(root)}"
        )
    refuse_in_two_subsets(described)
    read = read_each(partial(read_recording, graded=False), described)
    clips = [event for recording, events in read for event in events if recording["record_label"] != POOR_QUALITY]
    return ClipTable(
        "sprsound-later",
        *frames(clips, [recording for recording, _ in read]),
        missing=tuple(missing),
        notes=tuple(_notes(described)),
        places=places_of(clips),
    )


def _editions(root: Path) -> dict[int, Path]:
    """Year → the nearest folder that holds its annotations. Clones may hold copies: no edition is read twice."""
    nearest: dict[int, Path] = {}
    for folder in folders_below(root):
        for year in PUBLISHED:
            if (folder / f"test{year}_json").is_dir():
                nearest.setdefault(year, folder)
    return nearest


def _names_of_2022() -> Collection[str]:
    published = catalogue("sprsound")
    assert published is not None  # it is shipped
    return published.index


def _patient_number(recording: str) -> str:
    """Without leading zeros, which not every edition may write; "" where the name has none."""
    return recording.partition("_")[0].lstrip("0")


def _spellings(recordings: Iterable[str]) -> dict[str, str]:
    """Patient's number → how names spell it, of the recordings that name one."""
    return {number: name.partition("_")[0] for name in recordings if (number := _patient_number(name))}


def _described(
    year: int, annotations: list[Path], earlier: Collection[str], spelled: Mapping[str, str]
) -> Iterator[Described]:
    """The annotations that have a recording. Raises DataError for a recording without one.

    earlier: numbers of patients of earlier editions. spelled: see `_spellings`, of these and of this edition.
    """
    if not annotations:
        return
    wav = annotations[0].parent.with_name(f"test{year}_wav")
    audio = audio_files(wav) if wav.is_dir() else {}
    refuse_unannotated({wav: audio}, {wav: {path.stem for path in annotations}})
    new, known, unnumbered = _subsets(year)
    for path in annotations:
        number = _patient_number(path.stem)
        if path.stem in audio:
            subset = (known if number in earlier else new) if number else unnumbered
            yield Described(path, audio[path.stem], subset, spelled.get(number, ""))


def _notes(described: Collection[Described]) -> Iterator[str]:
    """How many recordings no split takes for new patients, of each edition."""
    for year in PUBLISHED:
        new, known, unnumbered = (sum(one.subset == subset for one in described) for subset in _subsets(year))
        if known or unnumbered:
            yield (
                f"{year}: {known} recordings are of patients of an earlier edition, and {unnumbered} name no patient "
                f"(each is taken for a patient of its own). sprsound-new leaves them out and keeps {new}."
            )
