"""The documentation's site: `sphinx-build -W docs site`. What pages have beside what is written in them: _site.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import rsbench

project = "rsbench"
author = "The rsbench authors"
copyright = f"2026, {author}"
version = release = rsbench.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "_site"]
source_suffix = {".md": "markdown", ".ipynb": "markdown"}
exclude_patterns = ["plugin-template"]
myst_heading_anchors = 3
smartquotes = False  # two hyphens are an option's
default_role = "code"  # `name` in a docstring, as in Markdown

add_module_names = False
autodoc_member_order = "bysource"
autodoc_type_aliases = {"ClassWeights": "ClassWeights", "Metrics": "Metrics"}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"  # light and dark; fonts are the system's own, so that the site fetches nothing
html_title = "rsbench"
html_static_path = ["static"]
html_js_files = ["copy.js"]
html_css_files = ["copy.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": "https://github.com/rsbench/rsbench/",
    "source_branch": "main",
    "source_directory": "docs/",
}

pages = {  # all but the first, by what they are for
    "Begin": ["quickstart", "installation", "study"],
    "Tutorials": ["tutorials/paper", "tutorials/method", "tutorials/clinic", "tutorials/review"],
    "What is measured, and how": [
        "data",
        "protocol",
        "tasks",
        "statistics",
        "boards",
        "publishing",
        "robustness",
        "performance",
    ],
    "Your own": ["loss", "backbone", "models", "dataset", "quality", "predictions"],
    "Studies": ["sweeps", "slurm", "generalisation", "runs", "observers"],
    "Reference": ["commands", "api"],
}
