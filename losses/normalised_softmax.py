"""Normalised softmax: the angular classifier without any margin."""

from __future__ import annotations

from rsbench import AngularLoss, register_loss


@register_loss(
    "normalised_softmax",
    summary="cross-entropy over scaled cosines, no margin",
    paper="Wang et al., NormFace, ACM MM 2017, arXiv:1704.06369",
)
class NormalisedSoftmax(AngularLoss):
    """Cross-entropy of s·cos θ; scale=37 is the classifier of QLung without its margin objective."""
