"""End to end: the notebooks' widgets in a real JupyterLab with a real kernel, the app in Voila, in headless Chromium.

One folder of small runs, one server and one page serve all tests of a module, which go through it as a person would.
"""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest

from kadapter.cases.inference import ask
from kadapter.model.backbone import load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from tests import browser, workbench

pytestmark = [
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "-"),
    pytest.mark.timeout(300),
]
SAID: list[str] = []  # errors in the console of the page
PATIENCE = 300  # looks at the page, five a second
EDITED = "They never saw [Brill] near <b>Coxon</b> ."


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return workbench.make(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def server(place, tmp_path_factory):
    with browser.lab(place, tmp_path_factory.mktemp("settings")) as served:
        yield served


@pytest.fixture(scope="module")
def page(server):
    with browser.page(height=2400) as opened:
        opened.on("dialog", lambda dialog: dialog.accept())  # leaving a page that is not saved
        opened.on("console", lambda message: SAID.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: SAID.append(str(error)))
        browser.open_notebook(opened, server, "case_study.ipynb")
        browser.run_all(opened)
        yield opened


def root(page, text=""):
    """The widget, not the static picture beside it."""
    return page.locator(".jupyter-widgets.kadapter", has_text=text).first


def tables(page):
    """Model -> its rows of label, logit, probability, as they are shown."""
    found = (
        root(page)
        .locator(".kadapter-tables table")
        .evaluate_all(
            """tables => tables.filter(t => t.caption).map(t => [t.caption.innerText,
            [...t.tBodies[0].rows].map(r => [...r.cells].map(c => c.innerText))])"""
        )
    )
    return {caption.split(" · ")[0].split(",")[0]: rows for caption, rows in found}


def expected(place, model, sentence, unplugged=(), k=3):
    """The same rows from the model itself."""
    loaded = KnowledgeModel.from_pretrained(place / "runs/tiny/finetune" / f"typing-frozen-{model}" / "model")
    for name in unplugged:
        loaded.unplug(name)
    answers = ask(loaded, load_tokenizer(str(place / "backbone")), [sentence], k=k)
    return [(row["label"], row["logit"], row["probability"]) for row in answers.to_dict("records")]


def assert_shows(page, place, model, sentence, unplugged=()):
    """The widget comes to show what the model itself answers; how long that takes is the machine's business."""
    wanted = expected(place, model, sentence, unplugged)
    for _ in range(PATIENCE):
        if (shown := tables(page).get(model)) and agree(shown, wanted):
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"shown: {shown}\nthe model's: {wanted}")


def agree(shown, wanted):
    """Whether rows as they are shown are these, as far as their digits tell."""
    return len(shown) == len(wanted) and all(
        label.removesuffix(" (true)") == name
        and float(logit) == pytest.approx(value, abs=0.006)
        and float(chance.rstrip("%")) == pytest.approx(100 * probability, abs=0.06)
        for (label, logit, chance), (name, value, probability) in zip(shown, wanted, strict=True)
    )


def test_the_static_picture_is_hidden_behind_the_widget(page):
    assert root(page).is_visible()
    stills = page.locator('[class^="kadapter-still"]')
    assert stills.count() >= 1 and not any(stills.nth(i).is_visible() for i in range(stills.count()))


def test_the_first_figure_of_a_page_is_drawn_however_long_it_takes_to_load(page):
    bars = root(page).locator(".js-plotly-plot").first
    bars.locator(".bars .point").first.wait_for(timeout=3 * browser.TIMEOUT)
    assert bars.get_by_text("backbone", exact=True).count() == 1


def test_cases_are_filtered(page):
    widget = root(page)
    browser.choose(widget.get_by_label("Cases", exact=True), "all")
    widget.get_by_text("12 of 12 cases").wait_for()
    widget.get_by_label("True label", exact=True).select_option("place")
    widget.get_by_text("3 of 12 cases").wait_for()
    assert widget.get_by_label("Case", exact=True).locator("option").count() == 3
    widget.get_by_label("True label", exact=True).select_option("any")
    widget.get_by_text("12 of 12 cases").wait_for()


