"""Any model of timm, or of the hub in timm's format, on log-mel features as one channel."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Backbone, Frontend, PublicWeights, RsbenchError, register_backbone
from rsbench.core.errors import WeightsError

from ._timm_catalogue import configuration, create, outline, published, stride

NET = "net."


@register_backbone(
    "timm",
    summary="any model of timm (timm:NAME), or of the hub in its format (timm:hf-hub:OWNER/NAME), on one channel",
    paper="Wightman, PyTorch image models, 2019",
)
class Timm(Backbone):
    """Embeddings are what the model's classifier would see; features are its image, bins the rows.

    Where it was trained on images higher than wide, as AudioMAE was on 1024 frames × 128 bins, frames are the rows.
    A model that takes images of one size is built for the size of the features, which are padded at their ends with
    zeros to whole patches. Checkpoints are read as timm reads them: positions are resampled, a stem of three colours
    is summed to one, classifiers are left out. No recipe was published for all of these models, so that the common
    defaults hold; transformers want a smaller `optim.lr`.

    Args:
        n_mels: bins of the features.
        n_frames: frames of the features.
        model: as timm calls it, with or without a tag ("vit_base_patch16_224.mae"), or "hf-hub:OWNER/NAME".

    Raises SpecError for a name that timm does not know, RsbenchError when the model cannot take such features.
    """

    frontend = Frontend("kaldi-fbank")
    after_colon = "model"

    def __init__(self, n_mels: int, n_frames: int, *, model: str = "resnet18") -> None:
        super().__init__(n_mels, n_frames)
        try:
            config = configuration(outline(model))
            _, height, width = config["input_size"]
            self.frames_first = height > width
            self.size = (n_frames, n_mels) if self.frames_first else (n_mels, n_frames)
            options = {}
            if config["fixed_input_size"]:
                step = stride(outline(model))
                self.size = (math.ceil(self.size[0] / step) * step, math.ceil(self.size[1] / step) * step)
                options["img_size"] = self.size
            self.net = create(model, **options)
            self.embedding_dim = _width(self.net, self.size)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:  # as the model puts it
            raise RsbenchError(
                f"timm's {model} cannot take {n_mels} bins × {n_frames} frames ({str(error) or type(error).__name__}). "
                "Choose another model, or other features (data.clip_s, frontend.hop_ms)."
            ) from None

    @classmethod
    def published_weights(cls, *, model: str = "resnet18", **options: Any) -> tuple[PublicWeights, ...]:
        """The pretrained weights that timm, or the hub, has of this model."""
        return published(model)

    def forward(self, features: Tensor) -> Tensor:
        image = features.transpose(1, 2) if self.frames_first else features
        rows, columns = self.size
        image = F.pad(image, (0, columns - image.shape[2], 0, rows - image.shape[1]))
        embeddings: Tensor = self.net(image.unsqueeze(1))
        return embeddings

    def stages(self) -> list[list[str]]:
        """timm's groups of layers, those of its layer-wise learning rates."""
        from timm.models import group_parameters

        matcher: Any = getattr(self.net, "group_matcher", None)
        if matcher is None:  # a few models have none
            return super().stages()
        groups = group_parameters(self.net, matcher(coarse=False))
        return [[NET + name for name in whole_modules(self.net, names)] for names in groups.values()]

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """timm's checkpoints as `net`; our own are left as they are.

        Raises WeightsError for a file that timm's own reader of such models does not understand.
        """
        if all(name.startswith(NET) for name in state):
            return dict(state)
        read = getattr(sys.modules[type(self.net).__module__], "checkpoint_filter_fn", None)
        given = dict(state)
        if read:
            try:
                given = read(given, self.net)
            except Exception as error:  # whatever timm meets in a file that is not for this model
                raise WeightsError(
                    f"The weights are not for {type(self.net).__name__} ({type(error).__name__}: {error}). "
                    "Give the weights of this model."
                ) from None
        return {NET + name: tensor for name, tensor in self._adapted(given).items()}

    def _adapted(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """Without the classifier, and with one input channel."""
        from timm.models import adapt_input_conv

        config, own = configuration(self.net), self.net.state_dict()
        heads = {name.partition(".")[0] for name in _names(config["classifier"])}
        kept = {name: tensor for name, tensor in given.items() if name in own or name.partition(".")[0] not in heads}
        for stem in (f"{name}.weight" for name in _names(config["first_conv"])):
            if stem in kept and kept[stem].ndim == 4 and kept[stem].shape != own[stem].shape:
                kept[stem] = adapt_input_conv(1, kept[stem], base_chans=config["input_size"][0])
        return kept


@register_backbone(
    "resnet",
    summary="ResNet-18, -34 or -50 of timm on one channel, global average pooling",
    paper="He et al., Deep residual learning, CVPR 2016",
)
class ResNet(Timm):
    """Embeddings are the pooled features: 512-d for sizes 18 and 34, 2048-d for 50. `imagenet` is torchvision's."""

    recipe: ClassVar = {"lr": 1e-3, "batch_size": 64}
    after_colon = ""

    def __init__(self, n_mels: int, n_frames: int, *, size: Literal[18, 34, 50] = 18) -> None:
        super().__init__(n_mels, n_frames, model=torchvisions(size))

    @classmethod
    def published_weights(cls, *, size: int = 18, **options: Any) -> tuple[PublicWeights, ...]:
        return published(torchvisions(size))


def torchvisions(size: int) -> str:
    """timm's name for torchvision's first weights of a ResNet."""
    return f"resnet{size}.tv_in1k"


def whole_modules(net: nn.Module, parameters: Iterable[str]) -> list[str]:
    """The fewest modules and parameters, by name, that hold exactly these parameters of `net`."""
    wanted = set(parameters)
    found: dict[str, None] = {}
    for name in parameters:
        parts = name.split(".")
        parents = (".".join(parts[:depth]) for depth in range(1, len(parts)))
        held = (
            parent
            for parent in parents
            if {f"{parent}.{inner}" for inner, _ in net.get_submodule(parent).named_parameters()} <= wanted
        )
        found[next(held, name)] = None
    return list(found)


def _width(net: nn.Module, size: tuple[int, int]) -> int:
    """Width of the embeddings of an image of this size."""
    training = net.training
    with torch.no_grad():
        embeddings: Tensor = net.eval()(torch.zeros(1, 1, *size))
    net.train(training)
    return embeddings.shape[1]


def _names(entry: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    """timm's "one name, some names or None" as names."""
    return (entry,) if isinstance(entry, str) else tuple(entry or ())
