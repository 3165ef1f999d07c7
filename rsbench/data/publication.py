"""How a data set is published: its page, its licence and its archives."""

from __future__ import annotations

from dataclasses import dataclass

# Whole data sets of Mendeley Data, an archive per version.
MENDELEY = "https://prod-dcd-datasets-cache-zipfiles.s3.eu-west-1.amazonaws.com"


@dataclass(frozen=True)
class Archive:
    """A file that is published.

    url: of one version, that does not move. filename: under which it is kept in the data set's folder. sha256: as it
    was published; "" where that is not known.
    """

    url: str
    filename: str
    sha256: str = ""


@dataclass(frozen=True)
class Publication:
    """Where and how a data set is published.

    page: for people. licence: as it is given there. archives: in which it comes; those that end in .zip are unpacked.
    takes: a pattern of the paths in an archive that belong to it. note: what to know before fetching, in a sentence.
    """

    page: str
    licence: str
    archives: tuple[Archive, ...]
    takes: str = ".*"
    note: str = ""