def test_a_script_in_a_sentence_is_shown_and_not_run(page):
    widget = root(page)
    widget.get_by_label("Search", exact=True).fill("script")
    widget.get_by_text("1 of 12 cases").wait_for()
    shown = widget.locator(".kadapter-sentence")
    shown.get_by_text("<script>window.hacked = true</script>").wait_for()
    assert "**bold** $x^2$" in shown.inner_text() and shown.locator("img, script, strong").count() == 0
    assert page.evaluate("window.hacked") is None
    widget.get_by_label("Search", exact=True).fill("")
    widget.get_by_text("12 of 12 cases").wait_for()


def test_an_edited_sentence_is_answered_as_the_model_answers_it(page, place):
    widget = root(page)
    before = tables(page)
    widget.get_by_label("Sentence", exact=True).fill(EDITED)
    widget.get_by_text("answered now").wait_for()
    for model in ("backbone", "F"):
        assert_shows(page, place, model, EDITED)
    assert tables(page) != before
    edited, original = widget.locator(".kadapter-edited"), widget.locator(".kadapter-original")
    assert edited.locator(".kadapter-sentence").inner_text() == "They never saw Brill near <b>Coxon</b> ."
    assert "(not given)" in edited.inner_text() and "answers" in original.inner_text()
    left, right = original.bounding_box(), edited.bounding_box()
    assert left["x"] + left["width"] <= right["x"] and left["y"] == right["y"]  # beside, not below
    assert not re.search("[✓✗] answers", widget.locator(".kadapter-tables").first.inner_text())
    box = widget.get_by_label("True now", exact=True)
    box.select_option("place")
    widget.locator(".kadapter-edited", has_text="place").wait_for()
    assert re.search("F · [✓✗] answers", widget.locator(".kadapter-tables").first.inner_text())


def test_an_unplugged_adapter_changes_the_numbers(page, place):
    widget = root(page)
    before = tables(page)["F"]
    widget.get_by_title("the adapter F of the model F").click()
    assert_shows(page, place, "F", EDITED, unplugged=["F"])
    assert tables(page)["F"] != before
    assert_shows(page, place, "backbone", EDITED)
    widget.locator("caption", has_text="F, unplugged").wait_for()
    widget.locator(".js-plotly-plot").first.get_by_text("F, unplugged").wait_for()  # the bars say it, too


def test_a_mistake_in_the_brackets_is_one_sentence(page, place):
    widget = root(page)
    widget.get_by_label("Sentence", exact=True).fill("They saw [Brill there .")
    error = widget.get_by_role("alert")
    error.wait_for()
    assert "never closed" in error.inner_text() and "Traceback" not in page.locator(".jp-Notebook").inner_text()
    field, said = widget.get_by_label("Sentence", exact=True).bounding_box(), error.bounding_box()
    assert 0 <= said["y"] - (field["y"] + field["height"]) < 40  # right below what is edited
    stale = widget.locator(".kadapter-stale")
    page.wait_for_function("() => getComputedStyle(document.querySelector('.kadapter-stale')).opacity === '0.4'")
    assert stale.locator("caption").count() == 2
    widget.get_by_label("Sentence", exact=True).fill(EDITED)
    error.wait_for(state="detached")
    stale.wait_for(state="detached")


def test_cases_are_exported(page, place):
    widget = root(page)
    widget.get_by_role("button", name="Add this case").click()
    widget.get_by_text("1. They never saw [Brill]").wait_for(state="attached")
    widget.get_by_role("button", name="LaTeX").click()
    widget.get_by_text("1 case written to").wait_for()
    written = (place / "cases.tex").read_text()
    assert "Brill" in written and r"\begin{tabular" in written and "F, unplugged" in written


def test_the_tab_why_explains_the_answer(page, place):
    widget = root(page)
    widget.get_by_role("tab", name="Why").click()
    widget.get_by_label("Label", exact=True).select_option("place")
    widget.get_by_title("What each token and each adapter layer adds").click()
    widget.get_by_text("No adapter is plugged").wait_for()  # F was unplugged above
    boxes = widget.locator(".kadapter-why").first.locator("span")
    assert [box.split("\n")[0] for box in boxes.all_inner_texts()][:3] == ["[CLS]", "they", "never"]
    assert widget.get_by_text("F, unplugged").count() >= 1
    widget.get_by_title("Write the explanation as LaTeX").click()
    widget.get_by_text("1 explanation written to").wait_for()
    assert r"\colorbox" in (place / "why.tex").read_text()
    widget.get_by_role("tab", name="Answers").click()


