"""Files edited and damaged behind rsbench's back; those of a run folder as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def read(run: Path, name: str) -> Any:
    """What a file of a run says: `read(run, "metrics.json")`."""
    return json.loads((run / name).read_text(encoding="utf-8"))


def write(run: Path, name: str, content: Any) -> None:
    """Put other JSON there. The file is replaced, not written into: it may be linked to that of another run."""
    (run / name).unlink(missing_ok=True)
    (run / name).write_text(json.dumps(content), encoding="utf-8")


def edit(run: Path, name: str, change: Callable[[Any], object]) -> None:
    """Change what a file says in place: `edit(run, "spec.json", lambda spec: spec.pop("select"))`."""
    content = read(run, name)
    change(content)
    write(run, name, content)


def zero_second_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)
