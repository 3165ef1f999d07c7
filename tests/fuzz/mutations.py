"""Damaged inputs, drawn from a seed, and what every parser owes to them: success, or one message that teaches."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from rsbench.core.errors import RsbenchError

HOSTILE = (
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\x1b[31m",
    b"[/b]",
    b"=cmd()",
    b"<script>",
    b"1e999",
    b"NaN",
    b"-1",
    b"../",
)


def mutated(source: bytes, generator: random.Random, tokens: Sequence[bytes] = HOSTILE) -> bytes:
    """`source` after one to four changes: bytes flipped, pieces cut, doubled or moved, tokens put in."""
    damaged = bytearray(source)
    for _ in range(generator.randint(1, 4)):
        start = generator.randint(0, len(damaged))
        length = min(generator.choice((1, 2, 4, 8, 64, 1024)), len(damaged) - start)
        piece = bytes(damaged[start : start + length])
        change = generator.choice(("flip", "cut", "shorten", "double", "token", "zero"))
        if change == "flip" and piece:
            damaged[start] ^= 1 << generator.randrange(8)
        elif change == "cut":
            del damaged[start:]
        elif change == "shorten":
            del damaged[start : start + length]
        elif change == "double":
            damaged[start:start] = piece * generator.choice((1, 1, 2, 50))
        elif change == "token":
            damaged[start:start] = generator.choice(tokens)
        else:
            damaged[start : start + length] = bytes(length)
    return bytes(damaged)


def teaches(action: Callable[[], object], naming: Iterable[str] = ()) -> str | None:
    """Run `action`: None where it succeeds, its message where it raises RsbenchError. Anything else is a finding.

    A message is one line of printable text that holds every word of `naming`.
    """
    try:
        action()
    except RsbenchError as error:
        message = str(error)
        assert message.strip(), "an empty message"
        assert message.isprintable(), f"not one line of plain text: {message!r}"
        for word in naming:
            assert word in message, f"does not name {word}: {message}"
        return message
    return None
