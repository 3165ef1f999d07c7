"""The columns that a board can show, as a table."""

from __future__ import annotations

from rich import box
from rich.table import Table

from ...boards.columns import HOW, NEEDS, OF_CLAIM, WIDE, WIDE_OF_CLAIM, WIDE_SOMETIMES, column_groups, known_columns
from ...data.tasks import Task


def columns_table(task: Task) -> Table:
    """A row per column of boards of a task: its name, its heading, and when it is shown without being asked for."""
    groups = "; ".join(f"{name} ({', '.join(names)})" for name, names in column_groups(task).items() if name != "all")
    table = Table(
        title=f"columns of boards of {task.name}",
        title_justify="left",
        caption=f"groups: {groups}; all: every figure",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for heading in ("name", "heading", "shown by default"):
        table.add_column(heading)
    for name, column in known_columns(task).items():
        table.add_row(name, " ".join(column.heading.split()), _shown(name, task))
    return table


def _shown(name: str, task: Task) -> str:
    """When a board shows a column without being asked for it."""
    if name == "verdict":
        return "where rows have one"
    if name == "origin":
        return "where not all were run here"
    every = (*WIDE, *WIDE_SOMETIMES, *WIDE_OF_CLAIM["score"], *WIDE_OF_CLAIM["auroc"])
    needs = [HOW.get(name, "--baseline")] if name in NEEDS else []
    if name in (*OF_CLAIM["score"], *task.metrics, "inflation", "seeds"):
        return f"with {needs[0]}" if needs else "yes"
    if name not in every:
        return f"no, needs {needs[0]}" if needs else "no"
    if name.startswith("auroc_") and needs:
        needs = ["--claim auroc", *needs]
    wide = [] if name in OF_CLAIM["auroc"] and needs else ["--wide"]
    return f"with {' and '.join([*wide, *needs])}"
