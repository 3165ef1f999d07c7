"""BibTeX that a parser of others reads, complete for whatever is registered."""

from __future__ import annotations

import json
import re
import shutil
from importlib import resources
from pathlib import Path

import on_disk
import pytest
import yaml
from pybtex.database import BibliographyData, Entry, parse_string
from tiny import PROJECT, TINY_PLUGIN, Cli

from rsbench.core.backbone import BACKBONES
from rsbench.core.errors import PluginError, ResultsError
from rsbench.core.loss import LOSSES
from rsbench.core.plugins import discover, is_built_in
from rsbench.data.datasets import DATASETS
from rsbench.report.cite import AUTHOR, ROOMS, TITLE, bibliography
from rsbench.results.run import Run

discover()
PUBLISHED = [
    (registry.kind, name, registry.entry(name).paper)
    for registry in (LOSSES, BACKBONES, DATASETS)
    for name in registry.names()
    if registry.entry(name).paper and is_built_in(registry.entry(name))
]


@pytest.fixture
def run(runs_to_read: Path, tmp_path: Path) -> Run:
    """A run that a test may change."""
    source = next(runs_to_read.glob("runs/ce-tiny-s0-*"))
    return Run(Path(shutil.copytree(source, tmp_path / "runs" / source.name)))


def rest_on(run: Run, **changes: object) -> Run:
    """Let a run's record say that it rests on something else: `loss` its loss, and fields of data.json."""
    spec, data = on_disk.read(run.path, "spec.json"), on_disk.read(run.path, "data.json")
    if "loss" in changes:
        spec["loss"]["name"] = changes.pop("loss")
    on_disk.write(run.path, "spec.json", spec)
    on_disk.write(run.path, "data.json", data | changes)
    return run


def parsed(text: str) -> BibliographyData:
    return parse_string(text, "bibtex")


def surnames(entry: Entry) -> str:
    return " ".join(" ".join(person.last_names) for person in entry.persons["author"])


@pytest.mark.parametrize(("kind", "name", "paper"), PUBLISHED)
def test_whatever_names_a_paper_has_its_reference(run: Run, kind: str, name: str, paper: str) -> None:
    changes = {"loss": name} if kind == "loss" else {"backbone": name} if kind == "backbone" else {}
    if kind == "dataset":
        changes = {"datasets": {name: on_disk.read(run.path, "data.json")["datasets"]["tiny"]}}
    text = bibliography([rest_on(run, **changes)])
    block = re.search(rf"^% {kind} {name}\n(@.+?^}})", text, re.MULTILINE | re.DOTALL)
    assert block, f"references.bib beside {kind} '{name}' has no entry for it: {paper}"
    (entry,) = parsed(block[1]).entries.values()
    years = re.findall(r"\b(?:19|20)\d\d\b", paper)
    assert entry.fields["year"] in years
    assert re.match(r"[\w-]+", paper)[0] in surnames(entry)
    assert re.findall(r"arXiv:([\d.]+)", paper) in ([], [entry.fields.get("eprint")])


def test_every_entry_is_whole_and_every_key_is_its_own() -> None:
    texts = [resources.files(room).joinpath("references.bib").read_text() for room in ROOMS]
    whole = parsed("\n".join(texts))  # a key that comes twice is an error
    needed = {"article": ("journal", "volume"), "inproceedings": ("booktitle",), "misc": ()}
    for entry in whole.entries.values():
        for field in ("title", "year", *needed[entry.type]):
            assert entry.fields[field]
        assert entry.persons["author"]
    assert len(whole.entries) == sum(text.count("\n@") for text in texts)


def test_each_reference_comes_once(cli: Cli, runs_to_read: Path) -> None:
    done = cli("cite", "cosface", "qlung", "ce-tiny-s0", "ce-tiny-s1", "--results", runs_to_read)
    assert done.code == 0, done.err
    assert list(parsed(done.out).entries) == ["rsbench", "wang2018cosface", "kim2026qlung"]
    assert "% loss ce: no reference ships with rsbench" in done.out
    assert "% dataset far: no reference ships with rsbench" in done.out
    assert done.out.count("% backbone tiny: comes from a plugin") == 1


