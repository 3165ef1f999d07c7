"""AST against transformers' own, and the fitting of the authors' checkpoints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rsbench import Backbone, create_backbone
from rsbench.core.backbone import BACKBONES
from rsbench.core.weights import find_weights, load_weights, read_state

# The authors' names on the left, those of transformers on the right.
RENAMED = (
    (r"^cls_token", "embeddings.cls_token"),
    (r"^dist_token", "embeddings.distillation_token"),
    (r"^pos_embed", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj", "embeddings.patch_embeddings.projection"),
    (r"^norm\.", "layernorm."),
    (r"norm1", "layernorm_before"),
    (r"norm2", "layernorm_after"),
    (r"attn\.proj", "attention.o_proj"),
)


def in_transformers_names(state: dict[str, Tensor], layers: str) -> dict[str, Tensor]:
    """The state of our AST under transformers' names; `layers` is what its blocks are called."""
    renamed = {}
    for name, tensor in state.items():
        if name == "_extra_state":  # the norms' epsilon, which transformers keeps in its configuration
            continue
        for ours, theirs in RENAMED:
            name = re.sub(ours, theirs, name)
        name = re.sub(r"^blocks\.", f"{layers}.", name)
        if "attn.qkv" in name:
            for part, third in zip("qkv", tensor.chunk(3), strict=True):
                renamed[name.replace("attn.qkv", f"attention.{part}_proj")] = third
        else:
            renamed[name] = tensor
    return renamed


@pytest.fixture
def tiny() -> Backbone:
    torch.manual_seed(0)
    return create_backbone("ast", 128, 119, size="tiny").eval()


def test_ast_is_transformers_ast(tiny: Backbone) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.ASTConfig(
        hidden_size=192,
        num_attention_heads=3,
        intermediate_size=768,
        max_length=119,
        num_mel_bins=128,
        layer_norm_eps=1e-6,
    )
    theirs = transformers.ASTModel(config).eval()
    layers = next(name for name, _ in theirs.named_modules() if re.search(r"layers?\.0$", name))[:-2]
    theirs.load_state_dict(in_transformers_names(tiny.state_dict(), layers))
    features = torch.randn(2, 128, 119)
    expected = theirs(features.transpose(1, 2)).pooler_output
    torch.testing.assert_close(tiny(features), expected, rtol=0, atol=1e-4)


