"""What the site has beside its written pages: commands, signatures, notebooks as pages, and the list of all pages."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import re
import subprocess
import sys
from typing import Any, get_args, get_overloads

from pydantic import BaseModel
from pygments.lexers.shell import BashLexer
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

import rsbench
from rsbench.api.sweep import sweep

EXAMPLES = re.compile(r"\[bold\]Examples?\[/bold\]\n\n(.*?)\n\n\n", flags=re.DOTALL)
LISTED = re.compile(r"^\* `([a-z][a-z-]*)`: .*$", flags=re.MULTILINE)
TOLD = re.compile(r"^(\* `[^`]+`: )(.*)$", flags=re.MULTILINE)
PARAGRAPH = "\n\n"
TITLED = re.compile(r'^```(\w+) title="([^"]+)"$', flags=re.MULTILINE)
CHECKED = re.compile(r"Annotated\[(\w+), FieldInfo\(.*?\]\)\]")  # an option with its bounds
PYTHON = re.compile(r"^```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
HIDDEN = "   :exclude-members: model_config, __new__"  # members that pydantic and Exception bring
# Sections of a docstring, and the fields that they are in reStructuredText. What a data class holds, it is given.
SECTIONS = {"Args:": "param", "Attributes:": "param", "Raises:": "raises"}


def on_source_read(app: Sphinx, page: str, source: list[str]) -> None:
    """The Markdown that a page is made of: as it is written, with what is made from the code put in."""
    text = source[0]
    if str(app.env.doc2path(page)).endswith(".ipynb"):
        text = notebook(text)
    if page == "index":
        text += contents(app.config.pages)
    if page == "commands":
        text += commands()
    if page == "api":
        text = PYTHON.sub(lambda block: f"```{{eval-rst}}\n{reference(block[1])}\n```", text)
    source[0] = TITLED.sub(r"```{code-block} \1\n:caption: \2\n", text)


def on_docstring(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    lines[:] = fields_of(lines)


def on_signature(
    app: Sphinx, what: str, name: str, thing: object, options: object, arguments: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Arguments as one would write them. Those of a spec are left out: `rsbench run --dry-run` prints them."""
    if isinstance(thing, type) and issubclass(thing, BaseModel):
        return "", ""
    shown = re.sub(r"<factory>|<class 'dict'>", "...", arguments or "")
    return CHECKED.sub(r"\1", shown) or None, returned


def fields_of(docstring: list[str]) -> list[str]:
    """A docstring's lines with its sections as fields: `name: text` becomes `:param name: text`."""
    lines: list[str] = []
    field, entry = "", 0
    for line in docstring:
        indent = len(line) - len(line.lstrip())
        if line in SECTIONS:
            field, entry, line = SECTIONS[line], 0, ""
        elif line and not indent:
            field = ""
        elif field and line:
            entry = entry or indent
            line = f":{field} {line.lstrip()}" if indent == entry else line[entry:]
        lines.append(line)
    return lines


def commands() -> str:
    """Every command with its options and examples, from the command line itself."""
    typer = [sys.executable, "-m", "typer", "rsbench.cli", "utils", "docs", "--name", "rsbench"]
    written = subprocess.run(typer, capture_output=True, text=True, check=True).stdout.partition("\n")[2]
    written = TOLD.sub(lambda line: line[1] + line[2].replace("*", r"\*"), written)  # as *.zip is meant
    first, *others = re.split(r"^#+ `rsbench (.+)`$", written, flags=re.MULTILINE)
    sections = {"": first, **dict(zip(others[::2], others[1::2], strict=True))}
    lines: list[str] = []
    for name, section in sections.items():

        def summary(listed: re.Match[str], group: str = name) -> str:
            """A command in the list of its group, where typer cuts its summary off."""
            command = f"{group} {listed[1]}".strip()
            anchor = f"#rsbench-{command.replace(' ', '-')}"
            return f"* [`{listed[1]}`]({anchor}): {sections[command].strip().partition(PARAGRAPH)[0]}"

        heading = f"{'#' * (len(name.split()) + 1)} `rsbench {name}`" if name else ""
        lines += [heading, EXAMPLES.sub(_fenced, LISTED.sub(summary, section) + PARAGRAPH)]
    return "\n\n".join(lines)


def reference(imports: str) -> str:
    """Signatures and docstrings, in reStructuredText, of all names that lines of code import."""
    lines: list[str] = []
    for statement in ast.parse(imports).body:
        assert isinstance(statement, ast.ImportFrom), imports
        for name in (alias.name for alias in statement.names):
            lines += [*_directive(str(statement.module), name), ""]
    return "\n".join(lines)


def _directive(module: str, name: str) -> list[str]:
    thing = getattr(importlib.import_module(module), name)
    if dataclasses.is_dataclass(thing):  # its docstring has the fields
        fields = ", ".join(field.name for field in dataclasses.fields(thing))
        return [f".. autoclass:: {module}.{name}", "   :members:", f"{HIDDEN}, {fields}"]
    if inspect.isclass(thing):
        return [f".. autoclass:: {module}.{name}", "   :members:", "   :show-inheritance:", HIDDEN]
    if get_args(thing):  # a union of words: only its home has a line on it
        return [f".. autodata:: rsbench.{rsbench.HOME_OF[name]}.{name}"]
    if get_overloads(thing):  # which leave the options out
        signature = stringify_signature(inspect.signature(thing), unqualified_typehints=True)
        words = fields_of(str(inspect.getdoc(thing)).splitlines())
        return [f".. py:function:: {name}{signature}", f"   :module: {module}", "", *(f"   {line}" for line in words)]
    return [f".. autofunction:: {module}.{name}"]


def notebook(text: str) -> str:
    """A notebook as a page: its words, and its code in blocks."""
    told = ((cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"])
    return "\n\n".join(f"```python\n{source}\n```" if kind == "code" else source for kind, source in told)


def contents(pages: dict[str, list[str]]) -> str:
    """All pages, by what they are for."""
    trees = (["", "```{toctree}", ":hidden:", f":caption: {use}", "", *of, "```", ""] for use, of in pages.items())
    return "\n".join(line for tree in trees for line in tree)


def _fenced(examples: re.Match[str]) -> str:
    lines = [line for line in examples[1].splitlines() if line]
    return "\n".join(["**Examples**:", "", "```console", *lines, "```", "", ""])


def setup(app: Sphinx) -> dict[str, Any]:
    rsbench.sweep = sweep  # the function, whose signature says more than the room that can be called
    app.add_config_value("pages", {}, "env")
    app.add_lexer("csv", TextLexer)
    app.add_lexer("console", BashLexer)  # commands without a prompt are commands, not the output of one
    app.connect("source-read", on_source_read)
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("autodoc-process-signature", on_signature)
    app.connect("env-get-outdated", lambda *_: ["commands", "api"])  # the code may have changed
    return {"parallel_read_safe": True}
