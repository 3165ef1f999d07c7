"""Which versions are installed: a whole tested set, or the oldest that pyproject.toml allows.

    python .ci/constraints.py lowest > lowest.txt              # every lower bound, as it stands in pyproject.toml
    python .ci/constraints.py tested python3.11 python3.13     # writes constraints.txt, from new environments

The first Python named decides; the others are installed with its versions, and add what only they need.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
TESTED = PROJECT / "constraints.txt"
EXTRAS = "dev,mlflow,wandb"  # all there are
LOWER_BOUND = re.compile(r"^(?P<name>[\w.-]+)(?:\[\w+\])?(?:==|>=)(?P<version>[\w.]+)")

# Run by the new environment: what it holds of rsbench's dependencies, without what pip itself or a platform added.
CLOSURE = """
import re
import sys
from importlib.metadata import distribution, version
from packaging.requirements import Requirement

seen, left = {}, [Requirement(f"rsbench[{sys.argv[1]}]")]
while left:
    wanted = left.pop()
    key = re.sub(r"[-_.]+", "-", wanted.name).lower()
    new = {"", *wanted.extras} - seen.get(key, set())
    seen[key] = seen.get(key, set()) | new
    for text in distribution(wanted.name).requires or [] if new else []:
        inner = Requirement(text)
        if any(inner.marker is None or inner.marker.evaluate({"extra": extra}) for extra in new):
            left.append(inner)
for key in sorted(set(seen) - {"rsbench"}):
    print(f"{key}=={version(key).partition('+')[0]}")
"""


def lowest() -> Iterator[str]:
    """`name==version` for every dependency of pyproject.toml, extras included, that has a lower bound."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for wanted in itertools.chain(project["dependencies"], *project["optional-dependencies"].values()):
        bound = LOWER_BOUND.match(wanted)
        if bound:
            yield f"{bound['name']}=={bound['version']}"


def installed(python: str, constraints: Path | None) -> list[str]:
    """`name==version` of all that rsbench with EXTRAS needs, as pip installs it for this Python today."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        own = Path(folder, "bin", "python")
        given = ["-c", str(constraints)] if constraints else []
        subprocess.run([own, "-m", "pip", "install", "--quiet", "-e", f"{PROJECT}[{EXTRAS}]", *given], check=True)
        listed = subprocess.run([own, "-c", CLOSURE, EXTRAS], check=True, capture_output=True, text=True)
    return listed.stdout.split()


def tested(pythons: list[str]) -> None:
    """Write constraints.txt from new environments of these interpreters."""
    lines: list[str] = []
    for python in pythons:
        asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        number = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        marker = f' ; python_version >= "{number}"' if lines else ""
        before = {line.partition("==")[0] for line in lines}
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as given:
            given.write("\n".join(lines))
            given.flush()
            found = installed(python, Path(given.name) if lines else None)
        lines += [line + marker for line in found if line.partition("==")[0] not in before]
    head = f"""\
# All that `pip install -e ".[{EXTRAS}]"` took from nothing on {date.today():%Y-%m-%d}: what the tests pass with.
# Written by .ci/constraints.py. docs/installation.md says when to use it.
"""
    TESTED.write_text(head + "\n".join(sorted(lines)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["lowest"]:
            print("\n".join(lowest()))
        case ["tested", *pythons] if pythons:
            tested(pythons)
        case _:
            sys.exit(__doc__)
