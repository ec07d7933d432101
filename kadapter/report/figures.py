"""Pictures of a preset's results: scores with intervals, differences, training curves, the fate of cases (plotly)."""

from collections.abc import Mapping, Sequence
from html import escape
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from kadapter.drawing import static
from kadapter.report.look import DIVERGING, SYMBOLS, ZERO, colour, styled
from kadapter.report.rendering import NO_SHARES, SIGNIFICANT, percent, span

if TYPE_CHECKING:
    from kadapter.cases.cases import Cases

static.use()  # `show()` leaves a drawing for who cannot click

CASES = {"fixed": "#009e73", "broken": "#d55e00", "both right": "#56b4e9", "both wrong": "#8c8c8c"}
LABELS = 15  # at most so many labels of a task in one picture
ENOUGH = 10  # test examples below which a gain is mostly chance: it has no colour, and no label is named for it
COLUMNS = 3  # pictures in one line
POINTS = 2000  # more examples than this are drawn as boxes alone


def scores(table: pd.DataFrame, seed_scores: pd.DataFrame) -> go.Figure:
    """Each model's score with its 95% interval, one panel for each task and regime.

    Args:
        table: as `report.table` returns.
        seed_scores: as `report.seed_scores` returns; the upright strokes.
    """
    table = table[~table["metric"].isin(NO_SHARES)]  # one axis of percent for all
    groups = list(table.groupby(["task", "regime", "metric"], sort=False))
    figure = _panels([f"{task} · {regime} · {metric}" for (task, regime, metric), _ in groups], table["model"])
    for panel, ((task, regime, _), group) in enumerate(groups):
        place = _place(panel)
        own = seed_scores[(seed_scores["task"] == task) & (seed_scores["regime"] == regime)]
        figure.add_trace(
            go.Scatter(
                x=100 * own["score"],
                y=own["model"].map(escape),
                mode="markers",
                marker={"color": own["model"].map(colour), "symbol": "line-ns-open", "size": 16, "opacity": 0.7},
                customdata=own["seed"],
                hovertemplate="%{y}, seed %{customdata}: %{x:.1f}%<extra></extra>",
                showlegend=False,
            ),
            **place,
        )
        for row in group.to_dict("records"):
            text = f"{percent(row['mean'])}% {span(row)}<br>{row['seeds']} seeds, {row['n']} examples"
            figure.add_trace(_whisker(row["model"], row["mean"], row["ci_low"], row["ci_high"], text), **place)
        figure.update_xaxes(title={"text": "percent", "font": {"size": 11}}, **place)
    return _one_scale(figure)


def differences(comparisons: pd.DataFrame) -> go.Figure:
    """Each model's difference to the one it is compared with, in points; filled where corrected p < 0.05.

    Args:
        comparisons: as `report.comparisons` returns.
    """
    comparisons = comparisons[~comparisons["metric"].isin(NO_SHARES)]
    frame = comparisons.assign(pair=comparisons["model"] + " − " + comparisons["against"])
    groups = list(frame.groupby(["task", "regime"], sort=False))
    figure = _panels([f"{task} · {regime}" for (task, regime), _ in groups], frame["pair"])
    for panel, (_, group) in enumerate(groups):
        for row in group.to_dict("records"):
            text = (
                f"{percent(row['difference'], '+')} points {span(row, sign='+')}<br>"
                f"p = {row['p']:.4f}, corrected {row['p_holm']:.4f}"
            )
            trace = _whisker(row["model"], row["difference"], row["ci_low"], row["ci_high"], text, label=row["pair"])
            if row["p_holm"] >= SIGNIFICANT:
                trace.marker.symbol += "-open"
            figure.add_trace(trace, **_place(panel))
        figure.update_xaxes(title={"text": "points", "font": {"size": 11}}, **_place(panel))
    return _one_scale(figure.update_xaxes(zeroline=True, zerolinecolor=ZERO, zerolinewidth=1.5, rangemode="tozero"))


