"""Faults of a GPU, found without one: what stands on the wrong device, and what the host would wait for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pretended import CUDA, Waits, moved, pretended_gpu
from small_models import Perceptron, make_model
from small_pretrained import saved
from torch import Tensor

from rsbench import Batch, create_backbone, create_loss, list_backbones, list_losses, register_loss
from rsbench.conformance.backbones import smallest
from rsbench.conformance.steps import DOMAINS
from rsbench.core.backbone import BACKBONES, Backbone
from rsbench.core.loss import LOSSES
from rsbench.core.spec import AugmentPart, RunSpec
from rsbench.data.gathering import IndexedClips
from rsbench.features.frontends import FRONTENDS, FrontendModule, create_frontend
from rsbench.training.clipset import AudioClips, ClipMetadata, ClipSet, EmbeddingClips
from rsbench.training.loop import training_loss
from rsbench.training.optim import HalfStep, move_average
from rsbench.training.predict import Model, predict

COUNTS = (40, 20, 12, 8)
CLIPS, WIDTH = 6, 4
WIDER = ("mn10", "mn40", "cnn10", "cnn14")  # of the same code as mn04 and cnn6
TO_THE_HOST = "aten::_to_copy cuda:0 -> cpu"
SPEC = RunSpec.model_validate(
    {"loss": {"name": "ce"}, "backbone": {"name": "cnn6"}, "frontend": None, "data": {"test": "x"}}
)


def known() -> ClipMetadata:
    codes = torch.zeros(CLIPS, dtype=torch.int64, device=CUDA)
    return ClipMetadata(("clip",) * CLIPS, codes, torch.zeros(CLIPS, device=CUDA), codes, codes, codes)


def rows() -> Tensor:
    return torch.zeros(4, dtype=torch.int64, device=CUDA)


def embedded() -> ClipSet:
    return EmbeddingClips(known(), torch.zeros(CLIPS, 2, WIDTH, device=CUDA))


def heard(frontend: FrontendModule, edge_fade: int = 40) -> AudioClips:
    """Two seconds of recording, from which clips of a second are cut."""
    rate, made = frontend.rate, moved(frontend)
    samples, spans = np.zeros(2 * rate, np.float32), np.tile([0, 10, rate // 2, 2 * rate], (CLIPS, 1))
    clips = IndexedClips(samples, spans, torch.ones(edge_fade + 1, device=CUDA), rate, CUDA)
    return AudioClips(known(), clips.gather, made, AugmentPart())


def waits(model: Model, clips: ClipSet, precision: str = "fp32") -> list[str]:
    """What the host would wait for in a step of training and in two batches of predictions, but for what they give."""
    moved(model).train()
    spec = SPEC.model_copy(update={"precision": precision})
    with Waits() as in_training:
        loss = training_loss(model, clips, rows(), spec, draw=3, done=0.5)
    with Waits() as in_predictions:
        given = predict(model, clips, rows(), batch_size=2)
    assert (loss.device, given.logits.device) == (CUDA, torch.device("cpu"))
    first, second, *others = in_predictions.found
    assert first == second == TO_THE_HOST  # logits and margins, once they are whole
    return in_training.found + others


def backbone_of(name: str) -> tuple[Backbone, FrontendModule | None]:
    """At its smallest, with its front end, for clips of a second; or for embeddings."""
    case = smallest(name)
    published = case.entry.value.frontend
    if published is None:
        return create_backbone(name, WIDTH, 1), None
    frontend = create_frontend(published.name, **published.params)
    return create_backbone(name, frontend.n_mels, frontend.frames(frontend.rate), **dict(case.options)), frontend


@pytest.mark.parametrize("name", list_losses())
def test_a_step_of_a_loss_waits_for_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # On embeddings, but for the one that mixes spectrograms.
    backbone, frontend = backbone_of("cnn6" if name == "patchmix_cl" else "embeddings")
    loss = create_loss(name, backbone.embedding_dim, COUNTS)
    loss.meet(DOMAINS)
    model = Model(backbone, loss)
    with pretended_gpu(monkeypatch):
        assert waits(model, heard(frontend) if frontend else embedded()) == []


@pytest.mark.parametrize("name", [name for name in list_backbones() if name not in (*WIDER, "hf")])
def test_a_step_of_a_backbone_waits_for_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, frontend = backbone_of(name)
    model = make_model(backbone)
    with pretended_gpu(monkeypatch):
        assert waits(model, heard(frontend) if frontend else embedded(), "bf16") == []


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm", "clap"])
def test_a_step_of_a_model_of_transformers_waits_for_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, folder = saved(kind, tmp_path)
    settings = BACKBONES.entry("hf").value.frontend_for(model=str(folder))
    frontend = create_frontend(settings.name, **settings.params)
    backbone = create_backbone("hf", frontend.n_mels, frontend.frames(frontend.rate), model=str(folder))
    model = make_model(backbone)
    with pretended_gpu(monkeypatch):
        assert waits(model, heard(frontend), "bf16") == []


@pytest.mark.parametrize("name", FRONTENDS.names())
def test_a_front_end_waits_for_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frontend = create_frontend(name)
    with pretended_gpu(monkeypatch):
        clips = heard(frontend)
        with Waits() as watch:
            features = clips.features(rows())
    assert (features.device, watch.found) == (CUDA, [])
    assert features.is_contiguous()  # as on a CPU, where backbones were tested


def test_clips_followed_by_silence_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretended_gpu(monkeypatch):
        spans, ramp = np.tile([0, 10, 50, 200], (CLIPS, 1)), torch.ones(41, device=CUDA)
        clips = IndexedClips(np.zeros(200, np.float32), spans, ramp, 100, CUDA, silence=True)
        with Waits() as watch:
            gathered = clips.gather(rows())
    assert (gathered.device, watch.found) == (CUDA, [])


def test_updates_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, average = make_model(Perceptron(WIDTH, 1)), make_model(Perceptron(WIDTH, 1))
    with pretended_gpu(monkeypatch), Waits() as watch:
        moved(model), moved(average)
        half_step = HalfStep(model.parameters())
        half_step.remember()
        half_step.go_back()
        move_average(average, model, 0.9)
    assert watch.found == []


def _harmless(logits: Tensor, batch: Batch) -> Tensor:
    return logits.sum()


def _looks(logits: Tensor, batch: Batch) -> Tensor:
    return logits.sum() if logits.sum().item() > 0 else -logits.sum()


def _copies(logits: Tensor, batch: Batch) -> Tensor:
    return (logits * torch.tensor([1.0, 2.0, 3.0, 4.0]).to(logits.device)).sum()


def _stays_behind(logits: Tensor, batch: Batch) -> Tensor:
    return (logits * torch.ones(4)).sum()


def _chooses(logits: Tensor, batch: Batch) -> Tensor:
    return logits[batch.labels == 0].sum()


@pytest.mark.parametrize("loss", [_harmless, _looks, _copies, _stays_behind, _chooses])
def test_planted_faults_are_found_and_nothing_else(
    loss: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    with LOSSES.scoped():
        register_loss("planted")(loss)
        model = make_model(create_backbone("embeddings", WIDTH, 1), "planted")
    with pretended_gpu(monkeypatch):
        try:
            found: object = waits(model, embedded())
        except Exception as error:  # of whatever kind fake tensors raise where a value or a device is asked for
            found = type(error).__name__
    assert bool(found) == (loss is not _harmless), found