def test_the_widget_is_reached_by_keyboard(page):
    root(page).get_by_label("Model", exact=True).focus()
    reached = []
    for _ in range(12):
        reached.append(page.evaluate("document.activeElement.closest('.kadapter') && document.activeElement.tagName"))
        page.keyboard.press("Tab")
    assert {"SELECT", "INPUT"} <= set(reached) and None not in reached


def test_the_dark_theme_is_readable(page):
    widget = root(page)
    try:
        page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
        page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
        for part in (
            ".kadapter-sentence >> nth=0",
            ".kadapter-note >> nth=0",
            "td >> nth=0",
            "h4 >> nth=0",
            "select >> nth=0",
        ):
            assert browser.contrast(widget.locator(part)) >= 4.5, part
    finally:
        page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")


def test_a_reloaded_page_has_the_same_state(page, place):
    shown = tables(page)
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    browser.wait_idle(page, "case_study.ipynb")
    root(page).get_by_label("Sentence", exact=True).wait_for()
    assert root(page).get_by_label("Sentence", exact=True).input_value() == EDITED
    assert tables(page) == shown
    root(page).get_by_title("the adapter F of the model F").click()  # and it is alive
    assert_shows(page, place, "F", EDITED)


def test_the_saved_notebook_shows_its_state_without_a_network(page, place, tmp_path):
    """nbconvert's HTML: the last state as text and drawings, though neither scripts nor a kernel can be reached."""
    notebook = nbformat.read(place / "case_study.ipynb", 4)
    html = "".join(o.data.get("text/html", "") for c in notebook.cells for o in c.get("outputs", ()) if "data" in o)
    assert "They never saw" in html and "&lt;b&gt;Coxon" in html
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", str(tmp_path)]
    subprocess.run([*command, str(place / "case_study.ipynb")], check=True, capture_output=True, timeout=120)
    opened = page.context.new_page()
    try:
        opened.route("**/*", lambda r: r.continue_() if r.request.url.startswith("file:") else r.abort())
        opened.goto((tmp_path / "case_study.html").as_uri())
        opened.locator(".kadapter-sentence", has_text="They never saw").first.wait_for()
        boxes = [svg.bounding_box() for svg in opened.locator(".jp-OutputArea :is(svg, img)").all()]
        drawn = [box for box in boxes if box and box["width"] > 300 and box["height"] > 60]
        assert len(drawn) >= 2  # the widget's bars, and what became of the cases
        assert opened.evaluate("window.hacked") is None
    finally:
        opened.close()


def test_the_tab_representations_draws_the_filtered_cases(page):
    widget = root(page)
    widget.get_by_role("tab", name="Representations").click()
    widget.get_by_title("The cases that pass the filters").click()
    widget.get_by_text("12 cases; PCA").wait_for()
    panel = widget.locator(".lm-TabPanel-tabContents, .widget-tab-contents, .jupyter-widget-tab-contents")
    panel.locator(".js-plotly-plot .scatterlayer").first.wait_for()
    query = widget.get_by_label("Query", exact=True)
    query.fill("wrds > 3")
    query.press("Enter")
    widget.get_by_text("the columns are text, words, subject").wait_for()
    query.fill("words > 4 and not F")
    query.press("Enter")
    widget.get_by_text("Metrics of these").wait_for()
    query.fill("")
    query.press("Enter")
    widget.get_by_text("12 of 12 cases").wait_for()
    widget.get_by_role("tab", name="Answers").click()


