"""A finished run's model, rebuilt from the run's folder alone: neither recordings nor its first weights are needed."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.backbone import BACKBONES, embeddings_of
from ..core.errors import ResultsError, SpecError
from ..core.fingerprint import code_sha256
from ..core.loss import LOSSES
from ..core.plugins import discover
from ..core.registry import Registry
from ..core.spec import PROTOCOL
from ..core.weights import read_state
from ..data.tasks import NORMAL, TASKS
from ..evaluation.operating_point import OperatingPoint
from ..experiment.build import feature_size, untrained_model, with_adapters
from ..experiment.resolve import registered
from ..features.frontends import FRONTENDS, FrontendModule, create_frontend
from ..quality.index import QUALITY
from ..results.run import Run
from ..results.trained_model import SYNTHETIC_WARNING, TrainedModel
from ..training.adapters import merge_adapters
from ..training.checkpoint import weights_name
from ..training.predict import Model


class Classifier(nn.Module):
    """Front end, backbone and the loss's classifier: waveforms in, logits and probabilities out.

    Probabilities are softmax((logits + offset) / temperature), the offset on normal alone, so that at an operating
    point the likeliest class is the one that is called.
    """

    offset: Tensor

    def __init__(self, frontend: FrontendModule, model: Model, point: OperatingPoint, clip_s: float) -> None:
        super().__init__()
        self.frontend = frontend
        self.model = model
        self.temperature = point.temperature
        self.samples = round(clip_s * frontend.rate)
        offset = torch.zeros(model.loss.num_classes)
        offset[NORMAL] = point.normal_offset
        self.register_buffer("offset", offset)

    def forward(self, waveforms: Tensor, heard_samples: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, C) logits and probabilities of waveforms (B, samples) at the front end's rate.

        heard_samples: (B,) how many of these, from the first, are sound; None where all are.
        """
        features = self.frontend(waveforms)
        if heard_samples is None:
            heard_samples = torch.full((waveforms.shape[0],), waveforms.shape[1], device=waveforms.device)
        embeddings = embeddings_of(
            self.model.backbone, features, functools.partial(self.frontend.heard_frames, heard_samples)
        )
        logits = self.model.loss.logits(embeddings.float()).float()
        return logits, ((logits + self.offset) / self.temperature).softmax(dim=1)


def load_classifier(choice: TrainedModel) -> Classifier:
    """The classifier of a run as it is used, in eval mode, on the CPU.

    Raises:
        SpecError: the run's backbone hears no sound, the run was adapted to its test clips, or a plugin that it was
            made with is not loaded.
        ResultsError: its weights are not there, or are not of this model.
        WeightsError: its weights are damaged.
    """
    discover()
    run, spec = choice.run, choice.run.spec
    _refuse_without_plugins(run)
    if spec.frontend is None:
        raise SpecError(
            f"{run.run_id}: its backbone hears no sound, and the run cannot take one itself. Train on the recordings "
            "instead; with --set optim.freeze=all the backbone stays as it is there too."
        )
    if spec.data.adapt != "none":
        raise SpecError(
            f"{run.run_id} was adapted to its test clips (data.adapt={spec.data.adapt}), and its weights alone are "
            "another model. Make the run without data.adapt."
        )
    path = checkpoint(choice)
    frontend = create_frontend(spec.frontend.name, **spec.frontend.params)
    counts, domains = tuple(run.data.class_counts.values()), run.data.domains
    model = with_adapters(untrained_model(spec, *feature_size(frontend, spec.data.clip_s), counts, domains), spec)
    try:
        model.load_state_dict(read_state(path))
    except RuntimeError as error:  # names or shapes that differ, in many lines
        raise ResultsError(
            f"{path}: holds the weights of another model than {spec.loss.name} on {spec.backbone.name} is now. Use the "
            f"version of rsbench, or of the plugin, that the run was made with. ({str(error).splitlines()[-1].strip()})"
        ) from None
    merge_adapters(model.backbone)
    return Classifier(frontend, model, choice.point, spec.data.clip_s).eval()


def refuse_synthetic(choice: TrainedModel, *, accepted: bool) -> None:
    """Raise SpecError for a model that learnt from generated recordings, unless that was accepted."""
    if choice.trained_on_synthetic and not accepted:
        raise SpecError(
            f"{choice.run.run_id} is {SYNTHETIC_WARNING}. Use a run that was trained on real recordings. To try the "
            "command out all the same, say --yes-synthetic."
        )


def _refuse_without_plugins(run: Run) -> None:
    """Raise SpecError where something that the model needs was brought by a plugin that is not loaded."""
    registries: dict[str, Registry[Any]] = {it.kind: it for it in (LOSSES, BACKBONES, FRONTENDS, QUALITY, TASKS)}
    parts = [part for part in run.data.identity.plugins if part.partition(":")[0] in registries]
    missing = [part for part in parts if part.partition(":")[2] not in registries[part.partition(":")[0]].names()]
    if not missing:
        return
    remedies = dict.fromkeys(_how_to_load(run.data.plugins.get(part, "")) for part in missing)
    raise SpecError(f"{run.run_id} needs {' and '.join(missing)}, which a plugin brought. {' '.join(remedies)}")


def _how_to_load(plugin: str) -> str:
    """What to do where a plugin is not loaded. plugin: as the record has it, "" where it was not kept yet."""
    if not plugin:
        return "Its record does not say which plugin that was: say --plugin FILE, or --plugin MODULE."
    if plugin.endswith(".py"):
        return f"It was made with the file {plugin}: say --plugin FOLDER/{plugin}."
    return f"It was made with the module {plugin}: install its package, or say --plugin {plugin}."


def checkpoint(choice: TrainedModel) -> Path:
    """The weights of the chosen epoch. Raises ResultsError where they are not in the run's folder."""
    path = choice.run.checkpoint(weights_name(choice.selection, choice.epoch))
    if not path.is_file():
        raise ResultsError(
            f"{path}: is not there, and without its weights a run cannot be used. Bundles leave weights out: name the "
            "folder in which the run was made with --results DIR, or run it again: "
            f"rsbench run --spec {choice.run.path}/spec.json"
        )
    return path


def changed_code(run: Run) -> list[str]:
    """A line for each part of the run that was other code when it was made, where the record says what it was."""
    # The first protocol hashed the bytes of a plugin's file, and nothing of what ships here.
    then = run.data.identity.code if run.spec.protocol == PROTOCOL else {}
    return [
        f"note: {part} is other code now than when the run was made; what it says may differ from the run's scores"
        for part, entry in registered(run.spec).items()
        if then.get(part, "") not in ("", code_sha256(entry))
    ]
