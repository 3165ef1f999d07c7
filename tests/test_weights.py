"""Weights files: where they are found, and the good, the ill-fitting and the dangerous."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rsbench import Backbone, Frontend, PublicWeights, create_backbone
from rsbench.core.errors import WeightsError
from rsbench.core.weights import WeightsFile, find_weights, load_weights

LINEAR = {"net.weight": torch.arange(6.0).reshape(2, 3), "net.bias": torch.ones(2)}
PUBLIC = PublicWeights(
    name="big",
    filename="big.pt",
    source="https://example.org/big",
    licence="MIT",
    pretrained_on=("AudioSet",),
    download="http://127.0.0.1:9/big.pt",  # nobody answers there
)


class Small(Backbone):
    """Two tensors: "net.weight" (2, 3) and "net.bias" (2,)."""

    frontend = Frontend("kaldi-fbank")
    embedding_dim = 2

    def __init__(self) -> None:
        super().__init__(3, 1)
        self.net = nn.Linear(3, 2)

    def forward(self, features: Tensor) -> Tensor:
        return self.net(features.squeeze(2))


def saved(state: Any, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return str(path)


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def own(path: str | Path) -> WeightsFile:
    return find_weights(str(path), (), [])


def test_none_changes_nothing() -> None:
    backbone = Small()
    before = backbone.net.weight.clone()
    assert find_weights("none", (PUBLIC,), []) == WeightsFile("none")
    assert load_weights(backbone, WeightsFile("none")) == 0.0
    assert torch.equal(backbone.net.weight, before)


@pytest.mark.parametrize("ending", ["pt", "pth", "bin", "safetensors"])
def test_a_file_of_ones_own_is_loaded_and_its_past_unknown(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"mine.{ending}"
    if ending == "safetensors":
        save_file(LINEAR, path)
    else:
        torch.save(LINEAR, path)
    backbone = Small()
    assert load_weights(backbone, own(path)) == 1.0
    assert torch.equal(backbone.net.weight, LINEAR["net.weight"])
    assert own(path) == WeightsFile(str(path), path, sha256(path), "unknown", ("unknown",), str(path))


def test_what_the_user_declares_of_a_file_of_ones_own_is_kept(tmp_path: Path) -> None:
    source = saved(LINEAR, tmp_path / "mine.pt")
    assert find_weights(source, (PUBLIC,), [], ("icbhi", "my own")).pretrained_on == ("icbhi", "my own")


def test_a_public_file_is_known_by_its_hash(tmp_path: Path) -> None:
    source = saved(LINEAR, tmp_path / "renamed.pt")
    public = dataclasses.replace(PUBLIC, sha256=sha256(source))
    found = find_weights(source, (public,), [], ("declared",))
    assert (found.licence, found.pretrained_on, found.origin) == ("MIT", ("AudioSet",), "https://example.org/big")


def test_a_public_file_is_taken_from_the_first_folder_that_holds_it(tmp_path: Path, cache: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    in_cache = saved({"in": torch.ones(1)}, cache / "weights" / "big.pt")
    found = find_weights("big", (PUBLIC,), folders)
    assert found == WeightsFile(
        "big", Path(in_cache), sha256(in_cache), "MIT", ("AudioSet",), "https://example.org/big"
    )
    second = saved({"in": torch.ones(2)}, folders[1] / "big.pt")
    assert find_weights("big", (PUBLIC,), folders).path == Path(second)


def test_a_public_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    public = dataclasses.replace(PUBLIC, sha256="0" * 64)
    path = saved(LINEAR, tmp_path / "big.pt")
    with pytest.raises(WeightsError, match=rf"{path} is not the big\.pt that was published: its sha256 is"):
        find_weights("big", (public,), [tmp_path])


def test_without_a_network_the_file_to_place_is_named(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(WeightsError) as raised:
        find_weights("big", (PUBLIC,), [tmp_path / "weights"])
    message = str(raised.value)
    assert message.startswith("--weights big: http://127.0.0.1:9/big.pt cannot be downloaded")
    assert "Get big.pt from https://example.org/big (licence: MIT)" in message
    assert f"put it at {tmp_path / 'weights' / 'big.pt'}, or give its place: --weights PATH" in message


def test_a_name_that_is_nothing_is_answered_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"--weights bigg: there is no such file\. Did you mean 'big'"):
        find_weights("bigg", (PUBLIC,), [])
    with pytest.raises(WeightsError, match="is a folder; name a file in it"):
        own(tmp_path)


@pytest.mark.parametrize("wrapper", ["model", "state_dict"])
def test_what_training_scripts_and_data_parallel_add_is_taken_off(wrapper: str, tmp_path: Path) -> None:
    parallel = {f"module.{name}": tensor for name, tensor in LINEAR.items()}
    backbone = Small()
    load_weights(backbone, own(saved({"epoch": 3, wrapper: parallel, "args": "lr"}, tmp_path / "w.pt")))
    assert torch.equal(backbone.net.bias, LINEAR["net.bias"])


def without(name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in LINEAR.items() if key != name}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without("net.bias"), r"'net\.bias' is missing in the file and \(2,\) in the backbone\. Give"),
        (LINEAR | {"more": torch.ones(5)}, r"'more' is \(5,\) in the file and missing in the backbone"),
        (
            LINEAR | {"net.weight": torch.ones(3, 2), "net.bias": torch.ones(9)},
            r"'net\.weight' is \(3, 2\) in the file and \(2, 3\) in the backbone and 1 more differ",
        ),
        (LINEAR | {"net.bias": torch.tensor([1.0, float("nan")])}, r"'net\.bias' \(2,\) holds NaN or infinity"),
        (LINEAR | {"net.bias": torch.tensor([1.0, float("inf")])}, r"'net\.bias' \(2,\) holds NaN or infinity"),
        ({f"encoder.{key}": item for key, item in LINEAR.items()}, r"does not fit Small: .* named 'encoder\.…'"),
        (
            {f"a.b.{key}": item for key, item in LINEAR.items()} | {"a.head": torch.ones(1)},
            r"does not fit Small: .* named 'a\.b\.…'",
        ),
        ({"model": {"epoch": 3}}, "is not a state dict"),
        ([1, 2], "is not a state dict"),
        ({}, "is not a state dict"),
        ({1: torch.ones(2)}, "is not a state dict"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(state: Any, message: str, tmp_path: Path) -> None:
    backbone = Small()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(WeightsError, match=message) as raised:
        load_weights(backbone, own(saved(state, tmp_path / "w.pt")))
    assert "w.pt" in str(raised.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())


class Malicious:
    """Unpickling it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_a_checkpoint_that_would_run_code_is_refused(beside: bool, legacy: bool, tmp_path: Path) -> None:
    evil = Malicious(tmp_path / "owned")
    state = {"model": LINEAR, "extra": evil} if beside else LINEAR | {"net.weight": evil}
    torch.save(state, tmp_path / "evil.pt", _use_new_zipfile_serialization=not legacy)
    said = r"evil\.pt is not a checkpoint of tensors alone.*could run code"
    with pytest.raises(WeightsError, match=said) as raised:
        load_weights(Small(), own(tmp_path / "evil.pt"))
    assert "weights_only" not in str(raised.value)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("ending", ["pt", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.3, 0.6, 0.9])
