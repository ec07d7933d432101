"""Cloze as a person uses it: in a real JupyterLab with a real kernel, in headless Chromium."""

import nbformat
import pytest

from kadapter.model.adapter import AdapterConfig, build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.probing.completions import complete
from kadapter.training.language import language_model
from tests import browser, speaking

pytestmark = [
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "-"),
    pytest.mark.timeout(300),
]
CELL = """
from kadapter import Backbone
from kadapter.training.language import language_model
from widgets import Cloze
models = {name: language_model(Backbone(name), {"F": f"F-{name}"}) for name in ("bert", "llama")}
cloze = Cloze(models, "Person knows [MASK]", "dog", words=["dog", "river", "names"])
cloze
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    for name in ("bert", "llama"):
        backbone = Backbone(speaking.make(name, folder / name))
        sizes = {"plug_layers": (0, 2), "width": 8, "layers": 1, "heads": 1, "inner": 8}
        adapter = build_adapter(AdapterConfig.for_backbone(backbone, **sizes))
        model = language_model(backbone, {"F": adapter})
        for p in model.fusion.parameters():
            p.data.add_(1.0)  # as if it had been trained
        adapter.save_pretrained(folder / f"F-{name}", backbone)
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}  # else JupyterLab asks for a kernel
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.strip())], metadata={"kernelspec": spec})
    nbformat.write(notebook, folder / "cloze.ipynb")
    return folder


@pytest.fixture(scope="module")
def page(place, tmp_path_factory):
    settings = tmp_path_factory.mktemp("settings")
    with browser.lab(place, settings) as server, browser.page(height=1200) as opened:
        opened.on("dialog", lambda dialog: dialog.accept())
        browser.open_notebook(opened, server, "cloze.ipynb")
        browser.run_all(opened)
        yield opened


def tables(page) -> dict[str, list[list[str]]]:
    found = page.locator(".jupyter-widgets.kadapter .kadapter-tables:not(.kadapter-stale) table").evaluate_all(
        """tables => tables.map(t => [t.caption.innerText,
            [...t.tBodies[0].rows].map(r => [...r.cells].map(c => c.innerText))])"""
    )
    return dict(found)


def wait_for(page, *captions: str) -> dict[str, list[list[str]]]:
    for caption in captions:
        page.locator(
            ".jupyter-widgets.kadapter .kadapter-tables:not(.kadapter-stale) caption", has_text=caption
        ).first.wait_for(timeout=60_000)
    return tables(page)


def test_models_stand_side_by_side(page, place):
    shown = wait_for(page, "bert", "llama")
    for name in ("bert", "llama"):
        model = language_model(Backbone(place / name), {"F": place / f"F-{name}"})
        found = complete(model, load_tokenizer(place / name), "Person knows [MASK]", answer="dog")
        rows = [
            [word or "(space)", f"{100 * p:.1f}%"] for word, p in zip(found.words, found.probabilities, strict=True)
        ]
        assert shown[name][: len(rows)] == rows
        assert shown[name][-1][0].startswith("dog: ")


def test_unplugging_and_typing_are_followed(page, place):
    page.get_by_role("button", name="F in llama").first.click()
    shown = wait_for(page, "llama, F unplugged")
    alone = language_model(Backbone(place / "llama"))
    found = complete(alone, load_tokenizer(place / "llama"), "Person knows [MASK]")
    assert [row[0] for row in shown["llama, F unplugged"][:5]] == [word or "(space)" for word in found.words]
    page.get_by_role("button", name="F in llama").first.click()
    page.locator(".jupyter-widgets.kadapter caption", has_text="unplugged").first.wait_for(
        state="detached", timeout=60_000
    )
    page.locator(".jupyter-widgets.kadapter input[type=text]").first.fill("Person knows <i>it</i>")
    page.locator(".jupyter-widgets.kadapter .kadapter-error").first.wait_for(timeout=60_000)
    assert "has no [MASK]" in page.locator(".jupyter-widgets.kadapter .kadapter-error").first.inner_text()
    page.locator(".jupyter-widgets.kadapter input[type=text]").first.fill("Dunes hates a [MASK]")
    wait_for(page, "bert", "llama")
    assert not page.locator(".jupyter-widgets.kadapter .kadapter-error").count()
