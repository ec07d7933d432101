"""The part of the report that says where a score's uncertainty comes from: test examples, fine-tuning, pre-training."""

from html import escape

import pandas as pd

from kadapter.report import explain, markup
from kadapter.report.markup import Column
from kadapter.report.rendering import shown

KINDS = ("examples", "finetuning", "pretraining")


def section(components: pd.DataFrame) -> str:
    """What `report.components` returns, as a table in points; "" for no rows."""
    if components.empty:
        return ""
    columns: list[Column] = [
        *(("task", "task", False), ("regime", "regime", False), ("model", "model", False)),
        *(("test examples", "examples", True), ("fine-tuning", "finetuning", True)),
        *(("pre-training", "pretraining", True), ("pre-trainings", "count", True)),
    ]
    lines = [
        row | {kind: shown(row, kind) for kind in KINDS} | {"count": row["pretrainings"] or ""}
        for row in components.to_dict("records")
    ]
    several = bool((components["pretrainings"] > 1).any())
    nested = components[(components["pretrainings"] > 1) & components["finetuning"].isna()]
    both = " Where each pre-training has one fine-tuning, its column holds both." if len(nested) else ""
    return (
        "<h3>Where the uncertainty comes from</h3><p>Standard deviations, in points: how far the score of one model "
        "moves with another test set of this size, with another seed of the fine-tuning, and with another pre-training."
        f"{both}</p>{markup.table(columns, lines, ('task', 'regime'))}<p>{escape(caution(several))}</p>"
    )


def caution(several: bool) -> str:
    """What the intervals do not cover."""
    return explain.PROCESSOR if several else f"{explain.CAUTION} {explain.PROCESSOR}"
