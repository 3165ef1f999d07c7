"""Settings of a spec that are each right and cannot hold together: each has one message, with what to do instead."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.backbone import BACKBONES
from ..core.errors import SpecError
from ..core.loss import LOSSES, Loss
from ..core.spec import PROTOCOL, AugmentPart, BackboneChoice, Choice, RunSpec
from ..data.splits import Split
from ..data.tasks import task
from ..evaluation.selection import rule
from ..features.frontends import FRONTENDS
from ..training.finetune import WHOLE


def refuse_contradictions(spec: RunSpec, splits: Sequence[Split]) -> None:
    """Raise SpecError for the first of them. splits: all that the spec trains or tests on."""
    _check_folds(spec, splits)
    _check_protocol(spec)
    _check_selection(spec)
    _check_adaptation(spec)
    _check_embedded(spec)
    check_masks(spec.frontend, spec.augment)
    _check_mixing(spec)
    _check_solved(spec)


def _check_folds(spec: RunSpec, splits: Sequence[Split]) -> None:
    """A split with folds is what is trained on and all that is tested; its folds cannot be chosen by, nor refitted."""
    folded = next((item.name for item in splits if item.folds), None)
    if folded is None:
        return
    if spec.data.train != folded:
        raise SpecError(
            f"data.train={spec.data.train}: '{folded}' tests each patient by a model that was trained on the others, "
            "so it is what is trained on too. Leave out data.train, or test on another split."
        )
    if spec.data.test != (folded,):
        raise SpecError(
            f"data.test={','.join(spec.data.test)}: '{folded}' has a model for each fold, and other splits would be "
            f"judged by several. Test on '{folded}' alone, and on the others in a run of their own."
        )
    if spec.data.adapt != "none":
        raise SpecError(f"data.adapt={spec.data.adapt}: each fold of '{folded}' would look at its own clips alone.")
    chosen = next((name for name in spec.select if rule(name).judged_on in ("test", "folds")), None)
    if chosen is not None:
        raise SpecError(f"select={chosen}: each fold of '{folded}' chooses by itself. Select val, val-auroc or last.")


def _check_protocol(spec: RunSpec) -> None:
    if spec.protocol != PROTOCOL:
        raise SpecError(
            f"protocol={spec.protocol}: this rsbench makes runs under protocol {PROTOCOL}. Say --set "
            f"protocol={PROTOCOL}: that is another run than the one this spec is from, and they share no board."
        )


def _check_selection(spec: RunSpec) -> None:
    """Rules that exist, and that can be had of one training."""
    if not spec.select or not spec.data.test:
        raise SpecError("select and data.test must each name at least one.")
    rules = [rule(name) for name in spec.select]
    if "elsewhere" in {chosen.judged_on for chosen in rules}:
        raise SpecError("select=unknown is of predictions made elsewhere. Ask for --select val, or last.")
    refit = [chosen.name for chosen in rules if chosen.judged_on == "folds"]
    if refit and len(rules) > 1:
        raise SpecError(f"select={refit[0]} is a training of its own, on all patients: ask for it alone.")
    if refit and len(spec.data.trains) > 1:
        raise SpecError(f"select={refit[0]} makes folds of one data set: name one split in data.train, or use val.")
    if refit and spec.validation.fraction > 0:
        raise SpecError(f"select={refit[0]} ends with a training on all patients: leave out validation.fraction.")
    blind = [chosen.name for chosen in rules if chosen.judged_on == "validation"]
    if spec.validation.fraction == 0 and blind:
        raise SpecError(
            f"select={blind[0]} needs validation patients, and validation.fraction is 0. "
            "Ask for --select last, or give validation a share."
        )


def _check_adaptation(spec: RunSpec) -> None:
    """Test clips change the final predictions alone, and labels of test never do."""
    chosen = next((name for name in spec.select if rule(name).judged_on in ("test", "folds")), None)
    if spec.data.adapt != "none" and chosen is not None:
        raise SpecError(
            f"data.adapt={spec.data.adapt}: select={chosen} would judge epochs by models that are not adapted. Select "
            "val, val-auroc or last."
        )


def _check_embedded(spec: RunSpec) -> None:
    """A backbone that is given embeddings needs their file, and has no sound to mask."""
    if spec.frontend is not None:
        return
    name, no_file = spec.backbone.name, spec.backbone.weights == BackboneChoice.model_fields["weights"].default
    needs_file = BACKBONES.entry(name).value.needs_embeddings()
    if needs_file and no_file:
        raise SpecError(f"backbone '{name}' needs a file of embeddings: --backbone {name}:FILE (see rsbench embed).")
    if needs_file and (level := task(spec.data.task).level) != "clip":
        raise SpecError(
            f"data.task={spec.data.task} is about a {level}, and files of embeddings hold annotated clips. Train on "
            "the recordings themselves, with --set optim.freeze=all say."
        )
    if not (needs_file or no_file):
        raise SpecError(f"backbone.weights={spec.backbone.weights}: '{name}' takes none. Leave --weights out.")
    if spec.optim.adapter != "none":
        raise SpecError(
            f"optim.adapter={spec.optim.adapter}: backbone '{name}' hears no sound, and all of it is small enough to "
            "train. Leave optim.adapter out."
        )
    if spec.augment.freq_masks or spec.augment.time_masks:
        raise SpecError(
            "augment: embeddings cannot be masked. Make augmented views beforehand: rsbench embed --views 4."
        )
    if spec.augment.mixstyle:
        raise SpecError("augment.mixstyle mixes the bins of spectrograms, and embeddings have none. Try augment.mixup.")


def check_masks(frontend: Choice | None, augment: AugmentPart) -> None:
    """What masks or mixes frequencies needs a front end that has some."""
    if frontend is None or FRONTENDS.entry(frontend.name).value.spectral:
        return
    for key in ("freq_masks", "mixstyle"):
        if getattr(augment, key):
            raise SpecError(
                f"augment.{key}={getattr(augment, key)}: the front end '{frontend.name}' gives no bins of frequency. "
                f"Leave out augment.{key}; augment.time_masks silences stretches of the sound."
            )


def _check_mixing(spec: RunSpec) -> None:
    """Clips are mixed once: by the loss, or by mixup for any loss that does not."""
    if spec.augment.mixup and LOSSES.entry(spec.loss.name).value.mix is not Loss.mix:
        raise SpecError(f"augment.mixup: loss '{spec.loss.name}' mixes clips itself. Choose one of the two.")


def _check_solved(spec: RunSpec) -> None:
    """A loss that is solved needs embeddings that stay as they are."""
    backbone = BACKBONES.entry(spec.backbone.name).value
    passing_on = backbone.nothing_to_learn or {}
    at_rest = backbone.nothing_to_learn is not None and passing_on.items() <= spec.backbone.params.items()
    frozen = WHOLE in spec.optim.freeze or at_rest
    if not frozen and LOSSES.entry(spec.loss.name).value.solved:
        options = " and ".join(f"backbone.{key}={value}" for key, value in passing_on.items())
        remedy = f"Leave {options} as they are" if options else f"Freeze it, --set optim.freeze={WHOLE}"
        raise SpecError(
            f"loss={spec.loss.name} is solved, so that backbone '{spec.backbone.name}' cannot learn with it. {remedy}, "
            "or give embeddings, --backbone embeddings:FILE (see rsbench embed)."
        )
