"""The zips of strangers: each is unpacked into its folder or refused in one message, and writes nothing elsewhere."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mutations import mutated, teaches

from rsbench.results.bundle import opened
from rsbench.results.run import load_runs

RUN = "runs/ce-cnn6-s0-0123456789"
FILES = {f"{RUN}/status.json": b'{"state": "done"}', f"{RUN}/predictions/tiny.parquet": b"PAR1" * 100}


def manifest(files: dict[str, bytes]) -> bytes:
    listed = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return json.dumps({"format": 1, "rsbench": "0.1.0", "files": listed}).encode()


def packed(
    files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, listed: dict[str, bytes] | None = None
) -> bytes:
    """A bundle with an honest manifest, or with that of other files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.writestr("manifest.json", manifest(files if listed is None else listed))
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def read(path: Path) -> None:
    with opened(path) as (folder, _):
        load_runs(folder)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_honest_bundle_is_read(tmp_path: Path, method: int) -> None:
    (tmp_path / "a.zip").write_bytes(packed(FILES, method))
    assert teaches(lambda: read(tmp_path / "a.zip")) is None


def flagged(content: bytes, offset: int, value: int) -> bytes:
    """The directory's entry of every member with another number at an offset (the format: PKWARE's APPNOTE, 4.3.12)."""
    damaged, start = bytearray(content), content.find(b"PK\1\2")
    while start >= 0:
        damaged[start + offset] = value
        start = content.find(b"PK\1\2", start + 1)
    return bytes(damaged)


def linked(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("manifest.json", manifest({name: b"/etc/passwd"}))
        member = zipfile.ZipInfo(name)
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    return content.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def twice(name: str) -> bytes:
    content = io.BytesIO(packed(FILES))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr(name, "again")
    return content.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: flagged(packed(FILES), 8, 1), "is encrypted"),
        (lambda: flagged(packed(FILES), 10, 93), "method that is not known here (93)"),
        (lambda: linked(f"{RUN}/status.json"), "is a link"),
        (lambda: twice(f"{RUN}/status.json"), "holds 'runs/ce-cnn6-s0-0123456789/status.json' twice"),
        (lambda: packed({f"{RUN}/status.json": bytes(20_000_000)}), "would unpack"),
        (lambda: packed({f"{RUN}/{'a/' * 2000}b.json": b"{}"}), "is no file of a run"),
        (lambda: packed({f"{RUN}/../../../outside/status.json": b"{}"}), "is no file of a run"),
        (lambda: packed({f"{RUN}/predictions/../../x.parquet": b"{}"}), "is no file of a run"),
        (lambda: packed({"runs/\x1b[2J/status.json": b"{}"}), r"'runs/\u001b[2J/status.json' in it is no file"),
        (lambda: packed(FILES, listed={"../outside": b""}), "lists '../outside', which is no file of a run"),
        (lambda: packed(FILES, listed={f"{RUN}/status.json": b""}), "tiny.parquet was added"),
        (lambda: packed({}, listed=FILES), "is missing"),
        (lambda: packed(FILES, listed=FILES | {f"{RUN}/status.json": b""}), "status.json was changed"),
        (lambda: packed({}), "lists no file of any run"),
    ],
)
def test_a_hostile_bundle_is_refused_in_one_message(tmp_path: Path, make: Callable[[], bytes], said: str) -> None:
    path = tmp_path / "in" / "a.zip"
    path.parent.mkdir()
    path.write_bytes(make())
    message = teaches(lambda: read(path), [str(path)])
    assert message
    assert said in message
    assert sorted(tmp_path.rglob("*")) == [path.parent, path]


def test_what_a_manifest_does_not_list_beside_the_runs_stays_packed(tmp_path: Path) -> None:
    """An archive that was packed again on a Mac, say."""
    content = io.BytesIO(packed(FILES))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("__MACOSX/._manifest.json", "x")
        archive.writestr("../outside", "x")
    (tmp_path / "a.zip").write_bytes(content.getvalue())
    with opened(tmp_path / "a.zip") as (folder, _):
        assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "runs"]
        assert not (folder.parent / "outside").exists()


def test_a_damaged_bundle_is_read_or_named(
    tmp_path: Path, generators: Iterator[random.Random], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "unpacked"
    inside.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(inside))
    path, honest = tmp_path / "a.zip", packed(FILES)
    tokens = (b"../", b"/", b"\0", b"PK\1\2", b"PK\3\4", b"PK\5\6", b"\xff" * 4, b"\x1b[2J", b"[" * 50_000, b"1e999")
    for generator in generators:
        if generator.random() < 0.4:  # an honest zip of a damaged manifest
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w") as archive:
                archive.writestr("manifest.json", mutated(manifest(FILES), generator, tokens))
                for name, data in FILES.items():
                    archive.writestr(name, data)
            path.write_bytes(content.getvalue())
        else:
            path.write_bytes(mutated(honest, generator, tokens))
        teaches(lambda: read(path), [str(path)])
        assert list(inside.iterdir()) == []
    assert sorted(tmp_path.iterdir()) == [path, inside]
    shutil.rmtree(inside)
