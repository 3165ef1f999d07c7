"""AST against transformers' own, and the fitting of the authors' checkpoints."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from rsbench import Backbone, create_backbone

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


def authors_checkpoint(backbone: Backbone, positions: Tensor) -> dict[str, Tensor]:
    """A file as AST's authors save it: from DataParallel, with the heads of DeiT and of AudioSet."""
    state = backbone.state_dict() | {"pos_embed": positions, "head.weight": torch.zeros(1000, 192)}
    named = {f"module.v.{name}": tensor for name, tensor in state.items()}
    return named | {"module.mlp_head.0.weight": torch.zeros(192)}


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
