"""`rsbench embed`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..core.plugins import prints_apart
from .options import (
    DatasetOption,
    DeviceOption,
    DryRunOption,
    PartialOption,
    PluginOption,
    QuietOption,
    RootOption,
    SetOption,
    ThreadsOption,
    WeightsOption,
    option,
)

EXAMPLES = """
rsbench embed --backbone mn04 --weights audioset --dataset icbhi,sprsound --root DATA --out mn04.parquet
rsbench embed --backbone ast --weights audioset --dataset icbhi --views 4 --root DATA --out ast.parquet
rsbench embed --backbone hf:facebook/wav2vec2-base --dataset icbhi --layers --root DATA --out layers.parquet
rsbench run --loss qlung --backbone embeddings:mn04.parquet --train icbhi-official --test icbhi-official,sprsound
"""


def embed(
    backbone: Annotated[str, option("--backbone", "; also timm:MODEL and hf:FOLDER.")],
    dataset: DatasetOption,
    out: Annotated[Path, option("--out", " a parquet file there: clip_id, view, embedding.")],
    weights: WeightsOption = None,
    views: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Augmented views of each clip, beside itself.")
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Those after every layer, for --backbone layers:FILE.")
    ] = False,
    clip_s: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Length of a clip. Default: as runs cut them.")
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="HOW", help="How clips come to that length: repeat, zero, crop or context:SECONDS."),
    ] = None,
    root: RootOption = None,
    partial: PartialOption = False,
    set_: SetOption = None,
    plugin: PluginOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    dry_run: DryRunOption = False,
    quiet: QuietOption = False,
) -> None:
    """Keep a backbone's embeddings of all clips, to train on.

    The backbone runs once over all clips; rsbench run --backbone embeddings:FILE then trains heads in seconds.

    Give the same command again to continue where it was stopped. A file made by another program works as well: a row
    per clip, with the columns clip_id (rsbench data clips lists them) and embedding.
    """
    from ..core.spec import parse_assignment
    from ..experiment.context import make_context
    from ..experiment.embed import prepare_embedding, run_embedding

    options = {"backbone": backbone, "weights": weights, "views": views, "clip_s": clip_s, "window": window}
    options["layers"] = layers or None
    settings = {**options, **dict(parse_assignment(text) for text in set_ or [])}
    context = make_context(root or (), out.parent, device=device, threads=threads, partial=partial, quiet=quiet)
    names = [name.strip() for name in dataset.split(",") if name.strip()]
    with prints_apart():
        job = prepare_embedding(settings, names, out, context, plugin or ())
        context.display.say(job.describe())
    if dry_run:
        typer.echo(json.dumps(job.spec.model_dump(mode="json"), indent=1))
        return
    with prints_apart():
        run_embedding(job, context)
    typer.echo(f"kept in {out}")
