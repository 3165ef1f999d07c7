"""How fast is the batched front end? `kaldi-fbank` beside torchaudio's own, which takes one clip at a time.

    python benchmarks/frontend.py [--device cuda] [--clips 64] [--clip-s 8]

Both are timed in turn, several times, on clips of noise; the median counts, so that a busy machine slows both alike.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchaudio.compliance.kaldi import fbank

from rsbench.features.frontends import create_frontend

ROUNDS = 5


def clip_by_clip(waveforms: Tensor) -> Tensor:
    """The published call, once per clip."""
    features = [
        fbank(
            clip[None],
            htk_compat=True,
            sample_frequency=16_000,
            use_energy=False,
            window_type="hanning",
            num_mel_bins=128,
            dither=0.0,
            frame_shift=10,
        )
        for clip in waveforms
    ]
    return torch.stack(features)


def seconds(function: Callable[[Tensor], Tensor], waveforms: Tensor) -> float:
    """Wall-clock seconds of one call, the device's work included."""
    start = time.perf_counter()
    function(waveforms)
    if waveforms.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 …")
    parser.add_argument("--clips", type=int, default=64, help="clips in a batch")
    parser.add_argument("--clip-s", type=float, default=8.0, help="seconds of a clip")
    options = parser.parse_args()

    frontend = create_frontend("kaldi-fbank").to(options.device)
    n_samples = int(options.clip_s * frontend.rate)
    waveforms = torch.randn(options.clips, n_samples, device=options.device) / 10
    contenders = {"rsbench, batched": frontend, "torchaudio, clip by clip": clip_by_clip}
    for function in contenders.values():  # the first call pays for plans and memory
        function(waveforms)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, function in contenders.items():
            times[name].append(seconds(function, waveforms))

    threads = torch.get_num_threads()
    table = Table(title=f"{options.clips} clips of {options.clip_s:g} s on {options.device}, {threads} CPU threads")
    table.add_column("front end")
    table.add_column("clips/s", justify="right")
    for name in contenders:
        table.add_row(name, f"{options.clips / statistics.median(times[name]):.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
