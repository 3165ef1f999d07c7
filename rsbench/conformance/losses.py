"""What every loss must do, whoever wrote it."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import itertools

import torch
from torch import Tensor

from ..core.loss import AngularLoss, Batch
from ..core.spec import Range
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
from .steps import (
    CLASSES,
    COUNTS,
    DIM,
    LABELS,
    as_embeddings,
    backward,
    build,
    clips,
    embed,
    expect_finite_step,
    generator,
    recordings,
    training_step,
    value,
)

ORDER = torch.tensor([5, 2, 7, 0, 3, 6, 1, 4])


@contract(
    "It is made with its options' defaults, whatever the counts of the four classes.",
    "Take embedding_dim and class_counts, hand them to super().__init__, and give every option a default.",
)
def is_made_with_its_defaults(case: Case) -> None:
    expect_defaults(case)
    for counts in (COUNTS, (1, 1, 1, 1)):
        build(case, counts)


@contract(
    "forward gives one number and logits gives (B, C) numbers, from the first step of training to the last.",
    "Return a mean over the clips from forward, and one score per class from logits.",
)
def gives_a_scalar_and_logits(case: Case) -> None:
    for progress in (0.0, 0.5, 1.0):
        loss = build(case)
        embeddings, batch = training_step(loss, LABELS, progress)
        result, logits = value(loss, embeddings, batch), loss.logits(embeddings)
        expect(result.shape == (), f"forward gives a tensor of shape {tuple(result.shape)}")
        expect_finite(result, f"the loss at progress {progress:g}")
        wanted = (len(embeddings), CLASSES)
        expect(logits.shape == wanted, f"logits of {wanted[0]} clips have the shape {tuple(logits.shape)}")
        expect_finite(logits, "a table of logits")


@contract(
    "Gradients reach the embeddings of every view and every parameter.",
    "Leave out parameters that nothing uses, and do not detach what training should move.",
)
def gradients_reach_embeddings_and_parameters(case: Case) -> None:
    loss = build(case)
    _, of_embeddings, found = backward(loss, *training_step(loss, LABELS))
    found |= {f"the embeddings of view {view}": part for view, part in enumerate(of_embeddings.chunk(loss.views))}
    for name, gradient in found.items():
        expect(bool(gradient.any()), f"no gradient reaches {name}")


@contract(
    "logits takes embeddings alone, and knows no label.",
    "Give logits the one argument `embeddings`, and keep nothing of a batch for it.",
)
def logits_see_no_labels(case: Case) -> None:
    """By signature, and by value: a forward pass under whatever labels leaves the logits as they were."""
    loss = build(case).eval()
    arguments = list(inspect.signature(loss.logits).parameters)
    expect(arguments == ["embeddings"], f"its arguments are {', '.join(arguments) or 'none'}")
    embeddings, batch = training_step(loss, LABELS)
    before = loss.logits(embeddings)
    for labels in (LABELS, (LABELS + 1) % CLASSES):
        value(loss, embeddings, dataclasses.replace(batch, labels=labels))
        expect_same(loss.logits(embeddings), before, "logits before and after a forward pass")


@contract(
    "The logits of a clip are the same alone and in a batch.",
    "Compute them row by row; what is learnt of a batch belongs in a buffer that eval mode leaves as it is.",
)
def logits_of_a_clip_do_not_depend_on_its_neighbours(case: Case) -> None:
    loss = build(case).eval()
    embeddings, _ = training_step(loss, LABELS)
    one_by_one = torch.cat([loss.logits(row.unsqueeze(0)) for row in embeddings])
    expect_close(loss.logits(embeddings), one_by_one, "logits in a batch and alone")


@contract(
    "State moves in training only.",
    "Update buffers under `if self.training:`.",
)
def eval_mode_moves_no_state(case: Case) -> None:
    loss = build(case).eval()
    before = copy.deepcopy(loss.state_dict())
    value(loss, *training_step(loss, LABELS))
    for name, kept in loss.state_dict().items():
        expect_same(kept, before[name], f"the entries of {name} before and after a forward pass in eval mode")


@contract(
    "A checkpoint holds all that the loss has learnt.",
    "Keep what moves as a parameter or a buffer (register_buffer), never as a plain attribute.",
)
def state_survives_a_round_trip(case: Case) -> None:
    loss, other = build(case), build(case, seed=1)
    for draw in range(3):  # moves the state of a loss that has some
        value(loss, *training_step(loss, LABELS.roll(draw), draw=draw))
    other.load_state_dict(loss.state_dict())
    embeddings, batch = training_step(loss, LABELS)
    expect_same(other.logits(embeddings), loss.logits(embeddings), "logits before and after a checkpoint")
    expect_same(value(other, embeddings, batch), value(loss, embeddings, batch), "losses before and after a checkpoint")


@contract(
    "The order of the clips in a batch does not matter.",
    "Treat all clips alike; a loss whose forward draws for each of them says stochastic = True.",
)
def order_of_the_batch_does_not_matter(case: Case) -> None:
    loss = build(case)
    embeddings, batch = training_step(loss, LABELS)
    expect_close(loss.logits(embeddings[ORDER]), loss.logits(embeddings)[ORDER], "logits in two orders")
    if not loss.stochastic:
        turned = embeddings.unflatten(0, (loss.views, -1))[:, ORDER].flatten(0, 1)
        expect_close(
            value(build(case), turned, reordered(batch, ORDER)), value(build(case), embeddings, batch), "losses"
        )


def reordered(batch: Batch, order: Tensor) -> Batch:
    """The clips of a batch in another order, (B,), with the partners they had."""
    return dataclasses.replace(
        batch,
        labels=batch.labels[order],
        quality=batch.quality[order],
        patient=batch.patient[order],
        device=batch.device[order],
        dataset=None if batch.dataset is None else batch.dataset[order],
        partner=None if batch.partner is None else order.argsort()[batch.partner[order]],
        share=None if batch.share is None else batch.share[order],
    )


@contract(
    "A batch may lack classes.",
    "Divide by counts that cannot be 0: an average over no clip is NaN.",
)
def classes_may_be_absent(case: Case) -> None:
    for label in range(CLASSES):
        loss = build(case)
        step = training_step(loss, torch.full((6,), label))
        expect_finite_step(loss, *step, f"of six clips of class {label}")


@contract(
    "A batch may hold one clip.",
    "Mind statistics over the batch: one clip has no standard deviation and no other clip to compare with.",
)
def a_batch_may_hold_one_clip(case: Case) -> None:
    for label in range(CLASSES):
        loss = build(case)
        step = training_step(loss, torch.tensor([label]))
        expect_finite_step(loss, *step, f"of one clip of class {label}")


@contract(
    "Under bfloat16 autocast the loss is finite, and within 5 % of what it is in float32.",
    "Compute in at least float32 (rsbench.at_least_float32), with autocast off around cosines and exponentials.",
)
def finite_in_bfloat16(case: Case) -> None:
    loss = build(case)
    embeddings, batch = training_step(loss, LABELS)
    embeddings = embeddings.bfloat16()
    exact = value(build(case), embeddings.float(), batch)
    with bfloat16():
        rough = expect_finite_step(loss, embeddings, batch, "in bfloat16")
    expect_close(rough, exact, "the losses in bfloat16 and float32", rtol=0.05, atol=0.05)


@contract(
    "Loss and gradients are finite where an embedding points exactly along or against a class's weights.",
    "Keep cosines inside ±1 by a margin before acos or a square root, whose slopes are infinite there.",
)
def finite_at_the_ends_of_the_cosine(case: Case) -> None:
    """Every row (or column) of every matrix that is D wide, with every label: some of them are class weights.

    As they are, and along the axes, where a cosine is ±1 to the bit however a machine rounds.
    """
    for along_axes, sign, label in itertools.product((False, True), (1.0, -1.0), range(CLASSES)):
        loss = build(case)
        found = [rows for parameter in loss.parameters() for rows in as_embeddings(parameter.detach())]
        if along_axes:
            for rows in found:
                rows.copy_(torch.eye(DIM)[torch.arange(len(rows)) % DIM])
        directions = torch.cat([torch.eye(DIM), *found])
        labels = torch.full((len(directions),), label)
        _, batch = training_step(loss, labels)
        where = f"at a cosine of {sign:+g} for label {label}"
        expect_finite_step(loss, sign * directions.repeat(loss.views, 1), batch, where)


@contract(
    "Loss and gradients are finite for an embedding of zeros, as a backbone of ReLUs may give.",
    "Normalise with torch.nn.functional.normalize, and clamp norms from below before dividing by them.",
)
def finite_at_an_embedding_of_zeros(case: Case) -> None:
    loss = build(case)
    embeddings, batch = training_step(loss, LABELS)
    embeddings[::3] = 0
    expect_finite_step(loss, embeddings, batch, "where some embeddings are 0")


@contract(
    'torch.compile(backend="aot_eager") changes neither the loss nor its gradient.',
    "Leave Python's own state, and .item() on tensors, out of forward.",
)
def compiles(case: Case) -> None:
    loss, compiled = build(case), build(case)
    compiled.compile(backend="aot_eager")
    step = training_step(loss, LABELS)
    with quiet_compiler():
        seen, seen_gradient, _ = backward(compiled, *step)
    wanted, wanted_gradient, _ = backward(loss, *step)
    expect_close(seen, wanted, "the losses compiled and not")
    expect_close(seen_gradient, wanted_gradient, "the gradients compiled and not")


@contract(
    "forward draws from torch's generators alone, and says so: stochastic = True, if and only if it draws.",
    "Draw with torch (torch.rand_like, F.dropout), which the loop seeds, and set stochastic on the class.",
)
def stochastic_as_declared(case: Case) -> None:
    step = training_step(build(case), LABELS)
    first, again, *others = (value(build(case), *step, seed=seed) for seed in (0, 0, 1, 2, 3))
    expect_same(again, first, "the losses of two passes under one seed")
    draws = any(not torch.equal(first, other) for other in others)
    declared = build(case).stochastic
    expect(draws == declared, f"stochastic is {declared}, and seeds {'change' if draws else 'never change'} the loss")


@contract(
    "A clip's gradient depends on the embeddings of its neighbours if, and only if, the loss says compares = True.",
    "Set compares on the class as it is.",
)
def compares_as_declared(case: Case) -> None:
    loss = build(case)
    embeddings, batch = training_step(loss, LABELS)
    others = embeddings.unflatten(0, (loss.views, -1)).clone()
    others[:, 1:] = 1.5 * others[:, 1:].roll(1, dims=-1)  # directions and norms, of all but the first clip
    of_first, of_first_again = (
        backward(build(case), rows, batch)[1].unflatten(0, (loss.views, -1))[:, 0]
        for rows in (embeddings, others.flatten(0, 1))
    )
    compares = not torch.allclose(of_first, of_first_again, rtol=1e-4, atol=1e-7)
    changes = "changes" if compares else "does not change"
    expect(compares == loss.compares, f"compares is {loss.compares}, and moving the other clips {changes} it")


@contract(
    "mix draws from the generator it is given alone, and gives features of the same shape and a whole batch.",
    "Pass generator=generator to every draw; return the same clips, with partner and share (B,) where they are mixed.",
)
def mixing_keeps_its_contract(case: Case) -> None:
    loss = build(case)
    features, batch = recordings(loss, LABELS), clips(LABELS)
    state = torch.get_rng_state()
    mixed, after = loss.mix(features.clone(), batch, generator(5))
    expect(torch.equal(torch.get_rng_state(), state), "mix draws from torch's global generator")
    again, _ = loss.mix(features.clone(), batch, generator(5))
    expect_same(again, mixed, "features mixed twice from one generator")
    expect(mixed.shape == features.shape, f"features {tuple(features.shape)} become {tuple(mixed.shape)}")
    expect_finite(mixed, "a table of mixed features")
    expect(torch.equal(after.labels, batch.labels), "the labels of the batch are changed")
    expect((after.partner is None) == (after.share is None), "only one of partner and share is given")
    if after.partner is not None and after.share is not None:
        shapes = f"partner {tuple(after.partner.shape)} and share {tuple(after.share.shape)}"
        expect(after.partner.shape == after.share.shape == LABELS.shape, f"for {len(LABELS)} clips, {shapes}")
        known = (after.partner >= 0) & (after.partner < len(LABELS))
        expect(bool(known.all()), "a partner that is not in the batch")
        expect(bool(((after.share >= 0) & (after.share <= 1)).all()), "a share outside [0, 1]")


@contract(
    "class_weights counts clips by their class: of the whole angular family, and of whatever else has the option.",
    "Take the option from AngularLoss or rsbench.cross_entropy, and hand it on.",
)
def class_weights_count_where_classes_differ_in_size(case: Case) -> None:
    if "class_weights" not in case.entry.parameters():
        expect(not issubclass(case.entry.value, AngularLoss), "an angular loss without the option class_weights")
        return
    step = training_step(build(case), LABELS)
    even, counts = (9,) * CLASSES, COUNTS
    plain, alike, unweighted, weighted = (
        value(build(case, sizes, class_weights=weights), *step)
        for sizes, weights in [(even, "none"), (even, "inverse"), (counts, "none"), (counts, "inverse")]
    )
    expect_close(alike, plain, "for classes of one size, the weighted and the plain loss")
    expect(not torch.isclose(weighted, unweighted), f"class_weights=inverse leaves the loss at {weighted.item():.4g}")


@contract(
    "What `search` registers for a fair tuning are options of the loss's own, hold its defaults, and train everywhere.",
    "Narrow the range, or mend the loss there; leave scale and class_weights out, which are searched for all losses.",
)
def a_search_may_try_what_it_registers(case: Case) -> None:
    search, options = case.entry.value.search, case.entry.parameters()
    foreign = search.keys() - (options.keys() - {"scale", "class_weights"})
    expect(not foreign, f"search names {', '.join(sorted(foreign))}")
    for key, tried in search.items():
        default = options[key].default
        held = tried.low <= default <= tried.high if isinstance(tried, Range) else default in tried
        expect(held, f"the default {key}={default} is outside {tried}")
    ends = [(tried.low, tried.high) if isinstance(tried, Range) else tried for tried in search.values()]
    for corner in itertools.product(*ends):
        chosen = dict(zip(search, corner, strict=True))
        loss = build(case, **chosen)
        named = ", ".join(f"{key}={end}" for key, end in chosen.items())
        expect_finite_step(loss, *training_step(loss, LABELS), f"with {named or 'the defaults'}")


@contract(
    "The classifier alone learns to separate embeddings that are separable.",
    "Look at the sign of the loss, and at what logits gives for the class that forward prefers.",
)
def separates_what_is_separable(case: Case) -> None:
    """Sixty steps on clips around four patterns, through one fixed projection."""
    loss, steps = build(case), 60
    labels = torch.arange(64) % CLASSES
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.05)
    for draw in range(steps):
        optimiser.zero_grad()
        value(loss, *training_step(loss, labels, draw / steps, draw), seed=draw).backward()
        optimiser.step()
    embeddings = embed(recordings(loss, labels))[: len(labels)]
    right = int((loss.eval().logits(embeddings).argmax(dim=1) == labels).sum())
    expect(right == len(labels), f"{right} of {len(labels)} right after {steps} steps")


@contract(
    "A loss that is solved separates what is separable, to the same bits again, whatever it was before.",
    "Define solve(embeddings, labels, held_out, held_out_labels): set all parameters, and give what was chosen.",
)
def solves_as_declared(case: Case) -> None:
    loss, again = build(case), build(case, seed=1)
    if not loss.solved:
        return
    labels = torch.arange(64) % CLASSES
    embeddings = embed(recordings(loss, labels))[: len(labels)]
    solved = [one.eval().solve(embeddings, labels, embeddings[::2], labels[::2]) for one in (loss, again)]
    expect(solved[0] == solved[1], f"it chooses {solved[0]} and {solved[1]} of the same embeddings")
    expect_same(again.logits(embeddings), loss.logits(embeddings), "logits of two solutions")
    expect(loss.logits(embeddings).argmax(dim=1).equal(labels), f"not all of {len(labels)} clips are right")


CHECKS: tuple[Check, ...] = (
    is_made_with_its_defaults,
    gives_a_scalar_and_logits,
    gradients_reach_embeddings_and_parameters,
    logits_see_no_labels,
    logits_of_a_clip_do_not_depend_on_its_neighbours,
    eval_mode_moves_no_state,
    state_survives_a_round_trip,
    order_of_the_batch_does_not_matter,
    classes_may_be_absent,
    a_batch_may_hold_one_clip,
    finite_in_bfloat16,
    finite_at_the_ends_of_the_cosine,
    finite_at_an_embedding_of_zeros,
    compiles,
    stochastic_as_declared,
    compares_as_declared,
    mixing_keeps_its_contract,
    class_weights_count_where_classes_differ_in_size,
    a_search_may_try_what_it_registers,
    separates_what_is_separable,
    solves_as_declared,
)
