"""What timm knows of its models: how they are built, and where their weights come from."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rsbench import PublicWeights
from rsbench.core.downloads import HUB, DownloadError, HubRepository
from rsbench.core.errors import SpecError, WeightsError, did_you_mean

HUB_WEIGHTS = "model.safetensors"
UNKNOWN = "unknown"

# Words of timm's tags that name training data; its other words name methods and authors.
DATASETS = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-21k",
    "as2m": "AudioSet",
    "as20k": "AudioSet",
    "laion400m": "LAION-400M",
    "laion2b": "LAION-2B",
    "datacomp1b": "DataComp-1B",
    "webli": "WebLI",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "yfcc100m": "YFCC100M",
    "ig1b": "Instagram-1B",
    "jft": "JFT-300M",
}


def create(model: str, **options: Any) -> nn.Module:
    """The model with one input channel and no classifier, from random weights.

    Raises SpecError for a name that timm does not know, WeightsError when the hub cannot be asked for the model's
    configuration, and what its constructor raises.
    """
    import timm

    name = model
    if model.startswith(HUB):
        config = _hub_configuration(HubRepository.parse(model))
        try:
            architecture = json.loads(config.read_text())["architecture"]
        except (ValueError, LookupError, TypeError):
            raise SpecError(f"backbone.model={model}: its config.json is not of timm's format.") from None
        _check_known(architecture)
        name = f"local-dir:{config.parent}"  # timm would ask the hub once more
    else:
        _check_known(model)
    return timm.create_model(name, in_chans=1, num_classes=0, **options)


def _hub_configuration(repository: HubRepository) -> Path:
    try:
        return repository.file("config.json")
    except DownloadError as failure:
        raise WeightsError(
            f"backbone.model: {failure} What the model is stands in that file: bring it into the hub's cache once, "
            f"where there is a network, with `hf download {repository.name}`."
        ) from None


def _check_known(model: str) -> None:
    import timm

    architecture, _, tag = model.partition(".")
    if not timm.is_model(architecture):
        raise SpecError(f"timm has no model '{architecture}'.{did_you_mean(architecture, timm.list_models())}")
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise SpecError(f"timm's {architecture} has no weights tagged '{tag}'.{did_you_mean(tag, tags)}")


@functools.cache
def outline(model: str) -> nn.Module:
    """The model at the size it was trained at, without memory for its weights: for what it says of itself."""
    with torch.device("meta"):
        return create(model)


def configuration(net: nn.Module) -> dict[str, Any]:
    """What timm notes of a model's pretrained weights: size of its images, first layers, classifiers."""
    config: Any = net.pretrained_cfg
    return dict(config)


def stride(net: nn.Module) -> int:
    """Pixels per cell of its last map, or as many of them as the sides of the images it was trained on agree with.

    The sides of an image for it must be multiples of this.
    """
    levels: Any = net.feature_info
    _, height, width = configuration(net)["input_size"]
    return math.gcd(max(level["reduction"] for level in levels), height, width)


def published(model: str) -> tuple[PublicWeights, ...]:
    """The pretrained weights of a model: "imagenet", "audioset" or, where they are from neither, by timm's tag."""
    if not model.startswith(HUB):
        return _of_timm(model)
    repository = HubRepository.parse(model)
    licence, datasets = repository.card()
    tag = repository.name.partition(".")[2]
    return (
        PublicWeights(
            name=_called(tag),
            filename=HUB_WEIGHTS,
            source=repository.page,
            licence=licence or UNKNOWN,
            pretrained_on=datasets or training_data(tag),
            download=model,
        ),
    )


def _of_timm(model: str) -> tuple[PublicWeights, ...]:
    from timm.models import get_pretrained_cfg

    _check_known(model)
    config = get_pretrained_cfg(model)
    if config is None or not config.hf_hub_id:
        return ()
    repository = HubRepository.parse(config.hf_hub_id)
    return (
        PublicWeights(
            name=_called(config.tag or ""),
            filename=config.hf_hub_filename or HUB_WEIGHTS,
            source=repository.page,
            licence=config.license or UNKNOWN,
            pretrained_on=training_data(config.tag or ""),
            download=HUB + config.hf_hub_id,
        ),
    )


def _called(tag: str) -> str:
    """The name of weights with this tag after `--weights`."""
    data = training_data(tag)
    if any(name.startswith("ImageNet") for name in data):
        return "imagenet"
    return "audioset" if "AudioSet" in data else tag or "published"


def training_data(tag: str) -> tuple[str, ...]:
    """Data sets that a tag of timm names, in the order of training; "unknown" where a stage of it names none.

    `augreg_in21k_ft_in1k` was trained on ImageNet-21k and then on ImageNet-1k, `openai_ft_in1k` first on what OpenAI
    does not say.
    """
    found: list[str] = []
    for stage in tag.split("_ft_"):
        found += [DATASETS[word] for word in stage.split("_") if word in DATASETS] or [UNKNOWN]
    return tuple(dict.fromkeys(found))