def test_a_file_cut_short_is_refused(ending: str, share: float, tmp_path: Path) -> None:
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    if ending == "safetensors":
        save_file(LINEAR, whole)
    else:
        torch.save(LINEAR, whole, _use_new_zipfile_serialization=ending != "legacy")
    content = whole.read_bytes()
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match=f"cut.{ending}"):
        load_weights(Small(), own(cut))


def zipped(names: Sequence[str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page of 44 bytes, not a checkpoint"),
        (b"\xef\xbb\xbf\r\n <html>" + b"x" * 70_000, "is a web page of 70,012 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 19000000\n", "Git LFS pointer.*git lfs pull"),
        (b"not a checkpoint at all\n", "is a text of 24 bytes that begins 'not a checkpoint at all'"),
        (b'{"message": "Not Found"}', "is a text of 24 bytes"),
        (gzip.compress(b"x" * 600, mtime=0), "is a gzip archive"),
        (b"\0" * 257 + b"ustar" + b"\0" * 600, "is a tar archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "is a Keras or other HDF5 file"),
        (zipped(["model/weights.h5", "a", "b", "c"]), r"is a zip of 4 files \(model/weights.h5, a, b, …\)"),
        (zipped(["m/data.pkl", "m/constants.pkl"]), "is a TorchScript archive, which holds code"),
        (zipped([]), "not a checkpoint|cannot be read as a checkpoint"),
    ],
)
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_file_that_is_no_checkpoint_is_called_what_it_is(
    content: bytes, said: str, ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"notes.{ending}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"notes\.{ending}.*({said})") as raised:
        load_weights(Small(), own(path))
    assert "weights_only" not in str(raised.value)


def test_what_a_file_is_called_does_not_matter(tmp_path: Path) -> None:
    save_file(LINEAR, tmp_path / "mine.pth")
    assert load_weights(Small(), own(tmp_path / "mine.pth")) == 1.0


@pytest.mark.filterwarnings("ignore:Validating sparse")
@pytest.mark.parametrize("bias", [torch.ones(2).to_sparse(), torch.ones(2, dtype=torch.complex64)])
def test_tensors_of_another_kind_are_refused(bias: Tensor, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"w\.pt is not a state dict"):
        load_weights(Small(), own(saved(LINEAR | {"net.bias": bias}, tmp_path / "w.pt")))


def test_mn04_takes_every_tensor_of_its_public_weights(real_root: Path) -> None:
    path = real_root / "weights" / "mn04_as_mAP_432.pt"
    if not path.is_file():
        pytest.skip(f"no {path.name} at {path.parent}")
    backbone = create_backbone("mn04", 128, 64).eval()
    found = find_weights("audioset", backbone.published_weights(), [path.parent])
    assert (found.licence, found.pretrained_on) == ("MIT", ("ImageNet-1k", "AudioSet"))
    assert load_weights(backbone, found) == 1.0
    embeddings = backbone(torch.randn(3, 128, 64, generator=torch.Generator().manual_seed(0)))
    assert embeddings.isfinite().all()
    assert torch.pdist(embeddings).min() > 0.1


def test_mn04_refuses_the_weights_of_another_backbone(tmp_path: Path) -> None:
    source = saved(create_backbone("cnn6", 64, 32).state_dict(), tmp_path / "cnn6.pt")
    with pytest.raises(WeightsError, match=r"cnn6\.pt does not fit Mn04: tensor 'features\.0\.0\.weight' is missing"):
        load_weights(create_backbone("mn04", 128, 64), own(source))