def test_one_paper_of_two_losses_is_one_entry(run: Run, tmp_path: Path) -> None:
    other = Run(Path(shutil.copytree(run.path, tmp_path / "other")))
    text = bibliography([rest_on(run, loss="qlung"), rest_on(other, loss="fixed_margin")])
    assert "% loss qlung, loss fixed_margin\n@inproceedings{kim2026qlung," in text
    assert text.count("@inproceedings") == 1


def test_weights_are_cited_with_their_hash_and_what_they_were_fitted_on(run: Run) -> None:
    weights = {"source": "my_ast.pth", "sha256": "0a" * 32, "licence": "MIT", "loaded": 1.0}
    known = {"pretrained_on": ["AudioSet", "LAION-400M", "ImageNet-1k"], "origin": "https://github.com/a/b_c"}
    text = bibliography([rest_on(run, weights=weights | known)])
    entries = parsed(text).entries
    entry = entries["weights_0a0a0a0a"]
    assert entry.fields["url"] == "https://github.com/a/b_c"
    assert entry.fields["title"] == r"Weights my\_ast.pth of tiny"
    assert "0a" * 32 in entry.fields["note"]
    assert {"gemmeke2017audioset", "russakovsky2015imagenet"} <= entries.keys()
    assert "% dataset LAION-400M: no reference ships with rsbench" in text


def test_embeddings_are_cited_as_what_made_them(run: Run) -> None:
    assert "schmid2023efficient" in parsed(bibliography([rest_on(run, backbone="embeddings:mn04")])).entries


def test_a_plugin_brings_its_reference(cli: Cli, run: Run, tmp_path: Path) -> None:
    plugin = Path(shutil.copy(TINY_PLUGIN, tmp_path / "mine.py"))
    entry = "@misc{me2026tiny,\n  author = {Me},\n  title = {Tiny},\n  year = {2026}\n}"
    plugin.with_suffix(".bib").write_text(f"% backbone tiny\n{entry}\n")
    done = cli("cite", run.path, "--plugin", plugin)
    assert done.code == 0, done.err
    assert f"% backbone tiny\n{entry}" in done.out
    assert "comes from a plugin" not in done.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@misc{me, title = {T}}", "nothing says what this entry is of: @misc{me, title = {T}}"),
        ("% los tiny\n@misc{me, title = {T}}", "'% los tiny' is no kind and name. Did you mean 'loss'?"),
    ],
)
def test_a_reference_that_is_of_nothing_is_refused(run: Run, tmp_path: Path, text: str, said: str) -> None:
    plugin = Path(shutil.copy(TINY_PLUGIN, tmp_path / "mine.py"))
    plugin.with_suffix(".bib").write_text(text)
    with pytest.raises(PluginError, match=re.escape(said)):
        bibliography([run], [str(plugin)])


@pytest.mark.parametrize("plugin", ["nowhere.py", "nowhere.at_all", "nowhere"])
def test_a_plugin_that_is_not_there_is_one_message(run: Run, plugin: str) -> None:
    with pytest.raises(PluginError, match=f"--plugin {plugin}: there is no such"):
        bibliography([run], [plugin])


def test_a_run_that_knows_nothing_yet_is_one_message(cli: Cli, tmp_path: Path) -> None:
    Run(tmp_path / "runs" / "ce-tiny-s0-0123456789").folder.set_status("failed", message="no recordings")
    done = cli("cite", "ce-tiny", "--results", tmp_path)
    assert done.code == 2
    assert "has no data.json" in done.err
    with pytest.raises(ResultsError):
        bibliography([Run(tmp_path / "runs" / "ce-tiny-s0-0123456789")])


def test_rsbench_is_cited_as_its_own_file_says(run: Run) -> None:
    wanted = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    assert wanted["title"] == TITLE
    assert [author["name"] for author in wanted["authors"]] == [AUTHOR]
    note = parsed(bibliography([run])).entries["rsbench"].fields["note"]
    assert wanted["license"] in note
    assert json.loads((run.path / "env.json").read_text())["code_version"] in note
