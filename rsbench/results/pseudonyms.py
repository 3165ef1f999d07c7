"""Salted names for patients, recordings and clips: what may leave the house of a private data set.

A name becomes the HMAC-SHA256 (RFC 2104) of itself under a secret salt. One salt gives one name the same pseudonym
everywhere, so runs stay paired patient by patient; without the salt nobody can tell whether a guessed name is right.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.errors import ResultsError
from .schema import DataUsed

SALT_DIGITS = 64  # hexadecimal: as many bits as the hash has
SHORT = 16  # hexadecimal digits of a pseudonym: among a million clips, two share one with a chance of 3e-8


@dataclass(frozen=True)
class Pseudonyms:
    """The pseudonyms of one salt. Names are told apart by kind and data set: patient "1" of two sets is two people."""

    salt: str

    def predictions(self, dataset: str, frame: pd.DataFrame) -> pd.DataFrame:
        """Stored predictions, in the order of the pseudonyms: that of the names would say who comes first."""
        named = frame.assign(
            clip_id=self._names("clip", dataset, frame["clip_id"]),
            recording=self._names("recording", dataset, frame["recording"]),
            patient=self._names("patient", dataset, frame["patient"]),
        )
        return named.sort_values(["selection", "clip_id"], ignore_index=True)

    def sketch(self, dataset: str, frame: pd.DataFrame) -> pd.DataFrame:
        """An audio sketch as it is stored, `recording` a column."""
        named = frame.assign(recording=self._names("recording", dataset, frame["recording"]))
        return named.sort_values("recording", ignore_index=True)

    def tracked(self, dataset: str, frame: pd.DataFrame) -> pd.DataFrame:
        """What was hit of each patient, as it is stored."""
        named = frame.assign(patient=self._names("patient", dataset, frame["patient"]))
        return named.sort_values(["epoch", "patient"], ignore_index=True)

    def data_record(self, data: DataUsed, trained: Sequence[str]) -> DataUsed:
        """What data.json of a run says, without names; `trained` are the data sets it was trained on.

        The identity of the labels is salted too: rows whose patients cannot be matched must not share a board, and
        what differs in labels does not. `notes`, which may name recordings, are left out.
        """

        def patients(names: Sequence[str], dataset: str = trained[0]) -> tuple[str, ...]:
            return tuple(sorted(self._name("patient", dataset, name) for name in names))

        def validation() -> tuple[str, ...]:
            if len(trained) == 1:
                return patients(data.validation_patients)
            whole = (name.partition(":") for name in data.validation_patients)
            return tuple(sorted(f"{dataset}:{self._name('patient', dataset, name)}" for dataset, _, name in whole))

        labels = {name: self._hash("labels", name, value) for name, value in data.identity.labels.items()}
        seen = {name: patients(names, name) for name, names in data.quality_index.seen.items()}
        changes: dict[str, Any] = {
            "quality_index": data.quality_index.model_copy(update={"seen": seen}),
            "identity": data.identity.model_copy(update={"labels": labels}),
            "validation_patients": validation(),
            "folds": tuple(map(patients, data.folds)),
            "validation_folds": tuple(map(patients, data.validation_folds)),
            "fitted_id": self._hash("fitted", ",".join(trained), data.fitted_id) if data.fitted_id else "",
            "datasets": {
                name: known.model_copy(update={"bytes_id": self._hash("bytes", name, known.bytes_id), "notes": ()})
                for name, known in data.datasets.items()
            },
        }
        return data.model_copy(update=changes)

    def run_id(self, run_id: str) -> str:
        """Another id with the same words: under the old one this would be the same run with other predictions."""
        words, _, digest = run_id.rpartition("-")
        return f"{words}-{self._hash('run', '', run_id)[: len(digest)]}"

    def _names(self, kind: str, dataset: str, names: pd.Series) -> pd.Series:
        return names.map({name: self._name(kind, dataset, name) for name in names.unique()})

    def _name(self, kind: str, dataset: str, name: str) -> str:
        return f"{kind}-{self._hash(kind, dataset, name)[:SHORT]}"

    def _hash(self, kind: str, dataset: str, text: str) -> str:
        message = json.dumps([kind, dataset, text]).encode()
        return hmac.new(bytes.fromhex(self.salt), message, hashlib.sha256).hexdigest()


def new_salt() -> str:
    """A salt that nobody can guess."""
    return secrets.token_hex(SALT_DIGITS // 2)


def salt_in(path: Path) -> str:
    """The salt that a file holds; a file that is not there is made, with a new salt that only its owner can read.

    Raises ResultsError where the file holds anything else, or cannot be made or read.
    """
    try:
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(new_salt() + "\n")
        salt = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ResultsError(f"--salt {path}: cannot be made or read ({error}).") from error
    if len(salt) != SALT_DIGITS or set(salt) - set("0123456789abcdef"):
        raise ResultsError(f"--salt {path}: this is no salt that rsbench made. Name a new file, and it is made.")
    return salt
