"""EfficientAT's mn04: MobileNetV3-large at 0.4 of its width, small and pre-trained on AudioSet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v3_large
from torchvision.ops import SqueezeExcitation

from rsbench import Backbone, Frontend, PublicWeights, register_backbone

DROPOUT = 0.2
AUDIOSET_CLASSIFIER = "classifier.5."


@register_backbone(
    "mn04",
    summary="EfficientAT's mn04, 0.7 M parameters: MobileNetV3-large × 0.4 on one channel, AudioSet weights",
    paper="Schmid et al., Efficient large-scale audio tagging, ICASSP 2023",
)
class Mn04(Backbone):
    """torchvision's MobileNetV3 with what EfficientAT changed: a one-channel stem, and sigmoid gates.

    The embedding is the 512-d hidden layer of EfficientAT's head, not the 384-d pooled features under it:
    AudioSet's classes are linear in it, and a loss stands where the new classifier does when EfficientAT is
    fine-tuned.
    """

    frontend = Frontend("efficientat-mel")
    recipe: ClassVar = {"lr": 5e-4, "batch_size": 32}
    public_weights = (
        PublicWeights(
            name="audioset",
            filename="mn04_as_mAP_432.pt",
            sha256="899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
            licence="MIT",
            source="https://github.com/fschmid56/EfficientAT",
            pretrained_on=("AudioSet",),
        ),
    )

    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__(n_mels, n_frames)
        net = mobilenet_v3_large(width_mult=0.4)
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
