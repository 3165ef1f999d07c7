"""What the site has beside its pages: commands, notebooks as pages, and the project's own files that pages link to."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

# A page names a file of the project as it lies from docs/, so that the link works in a checkout as well.
OF_THE_PROJECT = re.compile(r"\]\(\.\./([^)#]+)")
EXAMPLES = re.compile(r"\[bold\]Examples?\[/bold\]\n\n(.*?)\n\n\n", flags=re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what does not lie in docs/. Raises PluginError for a link to a file that the project has not."""
    project = Path(config.config_file_path).parent
    linked = {
        name: page for page in files.documentation_pages() for name in OF_THE_PROJECT.findall(page.content_string)
    }
    for name, page in linked.items():
        if not (project / name).is_file():
            raise PluginError(f"docs/{page.src_uri} links to ../{name}, and there is no such file.")
        files.append(File.generated(config, name, abs_src_path=str(project / name)))
    files.append(File.generated(config, "commands.md", content=commands()))
    for path in Path(config.docs_dir).glob("*.ipynb"):
        files.append(File.generated(config, f"{path.stem}.md", content=notebook(path.read_text(encoding="utf-8"))))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links to the project's files, as they lie in the site."""
    return OF_THE_PROJECT.sub(r"](\1", markdown)


def commands() -> str:
    """Every command with its options and examples, from the command line itself."""
    typer = [sys.executable, "-m", "typer", "rsbench.cli", "utils", "docs", "--name", "rsbench", "--title", "Commands"]
    written = subprocess.run(typer, capture_output=True, text=True, check=True).stdout + "\n\n"
    return EXAMPLES.sub(_fenced, written)


def notebook(text: str) -> str:
    """A notebook as a page: its words, and its code in blocks."""
    told = ((cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"])
    return "\n\n".join(f"```python\n{source}\n```" if kind == "code" else source for kind, source in told)


def _fenced(examples: re.Match[str]) -> str:
    lines = [line for line in examples[1].splitlines() if line]
    return "\n".join(["**Examples**:", "", "```console", *lines, "```", "", ""])
