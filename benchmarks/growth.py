"""Do boards and reports take more than twice as long over twice as many runs? What the two scripts do, at two sizes.

python benchmarks/growth.py
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from measured import Ratio, command_seconds, compared, in_turn

HERE = Path(__file__).resolve().parent
SIZES = {"boards": (400, 800), "report": (20, 40)}
QUICK_SIZES = {"boards": (100, 200), "report": (10, 20)}


def ratios(quick: bool) -> list[Ratio]:
    """CPU time of each script, the making of its runs included: 2 where it grows as they do."""
    found = []
    for script, (few, many) in (QUICK_SIZES if quick else SIZES).items():
        commands = {
            f"{script}.py, {runs} runs": [sys.executable, str(HERE / f"{script}.py"), "--runs", str(runs)]
            for runs in (many, few)
        }
        found.append(compared(in_turn(command_seconds, commands, 1)))
    return found


if __name__ == "__main__":
    for ratio in ratios(quick=False):
        print(f"{ratio.what}: {statistics.median(ratio.rounds):.2f} of the CPU time of {ratio.beside}")
