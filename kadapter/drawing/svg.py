"""Plotly figures as small SVG drawings, for who cannot click: executed notebooks on GitHub, HTML exports, paper.

It draws what the pictures of this project are made of (scatter with error bars, bar, box, heatmap; linear and category
axes; panels, legend, annotations), on a transparent page and without a browser or any other program.

Why by hand: compared on the 18 pictures of a run of `embedded` (AMD EPYC, one core, others busy). A drawing is made for
every picture of every stage, twice a second while a model trains, and after every click in a widget. ::

    | | here | matplotlib, from the same figure | kaleido 1.5 with Chromium |
    |---|---:|---:|---:|
    | lines of our own | 560 | 214 (a prototype without swarms, caps and turned labels) | 10 |
    | more to install | nothing | nothing since captum needs it (77 MB) | kaleido and 6 others, a browser (350 MB) |
    | first import | 0.01 s | 0.35 s | 0.09 s, and 4 s until the browser is there |
    | one picture | 0.3 to 3 ms | 25 to 150 ms | 250 to 650 ms |
    | its size | 4 to 36 kB | 9 to 95 kB | 10 to 64 kB |

Side by side the three show the same marks at the same values; matplotlib chooses other ticks, and its layout has to be
computed by hand as here; kaleido's are plotly's own. matplotlib would take a tenth to a third of a core from training,
and a widget's answer to a click would wait for it. Machines that run presets (clusters, CI, containers) have no
browser, so kaleido could only ever be a second way. What is drawn here is what `kadapter.report` and `widgets` use: a
trace of another kind has no drawing and is shown by plotly alone.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from kadapter.drawing.svg_axes import Axis, Four, Number, plain, values
from kadapter.drawing.svg_traces import CYCLE, INK, Marks
from kadapter.errors import KAdapterError

WIDTH, HEIGHT = 940, 360  # pixels, where the layout names none
GRID, STRONG = "rgba(128,128,128,0.22)", "rgba(128,128,128,0.7)"
LETTER = 0.58  # mean width of a letter, as a share of the font's size
TURN = 35  # degrees, of names that are too long to stand beside each other
TYPES = ("scatter", "bar", "box", "heatmap")


def draw(figure: Mapping[str, Any], width: int = WIDTH) -> str:
    """A figure (`Figure.to_dict()`) as an SVG document that scales with the page.

    Raises KAdapterError for a kind of trace that is not drawn here.
    """
    return _Drawing(figure, width).text()


class _Drawing(Marks):
    def __init__(self, figure: Mapping[str, Any], width: int) -> None:
        self.layout, self.traces = figure.get("layout", {}), figure.get("data", [])
        for trace in self.traces:
            if trace.get("type", "scatter") not in TYPES:
                raise KAdapterError(f"a {trace['type']} trace has no still drawing; these have: {', '.join(TYPES)}")
        self.width, self.height = width, int(self.layout.get("height") or HEIGHT)
        self.parts: list[str] = []
        self.size = float(self.layout.get("font", {}).get("size", 12))
        self.axes: dict[str, Axis] = {}
        for trace in self.traces:
            self._collect(trace)
        self._share()
        margin = {"l": 60, "r": 20, "t": 50, "b": 50} | dict(self.layout.get("margin", {}))
        edge = [a for a in self.axes.values() if not a.horizontal and a.labelled and a.domain[0] < 0.02]
        for axis in self.axes.values():
            axis.start, axis.end = 0.0, 500.0  # a first size, for the number of ticks
        left = self._side(edge)
        self.left, self.top = max(left, float(margin["l"])), float(margin["t"])
        self.inner = self.width - self.left - float(margin["r"])
        legend = self._legend_entries()
        below = 46.0 + 22 * bool(legend)
        below += max((self._fall(a) for a in self.axes.values() if a.horizontal), default=0.0)
        self.tall = self.height - self.top - max(float(margin["b"]), below)
        for axis in self.axes.values():
            low, high = axis.domain
            if axis.horizontal:
                axis.start, axis.end = self.left + low * self.inner, self.left + high * self.inner
            else:
                axis.start, axis.end = self.top + (1 - low) * self.tall, self.top + (1 - high) * self.tall

    def text(self) -> str:
        pairs = {(t.get("xaxis", "x"), t.get("yaxis", "y")) for t in self.traces}
        for x, y in sorted(pairs):
            self._panel(self.axes[x], self.axes[y])
        for number, trace in enumerate(self.traces):
            if trace.get("visible") in (False, "legendonly"):
                continue
            colour = CYCLE[number % len(CYCLE)]
            x, y = self.axes[trace.get("xaxis", "x")], self.axes[trace.get("yaxis", "y")]
            getattr(self, f"_{trace.get('type', 'scatter')}")(trace, x, y, colour)
        for note in self.layout.get("annotations", ()):
            self._annotation(note)
        title = plain(self.layout.get("title", {}).get("text", "") or "")
        if title:
            self._write(title, self.width / 2, 24, "middle", self.size + 1, 600)
        for place, (name, trace, colour) in enumerate(self._legend_entries()):
            self._legend(place, name, trace, colour)
        label = escape(title or ", ".join(plain(a.get("text", "")) for a in self.layout.get("annotations", ())))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="100%" '
            f'style="max-width:{self.width}px" role="img" aria-label="{label}" '
            f'font-family="system-ui, sans-serif">{"".join(self.parts)}</svg>'
        )

    # --- axes ---

    def _collect(self, trace: Mapping[str, Any]) -> None:
        x, y = (self._axis(trace.get(f"{side}axis", side)) for side in "xy")
        for axis, side in ((x, "x"), (y, "y")):
            column = values(trace.get(side))
            error = trace.get(f"error_{side}", {})
            plus = values(error.get("array")) or [0] * len(column)
            minus = values(error.get("arrayminus")) or plus
            axis.found += column
            if not any(isinstance(v, str) for v in column):
                pairs = list(zip(column, plus, minus, strict=False))
                axis.found += [v + e for v, e, _ in pairs if v is not None]
                axis.found += [v - e for v, _, e in pairs if v is not None]
        if trace.get("type") == "bar":
            (x if trace.get("orientation") == "h" else y).zero = True
        if trace.get("type") == "heatmap":
            for axis in (x, y):
                axis.tight = True

    def _axis(self, name: str) -> Axis:
        if name not in self.axes:
            self.axes[name] = Axis(name, self.layout.get(f"{name[0]}axis{name[1:]}", {}))
        return self.axes[name]

    def _share(self) -> None:
        """Axes that match another have its scale."""
        for axis in self.axes.values():
            other = self.axes.get(axis.layout.get("matches", ""))
            if other is not None:
                other.found += axis.found
                other.zero |= axis.zero
        for axis in self.axes.values():
            axis.settle()
        for axis in self.axes.values():
            other = self.axes.get(axis.layout.get("matches", ""))
            if other is not None:
                axis.categories, axis.low, axis.high = other.categories, other.low, other.high

    def _side(self, axes: Sequence[Axis]) -> Number:
        """Room at the left for the longest tick label and an axis title."""
        longest = max((len(text) for axis in axes for _, text in axis.marks()), default=0)
        title = any(axis.layout.get("title", {}).get("text") for axis in axes)
        return 18 + LETTER * (self.size - 1) * longest + 22 * title

    def _turned(self, axis: Axis) -> bool:
        """Whether category names are too long to stand beside each other."""
        names = axis.categories or []
        room = self.width * (axis.domain[1] - axis.domain[0]) * 0.9 / max(1, len(names))
        return any(LETTER * self.size * len(plain(name)) > room for name in names)

    def _fall(self, axis: Axis) -> Number:
        """How far turned category names reach below those that stand level; 0 where none is turned."""
        if not self._turned(axis):
            return 0.0
        longest = max(len(plain(name)) for name in axis.categories or [""])
        return math.sin(math.radians(TURN)) * LETTER * (self.size - 1) * longest

    def _panel(self, x: Axis, y: Axis) -> None:
        for axis, other in ((x, y), (y, x)):
            if axis.layout.get("visible") is False:
                continue
            for value, text in axis.marks():
                place = axis.at(value)
                if not min(axis.start, axis.end) - 0.5 <= place <= max(axis.start, axis.end) + 0.5:
                    continue
                if axis.layout.get("showgrid") is not False:
                    ends: Four = (
                        (place, other.start, place, other.end)
                        if axis.horizontal
                        else (other.start, place, other.end, place)
                    )
                    self._line(*ends, colour=GRID, width=1.0)
                if axis.labelled and axis.horizontal and self._turned(axis):
                    self._write(text, place, y.start + 12, "end", self.size - 1, turn=-TURN)
                elif axis.labelled and axis.horizontal:
                    self._write(text, place, y.start + self.size + 5, "middle", self.size - 1)
                elif axis.labelled:
                    self._write(text, x.start - 7, place + self.size * 0.33, "end", self.size - 1)
            if axis.layout.get("zeroline") and min(axis.low, axis.high) <= 0 <= max(axis.low, axis.high):
                zero = axis.at(0)
                zeros: Four = (
                    (zero, other.start, zero, other.end) if axis.horizontal else (other.start, zero, other.end, zero)
                )
                self._line(*zeros, colour=axis.layout.get("zerolinecolor", STRONG), width=1.5)
            title = plain((axis.layout.get("title") or {}).get("text") or "")
            if title and axis.horizontal:
                low = y.start + self.size + 22 + self._fall(axis)
                self._write(title, (x.start + x.end) / 2, low, "middle", self.size - 1)
            elif title:
                left = 14 if y.domain[0] < 0.02 and x.domain[0] < 0.02 else x.start - 34
                self._write(title, left, (y.start + y.end) / 2, "middle", self.size - 1, turn=-90)

    def _annotation(self, note: Mapping[str, Any]) -> None:
        def place(side: str, start: Number, length: Number) -> Number:
            reference, value = str(note.get(f"{side}ref", "paper")), note.get(side, 0)
            if reference == "paper":
                return start + (1 - value if side == "y" else value) * length
            return self.axes[reference].at(value)

        a, b = place("x", self.left, self.inner), place("y", self.top, self.tall)
        anchor = {"left": "start", "right": "end"}.get(note.get("xanchor", "center"), "middle")
        down = {"bottom": -4.0, "top": self.size}.get(note.get("yanchor", "middle"), self.size * 0.33)
        size = note.get("font", {}).get("size", self.size)
        self._write(
            plain(note.get("text", "")), a, b + down, anchor, size, 400, 0, note.get("font", {}).get("color", INK)
        )

    def _legend_entries(self) -> list[tuple[str, Mapping[str, Any], str]]:
        if self.layout.get("showlegend") is False:
            return []
        found = [
            (plain(t["name"]), t, CYCLE[i % len(CYCLE)])
            for i, t in enumerate(self.traces)
            if t.get("name") and t.get("showlegend") is not False and t.get("type") != "heatmap"
        ]
        return found if len(self.traces) > 1 or self.layout.get("showlegend") else []

    def _legend(self, place: int, name: str, trace: Mapping[str, Any], default: str) -> None:
        names = [n for n, _, _ in self._legend_entries()]
        left = self.left + sum(LETTER * self.size * len(n) + 40 for n in names[:place])
        low, marker, line = self.height - 12, trace.get("marker", {}), trace.get("line", {})
        colour = line.get("color") or marker.get("color") or default
        if trace.get("type") == "bar":
            self._box_of(left, low - 9, 12, 10, colour if isinstance(colour, str) else default, 0.9)
        else:
            self._line(left - 4, low - 4, left + 16, low - 4, colour, 2.0)
            self._mark(left + 6, low - 4, colour if isinstance(colour, str) else default, 7, marker)
        self._write(name, left + 22, low, "start", self.size - 1)
