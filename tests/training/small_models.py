"""Models that take milliseconds, and the weights before and after a tiny run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from tiny import TINY_PLUGIN, tiny_settings
from torch import Tensor, nn

from rsbench import Backbone, Frontend, create_loss
from rsbench.experiment.build import build_model
from rsbench.experiment.context import make_context, make_spec
from rsbench.experiment.prepare import prepare_experiment
from rsbench.training.finetune import freeze
from rsbench.training.predict import Model

WIDTH, COUNTS = 6, (5, 3, 2, 2)
ONE_STEP = {"optim__epochs": 1, "optim__batch_size": 1000, "optim__algorithm": "sgd", "optim__weight_decay": 0}


class Stack(Backbone):
    """Three stages of a convolution, batch norm, an activation in place and dropout."""

    frontend = Frontend("kaldi-fbank")
    embedding_dim = WIDTH

    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__(n_mels, n_frames)
        self.one, self.two, self.three = (nn.Sequential(*self.block(width)) for width in (n_mels, WIDTH, WIDTH))

    def block(self, width: int) -> list[nn.Module]:
        return [nn.Conv1d(width, WIDTH, 3), nn.BatchNorm1d(WIDTH), nn.ReLU(inplace=True), nn.Dropout(0.3)]

    def forward(self, features: Tensor) -> Tensor:
        return self.three(self.two(self.one(features))).mean(dim=2)


class WholeBlocks(Stack):
    """The same, with its blocks as stages."""

    def stages(self) -> list[list[str]]:
        return [["one"], ["two"], ["three"]]


class Perceptron(Backbone):
    """Takes embeddings, (B, n_mels); nothing in it looks at other clips, and nothing is drawn."""

    frontend = None
    embedding_dim = WIDTH

    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__(n_mels, n_frames)
        self.layers = nn.Sequential(nn.Linear(n_mels, WIDTH), nn.LayerNorm(WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


def make_model(backbone: Backbone, loss: str = "ce", frozen: tuple[str, ...] = ()) -> Model:
    return Model(backbone, create_loss(loss, backbone.embedding_dim, COUNTS), freeze(backbone, frozen))


def untrained(root: Path, out: Path, **changes: Any) -> dict[str, Tensor]:
    """The weights with which a tiny run begins."""
    context = make_context(root, out, threads=1, quiet=True)
    spec = make_spec(tiny_settings(**changes), context, [TINY_PLUGIN])
    return build_model(prepare_experiment(spec, context.data_cache()))[0].state_dict()


def trained(record: Any) -> dict[str, Tensor]:
    (path,) = (record.path / "checkpoints").glob("last-*.safetensors")
    return load_file(path)
