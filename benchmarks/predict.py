"""How long does a run take to hear an hour? A folder of noise, cut into windows, as `rsbench predict` does it.

    python benchmarks/predict.py RUN [--results DIR] [--minutes 60] [--threads 2]

RUN is a finished run with its checkpoints; in the table of all speeds it is a short one, and its peer the front end and
the model over the same samples, without windows, quality or annotations. A busy machine stretches wall-clock time,
and less so the processor's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from boards import short_run
from measured import Ratio, compared, cpu_seconds, in_turn
from rich.console import Console
from rich.table import Table

from rsbench.core.display import Display
from rsbench.inference.classifier import load_classifier
from rsbench.inference.prediction import Predictor
from rsbench.inference.recordings import Annotations, make_plan
from rsbench.results.run import Run

RATE = 16_000
MINUTE_S = 60


def write_noise(folder: Path, minutes: int) -> None:
    """A recording of a minute each."""
    draws = np.random.default_rng(0)
    for minute in range(minutes):
        noise = 0.05 * draws.standard_normal(MINUTE_S * RATE, dtype=np.float32)
        soundfile.write(folder / f"{minute:03d}.wav", noise, RATE)


def ratios(quick: bool) -> list[Ratio]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        choice = short_run(folder / "short").choice()
        torch.set_num_threads(1)
        (folder / "sound").mkdir()
        write_noise(folder / "sound", 1 if quick else 3)
        classifier = load_classifier(choice)
        predictor = Predictor(choice, classifier, torch.device("cpu"))
        clip_s, size = choice.run.spec.data.clip_s, choice.run.spec.optim.batch_size

        def hear() -> None:
            plan = make_plan([folder / "sound"], Annotations(None, []), clip_s, clip_s)
            predictor.predict_all(plan, Display(quiet=True))

        @torch.inference_mode()
        def bare() -> None:
            for path in sorted((folder / "sound").iterdir()):
                samples = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
                for windows in samples.view(-1, round(clip_s * RATE)).split(size):
                    classifier(windows)

        contenders = {"rsbench predict": hear, "front end and model alone": bare}
        return [compared(in_turn(cpu_seconds, contenders, 2 if quick else 4))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", help="a finished run: its id, or its folder")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that holds runs/")
    parser.add_argument("--minutes", type=int, default=60, help="of audio")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        write_noise(Path(name), options.minutes)
        wall, processor = time.perf_counter(), time.process_time()
        choice = Run.load(options.run, options.results).choice()
        predictor = Predictor(choice, load_classifier(choice), torch.device("cpu"))
        loaded = time.perf_counter()
        clip_s = choice.run.spec.data.clip_s
        planned = make_plan([Path(name)], Annotations(None, []), clip_s, clip_s)
        heard = predictor.predict_all(planned, Display())
        ended = time.perf_counter()
        processor = time.process_time() - processor

    table = Table(title=f"{options.minutes} min of audio at {RATE} Hz, {choice.run.run_id}, {options.threads} threads")
    for heading in ("windows", "loading, s", "hearing, s", "processor, s"):
        table.add_column(heading, justify="right")
    figures = (len(heard.rows), f"{loaded - wall:.1f}", f"{ended - loaded:.1f}", f"{processor:.1f}")
    table.add_row(*map(str, figures))
    Console().print(table)


if __name__ == "__main__":
    main()
