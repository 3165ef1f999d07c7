"""BibTeX for what runs rest on.

References stand beside the code that they are of, one file per room, `references.bib`; those of a plugin in a .bib of
its name. Above each entry a comment says what it is of: `% loss qlung, loss fixed_margin`. So nothing has to be
imported to cite a run, and a file of references is itself BibTeX.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from .. import __version__
from ..core.errors import PluginError, ResultsError, did_you_mean
from ..results.run import Run
from ..results.schema import WeightsUsed

ROOMS = ("rsbench.losses", "rsbench.backbones", "rsbench.data")
FILE = "references.bib"
KINDS = ("loss", "backbone", "dataset")  # as their registries call them, in the order of the bibliography

# As in CITATION.cff, which an installed rsbench does not have.
AUTHOR = "The rsbench authors"
TITLE = "rsbench: losses and backbones for respiratory sounds, compared honestly"

Topic = tuple[str, str]  # what an entry is of: its kind, its name


@dataclass(frozen=True)
class Rests:
    """What a run rests on. plugins: those of the topics that a plugin brought. weights: as in its data.json."""

    topics: tuple[Topic, ...]
    plugins: frozenset[Topic]
    weights: WeightsUsed
    backbone: str
    code_version: str


def bibliography(runs: Sequence[Run], plugins: Sequence[str] = ()) -> str:
    """BibTeX for all that some runs rest on, every entry once: rsbench, losses, backbones, weights and data.

    What has no reference is named in a comment, with what to do.

    Args:
        runs: in any state, if they came as far as reading their data.
        plugins: files (.py) or modules whose references are wanted as well.

    Raises:
        ResultsError: a run has no record of what it rests on, or a damaged one.
        PluginError: there is no such plugin, or its references cannot be read.
    """
    found = [_rests(run) for run in runs]
    known = _references(plugins)
    topics = sorted({topic: None for rests in found for topic in rests.topics}, key=lambda topic: KINDS.index(topic[0]))
    entries: dict[str, list[Topic]] = {}
    for topic in topics:
        if topic in known:
            entries.setdefault(known[topic], []).append(topic)
    brought = frozenset[Topic]().union(*(rests.plugins for rests in found))
    blocks = [_of_rsbench(sorted({rests.code_version for rests in found}))]
    blocks += [f"% {', '.join(map(' '.join, of))}\n{entry}" for entry, of in entries.items()]
    blocks += dict.fromkeys(_of_weights(rests) for rests in found if rests.weights.source != "none")
    blocks += [_without(topic, by_plugin=topic in brought) for topic in topics if topic not in known]
    return "\n\n".join(blocks) + "\n"


def reference(kind: str, name: str, plugins: Sequence[str] = ()) -> str:
    """BibTeX of one loss, backbone or data set, "" where none is known. Raises PluginError as `bibliography` does."""
    return _references(plugins).get((kind, name), "")


def _rests(run: Run) -> Rests:
    if not run.begun:
        raise ResultsError(f"{run.path}: has no data.json: it failed before it was known what it rests on.")
    data = run.data
    name, _, made_by = data.backbone.partition(":")
    backbone = made_by if name == "embeddings" else name
    fitted_on = [name for name in data.weights.pretrained_on if name != "unknown"]
    topics = [("loss", run.spec.loss.name)] + [("backbone", backbone)] * (data.elsewhere is None)
    topics += [("dataset", name) for name in (*data.datasets, *fitted_on)]
    of_plugins = (key.partition(":") for key in data.identity.plugins)
    return Rests(
        tuple(topics),
        frozenset((kind, name) for kind, _, name in of_plugins),
        data.weights,
        data.backbone,
        run.environment.code_version,
    )


def _references(plugins: Sequence[str]) -> dict[Topic, str]:
    """Topic → its BibTeX entry: those that ship with rsbench, then those of plugins."""
    found: dict[Topic, str] = {}
    for room in ROOMS:
        found |= dict(_parsed(resources.files(room).joinpath(FILE).read_text(encoding="utf-8"), f"{room}/{FILE}"))
    for plugin in (*filter(None, os.environ.get("RSBENCH_PLUGINS", "").split(os.pathsep)), *plugins):
        file = _plugin_file(plugin).with_suffix(".bib")
        if file.is_file():
            found |= dict(_parsed(file.read_text(encoding="utf-8"), str(file)))
    return found


def _plugin_file(plugin: str) -> Path:
    """The source of a plugin, found without importing it. Raises PluginError where there is none."""
    if plugin.endswith(".py"):
        if not Path(plugin).is_file():
            raise PluginError(f"--plugin {plugin}: there is no such file.")
        return Path(plugin)
    try:
        spec = importlib.util.find_spec(plugin)
    except ModuleNotFoundError:  # of a parent package
        spec = None
    if spec is None or not spec.origin:
        raise PluginError(f"--plugin {plugin}: there is no such module.")
    return Path(spec.origin)


def _parsed(text: str, file: str) -> Iterator[tuple[Topic, str]]:
    """The topics of a file of references, and the entry of each. Raises PluginError where an entry names none."""
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        comments = [line for line in lines if line.startswith("%")]
        entry = "\n".join(line for line in lines if not line.startswith("%"))
        if entry:
            topics = [_topic(words, file) for line in comments for words in line.removeprefix("%").split(",")]
            if not topics:
                raise PluginError(
                    f"{file}: nothing says what this entry is of: {lines[0]} Write it above, without an empty line "
                    "between, for example: % loss my_margin"
                )
            yield from ((topic, entry) for topic in topics)


def _topic(words: str, file: str) -> Topic:
    kind, _, name = words.strip().partition(" ")
    if kind not in KINDS or not name:
        raise PluginError(f"{file}: '% {words.strip()}' is no kind and name.{did_you_mean(kind, KINDS)}")
    return kind, name.strip()


def _of_rsbench(versions: Iterable[str]) -> str:
    return _entry(
        "% rsbench",
        "rsbench",
        author=f"{{{AUTHOR}}}",
        title=f"{{{TITLE}}}",
        note=_plain(f"Apache-2.0. Version {__version__}; runs made with {', '.join(versions)}"),
    )


def _of_weights(run: Rests) -> str:
    """Weights are cited by where they are from and their hash: one paper may have many checkpoints."""
    weights = run.weights
    fitted_on = ", ".join(weights.pretrained_on)
    origin = weights.origin
    place = {"url": origin} if origin.startswith("http") else {"howpublished": _plain(origin)}
    return _entry(
        "% weights",
        f"weights_{weights.sha256[:8]}",
        title=_plain(f"Weights {weights.source} of {run.backbone}"),
        **place,
        note=_plain(f"Licence {weights.licence}; fitted on {fitted_on}; sha256 {weights.sha256}"),
    )


def _entry(comment: str, key: str, **fields: str) -> str:
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"{comment}\n@misc{{{key},\n{lines}\n}}"


def _plain(text: str) -> str:
    """Text in which nothing means anything to LaTeX, and no brace ends the field."""
    return re.sub(r"([%&#_$])", r"\\\1", re.sub(r"[{}\\]", " ", text))


def _without(topic: Topic, *, by_plugin: bool) -> str:
    kind, name = topic
    if not by_plugin:
        return f"% {kind} {name}: no reference ships with rsbench"
    return (
        f"% {kind} {name}: comes from a plugin. Put its BibTeX entry under a line '% {kind} {name}' into a .bib file\n"
        "% beside the plugin that has the plugin's name (my_loss.bib for my_loss.py), and add --plugin my_loss.py"
    )
