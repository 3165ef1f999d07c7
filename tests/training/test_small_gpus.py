"""A GPU that is too small: which settings take less, and what they cost; no traceback."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_models import Stack, make_model
from tiny import Cli

from rsbench.core.spec import OptimPart
from rsbench.training import loop, memory


def told(total: int, **changes: Any) -> str:
    return memory.too_large(make_model(Stack(4, 20)), OptimPart(**{"batch_size": 64, **changes}), total)


def test_what_leaves_the_result_as_it_is_comes_first() -> None:
    text = told(2**30)
    remedies = ["checkpoint_activations=true", "optim.accumulate=2 (batches of 32)", "a smaller optim.batch_size"]
    places = [text.index(remedy) for remedy in remedies]
    assert places == sorted(places)
    assert "(1.0 GiB)" in text
    assert "64 clips need more than the other 1.0" in text


def test_what_is_done_already_is_not_advised() -> None:
    text = told(2**30, checkpoint_activations=True, accumulate=4)
    assert "checkpoint_activations" not in text
    assert "optim.accumulate=8 (batches of 8)" in text


@pytest.mark.parametrize("changes", [{"batch_size": 2, "accumulate": 2}, {}])
def test_where_no_setting_helps_the_model_is_too_large(changes: dict[str, Any]) -> None:
    assert told(10 if not changes else 2**30, **changes).endswith("Take a smaller backbone, or a larger GPU.")


def test_a_run_says_so_and_nothing_else(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    def too_small(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(loop, "training_loss", too_small)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 2**30))
    done = cli("run", "--loss", "ce", "--backbone", "cnn6", "--epochs", "1", "--results", tmp_path, "--quiet")
    assert done.code == 1
    assert "optim.checkpoint_activations=true" in done.err
    assert "Traceback" not in done.err