def gains(frame: pd.DataFrame) -> go.Figure:
    """What every model gains over `backbone` on each part of a test set or on each label, in points: a panel for each
    task and regime, the regimes of a task side by side. Of labels, the `LABELS` with most test examples. Parts with
    fewer than `ENOUGH` have no colour.

    Args:
        frame: as `report.by_slice` or `report.by_label` returns.
    """
    frame = frame[frame["difference"].notna()]
    names = frame["label"] if "label" in frame else frame["kind"] + ": " + frame["slice"]
    frame = frame.assign(part=[escape(f"{name} ({n})") for name, n in zip(names, frame["n"], strict=True)])
    tasks, regimes = list(dict.fromkeys(frame["task"])), list(dict.fromkeys(frame["regime"]))
    parts = {task: _parts(frame[frame["task"] == task]) for task in tasks}
    line_height, gap = 24, 84  # pixels
    heights = [line_height * max(len(parts[task]), 2) for task in tasks]
    height = sum(heights) + gap * max(len(tasks), 1)
    present = set(zip(frame["task"], frame["regime"], strict=True))
    figure = make_subplots(
        max(len(tasks), 1),
        max(len(regimes), 1),
        subplot_titles=[
            escape(f"{task} · {regime}") if (task, regime) in present else "" for task in tasks for regime in regimes
        ],
        shared_yaxes=True,
        horizontal_spacing=0.035,
        vertical_spacing=gap / (height - gap) if len(tasks) > 1 else 0.0,
        row_heights=heights or None,
    )
    for task, regime in sorted(present, key=lambda pair: (tasks.index(pair[0]), regimes.index(pair[1]))):
        place = {"row": tasks.index(task) + 1, "col": regimes.index(regime) + 1}
        own = frame[(frame["task"] == task) & (frame["regime"] == regime)]
        models = list(dict.fromkeys(own["model"]))
        wide = own.pivot(index="part", columns="model", values="difference").reindex(parts[task], columns=models)
        values = 100 * wide.to_numpy(float)
        size = own.drop_duplicates("part").set_index("part")["n"].reindex(parts[task]).to_numpy()
        figure.add_trace(
            go.Heatmap(
                x=[escape(model) for model in models],
                y=parts[task],
                z=np.where(size[:, None] >= ENOUGH, values, 0.0),
                text=[["" if pd.isna(value) else percent(value / 100, "+") for value in line] for line in values],
                texttemplate="%{text}",
                coloraxis="coloraxis",
                xgap=2,
                ygap=2,
                hovertemplate="%{x} − backbone, %{y}: %{text} points<extra></extra>",
            ),
            **place,
        )
        figure.update_yaxes(categoryorder="array", categoryarray=parts[task][::-1], **place)
    styled(figure, height)
    limit = np.nanmax([1.0, 100 * frame["difference"][frame["n"] >= ENOUGH].abs().max()])
    figure.update_layout(
        coloraxis={"colorscale": DIVERGING, "cmin": -float(limit), "cmax": float(limit), "showscale": False}
    )
    return figure.update_xaxes(showgrid=False, ticks="").update_yaxes(showgrid=False, ticks="")


def _parts(frame: pd.DataFrame) -> list[str]:
    """The lines of a task's panels: slices as they stand, labels by their number of test examples."""
    parts = frame.drop_duplicates("part")
    if "label" in frame:
        parts = parts.sort_values("n", ascending=False, kind="stable").head(LABELS)
    return parts["part"].tolist()


def training(histories: Mapping[str, Sequence[Mapping[Any, Any]]]) -> go.Figure:
    """Training curves by epoch: on the left the loss (dotted: on dev), on the right the dev score.

    Args:
        histories: name of an adapter, or "model, seed number" -> its log, mappings with `epoch` and any of `loss`,
            `eval_loss`, `eval_f1`, `eval_accuracy`, `eval_uas`, as `fit` returns them.
    """
    figure = make_subplots(1, 2, subplot_titles=["loss", "dev score"], horizontal_spacing=0.1)
    for name, history in histories.items():
        model = name.split(",")[0]  # its seeds share a colour
        score = next(
            (key for key in ("eval_f1", "eval_accuracy", "eval_las", "eval_uas") if any(key in h for h in history)), ""
        )
        curves = [("loss", 1, 1.0, None, "training loss"), ("eval_loss", 1, 1.0, "dot", "dev loss")]
        curves.append((score, 2, 100.0, None, f"dev {score.removeprefix('eval_')}"))
        for key, column, scale, dash, what in curves:
            points = [(entry["epoch"], scale * entry[key]) for entry in history if entry.get(key) is not None]
            if not points:
                continue
            figure.add_trace(
                go.Scatter(
                    x=[epoch for epoch, _ in points],
                    y=[value for _, value in points],
                    mode="lines+markers",
                    name=escape(name),
                    legendgroup=name,
                    showlegend=key == "loss",
                    line={"color": colour(model), "dash": dash, "width": 2},
                    marker={"symbol": SYMBOLS.get(model, "circle"), "size": 6},
                    hovertemplate=f"{escape(name)}, {what}: %{{y:.4~g}}<br>epoch %{{x:.3~g}}<extra></extra>",
                ),
                row=1,
                col=column,
            )
    figure.update_xaxes(title={"text": "epoch", "font": {"size": 11}})
    figure.update_yaxes(title={"text": "percent", "font": {"size": 11}}, row=1, col=2)
    return styled(figure, 340)


