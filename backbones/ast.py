"""AST, the audio spectrogram transformer: a distilled vision transformer over overlapping patches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from timm.models.vision_transformer import Block, init_weights_vit_timm
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Backbone, Frontend, RsbenchError, register_backbone

PATCH, STRIDE = 16, 10
DEPTH = 12
TOKENS = 2  # class and distillation
WIDTHS = {"base": 768, "small": 384, "tiny": 192}
HEAD_WIDTH = 64
NORM_EPS = 1e-6  # as in timm's blocks
CHECKPOINT_MELS = 128  # bins that the authors' checkpoints were trained on
UNUSED_HEADS = ("v.head.", "v.head_dist.", "mlp_head.")


def patches(size: int) -> int:
    """Patches along a side of `size` bins or frames; what is left over at its end is not seen."""
    return (size - PATCH) // STRIDE + 1


class PatchEmbed(nn.Module):
    """(B, n_mels, n_frames) to (B, patches, width), frequency-major."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, kernel_size=PATCH, stride=STRIDE)

    def forward(self, features: Tensor) -> Tensor:
        maps: Tensor = self.proj(features.unsqueeze(1))
        return maps.flatten(2).transpose(1, 2)


@register_backbone(
    "ast",
    summary="AST, 86 M parameters in size base: 16×16 patches at stride 10, class and distillation tokens",
    paper="Gong et al., AST, Interspeech 2021",
)
class Ast(Backbone):
    """Names and layers are those of DeiT in timm, as in the authors' checkpoints.

    The embedding is the mean of the class and distillation tokens after the last norm: 768-d, 384-d or 192-d.
    Features are (B, n_mels, n_frames) with at least 16 of each; RsbenchError otherwise.

    Args:
        n_mels: bins of the features.
        n_frames: frames of the features; the positional embedding is made for this number.
        size: width of the transformer, all 12 blocks deep.
        swapped_grid: a quirk of published ICBHI code, which gives AST its sizes the wrong way round.
            A checkpoint's positional embedding is then fitted to a grid of 79 × 12 (at 128 × 798) and laid row
            by row under tokens in rows of 12 × 79. Nothing changes where positions are drawn at random, as they
            are without a checkpoint of the authors', nor where the grid is square.
    """

    frontend = Frontend("kaldi-fbank")
    recipe: ClassVar = {"lr": 5e-5, "batch_size": 8, "weight_decay": 1e-6}
    smaller = "backbone.size=tiny"

    def __init__(
        self,
        n_mels: int,
        n_frames: int,
        *,
        size: Literal["base", "small", "tiny"] = "base",
        swapped_grid: bool = False,
    ) -> None:
        super().__init__(n_mels, n_frames)
        if min(n_mels, n_frames) < PATCH:
            raise RsbenchError(
                f"ast needs at least {PATCH} mel bins and {PATCH} frames, and was given {n_mels} × "
                f"{n_frames}. Use longer clips (data.clip_s) or a shorter hop (frontend.hop_ms)."
            )
        width = self.embedding_dim = WIDTHS[size]
        grid = (patches(n_mels), patches(n_frames))
        self.grid = grid[::-1] if swapped_grid else grid
        self.patch_embed = PatchEmbed(width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, TOKENS + grid[0] * grid[1], width))
        self.blocks = nn.Sequential(*(Block(width, width // HEAD_WIDTH, qkv_bias=True) for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.blocks.apply(init_weights_vit_timm)
        for parameter in (self.cls_token, self.dist_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        tokens = torch.cat((self.cls_token, self.dist_token), dim=1).expand(len(features), -1, -1)
        tokens = torch.cat((tokens, self.patch_embed(features)), dim=1) + self.pos_embed
        encoded: Tensor = self.norm(self.blocks(tokens))
        return encoded[:, :TOKENS].mean(dim=1)

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The authors' checkpoints in this module's names, positions fitted to its grid; others unchanged."""
        theirs = {name.removeprefix("module."): tensor for name, tensor in state.items()}
        if "v.pos_embed" not in theirs:
            return dict(state)
        kept = {name.removeprefix("v."): tensor for name, tensor in theirs.items() if not name.startswith(UNUSED_HEADS)}
        return kept | {"pos_embed": fit_positions(kept["pos_embed"], self.grid)}


def fit_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """A checkpoint's positional embedding for another grid, by the rule of AST's authors.

    The middle is cut out of a side that is too long, and a side that is too short is interpolated.

    Args:
        positions: (1, 2 + rows · columns, width), row by row, with the rows of 128 mel bins. What has no such
            rows is returned as it is.
        grid: rows and columns wanted.
    """
    rows = patches(CHECKPOINT_MELS)
    if positions.ndim != 3 or (positions.shape[1] - TOKENS) % rows:
        return positions
    tokens, patch_positions = positions[:, :TOKENS], positions[:, TOKENS:]
    maps = patch_positions.unflatten(1, (rows, -1)).permute(0, 3, 1, 2)
    for side, wanted in zip((2, 3), grid, strict=True):
        if maps.shape[side] > wanted:
            maps = maps.narrow(side, maps.shape[side] // 2 - wanted // 2, wanted)
    maps = F.interpolate(maps, size=grid, mode="bilinear")
    return torch.cat((tokens, maps.flatten(2).transpose(1, 2)), dim=1)
