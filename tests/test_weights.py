"""Weights files: the good, the ill-fitting and the dangerous."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rsbench import Backbone, Frontend, PublicWeights, create_backbone
from rsbench.errors import WeightsError
from rsbench.weights import WeightsRecord, load_weights, weights_sha256

LINEAR = {"net.weight": torch.arange(6.0).reshape(2, 3), "net.bias": torch.ones(2)}


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
    torch.save(state, path)
    return str(path)


def test_none_changes_nothing() -> None:
    backbone = Small()
    before = backbone.net.weight.clone()
    assert load_weights(backbone, "none") == WeightsRecord("none", "", "", (), 0.0)
    assert torch.equal(backbone.net.weight, before)
    assert weights_sha256("none") == ""


@pytest.mark.parametrize("ending", ["pt", "pth", "safetensors"])
def test_a_file_of_ones_own_is_loaded_and_its_past_unknown(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"mine.{ending}"
    if ending == "safetensors":
        save_file(LINEAR, path)
    else:
        torch.save(LINEAR, path)
    backbone = Small()
    record = load_weights(backbone, str(path))
    assert torch.equal(backbone.net.weight, LINEAR["net.weight"])
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert record == WeightsRecord(str(path), sha256, "unknown", ("unknown",), 1.0)
    assert weights_sha256(str(path)) == sha256


def test_a_public_file_is_known_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = saved(LINEAR, tmp_path / "renamed.pt")
    public = PublicWeights("big", "big.pt", weights_sha256(source), "MIT", "https://x.org", ("AudioSet",))
    monkeypatch.setattr(Small, "public_weights", (public,))
    record = load_weights(Small(), source)
    assert (record.licence, record.pretrained_on) == ("MIT", ("AudioSet",))


def test_a_public_name_says_what_to_get() -> None:
    mn04 = create_backbone("mn04", 128, 64)
    with pytest.raises(WeightsError, match=r"mn04_as_mAP_432\.pt from https://\S+ .*MIT.*--weights PATH"):
        load_weights(mn04, "audioset")
    with pytest.raises(WeightsError, match=r"no such file.*Did you mean 'audioset'"):
        load_weights(mn04, "audiosett")


def without(name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in LINEAR.items() if key != name}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without("net.bias"), r"'net\.bias' is missing in the file and \(2,\) in the backbone"),
        (LINEAR | {"more": torch.ones(5)}, r"'more' is \(5,\) in the file and missing in the backbone"),
        (
            LINEAR | {"net.weight": torch.ones(3, 2), "net.bias": torch.ones(9)},
            r"'net\.weight' is \(3, 2\) in the file and \(2, 3\) in the backbone",
        ),
        (LINEAR | {"net.bias": torch.tensor([1.0, float("nan")])}, r"'net\.bias' \(2,\) holds NaN or infinity"),
        (LINEAR | {"net.bias": torch.tensor([1.0, float("inf")])}, r"'net\.bias' \(2,\) holds NaN or infinity"),
        ({"model": LINEAR}, "is not a state dict"),
        ([1, 2], "is not a state dict"),
        ({}, "is not a state dict"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(state: Any, message: str, tmp_path: Path) -> None:
    backbone = Small()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(WeightsError, match=message) as raised:
        load_weights(backbone, saved(state, tmp_path / "w.pt"))
    assert "w.pt" in str(raised.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())


class Malicious:
    """Unpickling it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    source = saved({"net.weight": Malicious(tmp_path / "owned")}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match=r"evil\.pt is not a checkpoint of tensors alone.*could run code"):
        load_weights(Small(), source)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_cut_short_is_refused(ending: str, share: float, tmp_path: Path) -> None:
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    if ending == "safetensors":
        save_file(LINEAR, whole)
    else:
        torch.save(LINEAR, whole)
    content = whole.read_bytes()
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match=f"cut.{ending}"):
        load_weights(Small(), str(cut))


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.pt"
    path.write_text("not a checkpoint at all\n")
    with pytest.raises(WeightsError, match=r"notes\.pt"):
        load_weights(Small(), str(path))
    with pytest.raises(WeightsError, match="there is no such file"):
        weights_sha256(str(tmp_path))


def test_mn04_takes_every_tensor_of_its_public_weights(real_root: Path) -> None:
    path = real_root / "weights" / "mn04_as_mAP_432.pt"
    if not path.is_file():
        pytest.skip(f"no {path.name} at {path.parent}")
    backbone = create_backbone("mn04", 128, 64).eval()
    record = load_weights(backbone, str(path))
    assert (record.licence, record.pretrained_on, record.loaded) == ("MIT", ("AudioSet",), 1.0)
    embeddings = backbone(torch.randn(3, 128, 64, generator=torch.Generator().manual_seed(0)))
    assert embeddings.isfinite().all()
    assert torch.pdist(embeddings).min() > 0.1


def test_mn04_refuses_the_weights_of_another_backbone(tmp_path: Path) -> None:
    source = saved(create_backbone("cnn6", 64, 32).state_dict(), tmp_path / "cnn6.pt")
    with pytest.raises(WeightsError, match=r"cnn6\.pt does not fit Mn04: tensor 'features\.0\.0\.weight' is missing"):
        load_weights(create_backbone("mn04", 128, 64), source)
