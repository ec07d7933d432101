"""The site builds without a warning, has every public name, and asks no other host for anything."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kadapter
import widgets

ROOT = Path(__file__).resolve().parents[1]
RESOURCE = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)[^>]*\ssrc=["']([^"']+)|<link[^>]*\shref=["']([^"']+)"""
)


def modules() -> list[str]:
    packages = (kadapter, widgets)
    return [m.name for p in packages for m in pkgutil.walk_packages(p.__path__, f"{p.__name__}.")]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site, its notebooks as they are in the repository (`make docs` executes them)."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "--quiet", "-b", "html"]
    options = [
        "-D",
        "nb_execution_mode=off",
        "-D",
        "suppress_warnings=mystnb.unknown_mime_type,ref.python,myst-nb.lexer",
    ]
    done = subprocess.run([*command, *options, "docs", str(out)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_nothing_comes_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 100
    for page in pages:
        found = [a or b for a, b in RESOURCE.findall(page.read_text(encoding="utf-8"))]
        assert found and not [url for url in found if re.match(r"(?:https?:)?//", url)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import [\"']?http", style.read_text(encoding="utf-8")), style


def test_every_module_has_its_page(site):
    names = [
        m.name
        for package in (kadapter, widgets)
        for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    ]
    missing = [name for name in names if not (site / "generated" / f"{name}.html").is_file()]
    assert len(names) > 100 and not missing


def test_an_undocumented_public_name_would_be_told(site):
    """What the strict build looks at is all there is: every public function and class of a module has a docstring."""
    for path in modules():
        module = importlib.import_module(path)
        assert module.__doc__, path
        for name, found in vars(module).items():
            own = getattr(found, "__module__", None) == path and not name.startswith("_")
            if own and (inspect.isclass(found) or inspect.isfunction(found)):
                assert inspect.getdoc(found), f"{path}.{name}"
