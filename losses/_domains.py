"""What the losses that know of domains share: which clips of a batch are of which device, data set or patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from rsbench import Batch, ClassWeights, LinearLoss
from rsbench.core.errors import SpecError

Domain = Literal["device", "dataset", "patient"]


class DomainLoss(LinearLoss):
    """Base of losses over a linear classifier that tell clips apart by where they are from.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        domain: what a domain is: "device" (ICBHI has four, SPRSound one), "dataset" where several are trained on, or
            "patient".
        class_weights: of the cross-entropy: "none", or "inverse" for weights ∝ 1/n.
    """

    codes: Tensor

    def __init__(
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        domain: Domain = "device",
        class_weights: ClassWeights = "none",
    ) -> None:
        super().__init__(embedding_dim, class_counts)
        self.domain: Domain = domain
        self.class_weights: ClassWeights = class_weights

    def meet(self, domains: Mapping[str, int]) -> None:
        """Raises SpecError where all clips to train on are of one domain."""
        count = domains[self.domain]
        if count < 2:
            others = [f"loss.domain={kind} ({found})" for kind, found in domains.items() if found > 1]
            raise SpecError(
                f"loss.domain={self.domain}: the clips to train on are all of one {self.domain}, so there are no "
                f"domains to compare. Choose {' or '.join(others) or 'another loss'}, or train on several data sets: "
                "--train A,B."
            )
        self.register_buffer("codes", torch.arange(count), persistent=False)

    def of_clips(self, batch: Batch) -> Tensor:
        """(B,) the domain of each clip."""
        codes = getattr(batch, self.domain)
        assert isinstance(codes, Tensor), f"a batch without {self.domain}"
        return codes

    def members(self, batch: Batch) -> Tensor:
        """(K, B) True where a clip is of a domain; a batch may lack some."""
        return self.of_clips(batch) == self.codes.unsqueeze(1)
