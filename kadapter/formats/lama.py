"""LAMA (Petroni et al., 2019), the probes of factual knowledge (early version of the paper): facts with masked
sentences.

One JSON object per line, in four layouts, told apart by their keys. T-REx (`P19.jsonl`): `{"uuid", "obj_uri",
"obj_label", "sub_uri", "sub_label", "predicate_id", "evidences": [{"sub_surface", "obj_surface", "masked_sentence"}]}`.
Google-RE: `{"pred": "/people/person/place_of_birth", "sub_w", "sub_label", "obj_w", "obj_label", "uuid",
"masked_sentences": [...]}` and more. ConceptNet: `{"sub", "obj", "pred", "masked_sentences", "obj_label", "uuid"}`.
SQuAD: `{"masked_sentences", "obj_label", "id", "sub_label"}`. `[MASK]` stands where the object was.

A row is one fact; ids that a layout does not have or gives as null are "", and so is the relation of SQuAD. Surfaces
are the labels where the layout gives none. Other keys are not kept. `write` writes T-REx's layout, whatever was read.
`relations` reads `relations.jsonl`. `examples` restores T-REx's sentences to records of T-REx-rc. A missing field and a
wrong type raise.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError
from kadapter.formats.records import Record, json_lines, write_json_lines
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import PROBE as SCHEMA

MASK = "[MASK]"
RELATION_FIELDS = ("relation", "template", "label", "description", "type")

BROKEN_FACT = "broken fact"  # a field missing or of the wrong type; counts as one sentence
NO_MASK = "not exactly one [MASK]"
NO_OBJECT = "empty object"
NO_SUBJECT = "subject not in the sentence"
MISALIGNED = "subject inside a word"
DUPLICATE = "duplicate"  # a fact's sentence again, as another surface of its subject was found in it

_WORD = re.compile(r"\w+(?:['’.-]\w+)*|[^\w\s]")  # don't, U.S, 1.5 and well-known are one token


def read(path: Path | str) -> Dataset:
    """The file's facts in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for record in json_lines(path):
        rows.add(*_fact(record))
    return rows.dataset()


def _fact(record: Record) -> tuple:
    if "predicate_id" in record.data:
        sentences = []
        for i, value in enumerate(record.items("evidences", "a list of evidences")):
            evidence = Record(record.file, record.unit, record.number, value, f"evidences[{i}].")
            keys = {"text": "masked_sentence", "subject": "sub_surface", "object": "obj_surface"}
            sentences.append({column: evidence.text(key) for column, key in keys.items()})
        names = ("uuid", "predicate_id", "sub_label", "obj_label", "sub_uri", "obj_uri")
        return *map(record.text, names), sentences
    if "pred" in record.data:
        google = "sub_label" in record.data
        id, relation = record.text("uuid"), record.text("pred")
        subject, object = record.text("sub_label" if google else "sub"), record.text("obj_label")
        ids = [record.text(key) if record.data.get(key) is not None else "" for key in ("sub_w", "obj_w")]
    else:
        id, relation, ids = record.text("id"), "", ["", ""]
        subject, object = record.text("sub_label"), record.text("obj_label")
    masked = record.strings("masked_sentences")
    return id, relation, subject, object, *ids, [{"text": t, "subject": subject, "object": object} for t in masked]


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the PROBE schema in the layout of LAMA's T-REx."""
    write_json_lines(path, map(_record, rows_of(dataset, SCHEMA)))


def _record(row: dict) -> dict:
    return {
        "uuid": row["id"], "obj_uri": row["obj_id"], "obj_label": row["object"], "sub_uri": row["subj_id"],
        "sub_label": row["subject"], "predicate_id": row["relation"],
        "evidences": [
            {"sub_surface": one["subject"], "obj_surface": one["object"], "masked_sentence": one["text"]}
            for one in row["sentences"]
        ],
    }  # fmt: skip


def rejected(path: Path | str) -> set[str]:
    """Ids of Google-RE's facts that more raters reject ("no") than accept; LAMA's code leaves them out."""
    found = set()
    for record in json_lines(Path(path)):
        given = Counter(j.get("judgment") for j in record.items("judgments", "a list of judgments", []) if j)
        if given["no"] > given["yes"]:
            found.add(record.text("uuid"))
    return found


