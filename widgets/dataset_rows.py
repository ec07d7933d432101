"""One example of each kind of dataset as HTML: spans highlighted, trees drawn, right answers marked."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from kadapter.drawing import arcs
from kadapter.world.facts import property_name
from widgets.sentence import sentence_html

LONGEST = 2000  # characters of one text that are shown
PARAGRAPHS = 5  # of a question that are shown
WORDS = 60  # a tree of more is shown as text


def row_html(row: Mapping[str, Any]) -> str:
    """A row of any of the tables of `kadapter.formats.schemas`; of another table, its columns and values."""
    return next(draw for columns, draw in KINDS if columns <= row.keys())(row)


def label_of(row: Mapping[str, Any]) -> str:
    """What the row's label or labels are, "" for a table without."""
    if isinstance(row.get("labels"), Sequence) and not isinstance(row.get("labels"), str):
        return ", ".join(map(str, row["labels"])) or "(none)"
    return str(row["label"]) if isinstance(row.get("label"), str) else ""


def _relation(row: Mapping[str, Any]) -> str:
    mentions = [[row["subj_start"], row["subj_end"], "subject"], [row["obj_start"], row["obj_end"], "object"]]
    facts = {
        "label": property_name(row["label"]),
        "subject": " ".join(filter(None, (row.get("subj_type"), row.get("subj_id")))),
        "object": " ".join(filter(None, (row.get("obj_type"), row.get("obj_id")))),
    }
    return _marked(row["text"], mentions) + _facts(facts)


def _typing(row: Mapping[str, Any]) -> str:
    linked = [f"{row['text'][e['start'] : e['end']]} = {e['id']}" for e in row.get("ents") or ()]
    facts = {"labels": label_of(row), "linked": ", ".join(linked)}
    return _marked(row["text"], [[row["start"], row["end"], "mention"]]) + _facts(facts)


def _tree(row: Mapping[str, Any]) -> str:
    if len(row["words"]) > WORDS:
        pairs = zip(row["words"], row["deprels"], row["heads"], strict=True)
        said = " ".join(f"{word}/{relation}({head})" for word, relation, head in pairs)
        return _text(said) + _facts({"words": len(row["words"])})
    picture = arcs.draw(row["words"], row["heads"], row["deprels"], row["upos"])
    return f'<div style="overflow-x: auto" tabindex="0" role="group" aria-label="dependency tree">{picture}</div>'


def _choice(row: Mapping[str, Any]) -> str:
    answers = "".join(
        f"<li>{'<b>' if i == row['label'] else ''}{escape(answer)}{'</b> ✓' if i == row['label'] else ''}</li>"
        for i, answer in enumerate(row["answers"])
    )
    end = _facts({"answer": "not given"}) if row["label"] < 0 else ""
    return f"{_text(row['context'])}<p><b>{escape(row['question'])}</b></p><ol start='0'>{answers}</ol>{end}"


def _openqa(row: Mapping[str, Any]) -> str:
    shown = "".join(f"<li>{_found(one, row['answers'])}</li>" for one in row["paragraphs"][:PARAGRAPHS])
    left = len(row["paragraphs"]) - PARAGRAPHS
    more = f"<p>… and {left} more paragraphs</p>" if left > 0 else ""
    facts = _facts({"answers": ", ".join(row["answers"]) or "(none)", "paragraphs": len(row["paragraphs"])})
    return f"<p><b>{escape(row['question'])}</b></p>{facts}<ol>{shown}</ol>{more}"


def _any(row: Mapping[str, Any]) -> str:
    return _facts({key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
                   for key, value in row.items() if key != "id"})  # fmt: skip


def _marked(text: str, mentions: list) -> str:
    last = max([LONGEST, *(end for _, end, _ in mentions)])
    return sentence_html(text[:last] + ("…" if len(text) > last else ""), mentions)


def _text(text: str) -> str:
    return f'<p class="kadapter-sentence" style="font-size: 14px">{escape(_short(text))}</p>'


def _found(paragraph: str, answers: Sequence[str]) -> str:
    """A paragraph with every occurrence of an answer marked."""
    paragraph, wanted = _short(paragraph), "|".join(re.escape(answer) for answer in answers if answer.strip())
    if not wanted:
        return escape(paragraph)
    pieces = re.split(f"({wanted})", paragraph, flags=re.IGNORECASE)
    return "".join(f"<u><b>{escape(p)}</b></u>" if i % 2 else escape(p) for i, p in enumerate(pieces))


def _facts(facts: Mapping[str, Any]) -> str:
    parts = [
        f"<b>{escape(key)}</b> {escape(_short(str(value)))}" for key, value in facts.items() if value not in ("", None)
    ]
    return f'<div style="overflow-wrap: anywhere">{" · ".join(parts)}</div>'


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


KINDS: list[tuple[set[str], Callable[[Mapping[str, Any]], str]]] = [  # columns that tell a kind; the first that fits
    ({"text", "subj_start", "subj_end", "obj_start", "obj_end", "label"}, _relation),
    ({"text", "start", "end", "labels"}, _typing),
    ({"words", "heads", "deprels", "upos"}, _tree),
    ({"context", "question", "answers", "label"}, _choice),
    ({"question", "answers", "paragraphs"}, _openqa),
    (set(), _any),
]
