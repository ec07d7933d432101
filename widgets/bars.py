"""Bars of several models side by side on shared axes: a panel for each model, a line for each label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from kadapter.drawing import svg
from kadapter.errors import KAdapterError
from kadapter.report.look import GRID, INK, ZERO, colour
from widgets.patience import patience
from widgets.static_view import keep
from widgets.style import plain

COLUMNS = 5  # panels in one line
LABEL, PANEL = 150, 150  # pixels
TRUE = " (true)"  # behind a true label
OUTLINE = 2.5  # pixels around the bar of a true label


@dataclass(frozen=True)
class Series:
    """The bars of one colour: `name` in the legend and over the pointer, drawn in the panel called `panel`."""

    panel: str
    name: str


class Bars:
    """Horizontal bars that are updated in place; only new numbers go to the browser.

    Attributes:
        figure: the plotly `FigureWidget`.
        box: the figure; it scrolls where the page is narrow.
    """

    def __init__(self, series: Sequence[Series], axis: str) -> None:
        self._series = list(series)
        self._panels = list(dict.fromkeys(each.panel for each in series))
        columns = min(COLUMNS, max(1, len(self._panels)))
        self._rows = max(1, -(-len(self._panels) // columns))
        figure = make_subplots(
            self._rows, columns, shared_xaxes="all", shared_yaxes="all", horizontal_spacing=0.02,
            subplot_titles=[plain(name) for name in self._panels],
        )  # fmt: skip
        for each in series:
            place = divmod(self._panels.index(each.panel), columns)
            figure.add_trace(
                go.Bar(
                    name=plain(each.name), orientation="h", marker={"color": colour(each.name)}, textposition="outside",
                    textfont={"size": 11}, constraintext="none",
                    hovertemplate=_hover(each.panel, each.name), cliponaxis=False,
                ),
                row=place[0] + 1, col=place[1] + 1,
            )  # fmt: skip
        names = {each.name for each in series}
        figure.update_layout(
            template="none", barmode="group", bargap=0.25, showlegend=len(names) > 1 and len(names) != len(series),
            paper_bgcolor="rgba(0, 0, 0, 0)", plot_bgcolor="rgba(0, 0, 0, 0)",
            margin={"l": 10, "r": 30, "t": 30, "b": 64},
            font={"family": "system-ui, sans-serif", "size": 12, "color": INK}, hoverlabel={"font": {"size": 12}},
            legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
        )  # fmt: skip
        figure.update_annotations(font={"size": 12, "color": INK})
        figure.update_xaxes(gridcolor=GRID, zeroline=True, zerolinecolor=ZERO, automargin=True, tickangle=0, nticks=5)
        figure.update_yaxes(gridcolor=GRID, zeroline=False, automargin=True)
        figure.update_xaxes(title={"text": axis, "font": {"size": 11}}, row=self._rows)
        if figure.layout.showlegend:  # one entry for each name
            seen: set[str] = set()
            for trace, each in zip(figure.data, series, strict=True):
                trace.update(legendgroup=each.name, showlegend=each.name not in seen)
                seen.add(each.name)
        # Of a fixed width: a figure that is drawn before its page is laid out keeps plotly's 700 pixels otherwise.
        figure.update_layout(width=max(600, LABEL + PANEL * columns))
        self._thick = max((sum(each.panel == name for each in series) for name in self._panels), default=1)
        patience()
        self.figure = go.FigureWidget(figure)
        self.figure._config = {"displayModeBar": False}
        self.box = ipywidgets.Box([self.figure], layout={"overflow": "auto hidden"})

    def show(
        self,
        labels: Sequence[str],
        true: Sequence[str],
        values: Mapping[Series, np.ndarray],
        sign: str = "",
        titles: Mapping[str, str] | None = None,
    ) -> None:
        """Draw new values.

        Args:
            labels: one line each, from the top.
            true: the labels that are true: marked in words and with an outline.
            values: series -> (labels,) numbers; a series without values is empty.
            sign: "+" writes the sign of positive numbers, too.
            titles: panel -> what stands above it now.
        """
        lines = [float(line) for line in range(len(labels))][::-1]
        low = min((float(v.min(initial=0)) for v in values.values()), default=0)
        high = max((float(v.max(initial=0)) for v in values.values()), default=0)
        titles = titles or {}
        with self.figure.batch_update():
            for panel, title in zip(self._panels, self.figure.select_annotations(), strict=False):
                title.text = plain(titles.get(panel, panel))
            for trace, each in zip(self.figure.data, self._series, strict=True):
                trace.hovertemplate = _hover(titles.get(each.panel, each.panel), each.name)
                own = values.get(each)
                trace.x = [None for _ in lines] if own is None else [round(float(v), 4) for v in own]
                trace.y = lines
                trace.text = ["" for _ in lines] if own is None else [f"{v:{sign}.2f}" for v in own]
                trace.customdata = [plain(label) for label in labels]
                trace.marker.line = {"color": INK, "width": [OUTLINE * (label in true) for label in labels]}
            for axis in self.figure.select_yaxes():
                axis.tickvals = lines
                axis.ticktext = [f"<b>{plain(n)}{TRUE}</b>" if n in true else plain(n) for n in labels]
                axis.range = [-0.6, len(labels) - 0.4]
            for axis in self.figure.select_xaxes():  # room for the numbers outside of the bars
                room = 0.28 * (high - low or 1)
                axis.range = [low - room * (low < 0), high + room * (high > 0 or low == 0)]
            per_line = 10 + 15 * self._thick
            self.figure.layout.height = self._rows * (per_line * max(2, len(labels)) + 50) + 60
        keep(self.figure)

    def drawing(self) -> str:
        """The same as SVG, for who cannot click; "" if it cannot be drawn."""
        try:
            figure = self.figure.to_dict()
            figure["data"] = [trace for trace in figure["data"] if not set(trace["x"]) <= {None}]
            seen: set[str] = set()
            for trace in figure["data"]:  # the first of each name that is left names it
                trace["showlegend"] = trace["name"] not in seen
                seen.add(trace["name"])
            return svg.draw(figure)
        except KAdapterError as problem:
            return f"<p>{escape(str(problem))}</p>"


def _hover(panel: str, name: str) -> str:
    return f"{plain(panel)} · %{{customdata}}<br>{plain(name)}: %{{text}}<extra></extra>"
