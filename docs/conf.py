"""The site: `make docs` builds it into docs/_build/html, with every notebook executed. Nothing on a page comes from
another host, so that it reads well offline."""

import inspect
import shutil
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

import kadapter

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))  # widgets, from a checkout

project = "K-Adapter workbench"
author = "The K-Adapter workbench authors"
project_copyright = author
release = kadapter.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx_design"]
exclude_patterns = ["_build", "_templates", "notebooks/runs"]  # what executed notebooks leave
templates_path = ["_templates"]

# --- pages ---
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# --- notebooks: executed once, kept until they change; a failing cell fails the build ---
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "jupyter_cache")
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_execution_excludepatterns = ["_build/*"]
# A page shows the drawing and the static twin; the live figure and the live widget want a kernel and other hosts.
nb_mime_priority_overrides = [
    ("html", "application/vnd.plotly.v1+json", None),
    ("html", "application/vnd.jupyter.widget-view+json", None),
    ("html", "image/svg+xml", 5),
    ("html", "text/html", 10),
]
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
suppress_warnings = ["mystnb.unknown_mime_type", "ref.python"]  # an annotation may name a class by its last name
nb_render_markdown_format = "myst"

# --- reference ---
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
autodoc_mock_imports: list[str] = []
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True

# --- look ---
html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["kadapter.css"]
html_theme_options = {
    "show_prev_next": False,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "navigation_with_keys": False,
}
html_sidebars = {page: [] for page in ("index", "start", "concepts", "results")}  # pages without pages below them
html_show_sourcelink = False

_log = logging.getLogger(__name__)


def _notebooks(_: Sphinx) -> None:
    """The project's notebooks as pages of the site."""
    folder = HERE / "notebooks"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.ipynb"):
        if not (ROOT / "notebooks" / old.name).exists():
            old.unlink()
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        page = folder / notebook.name
        if not page.exists() or page.read_bytes() != notebook.read_bytes():
            shutil.copy2(notebook, page)


def _documented(_: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """A public name without a docstring of its own or of what it overrides fails a strict build."""
    if isinstance(found, property):
        found = found.fget
    own = what == "module" or name.startswith(f"{getattr(found, '__module__', None)}.")  # and not merely imported
    if own and not any(line.strip() for line in lines) and not inspect.getdoc(found):
        _log.warning("%s %s has no docstring", what, name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this."""
    app.connect("builder-inited", _notebooks, priority=100)
    app.connect("autodoc-process-docstring", _documented)
    return {"parallel_read_safe": False}
