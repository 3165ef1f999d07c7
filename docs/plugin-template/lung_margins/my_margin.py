"""An angular margin that grows with a recording's quality."""

from typing import Annotated

from pydantic import Field

from rsbench import AngularLoss, Range, register_loss


@register_loss(
    "my_margin",
    summary="an angular margin for good recordings",
    paper="mine, 2026, equation 1",
)
class MyMargin(AngularLoss):
    """m = m_rad · q on the true class's angle, q the clip's quality in [0, 1].

    Args:
        m_rad: margin in radians of a clip of quality 1.
    """

    search = {"m_rad": Range(0.0, 0.6)}  # what a fair tuning may try

    def __init__(self, *args, m_rad: Annotated[float, Field(ge=0, lt=1.6)] = 0.3, **kwargs):
        super().__init__(*args, **kwargs)
        self.m_rad = m_rad

    def target_margin(self, batch, cosine):
        return self.m_rad * batch.quality, 0.0  # (angle in radians, additive), a number or one per clip
