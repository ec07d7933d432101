"""Takes the README's pictures from finished runs: `python docs/pictures.py` after `make run` (needs Chromium)."""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from kadapter import figures, report

FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run"
)
HERE = Path(__file__).resolve().parent


def main() -> None:
    root = HERE.parent / "runs"
    figure = figures.scores(report.table(root, "embedded"), report.seed_scores(root, "embedded"))
    figure.update_layout(paper_bgcolor="white", font_color="#333333", width=1100)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "figure.html"
        figure.write_html(page_file, include_plotlyjs=True, config={"displayModeBar": False})
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS.split())
        page = browser.new_page(
            viewport={"width": 1120, "height": int(figure.layout.height) + 20}, device_scale_factor=1.5
        )
        page.goto(page_file.as_uri())
        page.wait_for_selector(".main-svg")
        page.screenshot(path=HERE / "images" / "embedded.png")
        browser.close()


if __name__ == "__main__":
    main()
