"""Checkpoints of AST and of DeiT in the names and on the grid of our AST."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

TOKENS = 2  # class and distillation
CLASSIFIERS = ("head.", "head_dist.", "mlp_head.", "classifier.")
AUTHORS, HUGGING_FACE = "v.", "audio_spectrogram_transformer."

LETTERS = {"q": "query", "k": "key", "v": "value"}

# Transformers' names on the left, of its published files and of its present modules; those of timm's DeiT, which are
# the authors' and ours, on the right. In this order: later rules see what earlier ones made.
RENAMED: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.distillation_token$", "dist_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^(?:encoder\.)?layers?\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.([qkv])_proj\.", lambda found: f".attn.{LETTERS[found[1]]}."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"^layernorm\.", "norm."),
)


def of_transformers(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has transformers' names."""
    return any(name.removeprefix(HUGGING_FACE).startswith("embeddings.") for name in state)


def in_our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of the authors, of transformers or of timm under our names, without classifiers.

    Queries, keys and values that stand apart become one `qkv`. What no rule knows keeps its name.
    """
    renamed = {}
    for name, tensor in state.items():
        name = name.removeprefix(AUTHORS).removeprefix(HUGGING_FACE)
        for theirs, ours in RENAMED:
            name = re.sub(theirs, ours, name)
        if not name.startswith(CLASSIFIERS):
            renamed[name] = tensor
    for query in [name for name in renamed if ".attn.query." in name]:
        parts = [query.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in renamed for part in parts):
            renamed[query.replace(".query.", ".qkv.")] = torch.cat([renamed.pop(part) for part in parts])
    return renamed


def fit_positions(positions: Tensor, rows: int, grid: tuple[int, int]) -> Tensor:
    """A checkpoint's positional embedding for another grid, by the rule of AST's authors.

    The middle is cut out of a side that is too long, and a side that is too short is interpolated.

    Args:
        positions: (1, 2 + rows · columns, width), row by row. What has no such rows is returned as it is.
        rows: rows it was trained on.
        grid: rows and columns wanted.
    """
    if positions.ndim != 3 or (positions.shape[1] - TOKENS) % rows:
        return positions
    tokens, patch_positions = positions[:, :TOKENS], positions[:, TOKENS:]
    maps = patch_positions.unflatten(1, (rows, -1)).permute(0, 3, 1, 2)
    for side, wanted in zip((2, 3), grid, strict=True):
        if maps.shape[side] > wanted:
            maps = maps.narrow(side, maps.shape[side] // 2 - wanted // 2, wanted)
    maps = F.interpolate(maps, size=grid, mode="bilinear")
    return torch.cat((tokens, maps.flatten(2).transpose(1, 2)), dim=1)