def cases(cases: "Cases", model: str, against: str) -> go.Figure:
    """What became of the test examples: how many `model` fixed and broke against `against`, and how far it moved each
    one's true label (mean logit of the true labels, `model` less `against`). Beside Table 7.
    """
    figure = make_subplots(
        1,
        2,
        subplot_titles=["examples", "movement of the true label's logit"],
        shared_yaxes=True,
        horizontal_spacing=0.05,
    )
    movement = cases.movement(model, against)
    for kind, shade in CASES.items():
        chosen = cases.select(kind, model, against)
        figure.add_trace(
            go.Bar(x=[len(chosen)], y=[kind], orientation="h", marker={"color": shade}, text=[len(chosen)]),
            row=1,
            col=1,
        )
        figure.add_trace(
            go.Box(
                x=movement[chosen],
                y=[kind] * len(chosen),
                orientation="h",
                line={"color": shade},
                boxpoints="all" if len(cases) <= POINTS else "outliers",
                jitter=0.5,
                pointpos=0,
                marker={"color": shade, "size": 4, "opacity": 0.5},
                text=[escape(shorten(cases[i].marked(), 90)) for i in chosen.tolist()],
                hovertemplate="%{text}<br>%{x:+.2f}<extra></extra>",
            ),
            row=1,
            col=2,
        )
    figure.update_yaxes(categoryorder="array", categoryarray=list(CASES)[::-1])
    figure.update_layout(title={"text": escape(f"{model} against {against}"), "font": {"size": 14}})
    styled(figure, 320).update_layout(showlegend=False, margin={"t": 84})
    return figure.update_xaxes(zeroline=True, zerolinecolor=ZERO, row=1, col=2)


def _panels(titles: list[str], labels: pd.Series) -> go.Figure:
    """Panels side by side that share their lines; the label of each line stands at the left of every row of panels."""
    rows = max(1, -(-len(titles) // COLUMNS))
    columns = min(COLUMNS, max(1, len(titles)))
    lines = list(dict.fromkeys(labels.map(escape)))
    line_height, gap = 26, 96  # pixels
    height = rows * (line_height * (len(lines) + 1) + gap)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[escape(title) for title in titles],
        shared_yaxes=True,
        horizontal_spacing=0.035,
        vertical_spacing=gap / height if rows > 1 else 0.0,
    )
    figure.update_yaxes(categoryorder="array", categoryarray=lines[::-1], range=[-0.6, len(lines) - 0.4])
    return styled(figure, height)


def _one_scale(figure: go.Figure) -> go.Figure:
    """All panels from the same number to the same number, as they are compared by eye; returns the figure."""
    for axis in list(figure.select_xaxes())[1:]:
        axis.matches = "x"
    return figure


def _place(panel: int) -> dict[str, int]:
    return {"row": panel // COLUMNS + 1, "col": panel % COLUMNS + 1}


def _whisker(model: str, value: float, low: float, high: float, text: str, label: str = "") -> go.Scatter:
    """One mark with its interval, in percent, on the line `label` (the model's own by default)."""
    return go.Scatter(
        x=[100 * value],
        y=[escape(label or model)],
        error_x={"array": [100 * (high - value)], "arrayminus": [100 * (value - low)], "thickness": 2, "width": 4},
        mode="markers",
        marker={
            "color": colour(model),
            "line": {"color": colour(model), "width": 1.5},
            "symbol": SYMBOLS.get(model, "circle"),
            "size": 11,
        },
        cliponaxis=False,  # a mark at the border of its panel stays whole
        hovertemplate=f"{escape(label or model)}<br>{text}<extra></extra>",
        showlegend=False,
    )
