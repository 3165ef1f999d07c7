"""Small models of transformers at random weights, in folders as save_pretrained writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SPEECH = {
    **SMALL,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 4, 4),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.0,
}
AST = {**SMALL, "max_length": 64, "num_mel_bins": 32}
CLAP = {
    "spec_size": 32,
    "num_mel_bins": 8,
    "window_size": 4,
    "hidden_size": 16,
    "patch_embeds_hidden_size": 8,
    "depths": [1, 1],
    "num_attention_heads": [2, 2],
    "projection_dim": 16,
}
TEXT = {**SMALL, "num_hidden_layers": 1, "vocab_size": 20, "projection_dim": 16}


def whole(kind: str) -> tuple[Any, Any]:
    """A model with its heads, and its feature extractor: "ast", "wav2vec2", "hubert", "wavlm" or "clap"."""
    torch.manual_seed(1)
    t = transformers
    if kind == "ast":
        config = t.ASTConfig(**AST, num_labels=5)
        extractor = t.ASTFeatureExtractor(num_mel_bins=32, max_length=64, mean=-5.5, std=3.25)
        return t.ASTForAudioClassification(config), extractor
    if kind == "clap":
        config = t.ClapConfig(audio_config=CLAP, text_config=TEXT, projection_dim=16)
        extractor = t.ClapFeatureExtractor(
            feature_size=8, max_length_s=1, truncation="rand_trunc", frequency_min=50, padding="repeatpad"
        )
        return t.ClapModel(config), extractor
    models = {
        "wav2vec2": lambda: t.Wav2Vec2ForCTC(t.Wav2Vec2Config(**SPEECH)),
        "hubert": lambda: t.HubertForSequenceClassification(t.HubertConfig(**SPEECH)),
        "wavlm": lambda: t.WavLMModel(t.WavLMConfig(**SPEECH, feat_extract_norm="layer", do_stable_layer_norm=True)),
    }
    return models[kind](), t.Wav2Vec2FeatureExtractor(do_normalize=kind != "wavlm")


def saved(kind: str, folder: Path) -> tuple[Any, Any, Path]:
    """The model in eval mode, its feature extractor, and the folder in which both were saved."""
    model, extractor = whole(kind)
    path = folder / f"small-{kind}"
    model.eval().save_pretrained(path)
    extractor.save_pretrained(path)
    return model, extractor, path
