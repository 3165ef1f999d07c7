"""What does it take to turn recordings into features? rsbench beside the chain of published code.

    python benchmarks/preparation.py [--root DATA] [--dataset icbhi] [--rounds 3]

The published chain (that of Patch-Mix) resamples every recording, pads every clip to 8 s and computes features clip by
clip; clips and features are all kept in lists. rsbench decodes into an empty cache, and makes features a batch at a
time, which nobody keeps: the next epoch makes them again. Both in turn, each in a process of its own; what importing
takes is not counted. Peak memory includes mapped pages of the cache, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import rsbench  # first: it says how threads wait, which torch reads when it is loaded

# isort: split
import numpy as np
import soundfile
import torch
from measured import CPU_TIME, Ratio, compared, recordings
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchaudio.compliance.kaldi import fbank
from torchaudio.functional import resample
from torchaudio.transforms import Fade

from rsbench.core.plugins import discover
from rsbench.data.clips import ClipTable
from rsbench.data.gathering import ClipGatherer
from rsbench.data.sources import Roots, load_table
from rsbench.data.waveforms import prepare
from rsbench.features.frontends import create_frontend

RATE_HZ, CLIP_S, FADE, BATCH = 16_000, 8, 1000, 64
N_SAMPLES = RATE_HZ * CLIP_S


def published(table: ClipTable) -> int:
    """The published chain; soundfile reads, since torchaudio 2.9 and later need another library for it."""
    clips: list[Tensor] = []
    paths = dict(zip(table.recordings["recording"], table.recordings["path"], strict=True))
    fade, fade_out = Fade(FADE, FADE, "linear"), Fade(0, FADE, "linear")
    for name, of_recording in table.clips.groupby("recording"):
        native, rate = soundfile.read(paths[name], dtype="float32", always_2d=True)
        sound = fade(resample(torch.from_numpy(native.T.copy()), rate, RATE_HZ))
        for start_s, end_s in zip(of_recording["start_s"], of_recording["end_s"], strict=True):
            clip = sound[:, int(start_s * RATE_HZ) : int(end_s * RATE_HZ)]
            if clip.shape[1] < N_SAMPLES:
                clip = fade_out(clip.repeat(1, -(-N_SAMPLES // clip.shape[1]))[:, :N_SAMPLES])
            clips.append(clip[:, :N_SAMPLES])
    features = [
        fbank(
            clip,
            htk_compat=True,
            sample_frequency=RATE_HZ,
            use_energy=False,
            window_type="hanning",
            num_mel_bins=128,
            dither=0.0,
            frame_shift=10,
        )
        for clip in clips
    ]
    return len(features)


def ours(table: ClipTable) -> int:
    """What a run does in its first epoch, the model apart."""
    frontend = create_frontend("kaldi-fbank")
    cpu = torch.device("cpu")
    waveforms = prepare(table, frontend.rate)
    gatherer = ClipGatherer(waveforms, table.clips, N_SAMPLES, edge_fade=frontend.edge_fade, device=cpu, resident=True)
    return sum(len(frontend(gatherer.gather(rows))) for rows in _batches(len(table.clips)))


def _batches(clips: int) -> Iterator[Tensor]:
    return iter(torch.from_numpy(np.arange(clips)).split(BATCH))


CHAINS: dict[str, Callable[[ClipTable], int]] = {"published chain": published, "rsbench": ours}


def measure(chain: str, root: Path, dataset: str) -> dict[str, float]:
    """Wall-clock and CPU seconds, and the peak of memory in MB above what it was before."""
    discover()
    table = load_table(dataset, Roots.parse([str(root)], {}), partial=True)
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    clips = CHAINS[chain](table)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "clips": clips,
        "seconds": time.perf_counter() - started,
        "CPU seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "MB": (after.ru_maxrss - before.ru_maxrss) / 1024,
    }


def measure_both(root: Path, dataset: str, rounds: int) -> dict[str, list[dict[str, float]]]:
    """What `measure` gives of both chains, in turn, each in a process and with a cache of its own."""
    found: dict[str, list[dict[str, float]]] = {chain: [] for chain in CHAINS}
    command = [sys.executable, __file__, "--root", str(root), "--dataset", dataset]
    for _ in range(rounds):
        for chain in CHAINS:
            with tempfile.TemporaryDirectory() as cache:
                environment = os.environ | {"RSBENCH_CACHE": cache}
                done = subprocess.run(
                    [*command, "--chain", chain], env=environment, stdout=subprocess.PIPE, text=True, check=True
                )
            found[chain].append(json.loads(done.stdout))
    return found


def ratios(quick: bool) -> list[Ratio]:
    discover()
    root, dataset = recordings(), "icbhi"
    clips = len(load_table(dataset, Roots.parse([str(root)], {}), partial=True).clips)
    found = measure_both(root, dataset, 1 if quick else 3)
    about = f"{clips} clips to features: "
    return [
        compared({name: [once[key] for once in found[name]] for name in ("rsbench", "published chain")}, of, about)
        for key, of in (("CPU seconds", CPU_TIME), ("MB", "peak memory"))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", type=Path, default=os.environ.get("RSBENCH_DATA"), help="default: RSBENCH_DATA")
    parser.add_argument("--dataset", default="icbhi")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chain", choices=CHAINS, help="measure this one here, once, and print JSON")
    options = parser.parse_args()
    if options.root is None:
        parser.error("say where recordings lie: --root DATA, or RSBENCH_DATA")
    if options.chain:
        print(json.dumps(measure(options.chain, options.root, options.dataset)))
        return

    found = measure_both(options.root, options.dataset, options.rounds)
    columns = ("seconds", "CPU seconds", "MB")
    middle = {name: {key: statistics.median(one[key] for one in found[name]) for key in columns} for name in CHAINS}
    clips = int(found["rsbench"][0]["clips"])
    table = Table(title=f"{clips} clips of {options.dataset}, rsbench {rsbench.__version__}, {os.cpu_count()} cores")
    table.add_column("chain")
    for key in columns:
        table.add_column(key, justify="right")
    for name, figures in middle.items():
        table.add_row(name, *(f"{figures[key]:.1f}" for key in columns))
    table.add_row("ratio", *(f"{middle['rsbench'][key] / middle['published chain'][key]:.2f}" for key in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
