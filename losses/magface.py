"""MagFace: longer embeddings get a larger margin, and are pulled to be longer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from rsbench import AngularLoss, Batch, Range, at_least_float32, move_target, register_loss
from rsbench.core.errors import SpecError

from ._options import MarginRad, NonNegative, Positive


@register_loss(
    "magface",
    summary="angular margin that grows with the embedding's length, and a pull towards longer ones",
    paper="Meng et al., CVPR 2021, arXiv:2103.06627",
)
class MagFace(AngularLoss):
    """CE with the target logit s·cos(θ_y + m(a)), plus λ_g·g(a) of its length a = ‖z‖.

    m(a) rises on a line from `lowest_rad` at `shortest` to `highest_rad` at `longest`, and is level outside.
    g(a) = a/longest² + 1/a is least at `longest`. Where embeddings begin below `shortest` the authors' code cuts a off
    in both, so that their lengths never get a gradient; here g goes on along its tangent, and pulls them into the
    range, which is that of the paper's faces: look at the lengths of your backbone's embeddings.

    Args:
        lowest_rad, highest_rad: margins at the ends of the range.
        shortest, longest: its ends, as lengths of embeddings.
        norm_lambda: λ_g. The authors' code has 20, their paper 35.
        scale: s.
        **options: class_weights of `AngularLoss`; they count the cross-entropy alone.

    Raises SpecError when an end is not below the other.
    """

    # Each margin from none to a little over the paper's, and the pull from none to its larger figure.
    search = {"lowest_rad": Range(0.0, 0.45), "highest_rad": Range(0.45, 1.0), "norm_lambda": Range(0.0, 35.0)}

    def __init__(
        self,
        *args: Any,
        lowest_rad: MarginRad = 0.45,
        highest_rad: MarginRad = 0.8,
        shortest: Positive = 10.0,
        longest: Positive = 110.0,
        norm_lambda: NonNegative = 20.0,
        scale: Annotated[float, Field(gt=0)] = 64.0,
        **options: Any,
    ) -> None:
        super().__init__(*args, scale=scale, **options)
        if not (shortest < longest and lowest_rad <= highest_rad):
            raise SpecError(
                f"loss.shortest={shortest:g}, longest={longest:g}, lowest_rad={lowest_rad:g}, "
                f"highest_rad={highest_rad:g}: the lower end of a range must be below its upper one."
            )
        self.lowest_rad, self.highest_rad = lowest_rad, highest_rad
        self.shortest, self.longest = shortest, longest
        self.norm_lambda = norm_lambda

    def angle_rad(self, norms: Tensor) -> Tensor:
        """m(a), (B,) radians for lengths (B,)."""
        share = (norms.clamp(self.shortest, self.longest) - self.shortest) / (self.longest - self.shortest)
        return self.lowest_rad + (self.highest_rad - self.lowest_rad) * share

    def pull(self, norms: Tensor) -> Tensor:
        """g(a), (B,)."""
        inside = norms.clamp(self.shortest, self.longest)
        slope = self.longest**-2 - self.shortest**-2
        return inside * self.longest**-2 + 1 / inside + slope * (norms.clamp(max=self.shortest) - self.shortest)

    def margined(self, cosines: Tensor, norms: Tensor, batch: Batch) -> Tensor:
        return move_target(cosines, batch.labels, self.angle_rad(norms), 0.0)

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        norms = at_least_float32(embeddings).norm(dim=1)
        return super().forward(embeddings, batch) + self.norm_lambda * self.pull(norms).mean()

    def margin_rad(self, embeddings: Tensor, batch: Batch) -> Tensor:
        return self.angle_rad(at_least_float32(embeddings).norm(dim=1))
