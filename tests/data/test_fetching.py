"""`rsbench data get`, from a server of our own: what it brings, resumes, refuses, checks and writes down."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from file_server import EXPIRED, Files, serving_files
from tiny import Cli, write_own_dataset

from rsbench import ClipTable, register_dataset
from rsbench.core.downloads import DownloadError, bring_url
from rsbench.data import fetching
from rsbench.data.datasets import DATASETS, Dataset
from rsbench.data.folder import read_folder
from rsbench.data.publication import Archive, Publication
from rsbench.data.splits import SPLITS

Get = Callable[..., tuple[int, str, str]]


@pytest.fixture
def files() -> Iterator[Files]:
    with serving_files() as running:
        yield running


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    """A data set as it is packed: below a folder, with what a Mac adds, its recordings in an archive of their own."""
    folder = write_own_dataset(tmp_path / "packed", {"train": 2, "test": 1})
    inner = zipped({path.name: path.read_bytes() for path in folder.glob("*.wav")})
    return zipped({
        "shelf-1/sounds.zip": inner,
        "shelf-1/clips.csv": (folder / "clips.csv").read_bytes(),
        "shelf-1/Detection/copy.wav": b"not taken",
        "__MACOSX/shelf-1/._clips.csv": b"",
    })  # fmt: skip


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def shelf(files: Files, archive: bytes) -> Iterator[None]:
    """The data set "shelf", published on the server."""
    files.content["shelf.zip"] = archive
    publication = Publication(
        "https://shelf.example/page", "CC BY 4.0", (Archive(f"{files.url}/shelf.zip", "shelf.zip"),), "shelf-1/[^/]+"
    )
    with DATASETS.scoped(), SPLITS.scoped():

        @register_dataset("shelf", summary="for tests", publication=publication)
        def read(root: Path) -> ClipTable:
            return read_folder(root / "shelf-1", "shelf")

        yield


@pytest.fixture
def get(cli: Cli, tmp_path: Path, shelf: None) -> Get:
    """`get("--yes")`: exit code, standard output and standard error, each in one line."""

    def call(*options: str, dataset: str = "shelf") -> tuple[int, str, str]:
        done = cli("data", "get", dataset, "--root", tmp_path / "root", "--quiet", *options)
        return done.code, " ".join(done.out.split()), " ".join(done.err.split())

    return call


def published_at(name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first archive of a data set be published at another place."""
    entry = DATASETS.entry(name)
    publication = entry.value.publication
    assert publication is not None
    first, *others = publication.archives
    moved = replace(publication, archives=(replace(first, url=url), *others))
    dataset = Dataset(entry.value.read, entry.value.defaults, entry.value.edition_of, entry.value.lies_in, moved)
    monkeypatch.setitem(DATASETS._entries, name, replace(entry, value=dataset))


def test_it_is_fetched_unpacked_checked_and_written_down(
    get: Get, files: Files, archive: bytes, tmp_path: Path
) -> None:
    code, out, _ = get("--yes")
    assert code == 0
    assert "Licence: CC BY 4.0" in out
    assert "its sha256 is not pinned: what is in it is checked" in out
    sha256 = hashlib.sha256(archive).hexdigest()
    assert f"shelf.zip: sha256 {sha256} (not pinned; written down)" in out
    assert f"shelf: 3 recordings in {tmp_path}/root/shelf. No list of the published names is known" in out
    folder = tmp_path / "root" / "shelf"
    assert sorted(path.name for path in (folder / "shelf-1").iterdir()) == [
        "clips.csv", "test00.wav", "train00.wav", "train01.wav",
    ]  # fmt: skip
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    written = json.loads((folder / "shelf.download.json").read_text())
    assert written["archives"] == [
        {"url": f"{files.url}/shelf.zip", "file": "shelf.zip", "sha256": sha256, "sha256_published": None}
    ]
    assert (written["recordings"], written["missing"], written["names_compared"]) == (3, 0, False)


