"""EfficientAT's mn04, mn10 and mn40: MobileNetV3-large at 0.4, 1 and 4 of its width, pre-trained on AudioSet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Backbone, Frontend, PublicWeights, register_backbone

DROPOUT = 0.2
AUDIOSET_CLASSIFIER = "classifier.5."
PAPER = "Schmid et al., Efficient large-scale audio tagging, ICASSP 2023"
PAGE = "https://github.com/fschmid56/EfficientAT"


def audioset(filename: str, sha256: str = "") -> PublicWeights:
    """A checkpoint of the authors' first release; all of them were trained on ImageNet before AudioSet."""
    return PublicWeights(
        name="audioset",
        filename=filename,
        source=PAGE,
        licence="MIT",
        pretrained_on=("ImageNet-1k", "AudioSet"),
        download=f"{PAGE}/releases/download/v0.0.1/{filename}",
        sha256=sha256,
    )


class MobileNet(Backbone):
    """torchvision's MobileNetV3 with what EfficientAT changed: a one-channel stem, and sigmoid gates.

    The embedding is the hidden layer of EfficientAT's head, not the pooled features under it: AudioSet's classes
    are linear in it, and a loss stands where the new classifier does when EfficientAT is fine-tuned. Subclasses
    say `width`, the share of MobileNetV3-large's channels.
    """

    frontend = Frontend("efficientat-mel")
    # Ours: nothing is published for lung sounds, and the authors' 6e-5 at batches of 128 is for many more steps.
    recipe: ClassVar = {"lr": 5e-4, "batch_size": 32}
    width: ClassVar[float]

    def __init__(self, n_mels: int, n_frames: int) -> None:
        from torchvision.models import mobilenet_v3_large  # takes a second to import
        from torchvision.ops import SqueezeExcitation

        super().__init__(n_mels, n_frames)
        net = mobilenet_v3_large(width_mult=self.width)
        stem = net.features[0][0]
        net.features[0][0] = nn.Conv2d(1, stem.out_channels, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(net.features[0][0].weight, mode="fan_out")
        for module in net.modules():
            if isinstance(module, SqueezeExcitation):
                module.scale_activation = nn.Sigmoid()  # torchvision's is a hard sigmoid
        self.features = net.features
        self.hidden = net.classifier[0]
        self.embedding_dim = self.hidden.out_features

    def forward(self, features: Tensor) -> Tensor:
        pooled = self.features(features.unsqueeze(1)).mean(dim=(2, 3))
        return F.dropout(F.hardswish(self.hidden(pooled)), DROPOUT, self.training)

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """EfficientAT's names and shapes to torchvision's; its AudioSet classifier is left out."""
        translated = {}
        for name, tensor in state.items():
            if name.startswith(AUDIOSET_CLASSIFIER):
                continue
            if "conc_se_layers.0." in name and tensor.ndim == 2:
                tensor = tensor[:, :, None, None]  # a linear layer there, a 1×1 convolution here
            name = name.replace("conc_se_layers.0.", "").replace("classifier.2.", "hidden.")
            translated[name] = tensor
        return translated


@register_backbone(
    "mn04",
    summary="EfficientAT's mn04, 0.7 M parameters: MobileNetV3-large × 0.4 on one channel, AudioSet weights",
    paper=PAPER,
)
class Mn04(MobileNet):
    """512-d embeddings."""

    width = 0.4
    public_weights = (
        audioset("mn04_as_mAP_432.pt", "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c"),
    )


@register_backbone(
    "mn10",
    summary="EfficientAT's mn10, 4.2 M parameters: MobileNetV3-large on one channel, AudioSet weights",
    paper=PAPER,
)
class Mn10(MobileNet):
    """1280-d embeddings."""

    width = 1.0
    public_weights = (audioset("mn10_as_mAP_471.pt"),)


@register_backbone(
    "mn40",
    summary="EfficientAT's mn40, 66 M parameters: MobileNetV3-large × 4 on one channel, AudioSet weights",
    paper=PAPER,
)
class Mn40(MobileNet):
    """5120-d embeddings."""

    width = 4.0
    public_weights = (audioset("mn40_as_mAP_484.pt"),)
