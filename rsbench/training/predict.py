"""From clips to logits, without gradients and in full precision, the same on every device within rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..backbone import Backbone
from ..loss import AngularLoss, Batch, Loss
from ..signal.frontends import FrontendModule


@dataclass(frozen=True)
class ClipSet:
    """The clips of one data set as the loop sees them; all tensors on the device, one entry per clip.

    gather: clip rows (B,) → waveforms (B, samples).
    """

    gather: Callable[[Tensor], Tensor]
    labels: Tensor
    quality: Tensor
    patient: Tensor
    device: Tensor

    def batch(self, rows: Tensor, progress: float) -> Batch:
        columns = (self.labels[rows], self.quality[rows], self.patient[rows], self.device[rows])
        return Batch(*columns, progress=progress)


class Model(nn.Module):
    """Front end, backbone and loss: what a run trains and what its checkpoints hold."""

    def __init__(self, frontend: FrontendModule, backbone: Backbone, loss: Loss) -> None:
        super().__init__()
        self.frontend = frontend
        self.backbone = backbone
        self.loss = loss


@dataclass(frozen=True)
class Predictions:
    """On the host, in the order of the rows asked for.

    logits: (N, C). margin_rad: (N,), NaN where a loss has no angle.
    """

    logits: Tensor
    margin_rad: Tensor


@torch.no_grad()
def predict(
    model: Model,
    clips: ClipSet,
    rows: Tensor,
    batch_size: int,
    advance: Callable[[int], None] | None = None,
) -> Predictions:
    """Logits, and the angular margin training would give each clip. Leaves the model in the mode it was in.

    Args:
        model: evaluated in eval mode.
        clips: the data set's clips.
        rows: (N,) which of them, on the device.
        batch_size: clips at a time; sums on a CPU depend on it in the last bits, so it is part of the spec.
        advance: called with the number of clips done, for a progress bar.
    """
    was_training = model.training
    model.eval()
    logits, margins = [], []
    # Tensor cores round convolutions to ten bits by default: predictions keep all 24.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for chosen in rows.split(batch_size):
            embeddings = model.backbone(model.frontend(clips.gather(chosen))).float()
            logits.append(model.loss.logits(embeddings).float().cpu())
            margins.append(_margin(model.loss, embeddings, clips.batch(chosen, 1.0)).cpu())
            if advance:
                advance(len(chosen))
    model.train(was_training)
    return Predictions(torch.cat(logits), torch.cat(margins))


def _margin(loss: Loss, embeddings: Tensor, batch: Batch) -> Tensor:
    if not isinstance(loss, AngularLoss):
        return torch.full((len(embeddings),), torch.nan)
    target = loss.cosines(embeddings).gather(1, batch.labels.unsqueeze(1)).squeeze(1)
    angle_rad, _ = loss.target_margin(batch, target)
    return torch.as_tensor(angle_rad, dtype=torch.float32, device=target.device).expand(len(target))
