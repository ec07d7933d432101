"""The report as one HTML page that needs no network: plotly.js and styles inside, every text from a run escaped."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import pandas as pd
from plotly.offline import get_plotlyjs

from kadapter.report import breakdown, continual, explain, facts, figures, mapping, markup, paper, shared, spread
from kadapter.report.examples import Changed
from kadapter.report.frame import framed
from kadapter.report.markup import Column, Marked, sure
from kadapter.report.rendering import (
    NO_SHARES,
    SIGNIFICANT,
    first_with_knowledge,
    p_value,
    percent,
    shown,
    span,
    trained,
)
from kadapter.runs import Result

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"


def page(
    preset: str,
    *,
    table: pd.DataFrame,
    comparisons: pd.DataFrame,
    seed_scores: pd.DataFrame,
    components: pd.DataFrame,
    by_slice: pd.DataFrame,
    by_label: pd.DataFrame,
    changed: Sequence[Changed],
    beside_published: pd.DataFrame,
    published_rows: pd.DataFrame,
    probed: facts.Probed,
    found: Sequence[Result],
    graph: Mapping[Any, Any],
    notebooks: Mapping[str, str],
    taught: continual.Measured | None = None,
) -> str:
    """The whole page of a preset.

    Args:
        table, comparisons, seed_scores, components, by_slice, by_label, beside_published, published_rows: as the
            functions of `report` with these names return.
        changed: as `examples.examples` returns.
        probed: what was asked for as it is (`facts.of_runs`).
        found: all finished runs of the preset.
        graph: what the pipeline left beside them; {} where there is none.
        notebooks: run -> the address of its executed notebook.
        taught: the runs of continual infusion.
    """
    pretrained = [run for run in found if run.path.parent.name == "pretrain"]
    parts = [
        ("words", "What the words mean", explain.words(table["model"], table["regime"], found)),
        ("scores", "Scores", _scores(table, seed_scores) + spread.section(components)),
        ("continual", "One kind after another", "" if taught is None else continual.section(taught)),
        ("mapping", "Map-tuning", mapping.section(table, found)),
        ("differences", "Differences", _differences(comparisons)),
        ("cases", "Fixed and broken cases", breakdown.cases(changed)),
        ("slices", "Parts of the test sets", breakdown.slices(by_slice)),
        ("labels", "Labels", breakdown.labels(by_label)),
        ("facts", "Facts", facts.section(probed)),
        ("paper", "Beside the paper", paper.section(beside_published, published_rows)),
        ("knowledge", "Knowledge adapters", _knowledge(pretrained, notebooks)),
        ("shared", "What knowledge and tests share", shared.section(found)),
        ("runs", "Runs", explain.origin(preset, found, graph) + _runs(found, notebooks)),
    ]
    models, count = escape(_models(found)), len(found)
    opening = f"""<p class="soft">What knowledge adapters beside a language model ({models}) change: {count} finished
