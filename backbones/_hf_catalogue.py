"""Which models of transformers can be backbones, and what their folders say of them. No code of a folder is run."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rsbench.core.downloads import HUB, DownloadError, HubRepository
from rsbench.core.errors import RsbenchError, SpecError, WeightsError, did_you_mean
from rsbench.core.weights import HUB_FILES

CONFIG = "config.json"
EXTRACTORS = ("preprocessor_config.json", "processor_config.json")  # the second one holds it beside a tokenizer's
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")

AST, CLAP = "audio-spectrogram-transformer", "clap_audio_model"

# Of a configuration, what names classes and files rather than saying what is computed.
LABELS = ("architectures", "auto_map", "id2label", "label2id", "dtype", "torch_dtype", "_name_or_path", "_commit_hash")


@dataclass(frozen=True)
class Architecture:
    """A kind of model, by the names of its classes in transformers.

    frontend: what its feature extractor does, as settings of a front end with its name. class_tokens: before those of
    the sound. changed: fields of the configuration that are other here than in the file.
    """

    model: str
    config: str
    extractor: str
    frontend: Callable[[Any], dict[str, Any]]
    class_tokens: int = 0
    changed: Mapping[str, Any] | None = None


def _waveform(extractor: Any) -> dict[str, Any]:
    normalise = "clip" if extractor.do_normalize else "none"
    return {"name": "waveform", "rate_hz": extractor.sampling_rate, "normalise": normalise}


def _ast_fbank(extractor: Any) -> dict[str, Any]:
    _check_rate(extractor, 16_000)
    # (x − 0) / (2 · 0.5) leaves what is not normalised as it is.
    mean, spread = (extractor.mean, extractor.std) if extractor.do_normalize else (0.0, 0.5)
    return {"name": "ast-fbank", "n_mels": extractor.num_mel_bins, "mean": mean, "spread": spread}


def _clap_mel(extractor: Any) -> dict[str, Any]:
    _check_rate(extractor, 48_000)
    return {
        "name": "clap-mel",
        "n_mels": extractor.feature_size,
        "n_fft": extractor.fft_window_size,
        "hop": extractor.hop_length,
        "low_hz": extractor.frequency_min,
        "high_hz": extractor.frequency_max,
        "longest_s": extractor.max_length_s,
        "padding": extractor.padding,
    }


def _check_rate(extractor: Any, rate: int) -> None:
    if extractor.sampling_rate != rate:
        raise SpecError(
            f"backbone.model: its {type(extractor).__name__} asks for {extractor.sampling_rate} Hz, and the front end "
            f"for such models is at {rate} Hz. Take a model of that rate."
        )


# Masks of their own would be drawn by numpy, unseeded; augment.time_masks are there for that.
UNMASKED = {"apply_spec_augment": False, "mask_time_prob": 0.0, "mask_feature_prob": 0.0}

ARCHITECTURES = {
    AST: Architecture("ASTModel", "ASTConfig", "ASTFeatureExtractor", _ast_fbank, class_tokens=2),
    CLAP: Architecture("ClapAudioModel", "ClapAudioConfig", "ClapFeatureExtractor", _clap_mel),
    "hubert": Architecture("HubertModel", "HubertConfig", "Wav2Vec2FeatureExtractor", _waveform, changed=UNMASKED),
    "wav2vec2": Architecture(
        "Wav2Vec2Model", "Wav2Vec2Config", "Wav2Vec2FeatureExtractor", _waveform, changed=UNMASKED
    ),
    "wavlm": Architecture("WavLMModel", "WavLMConfig", "Wav2Vec2FeatureExtractor", _waveform, changed=UNMASKED),
}


@dataclass(frozen=True)
class Description:
    """What decides what a model computes, as the spec of a run keeps it.

    frontend: its name and options. model: the configuration, with its `model_type`. transformers: the version that
    computes it.
    """

    frontend: Mapping[str, Any]
    model: Mapping[str, Any]
    transformers: str

    @property
    def architecture(self) -> Architecture:
        return ARCHITECTURES[self.model["model_type"]]

    def text(self) -> str:
        return json.dumps(vars(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Description:
        """Raises SpecError for a text that `text` did not write."""
        try:
            description = cls(**json.loads(text))
            _ = description.architecture, description.frontend["name"]
        except (ValueError, TypeError, LookupError):
            raise SpecError(
                "backbone.config is what rsbench writes itself of backbone.model. Leave it out, and name the model."
            ) from None
        return description


def library() -> Any:
    """The package, which neither shows bars nor gives advice. Raises SpecError where it is not installed."""
    try:
        transformers = importlib.import_module("transformers")
    except ModuleNotFoundError:
        raise SpecError(
            "backbone 'hf' is a model of transformers, which is not installed: pip install 'rsbench[hf]'."
        ) from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def describe(model: str) -> Description:
    """What a folder or a repository says of its model. Raises RsbenchError naming file and field."""
    file = _Files(model)
    config = file.read(CONFIG)
    if config.get("model_type") == "clap":
        config = {**config.get("audio_config", {}), "model_type": CLAP}
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        known = [name.replace(CLAP, "clap") for name in ARCHITECTURES]
        raise SpecError(f"{file.named(CONFIG)}: model_type is {kind!r}.{did_you_mean(str(kind), known)}")
    architecture = ARCHITECTURES[kind]
    said = file.read(*EXTRACTORS)
    said = said.get("feature_extractor", said)
    try:
        extractor = getattr(library(), architecture.extractor).from_dict(said)
        if config.get("enable_fusion") or getattr(extractor, "truncation", "") == "fusion":
            raise SpecError(
                f"backbone.model={model}: it fuses views of clips that are longer than it was trained on, and no clip "
                "here is. Take a CLAP without fusion, such as laion/clap-htsat-unfused."
            )
        frontend = architecture.frontend(extractor)
    except RsbenchError:
        raise
    except Exception as error:  # whatever transformers makes of a stranger's file
        raise SpecError(f"{file.named(EXTRACTORS[0])} is not of a {architecture.extractor}: {error}.") from None
    kept = {key: value for key, value in config.items() if key not in LABELS and key != "transformers_version"}
    return Description(frontend, kept | dict(architecture.changed or {}), version("transformers"))


def called(model: str) -> str:
    """What a model is called on boards: a repository by its name, a folder by its own, wherever it lies."""
    return Path(model).expanduser().resolve().name if _is_folder(model) else model


def weights_beside(model: str) -> str:
    """Where the weights of a model are, as `--weights` takes them. Raises WeightsError for a folder without."""
    if not _is_folder(model):
        return HUB + model
    folder = Path(model).expanduser()
    found = next((folder / name for name in HUB_FILES if (folder / name).is_file()), None)
    if found is None:
        in_parts = next(folder.glob("*.index.json"), None)
        said = (
            f"its weights are in parts ({in_parts.name})" if in_parts else f"there is no {' and no '.join(HUB_FILES)}"
        )
        raise WeightsError(
            f"{folder}: {said}. Save the model in one file, model.save_pretrained(FOLDER, max_shard_size='100GB'), or "
            "begin at random with --weights none."
        )
    return str(found)


def _is_folder(model: str) -> bool:
    return bool(model) and Path(model).expanduser().is_dir()


class _Files:
    """The JSON files of a folder, or of a repository of the hub. Raises SpecError for what is neither."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.folder = Path(model).expanduser() if _is_folder(model) else None
        if self.folder is None and not REPOSITORY.fullmatch(model):
            raise SpecError(
                f"backbone.model={model}: there is no such folder, and a repository of the hub is OWNER/NAME or "
                "OWNER/NAME@REVISION. Name the folder that holds config.json."
                if model
                else "backbone 'hf' needs a model: --backbone hf:FOLDER or --backbone hf:OWNER/NAME."
            )

    def named(self, name: str) -> str:
        return str(self.folder / name) if self.folder else f"{name} of {self.model}"

    def read(self, *names: str) -> dict[str, Any]:
        """The first of these files that is there. Raises SpecError or WeightsError."""
        path = self._find(*names)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SpecError(f"{self.named(path.name)} cannot be read as JSON ({error}). Get it again.") from None
        if not isinstance(content, dict):
            raise SpecError(f"{self.named(path.name)} holds no settings, which are names and values. Get it again.")
        return content

    def _find(self, *names: str) -> Path:
        if self.folder is None:
            try:
                return HubRepository.parse(self.model).file(*names)
            except DownloadError as failure:
                raise WeightsError(
                    f"backbone.model={self.model}: {failure} Where there is a network, `hf download {self.model}` "
                    "brings all of it; or name a folder that holds it."
                ) from None
        found = next((self.folder / name for name in names if (self.folder / name).is_file()), None)
        if found is None:
            raise SpecError(
                f"{self.folder}: there is no {' and no '.join(names)}. Save model and feature extractor there, each "
                "with save_pretrained."
            )
        return found
