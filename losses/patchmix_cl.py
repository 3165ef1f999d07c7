"""Patch-Mix contrastive learning: a mixed clip is as near to each of its two sources as it has of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Batch, ClassWeights, LinearLoss, Range, cross_entropy, register_loss
from rsbench.core.draws import sent
from rsbench.core.errors import SpecError

from ._contrast import contrast, similarities
from ._options import NonNegative, Positive


@register_loss(
    "patchmix_cl",
    summary="cross-entropy, and contrast between clips and their mixtures patch by patch",
    paper="Bae et al., Interspeech 2023, arXiv:2305.14032",
)
class PatchMixCL(LinearLoss):
    """CE of the clips as they are + α·contrast of their mixtures.

    A mixture has a random set of patches from another clip of the batch; the same patches for the whole batch, their
    share drawn evenly from [0, 1). The contrast is −Σ_j w_j·ln softmax_j of the cosines over τ between its projection
    and all clips' embeddings, which get no gradient by it: w is the share it keeps for its own clip, the rest for the
    other.

    Patches here are squares of the spectrogram, mixed before the backbone, so that any backbone that takes spectrograms
    can be used. The authors mix AST's own patches after they are embedded, where with stride 10 they overlap: a bin on
    the rim of a mixed patch then comes from both clips.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        alpha: α, the weight of the contrast; CE alone at 0.
        temperature: τ.
        patch: bins and frames of a patch; those at the far ends are cut.
        class_weights: of the cross-entropy: "none", or "inverse" for weights ∝ 1/n.
    """

    views = 2
    compares = True

    search = {"alpha": Range(0.0, 2.0), "temperature": Range(0.02, 0.5, log=True)}

    def __init__(
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        alpha: NonNegative = 1.0,
        temperature: Positive = 0.06,
        patch: Annotated[int, Field(ge=1)] = 16,
        class_weights: ClassWeights = "none",
    ) -> None:
        super().__init__(embedding_dim, class_counts)
        self.alpha = alpha
        self.temperature = temperature
        self.patch = patch
        self.class_weights = class_weights
        self.head = nn.Sequential(
            nn.Linear(embedding_dim, embedding_dim),
            _BatchNorm(embedding_dim),
            nn.ReLU(),
            nn.Linear(embedding_dim, embedding_dim),
        )

    def mix(self, features: Tensor, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """The first views (B, n_mels, frames) as they are, and mixed.

        Raises SpecError for waveforms (2·B, 1, T) and embeddings (2·B, D).
        """
        if features.ndim != 3 or features.shape[1] == 1:
            what = "embeddings have" if features.ndim != 3 else "a waveform has"
            raise SpecError(
                f"loss 'patchmix_cl' mixes patches of spectrograms, and {what} none. Train on spectrograms of the "
                "recordings, with optim.freeze=all if the backbone is to stay; or choose loss 'supcon'."
            )
        clips = features[: len(batch.labels)]
        partner = sent(torch.randperm(len(clips), generator=generator), clips.device)
        foreign = sent(self._patches(clips.shape[1], clips.shape[2], generator), clips.device)
        mixed = torch.where(foreign, clips[partner], clips)
        share = (1 - foreign.float().mean()).expand(len(clips))
        return torch.cat([clips, mixed]), replace(batch, partner=partner, share=share)

    def _patches(self, n_mels: int, frames: int, generator: torch.Generator) -> Tensor:
        """(n_mels, frames) True in the patches that come from the other clip."""
        rows, columns = -(-n_mels // self.patch), -(-frames // self.patch)
        count = (rows * columns * torch.rand((), generator=generator).double()).floor()
        chosen = torch.randperm(rows * columns, generator=generator) < count
        squares = chosen.view(rows, columns).repeat_interleave(self.patch, 0).repeat_interleave(self.patch, 1)
        return squares[:n_mels, :frames]

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        clips, mixed = embeddings.chunk(self.views)
        classified = cross_entropy(self.logits(clips), batch.labels, self.class_counts, self.class_weights)
        similarity = similarities(self.head(mixed), clips.detach(), self.temperature)
        return classified + self.alpha * contrast(similarity, _sources(batch).to(similarity))


def _sources(batch: Batch) -> Tensor:
    """(B, B) what share of each mixture comes from which clip; where nothing was mixed, all from its own."""
    own = torch.eye(len(batch.labels), device=batch.labels.device)
    if batch.partner is None or batch.share is None:
        return own
    share = batch.share.unsqueeze(1)
    return share * own + (1 - share) * own[batch.partner]


class _BatchNorm(nn.BatchNorm1d):
    """Batch normalisation; a lone clip, which has no spread, is normalised by what was seen so far."""

    def forward(self, values: Tensor) -> Tensor:
        if len(values) > 1:
            return super().forward(values)
        return F.batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
