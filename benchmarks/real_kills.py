"""kill -9 for real: at the k-th call that changes the disk or at a random moment, then the same command again.

    python benchmarks/real_kills.py --kills 200

What must hold: the command ends as one that nobody killed, to the same bits, and leaves nothing over. Every process is
forked from this one, which has imported everything, so that a kill costs a run of a second and no more. "two at once"
are two processes of the same command in one folder: either does the work, or is told of the other and exits with 2.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import yaml

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "fuzz")]

from kills import counted, leftovers  # noqa: E402
from tiny import CLIP_S, TINY_PLUGIN, write_own_dataset  # noqa: E402

import rsbench.experiment.embed  # noqa: E402
import rsbench.experiment.run  # noqa: E402
import rsbench.sweep.driver  # noqa: E402, F401
from rsbench.cli import main as command_line  # noqa: E402
from rsbench.core.plugins import discover  # noqa: E402

HANGS_S = 120

STUDY = {
    "name": "small",
    "purpose": "to be killed",
    "base": {"backbone": "tiny", "train": "tiny", "test": "tiny,far", "data.clip_s": CLIP_S, "epochs": 2},
    "grid": {"loss": ["ce", "stochastic"]},
    "seeds": "0",
    "plugins": [TINY_PLUGIN],
}


def commands(root: Path, out: Path) -> dict[str, list[str]]:
    common = ["--root", str(root), "--quiet"]
    tiny = ["--plugin", TINY_PLUGIN, "--threads", "1", *common]
    run = [
        "run",
        "--loss",
        "stochastic",
        "--backbone",
        "tiny",
        "--train",
        "tiny",
        "--test",
        "tiny,far",
        "--epochs",
        "3",
    ]
    run += ["--set", f"data.clip_s={CLIP_S}", "--results", str(out), *tiny]
    folds = ["--set", "select=cv-refit", "--set", "validation.folds=2", "--set", "validation.fraction=0"]
    embed = ["embed", "--backbone", "tiny", "--dataset", "tiny,far", "--clip-s", str(CLIP_S), *tiny]
    (root / "study.yaml").write_text(yaml.safe_dump(STUDY))
    return {
        "run": run,
        "run, cv-refit": [*run, *folds],
        "embed": [*embed, "--out", str(out / "tiny.parquet")],
        "sweep": ["sweep", str(root / "study.yaml"), "--serial", "--results", str(out), *common],
    }


def started(command: list[str], log: Path, on_call: Callable[[int], None] = lambda number: None) -> int:
    """The process id of a fork at work on a command."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    signal.alarm(HANGS_S)
    try:
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            sys.argv = ["rsbench", *command]
            with counted(on_call):
                command_line()
            code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(pid: int) -> int:
    """Its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def outcome(out: Path) -> str:
    """A hash of all that follows from the command, times and places apart."""
    found = hashlib.sha256()
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".parquet":
            found.update(f"{name} {_table(path).to_json(double_precision=15)}".encode())
        elif path.name in ("epochs.csv", "folds.csv"):
            found.update(f"{name} {pd.read_csv(path).drop(columns='seconds', errors='ignore').to_csv()}".encode())
        elif path.name in ("metrics.json", "selection.json") or path.suffix == ".safetensors":
            found.update(name.encode() + path.read_bytes())
    return found.hexdigest()


def _table(path: Path) -> pd.DataFrame:
    """Read without threads, which a fork would not survive."""
    return pd.read_parquet(io.BytesIO(path.read_bytes()), use_threads=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    discover()  # once, and not in every fork
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        root, out, cache = (place / name for name in ("data", "out", "cache"))
        write_own_dataset(root / "tiny", {"train": 10, "test": 4})
        write_own_dataset(root / "far", {"test": 5}, seed=1, pitch=0.8)
        os.environ["RSBENCH_CACHE"] = str(cache)
        failed = 0
        for name, command in commands(root, out).items():
            failed += torment(name, command, place, generator, options.kills)
    sys.exit(failed > 0)


def torment(name: str, command: list[str], place: Path, generator: random.Random, kills: int) -> int:
    """Kill a command so often, print a line about it, and return how many endings were not as they must be."""
    out, cache, log, calls = (place / part for part in ("out", "cache", "log", "calls"))

    def afresh() -> None:
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(cache, ignore_errors=True)

    def wrong(expected: str, why: str) -> bool:
        found = outcome(out) != expected or leftovers(out) + leftovers(cache)
        if found:
            print(f"  {why}: {found}\n{log.read_text()}")
        return bool(found)

    afresh()
    began = time.monotonic()
    calls.touch()
    assert ended(started(command, log, lambda number: os.truncate(calls, number))) == 0, log.read_text()
    seconds, whole = time.monotonic() - began, outcome(out)
    killed = sequences = failed = 0
    while killed < kills:
        afresh()
        for _ in range(generator.choice((1, 1, 2, 3))):
            if generator.random() < 0.5:
                at = generator.randint(1, calls.stat().st_size)
                pid = started(command, log, lambda number, at=at: number == at and os.kill(os.getpid(), signal.SIGKILL))
            else:
                pid = started(command, log)
                time.sleep(generator.uniform(0, seconds))
                os.kill(pid, signal.SIGKILL)
            killed += ended(pid) == -signal.SIGKILL
        sequences += 1
        code = ended(started(command, log))
        failed += code != 0 or wrong(whole, f"after {killed} kills")
    told = 0
    for _ in range(max(2, kills // 10)):
        afresh()
        pids = [started(command, place / f"log{number}") for number in range(2)]
        codes = [ended(pid) for pid in pids]
        told += 2 in codes
        failed += not {0} <= set(codes) <= {0, 2} or wrong(whole, f"two at once: {codes}")
    print(
        f"{name}: {killed} kills in {sequences} sequences; two at once {max(2, kills // 10)} times, {told} of them "
        f"told of the other; {failed} ended otherwise",
        flush=True,
    )
    return failed


if __name__ == "__main__":
    main()