runs, made {escape(explain.when(found))}. <a href="#runs">Where the numbers come from</a></p>
{_headline(comparisons, table)}"""
    return framed(
        preset,
        f"{preset} · K-Adapter report",
        [part for part in parts if part[2]],
        opening=opening,
        policy=POLICY,
        script=get_plotlyjs(),
    )


def _models(found: Sequence[Result]) -> str:
    return ", ".join(explain.backbones(found)) or "of an unknown name"


def _headline(comparisons: pd.DataFrame, table: pd.DataFrame) -> str:
    """A card for each task and regime: what the first model with knowledge gains, and what parameters alone gain.

    The first in the fixed order of models, not the best, so that nothing is picked by its result.
    """
    cards = []
    against = comparisons[comparisons["against"] == "backbone"]
    for (task, regime), group in against.groupby(["task", "regime"], sort=False):
        by_model = {row["model"]: row for row in group.to_dict("records")}
        model = first_with_knowledge(by_model)
        if model is None:
            continue
        row = by_model[model]
        if row["metric"] in NO_SHARES:
            continue
        mean = table[(table["task"] == task) & (table["regime"] == regime)].set_index("model")["mean"]
        lines = [
            f"{model} {percent(mean[model])}% against backbone {percent(mean['backbone'])}%",
            f"95% interval {span(row, sign='+')}",
            f"corrected {p_value(row['p_holm'])}",
        ]
        if "none" in by_model:
            lines.append(f"without knowledge {percent(by_model['none']['difference'], '+')} points")
        cards.append(
            f'<div class="card"><span>{escape(str(task))} · {escape(str(regime))}</span>'
            f"<b>{percent(row['difference'], '+')} points</b>"
            + "".join(f"<span>{escape(line)}</span>" for line in lines)
            + "</div>"
        )
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def _scores(table: pd.DataFrame, seed_scores: pd.DataFrame) -> str:
    columns: list[Column] = [
        *(("task", "task", False), ("regime", "regime", False), ("metric", "metric", False), ("model", "model", False)),
        *(("score", "score", True), ("± seeds", "std", True), ("95% interval", "interval", True)),
        *(("against backbone", "difference", True), ("95% interval", "difference_interval", True)),
        *(("seeds", "seeds", True), ("examples", "n", True), ("parameters trained", "trained", True)),
    ]
    lines = []
    for row in table.to_dict("records"):
        apart = row["p_holm"] < SIGNIFICANT
        lines.append(
            row
            | {
                "score": shown(row, "mean"),
                "std": shown(row, "std"),
                "trained": trained(row),
                "interval": span(row),
                "difference": sure(shown(row, "difference", "+")) if apart else shown(row, "difference", "+"),
                "difference_interval": (
                    "" if pd.isna(row["difference"]) else span(row, "difference_low", "difference_high", "+")
                ),
            }
        )
    return (
        "<p>Percent, but for perplexity. Mean over seeds, standard deviation over seeds, and a 95% interval over test "
        "examples, seeds and, where there are several, pre-trainings; strokes in the picture are single seeds. A "
        f'difference in <span class="sure">green</span> has a corrected p below {SIGNIFICANT}.</p>'
        + markup.table(columns, lines, ("task", "regime", "metric"))
        + markup.picture(figures.scores(table, seed_scores), "scores-picture")
    )


def _differences(comparisons: pd.DataFrame) -> str:
    if comparisons.empty:
        return ""
    columns: list[Column] = [
        *(("task", "task", False), ("regime", "regime", False), ("model", "model", False)),
        *(("against", "against", False), ("difference", "difference", True), ("95% interval", "interval", True)),
        *(("p", "p_text", True), ("corrected p", "holm_text", True)),
    ]
    lines = []
    for row in comparisons.to_dict("records"):
        corrected = f"{row['p_holm']:.4f}"
        lines.append(
            row
            | {
                "difference": shown(row, "difference", "+"),
                "interval": span(row, sign="+"),
                "p_text": f"{row['p']:.4f}",
                "holm_text": sure(corrected) if row["p_holm"] < SIGNIFICANT else corrected,
            }
        )
    return (
        "<p>Points. Paired bootstrap intervals, and p values of approximate randomisation tests on the same test "
        f"examples, corrected by Holm's method for these {len(lines)} comparisons.</p>"
        + markup.table(columns, lines, ("task", "regime"))
        + markup.picture(figures.differences(comparisons), "differences-picture")
    )


def _knowledge(found: Sequence[Result], notebooks: Mapping[str, str]) -> str:
    if not found:
        return ""
    lines = [
        {
            "name": _linked(run.path.name, notebooks.get(run.id)),
            "metrics": ", ".join(f"{key} {value:.4g}" for key, value in run.metrics.items() if _is_number(value)),
            "seconds": f"{run.data.get('wall_seconds') or 0:.0f}",
        }
        for run in found
    ]
    histories = {run.path.name: run.history for run in found if run.data.get("history")}
    columns: list[Column] = [
        *(("adapter", "name", False), ("on its own knowledge task", "metrics", False)),
        ("seconds", "seconds", True),
    ]
    return (
        "<p>Each adapter by itself, the backbone frozen. Lines: training loss; dotted: loss on dev.</p>"
        + markup.table(columns, lines)
        + (markup.picture(figures.training(histories), "training-picture") if histories else "")
    )


def _runs(found: Sequence[Result], notebooks: Mapping[str, str]) -> str:
    columns: list[Column] = [
        *(("run", "id", False), ("seconds", "seconds", True), ("of processor", "processor", True)),
        *(("memory, GiB", "memory", True), ("seeds", "seeds_text", False), ("examples", "n", True)),
        *(("data", "data", False), ("backbone", "backbone", False)),
    ]
    lines = [
        {
            "id": _linked(run.id, notebooks.get(run.id)),
            "seconds": f"{run.data.get('wall_seconds') or 0:.0f}",
            "processor": _number(run, "processor_seconds", 0),
            "memory": _number(run, "peak_memory_gib", 1),
            "seeds_text": ", ".join(str(seed) for seed in run.data.get("seeds") or []),
            "n": run.data.get("n") if run.data.get("n") is not None else "",
            "data": str(run.data.get("data_hash") or "")[:10],
            "backbone": str(run.data.get("backbone_fingerprint") or "")[:10],
        }
        for run in found
    ]
    details = "".join(
        f"<details><summary>{escape(run.id)}</summary><pre>"
        f"{escape(json.dumps(run.data.get('parameters', {}), indent=1, ensure_ascii=False))}</pre></details>"
        for run in found
    )
    made = dict.fromkeys(
        json.dumps({key: run.data.get(key) for key in ("versions", "machine")}, indent=1, ensure_ascii=False)
        for run in found
    )
    where = "".join(f"<pre>{escape(text)}</pre>" for text in made)
    return (
        f"<details open><summary>The {len(found)} runs, each with its executed notebook</summary>"
        f"{markup.table(columns, lines)}</details>"
        f"<details><summary>Parameters of each run</summary>{details}</details>"
        f"<details><summary>Versions and machine</summary>{where}</details>"
    )


def _number(run: Result, key: str, digits: int) -> str:
    """A number of a run; "" in one of a former version, which does not tell it."""
    found = run.data.get(key)
    return "" if found is None else f"{found:.{digits}f}"


def _linked(text: str, notebook: str | None) -> str:
    """A run's name as a link to its executed notebook, where there is one."""
    if notebook is None:
        return text
    return Marked(f'<a href="{escape(quote(notebook))}" title="executed notebook">{escape(text)}</a>')


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
