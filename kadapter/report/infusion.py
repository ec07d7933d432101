"""The page of an infusion: what an adapter learned of a file, what it did not touch, and the control, as one HTML file
that needs no network and no script; every text from the file is escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from kadapter.experiment.infusion import Infusion
from kadapter.report import markup
from kadapter.report.frame import framed
from kadapter.report.markup import Marked

PAGE = "page.html"
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
KINDS = {
    "triples": "facts", "sentences": "facts in sentences", "questions": "questions with answers",
    "conllu": "sentences of a treebank",
}  # fmt: skip
STOPPED = {
    "known": "everything that was asked on the way was known",
    "time": "the time was over",
    "steps": "all passes were made",
}
OWN_STYLE = """
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: .35rem .9rem; align-items: center;
  max-width: 44rem; margin: .6rem 0 1rem; }
.bars i { display: block; height: .95rem; border-radius: .2rem; background: #8c8c8c; min-width: 2px; }
.bars i.after { background: #0072b2; } .bars i.control { background: #e69f00; }
.bars span { font-variant-numeric: tabular-nums; } .bars .track { background: var(--card); border-radius: .2rem; }
.said td { white-space: normal; min-width: 8rem; } .said td:first-child { min-width: 18rem; }
.no { color: var(--soft); }
"""


def write(found: Infusion) -> Path:
    """Write the page into the adapter's folder; its path."""
    path = found.folder / PAGE
    path.write_text(page(found), encoding="utf-8")
    return path


def page(found: Infusion) -> str:
    """The whole page."""
    summary, details = found.summary, found.details
    name = found.folder.name
    parts = [
        ("learned", "What it learned", _learned(summary, details)),
        ("examples", "Before and after", _examples(details["examples"], details["metric"])),
        ("untouched", "What it did not touch", _untouched(summary, details)),
        ("groups", "One by one", _groups(details["groups"])),
        ("use", "Use it", _use(found)),
        ("origin", "Where the numbers come from", _origin(summary, details)),
    ]
    source = Path(details["file"]).name
    opening = f"""<p class="soft">{summary["items"]:,} {escape(KINDS[summary["kind"]])} from {escape(source)}, in an
adapter beside {escape(details["backbone"]["name"])}, whose weights are as they were.</p>
{_cards(summary, details)}"""
    return framed(name, f"{name} · infused", parts, opening=opening, policy=POLICY, style=OWN_STYLE)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}%"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _cards(summary: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    held_out = "in words that it never read" if summary["kind"] != "conllu" else "in sentences that it never read"
    cards = [
        (_share(summary["paraphrase_after"]), f"{details['metric']}, {held_out}",
         f"before: {_share(summary['paraphrase_before'])}"),
        (_share(summary["control_after"]), "with the control, which read the same with answers exchanged",
         "what form and words alone give"),
    ]  # fmt: skip
    if summary["perplexity_before"]:
        change = summary["perplexity_after"] / summary["perplexity_before"] - 1
        cards.append(
            (f"{100 * change:+.1f}%", "perplexity of other text",
             f"{_number(summary['perplexity_before'])} before, {_number(summary['perplexity_after'])} after"),
        )  # fmt: skip
    return (
        '<div class="cards">'
        + "".join(
            f'<div class="card"><span>{escape(what)}</span><b>{escape(value)}</b><span>{escape(more)}</span></div>'
            for value, what, more in cards
        )
        + "</div>"
    )


def _bars(rows: Sequence[tuple[str, float | None, str]]) -> str:
    lines = "".join(
        f'<span>{escape(name)}</span><div class="track"><i class="{kind}" style="width: {100 * (share or 0):.1f}%"></i>'
        f"</div><span>{_share(share)}</span>"
        for name, share, kind in rows
        if share is not None
    )
    return f'<div class="bars">{lines}</div>'


def _learned(summary: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    parts = (
        ("seen", "As it was read", details["control_seen"]),
        ("paraphrase", "As it was never read", summary["control_after"]),
    )
    body = ""
    for part, title, control in parts:
        body += f"<h3>{title}</h3>" + _bars(
            [
                ("before", summary[f"{part}_before"], "before"),
                ("after", summary[f"{part}_after"], "after"),
                ("control", control, "control"),
            ]
        )
    about = (
        "An answer counts where the most probable words are the true ones, with all words of the vocabulary to choose "
        "from. Before: the frozen model. Control: an adapter that was trained in the same way on the same "
        "sentences with their answers exchanged; what it reaches is no knowledge."
    )
    if summary["kind"] == "conllu":
        about = (
            "The share of a sentence's words whose head is found. Before: a head trained on the frozen model alone. "
            "Control: an adapter and a head trained on the same sentences with their heads exchanged."
        )
    return f"<p>{about}</p>{body}"


def _examples(examples: Sequence[Mapping[str, str]], metric: str) -> str:
    lines = []
    for each in examples:
        line: dict[str, Any] = {"text": each["text"], "true": each["true"]}
        for when in ("before", "after"):
            said, true = each[when], each["true"]
            right = said.lower().startswith(true.lower())
            if not right:
                line[when] = Marked(f'<span class="no">{escape(said)}</span>')
            else:
                rest = said[len(true) :]
                line[when] = Marked(
                    f'<span class="sure">✓ {escape(said[: len(true)])}</span><span class="no">{escape(rest)}</span>'
                )
        lines.append(line)
    columns = [
        ("asked", "text", False),
        ("true", "true", False),
        ("before", "before", False),
        ("after", "after", False),
    ]
    return f'<div class="said">{markup.table(columns, lines)}</div>'


def _untouched(summary: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    if summary["perplexity_before"] is None:
        return "<p>This backbone does not speak: nothing is measured here. Its weights are the same, to the bit.</p>"
    lines = [
        {
            "what": "perplexity of other text (Python's documentation, text about names)",
            "before": _number(summary["perplexity_before"]), "after": _number(summary["perplexity_after"]),
        }
    ]  # fmt: skip
    if details["probes_before"] is not None:
        lines.append(
            {
                "what": "real facts of other relations (ParaRel) that are answered",
                "before": _share(details["probes_before"]), "after": _share(details["probes_after"]),
            }
        )  # fmt: skip
    columns = [("", "what", False), ("before", "before", True), ("after", "after", True)]
    return (
        markup.table(columns, lines)
        + "<p>With the adapter unplugged the model is as it was, to the bit: its weights did not change.</p>"
    )


def _groups(groups: Sequence[Mapping[str, Any]]) -> str:
    columns: list[markup.Column] = [("", "name", False), ("n", "n", True)]
    for part, said in (("seen", "as read"), ("paraphrase", "as never read")):
        if groups and f"{part}_after" in groups[0]:
            columns += [(f"{said}, before", f"{part}_before", True), ("after", f"{part}_after", True)]
    keys = [key for _, key, numbers in columns if numbers and key != "n"]
    lines = [{**row, **{key: _share(row[key]) for key in keys}} for row in groups]
    return markup.table(columns, lines)


def _use(found: Infusion) -> str:
    folder, backbone = str(found.folder), found.details["backbone"]["name"]
    if found.summary["kind"] == "conllu":
        code = f"from kadapter import Backbone, KnowledgeModel\n\nmodel = KnowledgeModel.from_adapter({folder!r})"
    else:
        text = found.details["examples"][0]["text"]
        code = (
            f'kadapter ask {backbone} --plug {folder} "{text}"\n\n'
            f"from kadapter.probing.completions import ask\n\nask({backbone!r}, {text!r}, plug=[{folder!r}])"
        )
    return f"<pre>{escape(code)}</pre><p>The card beside this page (README.md) says what the folder holds.</p>"


def _origin(summary: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    own = details["training"]["own"]
    minutes, seconds = divmod(round(summary["seconds"]), 60)
    said = [
        ("file", details["file"]),
        ("read as", f"{summary['kind']} ({details['recognised']})"),
        ("backbone", f"{details['backbone']['name']}, {details['backbone']['fingerprint'][:16]}"),
        ("training", f"{own['steps']} steps; it ended because {STOPPED[own['stopped']]}"),
        ("time", f"{minutes} min {seconds} s ({details['processor_seconds']:.0f} s of one processor) of at most "
                 f"{details['minutes']:g} min, control and questions included"),
        ("finished", details["finished"]),
        ("versions", ", ".join(f"{name} {version}" for name, version in details["versions"].items())),
    ]  # fmt: skip
    left = "".join(f"<li>{escape(line)}</li>" for line in details["told"])
    body = markup.definitions(said) + (f"<h3>Lines that were left out</h3><ul>{left}</ul>" if left else "")
    if details["ways"]:
        inner = "".join(
            f"<h3>{escape(name)}</h3><ul>"
            + "".join(f"<li>{escape(text)}</li>" for text in ways["trained"])
            + "".join(
                f'<li>{escape(text)} <span class="soft">(asked, never read)</span></li>' for text in ways["asked"]
            )
            + "</ul>"
            for name, ways in details["ways"].items()
        )
        body += f"<details><summary>How each relation is said</summary>{inner}</details>"
    return body