def test_what_is_there_is_not_fetched_again_and_never_written_over(get: Get, files: Files, tmp_path: Path) -> None:
    table = tmp_path / "root/shelf/shelf-1/clips.csv"
    table.parent.mkdir(parents=True)
    table.write_text("mine")
    get("--yes")
    assert table.read_text() == "mine"
    table.unlink()
    assert get("--yes")[0] == 0
    assert len(files.asked) == 1  # the archive still lay there
    code, out, _ = get()  # and now nothing has to be asked
    assert code == 0
    assert "It is there: nothing has to be fetched." in out


def test_a_dry_run_says_all_and_does_nothing(get: Get, files: Files, tmp_path: Path) -> None:
    code, out, _ = get("--dry-run")
    assert code == 0
    assert f"Archive: {files.url}/shelf.zip" in out
    assert f"Folder: {tmp_path}/root/shelf" in out
    assert "It is not there yet." in out
    assert files.asked == []
    assert not (tmp_path / "root").exists()


def test_where_nobody_can_answer_nothing_is_fetched(get: Get, files: Files) -> None:
    code, _, err = get()
    assert code == 2
    assert "nobody can answer here. Say --yes" in err
    assert files.asked == []


def test_a_download_that_broke_off_goes_on_where_it_was(get: Get, files: Files, archive: bytes) -> None:
    files.breaks_at = 20_000
    code, _, err = get("--yes")
    assert code == 2
    assert f"{files.url}/shelf.zip cannot be downloaded" in err
    assert get("--yes")[0] == 0
    assert files.asked == ["", f"bytes={2 * 2**13}-"]


def test_an_interrupt_says_that_the_command_goes_on(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "bring_url", interrupted)
    code, _, err = get("--yes")
    assert code == 130
    assert "goes on with what it had downloaded" in err


@pytest.mark.parametrize("change", ["another version", "no parts", "nothing to tell versions by"])
def test_a_download_begins_anew_where_it_cannot_go_on(files: Files, change: str, tmp_path: Path) -> None:
    first, second = bytes(range(256)) * 80, bytes(reversed(range(256))) * 80
    files.content["a.bin"], files.breaks_at = first, 10_000
    files.tag = "" if change.startswith("nothing") else files.tag
    with pytest.raises(DownloadError):
        bring_url(f"{files.url}/a.bin", tmp_path / "a.bin", quiet=True)
    files.content["a.bin"] = second
    files.tag = '"second"' if change == "another version" else files.tag
    files.whole = change == "no parts"
    assert bring_url(f"{files.url}/a.bin", tmp_path / "a.bin", quiet=True).read_bytes() == second
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_all_of_it_had_come_before_it_was_stopped(files: Files, tmp_path: Path) -> None:
    files.content["a.bin"] = content = b"sound" * 1000
    (tmp_path / ".a.bin.part").write_bytes(content)
    (tmp_path / ".a.bin.part.json").write_text(json.dumps({"url": f"{files.url}/a.bin", "told": files.tag}))
    assert bring_url(f"{files.url}/a.bin", tmp_path / "a.bin", quiet=True).read_bytes() == content
    assert files.asked == ["bytes=5000-", ""]


