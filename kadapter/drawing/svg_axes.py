"""The scales of a drawing's axes: bounds or categories, where a value stands, and where the labels do."""

import base64
import math
import re
from collections.abc import Mapping
from html import unescape
from typing import Any

import numpy as np

Number = int | float
Four = tuple[Number, Number, Number, Number]  # two points, or a corner, a width and a height


def values(data: Any) -> list:
    """The values of a trace's column: a list, an array, or plotly's base64 form of one."""
    if isinstance(data, Mapping):
        array = np.frombuffer(base64.b64decode(data["bdata"]), np.dtype(data["dtype"]))
        shape = [int(n) for n in str(data.get("shape", len(array))).split(",")]
        return array.reshape(shape).tolist()
    if data is None:
        return []
    return [v.tolist() if hasattr(v, "tolist") else v for v in data]


def ticks(low: Number, high: Number, about: int = 6) -> list[Number]:
    """Round numbers (1, 2 or 5 times a power of ten apart) between two bounds.

    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


class Axis:
    """One axis: its scale, in figure pixels once `place` has been called."""

    def __init__(self, name: str, layout: Mapping[str, Any]) -> None:
        self.name, self.layout = name, layout
        self.horizontal = name.startswith("x")
        self.domain = layout.get("domain", [0.0, 1.0])
        self.found: list = []
        self.zero, self.tight = layout.get("rangemode") == "tozero", False
        self.start = self.end = self.low = self.high = 0.0
        self.categories: list[str] | None = None

    def settle(self) -> None:
        """Choose categories or bounds from what the traces hold."""
        ordered = [str(c) for c in values(self.layout.get("categoryarray"))]
        named = [str(v) for v in self.found if isinstance(v, str)]
        if ordered or named:
            self.categories = list(dict.fromkeys([*ordered, *named]))
            self.low, self.high = -0.5, len(self.categories) - 0.5
        else:
            numbers = [float(v) for v in self.found if v is not None and math.isfinite(v)] + [0.0] * self.zero
            low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
            pad = (high - low or abs(high) or 1.0) * (0.0 if self.tight else 0.06)
            self.low = low - pad * (low != 0.0 or not self.zero)
            self.high = high + pad * (high != 0.0 or not self.zero)
            self.high += self.high == self.low  # bars that are all of height 0
        if (given := values(self.layout.get("range"))) and None not in given:
            self.low, self.high = map(float, given)
        elif str(self.layout.get("autorange", "")) == "reversed":
            self.low, self.high = self.high, self.low

    def at(self, value: Any) -> Number:
        """Where a value stands on the page."""
        if self.categories is not None and isinstance(value, str):
            value = self.categories.index(value)
        return self.start + (float(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def marks(self) -> list[tuple[Number, str]]:
        """Where tick labels stand, and what they say."""
        if (given := self.layout.get("tickvals")) is not None:
            places = values(given)
            texts = values(self.layout.get("ticktext")) or [f"{v:g}" for v in places]
            return list(zip(places, map(plain, texts), strict=True))
        if self.categories is not None:
            return [(i, plain(name)) for i, name in enumerate(self.categories)]
        about = max(2, int(abs(self.end - self.start) / (55 if self.horizontal else 38)))
        low, high = sorted((self.low, self.high))
        return [(tick, f"{tick:g}".replace("-", "\u2212")) for tick in ticks(low, high, about)]

    @property
    def labelled(self) -> bool:
        """Whether the axis shows its labels."""
        return self.layout.get("showticklabels") is not False and self.layout.get("visible") is not False


def plain(text: Any) -> str:
    """A plotly text without its tags; `<br>` becomes a line break."""
    return unescape(re.sub(r"<[^>]*>", "", re.sub(r"<br ?/?>", "\n", str(text))))
