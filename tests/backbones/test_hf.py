"""Models of transformers against transformers itself, from its own folders: features in, embeddings out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hub_server import Hub, serving
from safetensors.torch import load_file, save_file
from small_pretrained import saved
from tiny import Cli

import rsbench
from rsbench import RsbenchError, create_backbone
from rsbench.conformance.backbones import CHECKS
from rsbench.conformance.checks import Case, Check
from rsbench.conformance.examination import plan
from rsbench.core.backbone import BACKBONES, Backbone
from rsbench.core.errors import SpecError, WeightsError
from rsbench.core.spec import RunSpec
from rsbench.core.weights import find_weights, load_weights
from rsbench.data.embeddings import read_embeddings
from rsbench.experiment.resolve import resolve
from rsbench.features.frontends import FrontendModule, create_frontend

KINDS = ("ast", "wav2vec2", "hubert", "wavlm", "clap")
CLIP_S = 0.5  # of which AST's 48 frames are fewer, and CLAP's second more, than they take


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any, Path]]:
    folder = tmp_path_factory.mktemp("models")
    return {kind: saved(kind, folder) for kind in KINDS}


@pytest.fixture
def folders(models: dict[str, tuple[Any, Any, Path]]) -> dict[str, Path]:
    return {kind: path for kind, (_, _, path) in models.items()}


def resolved(path: Path | str, **changes: Any) -> RunSpec:
    settings = {"loss": "ce", "backbone": f"hf:{path}", "data.clip_s": CLIP_S}
    return resolve(settings | {key.replace("__", "."): value for key, value in changes.items()})


def built(spec: RunSpec) -> tuple[FrontendModule, Backbone]:
    """Front end and backbone of a spec, with its weights, in eval mode."""
    assert spec.frontend is not None
    frontend = create_frontend(spec.frontend.name, **spec.frontend.params)
    frames = frontend.frames(round(CLIP_S * frontend.rate))
    backbone = create_backbone("hf", frontend.n_mels, frames, **spec.backbone.params)
    assert load_weights(backbone, find_weights(spec.backbone.weights, (), [])) == 1.0
    return frontend, backbone.eval()


def breaths(samples: int, rate: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    time_s = np.arange(samples) / rate
    sound = generator.normal(0, 0.1, (2, samples)) * (1.2 + np.sin(6 * time_s))
    return (sound + 0.2 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)


def theirs(model: Any, extractor: Any, sound: np.ndarray) -> torch.Tensor:
    """(2, D) what transformers makes of it: pooled as its own classifiers do, or by the mean over time."""
    given = extractor(list(sound), sampling_rate=extractor.sampling_rate, return_tensors="pt")
    if isinstance(model, transformers.ASTForAudioClassification):
        return model.audio_spectrogram_transformer(**given).pooler_output
    if isinstance(model, transformers.ClapModel):
        return model.audio_model(given["input_features"]).pooler_output
    tower = getattr(model, model.base_model_prefix, model)
    return tower(given["input_values"].float()).last_hidden_state.mean(dim=1)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_from_sound_to_embedding_it_is_transformers(kind: str, models: dict[str, tuple[Any, Any, Path]]) -> None:
    model, extractor, path = models[kind]
    frontend, backbone = built(resolved(path))
    sound = breaths(round(CLIP_S * frontend.rate), frontend.rate)
    expected = theirs(model, extractor, sound)
    found = backbone(frontend(torch.from_numpy(sound)))
    assert found.shape == (2, backbone.embedding_dim)
    assert expected.std(dim=0).max() > 1e-3  # the two clips are told apart
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_in_float64_features_become_the_same_to_rounding(kind: str, models: dict[str, tuple[Any, Any, Path]]) -> None:
    model, _, path = models[kind]
    _, backbone = built(resolved(path))
    features = torch.randn(2, backbone.n_mels, backbone.n_frames, dtype=torch.float64)
    backbone, model = backbone.double(), model.double()
    if kind == "ast":
        silence = 5.5 / (2 * 3.25)
        padded = torch.cat([features, torch.full((2, 32, 64 - backbone.n_frames), silence, dtype=torch.float64)], dim=2)
        expected = model.audio_spectrogram_transformer(padded.transpose(1, 2)).pooler_output
    elif kind == "clap":
        expected = model.audio_model(features.transpose(1, 2).unsqueeze(1)).pooler_output
    else:
        expected = getattr(model, model.base_model_prefix, model)(features[:, 0]).last_hidden_state.mean(dim=1)
    torch.testing.assert_close(backbone(features), expected, rtol=1e-9, atol=1e-9)
    model.float()


@pytest.mark.parametrize("kind", KINDS)
def test_the_spec_says_all_of_a_model_wherever_it_lies(kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    spec = resolved(folders[kind])
    moved = tmp_path / "elsewhere" / folders[kind].name
    moved.parent.mkdir()
    moved.symlink_to(folders[kind])
    assert resolved(moved).canonical() == spec.canonical()
    assert str(folders[kind].parent) not in spec.canonical()
    assert spec.backbone.params["model"] == folders[kind].name
    again = resolve(json.loads(spec.model_dump_json()) | {"data.clip_s": CLIP_S})
    assert again == spec
    built(again)
    lost = json.loads(spec.model_dump_json())
    lost["backbone"]["weights"] = "none"
    lost["backbone"]["model"] = "a folder that is gone"
    assert resolve(lost).backbone.params["config"] == spec.backbone.params["config"]


# HuBERT is wav2vec 2.0 under another name. To compile the smallest of these models takes longer than all else here.
CHECKED = [
    pytest.param(kind, check, id=f"{kind}-{check.name}")
    for kind in KINDS
    for check in CHECKS
    if not (check.slow and kind == "hubert") and check.name != "compiles"
]


@pytest.mark.parametrize(("kind", "check"), CHECKED)
def test_conformance(kind: str, check: Check, folders: dict[str, Path]) -> None:
    check(Case("backbone", "hf", (("model", str(folders[kind])),)))


def test_doctor_says_that_a_model_is_needed() -> None:
    (examination,) = [one for one in plan(kind="backbone") if one.case.name == "hf"]
    assert not examination.checks
    assert "needs a model: --backbone hf:FOLDER" in examination.note


@torch.no_grad()
def test_pooling(folders: dict[str, Path]) -> None:
    frontend, mean = built(resolved(folders["wav2vec2"]))
    _, statistics = built(resolved(folders["wav2vec2"], backbone__pooling="statistics"))
    features = frontend(torch.from_numpy(breaths(8000, 16_000)))
    states = mean.net(features[:, 0]).last_hidden_state
    wanted = torch.cat([states.mean(dim=1), states.std(dim=1, correction=0)], dim=1)
    torch.testing.assert_close(statistics(features), wanted, rtol=1e-4, atol=1e-4)
    _, over_patches = built(resolved(folders["ast"], backbone__pooling="mean"))
    patches = torch.randn(2, over_patches.n_mels, over_patches.n_frames)
    filled = over_patches._input(patches)
    wanted = over_patches.net(filled).last_hidden_state[:, 2:].mean(dim=1)
    torch.testing.assert_close(over_patches(patches), wanted)
    with pytest.raises(SpecError, match=r"backbone\.pooling=cls: wav2vec2 has no class token"):
        built(resolved(folders["wav2vec2"], backbone__pooling="cls"))


@torch.no_grad()
def test_layers_are_transformers_hidden_states(models: dict[str, tuple[Any, Any, Path]]) -> None:
    model, _, path = models["hubert"]
    _, backbone = built(resolved(path, backbone__pooling="mean"))
    features = torch.randn(2, 1, backbone.n_frames)
    states = model.hubert(features[:, 0], output_hidden_states=True).hidden_states
    found = backbone.layer_embeddings(features)
    assert found.shape == (2, 3, 16)
    torch.testing.assert_close(found, torch.stack([state.mean(dim=1) for state in states], dim=1))
    torch.testing.assert_close(found[:, -1], backbone(features))
    assert (found[:, 0] - found[:, 1]).abs().max() > 1e-3
    _, clap = built(resolved(models["clap"][2]))
    with pytest.raises(SpecError, match=r"layers of clap_audio_model are of several widths \(8, 16, 16\)"):
        clap.layer_embeddings(torch.randn(1, clap.n_mels, clap.n_frames))


def test_layers_are_embedded_and_weighted(cli: Cli, tiny_root: Path, tmp_path: Path, folders: dict[str, Path]) -> None:
    options = ["--root", tiny_root, "--clip-s", str(CLIP_S), "--threads", "1", "--quiet", "--dataset", "tiny,far"]
    embed = ["embed", *options, "--backbone", f"hf:{folders['hubert']}"]
    assert cli(*embed, "--layers", "--views", "1", "--out", tmp_path / "layers.parquet").code == 0
    assert cli(*embed, "--out", tmp_path / "last.parquet").code == 0
    layers, last = read_embeddings(tmp_path / "layers.parquet"), read_embeddings(tmp_path / "last.parquet")
    assert (layers.provenance.layers, last.provenance.layers) == (3, 1)
    assert layers.provenance.backbone == "hf:small-hubert"
    np.testing.assert_array_equal(layers.vectors[::2, -16:], last.vectors)  # every second row is an augmented view
    assert cli("embed", *options, "--backbone", "cnn6", "--layers", "--out", tmp_path / "no.parquet").err.count(
        "Cnn6 gives one embedding of a clip, not of its layers"
    )

    settings = {"loss": "ce", "train": "tiny", "test": "tiny,far", "data.clip_s": CLIP_S, "epochs": 2, "select": "last"}

    def run(file: str, **changes: Any) -> Any:
        given = settings | {"backbone": f"layers:{tmp_path / file}"} | changes
        return rsbench.run(given, root=tiny_root, results=tmp_path, threads=1, device="cpu", quiet=True)

    made = run("layers.parquet")
    assert made.spec.backbone.params["count"] == 3
    (weights,) = (made.path / "checkpoints").glob("last-*.safetensors")
    learnt = load_file(weights)["backbone.weighting"].softmax(dim=0)
    assert learnt.shape == (3,)
    assert learnt.std() > 1e-4
    with pytest.raises(RsbenchError, match=r"last\.parquet does not say that it holds embeddings of several layers"):
        run("last.parquet")
    with pytest.raises(RsbenchError, match=r"backbone\.count=5: embeddings of 48 numbers are not of so many layers"):
        run("layers.parquet", **{"backbone.count": 5})


def test_stages_run_from_input_to_output(folders: dict[str, Path]) -> None:
    stages = {kind: [name for (name,) in built(resolved(folders[kind]))[1].stages()] for kind in KINDS}
    assert stages["clap"][0] == "net.audio_encoder.batch_norm"
    assert stages["clap"][-1] == "net.audio_encoder.norm"
    assert stages["wavlm"][-1] == "net.encoder.layer_norm"
    assert stages["wav2vec2"][0] == "net.feature_extractor.conv_layers.0"
    assert stages["wav2vec2"][-2:] == ["net.encoder.layers.0", "net.encoder.layers.1"]
    assert (stages["ast"][0], len(stages["ast"]), stages["ast"][-1]) == ("net.embeddings", 4, "net.layernorm")


def test_its_own_weights_are_the_default_and_others_can_be_asked_for(folders: dict[str, Path]) -> None:
    assert resolved(folders["ast"]).backbone.weights == str(folders["ast"] / "model.safetensors")
    assert resolved(folders["ast"], weights="none").backbone.weights == "none"


def test_an_old_checkpoint_with_weight_norm_in_other_names_is_read(folders: dict[str, Path], tmp_path: Path) -> None:
    state = load_file(folders["wav2vec2"] / "model.safetensors")
    for old, new in (
        ("weight_g", "parametrizations.weight.original0"),
        ("weight_v", "parametrizations.weight.original1"),
    ):
        state = {name.replace(new, old): tensor for name, tensor in state.items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    _, backbone = built(resolved(folders["wav2vec2"]))
    _, other = built(resolved(folders["wav2vec2"], weights=str(tmp_path / "pytorch_model.bin")))
    for name, tensor in backbone.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor)


@pytest.mark.parametrize("wrong", ["missing", "shape", "more"])
def test_weights_that_do_not_fit_are_one_message(wrong: str, folders: dict[str, Path], tmp_path: Path) -> None:
    state = load_file(folders["hubert"] / "model.safetensors")
    name = "hubert.encoder.layers.1.final_layer_norm.weight"
    if wrong == "missing":
        del state[name]
    elif wrong == "shape":
        state[name] = torch.ones(3)
    else:
        state["hubert.encoder.layers.2.final_layer_norm.weight"] = torch.ones(16)
    save_file(state, tmp_path / "model.safetensors")
    spec = resolved(folders["hubert"], weights=str(tmp_path / "model.safetensors"))
    with pytest.raises(WeightsError, match=r"not for this HubertModel: tensor '.*layers\.\d\.final.*json"):
        built(spec)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", None, r"there is no config\.json\. Save model and feature extractor"),
        ("preprocessor_config.json", None, r"no preprocessor_config\.json and no processor_config\.json"),
        ("model.safetensors", None, r"no model\.safetensors and no pytorch_model\.bin.*--weights none"),
        ("config.json", "{", r"config\.json cannot be read as JSON"),
        ("config.json", "[]", r"config\.json holds no settings"),
        ("config.json", '{"model_type": "whisper"}', r"config\.json: model_type is 'whisper'"),
        ("config.json", '{"model_type": "wav2vec2", "hidden_size": 15}', r"transformers makes no wav2vec2"),
        ("preprocessor_config.json", '{"sampling_rate": 0}', r"frontend\.rate_hz=0"),
    ],
)
def test_a_folder_that_is_not_whole_is_one_message(
    file: str, content: str | None, said: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    for path in folders["wav2vec2"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(RsbenchError, match=said):
        built(resolved(tmp_path))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nowhere", r"backbone\.model=nowhere: there is no such folder, and a repository of the hub is OWNER/NAME"),
        ("./no/where/else", r"there is no such folder"),
    ],
)
def test_what_is_no_model_is_one_message(model: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        resolved(model)
    with pytest.raises(SpecError, match="needs a model"):
        resolve({"loss": "ce", "backbone": "hf"})
    with pytest.raises(SpecError, match=r"backbone\.config is what rsbench writes itself"):
        resolve({"loss": "ce", "backbone": "hf", "backbone.config": "{}"})


def test_a_clap_that_fuses_is_refused(tmp_path: Path, folders: dict[str, Path]) -> None:
    for path in folders["clap"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    transformers.ClapFeatureExtractor().save_pretrained(tmp_path)  # whose default is to fuse
    with pytest.raises(SpecError, match="fuses views.*without fusion"):
        resolved(tmp_path)


def test_clips_longer_than_a_model_takes_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(RsbenchError, match=r"takes at most 64 frames, and was given 98.*data\.clip_s"):
        create_backbone("hf", 32, 98, model=str(folders["ast"]))
    with pytest.raises(RsbenchError, match=r"cannot take 1 bins × 20 frames.*longer clips"):
        create_backbone("hf", 1, 20, model=str(folders["wav2vec2"]))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving(monkeypatch, str(tmp_path / "hub")) as running:
        yield running


@torch.no_grad()
def test_a_repository_of_the_hub(hub: Hub, models: dict[str, tuple[Any, Any, Path]]) -> None:
    model, extractor, path = models["wavlm"]
    hub.repositories["someone/small-wavlm"] = {file.name: file.read_bytes() for file in path.iterdir()}
    spec = resolved("someone/small-wavlm")
    assert (spec.backbone.params["model"], spec.backbone.weights) == (
        "someone/small-wavlm",
        "hf-hub:someone/small-wavlm",
    )
    frontend, backbone = built(spec)
    sound = breaths(8000, 16_000)
    torch.testing.assert_close(
        backbone(frontend(torch.from_numpy(sound))), theirs(model, extractor, sound), rtol=1e-3, atol=1e-4
    )
    with pytest.raises(WeightsError, match=r"backbone\.model=someone/else: .*hf download"):
        resolved("someone/else")
    assert BACKBONES.entry("hf").value.after_colon == "model"