def test_without_a_network_it_says_what_to_do_by_hand(
    get: Get, tmp_path: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    published_at("shelf", "http://127.0.0.1:9/shelf.zip", monkeypatch)
    code, _, err = get("--yes")
    assert code == 2
    assert "http://127.0.0.1:9/shelf.zip cannot be downloaded" in err
    place = tmp_path / "root/shelf/shelf.zip"
    assert f"from http://127.0.0.1:9/shelf.zip or https://shelf.example/page, put it at {place}, and then give" in err
    place.write_bytes(archive)
    assert get("--yes")[0] == 0


def test_an_expired_certificate_is_said_and_not_passed_over(
    get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(EXPIRED))  # trusted, were it not for its age
    with serving_files(expired=True) as server:
        server.content["ICBHI_final_database.zip"] = b"never sent"
        published_at("icbhi", f"{server.url}/ICBHI_final_database.zip", monkeypatch)
        code, out, err = get("--yes", dataset="icbhi")
    assert code == 2
    assert (
        "the server's certificate is not valid (certificate has expired), and rsbench never turns this check off" in err
    )
    assert "The certificate of its server has expired before." in err
    assert f"put it at {tmp_path}/root/icbhi/ICBHI_final_database.zip" in err
    assert "Rocha" in out  # what to cite
    assert server.asked == []


def test_another_archive_than_the_published_one(get: Get, files: Files, tmp_path: Path) -> None:
    entry = DATASETS.entry("shelf")
    pinned = Archive(f"{files.url}/shelf.zip", "shelf.zip", "0" * 64)
    object.__setattr__(entry.value, "publication", replace(entry.value.publication, archives=(pinned,)))
    assert f"gave another file than the one published (sha256 {'0' * 64})" in get("--yes")[2]
    place = tmp_path / "root/shelf/shelf.zip"
    assert not place.exists()
    place.write_bytes(b"by hand")
    assert (
        f"{place}: has the sha256 {hashlib.sha256(b'by hand').hexdigest()}, and {'0' * 64} was published"
        in get("--yes")[2]
    )


@pytest.mark.parametrize(("content", "said"), [
    (b"PK no archive", "cannot be unpacked (File is not a zip file). Remove it"),
    (zipped({"other/a.wav": b""}), "holds no file of the data set"),
    (zipped({"shelf-1/..": b"x"}), "would be unpacked outside of its folder (shelf-1/..)"),
])  # fmt: skip
def test_an_archive_that_cannot_be_used(get: Get, files: Files, content: bytes, said: str, tmp_path: Path) -> None:
    files.content["shelf.zip"] = content
    code, _, err = get("--yes")
    assert code == 2
    assert f"{tmp_path}/root/shelf/shelf.zip: {said}" in err


def test_recordings_are_compared_with_the_catalogue(
    get: Get, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Callable[..., Path]
) -> None:
    """Of SPRSound: one recording that was published, with another sound, and one that never was."""
    annotation = json.dumps({
        "record_annotation": "Normal", "event_annotation": [{"start": "0", "end": "900", "type": "Normal"}],
    })  # fmt: skip
    members: dict[str, bytes] = {}
    for seed, name in enumerate(("40069321_15.3_0_p1_981", "40069321_15.3_0_p1_1")):
        members[f"SPRSound-874/BioCAS2022/train2022_json/{name}.json"] = annotation.encode()
        sound = record(tmp_path / f"{name}.wav", seed=seed, rate=8000)
        members[f"SPRSound-874/BioCAS2022/train2022_wav/{name}.wav"] = sound.read_bytes()
        members[f"SPRSound-874/Detection/{name}.wav"] = b"a copy"
    files.content["sprsound.zip"] = zipped(members)
    published_at("sprsound", f"{files.url}/sprsound.zip", monkeypatch)
    code, out, _ = get("--yes", dataset="sprsound")
    assert code == 1
    assert "sprsound: 2 recordings" in out
    assert "Compared with the catalogue by name, and by sound: 0 of 1 agree." in out
    assert "2682 missing: 40069321_15.3_0_p2_982" in out
    assert "1 not published under this name: 40069321_15.3_0_p1_1" in out
    assert "1 not the sound that was published: 40069321_15.3_0_p1_981" in out
    assert not list((tmp_path / "root").glob("**/Detection"))
    written = json.loads((tmp_path / "root/sprsound/sprsound.download.json").read_text())
    assert written["altered"] == ["40069321_15.3_0_p1_981"]
    assert written["missing"] == 2682


def test_every_published_data_set_has_a_place_over_tls() -> None:
    for name in ("icbhi", "sprsound", "sprsound-later", "kauh", "hf_lung", "respiratory_tr"):
        publication = DATASETS.entry(name).value.publication
        assert publication is not None
        assert all(archive.url.startswith("https://") for archive in publication.archives)


@pytest.mark.parametrize(("arguments", "said"), [
    (["synthetic", "--root", "x"], "synthetic: nobody has said where it comes from"),
    (["icbih", "--root", "x"], "There is no dataset 'icbih'. Did you mean 'icbhi'?"),
    (["icbhi"], "--root is missing"),
])  # fmt: skip
def test_bad_usage_is_one_message(
    cli: Cli, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RSBENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    done = cli("data", "get", *arguments, "--yes")
    assert done.code == 2
    assert said in done.err
    assert not list(tmp_path.iterdir())
