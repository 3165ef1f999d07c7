"""`rsbench results pull`: brought whole, pinned, taken up where it was broken off; and `--results public`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from file_server import Files, serving_files
from tiny import Cli

from rsbench.core.display import Display
from rsbench.core.errors import ResultsError, SpecError
from rsbench.publishing.site import manifest_of
from rsbench.results.collection import bundles_in, collect
from rsbench.results.public import list_pulled, pull

QUIET = Display(quiet=True)


@pytest.fixture(scope="module")
def site_files(made_bundles: Path) -> dict[str, bytes]:
    """A site's bundles and its manifest, below boards/."""
    found = collect(bundles_in(made_bundles), QUIET)
    files = {f"boards/bundles/{bundle.name}": bundle.path.read_bytes() for bundle in found.bundles}
    return files | {"boards/results.json": manifest_of(found, None).model_dump_json().encode()}


@pytest.fixture
def server(site_files: dict[str, bytes], cache: Path) -> Iterator[Files]:
    """It is served; the cache is empty."""
    with serving_files() as files:
        files.content |= site_files
        yield files


def digest(files: Files) -> str:
    return hashlib.sha256(files.content["boards/results.json"]).hexdigest()


def changed(files: Files, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads(files.content["boards/results.json"])
    change(manifest)
    files.content["boards/results.json"] = json.dumps(manifest).encode()


def test_what_was_pulled_is_read_as_public_in_every_command(server: Files, cli: Cli, made_bundles: Path) -> None:
    refused = cli("leaderboard", "--split", "synthetic", "--results", "public")
    assert (refused.code, "nothing was pulled yet" in refused.err) == (2, True)
    done = cli("results", "pull", f"{server.url}/boards/")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1] == f"pinned: {server.url}/boards/results.json#sha256={digest(server)}"
    listed = cli("results", "list")
    assert f"{server.url}/boards/results.json#sha256={digest(server)}\n  3 bundles, 3 runs" in listed.out

    board = cli("leaderboard", "--split", "synthetic", "--results", "public", "--format", "csv")
    assert board.code == 0, board.err
    assert "self-reported by alice" in board.out
    assert "bob <script>" in board.out
    shown = cli("show", "ce-cnn6", "--results", "public", "--format", "json")
    assert json.loads(shown.out)["origin"] == "self-reported by alice"
    for command in (["compare", "ce-cnn6", "qlung-cnn6"], ["rescore"]):
        done = cli(*command, "--results", "public")
        assert done.code == 0, done.err


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--loss", "ce", "--backbone", "cnn6"],
        ["score", "calls.csv", "--test", "synthetic", "--method", "mine", "--select", "last"],
        ["merge", "mine.zip"],
        ["sweep", "smoke"],
    ],
    ids=lambda command: command[0],
)
def test_nothing_is_written_there(command: list[str], cli: Cli, cache: Path) -> None:
    done = cli(*command, "--results", "public")
    assert (done.code, "nothing is written there" in done.err) == (2, True), done.err
    assert not cache.exists()


def test_a_bundle_that_differs_from_the_manifest_is_not_kept(server: Files) -> None:
    server.content["boards/bundles/qlung.zip"] += b"more"
    with pytest.raises(
        ResultsError, match=r"qlung\.zip gave another file than the one published.*Give the same command"
    ):
        pull(f"{server.url}/boards/", None, QUIET)
    (here,) = list_pulled()
    assert [bundle.name for bundle in here.missing] == ["qlung.zip", "study/oracle.zip"]


def test_a_pull_that_was_broken_off_goes_on(server: Files, cli: Cli) -> None:
    url = f"{server.url}/boards/"
    first = server.content["boards/results.json"]

    class Breaking(dict[str, bytes]):
        """Whoever asks for ce.zip first gets no more than its beginning."""

        broke = False

        def get(self, name: str, default: Any = None) -> Any:
            if name.endswith("ce.zip") and not self.broke:
                self.broke, server.breaks_at = True, 10_000
            return super().get(name, default)

    server.content = Breaking(server.content)
    with pytest.raises(ResultsError, match="it goes on where it was stopped"):
        pull(url, None, QUIET)
    refused = cli("rescore", "--results", "public")
    assert refused.code == 2
    assert f"3 of 3 bundles of {server.url}/boards/results.json are not there yet" in refused.err
    asked = len(server.asked)
    pulled = pull(url, None, QUIET)
    assert not pulled.missing
    assert server.asked[asked:] == ["", "bytes=8192-", "", ""]  # what had come in whole pieces
    assert (pulled.folder / "results.json").read_bytes() == first


def test_the_first_pull_pins_and_another_manifest_is_refused(server: Files) -> None:
    url = f"{server.url}/boards/results.json"
    before = pull(url, None, QUIET)
    assert pull(url, None, QUIET) == before
    changed(server, lambda manifest: manifest["bundles"].pop(0))
    with pytest.raises(ResultsError, match="is not what it was when it was pulled first") as raised:
        pull(url, None, QUIET)
    (here,) = list_pulled()
    assert (here.sha256, here.missing) == (before.sha256, [])
    remedy = str(raised.value).rpartition("rsbench results pull ")[2]
    assert remedy == f"{url}#sha256={digest(server)}"
    after = pull(remedy, None, QUIET)
    assert [bundle.name for bundle in after.manifest.bundles] == ["qlung.zip", "study/oracle.zip"]
    assert not (after.folder / "bundles" / "ce.zip").exists()
    with pytest.raises(ResultsError, match=f"and {before.sha256} was asked for. Nothing was brought"):
        pull(url, before.sha256, QUIET)


def test_what_is_there_under_its_hash_needs_no_network(server: Files) -> None:
    pulled = pull(f"{server.url}/boards/", digest(server), QUIET)
    server.asked.clear()
    assert pull(f"{server.url}/boards/#sha256={pulled.sha256}", None, QUIET) == pulled
    assert server.asked == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest["bundles"][0].update(name="../../up.zip"), "bundles.0.name"),
        (lambda manifest: manifest["bundles"][0].update(name="/etc/up.zip"), "bundles.0.name"),
        (lambda manifest: manifest["bundles"][0].update(sha256="abc"), "bundles.0.sha256"),
        (lambda manifest: manifest.update(format=2), "made by a newer rsbench"),
        (lambda manifest: manifest.pop("bundles"), "bundles: Field required"),
    ],
)
def test_a_manifest_that_is_none_brings_nothing(
    change: Callable[[dict[str, Any]], object], message: str, server: Files, cache: Path
) -> None:
    changed(server, change)
    with pytest.raises(ResultsError, match=message):
        pull(f"{server.url}/boards/", None, QUIET)
    assert not list(cache.rglob("*.zip"))
    assert not list_pulled()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("results.json", "is no address of a site"),
        ("file:///tmp/results.json", "is no address of a site"),
        ("https://example.org/#md5=1", "must be sha256=HEX"),
        ("https://example.org/#sha256=1", "has 64 digits"),
    ],
)
def test_an_address_that_is_none_is_named(url: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        pull(url, None, QUIET)


def test_a_server_without_a_site_is_one_message(server: Files, cli: Cli) -> None:
    server.content["page/results.json"] = b"<html>"
    for place, message in (("nowhere", "404"), ("page", "is no JSON")):
        done = cli("results", "pull", f"{server.url}/{place}/")
        assert (done.code, message in done.err, "Traceback" in done.err) == (2, True, False), done.err
