"""Pictures of why a model answers as it does: where an adapter looks, and what it brings together."""

from collections.abc import Mapping, Sequence
from html import escape
from textwrap import shorten

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from kadapter.report.look import INK, styled

LABELS = 16  # that have a colour and a symbol of their own; rarer ones are grey together
REST = "(others)"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#b3a600", "#8c8c8c")  # Okabe and Ito
SHAPES = ("circle", "diamond", "square", "x")
HEIGHT, WIDTH = 22, 29  # pixels of a token in the picture of attention


def attention(tokens: Sequence[str], weights: Float[np.ndarray, "tokens tokens"], title: str) -> go.Figure:
    """How much each token (line) attends to each other (column), in percent."""
    names = [f"{escape(token)}<sup> {place}</sup>" for place, token in enumerate(tokens)]  # one word may stand twice
    figure = go.Figure(
        go.Heatmap(
            z=weights.round(3).tolist(),
            x=names,
            y=names,
            zmin=0,
            zmax=1,
            colorscale=[(0.0, "rgba(128, 128, 128, 0.06)"), (1.0, "rgba(0, 114, 178, 0.9)")],
            showscale=False,
            text=[[f"{100 * cell:.0f}" if 0.1 <= cell < 0.995 else "" for cell in row] for row in weights],
            texttemplate="%{text}",
            hovertemplate="%{y} looks at %{x}<br>%{z:.1%}<extra></extra>",
            xgap=1,
            ygap=1,
        )
    )
    figure.update_layout(title={"text": escape(title), "font": {"size": 13}})
    figure.update_yaxes(autorange="reversed")
    styled(figure, 150 + HEIGHT * len(tokens)).update_layout(
        margin={"t": 40, "b": 90}, width=max(480, 130 + WIDTH * len(tokens))
    )
    return figure.update_xaxes(showgrid=False, tickangle=-45).update_yaxes(showgrid=False)


def projections(
    points: Mapping[str, Float[np.ndarray, "cases 2"]], labels: Sequence[str], texts: Sequence[str]
) -> go.Figure:
    """Cases as points of a plane, a panel for each representation, a colour and a symbol for each label.

    Args:
        points: name of a representation -> where each case lies.
        labels: of each case.
        texts: what the pointer shows of each case.
    """
    counted = dict(zip(*np.unique(np.asarray(labels, dtype=object).astype(str), return_counts=True), strict=True))
    often = sorted(counted, key=lambda label: -counted[label])[:LABELS]
    shown = np.array([label if label in often else REST for label in labels])
    figure = make_subplots(
        1, len(points), subplot_titles=[escape(name, quote=False) for name in points], horizontal_spacing=0.04
    )
    for column, where in enumerate(points.values(), start=1):
        for number, label in enumerate(sorted(set(shown) - {REST}) + [REST] * (REST in shown)):
            own = shown == label
            shade = INK if label == REST else PALETTE[number % len(PALETTE)]
            figure.add_trace(
                go.Scatter(
                    x=where[own, 0].round(4).tolist(),
                    y=where[own, 1].round(4).tolist(),
                    mode="markers",
                    name=escape(label),
                    legendgroup=label,
                    showlegend=column == 1,
                    marker={"color": shade, "symbol": SHAPES[number // len(PALETTE) % len(SHAPES)], "size": 7},
                    text=[escape(shorten(text, 90)) for text, is_own in zip(texts, own, strict=True) if is_own],
                    hovertemplate=f"{escape(label)}<br>%{{text}}<extra></extra>",
                ),
                row=1,
                col=column,
            )
    styled(figure, 460).update_layout(width=max(640, 380 * len(points)), margin={"b": 110})
    figure.update_xaxes(showticklabels=False)
    return figure.update_yaxes(showticklabels=False)
