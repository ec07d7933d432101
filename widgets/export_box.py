"""Chosen cases of a case study, and what becomes of them: LaTeX (Table 7), Markdown or CSV."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from textwrap import shorten

import ipywidgets
import numpy as np

from kadapter.cases import exports
from kadapter.cases.table import Case
from kadapter.errors import KAdapterError
from widgets.background import safely
from widgets.download import Download

KINDS = {"LaTeX": "tex", "Markdown": "md", "CSV": "csv"}
STEM = "cases"


class ExportBox(ipywidgets.VBox):
    """Collects cases as they are shown, edits and all, and writes them to a file.

    Args:
        labels, independent: of the cases (see `CaseTable`).
        shown: gives the case that is shown, or None.
        k: gives how many labels of each model are wanted.
        folder: where files are written, beside the notebook by default; None: the browser downloads them, and nothing
            is written on the machine that computes.

    Attributes:
        cases: what was added, in order.
        add, buttons, text: the controls; `text` holds what was written last.
    """

    def __init__(
        self,
        labels: Sequence[str],
        independent: bool,
        shown: Callable[[], Case | None],
        k: Callable[[], int],
        folder: str | Path | None = ".",
    ) -> None:
        self.cases: list[Case] = []
        self._labels, self._independent, self._shown, self._k = list(labels), independent, shown, k
        self._folder, self.download = folder, Download()
        self.add = ipywidgets.Button(description="Add this case", icon="plus", tooltip="Add the case as it is shown")
        self.remove = ipywidgets.Button(description="Remove", icon="minus", tooltip="Take the marked case out again")
        self.buttons = {
            name: ipywidgets.Button(description=name, icon="download", tooltip=f"Write the added cases as {name}")
            for name in KINDS
        }
        self.added = ipywidgets.Select(
            rows=4, description="Added", tooltip="Cases to be exported", layout={"width": "auto"}
        )
        self.message = ipywidgets.HTML()
        self.text = ipywidgets.Textarea(
            description="Written", tooltip="What was written, to copy", rows=8,
            layout={"width": "auto", "display": "none"},
        )  # fmt: skip
        buttons = ipywidgets.HBox([self.add, self.remove, *self.buttons.values()], layout={"flex_flow": "row wrap"})
        super().__init__([buttons, self.added, self.message, self.text, self.download])
        self.add.on_click(lambda _: self._safely(self._add))
        self.remove.on_click(lambda _: self._safely(self._remove))
        for name, button in self.buttons.items():
            button.on_click(lambda _, name=name: self._safely(lambda: self._write(name)))

    def _safely(self, call: Callable[[], str]) -> None:
        said: list[str] = []
        safely(lambda: said.append(call()), lambda error: setattr(self.message, "value", error or said[0]))

    def _add(self) -> str:
        case = self._shown()
        if case is None:
            raise KAdapterError("no case is shown: choose one in the list first")
        if any(_same(case, other) for other in self.cases):
            raise KAdapterError("this case was added already, with the same answers")
        self.cases.append(case)
        self._list(len(self.cases) - 1)
        return ""

    def _remove(self) -> str:
        if self.added.index is None:
            raise KAdapterError("no case was added yet")
        at = self.added.index
        del self.cases[at]
        self._list(min(at, len(self.cases) - 1))
        return ""

    def _list(self, index: int) -> None:
        # a number in front keeps equal sentences apart
        self.added.options = [f"{n}. {shorten(c.marked(), 110, placeholder=' …')}" for n, c in enumerate(self.cases, 1)]
        self.added.index = index if index >= 0 else None

    def _write(self, name: str) -> str:
        k = self._k()
        if name == "CSV":
            text = exports.table(self.cases, self._labels, k, self._independent)
        else:
            text = (exports.latex if name == "LaTeX" else exports.markdown)(self.cases, self._labels, k)
        number = f"{len(self.cases)} case{'s' * (len(self.cases) != 1)}"
        return self.deliver(text, STEM, KINDS[name], number)

    def deliver(self, text: str, stem: str, suffix: str, what: str) -> str:
        """Write `stem.suffix`, or have the browser download it, and show it to be copied; returns in HTML where it is.
        Raises KAdapterError as `exports.write` does."""
        if self._folder is None:
            self.download.save(f"{stem}.{suffix}", text)
            done = f"{what} downloaded as <code>{stem}.{suffix}</code>"
        else:
            path = exports.write(text, self._folder, stem, suffix)
            done = f"{what} written to <code>{escape(str(path))}</code>"
        self.text.value, self.text.layout.display = text, ""
        return f'<span role="status">{done}</span>'


def _same(case: Case, other: Case) -> bool:
    """Whether two cases would be exported alike."""
    one, two = ((c.index, c.text, c.mentions, c.true, list(c.logits)) for c in (case, other))
    return one == two and all(np.allclose(case.logits[name], other.logits[name], atol=1e-4) for name in case.logits)
