"""Chosen cases of a case study, and what becomes of them: LaTeX (Table 7), Markdown or CSV."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from textwrap import shorten

import ipywidgets

from kadapter.cases import exports
from kadapter.cases.cases import Case
from kadapter.errors import KAdapterError
from widgets.background import safely

KINDS = {"LaTeX": "tex", "Markdown": "md", "CSV": "csv"}
STEM = "cases"


class ExportBox(ipywidgets.VBox):
    """Collects cases as they are shown, edits and all, and writes them to a file beside the notebook.

    Attributes:
        cases: what was added, in order.
        add, buttons, text: the controls; `text` holds what was written last.
    """

    def __init__(
        self, labels: Sequence[str], independent: bool, shown: Callable[[], Case | None], k: Callable[[], int]
    ) -> None:
        self.cases: list[Case] = []
        self._labels, self._independent, self._shown, self._k = list(labels), independent, shown, k
        self.add = ipywidgets.Button(description="Add this case", icon="plus", tooltip="Add the case as it is shown")
        self.remove = ipywidgets.Button(description="Remove", icon="minus", tooltip="Take the marked case out again")
        self.buttons = {
            name: ipywidgets.Button(description=name, icon="download", tooltip=f"Write the added cases as {name}")
            for name in KINDS
        }
        self.added = ipywidgets.Select(
            rows=4, description="Added", tooltip="Cases to be exported", layout={"width": "100%"}
        )
        self.message = ipywidgets.HTML()
        self.text = ipywidgets.Textarea(
            description="Written", tooltip="What was written, to copy", rows=8,
            layout={"width": "100%", "display": "none"},
        )  # fmt: skip
        buttons = ipywidgets.HBox([self.add, self.remove, *self.buttons.values()], layout={"flex_flow": "row wrap"})
        super().__init__([buttons, self.added, self.message, self.text])
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
        path = exports.write(text, Path.cwd(), STEM, KINDS[name])
        self.text.value, self.text.layout.display = text, ""
        number = f"{len(self.cases)} case{'s' * (len(self.cases) != 1)}"
        return f'<span role="status">{number} written to <code>{escape(str(path))}</code></span>'
