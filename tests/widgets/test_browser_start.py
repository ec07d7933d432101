"""The first click: `make lab` in a copy of the project opens notebook 00 in JupyterLab; looked at in Chromium."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from kadapter.errors import KAdapterError
from kadapter.experiment import shipped
from tests import browser

pytestmark = [
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "-"),
    pytest.mark.timeout(600),
]
NOTEBOOK = "notebooks/00_start_here.ipynb"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """What a person sees of a fresh clone, without runs; the package is imported from the tests' own tree."""
    folder = tmp_path_factory.mktemp("clone") / "kadapter"
    folder.mkdir()
    for name in ("notebooks", "docs"):
        shutil.copytree(browser.ROOT / name, folder / name, ignore=shutil.ignore_patterns("_build", "__pycache__"))
    for name in ("Makefile", "README.md", "pyproject.toml", "requirements.lock"):
        shutil.copy(browser.ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def server(project, tmp_path_factory):
    venv = Path(sys.prefix)
    # Run by `make test`, this make is one within a make and would say so in lines of its own.
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    printed = subprocess.run(
        ["make", "-n", "-o", str(venv / ".installed"), "lab", f"VENV={venv}"],
        cwd=project, capture_output=True, text=True, check=True, env=outside,
    ).stdout  # fmt: skip
    command = shlex.split(printed.strip().splitlines()[-1], comments=True)
    assert Path(command[0]).name == "jupyter"
    with browser.lab(project, tmp_path_factory.mktemp("settings"), command) as served:
        yield served


@pytest.fixture(scope="module")
def page(server):
    try:
        shipped.speaker()  # unpacked before the clock of the page runs
    except KAdapterError as error:
        pytest.skip(str(error))
    with browser.page(height=2400) as opened:
        opened.on("dialog", lambda dialog: dialog.accept())
        opened.context.set_default_timeout(6 * browser.TIMEOUT)  # two models are loaded, whatever else runs
        opened.goto(server.url())  # no path: what `make lab` opens
        browser.wait_idle(opened, NOTEBOOK)
        browser.run_all(opened)
        yield opened


def outputs(page, beginning: str) -> str:
    """The text of the output that holds this."""
    return page.locator(".jp-OutputArea-output", has_text=beginning).first.inner_text()


def test_the_whole_project_is_served(server):
    for path in ("README.md", "docs/start.md", NOTEBOOK):
        with urllib.request.urlopen(server.url(f"api/contents/{path}") + "&content=0") as answer:
            assert json.load(answer)["path"] == path


def test_the_frozen_model_does_not_know_and_with_the_adapter_it_does(page):
    n = len(shipped.facts_asked())
    right = {}
    for name in ("frozen model", "F plugged in"):
        told = re.search(rf"{name}: (\d+) of {n} answers are right", outputs(page, f"{name}: "))
        right[name] = int(told[1])
    assert right["frozen model"] < 0.3 * n < 0.8 * n <= right["F plugged in"]
    rows = page.locator("table", has_text="verdict").first.locator("tbody tr")
    for row in rows.all():  # ✓ stands where the answer is the true one, and nowhere else
        cells = row.locator("td").all_inner_texts()
        _, true, answer, verdict, *_ = cells
        assert (answer == true) == (verdict == "✓"), cells
    assert "unplugged, every score is the frozen model's: True" in outputs(page, "unplugged, every score")


def test_the_switch_and_the_sentence_are_answered(page):
    cloze = page.locator(".jupyter-widgets.kadapter", has=page.locator("input[type=text]")).first
    fresh = ".kadapter-tables:not(.kadapter-stale) "
    cloze.locator(fresh + "caption", has_text="SmolLM2").wait_for()
    knowing = cloze.locator(fresh + "td").first.inner_text()
    expected = cloze.locator("input[type=text]").nth(1).input_value()
    assert knowing == expected
    cloze.get_by_role("button", name="F in SmolLM2").click()
    cloze.locator(fresh + "caption", has_text="SmolLM2, F unplugged").wait_for()
    assert cloze.locator(fresh + "td").first.inner_text() != expected
    cloze.get_by_role("button", name="F in SmolLM2").click()
    cloze.locator(fresh + "caption", has_text="unplugged").wait_for(state="detached")


def test_the_invented_world_has_its_chance_beside_it(page):
    assert "by chance" in page.locator("table", has_text="by chance").last.inner_text()
    html = page.locator(".jp-Notebook").inner_text()
    assert "chance is one in twelve" in html and "One threshold" in html


def test_nothing_was_trained(page, project):
    left = sorted(path.relative_to(project).as_posix() for path in project.rglob("result.json"))
    assert len(left) == 1 and left[0].endswith("runs/notebook/start/here/result.json")
