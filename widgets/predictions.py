"""What each model answers to one sentence: tables of its top labels, and bars on shared axes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import ipywidgets
import numpy as np

from kadapter.cases.cases import Case
from kadapter.cases.exports import NO_LABEL, top
from kadapter.cases.inference import probabilities
from widgets.bars import Bars, Series
from widgets.sentence import sentence_html
from widgets.style import heading, note

LINES = 12  # labels that bars are drawn for


@dataclass(frozen=True)
class Shown:
    """What a case study shows: a case (its text and logits may have been changed by hand) and where its answers are
    from.

    Attributes:
        right: model -> whether its decision is the reference.
        moves: model -> adapter -> (labels,) its logits less those without the adapter; {} before models are loaded.
        source: where the answers come from, in words.
    """

    case: Case
    right: Mapping[str, bool]
    moves: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    source: str = ""


class Answers(ipywidgets.VBox):
    """Tables and bars of one `Shown` at a time.

    Args:
        adapter_names: model -> the adapters that it was built with.
    """

    def __init__(self, labels: Sequence[str], independent: bool, adapter_names: Mapping[str, Sequence[str]]) -> None:
        self.labels, self.independent = list(labels), independent
        self.shown: Shown | None = None
        self._bars = Bars([Series(name, name) for name in adapter_names], "logit")
        self._moves = Bars(
            [Series(model, s) for model, own in adapter_names.items() for s in own], "logit with it − without it"
        )
        self._sentence, self._tables, self._moved = (ipywidgets.HTML() for _ in range(3))
        self._adapters = ipywidgets.VBox(
            [heading("What each adapter adds"), self._moved, self._moves.box], layout={"display": "none"}
        )
        super().__init__([self._sentence, self._tables, self._bars.box, self._adapters])

    def show(self, shown: Shown | None, k: int) -> None:
        """Show a case with each model's top `k` labels; None empties the page."""
        self.shown = shown
        if shown is None:
            self._sentence.value, self._tables.value = note("No case passes the filters."), ""
            self._adapters.layout.display = "none"
            self._bars.show([], [], {})
            return
        self._sentence.value = self._head(shown)
        self._tables.value = self._top(shown, k)
        lines = self._lines(shown.case, k)
        at, names = [self.labels.index(n) for n in lines], shown.case.logits
        self._bars.show(lines, shown.case.true, {Series(m, m): names[m][at] for m in names})
        moves = {Series(m, s): v[at] for m, own in shown.moves.items() for s, v in own.items()}
        self._moved.value = self._moved_table(shown, lines)
        self._moves.show(lines, shown.case.true, moves, "+")
        self._adapters.layout.display = "" if moves else "none"

    def picture(self) -> str:
        """The same as HTML with drawings, for who cannot click."""
        if self.shown is None:
            return "<p>No case passes the filters.</p>"
        still = self._sentence.value + self._tables.value + self._bars.drawing()
        return still + (self._moved.value + self._moves.drawing() if self.shown.moves else "")

    def _lines(self, case: Case, k: int) -> list[str]:
        """The labels of the bars: true ones, then every model's top k by their highest logit."""
        wanted = {p for found in case.logits.values() for p in top(found, k)}
        highest = np.max(list(case.logits.values()), axis=0)
        others = sorted((p for p in wanted if self.labels[p] not in case.true), key=lambda p: -highest[p])
        return [*case.true, *(self.labels[p] for p in others)][: max(LINES, len(case.true))]

    def _head(self, shown: Shown) -> str:
        true = escape(", ".join(shown.case.true) or NO_LABEL)
        return (
            f"{sentence_html(shown.case.text, shown.case.mentions)}"
            f"<p>True label: <b>✓ {true}</b> &nbsp; {note(shown.source)}</p>"
        )

    def _top(self, shown: Shown, k: int) -> str:
        # side by side without the style sheet, too: where nobody can click
        side = 'class="kadapter-tables" style="display: flex; flex-wrap: wrap; gap: 6px 28px"'
        return f"<div {side}>{''.join(self._table(shown, m, k) for m in shown.case.logits)}</div>"

    def _table(self, shown: Shown, model: str, k: int) -> str:
        found = shown.case.logits[model]
        chances = probabilities(found, self.independent)
        rows = [
            self._row(shown, self.labels[p], [f"{found[p]:.2f}", f"{100 * chances[p]:.1f}%"]) for p in top(found, k)
        ]
        verdict = "✓ right" if shown.right[model] else "✗ wrong"
        return _table_html(["label", "logit", "probability"], rows, f"{model} · {verdict}")

    def _moved_table(self, shown: Shown, lines: Sequence[str]) -> str:
        columns = [(f"{s} in {m}", v) for m, own in shown.moves.items() for s, v in own.items()]
        rows = [self._row(shown, n, [f"{v[self.labels.index(n)]:+.2f}" for _, v in columns]) for n in lines]
        table = _table_html(["label", *(name for name, _ in columns)], rows, "")
        return f'<div class="kadapter-tables">{table}</div>' if columns else ""

    @staticmethod
    def _row(shown: Shown, label: str, cells: Sequence[str]) -> str:
        tick, kind = ("✓ ", ' class="kadapter-true"') if label in shown.case.true else ("", "")
        return f"<tr{kind}><td>{tick}{escape(label)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _table_html(columns: Sequence[str], rows: Sequence[str], caption: str) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    caption = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
