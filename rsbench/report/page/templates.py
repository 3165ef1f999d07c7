"""Templates of pages, their style and their script."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from ...core.text import visible

PLACE = "rsbench.report.page"  # the package that holds them


def templates(*packages: str) -> Environment:
    """The templates of some packages, looked for in this order. A name that is not given is an error."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, ".") for package in packages]),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        finalize=finalised,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def finalised(value: object) -> object:
    """What stands in double braces: text of strangers is shown; `Markup` is rsbench's own."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def asset(package: str, name: str) -> Markup:
    """A file of a package, as it is."""
    return Markup(files(package).joinpath(name).read_text(encoding="utf-8"))
