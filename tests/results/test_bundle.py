"""A bundle is enough to rescore and rank, tells nothing of its maker's machine, and shows damage."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Cli

from rsbench.results.bundle import without_places
from rsbench.results.run import Run

BOARDS = [("tiny", "val"), ("far", "last"), ("far", "oracle"), ("tiny", "cv-refit")]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def unpacked(bundle: Path, folder: Path) -> Path:
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    return folder


def boards(cli: Cli, results: Path) -> list[str]:
    """What every board says, but for the hashes of the labels it was made from, and for the ends of intervals: the
    bootstrap draws patients in the order of their names."""
    made = [cli("leaderboard", "--results", results, "--split", name, "--select", rule) for name, rule in BOARDS]
    assert all(board.code == 0 for board in made), made
    return [re.sub(r"(labels_id) \w+|\S+ … \S+", r"\1", " ".join(board.out.split())) for board in made]


def texts(path: Path) -> Iterator[str]:
    """All that a file says: its name, its bytes, and of a parquet, whose pages are compressed, every value."""
    yield path.name
    yield path.read_bytes().decode("latin-1")
    if path.suffix == ".parquet":
        yield pd.read_parquet(path).to_csv()


def test_a_zip_and_a_folder_hold_the_records_and_no_more(cli: Cli, results: Path, tmp_path: Path) -> None:
    (results / "runs" / "junk").mkdir()
    for run in results.glob("runs/*-*"):
        (run / "error.txt").write_text("Traceback")
    done = cli("export", "--results", results, "--out", tmp_path / "all.zip", "ce-", "qlung-*")
    assert (done.code, done.out.split(" in ")[0]) == (0, "3 finished runs")
    assert cli("export", "--results", results, "--out", tmp_path / "all", "ce-", "qlung-*").code == 0
    packed, folder = files(unpacked(tmp_path / "all.zip", tmp_path / "unpacked")), files(tmp_path / "all")
    assert packed.keys() == folder.keys()
    manifest = json.loads(folder.pop("manifest.json"))
    assert manifest["files"] == {name: hashlib.sha256(content).hexdigest() for name, content in folder.items()}
    original = files(results)
    assert all(original[name] == content for name, content in folder.items())  # nothing here tells of the machine
    left_out = {Path(name) for name in original.keys() - folder.keys()}
    left_out = {path for path in left_out if path.parent.name not in ("checkpoints", "embeddings")}
    assert {path.name for path in left_out} == {".lock", "error.txt"}
    assert cli("rescore", "--results", tmp_path / "all.zip").out == cli("rescore", "--results", results).out


def test_boards_of_a_bundle_are_those_of_its_runs(cli: Cli, results: Path, tmp_path: Path) -> None:
    assert cli("export", "--results", results, "--out", tmp_path / "plain").code == 0
    assert boards(cli, tmp_path / "plain") == boards(cli, results)


def test_without_names_everything_still_works(cli: Cli, results: Path, tmp_path: Path) -> None:
    for run in results.glob("runs/*"):
        record = json.loads((run / "data.json").read_text())
        record["datasets"]["tiny"]["notes"] = ["train03.wav: was mended"]
        (run / "data.json").write_text(json.dumps(record))
    bundle, salt = tmp_path / "secret", tmp_path / "salt"
    salt.write_text("5a" * 32)  # the same draws in every test run
    assert cli("export", "--results", results, "--anonymise", "--salt", salt, "--out", bundle).code == 0
    rescored = cli("rescore", "--results", bundle)
    assert (rescored.code, rescored.out) == (0, cli("rescore", "--results", results).out)
    assert boards(cli, bundle) == boards(cli, results)

    names = {name for path in results.glob("runs/*/predictions/*.parquet") for name in _names(path)}
    names |= {name for path in results.glob("runs/*/sketch/*.parquet") for name in pd.read_parquet(path)["recording"]}
    assert {"train03", "test00"} <= names
    assert len(names) > 100
    for name in files(bundle):
        for text in texts(bundle / name):
            assert not [original for original in names if original in text], name


def _names(path: Path) -> set[str]:
    frame = pd.read_parquet(path)
    return set(frame["clip_id"]) | set(frame["recording"]) | set(frame["patient"])


def test_names_are_replaced_one_to_one_in_every_file(cli: Cli, results: Path, tmp_path: Path) -> None:
    """Joined on what is not a name, every original name meets one pseudonym, the same in all runs and files."""
    assert cli("export", "--results", results, "--anonymise", "--out", tmp_path / "secret").code == 0
    meets: set[tuple[str, str, str]] = set()
    key = ["selection", "logit_normal", "logit_crackle", "logit_wheeze", "logit_both", "quality"]
    secret = {(run / "spec.json").read_bytes(): run for run in tmp_path.glob("secret/runs/*")}
    for run in results.glob("runs/*"):
        twin = secret[(run / "spec.json").read_bytes()]
        assert twin.name.rpartition("-")[0] == run.name.rpartition("-")[0]
        assert twin.name != run.name
        for dataset in ("tiny", "far"):
            frames = [Run(path).predictions(dataset) for path in (run, twin)]
            assert not frames[0].duplicated(key).any()
            joined = frames[0].merge(frames[1], on=key, validate="one_to_one")
            assert len(joined) == len(frames[0])
            for kind in ("clip_id", "recording", "patient"):
                pairs = zip(joined[f"{kind}_x"], joined[f"{kind}_y"], strict=True)
                meets |= {(f"{dataset} {kind}", *pair) for pair in pairs}
        record, hidden = (json.loads((path / "data.json").read_text()) for path in (run, twin))
        patients = {original: other for kind, original, other in meets if kind == "tiny patient"}
        groups = [[known["validation_patients"], *known["folds"]] for known in (record, hidden)]
        assert [{patients[name] for name in group} for group in groups[0]] == [set(group) for group in groups[1]]
    for kind in {kind for kind, _, _ in meets}:
        pairs = [(original, other) for known, original, other in meets if known == kind]
        assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
    tiny, far = ({other for kind, _, other in meets if kind == f"{name} patient"} for name in ("tiny", "far"))
    assert not tiny & far  # though "test00" is a patient of both


def test_a_kept_salt_makes_later_exports_match(cli: Cli, results: Path, tmp_path: Path) -> None:
    export = ["export", "--results", results, "--anonymise", "--salt", tmp_path / "ward.salt"]
    assert cli(*export, "--out", tmp_path / "first", "ce-*-s0-*").code == 0
    assert cli(*export, "--out", tmp_path / "later", "ce-").code == 0
    assert cli("export", "--results", results, "--anonymise", "--out", tmp_path / "other", "ce-").code == 0
    salt = (tmp_path / "ward.salt").read_text().strip()
    assert (tmp_path / "ward.salt").stat().st_mode & 0o077 == 0
    assert not any(salt.encode() in content for content in files(tmp_path / "later").values())
    first, later = files(tmp_path / "first"), files(tmp_path / "later")
    del first["manifest.json"]
    assert first.items() <= later.items()

    assert cli("merge", tmp_path / "first", tmp_path / "later", "--results", tmp_path / "board").code == 0
    assert len(list(tmp_path.glob("board/runs/*"))) == 2
    board = ["leaderboard", "--split", "tiny", "--results", tmp_path / "board"]
    assert cli(*board).code == 0
    for stranger in (tmp_path / "other", results):  # of another salt, and of none: patients that cannot be matched
        assert cli("merge", stranger, "--results", tmp_path / "board").code == 0
        refused = cli(*board)
        assert (refused.code, "labels_id" in refused.err) == (2, True)


@pytest.mark.parametrize("content", ["", "password", "g" * 64])
def test_a_file_that_is_no_salt_is_refused(cli: Cli, results: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "salt").write_text(content)
    export = ["export", "--results", results, "--salt", tmp_path / "salt", "--out", tmp_path / "b.zip"]
    refused = cli(*export, "--anonymise")
    assert (refused.code, "is no salt" in refused.err) == (2, True)
    assert "only with --anonymise" in cli(*export).err


def test_places_of_the_makers_machine_stay_there(cli: Cli, results: Path, tmp_path: Path) -> None:
    place = tmp_path / "alice" / "own.pt"
    for run in results.glob("runs/*"):
        spec, data = (json.loads((run / f"{name}.json").read_text()) for name in ("spec", "data"))
        spec["backbone"]["weights"] = str(place)
        data["weights"] |= {"source": str(place), "origin": str(place)}
        (run / "spec.json").write_text(json.dumps(spec))
        (run / "data.json").write_text(json.dumps(data))
    assert cli("export", "--results", results, "--out", tmp_path / "b").code == 0
    content = files(tmp_path / "b")
    assert not any(str(tmp_path).encode() in text for text in content.values())
    specs = [json.loads(text) for name, text in content.items() if name.endswith("spec.json")]
    assert {spec["backbone"]["weights"] for spec in specs} == {"own.pt"}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/alice/own.pt", "own.pt"),
        ("~/own.pt", "own.pt"),
        ("../../alice/own.pt", "own.pt"),
        ("C:\\Users\\alice\\own.pt", "own.pt"),
        ("\\\\ward\\alice\\own.pt", "own.pt"),
        ("weights/own.pt", "weights/own.pt"),
        ("hf-hub:MIT/ast-finetuned", "hf-hub:MIT/ast-finetuned"),
        ("https://github.com/fschmid56/EfficientAT", "https://github.com/fschmid56/EfficientAT"),
        ("timm:resnet18", "timm:resnet18"),
    ],
)
def test_only_what_tells_of_a_machine_is_shortened(text: str, kept: str) -> None:
    assert without_places({"a": [text, 1, None]}) == {"a": [kept, 1, None]}


@settings(max_examples=200)
@given(st.text("ab/.~:\\ ", max_size=8))
def test_no_folder_is_left_of_what_was_shortened(text: str) -> None:
    kept = without_places(text)
    assert text.endswith(kept)
    assert without_places(kept) == kept
    assert kept == text or not set(kept) & set("/\\")


def test_what_cannot_be_exported_is_explained(cli: Cli, results: Path, tmp_path: Path) -> None:
    victim = next(results.glob("runs/ce-*s0-*"))
    export = ["export", "--results", results, "--out", tmp_path / "b.zip"]
    assert "focal: no run in" in cli(*export, "focal").err
    (victim / "status.json").write_text('{"state": "interrupted"}')
    assert "none of these 1 runs is finished" in cli(*export, victim.name).err
    done = cli(*export, "ce-")
    assert done.out.startswith("1 finished runs in")
    assert done.out.endswith("(1 unfinished left out)\n")
    assert "is there already" in cli(*export).err
    (next(results.glob("runs/ce-*s1-*")) / "metrics.json").unlink()
    damaged = cli("export", "--results", results, "--out", tmp_path / "c.zip", "ce-")
    assert (damaged.code, "metrics.json: is missing" in damaged.err) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.zip", "results"]  # no half of a bundle
    others = cli("export", "--results", results, "--out", tmp_path / "c.zip")
    assert (others.code, "left out: " in others.err, "metrics.json: is missing" in others.err) == (1, True, True)
    assert cli("rescore", "--results", tmp_path / "c.zip").code == 0


@pytest.fixture
def bundle(cli: Cli, results: Path, tmp_path: Path) -> Path:
    assert cli("export", "--results", results, "--out", tmp_path / "alice", "ce-").code == 0
    return tmp_path / "alice"


def changed(bundle: Path) -> None:
    path = next(bundle.glob("runs/*/metrics.json"))
    path.write_text(path.read_text().replace("1", "2", 1))


def removed(bundle: Path) -> None:
    next(bundle.glob("runs/*/sketch/*.parquet")).unlink()


def added(bundle: Path) -> None:
    next(bundle.glob("runs/*")).joinpath("origin.json").write_text("{}")


def newer(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"format": 99, "rsbench": "9.0"}))


def illegible(bundle: Path) -> None:
    (bundle / "manifest.json").write_text('{"files": 3}')


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (changed, "metrics.json was changed"),
        (removed, ".parquet is missing"),
        (added, "origin.json was added"),
        (newer, "made by a newer rsbench, 9.0"),
        (illegible, "manifest.json cannot be read"),
    ],
)
def test_a_bundle_that_is_not_its_manifest_is_refused(
    cli: Cli, bundle: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(bundle)
    for command in (["rescore", "--results", bundle], ["merge", bundle, "--results", tmp_path / "board"]):
        done = cli(*command)
        assert (done.code, said in done.err) == (2, True), done.err
    assert not (tmp_path / "board").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"a letter"])
def test_what_is_no_zip_is_refused(cli: Cli, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    done = cli("rescore", "--results", tmp_path / "a.zip")
    assert (done.code, "is no zip" in done.err) == (2, True)
    assert "no such folder or bundle" in cli("rescore", "--results", tmp_path / "b.zip").err


def test_a_strangers_zip_writes_nothing_outside(cli: Cli, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../outside", "x")
        archive.writestr(str(tmp_path / "absolute"), "x")
    done = cli("merge", tmp_path / "a.zip", "--results", tmp_path / "board")
    assert (done.code, "has no manifest.json" in done.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
