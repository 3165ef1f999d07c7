"""AST, the audio spectrogram transformer: a distilled vision transformer over overlapping patches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from rsbench import Backbone, Frontend, PublicWeights, RsbenchError, register_backbone

from ._ast_checkpoints import TOKENS, fit_positions, in_our_names, of_transformers

PATCH, STRIDE = 16, 10
DEPTH = 12
WIDTHS = {"base": 768, "small": 384, "tiny": 192}
HEAD_WIDTH = 64
NORM_EPS = 1e-6  # as in timm's blocks
TRANSFORMERS_EPS = 1e-12  # as in the configuration of its published AST
CHECKPOINT_MELS = 128  # bins that the authors' checkpoints were trained on
STEM = "patch_embed.proj.weight"
EXTRA_STATE = "_extra_state"  # torch's name for what `get_extra_state` returns
DEIT_SIZES = {"base": 384, "small": 224, "tiny": 224}  # pixels of the images that AST's authors start from

AUDIOSET = PublicWeights(
    name="audioset",
    filename="model.safetensors",
    source="https://huggingface.co/MIT/ast-finetuned-audioset-10-10-0.4593",
    licence="BSD-3-Clause",
    pretrained_on=("ImageNet-1k", "AudioSet"),
    download="hf-hub:MIT/ast-finetuned-audioset-10-10-0.4593",
)


def imagenet(size: str) -> PublicWeights:
    """The distilled DeiT of a size, with which AST's authors start."""
    repository = f"timm/deit_{size}_distilled_patch16_{DEIT_SIZES[size]}.fb_in1k"
    return PublicWeights(
        name="imagenet",
        filename="model.safetensors",
        source=f"https://huggingface.co/{repository}",
        licence="Apache-2.0",
        pretrained_on=("ImageNet-1k",),
        download=f"hf-hub:{repository}",
    )


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
    public_weights = (AUDIOSET, imagenet("base"))
    smaller = "backbone.size=tiny"

    def __init__(
        self,
        n_mels: int,
        n_frames: int,
        *,
        size: Literal["base", "small", "tiny"] = "base",
        swapped_grid: bool = False,
    ) -> None:
        from timm.models.vision_transformer import Block, init_weights_vit_timm  # takes seconds to import

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
        encoded: Tensor = self.norm(self.blocks(self._tokens(features)))
        return encoded[:, :TOKENS].mean(dim=1)

    def layer_embeddings(self, features: Tensor) -> Tensor:
        """Of every block, before the last norm."""
        tokens, found = self._tokens(features), []
        for block in self.blocks:
            tokens = block(tokens)
            found.append(tokens[:, :TOKENS].mean(dim=1))
        return torch.stack(found, dim=1)

    def _tokens(self, features: Tensor) -> Tensor:
        """(B, tokens, width) of features (B, n_mels, n_frames): class and distillation tokens, then patches."""
        tokens = torch.cat((self.cls_token, self.dist_token), dim=1).expand(features.shape[0], -1, -1)
        return torch.cat((tokens, self.patch_embed(features)), dim=1) + self.pos_embed

    @classmethod
    def published_weights(cls, *, size: str = "base", **options: Any) -> tuple[PublicWeights, ...]:
        """DeiT of this size, and for the base size AudioSet's as well."""
        return (AUDIOSET, imagenet(size)) if size == "base" else (imagenet(size),)

    def stages(self) -> list[list[str]]:
        """What makes the tokens, every block, the last norm."""
        tokens = ["patch_embed", "cls_token", "dist_token", "pos_embed"]
        return [tokens, *([f"blocks.{index}"] for index in range(DEPTH)), ["norm"]]

    def get_extra_state(self) -> Tensor:
        """The norms' epsilon: weights were trained under one, so a checkpoint keeps it beside them."""
        return torch.tensor(self.norm.eps, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = state.item()

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Checkpoints of AST's authors, of transformers and of DeiT, positions fitted to this grid.

        Our own are left as they are. DeiT saw squares in three colours: its stem is summed over them. With weights of
        transformers the norms take its epsilon.
        """
        eps = TRANSFORMERS_EPS if of_transformers(state) else NORM_EPS
        ours = {EXTRA_STATE: torch.tensor(eps, dtype=torch.float64)} | in_our_names(state)
        if STEM not in ours or "pos_embed" not in ours:
            return ours
        rows = patches(CHECKPOINT_MELS) if "pos_embed" not in state else 0
        if ours[STEM].shape[1:] == (3, PATCH, PATCH):
            ours[STEM] = ours[STEM].sum(dim=1, keepdim=True)
            rows = math.isqrt(ours["pos_embed"].shape[1] - TOKENS)
        if rows:
            ours["pos_embed"] = fit_positions(ours["pos_embed"], rows, self.grid)
        return ours
