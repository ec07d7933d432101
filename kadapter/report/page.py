"""The report as one HTML page that needs no network: plotly.js and styles inside, every text from a run escaped."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import pandas as pd
from plotly.offline import get_plotlyjs

from kadapter.report import breakdown, continual, explain, facts, figures, markup, paper, shared
from kadapter.report.examples import Changed
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

STYLE = """
:root { color-scheme: light dark; --paper: #fdfdfc; --ink: #1d1f21; --soft: #5f6368; --line: #dcdcd8; --card: #f4f4f1;
  --good: #00694e; }
@media (prefers-color-scheme: dark) { :root { --paper: #17181a; --ink: #e6e6e3; --soft: #a2a6ab; --line: #36383b;
  --card: #212326; --good: #4cc9a0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2.2rem 1.4rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .2rem; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .5rem; padding-top: .9rem; border-top: 1px solid var(--line); }
p, li { max-width: 46rem; } .soft { color: var(--soft); } nav a { margin-right: 1.1rem; } a { color: inherit; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr)); gap: .9rem; margin: 1.4rem 0; }
.card { background: var(--card); border-radius: .6rem; padding: .9rem 1.1rem; }
.card b { display: block; font-size: 1.75rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card span { display: block; font-size: .86rem; color: var(--soft); }
.wide { overflow-x: auto; margin: .8rem 0 1.2rem; } .picture { min-width: 46rem; }
table { border-collapse: collapse; font-size: .92rem; }
th, td { padding: .28rem .85rem .28rem 0; text-align: left; vertical-align: top; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1.5px solid var(--ink); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
tr.first > td { border-top: 1px solid var(--line); } tbody tr:hover { background: var(--card); }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; } .cases td:nth-child(2) { white-space: normal; min-width: 22rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.2rem; max-width: 58rem; margin: .6rem 0; }
dt { font-weight: 600; } dd { margin: 0; } code { font-size: .9em; }
.sure { color: var(--good); font-weight: 600; }
details { margin: .35rem 0; } details details { margin-left: 1.2rem; } summary { cursor: pointer; }
pre { background: var(--card); padding: .8rem 1rem; border-radius: .5rem; overflow-x: auto; font-size: .82rem; }
.js-plotly-plot .main-svg text { fill: var(--ink) !important; } .js-plotly-plot .hoverlayer text { fill: inherit; }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"


def page(
    preset: str,
    *,
    table: pd.DataFrame,
    comparisons: pd.DataFrame,
    seed_scores: pd.DataFrame,
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
        table, comparisons, seed_scores, by_slice, by_label, beside_published, published_rows: as the functions of
            `report` with these names return.
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
        ("scores", "Scores", _scores(table, seed_scores)),
        ("continual", "One kind after another", "" if taught is None else continual.section(taught)),
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
    parts = [part for part in parts if part[2]]
    links = "".join(f'<a href="#{anchor}">{escape(title)}</a>' for anchor, title, _ in parts)
    sections = "".join(f'<h2 id="{anchor}">{escape(title)}</h2>\n{body}\n' for anchor, title, body in parts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(preset)} · K-Adapter report</title>
<style>{STYLE}</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<h1>{escape(preset)}</h1>
<p class="soft">What knowledge adapters beside a language model ({escape(_models(found))}) change: {len(found)} finished
runs, made {escape(explain.when(found))}. <a href="#runs">Where the numbers come from</a></p>
{_headline(comparisons, table)}
<nav>{links}</nav>
{sections}</body>
</html>
"""


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
        "<p>Percent, but for perplexity. Mean over seeds, standard deviation over seeds, and a 95% interval that "
        "resamples test examples and seeds; strokes in the picture are single seeds. A difference in "
        f'<span class="sure">green</span> has a corrected p below {SIGNIFICANT}.</p>'
        + markup.table(columns, lines, ("task", "regime", "metric"))
        + f"<p>{escape(explain.CAUTION)}</p>"
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
        *(("run", "id", False), ("seconds", "seconds", True), ("seeds", "seeds_text", False), ("examples", "n", True)),
        *(("data", "data", False), ("backbone", "backbone", False)),
    ]
    lines = [
        {
            "id": _linked(run.id, notebooks.get(run.id)),
            "seconds": f"{run.data.get('wall_seconds') or 0:.0f}",
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


def _linked(text: str, notebook: str | None) -> str:
    """A run's name as a link to its executed notebook, where there is one."""
    if notebook is None:
        return text
    return Marked(f'<a href="{escape(quote(notebook))}" title="executed notebook">{escape(text)}</a>')


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
