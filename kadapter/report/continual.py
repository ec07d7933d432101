"""Kinds of knowledge one after another (Figure 1 of the paper): tables and pictures of what every row kept, and of what
it cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from kadapter import catalog, runs
from kadapter.report import markup
from kadapter.report.look import styled
from kadapter.report.markup import Column
from kadapter.report.rendering import percent
from kadapter.scoring import continual

NAMES = {
    "kadapter": "K-Adapter: one adapter each",
    "full": "full fine-tuning",
    "lora": "LoRA, one for all",
    "ewc": "EWC",
    "shared": "one adapter for all",
    "multitask": "multitask from scratch",
}
COLOURS = {
    "kadapter": "#d55e00", "full": "#8c8c8c", "lora": "#56b4e9", "ewc": "#009e73", "shared": "#b3a600",
    "multitask": "#cc79a7",
}  # fmt: skip
SYMBOLS = {
    "kadapter": "diamond", "full": "circle", "lora": "square", "ewc": "x", "shared": "star", "multitask": "cross"
}  # fmt: skip
SCALE = ((0.0, "rgb(250, 250, 247)"), (1.0, "rgb(0, 94, 148)"))  # nothing, everything
KEPT = {  # what `continual.summary` calls it -> what people do
    "average_accuracy": "average accuracy",
    "learning_accuracy": "when learned",
    "forgetting": "forgetting",
    "backward_transfer": "backward transfer",
    "forward_transfer": "forward transfer",
}
RESAMPLES = 2000


@dataclass(frozen=True)
class Measured:
    """The finished runs of continual infusion of a preset: scores and costs as `Continual` leaves them, and what the
    downstream task is called."""

    scores: pd.DataFrame
    costs: pd.DataFrame
    downstream: str

    @property
    def rows(self) -> list[str]:
        """The rows that are there, in their order."""
        return [row for row in catalog.CONTINUAL if row in set(self.scores["row"])]

    @property
    def orders(self) -> list[str]:
        """The orders of learning, kinds joined by -."""
        return list(dict.fromkeys(self.scores["order"]))


def measured(root: str | Path, preset: str) -> Measured | None:
    """The finished runs of a preset; None if there are none."""
    found = [run for run in runs.find(root, preset) if run.path.parent.name == "continual"]
    if not found:
        return None
    scores, costs = (pd.DataFrame([row for run in found for row in run.data[key]]) for key in ("rows", "costs"))
    place = {row: number for number, row in enumerate(catalog.CONTINUAL)}
    scores, costs = (
        frame.sort_values(["row", "seed"], key=lambda c: c.map(place) if c.name == "row" else c, kind="stable")
        for frame in (scores, costs)
    )
    return Measured(scores.reset_index(drop=True), costs.reset_index(drop=True), found[0].downstream)


def rows(found: Measured) -> list[dict[str, Any]]:
    """What `report.rows` gives of other runs, of these: task (continual, or the downstream task after the last stage),
    model, regime (`N kinds`), metric, mean, std, ci_low, ci_high, seeds, n, trained_parameters.

    Means over orders and seeds, `n` of them; the interval is a percentile bootstrap over these.
    """
    summary = continual.summary(found.scores, found.downstream)
    kinds = len(found.orders[0].split("-"))
    trained = found.costs.groupby("row")["trained"].max()
    lines = []
    for metric in (*KEPT, "downstream"):
        for row in found.rows:
            values = summary[summary["row"] == row]
            named = {"task": "continual", "model": row, "regime": f"{kinds} kinds"}
            title = KEPT.get(metric, found.downstream)
            counted = {"seeds": values["seed"].nunique(), "trained_parameters": int(trained[row])}
            lines.append({**named, "metric": title, **_spread(values[metric]), **counted})
    return lines


def table(found: Measured) -> pd.DataFrame:
    """One row for each way of learning: what was kept (means over orders and seeds, fractions), what all stages
    together took (seconds, cpu_seconds), the parameters that trained in a stage, those kept beside them, those stored
    beyond the backbone, and the seconds that 1,000 texts take, after the last stage."""
    summary = continual.summary(found.scores, found.downstream)
    kept = summary.groupby("row", sort=False)[[*KEPT, "downstream"]].mean()
    kept["unchanged"] = summary.groupby("row")["unchanged"].min()
    costs = found.costs
    whole = costs.groupby(["row", "order", "seed"])[["seconds", "cpu_seconds"]].sum().groupby("row").mean()
    whole[["trained", "beside"]] = costs.groupby("row")[["trained", "beside"]].max()
    last = costs[costs["stage"] == costs["stage"].max()]
    whole[["stored", "seconds_per_1000"]] = last.groupby("row")[["stored", "seconds_per_1000"]].mean()
    return kept.join(whole).loc[found.rows].reset_index()


def lost(found: Measured, kind: str, order: str) -> dict[str, float]:
    """Row -> how much of a kind's score just after its own stage is gone after the last stage of an order (mean over
    seeds, a fraction)."""
    own = found.scores[(found.scores["kind"] == kind) & (found.scores["order"] == order)]
    at = own.groupby(["row", "stage"], sort=False)["score"].mean()
    stage = order.split("-").index(kind) + 1
    return {row: float(at[row, stage] - at[row, own["stage"].max()]) for row in found.rows}


def matrices(found: Measured, order: str | None = None) -> go.Figure:
    """A heat map for each row: the score (percent, mean over seeds) of every kind and of the downstream task after each
    stage of an order (the first where none is named). Stage 0 is before the first."""
    order = order or found.orders[0]
    kinds = order.split("-")
    columns = min(3, len(found.rows))
    lines = -(-len(found.rows) // columns)
    figure = make_subplots(
        lines,
        columns,
        subplot_titles=[escape(NAMES[row]) for row in found.rows],
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.24 if lines > 1 else 0.0,
    )
    for place, row in enumerate(found.rows):
        own = found.scores[(found.scores["row"] == row) & (found.scores["order"] == order)]
        mean = own.groupby(["stage", "kind"])["score"].mean().unstack()[[*kinds, found.downstream]]
        figure.add_trace(
            go.Heatmap(
                z=(100 * mean.to_numpy()).tolist(),
                x=[escape(name) for name in mean.columns],
                y=["before", *(f"+ {escape(kind)}" for kind in kinds)],
                text=[[percent(value) for value in line] for line in mean.to_numpy()],
                texttemplate="%{text}",
                coloraxis="coloraxis",
                xgap=2,
                ygap=2,
                hovertemplate="%{x}, %{y}: %{text}%<extra></extra>",
            ),
            row=place // columns + 1,
            col=place % columns + 1,
        )
    styled(figure, lines * (30 * (len(kinds) + 1) + 96))
    figure.update_layout(coloraxis={"colorscale": SCALE, "cmin": 0.0, "cmax": 100.0, "showscale": False})
    figure.update_xaxes(showgrid=False, ticks="")
    return figure.update_yaxes(showgrid=False, ticks="", autorange="reversed")


def lines(found: Measured) -> go.Figure:
    """The mean score of the kinds learned so far after each stage (percent, over orders and seeds), a line for each
    row; on the right the downstream task."""
    figure = make_subplots(
        1, 2, subplot_titles=["kinds learned so far", escape(found.downstream)], horizontal_spacing=0.1
    )
    for row in found.rows:
        own = found.scores[found.scores["row"] == row]
        learned = [
            kind in order.split("-")[:stage]
            for kind, order, stage in zip(own["kind"], own["order"], own["stage"], strict=True)
        ]
        parts = (own[learned], own[own["kind"] == found.downstream])
        for column, part in enumerate(parts, 1):
            figure.add_trace(
                _line(row, 100 * part.groupby("stage")["score"].mean(), "%", column == 1), row=1, col=column
            )
    figure.update_yaxes(title={"text": "percent", "font": {"size": 11}}, row=1, col=1)
    return _over_kinds(figure)


def costs(found: Measured) -> go.Figure:
    """What every kind more costs each row: seconds of training so far, parameters stored beyond the backbone, seconds
    for 1,000 texts at prediction."""
    titles = ["processor seconds of training", "million parameters stored", "processor seconds for 1,000 texts"]
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.07)
    for row in found.rows:
        own = found.costs[found.costs["row"] == row]
        at = own.groupby("stage")[["cpu_seconds", "stored", "seconds_per_1000"]].mean()
        series = (at["cpu_seconds"].cumsum(), at["stored"] / 1e6, at["seconds_per_1000"])
        for column, values in enumerate(series, 1):
            figure.add_trace(_line(row, values, "", column == 1), row=1, col=column)
    return _over_kinds(figure.update_yaxes(rangemode="tozero"))


def _line(row: str, values: pd.Series, unit: str, legend: bool) -> go.Scatter:
    return go.Scatter(
        x=values.index.tolist(),
        y=values.tolist(),
        mode="lines+markers",
        name=escape(NAMES[row]),
        legendgroup=row,
        showlegend=legend,
        line={"color": COLOURS[row], "width": 2},
        marker={"symbol": SYMBOLS[row], "size": 8, "color": COLOURS[row]},
        hovertemplate=f"{escape(NAMES[row])}, %{{x}} kinds: %{{y:.4~g}}{unit}<extra></extra>",
    )


def _over_kinds(figure: go.Figure) -> go.Figure:
    stages = sorted({stage for trace in figure.data for stage in trace.x})
    figure.update_xaxes(title={"text": "kinds learned", "font": {"size": 11}}, tickvals=stages)
    return styled(figure, 360)


def section(found: Measured) -> str:
    """The section of the report's page."""
    lines_of = [
        {
            "name": NAMES[row["row"]],
            **{key: percent(row[key]) for key in (*KEPT, "downstream", "unchanged")},
            **{key: f"{row[key]:.0f}" for key in ("seconds", "cpu_seconds")},
            **{key: f"{row[key] / 1e6:.2f}" for key in ("trained", "beside", "stored")},
            "answer": f"{row['seconds_per_1000']:.1f}",
        }
        for row in table(found).to_dict("records")
    ]
    head: list[Column] = [("row", "name", False)]
    head += [(title, key, True) for key, title in KEPT.items()]
    head += [(found.downstream, "downstream", True), ("answers unchanged", "unchanged", True)]
    cost: list[Column] = [
        *(("row", "name", False), ("training, s", "seconds", True), ("of the processor", "cpu_seconds", True)),
        *(("trained, million", "trained", True), ("kept beside", "beside", True), ("stored", "stored", True)),
        ("1,000 texts, s", "answer", True),
    ]
    seeds = found.scores["seed"].nunique()
    return (
        f"<p>{len(found.orders[0].split('-'))} kinds of knowledge one after another, {len(found.orders)} orders "
        f"({escape(', '.join(found.orders))}), {seeds} seeds. After each stage every kind is scored again on its own "
        f"test, and the downstream task {escape(found.downstream)} with only fusion and head trained. Percent, means "
        "over orders and seeds. Average accuracy and backward transfer after Lopez-Paz and Ranzato (2017), forgetting "
        "after Chaudhry et al. (2018). Answers unchanged: the smallest share whose numbers are bit by bit those of "
        "just after their own stage.</p>"
        + markup.table(head, lines_of)
        + markup.picture(lines(found), "continual-lines")
        + "".join(
            f"<h3>{escape(' → '.join(order.split('-')))}</h3>"
            + markup.picture(matrices(found, order), f"continual-matrices-{place}")
            for place, order in enumerate(found.orders)
        )
        + "<h3>What it costs</h3><p>Sums of all stages; parameters beyond the backbone as it was loaded, heads left "
        "out. K-Adapter keeps everything, and pays for it: with every kind one more adapter is stored, and computed "
        "at prediction.</p>" + markup.table(cost, lines_of) + markup.picture(costs(found), "continual-costs")
    )


def _spread(found: Sequence[float] | pd.Series) -> dict[str, float | int]:
    """Mean, standard deviation and a 95% percentile bootstrap interval of the mean of some values, and their number."""
    values = np.asarray(found, float)
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(values.mean()), "std": std, "ci_low": float(low), "ci_high": float(high), "n": len(values)}
