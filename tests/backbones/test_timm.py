"""Any model of timm, against timm's own reading of its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from hub_server import Hub, serving
from safetensors.torch import save
from torch import nn
from torch.nn import functional as F

from rsbench import RsbenchError, create_backbone
from rsbench.core.backbone import BACKBONES, PublicWeights
from rsbench.core.errors import SpecError, WeightsError
from rsbench.core.weights import find_weights, load_weights

AUDIO_MAE = "gaunernst/vit_base_patch16_1024_128.audiomae_as2m"
# AudioMAE's shape: 1024 frames × 128 bins in patches of 16, one channel, here with two narrow blocks.
AUDIO_MAE_CONFIG = {
    "architecture": "vit_base_patch16_224",
    "num_classes": 0,
    "num_features": 64,
    "global_pool": "avg",
    "model_args": {
        "img_size": [1024, 128],
        "in_chans": 1,
        "embed_dim": 64,
        "depth": 2,
        "num_heads": 2,
        "global_pool": "avg",
    },
    "pretrained_cfg": {
        "tag": "audiomae_as2m",
        "input_size": [1, 1024, 128],
        "fixed_input_size": True,
        "num_classes": 0,
        "first_conv": "patch_embed.proj",
        "classifier": "head",
    },
}


def published(backbone: str, **options: object) -> tuple[PublicWeights, ...]:
    return BACKBONES.entry(backbone).value.published_weights(**options)


def checkpoint(model: str, folder: Path, **options: object) -> tuple[nn.Module, Path]:
    """A model of three colours and 1000 classes with random weights, and its published file."""
    torch.manual_seed(1)
    net = timm.create_model(model, **options)
    torch.save(net.state_dict(), folder / "model.pth")
    return net, folder / "model.pth"


@pytest.mark.parametrize(
    "model", ["test_vit", "test_convnext", "test_efficientnet", "test_resnet", "levit_128s", "mobilenetv3_small_050"]
)
@torch.no_grad()
def test_its_checkpoint_in_grey_gives_timms_embeddings(model: str, tmp_path: Path) -> None:
    net, path = checkpoint(model, tmp_path)
    size = timm.models.get_pretrained_cfg(model).input_size[1:]
    backbone = create_backbone("timm", *size, model=model).eval()
    assert load_weights(backbone, find_weights(str(path), (), [])) == 1.0
    features = torch.randn(2, *size)
    net.reset_classifier(0)
    expected = net.eval()(features[:, None].expand(-1, 3, -1, -1))
    torch.testing.assert_close(backbone(features), expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_positions_are_resampled_as_timm_does(tmp_path: Path) -> None:
    _, path = checkpoint("test_vit", tmp_path)
    backbone = create_backbone("timm", 128, 250, model="test_vit").eval()  # 8 × 16 patches, the last one padded
    load_weights(backbone, find_weights(str(path), (), []))
    theirs = timm.create_model(
        "test_vit", pretrained=True, pretrained_cfg_overlay={"file": str(path)}, img_size=(128, 256), num_classes=0
    ).eval()
    features = torch.randn(1, 128, 250)
    image = F.pad(features, (0, 6))[:, None].expand(-1, 3, -1, -1)
    torch.testing.assert_close(backbone(features), theirs(image), rtol=1e-4, atol=1e-5)


def test_resnet_is_torchvisions(tmp_path: Path) -> None:
    _, path = checkpoint("resnet34", tmp_path)
    backbone = create_backbone("resnet", 64, 64, size=34)
    assert load_weights(backbone, find_weights(str(path), (), [])) == 1.0
    with pytest.raises(WeightsError, match=r"model\.pth does not fit ResNet"):
        load_weights(create_backbone("resnet", 64, 64, size=50), find_weights(str(path), (), []))


def test_sizes_of_resnet() -> None:
    widths = {size: create_backbone("resnet", 32, 32, size=size).embedding_dim for size in (18, 34, 50)}
    assert widths == {18: 512, 34: 512, 50: 2048}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving(monkeypatch, str(tmp_path / "hub")) as running:
        yield running


@torch.no_grad()
def test_audiomae_is_brought_from_the_hub_and_sees_frames_as_rows(hub: Hub) -> None:
    torch.manual_seed(0)
    net = timm.create_model("vit_base_patch16_224", num_classes=0, **AUDIO_MAE_CONFIG["model_args"]).eval()
    hub.repositories[AUDIO_MAE] = {
        "config.json": json.dumps(AUDIO_MAE_CONFIG).encode(),
        "model.safetensors": save(net.state_dict()),
        "README.md": b"---\nlicense: cc-by-nc-4.0\n---\n",
    }
    model = f"hf-hub:{AUDIO_MAE}"
    (weights,) = published("timm", model=model)
    assert (weights.name, weights.pretrained_on, weights.licence) == ("audioset", ("AudioSet",), "cc-by-nc-4.0")

    backbone = create_backbone("timm", 128, 1024, model=model).eval()
    assert load_weights(backbone, find_weights("audioset", (weights,), [])) == 1.0
    features = torch.randn(1, 128, 1024)
    torch.testing.assert_close(backbone(features), net(features.transpose(1, 2)[:, None]), rtol=1e-4, atol=1e-5)


def test_audiomaes_positions_are_resampled_on_its_own_grid(hub: Hub) -> None:
    """1024 frames are 64 rows of 8 patches, not a square of 512; 798 frames are 50 rows."""
    net = timm.create_model("vit_base_patch16_224", num_classes=0, **AUDIO_MAE_CONFIG["model_args"])
    state = net.state_dict()
    state["pos_embed"][0, 1:, 0] = torch.arange(64.0).repeat_interleave(8)
    state["pos_embed"][0, 1:, 1] = torch.arange(8.0).repeat(64)
    hub.repositories[AUDIO_MAE] = {
        "config.json": json.dumps(AUDIO_MAE_CONFIG).encode(),
        "model.safetensors": save(state),
    }
    shorter = create_backbone("timm", 128, 798, model=f"hf-hub:{AUDIO_MAE}").eval()
    load_weights(shorter, find_weights(f"hf-hub:{AUDIO_MAE}", (), []))
    rows, columns = shorter.net.pos_embed[0, 1:, :2].detach().unflatten(0, (50, 8)).unbind(dim=-1)
    torch.testing.assert_close(columns, torch.arange(8.0).expand(50, 8), rtol=0, atol=1e-3)
    assert (rows.diff(dim=0) > 1).all()
    assert (rows.std(dim=1) < 1e-3).all()
    assert shorter(torch.randn(2, 128, 798)).shape == (2, 64)


@pytest.mark.parametrize("config", [b'{"model_type": "bert"}', b"[]", b"not JSON"])
def test_a_repository_that_is_not_timms_is_refused(config: bytes, hub: Hub) -> None:
    hub.repositories["me/other"] = {"config.json": config}
    with pytest.raises(SpecError, match=r"me/other: its config\.json is not of timm's format"):
        create_backbone("timm", 64, 64, model="hf-hub:me/other")
    with pytest.raises(WeightsError, match="The hub has no repository me/none"):
        create_backbone("timm", 64, 64, model="hf-hub:me/none")


@pytest.mark.parametrize(
    ("model", "name", "pretrained_on"),
    [
        ("resnet18.tv_in1k", "imagenet", ("ImageNet-1k",)),
        ("convnext_tiny", "imagenet", ("ImageNet-12k", "ImageNet-1k")),
        ("vit_base_patch16_224.augreg2_in21k_ft_in1k", "imagenet", ("ImageNet-21k", "ImageNet-1k")),
        ("vit_base_patch16_clip_224.openai_ft_in1k", "imagenet", ("unknown", "ImageNet-1k")),
        ("vit_base_patch16_clip_224.openai", "openai", ("unknown",)),
        ("vit_base_patch16_clip_224.laion2b", "laion2b", ("LAION-2B",)),
    ],
)
def test_training_data_are_read_off_timms_tags(model: str, name: str, pretrained_on: tuple[str, ...]) -> None:
    (weights,) = published("timm", model=model)
    assert (weights.name, weights.pretrained_on) == (name, pretrained_on)
    assert weights.download.startswith("hf-hub:timm/")


@pytest.mark.parametrize("size", [18, 34, 50])
def test_resnets_imagenet_weights_are_torchvisions(size: int) -> None:
    (weights,) = published("resnet", size=size)
    assert (weights.name, weights.licence) == ("imagenet", "bsd-3-clause")
    assert weights.download == f"hf-hub:timm/resnet{size}.tv_in1k"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("resnet1", r"timm has no model 'resnet1'\. Did you mean 'resnet18'"),
        ("resnet18.tvin1k", r"resnet18 has no weights tagged 'tvin1k'\. Did you mean 'tv_in1k'"),
    ],
)
def test_a_name_that_timm_does_not_know_is_answered_with_the_nearest(model: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        create_backbone("timm", 128, 64, model=model)
    with pytest.raises(SpecError, match=message):
        published("timm", model=model)


def test_a_model_that_cannot_take_the_features_says_so() -> None:
    with pytest.raises(RsbenchError, match=r"timm's efficientformer_l1 cannot take 128 bins × 798 frames"):
        create_backbone("timm", 128, 798, model="efficientformer_l1")
