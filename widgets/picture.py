"""A plotly figure in a box: to point at where a page is alive, a drawing where it is not."""

import ipywidgets
import plotly.graph_objects as go

from kadapter.drawing import static


class Picture(ipywidgets.Output):
    """Shows one figure at a time, or none."""

    figure: go.Figure | None = None

    def __init__(self) -> None:
        super().__init__(layout={"overflow": "auto hidden"})

    def show(self, figure: go.Figure | None) -> None:
        """Show a figure in place of the one before; None takes it away."""
        self.figure = figure
        shown = {"output_type": "display_data", "metadata": {}}
        self.outputs = () if figure is None else (shown | {"data": static.bundle(figure)},)

    def drawing(self) -> str:
        """The figure as SVG; "" for none."""
        return "" if self.figure is None else static.draw(self.figure)
