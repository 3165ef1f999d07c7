"""`rsbench export-model`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import SpecError
from .options import (
    AtOption,
    PluginOption,
    QuietOption,
    ResultsOption,
    RunArgument,
    SelectionOption,
    YesSyntheticOption,
    option,
)

EXAMPLES = """
rsbench export-model qlung-cnn6-s0 --out model.onnx
"""


def export_model(
    run: RunArgument,
    out: Annotated[Path, option("--out", " the .onnx file there, and the model card beside it.")],
    results: ResultsOption = Path("results"),
    select: SelectionOption = None,
    at: AtOption = None,
    yes_synthetic: YesSyntheticOption = False,
    plugin: PluginOption = None,
    quiet: QuietOption = False,
) -> None:
    """A finished run's model as an ONNX file.

    Waveforms in, probabilities out. Research use. Not a medical device.

    The front end is part of it. Clips are cut, resampled and padded before; the model card beside the file says how.
    The file is kept only if it gives PyTorch's numbers within 1e-4. Needs: pip install 'rsbench\\[export]'.
    """
    from ..core.display import Display
    from ..core.files import write_bytes
    from ..data.windows import clip_window
    from ..inference.classifier import changed_code, load_classifier, refuse_synthetic
    from ..inference.onnx_file import export_onnx, how_to_use
    from ..report.card import model_card
    from ..results.run import Run

    if out.suffix != ".onnx":
        raise SpecError(f"--out {out}: name a file that ends in .onnx.")
    chosen, display = Run.load(run, results).choice(select, at), Display(quiet=quiet)
    refuse_synthetic(chosen, accepted=yes_synthetic)
    classifier = load_classifier(chosen)
    for line in (chosen.describe(), *changed_code(chosen.run), "writing and checking it, for about half a minute"):
        display.say(line)
    difference = export_onnx(chosen, classifier, out)
    beside = out.with_suffix(".card.md")
    use = how_to_use(classifier, clip_window(chosen.run.spec.data.window), chosen.run.task.classes)
    write_bytes(beside, model_card(chosen, display, use).encode())
    typer.echo(f"kept in {out}, at most {difference:.1g} from PyTorch; model card in {beside}")
