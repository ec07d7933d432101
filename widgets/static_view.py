"""What a widget is where nobody can click: the same state as HTML, kept up to date beside the live one.

Papermill, nbconvert and GitHub show the HTML; a live page hides it behind the widget that says the same.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import ipywidgets
from IPython.display import display, update_display

from widgets import style
from widgets.background import safely

VIEW = "application/vnd.jupyter.widget-view+json"


def keep(figure: Any) -> None:
    """Have a plotly `FigureWidget` remember what was changed in it: plotly sends changes as messages alone, so that a
    page that is loaded again, and a saved notebook, would show the figure as it was made."""
    figure._widget_data, figure._widget_layout = deepcopy(figure._data), deepcopy(figure._layout)


class StaticView(ipywidgets.VBox):
    """A box of widgets with a static picture. A subclass writes `picture` (HTML) and `summary` (one line of text), and
    calls `changed` after every change that they show."""

    def __init__(self, children: Any = (), **more: Any) -> None:
        super().__init__(**more)
        self._shown = ""  # the HTML beside the widget as it was sent last; "" before it is displayed
        self._still = f"kadapter-still-{self.model_id}"
        self.add_class("kadapter")
        self.children = (*children, style.sheet(f".{self._still} {{ display: none; }}"))

    def picture(self) -> str:
        """The state as HTML; texts are escaped."""
        raise NotImplementedError

    def summary(self) -> str:
        """The state in one line."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.summary()

    def changed(self) -> None:
        """Bring the displayed static picture up to date, so that the saved notebook shows the last state."""
        if self._shown and (now := self._beside()) != self._shown:
            self._shown = now
            update_display({"text/html": now, "text/plain": self.summary()}, raw=True, display_id=self._still)

    def _beside(self) -> str:
        return f'<div class="{self._still}">{self.picture()}</div>'

    def _view(self) -> dict[str, Any]:
        return {"version_major": 2, "version_minor": 0, "model_id": self.model_id}

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return {"text/plain": self.summary(), "text/html": self.picture(), VIEW: self._view()}

    def _ipython_display_(self) -> None:
        # Two outputs: the browser may rebuild the second one at any time without taking the focus from the first.
        display({"text/plain": self.summary(), VIEW: self._view()}, raw=True)
        self._shown = self._beside()
        display({"text/html": self._shown, "text/plain": self.summary()}, raw=True, display_id=self._still)


class Controls(StaticView):
    """A box whose controls answer a mistake in one sentence, shown in `_message`; while `_quiet` they are not heard."""

    _message: ipywidgets.HTML
    _quiet: bool

    def _say(self, text: str) -> None:
        self._tell(style.error(text))

    def _tell(self, html: str) -> None:
        self._message.value = html
        self.changed()

    def _safely(self, *calls: Callable[[], Any]) -> None:
        if not self._quiet:
            safely(lambda: [call() for call in calls], self._tell)
