"""Studies as YAML: what is expanded, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import PROJECT

from rsbench.core.errors import SpecError
from rsbench.experiment.context import make_context, make_spec
from rsbench.sweep.spec import SweepSpec, cells, load_sweep

STUDY: dict[str, Any] = {
    "name": "mine",
    "purpose": "to see",
    "base": {"train": "tiny", "epochs": 2},
    "grid": {"loss": ["ce", "qlung"], "backbone": ["cnn6", {"name": "mn04", "weights": "audioset"}]},
    "seeds": "0-2",
}
TUNED = {"track": "tuned", "search": {"trials": 3, "space": {"optim.lr": {"low": 1e-4, "high": 1e-2}}}}


def load(tmp_path: Path, changes: dict[str, Any] | None = None, **content: Any) -> SweepSpec:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(STUDY | content, sort_keys=False))
    return load_sweep(path, changes)


def test_the_grid_is_every_combination(tmp_path: Path) -> None:
    sweep = load(tmp_path)
    found = cells(sweep)
    assert [cell.name for cell in found] == ["ce · cnn6", "ce · mn04", "qlung · cnn6", "qlung · mn04"]
    assert found[1].settings == {
        "data.train": "tiny",
        "optim.epochs": 2,
        "loss.name": "ce",
        "backbone.name": "mn04",
        "backbone.weights": "audioset",
    }
    assert sweep.seeds == (0, 1, 2)


def test_a_row_may_set_several_keys_under_a_label(tmp_path: Path) -> None:
    rows = [{"label": "no margin", "loss.by_class": "none", "quality.control": "constant"}, {"loss.gamma": 0.2}]
    found = cells(load(tmp_path, base={"loss": "qlung"}, grid={"row": rows}))
    assert [cell.name for cell in found] == ["no margin", "loss.gamma 0.2"]
    assert found[0].settings == {"loss.name": "qlung", "loss.by_class": "none", "quality.control": "constant"}


def test_a_key_of_the_file_can_be_changed(tmp_path: Path) -> None:
    changes = {"seeds": "7", "base.optim.lr": 0.5, "grid.loss": ["ce"], "resources.threads": 4}
    sweep = load(tmp_path, changes)
    assert (sweep.seeds, sweep.resources.threads) == ((7,), 4)
    assert {cell.settings["optim.lr"] for cell in cells(sweep)} == {0.5}
    assert len(cells(sweep)) == 2
    tuned = load(tmp_path, {"search.space.optim.lr": {"low": 1, "high": 2}}, **TUNED, confirm={"seeds": 3})
    assert tuned.search is not None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"gird": {}}, r"gird: a study has no such key\. Did you mean 'grid'"),
        ({"name": "My study"}, "name: String should match"),
        ({"grid": {}}, "grid: every key needs at least one value"),
        ({"grid": {"loss": []}}, "grid: every key needs at least one value"),
        ({"grid": {"seed": [1]}}, "grid.seed: seeds stand beside the grid"),
        ({"seeds": "4-2"}, "seeds: the seeds '4-2': the range is empty"),
        ({"seeds": None}, "seeds: Input should be a valid tuple"),
        ({"seeds": "0-2000000000"}, "more than 10,000 seeds"),
        ({"grid": {"loss": ["ce", "ce"]}}, "two rows are called 'ce'"),
        ({"grid": {f"optim.{name}": list(range(10)) for name in "abcdef"}}, "these are 3,000,000 runs"),
        ({"base": {"optim": {"lr\n": 1}}}, "no such key"),
        ({"track": "tuned"}, "track: tuned needs search and confirm"),
        (TUNED, "track: tuned needs search and confirm"),
        ({**TUNED, "confirm": {"seeds": [1000]}}, "confirm.seeds: 1000 is the seed that the search chooses on"),
        ({"search": {"trails": 3}}, r"search.trails: a study has no such key\. Did you mean 'trials'"),
        ({"search": {"trials": 3, "space": {"optim.lr": {"low": 1, "high": 0.1}}}}, "low must be below high"),
        ({"search": {"trials": 3, "space": {"optim.lr": {"low": 1, "hi": 2}}}}, "search.space.optim.lr"),
        ({"resources": {"threads": 0}}, "resources.threads: Input should be greater"),
        ({"limits": {"hour": 1}}, r"limits.hour: a study has no such key\. Did you mean 'hours'"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said) as raised:
        load(tmp_path, **content)
    assert "mine.yaml" in str(raised.value)


@pytest.mark.parametrize("key", ["name.x", "seeds.0", "base", "grid.loss.x"])
def test_a_change_that_fits_no_key_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(SpecError, match=key.partition(".")[0]):
        load(tmp_path, {key: 5})


def test_files_that_are_no_study_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such file"):
        load_sweep(tmp_path / "nowhere.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    with pytest.raises(SpecError, match="holds no mapping"):
        load_sweep(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("name: [")
    with pytest.raises(SpecError, match="cannot be read as YAML"):
        load_sweep(tmp_path / "broken.yaml")


@pytest.mark.parametrize("path", sorted((PROJECT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_that_is_shipped_is_one(path: Path, tmp_path: Path) -> None:
    opening = path.read_text(encoding="utf-8").splitlines()[:12]
    for word in ("# Asks:", "# Costs:", "# Expect:"):
        assert any(line.startswith(word) for line in opening), word
    sweep = load_sweep(path)
    assert sweep.name == path.stem
    context = make_context((), tmp_path, device="cpu", quiet=True)
    for cell in cells(sweep):
        make_spec(cell.settings, context)