def relations(path: Path | str) -> dict[str, dict[str, str]]:
    """`relations.jsonl`: relation -> its `template` ("[X] was born in [Y] ."), `label`, `description` and `type`.

    Raises FormatError for a broken line, a template without [X] or [Y], and a relation that comes twice.
    """
    found: dict[str, dict[str, str]] = {}
    for record in json_lines(Path(path)):
        relation, template, label, *more = (
            record.text(key, default="" if key in ("description", "type") else None) for key in RELATION_FIELDS
        )
        if relation in found:
            raise record.wrong("relation", "each relation once")
        if template.count("[X]") != 1 or template.count("[Y]") != 1:
            raise record.wrong("template", "one [X] and one [Y]")
        found[relation] = {"template": template, "label": label, "description": more[0], "type": more[1]}
    if not found:
        raise FormatError(path, "file", "records", 0, "at least one relation")
    return found


def negated_templates(path: Path | str) -> dict[str, str]:
    """Relation -> its `template_negated`, of the relations that have one (later files of LAMA do)."""
    found = {}
    for record in json_lines(Path(path)):
        if record.data.get("template_negated"):
            found[record.text("relation")] = record.text("template_negated")
    return found


def write_relations(table: dict[str, dict[str, str]], path: Path | str) -> None:
    """Writes what `relations` reads."""
    write_json_lines(path, ({"relation": relation} | row for relation, row in table.items()))


def examples(path: Path, counts: Counter[str]) -> Iterator[tuple[str, object]]:
    """("", record of T-REx-rc) for every sentence of LAMA's T-REx in which the subject is found, (reason, FormatError
    or None) for the others. The object is put back for [MASK]; the subject is its surface's first occurrence.

    Adds up `documents` (facts) and `triples` (their sentences) in `counts`.
    """
    seen = set()
    for record in json_lines(path):
        counts["documents"] += 1
        try:
            record.text("predicate_id")
            _, relation, _, _, *ids, sentences = _fact(record)
        except FormatError as error:
            counts["triples"] += 1
            yield BROKEN_FACT, error
            continue
        counts["triples"] += len(sentences)
        for one in sentences:
            key = (relation, *ids, one["text"])
            if key in seen:
                yield DUPLICATE, None
                continue
            reason, found = restore(**one)
            if found is not None:
                seen.add(key)
                found |= {"docid": ids[0], "relation": relation, "subj_label": ids[0], "obj_label": ids[1]}
            yield reason, found


def restore(text: str, subject: str, object: str) -> tuple[str, dict | None]:
    """Tokens and token positions (end inclusive) of a masked sentence with its object put back, or why there are none.

    >>> restore("Ada was born in [MASK].", "Ada", "London")[1]["token"]
    ['Ada', 'was', 'born', 'in', 'London', '.']
    """
    if text.count(MASK) != 1:
        return NO_MASK, None
    if not object.strip():
        return NO_OBJECT, None
    before, after = text.split(MASK)
    places = [m.start() for m in re.finditer(re.escape(subject), before)] if subject.strip() else []
    shift = len(before) + len(object)
    places += [shift + m.start() for m in re.finditer(re.escape(subject), after)] if subject.strip() else []
    if not places:
        return NO_SUBJECT, None
    whole = before + object + after
    free = [start for start in places if not _inside_word(whole, start, start + len(subject))]
    if not free:
        return MISALIGNED, None
    spans = [(free[0], free[0] + len(subject)), (len(before), shift)]
    borders = sorted({0, len(whole)}.union(*spans))  # a span is whole tokens, whatever stands beside it
    tokens, starts = [], []
    for a, b in zip(borders, borders[1:], strict=False):
        for match in _WORD.finditer(whole, a, b):
            tokens.append(match.group())
            starts.append(match.start())
    found = [(bisect_left(starts, start), bisect_left(starts, end) - 1) for start, end in spans]
    names = ("subj_start", "subj_end", "obj_start", "obj_end")
    return "", {"token": tokens} | dict(zip(names, (*found[0], *found[1]), strict=True))


def _inside_word(text: str, start: int, end: int) -> bool:
    """Whether a span begins or ends within a word."""
    return any(0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum() for at in (start, end))
