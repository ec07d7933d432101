"""Map-tuning in the report (Zhang et al., ACL 2023): what every row has over the plain model, what the mappings of
several domains do for each of them, and the official repository's own results beside ours."""

from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import yaml

from kadapter.report import markup
from kadapter.report.continual import SCALE
from kadapter.report.look import styled
from kadapter.report.markup import Column
from kadapter.report.rendering import percent
from kadapter.runs import Result

PLAIN = "plain"
KINDS = {"mapping": "general mappings", "mapping_task": "mappings tuned for the task, the model frozen"}


@cache
def shipped() -> dict[str, Any]:
    """The official results: `tests` and `rows` of `shipped_maps.yaml`."""
    return yaml.safe_load(files("kadapter.report").joinpath("shipped_maps.yaml").read_text(encoding="utf-8"))


def domains(found: Sequence[Result]) -> dict[str, Any]:
    """What the run of a swap of domains says of it: its `task` and the `names` of its domains; {} without one."""
    return next((run.data["domains"] for run in found if run.data.get("domains")), {})


def matrix(means: pd.Series, task: str, names: Sequence[str], kind: str = "mapping") -> pd.DataFrame:
    """The score of each domain (columns) with no mapping and with each domain's (rows).

    Args:
        means: by (task, model), as the rows of `kadapter.experiment.map_domains` call them.
        kind: `mapping`, or `mapping_task`. Empty where there are no such rows.
    """
    rows = {"none": PLAIN} | {name: f"{kind}_{name}" for name in names}
    if not all((f"{task}_{asked}", model) in means.index for asked in names for model in rows.values()):
        return pd.DataFrame()
    found = {asked: [float(means[f"{task}_{asked}", model]) for model in rows.values()] for asked in names}
    return pd.DataFrame(found, index=pd.Index(rows, name="mapping of"))


def heat_map(scores: pd.DataFrame) -> go.Figure:
    """`matrix` as a picture: fractions, told in percent."""
    figure = go.Figure(
        go.Heatmap(
            z=(100 * scores.to_numpy()).tolist(),
            x=[f"asked about {escape(str(name))}" for name in scores.columns],
            y=[f"mapping of {escape(str(name))}" if name != "none" else "no mapping" for name in scores.index],
            text=[[percent(value) for value in line] for line in scores.to_numpy()],
            texttemplate="%{text}",
            colorscale=SCALE,
            zmin=0.0,
            zmax=100.0,
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="%{y}, %{x}: %{text}%<extra></extra>",
        )
    )
    styled(figure, 60 * len(scores) + 90)
    figure.update_xaxes(showgrid=False, ticks="")
    return figure.update_yaxes(showgrid=False, ticks="", autorange="reversed")


def section(table: pd.DataFrame, found: Sequence[Result]) -> str:
    """The section of the report's page; "" for a preset without map-tuning.

    Args:
        table: as `report.table` returns.
        found: all finished runs of the preset.
    """
    if not any(run.path.parent.name == "mapping" for run in found):
        return ""
    swapped = domains(found)
    text = "<h3>Over the plain model</h3>" + _gains(table)
    if swapped:
        means = table.drop_duplicates(["task", "model"]).set_index(["task", "model"])["mean"]
        text += (
            "<h3>Domains</h3><p>One frozen model that was trained on the texts of all of them; each mapping reads the "
            "graph of its own domain, and puts nothing before the mentions of another. Percent.</p>"
        )
        for kind, title in KINDS.items():
            scores = matrix(means, swapped["task"], swapped["names"], kind)
            if len(scores):
                text += f"<p>{title}</p>" + markup.picture(heat_map(scores), f"domains-{kind}")
    return text + "<h3>The official results</h3>" + _official(table)


def _gains(table: pd.DataFrame) -> str:
    plain = table[table["model"] == PLAIN].set_index(["task", "regime"])["mean"]
    lines = [
        {
            "task": row["task"],
            "regime": row["regime"],
            "model": row["model"],
            "score": f"{percent(row['mean'])} [{percent(row['ci_low'])}, {percent(row['ci_high'])}]",
            "gain": percent(row["mean"] - plain[row["task"], row["regime"]], "+"),
        }
        for row in table.to_dict("records")
        if (row["task"], row["regime"]) in plain.index and row["model"] != PLAIN
    ]
    columns: list[Column] = [
        *(("task", "task", False), ("downstream model", "regime", False), ("plugged in", "model", False)),
        *(("score, 95% interval", "score", True), ("over plain", "gain", True)),
    ]
    return markup.table(columns, lines, ("task", "regime"))


def _official(table: pd.DataFrame) -> str:
    """The shipped results; ours of the same task, regime and row beside them, in brackets."""
    own = table.drop_duplicates(["task", "regime", "model"]).set_index(["task", "regime", "model"])["mean"]
    tests = shipped()["tests"]
    lines = []
    for row in shipped()["rows"]:
        line = {"regime": row["regime"], "model": row["model"]}
        for test, score in zip(tests, row["scores"], strict=True):
            key = (test["ours"], row["regime"], row["model"])
            line[test["name"]] = f"{score:.1f}" + (f" ({percent(own[key])})" if key in own.index else "")
        lines.append(line)
    columns: list[Column] = [("downstream model", "regime", False), ("plugged in", "model", False)]
    columns += [(test["name"], test["name"], True) for test in tests]
    return (
        "<p>Percent, bert-base-uncased, one seed, as the official repository prints them; in brackets ours of a task "
        "of that name, whose backbone, entities and test are this preset's own.</p>" + markup.table(columns, lines)
    )
