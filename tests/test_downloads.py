"""Weights from the hub and from plain URLs, asked of a server of our own; and every way in which that fails."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pooch
import pytest
import torch
from hub_server import COMMIT, Hub, serving
from huggingface_hub import constants
from safetensors.torch import save

from rsbench import PublicWeights
from rsbench.core.downloads import DownloadError, HubRepository, bring_url
from rsbench.core.errors import WeightsError
from rsbench.core.weights import find_weights, read_state

STATE = {"weight": torch.arange(6.0)}
CARD = b"---\nlicense: cc-by-nc-4.0\ndatasets:\n- agkphysics/AudioSet\n- me/icbhi\n---\n# Model\n"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The hub, with one repository "me/net"."""
    with serving(monkeypatch, str(tmp_path / "hub")) as running:
        running.repositories["me/net"] = {"model.safetensors": save(STATE), "README.md": CARD}
        yield running


def off_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers any more."""
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", nowhere + "/{repo_id}/resolve/{revision}/{filename}")


def test_a_repository_gives_weights_licence_and_training_data(hub: Hub) -> None:
    found = find_weights("hf-hub:me/net", (), [])
    assert found.path is not None
    assert torch.equal(read_state(found.path)["weight"], STATE["weight"])
    assert (found.licence, found.pretrained_on) == ("cc-by-nc-4.0", ("agkphysics/AudioSet", "me/icbhi"))
    assert found.origin == f"me/net@{COMMIT}"


def test_what_is_in_the_cache_is_used_off_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_weights("hf-hub:me/net", (), [])
    hub.asked.clear()
    off_line(monkeypatch)
    assert find_weights("hf-hub:me/net", (), []) == first
    assert hub.asked == []


def test_a_revision_and_a_file_can_be_named(hub: Hub) -> None:
    torch.save(STATE, buffer := Path(constants.HF_HUB_CACHE).with_name("other.pth"))
    hub.repositories["me/net"]["runs/best.pth"] = buffer.read_bytes()
    found = find_weights(f"hf-hub:me/net@{COMMIT}:runs/best.pth", (), [])
    assert found.path is not None
    assert found.path.parts[-2:] == ("runs", "best.pth")
    assert found.origin == f"me/net@{COMMIT}"


def test_the_older_file_is_taken_where_there_is_no_safetensors(hub: Hub) -> None:
    hub.repositories["me/old"] = {"pytorch_model.bin": b"pickled"}
    found = find_weights("hf-hub:me/old", (), [], ("declared",))
    assert found.path is not None
    assert found.path.read_bytes() == b"pickled"
    assert (found.licence, found.pretrained_on) == ("unknown", ("declared",))


@pytest.mark.parametrize("card", [b"no metadata", b"---\nlicense: [\n---\n", b"\xff\xfe"])
def test_a_card_that_says_nothing_leaves_all_unknown(card: bytes, hub: Hub) -> None:
    hub.repositories["me/net"]["README.md"] = card
    found = find_weights("hf-hub:me/net", (), [])
    assert (found.licence, found.pretrained_on) == ("unknown", ("unknown",))


PUBLIC = PublicWeights(
    name="audioset",
    filename="model.safetensors",
    source="https://huggingface.co/me/net",
    licence="MIT",
    pretrained_on=("AudioSet",),
    download="hf-hub:me/net",
)


def test_a_public_repository_keeps_what_is_published_of_it(hub: Hub) -> None:
    for source in ("audioset", "hf-hub:me/net"):
        found = find_weights(source, (PUBLIC,), [])
        assert (found.licence, found.pretrained_on, found.origin) == ("MIT", ("AudioSet",), f"me/net@{COMMIT}")


def test_a_public_file_of_the_hub_may_be_placed_by_hand(hub: Hub, tmp_path: Path) -> None:
    placed = tmp_path / "weights" / "net" / "model.safetensors"
    placed.parent.mkdir(parents=True)
    placed.write_bytes(save(STATE))
    assert find_weights("audioset", (PUBLIC,), [tmp_path / "weights"]).path == placed
    assert hub.asked == []


@pytest.mark.parametrize("variable", [True, False])
def test_off_line_the_file_to_place_is_named(
    variable: bool, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if variable:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        off_line(monkeypatch)
    why = "HF_HUB_OFFLINE is set" if variable else "cannot be downloaded"
    place = tmp_path / "weights" / "net" / "model.safetensors"
    with pytest.raises(WeightsError) as raised:
        find_weights("audioset", (PUBLIC,), [tmp_path / "weights"])
    message = str(raised.value)
    assert "\n" not in message
    assert why in message
    assert f"Get model.safetensors from {PUBLIC.source} (licence: MIT) and put it at {place}" in message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hf-hub:me/none", "The hub has no repository me/none, or it is private"),
        ("hf-hub:me/gated", "me/gated is gated: ask for access at https://huggingface.co/me/gated"),
        ("hf-hub:me/net@v2", "me/net has no revision 'v2'"),
        ("hf-hub:me/net:other.pt", r"me/net has no other\.pt \(revision main\)"),
        ("hf-hub:me/bare", r"me/bare has no model\.safetensors and no pytorch_model\.bin"),
        ("hf-hub:me/net/more", "'me/net/more' is no repository: write hf-hub:OWNER/NAME"),
        ("hf-hub:", "'' is no repository"),
        ("hf-hub:me/broken", r"model\.safetensors of me/broken cannot be downloaded \("),
    ],
)
def test_every_failure_is_one_message(source: str, message: str, hub: Hub) -> None:
    hub.gated.add("me/gated")
    hub.repositories |= {"me/bare": {}, "me/broken": {"model.safetensors": b""}}
    hub.broken.add("me/broken")
    with pytest.raises(WeightsError, match=message) as raised:
        find_weights(source, (), [])
    assert str(raised.value).startswith(f"--weights {source}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no room left on the disk"),
        (PermissionError(errno.EACCES, "Permission denied", "/hub/models"), "Permission denied: /hub/models"),
    ],
)
def test_a_disk_that_takes_nothing_is_named(
    error: OSError, message: str, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(DownloadError, match=message):
        HubRepository("me/net").file("model.safetensors")
    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(DownloadError, match=message):
        bring_url(f"{hub.url}/big.pt", tmp_path / "big.pt")


def test_a_plain_url_is_brought_once_and_checked(hub: Hub, cache: Path) -> None:
    public = dataclasses.replace(PUBLIC, filename="net=1.safetensors", download=f"{hub.url}/me/net/resolve/main/")
    hub.repositories["me/net"]["net=1.safetensors"] = save(STATE)
    public = dataclasses.replace(public, download=public.download + "net=1.safetensors")
    found = find_weights("audioset", (public,), [])
    assert found.path == cache / "weights" / "net=1.safetensors"
    assert find_weights("audioset", (dataclasses.replace(public, sha256=found.sha256),), []) == found
    assert len(hub.asked) == 1


def test_another_file_than_the_one_published_is_not_kept(hub: Hub, cache: Path) -> None:
    url = f"{hub.url}/me/net/resolve/main/model.safetensors"
    public = dataclasses.replace(PUBLIC, filename="net.safetensors", download=url, sha256="0" * 64)
    with pytest.raises(WeightsError, match=f"{url} gave another file than the one published"):
        find_weights("audioset", (public,), [])
    assert not (cache / "weights" / "net.safetensors").exists()


def test_a_download_that_breaks_off_leaves_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.cut.add("model.safetensors")
    with pytest.raises(DownloadError, match=r"model\.safetensors cannot be downloaded"):
        bring_url(f"{hub.url}/me/net/resolve/main/model.safetensors", tmp_path / "net.safetensors")
    assert list(tmp_path.glob("**/net.safetensors")) == []
