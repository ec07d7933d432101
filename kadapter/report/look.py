"""The look that all pictures share.

Colours are Okabe and Ito's, told apart by colour-blind people; each model keeps its colour and its symbol everywhere.
Paper is transparent and ink grey, so that a picture can lie on a light or a dark page.
"""

import plotly.graph_objects as go

COLOURS = {
    "backbone": "#8c8c8c",  # grey for Okabe and Ito's black, which vanishes on a dark page
    "multitask": "#cc79a7",
    "none": "#56b4e9",
    "F": "#d55e00",
    "L": "#009e73",
    "F+L": "#0072b2",
}
OTHER_COLOURS = ("#e69f00", "#b3a600")  # orange, and yellow darkened for light pages
SYMBOLS = {"backbone": "circle", "multitask": "cross", "none": "x", "F": "diamond", "L": "square", "F+L": "star"}
INK, GRID, ZERO = "#808080", "rgba(128, 128, 128, 0.22)", "rgba(128, 128, 128, 0.7)"
DIVERGING = (  # losses orange, gains blue; what is between lets a light or a dark page through
    (0.0, "rgba(213, 94, 0, 0.75)"),
    (0.5, "rgba(128, 128, 128, 0.06)"),
    (1.0, "rgba(0, 114, 178, 0.75)"),
)


def colour(model: str) -> str:
    """The colour of a model row, the same in every picture; one of two for a name that the paper has not."""
    return COLOURS.get(model) or OTHER_COLOURS[sum(model.encode()) % len(OTHER_COLOURS)]


def styled(figure: go.Figure, height: int) -> go.Figure:
    """The look that every picture shares; returns the figure."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 10, "r": 16, "t": 48, "b": 44},
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "y": -0.22},
        hoverlabel={"font": {"size": 13}},
    )
    figure.update_annotations(font={"size": 13, "color": INK})
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor=GRID, automargin=True)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor=GRID, automargin=True)
    return figure
