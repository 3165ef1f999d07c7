"""CNN6, CNN10 and CNN14 of PANNs: log-mel features through blocks of convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Backbone, Frontend, PublicWeights, RsbenchError, register_backbone

PAGE = "https://zenodo.org/records/3987831"
PAPER = "Kong et al., PANNs, IEEE/ACM TASLP 2020"
NOT_THE_NETWORK = ("spectrogram_extractor.", "logmel_extractor.", "fc_audioset.")
AT_32_KHZ = Frontend("panns-log-mel-32k")


def audioset(filename: str, sha256: str = "", *, name: str = "audioset", frontend: Frontend | None) -> PublicWeights:
    """A checkpoint of the authors' record at Zenodo."""
    return PublicWeights(
        name=name,
        filename=filename,
        source=PAGE,
        licence="CC-BY-4.0",
        pretrained_on=("AudioSet",),
        download=f"{PAGE}/files/{filename.replace('=', '%3D')}",
        sha256=sha256,
        frontend=frontend,
    )


class Block(nn.Module):
    """(B, in, T, F) to (B, out, T // pool, F // pool): convolutions, each with batch norm and ReLU, then an average.

    One 5×5 convolution or two 3×3, named conv1, bn1, conv2, bn2 as PANNs does.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.depth = 1 if kernel == 5 else 2
        for index in range(1, self.depth + 1):
            before = in_channels if index == 1 else out_channels
            conv = nn.Conv2d(before, out_channels, kernel, padding=kernel // 2, bias=False)
            nn.init.xavier_uniform_(conv.weight)
            self.add_module(f"conv{index}", conv)
            self.add_module(f"bn{index}", nn.BatchNorm2d(out_channels))

    def forward(self, maps: Tensor) -> Tensor:
        for index in range(1, self.depth + 1):
            conv, norm = self.get_submodule(f"conv{index}"), self.get_submodule(f"bn{index}")
            maps = F.relu_(norm(conv(maps)))
        return F.avg_pool2d(maps, self.pool)


class Panns(Backbone):
    """Layers, names and initialisation are those of PANNs, up to the embedding (`fc1`).

    Features are (B, n_mels, n_frames); each halving block needs two of both, RsbenchError otherwise. Subclasses
    say `channels` of their blocks, `kernel` of the convolutions, and how many blocks halve bins and frames.

    Args:
        n_mels: bins.
        n_frames: frames.
        pool_over: "all" frames, as published, or only those that are "heard": the silence after a clip (data.window)
            is then replaced by the mean of its heard frames before the network, and left out of the pooling over time.
    """

    frontend = Frontend("panns-log-mel")
    recipe: ClassVar = {"lr": 1e-3, "batch_size": 64}
    channels: ClassVar[tuple[int, ...]]
    kernel: ClassVar[int]
    halving: ClassVar[int] = 4

    def __init__(self, n_mels: int, n_frames: int, *, pool_over: Literal["all", "heard"] = "all") -> None:
        super().__init__(n_mels, n_frames)
        self.takes_mask = pool_over == "heard"
        shortest = 2**self.halving
        if min(n_mels, n_frames) < shortest:
            raise RsbenchError(
                f"{type(self).__name__.lower()} needs at least {shortest} mel bins and {shortest} frames, and was "
                f"given {n_mels} × {n_frames}. Use longer clips (data.clip_s) or a shorter hop (frontend.hop_ms)."
            )
        self.embedding_dim = width = self.channels[-1]
        self.bn0 = nn.BatchNorm1d(n_mels)
        for index, (before, after) in enumerate(zip((1, *self.channels), self.channels, strict=False)):
            block = Block(before, after, kernel=self.kernel, pool=2 if index < self.halving else 1)
            self.add_module(f"conv_block{index + 1}", block)
        self.fc1 = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.fc1.weight)
        nn.init.zeros_(self.fc1.bias)

    def forward(self, features: Tensor, heard: Tensor | None = None) -> Tensor:
        if heard is not None:
            features = filled_with_mean(features, heard.unsqueeze(1))
        # PANNs' maps are (B, channels, time, frequency). Channels last gives the same, faster on a CPU.
        maps = self.bn0(features).transpose(1, 2).unsqueeze(1)
        maps = maps.contiguous(memory_format=torch.channels_last)
        for index in range(1, len(self.channels) + 1):
            maps = F.dropout(self.get_submodule(f"conv_block{index}")(maps), 0.2, self.training)
        over_time = maps.mean(dim=3)
        if heard is None:
            pooled = over_time.amax(dim=2) + over_time.mean(dim=2)
        else:
            steps = F.max_pool1d(heard.float().unsqueeze(1), 2**self.halving)  # those with any heard frame
            largest = over_time.masked_fill(steps == 0, -torch.inf).amax(dim=2)
            pooled = largest + (over_time * steps).sum(dim=2) / steps.sum(dim=2)
        return F.relu(self.fc1(F.dropout(pooled, 0.5, self.training)))

    def stages(self) -> list[list[str]]:
        """The first norm with the first block, every other block, the embedding."""
        blocks = [[f"conv_block{index}"] for index in range(2, len(self.channels) + 1)]
        return [["bn0", "conv_block1"], *blocks, ["fc1"]]

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """PANNs' names are ours; its front end and its AudioSet classifier are left out."""
        return {name: tensor for name, tensor in state.items() if not name.startswith(NOT_THE_NETWORK)}


