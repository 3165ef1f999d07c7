"""What the page is made of: a group with all that its sections show, and sections of text, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..figures.picture import Panel, Picture
from .board_table import PageTable, kinds_of
from .explorer import Mistake
from .groups import Group
from .provenance import Command
from .summaries import OfBoard, drawn_methods, summarise_board

MOST_DRAWN = 12  # methods; the tables hold all


@dataclass(frozen=True)
class Mistakes:
    """The worst errors on a split."""

    split: str
    clips: Sequence[Mistake]


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; `absent` says in its place why there is nothing, and what would bring it."""

    key: str
    title: str
    text: str = ""
    sheets: Sequence[PageTable] = ()
    pictures: Sequence[Picture] = ()
    mistakes: Sequence[Mistakes] = ()
    commands: Sequence[Command] = ()
    absent: str = ""

    @property
    def empty(self) -> bool:
        return not (self.sheets or self.pictures or self.mistakes or self.commands or self.absent)


@dataclass(frozen=True)
class View:
    """A group as the page shows it.

    key: the beginning of the names of its pictures. heading: what it is called. colours: loss → colour, of the whole
    page. boards: what the drawn methods say of each split's clips. baseline: the loss to compare with.
    """

    key: str
    heading: str
    group: Group
    colours: Mapping[str, str]
    boards: Sequence[OfBoard] = field(repr=False)
    baseline: str

    @property
    def methods(self) -> list[str]:
        """Those that are drawn, in the order of the first board."""
        return list(dict.fromkeys(method.name for of_board in self.boards for method in of_board.methods))

    @property
    def kinds(self) -> list[str]:
        """Those of `board_table.KINDS` that hold."""
        return kinds_of(self.group.boards)

    def picture(self, name: str, caption: str, panels: Sequence[Panel], split: str = "") -> Picture:
        """A picture of this group. Its file says by itself what must be known of it."""
        about = [split] if split else []
        told = "; ".join([*about, self.group.boards[0].header, *self.kinds])
        file = "-".join([self.key, name, *about])
        return Picture(file, told, f"{split}: {caption}" if split else caption, panels)


def view_of(
    group: Group,
    key: str,
    heading: str,
    colours: Mapping[str, str],
    baseline: str,
    advance: Callable[[int], None],
) -> View:
    """Read what a group's pictures show. `advance` is called with the number of runs read on a split."""
    read = [
        summarise_board(board, group.runs, drawn_methods(board, MOST_DRAWN), advance)
        for board in group.boards
        if len(board.runs)
    ]
    return View(key, heading, group, colours, read, baseline)


def runs_to_read(group: Group) -> int:
    """How often `view_of` will advance."""
    counts = []
    for board in group.boards:
        drawn = board.runs["method"].isin(drawn_methods(board, MOST_DRAWN))
        counts.append(board.runs.loc[drawn, "run_id"].nunique())
    return sum(counts)
