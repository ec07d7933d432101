"""Takes the pictures of the README and the guide from finished runs: `python docs/pictures.py` after `make run` and
`make test` (needs Chromium). With names (`python docs/pictures.py runs dataset`), only these."""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat

HERE = Path(__file__).resolve().parent
RUNS = HERE.parent / "runs"
sys.path.insert(0, str(HERE.parent))  # the tests' way to a browser

from kadapter.report import figures, report  # noqa: E402
from tests import browser  # noqa: E402

CELLS = {
    "case_study": f"""
from widgets import CaseStudy
study = CaseStudy.from_runs([f"{RUNS}/embedded/finetune/relation-frozen-{{m}}" for m in ("backbone", "F", "F+L")])
study
""",
    "runs": """
from widgets import Runs
Runs("runs", preset="embedded")
""",
    "dataset": f"""
from widgets import DatasetBrowser
DatasetBrowser("{RUNS}/embedded/data/all", dataset="world_linguistic", split="dev")
""",
}
WIDGET = ".jupyter-widgets.kadapter"


def scores(folder: Path) -> None:
    """The scores of every model row, as the README shows them."""
    figure = figures.scores(report.table(RUNS, "embedded"), report.seed_scores(RUNS, "embedded"))
    figure.update_layout(paper_bgcolor="white", font_color="#333333", width=1100)
    page_file = folder / "figure.html"
    figure.write_html(page_file, include_plotlyjs=True, config={"displayModeBar": False})
    with browser.page(width=1120, height=int(figure.layout.height) + 20, device_scale_factor=1.5) as page:
        page.goto(page_file.as_uri())
        page.wait_for_selector(".main-svg")
        page.screenshot(path=HERE / "images" / "embedded.png")


def _widget(name: str, act: Callable) -> Callable[[Path], None]:
    """A picture of one widget in JupyterLab, after `act(page, widget, save)`."""

    def take(folder: Path) -> None:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELLS[name].strip())])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, folder / f"{name}.ipynb")
        shutil.copytree(RUNS, folder / "runs")  # served, as in the project: links, and no path of this machine
        with browser.lab(folder, folder / "settings") as lab, browser.page(width=1500, height=2200) as page:
            browser.open_notebook(page, lab, f"{name}.ipynb")
            browser.run_all(page)
            widget = page.locator(WIDGET).first
            widget.wait_for()

            def save(file: str) -> None:
                page.wait_for_timeout(1500)  # figures move to their place
                widget.screenshot(path=HERE / "images" / f"{file}.png")

            act(page, widget, save)

    return take


def _case_study(page, widget, save) -> None:
    widget.get_by_role("button", name="Answer live").click()
    widget.get_by_text("answered now").wait_for()
    save("case_study")
    page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    widget.get_by_title("the adapter F of the model F").first.click()  # its name holds the icon's character
    save("case_study_dark")


def _runs(page, widget, save) -> None:
    widget.locator(".js-plotly-plot").wait_for()
    save("runs")


def _dataset(page, widget, save) -> None:
    widget.get_by_label("text", exact=True).fill("librarian")
    widget.get_by_label("text", exact=True).press("Enter")
    widget.get_by_text("found in").wait_for()
    save("dataset")


def app(folder: Path) -> None:
    """The app in Voila."""
    notebook = HERE.parent / "widgets" / "app.ipynb"
    with (
        browser.voila(notebook, folder / "settings", KADAPTER_RUNS=str(RUNS)) as served,
        browser.page(width=1240, height=1000) as page,
    ):
        page.goto(served.url(), timeout=3 * browser.TIMEOUT)  # it comes when the kernel has run every cell
        page.locator(WIDGET).get_by_text("Edit the sentence").first.wait_for()
        page.wait_for_timeout(2000)
        page.screenshot(path=HERE / "images" / "app.png")


PICTURES = {
    "scores": scores,
    "case_study": _widget("case_study", _case_study),
    "runs": _widget("runs", _runs),
    "dataset": _widget("dataset", _dataset),
    "app": app,
}


def main() -> None:
    for name in sys.argv[1:] or PICTURES:
        with tempfile.TemporaryDirectory() as folder:
            PICTURES[name](Path(folder))


if __name__ == "__main__":
    main()
