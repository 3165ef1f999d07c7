"""The command line. Thin: it parses, calls, prints, and turns errors into one line and an exit code.

Exit codes: 0 all done; 1 a run failed or a set is incomplete; 2 the input is wrong; 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.errors import PluginError, RsbenchError, SpecError, in_words, shown
from ..core.installation import libraries_blamed
from ..core.plugins import broken_in_words
from ..core.text import visible
from . import (
    audit,
    cite,
    compare,
    data,
    doctor,
    embed,
    export,
    export_model,
    leaderboard,
    listing,
    merge,
    predict,
    publish,
    quality,
    report,
    rescore,
    results,
    run,
    score,
    serve,
    show,
    site,
    sweep,
    transductive,
)
from .help import HelpfulCommand, HelpfulGroup, examples
from .streams import dependable_streams, what_was_lost

# What becomes of an interrupted command; of any other, nothing was kept and nothing is lost.
AFTER_AN_INTERRUPT = {
    "data": "The same command starts again, and goes on with what it had downloaded.",
    "run": "The same command continues after the last whole epoch.",
    "sweep": "The same command does what is missing.",
    "embed": "The same command continues where it was stopped.",
    "merge": "The same command brings in what is missing.",
    "publish": "No bundle was written, or a whole one; look with git status before you publish again.",
    "serve": "The page is served no more.",
    "results": "A pull goes on with the same command.",
    "site": "The same command writes it whole.",
    "predict": "Files that were written are whole.",
    "quality": "What was measured of a whole data set is kept.",
}


def interruptible() -> None:
    """A batch system's SIGTERM and a closed terminal end a command as Ctrl-C does: recorded, and ready to go on."""
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks for
            signal.signal(number, signal.default_int_handler)


class Interruptible(HelpfulGroup):
    """Commands that Ctrl-C, SIGTERM and SIGHUP end in one sentence and with exit code 130."""

    def invoke(self, ctx: Any) -> Any:
        interruptible()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo(f"Interrupted. {AFTER_AN_INTERRUPT.get(ctx.invoked_subcommand, 'Nothing was kept.')}", err=True)
            raise typer.Exit(130) from None
        except BaseException as error:
            if isinstance(error, Exception):
                raise
            # Of rsbench's own nothing ends the process from within: a plugin, or what it calls, does.
            raise PluginError(f"Code of a plugin ended the command: {in_words(error, Path())}. Mend it.") from error


app = typer.Typer(
    cls=Interruptible,
    name="rsbench",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from ..results.environment import code_version

        typer.echo(f"rsbench {code_version()}")
        raise typer.Exit


@app.callback()
def rsbench(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version, and stop.")
    ] = False,
) -> None:
    """Which loss, on which backbone, for lung sounds? One training loop, in and out of distribution."""


TRAIN, JUDGE, SHARE, LOOK, DATA = "Train", "Judge", "Share", "Look", "Data"  # panels of rsbench --help, in this order


def _add(panel: str, function: Callable[..., None], commands: str, name: str | None = None) -> None:
    """A command with its examples, in a panel."""
    app.command(name, cls=HelpfulCommand, rich_help_panel=panel, epilog=examples(commands))(function)


_add(TRAIN, run.run, run.EXAMPLES)
app.add_typer(sweep.app, name="sweep", rich_help_panel=TRAIN)
_add(TRAIN, embed.embed, embed.EXAMPLES)
_add(JUDGE, leaderboard.leaderboard, leaderboard.EXAMPLES)
_add(JUDGE, compare.compare, compare.EXAMPLES)
_add(JUDGE, audit.audit, audit.EXAMPLES)
_add(JUDGE, transductive.transductive, transductive.EXAMPLES)
_add(JUDGE, quality.quality, quality.EXAMPLES)
_add(JUDGE, score.score, score.EXAMPLES)
_add(JUDGE, rescore.rescore, rescore.EXAMPLES)
_add(SHARE, predict.predict, predict.EXAMPLES)
_add(SHARE, export_model.export_model, export_model.EXAMPLES, "export-model")
_add(SHARE, export.export, export.EXAMPLES)
_add(SHARE, merge.merge, merge.EXAMPLES)
_add(SHARE, publish.publish, publish.EXAMPLES)
_add(SHARE, site.site, site.EXAMPLES)
app.add_typer(results.app, name="results", rich_help_panel=SHARE)
_add(SHARE, cite.cite, cite.EXAMPLES)
_add(LOOK, show.show, show.EXAMPLES)
_add(LOOK, report.report, report.EXAMPLES)
_add(LOOK, serve.serve, serve.EXAMPLES)
_add(LOOK, listing.list_, listing.EXAMPLES, "list")
_add(LOOK, doctor.doctor, doctor.EXAMPLES)
app.add_typer(data.app, name="data", rich_help_panel=DATA)


def main() -> None:
    """Entry point: every error that a user can mend is one message and an exit code, never a traceback."""
    with dependable_streams() as out:
        code = _exit_code()
        lost = what_was_lost(out)
        if lost:
            typer.echo(f"error: {lost}", err=True)
    sys.exit(code or (1 if out.error else 0))


def _exit_code() -> int:
    """Carry out what was typed, and say what went wrong."""
    try:
        with libraries_blamed():
            app()
    except SystemExit as stop:  # typer's way to end
        return int(stop.code or 0)
    except RsbenchError as error:
        # What a broken plugin would have registered is unknown, and its name may be what was asked for.
        notes = broken_in_words() if isinstance(error, SpecError) else []
        lines = [*(f"note: {note}" for note in notes), f"error: {error}"]
        typer.echo(visible("\n".join(lines)), err=True)
        return error.exit_code
    except UnicodeEncodeError as error:  # what was typed, or the name of a file, in another encoding
        typer.echo(f"error: {shown(error.object)}: is no UTF-8 text. Write it in UTF-8.", err=True)
        return 2
    except OSError as error:  # of a file or folder that is not what it should be
        typer.echo(visible(f"error: {error.filename or 'standard output'}: {error.strerror or error}."), err=True)
        return 2
    return 0