def filled_with_mean(features: Tensor, heard: Tensor) -> Tensor:
    """Features (B, n_mels, T) whose unheard frames hold the mean of the heard ones. heard: (B, 1, T) bool."""
    mean = features.masked_fill(~heard, 0.0).sum(dim=2, keepdim=True) / heard.sum(dim=2, keepdim=True)
    return torch.where(heard, features, mean)


@register_backbone(
    "cnn6",
    summary="PANNs' CNN6, 4.6 M parameters: four 5×5 convolutions, mean over frequency, max + mean over time",
    paper=PAPER,
)
class Cnn6(Panns):
    """512-d embeddings of four blocks of one 5×5 convolution. Features have at least 16 bins and frames."""

    channels = (64, 128, 256, 512)
    kernel = 5
    public_weights = (audioset("Cnn6_mAP=0.343.pth", frontend=AT_32_KHZ),)


@register_backbone(
    "cnn10",
    summary="PANNs' CNN10, 5.0 M parameters: four blocks of two 3×3 convolutions, pooled as CNN6",
    paper=PAPER,
)
class Cnn10(Panns):
    """512-d embeddings of four blocks of two 3×3 convolutions. Features have at least 16 bins and frames."""

    channels = (64, 128, 256, 512)
    kernel = 3
    public_weights = (audioset("Cnn10_mAP=0.380.pth", frontend=AT_32_KHZ),)


@register_backbone(
    "cnn14",
    summary="PANNs' CNN14, 80 M parameters: six blocks of two 3×3 convolutions, pooled as CNN6",
    paper=PAPER,
)
class Cnn14(Panns):
    """2048-d embeddings of six blocks of two 3×3 convolutions, of which the last does not halve.

    Features have at least 32 bins and frames. `audioset` was trained at 32 kHz, `audioset-16k` at this backbone's
    own 16 kHz.
    """

    channels = (64, 128, 256, 512, 1024, 2048)
    kernel = 3
    halving = 5
    public_weights = (
        audioset(
            "Cnn14_mAP=0.431.pth",
            "0dc499e40e9761ef5ea061ffc77697697f277f6a960894903df3ada000e34b31",
            frontend=AT_32_KHZ,
        ),
        audioset(
            "Cnn14_16k_mAP=0.438.pth",
            "e2ee543a27919542c2ea03eabaa70b24dcd4e6c8e05621de6b67a94e4c5058e6",
            name="audioset-16k",
            frontend=None,
        ),
    )
