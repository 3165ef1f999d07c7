"""What every backbone must do, each at its smallest size."""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.backbone import Backbone, Frontend, create_backbone
from ..core.errors import RsbenchError
from ..core.spec import OptimPart
from ..features.frontends import FRONTENDS, create_frontend
from .checks import (
    Case,
    Check,
    bfloat16,
    contract,
    expect,
    expect_close,
    expect_defaults,
    expect_finite,
    expect_same,
    quiet_compiler,
)

LENGTHS = (16, 32, 64, 128, 256, 512, 1024)  # frames, among which the shortest is sought that a backbone takes
SAMPLES = 16  # of a waveform that count as one of these frames
EMBEDDED = 24  # numbers of an embedding that was made beforehand
OVERFIT_STEPS = 200


def smallest(name: str) -> Case:
    """A backbone with the option that `smaller` names: "backbone.size=tiny"."""
    case = Case("backbone", name)
    key, _, value = case.entry.value.smaller.removeprefix("backbone.").partition("=")
    return Case("backbone", name, ((key, value),)) if key else case


def hears(case: Case) -> bool:
    """Whether it is given sound, rather than embeddings that were made beforehand."""
    return frontend_of(case) is not None


def frontend_of(case: Case) -> Frontend | None:
    """That of the backbone with these options. Raises SpecError where they leave it open."""
    frontend: Frontend | None = case.entry.value.frontend_for(**dict(case.options))
    return frontend


@functools.cache
def bins(case: Case) -> int:
    """Of its own front end, or the width of the embeddings it is given."""
    frontend = frontend_of(case)
    return create_frontend(frontend.name, **frontend.params).n_mels if frontend else EMBEDDED


@functools.cache
def shortest(case: Case) -> int:
    """The first of `lengths` that it does not refuse. Raises RsbenchError, its own, where it refuses them all."""
    *shorter, longest = lengths(case)
    for n_frames in shorter:
        with contextlib.suppress(RsbenchError):
            build(case, n_frames)
            return n_frames
    build(case, longest)
    return longest


def lengths(case: Case) -> tuple[int, ...]:
    """Frames of the features that it is tried with: LENGTHS, more where frames are samples, 1 where it hears none."""
    frontend = frontend_of(case)
    if frontend is None:
        return (1,)
    spectral = FRONTENDS.entry(frontend.name).value.spectral
    return LENGTHS if spectral else tuple(SAMPLES * n_frames for n_frames in LENGTHS)


def usual(case: Case) -> int:
    """The length, in frames, that it is checked with where length is not the question."""
    return 2 * shortest(case) if hears(case) else 1


