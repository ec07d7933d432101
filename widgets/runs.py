"""Browse what presets left: every run with its scores and intervals, learning curves, parameters that differ, the
executed notebook, and the paper's rows beside ours (Tables 2 to 4)."""

import os
from html import escape
from pathlib import Path
from urllib.parse import quote

import ipywidgets
import plotly.graph_objects as go
from jupyter_core.paths import jupyter_runtime_dir

from kadapter import runs
from kadapter.drawing import static
from kadapter.errors import unknown
from kadapter.experiment import preset as presets
from widgets import run_views, style
from widgets.background import Progress, Work
from widgets.run_views import VIEWS, headline
from widgets.static_view import Controls

LISTED = 100  # runs that the list shows at once
NOTEBOOK = "notebook.ipynb"
PATIENCE = 5.0  # seconds that a cell waits for the first view before it shows that it is being computed


class Runs(Controls):
    """All runs under a folder, by preset.

    Args:
        root: the folder of runs.
        preset: which preset to show first; empty for the one with the newest run. Its newest run is selected.

    Attributes:
        preset: the preset that is shown.
        chosen: its runs that are selected; all that are listed where none is.

    Raises KAdapterError for a preset that neither has runs nor comes with the package.
    """

    def __init__(self, root: str | Path = "runs", preset: str = "") -> None:
        self.root = runs.resolve(root)
        self._found: list[runs.Result] = []
        self._html, self._figure = "", None
        self._quiet = True
        self._controls()
        super().__init__(
            [
                ipywidgets.HBox([self._preset, self._what, self._refresh]),
                ipywidgets.HBox([self._search, self._listed]),
                self._list,
                self._links,
                self._work.box,
                self._message,
                self._text,
                self._drawing,
            ]
        )
        known = self._presets()
        if preset and preset not in known:
            raise unknown("preset", preset, known)
        self._read(preset, newest=True)

    def _controls(self) -> None:
        self._preset = ipywidgets.Dropdown(description="preset", tooltip="Whose runs")
        self._what = ipywidgets.Dropdown(description="show", options=list(VIEWS), tooltip="What to show of these runs")
        self._refresh = ipywidgets.Button(description="Refresh", icon="refresh", tooltip="Look for new runs")
        self._search = ipywidgets.Text(
            description="filter", placeholder="part of a run's name", tooltip="Only runs whose name contains this",
            continuous_update=False,
        )  # fmt: skip
        self._listed = ipywidgets.HTML()
        self._list = ipywidgets.SelectMultiple(
            description="runs", rows=8, layout={"width": "640px"},
            tooltip="Select runs to look at; several with Shift or Ctrl. None selected: all",
        )  # fmt: skip
        self._links, self._message, self._text = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self._drawing = ipywidgets.Output()
        self._work = Work(lambda: self._say("Stopped: choose again to compute it."))
        self._preset.observe(lambda _: self._safely(self._list_runs, self._show), "value")
        self._search.observe(lambda _: self._safely(self._list_runs, self._show), "value")
        for control in (self._what, self._list):
            control.observe(lambda _: self._safely(self._show), "value")
        self._refresh.on_click(lambda _: self._safely(lambda: self._read(self._preset.value)))

    @property
    def preset(self) -> str:
        """The preset whose runs are shown."""
        return self._preset.value

    @property
    def chosen(self) -> list[runs.Result]:
        """The selected runs; every listed one where none is selected."""
        selected = set(self._list.value)
        return [run for run in self._found if run.id in selected] or self._found

    def wait(self) -> "Runs":
        """Until the view is computed; for scripts."""
        self._work.wait()
        return self

    def _presets(self) -> list[str]:
        """Those with runs, the one with the newest run first, then the others that come with the package."""
        made: dict[str, float] = {}
        for path in self.root.glob(f"*/*/*/{runs.RESULT}"):
            preset = path.parents[2].name
            made[preset] = max(made.get(preset, 0.0), path.stat().st_mtime)
        return [*sorted(made, key=lambda name: -made[name]), *(n for n in presets.names() if n not in made)]

    def _read(self, preset: str, newest: bool = False) -> None:
        known = self._presets()
        self._quiet = True
        self._preset.options = known
        self._preset.value = preset if preset in known else known[0]
        self._quiet = False
        self._list_runs()
        if newest and self._found:
            self._quiet = True
            self._list.value = (run_views.newest(self._found).id,)
            self._quiet = False
        self._show()

    def _list_runs(self) -> None:
        found = runs.find(self.root, self.preset)
        matching = [run for run in found if self._search.value.lower() in run.id.lower()]
        self._found = matching[:LISTED]
        lines = [(f"{run.id}   {headline(run)}", run.id) for run in self._found]
        kept = [run.id for run in self._found if run.id in set(self._list.value)]
        self._quiet = True
        self._list.options, self._list.value = lines, kept
        self._quiet = False
        self._listed.value = style.note(_count(len(self._found), len(matching), len(found)))

    def _show(self) -> None:
        view, preset, listed = self._what.value, self.preset, list(self._found)
        chosen = self.chosen if self._list.value else []
        self._links.value = self._notebooks()
        empty = self._empty() if not self._found and view != "Preset" else ""

        def job(progress: Progress) -> tuple[str, go.Figure | None]:
            if empty:
                return empty, None
            progress(0, f"computing {view.lower()}")
            return VIEWS[view](self.root, preset, chosen, listed)

        def failed(problem: Exception) -> None:
            self._done(("", None))
            self._say(style.message(problem))

        self._work.submit(job, self._done, failed)

    def _done(self, shown: tuple[str, go.Figure | None]) -> None:
        self._html, self._figure = shown
        self._message.value = ""
        self._text.value = f'<div style="overflow-x: auto">{self._html}</div>'
        output = {"output_type": "display_data", "metadata": {}}
        self._drawing.outputs = () if self._figure is None else (output | {"data": static.bundle(self._figure)},)
        self.changed()

    def _empty(self) -> str:
        if self._search.value:
            return f"<p>No run of preset {escape(self.preset)} has {escape(self._search.value)!r} in its name.</p>"
        made = f"<code>kadapter run {escape(self.preset)}</code> makes them"
        return f"<p>Preset {escape(self.preset)} has no finished run under {escape(str(self.root))}: {made}.</p>"

    def _notebooks(self) -> str:
        """Links to the executed notebooks of the selected runs."""
        links = []
        for run in self.chosen[:8] if self._list.value else []:
            path = run.path / NOTEBOOK
            address = lab_address(path)
            if not path.is_file():
                links.append(f"{escape(run.id)} (made without the pipeline, it has no notebook)")
            elif address:
                links.append(f'<a href="{escape(address)}" target="_blank">{escape(run.id)}</a>')
            else:
                links.append(f"<code>{escape(str(path))}</code>")
        return f"executed notebook: {' · '.join(links)}" if links else ""

    def _ipython_display_(self) -> None:
        try:
            self._work.wait(PATIENCE)
        except TimeoutError:
            pass  # shown as soon as it is there
        super()._ipython_display_()

    def summary(self) -> str:
        return f"Runs({self.preset}: {len(self._found)} runs, {self._what.value.lower()})"

    def picture(self) -> str:
        if self._message.value:
            return self._message.value
        lines = "".join(f"<li>{escape(run.id)}: {escape(headline(run))}</li>" for run in self.chosen)
        drawing = "" if self._figure is None else static.draw(self._figure)
        listed = f"<details><summary>{len(self.chosen)} runs</summary><ul>{lines}</ul></details>"
        return f"<h4>{escape(self.preset)} · {escape(self._what.value)}</h4>{self._html}{drawing}{listed}"


def lab_address(path: Path) -> str:
    """Where the JupyterLab that this kernel belongs to opens a file, as an absolute path on its host; "" where there is
    no such Lab, or the file lies outside the folder that it serves."""
    # a Jupyter server says in a file named after its process what it serves, and tells its process to every kernel
    server = runs.read_json(Path(jupyter_runtime_dir()) / f"jpserver-{os.environ.get('JPY_PARENT_PID', '')}.json")
    served = Path(server["root_dir"]).resolve() if server else None
    if served is None or not path.resolve().is_relative_to(served):
        return ""
    return f"{server['base_url']}lab/tree/{quote(path.resolve().relative_to(served).as_posix())}"


def _count(shown: int, matching: int, found: int) -> str:
    text = f"{matching} of {found} runs" if matching < found else f"{found} runs"
    return text + (f", the first {shown} listed" if shown < matching else "")
