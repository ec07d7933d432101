"""The marks of a drawing: points and lines with error bars, bars, boxes, heatmaps, and the strokes they consist of."""

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

import numpy as np

from kadapter.drawing.svg_axes import Axis, Four, Number, plain, values

INK = "#808080"
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe and Ito, for traces without colour
POINTS = 300  # a box of more shows only its outliers: a drawing stays small
DASHES = {"dot": "2 4", "dash": "7 5", "dashdot": "7 4 2 4"}


class Marks:
    """Draws traces into `parts`; `size` is the font's, in pixels."""

    parts: list[str]
    layout: Mapping[str, Any]
    traces: Sequence[Mapping[str, Any]]
    size: Number

    def _scatter(self, trace: Mapping[str, Any], x: Axis, y: Axis, default: str) -> None:
        xs, ys = values(trace.get("x")), values(trace.get("y"))
        pairs = list(zip(xs, ys, strict=True))
        points = [(x.at(a), y.at(b)) for a, b in pairs if a is not None and b is not None]
        mode, marker, line = trace.get("mode", "lines+markers"), trace.get("marker", {}), trace.get("line", {})
        stroke = line.get("color") or (marker.get("color") if isinstance(marker.get("color"), str) else None) or default
        if "lines" in mode:
            self._strokes(
                [(x.at(a), y.at(b)) if a is not None and b is not None else None for a, b in pairs], line, stroke
            )
        for side, axis in (("x", x), ("y", y)):
            error = trace.get(f"error_{side}", {})
            plus = values(error.get("array"))
            minus = values(error.get("arrayminus")) or plus
            for (a, b), value, up, down in zip(points, values(trace.get(side)), plus, minus, strict=False):
                low, high = axis.at(value - down), axis.at(value + up)
                ends = (low, b, high, b) if axis.horizontal else (a, low, a, high)
                self._line(*ends, error.get("color") or stroke, error.get("thickness", 2))
        if "markers" in mode:
            colours = _each(marker.get("color"), len(points), stroke)
            sizes = _each(marker.get("size"), len(points), 6)
            for (a, b), colour, size in zip(points, colours, sizes, strict=False):
                self._mark(a, b, colour, size, marker)
        if "text" in mode:
            anchor = {"left": "end", "right": "start"}
            where = str(trace.get("textposition", "middle center")).split()
            down = {"top": -4.0 - max(_each(marker.get("size"), 1, 6)) / 2, "bottom": 16.0}.get(where[0], 4.0)
            side = where[-1]
            texts = _each(trace.get("text"), len(points), "")
            colour = trace.get("textfont", {}).get("color", INK)
            for (a, b), text in zip(points, texts, strict=False):
                shift = {"left": -9, "right": 9}.get(side, 0)
                self._write(plain(text), a + shift, b + down, anchor.get(side, "middle"), self.size - 1, 400, 0, colour)

    def _strokes(self, points: Sequence[tuple[Number, Number] | None], line: Mapping[str, Any], colour: str) -> None:
        """Lines through points; None breaks one off."""
        dash = f' stroke-dasharray="{DASHES[line["dash"]]}"' if line.get("dash") in DASHES else ""
        for broken, group in groupby(points, key=lambda point: point is None):
            path = " ".join(f"{point[0]:.1f},{point[1]:.1f}" for point in group if point is not None)
            if not broken and " " in path:
                self.parts.append(
                    f'<polyline points="{path}" fill="none" stroke="{_colour(colour)}" '
                    f'stroke-width="{line.get("width", 2)}"{dash}/>'
                )

    def _bar(self, trace: Mapping[str, Any], x: Axis, y: Axis, default: str) -> None:
        flat = trace.get("orientation") == "h"
        along, across = (x, y) if flat else (y, x)
        sizes, places = (values(trace.get("xy"[flat ^ 1])), values(trace.get("xy"[flat])))
        texts = _each(trace.get("text"), len(sizes), "")
        colours = _each(trace.get("marker", {}).get("color"), len(sizes), default)
        opacity = trace.get("opacity", trace.get("marker", {}).get("opacity", 0.9))
        for size, place, text, colour in zip(sizes, places, texts, colours, strict=True):
            siblings = [t for t in self.traces if t.get("type") == "bar" and self._stands(t, place, flat, trace)]
            step = abs(across.at(1) - across.at(0)) * 0.8 / len(siblings)
            order = next(i for i, t in enumerate(siblings) if t is trace)
            middle = across.at(place) + (order - (len(siblings) - 1) / 2) * step * (-1 if flat else 1)
            zero, end = along.at(0), along.at(size)
            low, length, begin = min(zero, end), abs(end - zero), middle - step / 2
            bar: Four = (low, begin, length, step) if flat else (begin, low, step, length)
            self._box_of(*bar, fill=colour, opacity=opacity)
            if text not in ("", None):
                if flat:
                    aside, anchor = (end + 6, "start") if end >= zero else (end - 6, "end")
                    self._write(plain(str(text)), aside, middle + self.size * 0.33, anchor, self.size - 1)
                else:
                    self._write(plain(str(text)), middle, end - 5, "middle", self.size - 1)

    @staticmethod
    def _stands(other: Mapping[str, Any], place: Any, flat: bool, trace: Mapping[str, Any]) -> bool:
        same = all(other.get(f"{side}axis", side) == trace.get(f"{side}axis", side) for side in "xy")
        return same and place in values(other.get("xy"[flat]))

    def _box(self, trace: Mapping[str, Any], x: Axis, y: Axis, default: str) -> None:
        flat = trace.get("orientation") == "h"
        along, across = (x, y) if flat else (y, x)
        numbers, groups = values(trace.get("xy"[flat ^ 1])), values(trace.get("xy"[flat]))
        colour = trace.get("line", {}).get("color") or default
        marker = {"opacity": 0.5, "size": 4} | dict(trace.get("marker", {}))
        for group in dict.fromkeys(groups):
            own = np.array([v for v, g in zip(numbers, groups, strict=True) if g == group], float)
            middle, half = across.at(group), abs(across.at(1) - across.at(0)) * 0.25
            first, median, third = np.quantile(own, (0.25, 0.5, 0.75))
            reach = 1.5 * (third - first)
            low, high = own[own >= first - reach].min(), own[own <= third + reach].max()
            shown = own if trace.get("boxpoints") == "all" and len(own) <= POINTS else own[(own < low) | (own > high)]
            for number, value in enumerate(shown):
                aside = middle + half * ((number * 0.618) % 1 - 0.5)  # spread evenly, the same each time
                self._mark(
                    *self._turn(flat, along.at(value), aside), str(marker.get("color", colour)), marker["size"], marker
                )
            for a, b in ((low, first), (third, high)):
                ends = (*self._turn(flat, along.at(a), middle), *self._turn(flat, along.at(b), middle))
                self._line(*ends, colour, 2.0)
            a, b = sorted((along.at(first), along.at(third)))
            box: Four = (a, middle - half, b - a, 2 * half) if flat else (middle - half, a, 2 * half, b - a)
            self._box_of(*box, fill=colour, opacity=0.35, stroke=colour)
            ends = (
                *self._turn(flat, along.at(median), middle - half),
                *self._turn(flat, along.at(median), middle + half),
            )
            self._line(*ends, colour, 2.0)

    def _heatmap(self, trace: Mapping[str, Any], x: Axis, y: Axis, default: str) -> None:
        rows = [values(row) for row in values(trace["z"])]
        xs, ys = values(trace.get("x")) or list(range(len(rows[0]))), values(trace.get("y")) or list(range(len(rows)))
        texts = values(trace.get("text")) if trace.get("texttemplate") else []
        flat = [v for row in rows for v in row if v is not None and math.isfinite(v)]
        shared = self.layout.get(trace.get("coloraxis", ""), {})
        low = shared.get("cmin", trace.get("zmin", min(flat, default=0.0)))
        high = shared.get("cmax", trace.get("zmax", max(flat, default=1.0)))
        colours = shared.get("colorscale") or trace.get("colorscale") or ((0, "#ffffff"), (1, CYCLE[0]))
        scale = [(float(at), _rgb(colour)) for at, colour in colours]
        wide, tall = abs(x.at(1) - x.at(0)), abs(y.at(1) - y.at(0))
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                if value is None or not math.isfinite(value):
                    continue
                share = (value - low) / (high - low) if high > low else 0.5
                a, b = x.at(xs[j]), y.at(ys[i])
                red, green, blue = _between(scale, share)
                self._box_of(a - wide / 2, b - tall / 2, wide, tall, f"rgb({red},{green},{blue})", 1)
                if texts and (text := str(texts[i][j])):
                    ink = "#ffffff" if 0.3 * red + 0.59 * green + 0.11 * blue < 118 else "#000000"  # at least 4.5 to 1
                    self._write(plain(text), a, b + self.size * 0.33, "middle", self.size - 1, 400, 0, ink)

    @staticmethod
    def _turn(flat: bool, along: Number, across: Number) -> tuple[Number, Number]:
        return (along, across) if flat else (across, along)

    def _line(self, x1: Number, y1: Number, x2: Number, y2: Number, colour: str, width: Number | int) -> None:
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_colour(colour)}" '
            f'stroke-width="{width:g}"/>'
        )

    def _box_of(
        self, x: Number, y: Number, w: Number, h: Number, fill: str, opacity: Number | int, stroke: str = "none"
    ) -> None:
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{_colour(fill)}" '
            f'fill-opacity="{opacity:.3g}" stroke="{_colour(stroke)}" stroke-width="1.5"/>'
        )

    def _mark(self, x: Number, y: Number, colour: str, size: Number | int, marker: Mapping[str, Any]) -> None:
        symbol = str(marker.get("symbol", "circle")) if not isinstance(marker.get("symbol"), list | tuple) else "circle"
        hollow = symbol.endswith("-open") or symbol in ("x", "cross")
        fill = "none" if hollow else _colour(colour)
        path = _symbol(symbol.removesuffix("-open"), size / 2)
        self.parts.append(
            f'<path class="mark" transform="translate({x:.1f} {y:.1f})" d="{path}" fill="{fill}" '
            f'stroke="{_colour(colour)}" stroke-width="{2 if hollow else 1}" opacity="{marker.get("opacity", 1):g}"/>'
        )

    def _write(
        self,
        text: str,
        x: Number,
        y: Number,
        anchor: str,
        size: Number | int,
        weight: int = 400,
        turn: Number | int = 0,
        fill: str = INK,
    ) -> None:
        turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
        for number, line in enumerate(text.split("\n")):
            self.parts.append(
                f'<text x="{x:.1f}" y="{y + number * size * 1.2:.1f}" text-anchor="{anchor}" font-size="{size:g}" '
                f'font-weight="{weight}" fill="{_colour(fill)}"{turned}>{escape(line)}</text>'
            )


