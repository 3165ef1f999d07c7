"""The worst recordings of a data set or folder, and what is wrong with them, as a table."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...quality.faults import RANKED_BY, Fault, RecordingFaults, known_faults
from ...quality.reference import quality_reference

NO_FAULT = "none of these"


def render_faults(name: str, found: RecordingFaults, worst: int, console: Console) -> None:
    """Print the worst recordings, and where the limits are from. name: of the data set or folder."""
    shown = found.frame.head(worst)
    counts = ", ".join(f"{fault} {count}" for fault, count in found.counts().items())
    console.print(f"[bold]{escape(name)}[/]: {found.faulty} of {len(found.frame)} recordings have a fault ({counts}).")
    if len(shown):
        faults = known_faults()
        table = Table(
            *("recording", "why", "silent", "clipped", "SNR", "reaches", "level", "percentile"),
            title=f"The {len(shown)} worst: first those with a fault, by quality",
            caption=caption(faults),
            caption_justify="left",
        )
        for row in shown.to_dict("records"):
            table.add_row(
                escape(row["recording"]),
                row["faults"] or NO_FAULT,
                f"{row['silent_share']:.1%}",
                f"{row['clipped_share']:.2%}",
                f"{row['snr_db']:.0f} dB",
                f"{row['bandwidth_hz']:.0f} Hz",
                f"{row['level_db']:.0f} dB",
                f"{row['quality_percentile']:g}",
            )
        console.print(table)
    for error in found.errors:
        console.print(f"[red]{escape(error)}[/]")


def caption(faults: tuple[Fault, ...]) -> str:
    """The limits, and what the columns are."""
    limits = "; ".join(f"{fault.name} {_limit(fault)} ({fault.source})" for fault in faults)
    return (
        f"A fault is: {limits}. SNR: loud over soft frames, an estimate. reaches: up to which frequency, at most "
        f"2000 Hz, there is more than rounding noise. level: RMS in dB of full scale. percentile: of {RANKED_BY} among "
        f"{quality_reference().describe()}."
    )


def _limit(fault: Fault) -> str:
    return f"{'from' if fault.share else 'up to'} {fault.in_words(fault.limit)}"