def transformers_ast(n_frames: int, **config: Any) -> Any:
    """Transformers' AST with random weights and, apart from its length, its published configuration."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    model = transformers.ASTModel(transformers.ASTConfig(max_length=n_frames, **config)).eval()
    with torch.no_grad():  # transformers draws tokens and positions as zeros
        for name in ("cls_token", "distillation_token", "position_embeddings"):
            model.embeddings.get_parameter(name).normal_(std=0.02)
    return model


def saved_by_transformers(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    file = folder / "model.safetensors"
    assert "encoder.layer.0.attention.attention.query.weight" in read_state(file)  # as the published files have it
    return file


@torch.no_grad()
def test_the_file_that_transformers_saves_gives_its_embeddings(tmp_path: Path) -> None:
    """At the published size: 86 M parameters, 1024 frames."""
    theirs = transformers_ast(1024)
    backbone = create_backbone("ast", 128, 1024)
    file = find_weights(str(saved_by_transformers(theirs, tmp_path)), (), [])
    assert load_weights(backbone, file) == 1.0
    features = torch.randn(1, 128, 1024)
    expected = theirs(features.transpose(1, 2)).pooler_output
    assert expected.std() > 0.1
    torch.testing.assert_close(backbone.eval()(features), expected, rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("theirs", [True, False])
def test_a_checkpoint_keeps_the_epsilon_of_the_weights_it_started_from(theirs: bool, tiny: Backbone) -> None:
    if theirs:
        tiny.load_state_dict(tiny.translate(in_transformers_names(tiny.state_dict(), "layers")))
    faint = 1e-3 * torch.randn(2, 128, 119)  # where an epsilon is felt
    again = create_backbone("ast", 128, 119, size="tiny").eval()
    again.load_state_dict(tiny.state_dict())
    assert torch.equal(again(faint), tiny(faint))
    assert {m.eps for m in again.modules() if isinstance(m, nn.LayerNorm)} == {1e-12 if theirs else 1e-6}


@torch.no_grad()
def test_with_its_positions_resized_it_gives_transformers_embeddings_of_798_frames(tmp_path: Path) -> None:
    small = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
    longer, theirs = transformers_ast(1024, **small), transformers_ast(798, **small)
    backbone = create_backbone("ast", 128, 798, size="tiny")
    load_weights(backbone, find_weights(str(saved_by_transformers(longer, tmp_path)), (), []))

    name = "embeddings.position_embeddings"
    positions = longer.state_dict()[name]
    # 798 frames are 79 of the 101 columns: 11 to 89, by the authors' rule.
    middle = [positions[:, 2 + row * 101 + 11 : 2 + row * 101 + 90] for row in range(12)]
    theirs.load_state_dict(longer.state_dict() | {name: torch.cat((positions[:, :2], *middle), dim=1)})
    features = torch.randn(1, 128, 798)
    expected = theirs(features.transpose(1, 2)).pooler_output
    torch.testing.assert_close(backbone.eval()(features), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("prefix", ["", "audio_spectrogram_transformer."])
@pytest.mark.parametrize("layers", ["layers", "encoder.layers"])
def test_todays_names_of_transformers_are_known_too(prefix: str, layers: str, tiny: Backbone, tmp_path: Path) -> None:
    theirs = {
        f"{prefix}{name}": item.clone() for name, item in in_transformers_names(tiny.state_dict(), layers).items()
    }
    save_file(theirs | {"classifier.dense.weight": torch.ones(527, 192)}, tmp_path / "ast.safetensors")
    fresh = create_backbone("ast", 128, 1024, size="tiny")
    theirs_positions = torch.randn(1, 2 + 12 * 101, 192)
    save_file(theirs | {f"{prefix}embeddings.position_embeddings": theirs_positions}, tmp_path / "ast.safetensors")
    assert load_weights(fresh, find_weights(str(tmp_path / "ast.safetensors"), (), [])) == 1.0
    own = fresh.state_dict()
    assert torch.equal(own.pop("pos_embed"), theirs_positions)
    assert own.pop("_extra_state") == 1e-12
    assert all(torch.equal(tensor, tiny.state_dict()[name]) for name, tensor in own.items())


@torch.no_grad()
def test_deit_is_read_in_grey_on_its_square_of_patches(tmp_path: Path) -> None:
    """Where nothing is to be resized, AST is DeiT on 236 × 236 pixels: its patches overlap, but for stride 16."""
    import timm

    torch.manual_seed(0)
    deit = timm.create_model("deit_tiny_distilled_patch16_224")
    torch.save(deit.state_dict(), tmp_path / "deit.pth")
    backbone = create_backbone("ast", 146, 146, size="tiny")  # 14 × 14 patches at stride 10
    assert load_weights(backbone, find_weights(str(tmp_path / "deit.pth"), (), [])) == 1.0
    backbone.patch_embed.proj.stride = (16, 16)
    grey = torch.randn(2, 224, 224)
    expected = deit.forward_features(grey[:, None].expand(-1, 3, -1, -1))[:, :2].mean(dim=1)
    torch.testing.assert_close(backbone.eval()(grey), expected, rtol=0, atol=1e-5)


def test_its_public_weights_follow_its_size() -> None:
    published = BACKBONES.entry("ast").value.published_weights
    assert [weights.name for weights in published(size="base", swapped_grid=False)] == ["audioset", "imagenet"]
    (small,) = published(size="small")
    assert small.download == "hf-hub:timm/deit_small_distilled_patch16_224.fb_in1k"


def authors_checkpoint(backbone: Backbone, positions: Tensor) -> dict[str, Tensor]:
    """What AST's authors save, with the heads of DeiT and of AudioSet; their file adds "module." to every name."""
    state = backbone.state_dict() | {"pos_embed": positions, "head.weight": torch.zeros(1000, 192)}
    named = {f"v.{name}": tensor for name, tensor in state.items()}
    return named | {"mlp_head.0.weight": torch.zeros(192)}


