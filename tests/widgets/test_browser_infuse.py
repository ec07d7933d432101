"""Infuse as a person uses it: in a real JupyterLab with a real kernel, in headless Chromium, from an empty box to the
first changed answer."""

import nbformat
import pytest

from tests import browser, speaking

pytestmark = [
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "-"),
    pytest.mark.timeout(300),
]
CELL = """
from kadapter.experiment import infusion_facts
from widgets import Infuse
vars(infusion_facts).update(KEPT=6, PROBES=4, DOCUMENTS=2, ENTITIES=2, STEPS=40)
box = Infuse("", "llama", minutes=4, folder="own")
box
"""
FACTS = "person1, pet, dog\nperson2, home, river\n<img src=x onerror=alert(1)>"
INSIDE = ".jupyter-widgets.kadapter"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    speaking.make("llama", folder / "llama")
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}  # else JupyterLab asks for a kernel
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.strip())], metadata={"kernelspec": spec})
    nbformat.write(notebook, folder / "infuse.ipynb")
    return folder


@pytest.fixture(scope="module")
def page(place, tmp_path_factory):
    with browser.lab(place, tmp_path_factory.mktemp("settings")) as server, browser.page(height=1500) as opened:
        opened.on("dialog", lambda dialog: pytest.fail(dialog.message))
        browser.open_notebook(opened, server, "infuse.ipynb")
        browser.run_all(opened)
        yield opened


def test_from_an_empty_box_to_a_changed_answer(page, place):
    box, button = page.locator(f"{INSIDE} textarea").first, page.get_by_role("button", name="Infuse").first
    button.wait_for()
    assert box.input_value() == "" and button.is_disabled() and "One fact a line" in box.get_attribute("placeholder")
    box.fill(FACTS)
    page.locator(f"{INSIDE} .kadapter-note", has_text="2 facts (triples)").first.wait_for()
    assert "line 3" in page.locator(f"{INSIDE} .kadapter-note", has_text="2 facts").first.inner_text()
    button.click()
    page.get_by_role("button", name="Cancel").first.wait_for()  # the bar is there
    tables = page.locator(f"{INSIDE} table.kadapter-infused")
    tables.first.wait_for(timeout=240_000)
    told = tables.first.inner_text()
    assert "as they were never read" in told and "perplexity" in told and "control" in told
    captions = page.locator(f"{INSIDE} .kadapter-tables:not(.kadapter-stale) caption")
    captions.filter(has_text="llama + yours").first.wait_for(timeout=60_000)
    answers = {
        caption: [row.split("\t")[0] for row in rows]
        for caption, rows in page.locator(f"{INSIDE} .kadapter-tables table").evaluate_all(
            "tables => tables.map(t => [t.caption.innerText, [...t.tBodies[0].rows].map(r => r.innerText)])"
        )
    }
    assert set(answers) == {"llama", "llama + yours"}
    assert len(list(place.glob("own/own-*/page.html"))) == 1
    assert page.get_by_role("button", name="Cancel").first.is_hidden()


def test_the_page_that_is_left_opens_alone(page, place):
    [path] = place.glob("own/own-*/page.html")
    opened, problems = page.context.new_page(), list[str]()
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    opened.goto(path.as_uri())
    titles = opened.locator("h2").all_inner_texts()
    assert titles[:3] == ["What it learned", "Before and after", "What it did not touch"]
    bars = opened.locator(".bars i")
    assert bars.count() == 6 and all(box["width"] <= 700 for box in (bar.bounding_box() for bar in bars.all()))
    assert opened.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert not problems and not opened.locator("img").count()
    opened.close()
