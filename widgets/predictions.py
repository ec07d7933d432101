"""What each model answers to one sentence: tables of its top labels, and bars on shared axes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape

import ipywidgets
import numpy as np

from kadapter.cases.exports import top, true_label
from kadapter.cases.inference import probabilities
from kadapter.cases.table import Case
from widgets.bars import TRUE, Bars, Series
from widgets.sentence import sentence_html
from widgets.style import heading, note

LINES = 12  # labels that bars are drawn for
NO_ANSWER = "no label"  # what a model answers that puts no label above the threshold
LEGEND = "Grey: not answered. Bold: true."
STALE = "opacity: 0.4"  # of answers to another sentence, or with other adapters plugged


@dataclass(frozen=True)
class Shown:
    """What a case study shows: a case (its text and logits may have been changed by hand) and where its answers are
    from.

    Attributes:
        case: as it is shown; its `true` is None where a person edited the sentence and has not said what is true.
        answers: model -> the labels that it answers.
        names: model -> its name, which says what is unplugged.
        moves: model -> adapter -> (labels,) its logits less those without the adapter; {} before models are loaded.
        source: where the answers come from, in words.
        original: of an edited sentence the case as it stands in the data; else None.
        before: model -> the labels that it answered to the original.
    """

    case: Case
    answers: Mapping[str, Sequence[str]]
    names: Mapping[str, str]
    moves: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    source: str = ""
    original: Case | None = None
    before: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def named(self) -> Case:
        """The case with rows that say what was plugged."""
        return replace(self.case, logits={self.names[model]: found for model, found in self.case.logits.items()})


def verdict(answer: Sequence[str], true: Sequence[str] | None) -> str:
    """A model's answer in words, with ✓ or ✗ where it is known what is true."""
    sign = "" if true is None else "✓ " if set(answer) == set(true) else "✗ "
    return f"{sign}answers {', '.join(answer) or NO_ANSWER}"


def share(model: str, adapter: str) -> str:
    """A name for one adapter of one model."""
    return adapter if adapter == model else f"{adapter} in {model}"


class Answers(ipywidgets.VBox):
    """Tables and bars of one `Shown` at a time.

    Args:
        rule: how logits become an answer, in a sentence.
        adapter_names: model -> the adapters that it was built with.
    """

    def __init__(
        self, labels: Sequence[str], independent: bool, rule: str, adapter_names: Mapping[str, Sequence[str]]
    ) -> None:
        self.labels, self.independent, self.rule = list(labels), independent, rule
        self.shown: Shown | None = None
        self.stale = False  # whether what is shown answers something else than is asked now
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
        self.mark_stale(False)
        if shown is None:
            self._sentence.value, self._tables.value = note("No case passes the filters."), ""
            self._adapters.layout.display = "none"
            self._bars.show([], [], {})
            return
        self._sentence.value = self._head(shown)
        self._tables.value = self._top(shown, k)
        lines, true = self._lines(shown.case, k), shown.case.true or []
        at, names = [self.labels.index(n) for n in lines], shown.case.logits
        self._bars.show(lines, true, {Series(m, m): names[m][at] for m in names}, titles=shown.names)
        moves = {Series(m, s): v[at] for m, own in shown.moves.items() for s, v in own.items()}
        self._moved.value = self._moved_table(shown, lines)
        self._moves.show(lines, true, moves, "+", titles=shown.names)
        self._adapters.layout.display = "" if moves else "none"

    def mark_stale(self, stale: bool) -> None:
        """Grey what is shown, as it answers something else than is asked now."""
        self.stale = stale
        (self.add_class if stale else self.remove_class)("kadapter-stale")

    def picture(self) -> str:
        """The same as HTML with drawings, for who cannot click."""
        if self.shown is None:
            return "<p>No case passes the filters.</p>"
        still = self._sentence.value + self._tables.value + self._bars.drawing()
        still += self._moved.value + self._moves.drawing() if self.shown.moves else ""
        return f'<div style="{STALE}">{still}</div>' if self.stale else still

    def _lines(self, case: Case, k: int) -> list[str]:
        """The labels of the bars: true ones, then every model's top k by their highest logit."""
        wanted = {p for found in case.logits.values() for p in top(found, k)}
        highest, true = np.max(list(case.logits.values()), axis=0), case.true or []
        others = sorted((p for p in wanted if self.labels[p] not in true), key=lambda p: -highest[p])
        return [*true, *(self.labels[p] for p in others)][: max(LINES, len(true))]

    def _head(self, shown: Shown) -> str:
        """The sentence and its true label; an edited one beside the original and what was answered to that."""
        own = f"<p>{self._true(shown.case)} &nbsp; {note(shown.source)}</p>"
        block = f"{sentence_html(shown.case.text, shown.case.mentions)}{own}"
        if shown.original is None:
            return block
        true = shown.original.true
        before = " · ".join(f"{escape(m)} {escape(verdict(a, true))}" for m, a in shown.before.items())
        sentence = sentence_html(shown.original.text, shown.original.mentions)
        first = f"<b>In the data</b>{sentence}<p>{self._true(shown.original)}<br>{before}</p>"
        side = 'style="flex: 1 1 300px"'
        return (
            f'<div class="kadapter-beside" style="display: flex; flex-wrap: wrap; gap: 4px 28px">'
            f'<div {side} class="kadapter-original">{first}</div>'
            f'<div {side} class="kadapter-edited"><b>Edited</b>{block}</div></div>'
        )

    @staticmethod
    def _true(case: Case) -> str:
        return f"True label: <b>{escape(true_label(case))}</b>"

    def _top(self, shown: Shown, k: int) -> str:
        # side by side without the style sheet, too: where nobody can click
        side = 'class="kadapter-tables" style="display: flex; flex-wrap: wrap; gap: 6px 28px"'
        tables = "".join(self._table(shown, m, k) for m in shown.case.logits)
        return f"<div {side}>{tables}</div><p>{note(f'{self.rule} {LEGEND}')}</p>"

    def _table(self, shown: Shown, model: str, k: int) -> str:
        found, answer = shown.case.logits[model], shown.answers[model]
        chances = probabilities(found, self.independent)
        rows = [
            self._row(shown, self.labels[p], [f"{found[p]:.2f}", f"{100 * chances[p]:.1f}%"], answer)
            for p in top(found, k)
        ]
        caption = f"{shown.names[model]} · {verdict(answer, shown.case.true)}"
        return _table_html(["label", "logit", "probability"], rows, caption)

    def _moved_table(self, shown: Shown, lines: Sequence[str]) -> str:
        columns = [(share(m, s), v) for m, own in shown.moves.items() for s, v in own.items()]
        rows = [
            self._row(shown, n, [f"{v[self.labels.index(n)]:+.2f}" for _, v in columns], self.labels) for n in lines
        ]
        table = _table_html(["label", *(name for name, _ in columns)], rows, "")
        return f'<div class="kadapter-tables">{table}</div>' if columns else ""

    @staticmethod
    def _row(shown: Shown, label: str, cells: Sequence[str], answered: Sequence[str]) -> str:
        """One label; what is not answered is grey. Both are said in styles of their own, for who has no style sheet."""
        true = label in (shown.case.true or ())
        name = f"<b>{escape(label)}{TRUE}</b>" if true else escape(label)
        kinds = ["kadapter-true"] * true + ["kadapter-not"] * (label not in answered)
        return f'<tr class="{" ".join(kinds)}"><td>{name}</td>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _table_html(columns: Sequence[str], rows: Sequence[str], caption: str) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    caption = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