def test_the_authors_file_is_read(tiny: Backbone, tmp_path: Path) -> None:
    given = {f"module.{name}": tensor for name, tensor in authors_checkpoint(tiny, AUDIOSET).items()}
    torch.save(given, tmp_path / "audioset_10_10_0.4593.pth")
    backbone = create_backbone("ast", 128, 1024, size="tiny")
    load_weights(backbone, find_weights(str(tmp_path / "audioset_10_10_0.4593.pth"), (), []))
    own = backbone.state_dict()
    assert torch.equal(own.pop("pos_embed"), AUDIOSET)
    assert all(torch.equal(tensor, tiny.state_dict()[name]) for name, tensor in own.items())


def positions_of(rows: Tensor, columns: Tensor, tokens: float = -1.0) -> Tensor:
    """(1, 2 + R·C, 192): channel 0 says the row, channel 1 the column."""
    grid = torch.zeros(len(rows), len(columns), 192)
    grid[..., 0], grid[..., 1] = rows[:, None], columns[None, :]
    return torch.cat((torch.full((1, 2, 192), tokens), grid.flatten(0, 1)[None]), dim=1)


AUDIOSET = positions_of(torch.arange(12.0), torch.arange(101.0))


def test_a_checkpoint_for_ten_seconds_gives_its_middle(tiny: Backbone) -> None:
    translated = tiny.translate(authors_checkpoint(tiny, AUDIOSET))
    assert translated.keys() == tiny.state_dict().keys()
    # 119 frames are 11 columns; the authors cut them from 50 − 5 on.
    expected = positions_of(torch.arange(12.0), torch.arange(45.0, 56.0))
    assert torch.equal(translated["pos_embed"], expected)


def test_more_frames_are_interpolated() -> None:
    longer = create_backbone("ast", 128, 2036, size="tiny")
    positions = longer.translate(authors_checkpoint(longer, AUDIOSET))["pos_embed"]
    columns = positions[0, 2 : 2 + 203, 1]
    assert columns[0] == 0
    assert columns[-1] == 100
    assert (columns.diff() >= 0).all()


def test_the_swapped_grid_lays_79_rows_of_12_under_12_rows_of_79() -> None:
    published = create_backbone("ast", 128, 798, size="tiny", swapped_grid=True)
    right = create_backbone("ast", 128, 798, size="tiny")
    swapped = published.translate(authors_checkpoint(published, AUDIOSET))["pos_embed"]
    plain = right.translate(authors_checkpoint(right, AUDIOSET))["pos_embed"]
    assert swapped.shape == plain.shape == (1, 2 + 12 * 79, 192)
    # Row by row: the middle twelve columns return every 12 tokens there, and 79 columns every 79 here.
    torch.testing.assert_close(swapped[0, 2:, 1], torch.arange(44.0, 56.0).repeat(79))
    torch.testing.assert_close(plain[0, 2:, 1], torch.arange(11.0, 90.0).repeat(12))
    torch.testing.assert_close(plain[0, 2:, 0], torch.arange(12.0).repeat_interleave(79))


def test_the_swapped_grid_changes_nothing_without_a_checkpoint() -> None:
    features = torch.randn(1, 128, 48)
    torch.manual_seed(0)
    plain = create_backbone("ast", 128, 48, size="tiny").eval()
    torch.manual_seed(0)
    swapped = create_backbone("ast", 128, 48, size="tiny", swapped_grid=True).eval()
    assert torch.equal(plain(features), swapped(features))


def test_its_own_checkpoint_is_not_touched(tiny: Backbone) -> None:
    own = tiny.state_dict()
    translated = tiny.translate(own)
    assert translated.keys() == own.keys()
    assert all(torch.equal(translated[name], own[name]) for name in own)


@torch.no_grad()
def test_its_layers_are_what_its_blocks_give() -> None:
    backbone = create_backbone("ast", 32, 48, size="tiny").eval()
    features, left = torch.randn(2, 32, 48), []
    for block in backbone.blocks:
        block.register_forward_hook(lambda _, given, tokens: left.append(tokens[:, :2].mean(dim=1)))
    backbone(features)
    expected = torch.stack(left, dim=1)
    torch.testing.assert_close(backbone.layer_embeddings(features), expected, rtol=0, atol=0)
    assert expected.shape == (2, 12, 192)