def _each(given: Any, count: int, default: Any) -> list:
    """A property that is one value for all points, or one for each."""
    if given is None or isinstance(given, str | int | float):
        return [default if given is None else given] * count
    return values(given)


def _colour(colour: str) -> str:
    return escape(str(colour).replace(" ", ""))


def _rgb(colour: str) -> tuple[Number, Number, Number, Number]:
    """Red, green, blue (0 to 255) and opacity of `#rrggbb`, `rgb(...)` or `rgba(...)`."""
    if colour.startswith("#"):
        return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16), 1.0
    red, green, blue, *alpha = [float(n) for n in re.findall(r"[\d.]+", colour)]
    return red, green, blue, alpha[0] if alpha else 1.0


def _between(scale: Sequence[tuple[Number, Sequence[Number]]], share: Number) -> tuple[int, int, int]:
    """A colour of a scale, laid on white: what is written on it is readable on a page of any colour."""
    share = min(1.0, max(0.0, share))
    places = [at for at, _ in scale]
    *shades, alpha = (float(np.interp(share, places, [colour[k] for _, colour in scale])) for k in range(4))
    red, green, blue = (round(alpha * shade + (1 - alpha) * 255) for shade in shades)
    return red, green, blue


def _symbol(name: str, r: Number) -> str:
    """The path of a marker around the origin."""
    if name in ("diamond", "square", "star"):
        corners = {
            "diamond": [(0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)],
            "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            "star": [
                (
                    (1.25 if k % 2 == 0 else 0.55) * math.sin(k * math.pi / 5),
                    -(1.25 if k % 2 == 0 else 0.55) * math.cos(k * math.pi / 5),
                )
                for k in range(10)
            ],
        }[name]
        return "M" + "L".join(f"{a * r:.1f} {b * r:.1f}" for a, b in corners) + "Z"
    if name == "line-ns":
        return f"M0 {-r:.1f}V{r:.1f}"
    if name == "x":
        return f"M{-r:.1f} {-r:.1f}L{r:.1f} {r:.1f}M{r:.1f} {-r:.1f}L{-r:.1f} {r:.1f}"
    if name == "cross":
        return f"M0 {-r:.1f}V{r:.1f}M{-r:.1f} 0H{r:.1f}"
    return f"M{-r:.1f} 0A{r:.1f} {r:.1f} 0 1 0 {r:.1f} 0A{r:.1f} {r:.1f} 0 1 0 {-r:.1f} 0Z"
