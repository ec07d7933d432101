"""Pictures of what a model does: which labels it confuses, how far apart the words are whose dependency it finds, and
where in the stack its adapters read (Figure 1b of the paper, of this very model)."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from kadapter.cases.cases import Cases
from kadapter.report.look import DIVERGING, INK, SYMBOLS, colour, styled
from kadapter.scoring import statistics
from kadapter.scoring.metrics import UAS

LENGTHS = {"root": (0, 0), "1": (1, 1), "2": (2, 2), "3": (3, 3), "4–6": (4, 6), "7–10": (7, 10), "11+": (11, 10**6)}
OTHERS = "(others)"


def confusion(cases: Cases, model: str) -> Float[np.ndarray, "true predicted"]:
    """How often an example with a true label (row) has its highest logit at a label (column), as a share of the row.

    Rows and columns are `cases.labels`. An example with several true labels counts in each of their rows; a row of a
    label that is never true is NaN.
    """
    number = {label: i for i, label in enumerate(cases.labels)}
    answered = cases.logits[cases.model(model)].argmax(-1)
    counts = np.zeros((len(number), len(number)))
    pairs = [(number[t], a) for a, true in zip(answered, cases.frame["true"], strict=True) for t in true]
    np.add.at(counts, tuple(np.array(pairs, int).reshape(-1, 2).T), 1)
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


def confusion_difference(cases: Cases, model: str, against: str, labels: int = 12) -> go.Figure:
    """Where `model` answers otherwise than `against`: for each true label (line), how many points more or less often it
    answers each label. Blue on the diagonal is what it got right instead.

    Args:
        labels: the most frequent true labels are shown, and the answers outside them in one column.
    """
    difference = 100 * (confusion(cases, model) - confusion(cases, against))
    often = pd.Series([t for true in cases.frame["true"] for t in true]).value_counts()
    shown = sorted(often.index[:labels])
    places = [cases.labels.index(label) for label in shown]
    at = np.array(places)
    cells = difference[np.ix_(at, at)]
    names = list(shown)
    if len(places) < len(cases.labels):
        rest = np.setdiff1d(np.arange(len(cases.labels)), places)
        cells, names = (
            np.hstack([cells, difference[np.ix_(at, rest)].sum(axis=1, keepdims=True)]),
            [*shown, OTHERS],
        )
    figure = go.Figure(
        go.Heatmap(
            z=cells.tolist(),
            x=[escape(name) for name in names],
            y=[escape(name) for name in shown],
            zmin=-100,
            zmax=100,
            colorscale=DIVERGING,
            showscale=False,
            text=[[f"{cell:+.0f}" if abs(cell) >= 0.5 else "" for cell in row] for row in cells],
            texttemplate="%{text}",
            hovertemplate="true %{y}<br>answered %{x}<br>%{z:+.1f} points<extra></extra>",
            xgap=1,
            ygap=1,
        )
    )
    figure.update_layout(
        title={"text": escape(f"{model} less {against}, points of a true label's examples"), "font": {"size": 14}}
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title={"text": "answered", "font": {"size": 11}})
    styled(figure, 170 + 26 * len(shown)).update_layout(margin={"t": 60, "b": 90})
    return figure.update_xaxes(showgrid=False).update_yaxes(showgrid=False)


def attachment(
    heads: Sequence[Sequence[int]], decided: Sequence[np.ndarray], references: Sequence[np.ndarray]
) -> pd.DataFrame:
    """UAS by the distance between a word and its head: length (`LENGTHS`; root: no head), words, uas, ci_low, ci_high.

    The interval is a 95% bootstrap over sentences. A length that no word has is left out.

    Args:
        heads: of each sentence, counted from 1, 0 for the root.
        decided, references: of each sentence, what was predicted for each word and what is right, in any code.
    """
    metric = UAS()
    distances = [np.where(np.asarray(h) == 0, 0, np.abs(np.asarray(h) - np.arange(1, len(h) + 1))) for h in heads]
    rows = []
    for name, (low, high) in LENGTHS.items():
        inside = [(low <= distance) & (distance <= high) for distance in distances]
        words = sum(int(mask.sum()) for mask in inside)
        if not words:
            continue
        outside = metric.ignored
        kept = [np.where(mask, reference, outside) for mask, reference in zip(inside, references, strict=True)]
        counts = metric.per_example(decided, kept)
        counts = counts[counts[:, 1] > 0]
        value = statistics.interval(counts[None], metric)
        rows.append(
            {"length": name, "words": words, "uas": value["mean"]} | {k: value[k] for k in ("ci_low", "ci_high")}
        )
    return pd.DataFrame(rows, columns=["length", "words", "uas", "ci_low", "ci_high"])


def uas_by_length(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """UAS of several models by dependency length, with 95% intervals; below, how many words there are of each length.

    Args:
        tables: name of a model -> what `attachment` returns.
    """
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.75, 0.25], vertical_spacing=0.08)
    for name, table in tables.items():
        figure.add_trace(
            go.Scatter(
                x=table["length"],
                y=100 * table["uas"],
                error_y={
                    "array": 100 * (table["ci_high"] - table["uas"]),
                    "arrayminus": 100 * (table["uas"] - table["ci_low"]),
                    "thickness": 1.5,
                },
                mode="lines+markers",
                name=escape(name),
                line={"color": colour(name), "width": 2},
                marker={"symbol": SYMBOLS.get(name, "circle"), "size": 9, "color": colour(name)},
                customdata=table["words"],
                hovertemplate=f"{escape(name)}, length %{{x}}: %{{y:.1f}}%<br>%{{customdata}} words<extra></extra>",
                showlegend=True,
            ),
            row=1,
            col=1,
        )
    words = next(iter(tables.values()))
    figure.add_trace(
        go.Bar(x=words["length"], y=words["words"], marker={"color": INK, "opacity": 0.6}, showlegend=False),
        row=2,
        col=1,
    )
    styled(figure, 400)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=list(words["length"]))
    figure.update_xaxes(
        title={"text": "words between a word and its head, counting the head", "font": {"size": 11}}, row=2
    )
    figure.update_yaxes(title={"text": "UAS, percent", "font": {"size": 11}}, row=1)
    return figure.update_yaxes(title={"text": "words", "font": {"size": 11}}, row=2)
