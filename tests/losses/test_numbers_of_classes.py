"""Every loss trains tasks of two classes and of seven, or says in one sentence that it does not."""

from __future__ import annotations

import pytest
import torch

from rsbench.core.errors import SpecError
from rsbench.core.loss import LOSSES, Batch, create_loss
from rsbench.core.plugins import discover_losses

discover_losses()
DIM, CLIPS = 8, 28
FOUR_ONLY = {"two_sigmoid"}


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("name", LOSSES.names())
def test_a_loss_takes_as_many_classes_as_the_task_has(name: str, classes: int) -> None:
    counts = [10 * (index + 1) for index in range(classes)]
    if name in FOUR_ONLY:
        with pytest.raises(SpecError, match=f"needs the four classes.*here are {classes}"):
            create_loss(name, DIM, counts)
        return
    torch.manual_seed(0)
    loss = create_loss(name, DIM, counts)
    loss.meet({"patient": 4, "device": 2, "dataset": 2})
    order = torch.arange(CLIPS)
    batch = Batch(order % classes, torch.rand(CLIPS), order % 4, order % 2, 0.5, dataset=order % 2)
    embeddings = torch.randn(loss.views * CLIPS, DIM, requires_grad=True)
    if not loss.solved:
        value = loss(embeddings, batch)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(embeddings.grad).all()  # type: ignore[arg-type]
    assert loss.logits(embeddings[:CLIPS]).shape == (CLIPS, classes)
