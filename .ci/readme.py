"""The README's commands as they are typed: `python .ci/readme.py 1` prints the first of "Two commands"."""

import re
import sys
from pathlib import Path

readme = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
section = re.search(r"^## Two commands$(.*?)^## ", readme, flags=re.DOTALL | re.MULTILINE)
assert section, "README.md has no section called 'Two commands'"
first, second = re.findall(r"^```console\n(.*?)^```$", section[1], flags=re.DOTALL | re.MULTILINE)
print({"1": first, "2": second}[sys.argv[1]], end="")
