"""The list of a case study: filters, an order, pages. A page of sentences is all that the browser ever gets."""

from html import escape
from textwrap import shorten
from typing import Any

import ipywidgets
import numpy as np
import traitlets

from kadapter.cases.table import ALL, ALONE, CaseTable
from widgets import style
from widgets.background import safely

PAGE = 20  # cases
WORDS = {
    ALONE: "right alone", "fixed": "fixed by the adapter", "broken": "broken by it", "both right": "both right",
    "both wrong": "both wrong", ALL: "all",
}  # fmt: skip
ORDERS = {
    "how far the true label moved": "movement",
    "margin, least sure first": "margin",
    "order of the test set": "order",
}


class CaseList(ipywidgets.VBox):
    """Filters over the cases and the page of those that pass.

    Attributes:
        case: index of the chosen case in the test set; -1 while none passes the filters.
        filtered: changes whenever `found` does.
        found: indices of all cases that pass, in order.
        model, against, kind, label, text, margin, query, sort, rows: the controls.
    """

    case = traitlets.Int(-1)
    filtered = traitlets.Int(0)  # how often the filters have changed

    def __init__(self, cases: CaseTable, model: str, against: str) -> None:
        self.cases, self.found, self._page, self._quiet = cases, np.zeros(0, dtype=np.int64), 0, False
        narrow, wide = {"width": "290px"}, {"width": "380px"}

        def pick(options: Any, value: Any, description: str, tooltip: str) -> ipywidgets.Dropdown:
            return ipywidgets.Dropdown(
                options=options, value=value, description=description, tooltip=tooltip, layout=narrow
            )

        self.model = pick(cases.models, model, "Model", "Whose answers the filters and the order are about")
        self.against = pick(cases.models, against, "Against", "The model that it is compared with")
        self.kind = pick(
            [(words, k) for k, words in WORDS.items()],
            ALL,
            "Cases",
            "What the model did to them",
        )
        self.label = pick(
            [("any", ""), *((n, n) for n in cases.labels)], "", "True label", "Cases with this true label"
        )
        self.sort = pick(ORDERS.items(), "movement", "Order", "Which cases come first")
        self.text = ipywidgets.Text(
            description="Search", placeholder="words of the sentence", tooltip="Words that the sentence holds",
            layout=narrow,
        )  # fmt: skip
        self.margin = ipywidgets.FloatRangeSlider(
            description="Margin", step=0.1, readout_format=".1f", continuous_update=False, layout=wide,
            tooltip="How far the model puts the true label above the best other one",
        )  # fmt: skip
        self.query = ipywidgets.Text(
            description="Query", placeholder='words > 12 and F and not backbone', continuous_update=False,
            tooltip="Cases for which an expression in pandas' query syntax holds; Enter. Columns: " + cases.columns(),
            layout=wide,
        )  # fmt: skip
        self._scores = ipywidgets.HTML()
        self.rows = ipywidgets.Select(
            rows=10, description="Case", tooltip="Choose a case: arrow keys move", layout={"width": "auto"}
        )
        self._count = ipywidgets.HTML()
        self._former = ipywidgets.Button(
            description="Previous page", icon="chevron-left", tooltip="The cases before these"
        )
        self._next = ipywidgets.Button(description="Next page", icon="chevron-right", tooltip="The cases after these")
        self._message = ipywidgets.HTML()
        super().__init__(
            [
                ipywidgets.HBox([self.model, self.against, self.kind, self.sort], layout={"flex_flow": "row wrap"}),
                ipywidgets.HBox([self.label, self.text, self.margin, self.query], layout={"flex_flow": "row wrap"}),
                self.rows,
                ipywidgets.HBox([self._former, self._next, self._count]),
                self._message,
                self._scores,
            ]
        )
        for control in (self.model, self.against):
            control.observe(lambda _: self._safely(self._compared), "value")
        for control in (self.kind, self.label, self.sort, self.text, self.margin, self.query):
            control.observe(lambda _: self._safely(self._filter), "value")
        self.rows.observe(lambda _: self._choose(), "index")
        self._former.on_click(lambda _: self._safely(lambda: self._turn(-1)))
        self._next.on_click(lambda _: self._safely(lambda: self._turn(1)))
        self._compared()
        # what knowledge changed comes first; of two models the one that is right alone has fixed it
        first = (ALONE, "fixed") if len(cases.models) > 2 else ("fixed",)
        self.kind.value = next((kind for kind in first if len(cases.select(kind, model, against))), ALL)

    @property
    def page(self) -> np.ndarray:
        """Indices of the cases on the page that is shown."""
        return self.found[self._page * PAGE : (self._page + 1) * PAGE]

    def _safely(self, call: Any) -> None:
        if not self._quiet:
            safely(call, lambda text: setattr(self._message, "value", text))

    def _compared(self) -> None:
        """New models to compare: other counts, other margins."""
        model, against = self.model.value, self.against.value
        counts = self.cases.counts(model, against) | {ALL: len(self.cases)}
        counts[ALONE] = len(self.cases.select(ALONE, model, against))
        margins = self.cases.margins[self.cases.model(model)]
        finite = margins[np.isfinite(margins)]
        low, high = (np.floor(finite.min()), np.ceil(finite.max())) if len(finite) else (0.0, 1.0)
        self._quiet = True
        kind = self.kind.value
        self.kind.options = [(f"{words} ({counts[k]})", k) for k, words in WORDS.items()]
        self.kind.value = kind
        if low > self.margin.max:
            self.margin.max, self.margin.min = high, low
        else:
            self.margin.min, self.margin.max = low, high
        self.margin.value = (low, high)
        self._quiet = False
        self._filter()

    def _filter(self) -> None:
        full = self.margin.value == (self.margin.min, self.margin.max)
        self.found = self.cases.select(
            self.kind.value, self.model.value, self.against.value, label=self.label.value, text=self.text.value.strip(),
            margin=None if full else self.margin.value, query=self.query.value.strip(), sort=self.sort.value,
        )  # fmt: skip
        self._page = 0
        self._scores.value = self.scores_html()
        self.filtered += 1
        self._list()

    def scores_html(self) -> str:
        """Every model's metrics on the cases that pass the filters."""
        if not len(self.found):
            return ""
        table = self.cases.scores(self.found)
        head = "".join(f"<th>{escape(name)}</th>" for name in ("", *table.columns))
        rows = "".join(
            f"<tr><td>{escape(name)}</td>" + "".join(f"<td>{100 * value:.1f}</td>" for value in values) + "</tr>"
            for name, values in zip(table.index, table.to_numpy().tolist(), strict=True)
        )
        said = (
            f"Metrics of these {len(self.found):,} cases, percent" if len(self.found) < len(self.cases) else "Metrics"
        )
        return (
            f"<details><summary>{said}</summary>"
            f'<table class="kadapter-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>'
        )

    def _turn(self, by: int) -> None:
        self._page += by
        self._list()

    def _list(self) -> None:
        pages = max(1, -(-len(self.found) // PAGE))
        self._quiet = True
        self.rows.options = [(self._line(i), i) for i in self.page.tolist()]
        self.rows.index = 0 if len(self.page) else None
        self._quiet = False
        self._former.disabled, self._next.disabled = self._page == 0, self._page + 1 >= pages
        shown = f"{len(self.found):,} of {len(self.cases):,} cases · page {self._page + 1} of {pages}"
        self._count.value = style.note(shown)
        self._choose()

    def _line(self, index: int) -> str:
        """One line of the list: who was right (against, then model), the number that orders the list (how far the true
        label moved, or the model's margin), the sentence."""
        model, against = self.cases.model(self.model.value), self.cases.model(self.against.value)
        was, now = ("✓" if self.cases.right[m, index] else "✗" for m in (against, model))
        number = self.cases.true_logits[model, index] - self.cases.true_logits[against, index]
        if self.sort.value == "margin":
            number = self.cases.margins[model, index]
        return f"{was}→{now} {number:+7.2f}  {shorten(self.cases[index].marked(), 130, placeholder=' …')}"

    def _choose(self) -> None:
        if not self._quiet:
            self.case = -1 if self.rows.value is None else self.rows.value
