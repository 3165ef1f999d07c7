"""How fast is the batched front end? `kaldi-fbank` beside torchaudio's own, which takes one clip at a time.

    python benchmarks/frontend.py [--device cuda] [--clips 64] [--clip-s 8]

Both are timed in turn, several times, on clips of noise; the median counts. On a CPU it is the processor's time.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from measured import Ratio, compared, device_seconds, in_turn
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


def measure(device: str, clips: int, clip_s: float, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds that a batch takes, see `device_seconds`, of ours and of torchaudio's."""
    frontend = create_frontend("kaldi-fbank").to(device)
    waveforms = torch.randn(clips, int(clip_s * frontend.rate), device=device) / 10
    contenders = {
        "rsbench, batched": lambda: frontend(waveforms),
        "torchaudio, clip by clip": lambda: clip_by_clip(waveforms),
    }
    return in_turn(lambda work: device_seconds(work, torch.device(device)), contenders, rounds)


def ratios(quick: bool) -> list[Ratio]:
    return [compared(measure("cpu", 16 if quick else 64, 8.0), about="kaldi-fbank: ")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 …")
    parser.add_argument("--clips", type=int, default=64, help="clips in a batch")
    parser.add_argument("--clip-s", type=float, default=8.0, help="seconds of a clip")
    options = parser.parse_args()

    times = measure(options.device, options.clips, options.clip_s)

    threads = torch.get_num_threads()
    table = Table(title=f"{options.clips} clips of {options.clip_s:g} s on {options.device}, {threads} CPU threads")
    table.add_column("front end")
    table.add_column("clips/s of CPU time" if options.device == "cpu" else "clips/s", justify="right")
    for name in times:
        table.add_row(name, f"{options.clips / statistics.median(times[name]):.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
