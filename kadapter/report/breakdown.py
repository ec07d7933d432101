"""The sections of the report on parts of the test sets, on labels and on single cases."""

from collections.abc import Sequence
from dataclasses import asdict
from html import escape

import pandas as pd

from kadapter.report import figures, markup
from kadapter.report.examples import Changed
from kadapter.report.markup import Column, Marked
from kadapter.report.rendering import first_with_knowledge, percent, span

MOST = 5  # labels that are named as gaining most, and as losing most


def slices(by_slice: pd.DataFrame) -> str:
    """The section of what `report.by_slice` returns; "" where there is nothing."""
    if by_slice.empty:
        return ""
    columns: list[Column] = [
        *(("", "kind", False), ("part", "slice", False), ("examples", "n", True), ("model", "model", False)),
        *(("score", "score", True), ("± seeds", "spread", True), ("95% interval", "interval", True)),
        *(("against backbone", "moved", True), ("95% interval", "moved_interval", True)),
    ]
    text = (
        "<p>The headline score of parts of each test set. Entities and answers are known from the training split of "
        "the task itself, without regard to case; words are counted between white space; label frequency is how many "
        "training examples have the label, or the rarest of the labels. The picture shows differences to backbone in "
        "points. Their intervals are not corrected for the number of parts: small parts move by "
        f"chance, and have no colour below {figures.ENOUGH} examples.</p>"
    )
    text += _picture(by_slice, "slices-picture")
    for (task, regime, metric), group in by_slice.groupby(["task", "regime", "metric"], sort=False):
        lines = [
            row
            | {
                "score": percent(row["mean"]),
                "spread": percent(row["std"]),
                "interval": span(row),
                "moved": "" if pd.isna(row["difference"]) else percent(row["difference"], "+"),
                "moved_interval": (
                    "" if pd.isna(row["difference"]) else span(row, "difference_low", "difference_high", "+")
                ),
            }
            for row in group.to_dict("records")
        ]
        table = markup.table(columns, lines, ("kind", "slice", "n"))
        text += f"<details><summary>{escape(f'{task} · {regime} · {metric}')}</summary>{table}</details>"
    return text


def labels(by_label: pd.DataFrame) -> str:
    """The section of what `report.by_label` returns; "" where there is nothing."""
    if by_label.empty:
        return ""
    text = (
        f"<p>F1 of every label, mean over seeds; the picture has the {figures.LABELS} labels with most test examples "
        "and shows differences to backbone in points. Labels with few examples move by chance. Precision and "
        "recall are in labels.csv, and in the tables where a number is pointed at.</p>"
    )
    text += _picture(by_label, "labels-picture")
    for (task, regime), group in by_label.groupby(["task", "regime"], sort=False):
        group = group[group["n"] > 0]
        models = list(dict.fromkeys(group["model"]))
        cells = {(row["label"], row["model"]): row for row in group.to_dict("records")}
        columns: list[Column] = [
            *(("label", "label", False), ("examples", "n", True)),
            *((model, f"f1 {model}", True) for model in models),
        ]
        lines = [
            {"label": label, "n": n} | {f"f1 {model}": _f1(cells.get((label, model))) for model in models}
            for label, n in group.drop_duplicates("label")[["label", "n"]]
            .sort_values("n", ascending=False, kind="stable")
            .itertuples(index=False)
        ]
        text += (
            f"<details><summary>{escape(f'{task} · {regime}')}</summary>{_gains(group)}"
            f"{markup.table(columns, lines)}</details>"
        )
    return text


def cases(changed: Sequence[Changed]) -> str:
    """The section of what `examples.examples` returns; "" where there is nothing."""
    if not changed:
        return ""
    text = (
        "<p>Test examples where the first row with knowledge is right and backbone wrong (fixed), and the reverse "
        "(broken). Chosen by a rule: first what is so in most seeds, and of each true label the first in the test set. "
        "[Subject or mention] and {object} are marked.</p>"
    )
    for each in changed:
        (fixed, ever_fixed), (broken, ever_broken) = each.counts["fixed"], each.counts["broken"]
        text += (
            f"<h3>{escape(f'{each.task} · {each.regime}')}</h3><p>Of {each.n} test examples {escape(each.model)} fixes "
            f"<b>{fixed}</b> and breaks <b>{broken}</b> in every one of {each.seeds} seeds; <b>{ever_fixed}</b> and "
            f"<b>{ever_broken}</b> in at least one.</p>"
        )
        columns: list[Column] = [
            *(("", "kind", False), ("example", "text", False), ("true", "true", False)),
            *((f"{each.against} says", "theirs", False), (f"{each.model} says", "ours", False)),
            ("in seeds", "seeds", True),
        ]
        lines = [{"kind": kind} | asdict(one) for kind, shown in each.shown.items() for one in shown]
        if lines:
            text += f'<div class="cases">{markup.table(columns, lines, ("kind",))}</div>'
    return text


def _gains(group: pd.DataFrame) -> str:
    """Which labels with `figures.ENOUGH` test examples gained and lost most by the first model with knowledge."""
    model = first_with_knowledge(group["model"])
    own = group[(group["model"] == model) & group["difference"].notna() & (group["n"] >= figures.ENOUGH)].sort_values(
        "difference", ascending=False, kind="stable"
    )
    sides = {
        "Gained most": own[own["difference"] > 0].head(MOST),
        "Lost most": own[own["difference"] < 0].tail(MOST)[::-1],
    }
    text = ""
    for title, rows in sides.items():
        named = ", ".join(
            f"{escape(label)} {percent(difference, '+')} ({n})"
            for label, difference, n in zip(rows["label"], rows["difference"], rows["n"], strict=True)
        )
        if named:
            text += f"<p>{title} by {escape(str(model))}, in points (test examples): {named}.</p>"
    return text


def _f1(row: dict | None) -> str:
    if row is None:
        return ""
    title = f"precision {percent(row['precision'])}, recall {percent(row['recall'])}"
    return Marked(f'<span title="{title}">{percent(row["f1"])}</span>')


def _picture(frame: pd.DataFrame, name: str) -> str:
    return "" if frame["difference"].isna().all() else markup.picture(figures.gains(frame), name)