def test_runs_and_datasets_are_browsed(page, server, place):
    browser.open_notebook(page, server, "look.ipynb")
    browser.run_all(page)
    runs = root(page, "against backbone")
    assert runs.locator(".js-plotly-plot").count() == 1  # a figure to point at, not a drawing
    browser.choose(runs.get_by_label("runs", exact=True), "finetune/typing-frozen-b", "finetune/typing-frozen-F")
    runs = root(page, "executed notebook")
    link = runs.get_by_role("link", name="finetune/typing-frozen-F")
    address = link.evaluate("link => link.href")
    assert address.endswith("/lab/tree/runs/tiny/finetune/typing-frozen-F/notebook.ipynb")
    with page.context.expect_page() as other:  # it is the executed notebook that opens, not an empty Lab
        link.click()
    other.value.locator(".jp-Notebook", has_text="print('F')").first.wait_for()
    other.value.close()
    runs.get_by_label("show", exact=True).select_option("Parameters that differ")
    runs.get_by_role("cell", name="model", exact=True).wait_for()
    assert runs.locator("td").all_inner_texts() == ["model", "F", "backbone"]
    runs.get_by_label("show", exact=True).select_option("Confusions")
    runs.get_by_text("finetune/typing-frozen-F against finetune/typing-frozen-backbone").first.wait_for()
    runs.get_by_label("show", exact=True).select_option("Beside the paper")
    runs.get_by_text("No task of this preset").first.wait_for()
    runs.get_by_label("show", exact=True).select_option("Learning curves")
    runs.locator(".js-plotly-plot").wait_for()
    data = root(page, "How often each label occurs")
    data.get_by_label("text", exact=True).fill("script")
    data.get_by_label("text", exact=True).press("Enter")
    data.get_by_text("examples 1 to 1 of 1 found in 12").wait_for()
    assert workbench.SCRIPT in data.locator(".kadapter-sentence").inner_text()
    data.get_by_label("dataset", exact=True).select_option("trees")
    tree = page.locator(".kadapter svg", has_text="Dogs").first
    tree.wait_for()
    assert tree.locator("path.arc").count() == 3  # "Dogs bark loudly", the root's included
    assert page.evaluate("window.hacked") is None


def test_no_widget_fails_in_the_console():
    failed = [text for text in SAID if "Failed to initialize" in text or "Could not" in text]
    # On a busy machine anywidget may give up on the few lines themselves that teach it patience (widgets.patience);
    # a figure that it gave up on would not have followed the clicks of the tests above.
    assert len(failed) <= 1 and all("Failed to initialize model" in text for text in failed)


@pytest.mark.skipif(bool(browser.missing("voila")), reason=browser.missing("voila") or "-")
def test_the_app_shows_the_case_study_and_no_code(page, place, tmp_path):
    notebook = workbench.NOTEBOOKS.parent / "widgets" / "app.ipynb"
    before = {path: path.stat().st_mtime for path in notebook.parent.rglob("*") if "__pycache__" not in path.parts}
    with browser.voila(notebook, tmp_path, KADAPTER_RUNS=str(place / "runs")) as served:
        opened = page.context.new_page()
        asked, said = [], []
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        opened.goto(served.url(), timeout=3 * browser.TIMEOUT)  # it comes when the kernel has run every cell
        widget = root(opened, "Edit the sentence")
        widget.wait_for()
        assert opened.locator(".cm-editor, .highlight, .jp-InputArea-editor:visible").count() == 0
        assert "import" not in opened.locator("body").inner_text()
        captions = " ".join(widget.locator("caption").all_inner_texts())  # the first case is one that knowledge decides
        assert re.search("backbone · ✗", captions) and re.search("F · ✓", captions)
        browser.choose(widget.get_by_label("Cases", exact=True), "all")
        widget.get_by_text("12 of 12 cases").wait_for()
        widget.get_by_label("Sentence", exact=True).fill(EDITED)
        widget.get_by_text("answered now").wait_for()
        assert_shows(opened, place, "F", EDITED)
        widget.get_by_title("Add the case as it is shown").click()
        widget.get_by_text("1. They never saw [Brill]").wait_for(state="attached")
        for kind, name in (("LaTeX", "cases.tex"), ("CSV", "cases.csv")):
            with opened.expect_download() as download:
                widget.get_by_title(f"Write the added cases as {kind}").click()
            assert download.value.suggested_filename == name
            assert "Brill" in Path(download.value.path()).read_text(encoding="utf-8")
        ended = opened.get_by_role("alert").get_by_text("The process behind this page has ended: reload the page")
        assert not ended.is_visible()
        for kernel in psutil.Process(served.pid).children():
            kernel.kill()
        ended.wait_for()
        icon = widget.get_by_title("Write the added cases as CSV").locator("i")
        assert icon.evaluate("i => getComputedStyle(i, '::before').content") == '"⤓"'
        opened.close()
    after = {path: path.stat().st_mtime for path in notebook.parent.rglob("*") if "__pycache__" not in path.parts}
    assert after == before  # nothing is written where the app is
    assert {url for url in asked if not url.startswith((served.address, "data:", "blob:"))} == set()
    assert not [text for text in said if "Failed to initialize" in text or "ERR_" in text]
