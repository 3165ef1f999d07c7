"""Seeds by hashing only the axes that should matter.

No loss's name ever enters: the runs of one (backbone, seed) start from the same weights and see the same clips,
masks and order under every loss, so that losses are compared in pairs.
"""

from __future__ import annotations

import hashlib
import json


def derive(base: int, *axes: str | int) -> int:
    """A seed in [0, 2⁶³) for one purpose, e.g. `derive(seed, "augment", step)`; the same on every machine."""
    text = json.dumps([base, *axes], separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
