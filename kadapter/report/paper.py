"""The section of the report that puts the paper's numbers beside ours: a comparison where a dataset of the paper was
tested, its tables for the tasks of the preset, and the others to be opened."""

from html import escape
from typing import Any

import pandas as pd

from kadapter.report import markup, published
from kadapter.report.markup import Column, sure


def section(beside: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The whole section.

    Args:
        beside: as `report.beside_published` returns.
        rows: as `report.published_rows` returns.
    """
    text = ""
    if not beside.empty:
        columns: list[Column] = [
            *(("table", "table", True), ("dataset", "dataset", False), ("regime", "regime", False)),
            *(("metric", "metric", False), ("model", "model", False), ("published", "published", True)),
            *(("ours", "ours", True), ("95% interval", "interval", True), ("ours − published", "difference", True)),
            ("inside our interval", "inside_text", False),
        ]
        lines = [
            row
            | {
                "published": f"{row['published']:.2f}",
                "ours": f"{row['ours']:.1f}",
                "interval": f"[{row['ci_low']:.1f}, {row['ci_high']:.1f}]",
                "difference": f"{row['difference']:+.1f}",
                "inside_text": sure("yes") if row["inside"] else "no",
            }
            for row in beside.to_dict("records")
        ]
        text += (
            "<p>Percent. The published rows are roberta-large, one number each, on the test split of the paper; ours "
            "are what this preset ran, whose backbone, split and sizes are under Runs.</p>"
            + markup.table(columns, lines, ("table", "dataset", "regime", "metric"))
        )
    keys: Any  # task, dataset, and whether it is comparable
    for keys, own in rows.groupby(["task", "dataset", "comparable"], sort=False):
        task, dataset, comparable = keys
        text += f"<p>{escape(published.relation(task, dataset, comparable))}</p>" + _published(dataset, own, " open")
    others = [name for name in published.datasets() if name not in set(rows["dataset"])]
    if rows.empty:
        text += "<p>No task of this preset is one of the paper's: nothing of ours can stand beside its numbers.</p>"
    tables = "".join(_published(name, published.rows(name)) for name in others)
    return text + (f"<details><summary>The other tables of the paper</summary>{tables}</details>" if tables else "")


def _published(dataset: str, rows: pd.DataFrame, state: str = "") -> str:
    """A table of the paper, to be opened; `state` " open" opens it."""
    wide = rows.pivot(index="model", columns="metric", values="value")
    ours = rows.drop_duplicates("model").set_index("model")["ours"]
    metrics, models = rows["metric"].unique(), rows["model"].unique()
    lines = [
        {"model": model, "ours": ours[model]}
        | {key: "" if pd.isna(value) else f"{value:.2f}" for key, value in wide.loc[model].items()}
        for model in models
    ]
    note = escape(rows["note"].iloc[0])
    columns = [("model", "model", False), ("row here", "ours", False), *((key, key, True) for key in metrics)]
    return (
        f"<details{state}><summary>Table {rows['table'].iloc[0]} of the paper: {escape(dataset)}</summary>"
        + (f"<p>{note}</p>" if note else "")
        + markup.table(columns, lines)
        + "</details>"
    )
