"""What every registered backbone must do, each at its smallest size."""

from __future__ import annotations

import functools
import itertools
import operator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Backbone, RsbenchError, create_backbone, list_backbones
from rsbench.backbone import BACKBONES
from rsbench.signal.frontends import FRONTENDS, create_frontend
from rsbench.spec import OptimPart

FRAMES = 32
LEAST = {"ast": 16, "cnn6": 16, "cnn10": 16, "cnn14": 32}  # frames, and bins, below which there is an error
EMBEDDED = 24  # numbers of an embedding that was made beforehand

# timm's own small models for tests: one of every kind of input, stem and positions.
OF_TIMM = ("test_vit", "test_vit3", "test_convnext", "test_efficientnet")
# One of every family does for the slow checks: mn10 and mn40 are wider mn04s, cnn14 is a deeper cnn10.
WIDER = ("mn10", "mn40", "cnn14", "resnet")


@dataclass(frozen=True)
class Case:
    """A backbone at its smallest: its registered name and options."""

    name: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def hears(self) -> bool:
        return BACKBONES.entry(self.name).value.frontend is not None

    def __str__(self) -> str:
        return ":".join((self.name, *(value for _, value in self.options)))


def smallest(name: str) -> Case:
    """With the option that `smaller` names: "backbone.size=tiny"."""
    key, _, value = BACKBONES.entry(name).value.smaller.removeprefix("backbone.").partition("=")
    return Case(name, ((key, value),) if key else ())


CASES = [smallest(name) for name in list_backbones() if name != "timm"]
CASES += [Case("timm", (("model", model),)) for model in OF_TIMM]
each_backbone = pytest.mark.parametrize("case", CASES, ids=str)
each_listener = pytest.mark.parametrize("case", [case for case in CASES if case.hears], ids=str)
each_family = pytest.mark.parametrize("case", [case for case in CASES if case.name not in WIDER], ids=str)


@functools.cache
def bins(name: str) -> int:
    frontend = BACKBONES.entry(name).value.frontend
    return create_frontend(frontend.name, **frontend.params).n_mels if frontend else EMBEDDED


def build(case: Case, n_frames: int = FRAMES, seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    return create_backbone(case.name, bins(case.name), n_frames if case.hears else 1, **dict(case.options))


def outline(case: Case) -> Backbone:
    """The backbone without memory for its weights: enough for what it says of their names."""
    with torch.device("meta"):
        return build(case)


def clips(case: Case, count: int, n_frames: int = FRAMES) -> Tensor:
    """Features (count, n_mels, n_frames), or (count, D) for what hears no sound."""
    shape = (count, bins(case.name), n_frames) if case.hears else (count, EMBEDDED)
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


@each_listener
@pytest.mark.parametrize("n_frames", [16, 37, 64])
def test_embeddings_have_their_shape_for_any_length(case: Case, n_frames: int) -> None:
    n_frames = max(n_frames, (LEAST | {"timm:test_convnext": 32}).get(str(case), 16))
    backbone = build(case, n_frames).eval()
    embeddings = backbone(clips(case, 2, n_frames))
    assert embeddings.shape == (2, backbone.embedding_dim)
    assert embeddings.isfinite().all()
    assert not torch.equal(embeddings[0], embeddings[1])


@each_family
def test_gradients_are_finite_and_reach_every_parameter(case: Case) -> None:
    backbone = build(case)
    optimiser = torch.optim.SGD(backbone.parameters(), lr=1e-2)
    for _ in range(2):  # ResNet's branches start at 0, so that only the second step reaches into them
        optimiser.zero_grad()
        backbone(clips(case, 3)).square().sum().backward()
        optimiser.step()
    for parameter_name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


@each_backbone
def test_a_clip_alone_is_the_clip_in_a_batch(case: Case) -> None:
    backbone = build(case).eval()
    batch = clips(case, 3)
    torch.testing.assert_close(backbone(batch[1:2])[0], backbone(batch)[1], rtol=1e-4, atol=1e-5)


@each_family
def test_the_seed_decides_the_weights_and_a_checkpoint_restores_them(case: Case) -> None:
    batch = clips(case, 2)
    first, same, other = build(case).eval(), build(case).eval(), build(case, seed=1).eval()
    assert torch.equal(first(batch), same(batch))
    assert not torch.equal(first(batch), other(batch))
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(batch), other(batch))


@each_family
def test_features_are_left_as_they_are(case: Case) -> None:
    batch = clips(case, 2)
    kept = batch.clone()
    build(case)(batch)
    assert torch.equal(batch, kept)


@each_family
def test_bfloat16_autocast_is_close_to_float32(case: Case) -> None:
    backbone = build(case).eval()
    batch = clips(case, 2)
    exact = backbone(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = backbone(batch)
    assert F.cosine_similarity(rough.float(), exact).min() > 0.98


@each_family
def test_it_overfits_eight_clips(case: Case) -> None:
    backbone, batch = build(case), clips(case, 8)
    labels = torch.arange(8) % 4
    classifier = nn.Linear(backbone.embedding_dim, 4)
    optimiser = torch.optim.Adam([*backbone.parameters(), *classifier.parameters()], lr=1e-3 if case.hears else 1e-2)
    losses = []
    for _ in range(10):
        loss = F.cross_entropy(classifier(backbone(batch)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-2:]) / 2 < 0.5 * losses[0]


@each_backbone
def test_its_stages_hold_every_parameter_once(case: Case) -> None:
    backbone = outline(case)
    parameters = [name for name, _ in backbone.named_parameters()]
    staged = [
        name
        for stage in backbone.stages()
        for entry in stage
        for name in parameters
        if name == entry or name.startswith(f"{entry}.")
    ]
    assert sorted(staged) == sorted(parameters)
    for entry in itertools.chain(*backbone.stages()):
        assert operator.attrgetter(entry)(backbone) is not None


@each_backbone
def test_its_own_checkpoint_fits_and_is_not_touched(case: Case) -> None:
    backbone = outline(case)
    state = backbone.state_dict()
    translated = backbone.translate(state)
    assert translated.keys() == state.keys()
    assert all(translated[name] is tensor for name, tensor in state.items())


@pytest.mark.parametrize("name", list_backbones())
def test_what_it_declares_exists(name: str) -> None:
    entry = BACKBONES.entry(name)
    assert entry.summary
    OptimPart.model_validate(entry.value.recipe)
    for weights in entry.value.published_weights():
        assert weights.licence
        assert weights.pretrained_on
        assert weights.source.startswith("https://")
        assert weights.download.startswith(("https://", "hf-hub:"))
        assert weights.sha256 == "" or len(weights.sha256) == 64
        assert weights.frontend is None or weights.frontend.name in FRONTENDS.names()


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_too_few_frames_are_an_error_that_names_the_remedy(name: str, least: int) -> None:
    with pytest.raises(RsbenchError, match=rf"{name} needs at least {least} .* 128 × {least - 1}.*data\.clip_s"):
        create_backbone(name, 128, least - 1)
