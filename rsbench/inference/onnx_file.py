"""A run's classifier as one ONNX file, front end included, kept only if it computes what PyTorch computes."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import ExportFailed, SpecError
from ..core.files import write_bytes
from ..data.windows import ClipWindow
from ..results.trained_model import TrainedModel
from .classifier import Classifier

if TYPE_CHECKING:
    import onnx

NEEDED = ("onnx", "onnxruntime", "onnxscript")
TOLERANCE = 1e-4  # of logits and probabilities
TRACED_CLIPS = 2  # a batch of one would be taken for the only size
CHECKED_CLIPS = (1, 3, 5)  # sizes that were not traced
INPUT, OUTPUTS = "waveforms", ("logits", "probabilities")


def export_onnx(choice: TrainedModel, classifier: Classifier, out: Path) -> float:
    """Write the classifier of a run to a file, and return the largest difference from PyTorch that was found.

    The file takes `waveforms` (clips, samples), float32 at the front end's rate, any number of clips, each as long as
    the run's clips; and gives `logits` and `probabilities`, both (clips, classes). Its metadata says what it is.

    Raises:
        SpecError: what writes or runs ONNX is not installed, or the backbone takes a mask.
        ExportFailed: the model cannot be written so, or gives other numbers there. Nothing is kept then.
        StorageError: the file cannot be written.
    """
    _check_installed()
    if classifier.model.backbone.takes_mask:
        raise SpecError(
            f"{choice.run.run_id}: its backbone is told which frames of a clip hold its sound, for which the file has "
            "no input. Export a run on a backbone without a mask."
        )
    model = _traced(classifier)
    _describe(model, choice, classifier)
    content = model.SerializeToString()
    difference = _largest_difference(content, classifier)
    if not difference <= TOLERANCE:
        raise ExportFailed(
            f"{choice.run.run_id}: as ONNX it gives numbers that differ by {difference:.1g} from PyTorch's, more than "
            f"{TOLERANCE:g}. Nothing was kept. A backbone of a plugin may do what the exporter does not understand."
        )
    write_bytes(out, content)
    return difference


def how_to_use(classifier: Classifier, window: ClipWindow, classes: Sequence[str]) -> list[str]:
    """What a program has to do before and with the file, in lines of Markdown."""
    frontend, seconds = classifier.frontend, classifier.samples / classifier.frontend.rate
    fade = frontend.edge_fade
    faded = (
        f" As in training, the first and last {fade} samples of a recording are faded linearly before clips are cut "
        f"from it, and so are the last {fade} of {'sound before silence' if window.silence else 'a repeated clip'}."
        if fade
        else ""
    )
    return [
        f"- Input `{INPUT}`: float32 (clips, {classifier.samples}), mono in [−1, 1] at {frontend.rate} Hz; any number "
        "of clips. The front end is inside.",
        f"- A clip is {seconds:g} s: {window.in_words}.{faded}",
        f"- Outputs `{OUTPUTS[0]}` and `{OUTPUTS[1]}`: (clips, {len(classes)}), in the order {', '.join(classes)}.",
        "- The file's metadata holds run, classes, rate, length, offset and temperature.",
    ]


def _check_installed() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SpecError(f"ONNX needs {' and '.join(missing)}, not installed here: pip install 'rsbench[export]'.")


def _traced(classifier: Classifier) -> onnx.ModelProto:
    example = torch.zeros(TRACED_CLIPS, classifier.samples)
    clips = torch.export.Dim("clips")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter's, about itself
            program = torch.onnx.export(
                classifier,
                (example,),
                dynamo=True,
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                dynamic_shapes=({0: clips},),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ExportFailed(f"The exporter of torch {torch.__version__} cannot write this model: {error}") from None
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ExportFailed(
            f"The exporter fixed the number of clips at {TRACED_CLIPS}. A backbone that counts them with len(features) "
            "is given a plain number, and must say features.shape[0]."
        )
    return model


def _describe(model: onnx.ModelProto, choice: TrainedModel, classifier: Classifier) -> None:
    """Write into the file what it is."""
    import onnx

    frontend = choice.run.spec.frontend
    about: dict[str, Any] = {
        **choice.about(),
        "classes": ",".join(choice.run.task.classes),
        "rate_hz": classifier.frontend.rate,
        "samples": classifier.samples,
        "frontend": json.dumps(frontend.model_dump() if frontend else None),
    }
    onnx.helper.set_model_props(model, {key: str(value) for key, value in about.items()})


def _largest_difference(content: bytes, classifier: Classifier) -> float:
    """Of logits and probabilities of sounds of many kinds, in batches of sizes that were not traced."""
    import onnxruntime

    largest = 0.0
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        for clips in CHECKED_CLIPS:
            waveforms = check_sounds(clips, classifier.samples)
            with torch.inference_mode():
                expected = classifier(waveforms)
            found = session.run(list(OUTPUTS), {INPUT: waveforms.numpy()})
            differences = [np.abs(one - other.numpy()).max() for one, other in zip(found, expected, strict=True)]
            largest = float(np.max([largest, *differences]))  # NaN, once there, stays
    except Exception as error:  # the runtime's errors have no base of their own
        raise ExportFailed(f"As ONNX the model does not run ({error}). Nothing was kept.") from error
    return largest


def check_sounds(clips: int, samples: int) -> Tensor:
    """(clips, samples) in [−1, 1]: noise from loud to faint, with a hum and clicks; the last clip is silent."""
    draws = torch.Generator().manual_seed(clips)
    time = torch.arange(samples) / samples
    loudness = torch.logspace(-0.5, -3, clips).unsqueeze(1)
    noise = torch.randn(clips, samples, generator=draws).clamp(-3, 3) / 6
    hum = torch.sin(2 * torch.pi * 400 * time) / 4
    click = (torch.rand(clips, samples, generator=draws) < 1e-3).float() / 4
    sounds = loudness * (noise + hum + click)
    if clips > 1:
        sounds[-1] = 0
    return sounds
