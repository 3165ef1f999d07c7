"""What a run is made with, by name and by hash: weights, a backbone's name on boards, and its identity."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.backbone import BACKBONES
from ..core.fingerprint import code_sha256
from ..core.plugins import is_built_in, plugin_of
from ..core.spec import BackboneChoice, RunSpec
from ..core.weights import WeightsFile, find_weights
from ..data.datasets import DATASETS
from ..data.embeddings import EmbeddingFile
from ..data.sources import Roots
from ..data.tasks import TASKS
from ..quality.index import QualityIndex
from ..results.schema import Identity
from .resolve import registered


def weights_of(choice: BackboneChoice, roots: Roots) -> WeightsFile:
    """The file that a backbone's weights are in, which may lie in `weights/` beside the recordings."""
    public = BACKBONES.entry(choice.name).value.published_weights(**choice.params)
    folders = [root / "weights" for root in roots.general]
    return find_weights(choice.weights, public, folders, choice.pretrained_on)


def backbone_name(choice: BackboneChoice) -> str:
    """`timm:resnet18` for an option that the name is given with."""
    option = choice.params.get(BACKBONES.entry(choice.name).value.after_colon)
    return f"{choice.name}:{option}" if option else choice.name


def as_weights(file: EmbeddingFile, spec: RunSpec) -> WeightsFile:
    """The file as what the backbone starts from; what the user declares of its past comes first."""
    known = file.provenance
    pretrained_on = spec.backbone.pretrained_on or known.pretrained_on
    return WeightsFile(str(file.path), file.path, file.sha256, known.licence, pretrained_on, known.source)


def identity_of(spec: RunSpec, labels: dict[str, str], weights: WeightsFile, index: QualityIndex) -> Identity:
    """What the run id hashes beside the spec. labels: data set → hash of its clips and labels."""
    parts = registered(spec)
    return Identity(
        labels=labels,
        weights=weights.sha256,
        # What a reader that ships here makes of its files is compared itself: labels, and sketches of the sound.
        plugins={part: code_sha256(it) for part, it in parts.items() if not is_built_in(it)} | code_of_readers(labels),
        built_in={part: code_sha256(it) for part, it in parts.items() if is_built_in(it)},
        quality_index=index.fitted_sha256,
    )


def plugins_of(spec: RunSpec, datasets: Iterable[str]) -> dict[str, str]:
    """`kind:name` → the plugin that brought it, of all that a run is made with; {} where everything ships here."""
    named = [DATASETS.entry(name) for name in datasets if name in DATASETS.names()]
    parts = registered(spec) | {f"{DATASETS.kind}:{entry.name}": entry for entry in named}
    return {part: plugin_of(entry) for part, entry in parts.items() if not is_built_in(entry)}


def code_of_task(name: str) -> dict[str, str]:
    """`task:name` → hash of the code of a task that a plugin brought; {} of one that ships here."""
    entry = TASKS.entry(name)
    return {} if is_built_in(entry) else {f"{TASKS.kind}:{name}": code_sha256(entry)}


def code_of_readers(datasets: Iterable[str]) -> dict[str, str]:
    """`dataset:name` → hash of the code of those data sets that plugins brought."""
    entries = [DATASETS.entry(name) for name in datasets if name in DATASETS.names()]
    return {f"{DATASETS.kind}:{entry.name}": code_sha256(entry) for entry in entries if not is_built_in(entry)}