def build(case: Case, n_frames: int, seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    backbone = create_backbone(case.name, bins(case), n_frames, **dict(case.options))
    if backbone.takes_mask:
        backbone.register_forward_pre_hook(_all_heard)
    return backbone


def _all_heard(backbone: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What a backbone that takes a mask is given where no check says which frames are heard."""
    features = given[0]
    return given if len(given) > 1 else (features, torch.ones_like(features[:, 0], dtype=torch.bool))


def smallest_build(case: Case, seed: int = 0) -> Backbone:
    return build(case, usual(case), seed)


def learns(case: Case) -> bool:
    """Whether there is anything to learn in it; of what has no parameter, neither gradients nor weights are asked."""
    return next(smallest_build(case).parameters(), None) is not None


def expect_alike(seen: Tensor, wanted: Tensor, what: str) -> None:
    """Embeddings agree within rounding, which counts beside their own size: before training, some are of 1e-10."""
    expect_close(seen, wanted, what, rtol=1e-4, atol=1e-5 * wanted.abs().max().item())


def clips(case: Case, count: int, n_frames: int | None = None) -> Tensor:
    """Features (count, bins, frames), of the usual length by default; (count, D) for what hears no sound."""
    shape = (count, bins(case), n_frames or usual(case)) if hears(case) else (count, EMBEDDED)
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


@contract(
    "It is made with its options' defaults, for the bins of its front end and up to 1024 frames (16384 samples).",
    "Take n_mels and n_frames, hand them to super().__init__, and give every option a default.",
)
def is_made_with_its_defaults(case: Case) -> None:
    expect_defaults(case)
    shortest(case)


@contract(
    "Features of any length become (B, embedding_dim) finite numbers that differ between clips.",
    "Pool over time, set embedding_dim in __init__, and raise an RsbenchError for what is too short.",
)
def embeddings_have_their_shape_for_any_length(case: Case) -> None:
    least = shortest(case)
    for n_frames in (least, 2 * least + 5) if hears(case) else (least,):
        backbone = build(case, n_frames).eval()
        embeddings = backbone(clips(case, 2, n_frames))
        wanted = (2, backbone.embedding_dim)
        expect(embeddings.shape == wanted, f"{n_frames} frames become {tuple(embeddings.shape)} instead of {wanted}")
        expect_finite(embeddings, f"an embedding of {n_frames} frames")
        expect(not torch.equal(embeddings[0], embeddings[1]), f"two clips of {n_frames} frames have one embedding")


@contract(
    "Finite gradients reach every parameter within two steps.",
    "Leave out parameters that nothing uses, and do not detach what training should move.",
    slow=True,
)
def gradients_are_finite_and_reach_every_parameter(case: Case) -> None:
    if not learns(case):
        return
    backbone = smallest_build(case)
    optimiser = torch.optim.SGD(backbone.parameters(), lr=1e-2)
    for _ in range(2):  # ResNet's branches start at 0, so that only the second step reaches into them
        optimiser.zero_grad()
        backbone(clips(case, 3)).square().sum().backward()
        optimiser.step()
    for name, parameter in backbone.named_parameters():
        if not parameter.requires_grad:
            continue
        expect(parameter.grad is not None and bool(parameter.grad.any()), f"no gradient reaches {name}")
        if parameter.grad is not None:
            expect_finite(parameter.grad, f"the gradient of {name}")


@contract(
    "In eval mode the embedding of a clip is the same alone and in a batch.",
    "Keep statistics over the batch to training, as batch norm does.",
)
def a_clip_alone_is_the_clip_in_a_batch(case: Case) -> None:
    backbone = smallest_build(case).eval()
    batch = clips(case, 3)
    expect_alike(backbone(batch[1:2])[0], backbone(batch)[1], "embeddings alone and in a batch")


@contract(
    "Where it takes a mask, what stands in frames that are not heard does not change its embeddings.",
    "Fill those frames with what follows from the heard ones, and pool over heard frames alone.",
)
def unheard_frames_change_nothing(case: Case) -> None:
    backbone = smallest_build(case).eval()
    if not backbone.takes_mask:
        return
    batch = clips(case, 3)
    n_frames = batch.shape[-1]
    heard = torch.arange(n_frames) < torch.tensor([[1], [n_frames // 2 + 1], [n_frames]])
    other = torch.where(heard.unsqueeze(1), batch, 50 - batch)
    expect_alike(backbone(other, heard), backbone(batch, heard), "embeddings with other unheard frames")


@contract(
    "The seed alone decides the initial weights.",
    "Draw them with torch, which the run seeds, and leave seeds alone.",
    slow=True,
)
def the_seed_decides_the_weights(case: Case) -> None:
    batch = clips(case, 2)
    first, same, other = (smallest_build(case, seed).eval() for seed in (0, 0, 1))
    expect_same(same(batch), first(batch), "embeddings under one seed")
    expect(not (learns(case) and torch.equal(first(batch), other(batch))), "two seeds give the same embeddings")


@contract(
    "A checkpoint holds all that the backbone has learnt.",
    "Keep what moves as a parameter or a buffer (register_buffer), never as a plain attribute.",
    slow=True,
)
def state_survives_a_round_trip(case: Case) -> None:
    first, other, batch = smallest_build(case), smallest_build(case, seed=1), clips(case, 3)
    first(batch)  # in train mode, which moves running statistics
    other.load_state_dict(first.state_dict())
    expect_same(other.eval()(batch), first.eval()(batch), "embeddings before and after a checkpoint")


@contract(
    "Features are left as they are.",
    "Work on a copy: no operation in place (`+=`, `mul_`) on what forward is given.",
    slow=True,
)
def features_are_left_as_they_are(case: Case) -> None:
    batch = clips(case, 2)
    kept = batch.clone()
    smallest_build(case)(batch)
    expect_same(batch, kept, "features before and after forward")


@contract(
    "Under bfloat16 autocast embeddings point where they do in float32: a cosine above 0.98.",
    "Compute sums over many frames and exponentials in float32.",
    slow=True,
)
def bfloat16_is_close_to_float32(case: Case) -> None:
    backbone, batch = smallest_build(case).eval(), clips(case, 2)
    exact = backbone(batch)
    with bfloat16():
        rough = backbone(batch)
    expect_finite(rough, "an embedding in bfloat16")
    # In float64, and of any length: before training, some embeddings are shorter than the default eps of 1e-8.
    cosine = F.cosine_similarity(rough.double(), exact.double(), eps=1e-100).min().item()
    expect(cosine > 0.98, f"a cosine of {cosine:.3f}")


@contract(
    'torch.compile(backend="aot_eager") does not change the embeddings.',
    "Leave Python's own state, and .item() on tensors, out of forward.",
    slow=True,
)
def compiles(case: Case) -> None:
    backbone, batch = smallest_build(case).eval(), clips(case, 2)
    plain = backbone(batch)
    backbone.compile(backend="aot_eager")
    with quiet_compiler():
        expect_alike(backbone(batch), plain, "embeddings compiled and not")


@contract(
    f"It overfits eight clips: the cross-entropy halves within {OVERFIT_STEPS} steps of Adam at 0.001.",
    "Look at the scale of its outputs and of its initial weights.",
    slow=True,
)
def it_overfits_eight_clips(case: Case) -> None:
    backbone, batch = smallest_build(case), clips(case, 8)
    labels = torch.arange(8) % 4
    classifier = nn.Linear(backbone.embedding_dim, 4)
    optimiser = torch.optim.Adam([*backbone.parameters(), *classifier.parameters()], lr=1e-3)
    losses: list[float] = []
    for _ in range(OVERFIT_STEPS):
        loss = F.cross_entropy(classifier(backbone(batch)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        if max(losses[-2:]) < 0.5 * losses[0]:  # twice in a row: dropout makes single steps differ
            return
    expect(False, f"it goes from {losses[0]:.3g} to {losses[-1]:.3g}")


@contract(
    "stages() names every parameter once.",
    "Name children in the order from input to output, and leave none out.",
)
def its_stages_hold_every_parameter_once(case: Case) -> None:
    backbone = smallest_build(case)
    parameters = [name for name, _ in backbone.named_parameters()]
    entries = list(itertools.chain(*backbone.stages()))
    staged = [name for entry in entries for name in parameters if name == entry or name.startswith(f"{entry}.")]
    for name in parameters:
        expect(staged.count(name) == 1, f"{name} is in {staged.count(name)} of its stages")
    for entry in entries:
        expect(operator.attrgetter(entry)(backbone) is not None, f"{entry} is None")


@contract(
    "translate leaves a checkpoint of its own as it is.",
    "Change names and shapes of the public checkpoint only.",
)
def its_own_checkpoint_fits_and_is_not_touched(case: Case) -> None:
    backbone = smallest_build(case)
    state = backbone.state_dict()
    translated = backbone.translate(state)
    changed = sorted(state.keys() ^ translated.keys()) or [n for n, t in state.items() if translated[n] is not t]
    expect(not changed, f"{', '.join(changed[:3])} changed")


@contract(
    "What it declares exists: a summary, its front end, a recipe of `optim` fields, public weights with their licence.",
    "Complete the declaration; see rsbench.PublicWeights and `rsbench list frontends`.",
)
def what_it_declares_exists(case: Case) -> None:
    entry = case.entry
    expect(bool(entry.summary), "no summary, and no docstring to take it from")
    OptimPart.model_validate(dict(entry.value.recipe))
    frontends, own = FRONTENDS.names(), frontend_of(case)
    expect(own is None or own.name in frontends, f"no front end {own}")
    for weights in entry.value.published_weights(**dict(case.options)):
        told = f"weights '{weights.name}' with"
        expect(bool(weights.licence), f"{told}out a licence")
        expect(bool(weights.pretrained_on), f"{told}out what they were pretrained on")
        expect(weights.source.startswith("https://"), f"{told} source={weights.source!r}, which is no https:// page")
        from_somewhere = weights.download.startswith(("https://", "hf-hub:"))
        expect(from_somewhere, f"{told} download={weights.download!r}, neither https:// nor hf-hub:")
        expect(len(weights.sha256) in (0, 64), f"{told} a sha256 of {len(weights.sha256)} digits")
        expect(weights.frontend is None or weights.frontend.name in frontends, f"{told} no front end that exists")


CHECKS: tuple[Check, ...] = (
    is_made_with_its_defaults,
    what_it_declares_exists,
    embeddings_have_their_shape_for_any_length,
    a_clip_alone_is_the_clip_in_a_batch,
    unheard_frames_change_nothing,
    its_stages_hold_every_parameter_once,
    its_own_checkpoint_fits_and_is_not_touched,
    features_are_left_as_they_are,
    gradients_are_finite_and_reach_every_parameter,
    the_seed_decides_the_weights,
    state_survives_a_round_trip,
    bfloat16_is_close_to_float32,
    compiles,
    it_overfits_eight_clips,
)
