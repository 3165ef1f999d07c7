"""The command line. Thin: it parses, calls, prints, and turns errors into one line and an exit code.

Exit codes: 0 all done; 1 a run failed or a set is incomplete; 2 the input is wrong; 130 interrupted.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_group

from ..core.errors import PluginError, RsbenchError, SpecError, in_words, shown
from ..core.installation import libraries_blamed
from ..core.plugins import broken_in_words
from ..core.text import visible
from .help import HelpfulCommand, HelpfulGroup, examples
from .streams import dependable_streams, what_was_lost

# The panels of rsbench --help, and their commands. A command is the function that is called as its module, or `app`, a
# group of commands; `list` would hide Python's own, so its module is `listing`.
PANELS = {
    "Train": ("run", "sweep", "embed"),
    "Judge": ("leaderboard", "compare", "audit", "transductive", "quality", "score", "rescore"),
    "Share": ("predict", "export-model", "export", "merge", "publish", "site", "results", "cite"),
    "Look": ("show", "report", "serve", "list", "doctor"),
    "Data": ("data",),
}
PANEL_OF = {command: panel for panel, commands in PANELS.items() for command in commands}

TYPER_SETTINGS: dict[str, Any] = {"rich_markup_mode": "rich", "pretty_exceptions_enable": False}

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


class LateCommands(Mapping[str, Any]):
    """The commands by name. Each is imported and made when it is asked for: to run one takes no other."""

    def __getitem__(self, name: str) -> Any:
        return _command(name, PANEL_OF[name])

    def __iter__(self) -> Iterator[str]:
        return iter(PANEL_OF)

    def __len__(self) -> int:
        return len(PANEL_OF)


@functools.cache
def _command(name: str, panel: str) -> Any:
    """A command with its examples, or a group of commands, as typer makes it."""
    function = "listing" if name == "list" else name.replace("-", "_")
    module = importlib.import_module(f".{function}", __name__)
    alone = typer.Typer(**TYPER_SETTINGS)
    if hasattr(module, "app"):
        alone.add_typer(module.app, name=name, rich_help_panel=panel)
    else:
        command = alone.command(name, cls=HelpfulCommand, rich_help_panel=panel, epilog=examples(module.EXAMPLES))
        command(getattr(module, function))
    return get_group(alone).commands[name]


class Interruptible(HelpfulGroup):
    """Commands that Ctrl-C, SIGTERM and SIGHUP end in one sentence and with exit code 130."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**(settings | {"commands": LateCommands()}))

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


app = typer.Typer(cls=Interruptible, name="rsbench", no_args_is_help=True, **TYPER_SETTINGS)


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


def main() -> None:
    """Entry point: every error that a user can mend is one message and an exit code, never a traceback."""
    _collect_seldom()
    with dependable_streams() as out:
        code = _exit_code()
        lost = what_was_lost(out)
        if lost:
            typer.echo(f"error: {lost}", err=True)
    sys.exit(code or (1 if out.error else 0))


def _collect_seldom() -> None:
    """Search for cycles of garbage less often than after every 700 new objects, and not at all when the process ends.

    Loading torch makes hundreds of thousands of objects that all stay. To search them again and again takes a quarter
    of the time that a process needs to load torch and to end.
    """
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)


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
