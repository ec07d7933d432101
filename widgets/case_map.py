"""Representations before and after an adapter, as a tab of the case study: a point for each case of the filter."""

from collections.abc import Callable, Mapping, Sequence

import ipywidgets
import numpy as np

from kadapter.cases import projection
from kadapter.report import explained
from widgets.picture import Picture
from widgets.predictions import share
from widgets.style import error, note

MOST = 600  # cases of one picture


class CaseMap(ipywidgets.VBox):
    """Draws the cases that pass the filters, when asked to.

    Args:
        adapter_names: model -> the adapters that it was built with; only models with adapters have a before and after.
        draw: called when a picture is wanted.

    Attributes:
        model, method: what is drawn, and how it is projected.
    """

    def __init__(self, adapter_names: Mapping[str, Sequence[str]], model: str, draw: Callable[[], None]) -> None:
        models = [name for name, own in adapter_names.items() if own] or list(adapter_names)
        self.model = ipywidgets.Dropdown(
            description="Of model", options=models, value=model if model in models else models[-1],
            tooltip="Whose representations: the backbone's last state, and what each plugged adapter makes of it",
        )  # fmt: skip
        methods = [name for name in projection.METHODS if name != "umap" or projection.umap_installed()]
        self.method = ipywidgets.Dropdown(
            description="Projection", options=[(name.upper(), name) for name in methods],
            tooltip="How many dimensions become two; UMAP is there where umap-learn is installed",
        )  # fmt: skip
        self.start = ipywidgets.Button(
            description="Draw the cases", icon="play", tooltip=f"The cases that pass the filters, at most {MOST}"
        )
        self._said, self._picture = ipywidgets.HTML(), Picture()
        bar = ipywidgets.HBox([self.model, self.method, self.start], layout={"flex_flow": "row wrap"})
        super().__init__([bar, self._said, self._picture])
        self.start.on_click(lambda _: draw())
        self.forget()

    def forget(self) -> None:
        """Take away a picture that is of other cases or another model."""
        self._said.value = note(
            "Each case is a point: what the head reads of its mentions in the backbone's last state, and in each "
            "plugged adapter. Points of one colour have one true label. Press Draw the cases."
        )
        self._picture.show(None)

    def show(self, points: Mapping[str, np.ndarray], labels: Sequence[str], texts: Sequence[str], of: int) -> None:
        """Show points of the plane.

        Args:
            points: representation (`backbone`, or an adapter) -> (cases, 2).
            labels, texts: of each case.
            of: how many cases passed the filters.
        """
        model = self.model.value
        panels = {
            "backbone's last state" if name == "backbone" else f"output of {share(model, name)}": where
            for name, where in points.items()
        }
        self._picture.show(explained.projections(panels, labels, texts))
        left = f", the first of {of:,}" if of > len(labels) else ""
        self._said.value = note(f"{len(labels):,} cases{left}; {self.method.label}, each panel by itself")

    def fail(self, text: str) -> None:
        """Say in one sentence what went wrong."""
        self._picture.show(None)
        self._said.value = error(text)

    def picture(self) -> str:
        """The same as a drawing, for who cannot click; "" while nothing is drawn."""
        drawn = self._picture.drawing()
        return f"<h4>Representations</h4><p>{self._said.value}</p>{drawn}" if drawn else ""
