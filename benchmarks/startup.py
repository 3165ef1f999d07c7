"""How long do commands take that compute nothing? Beside `import torch`, which most of them need.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import sys

from measured import Ratio, command_seconds, compared, in_turn

PEER = {"import torch": [sys.executable, "-c", "import torch"]}
RSBENCH = (sys.executable, "-m", "rsbench")
COMMANDS = {
    "rsbench run --dry-run": [*RSBENCH, "run", "--loss", "qlung", "--backbone", "cnn6", "--dry-run"],
    "rsbench list losses": [*RSBENCH, "list", "losses"],
    "rsbench --help": [*RSBENCH, "--help"],
}


def ratios(quick: bool) -> list[Ratio]:
    times = in_turn(command_seconds, PEER | COMMANDS, 2 if quick else 5)
    return [compared({name: times[name]} | {peer: times[peer] for peer in PEER}) for name in COMMANDS]


if __name__ == "__main__":
    for ratio in ratios(quick=False):
        print(f"{ratio.what}: {statistics.median(ratio.rounds):.2f} of the CPU time of {ratio.beside}")
