"""The numbers that the paper prints (Tables 2 to 5, in `published.yaml`), and ours beside them. Percent."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd
import yaml

from kadapter.errors import unknown

COLUMNS = "table dataset regime metric model published ours ci_low ci_high difference inside".split()


@cache
def datasets() -> dict[str, Any]:
    """The file: dataset -> table, metrics, rows."""
    return yaml.safe_load(files("kadapter.report").joinpath("published.yaml").read_text(encoding="utf-8"))


def rows(dataset: str) -> pd.DataFrame:
    """What the paper prints for a dataset: table, dataset, model, ours, metric, value, note.

    `value` is in percent, `ours` the model row that it stands beside ("" for none). Raises KAdapterError for a dataset
    that the paper does not report.
    """
    if dataset not in datasets():
        raise unknown("published dataset", dataset, datasets())
    entry = datasets()[dataset]
    return pd.DataFrame(
        [
            {
                "table": entry["table"],
                "dataset": dataset,
                "model": row["model"],
                "ours": row.get("ours", ""),
                "metric": metric,
                "value": value,
                "note": entry.get("note", ""),
            }
            for row in entry["rows"]
            for metric, value in zip(entry["metrics"], row["scores"], strict=True)
            if value is not None
        ]
    )


def name_of(dataset: str, task: str) -> str | None:
    """The published dataset that a run stands beside: its own, or that of its task's name on real data."""
    real_task = task if not dataset.startswith("world") else ""  # fiction has no published numbers
    return next((name for name in (dataset, real_task) if name in datasets()), None)


def imitated(dataset: str) -> str | None:
    """The published dataset whose form a dataset of the embedded world has; None for any other dataset."""
    return next((name for name, entry in datasets().items() if entry.get("world") == dataset), None)


def relation(task: str, dataset: str, comparable: bool) -> str:
    """How a task stands to the published dataset beside it, in a sentence."""
    if comparable:
        return f"What the paper prints for {dataset}, which is {task} here:"
    return (
        f"{task} here has the form of {dataset} and fictional content: the paper's rows are those of our tables, its "
        "numbers cannot be compared with ours."
    )


def beside(name: str, model: str, regime: str, ours: Mapping[str, Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Lines with the columns `COLUMNS`: each published value of a model row beside ours.

    Args:
        name: a published dataset.
        ours: metric -> what `statistics.interval` returns, as fractions.
    """
    for row in rows(name).to_dict("records"):
        if row["ours"] != model or row["metric"] not in ours:
            continue
        mean, low, high = (100 * ours[row["metric"]][key] for key in ("mean", "ci_low", "ci_high"))
        values = [row["value"], mean, low, high, mean - row["value"], low <= row["value"] <= high]
        yield dict(zip(COLUMNS, [row["table"], name, regime, row["metric"], model, *values], strict=True))
