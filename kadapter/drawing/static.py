"""What a notebook keeps of a picture: the plotly figure for who can click, an SVG drawing for who cannot (executed
notebooks on GitHub, nbconvert's HTML without a network)."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import plotly.io
from plotly.io.base_renderers import MimetypeRenderer, PlotlyRenderer

from kadapter.drawing import svg
from kadapter.errors import KAdapterError

NAME = "kadapter"
PLOTLY, SVG = "application/vnd.plotly.v1+json", "image/svg+xml"
NOTEBOOK = "plotly_mimetype"  # what plotly chooses in a Jupyter kernel


class StaticRenderer(MimetypeRenderer):
    """Plotly's renderer for notebooks, with a drawing beside it; JupyterLab shows the figure, others the drawing."""

    def to_mimebundle(self, fig_dict: dict) -> dict[str, Any]:
        """The output of a notebook's cell. A figure that has no drawing comes alone."""
        try:
            still = {SVG: svg.draw(fig_dict)}
        except KAdapterError:
            still = {}
        return PlotlyRenderer({"displaylogo": False, "responsive": True}).to_mimebundle(fig_dict) | still


def bundle(figure: go.Figure) -> dict[str, Any]:
    """A figure as what a cell's output holds: mime type -> data."""
    return StaticRenderer().to_mimebundle(figure.to_dict())


def draw(figure: go.Figure | Mapping[str, Any], width: int = svg.WIDTH) -> str:
    """A figure as an SVG document. Raises KAdapterError for a kind of trace that is not drawn."""
    return svg.draw(figure.to_dict() if isinstance(figure, go.Figure) else figure, width)


def use() -> None:
    """Let `figure.show()` keep a drawing, where plotly would show the figure in a Jupyter notebook; a renderer that
    somebody chose (`PLOTLY_RENDERER`, `plotly.io.renderers.default`) stays."""
    plotly.io.renderers[NAME] = StaticRenderer()
    if plotly.io.renderers.default == NOTEBOOK:
        plotly.io.renderers.default = NAME
