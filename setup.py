"""What pyproject.toml cannot say: the package's page is the README, with links that hold outside the repository."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
# A picture, or the end of a link, which may itself hold a picture; or a picture in HTML.
RELATIVE_LINK = re.compile(r"""(!\[[^\]]*\]\(|\]\(|<img src=")(?!\w+:|#)([^)"]+)""")


def page() -> str:
    """The README with the links of this version's files in the public repository, pictures as files to show."""
    repository = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    (version,) = re.findall(r'^__version__ = "(.+)"$', (HERE / "rsbench/__init__.py").read_text(), flags=re.MULTILINE)

    def absolute(link: re.Match[str]) -> str:
        kind = "blob" if link[1] == "](" else "raw"
        return f"{link[1]}{repository}/{kind}/v{version}/{link[2]}"

    return RELATIVE_LINK.sub(absolute, (HERE / "README.md").read_text(encoding="utf-8"))


setup(long_description=page(), long_description_content_type="text/markdown")
