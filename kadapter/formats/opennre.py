"""The OpenNRE format (Han et al., 2019), in which Wiki80 is published: 80 Wikidata relations in Wikipedia sentences.

One JSON object per line: `{"token": [...], "h": {"name", "id", "pos": [start, end]}, "t": {...}, "relation":
"country"}`; `pos` counts tokens, end exclusive. Some releases add a `type` to h and t, some leave out `id`; both may be
missing.

`id` is the record's position, from 0: the file has none, so `write` keeps no other. `name` is not kept (in Wiki80 it is
the lower-cased text of the span); `write` puts the text of the span. Empty lines are skipped. A missing field, a wrong
type, a position outside the tokens raises.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.formats.records import Record, json_lines, write_json_lines
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import RELATION as SCHEMA
from kadapter.formats.spans import char_span, token_ends, token_spans


def read(path: Path | str) -> Dataset:
    """The file's records in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for record in json_lines(path):
        tokens, text = record.tokens("token")
        ends = token_ends(tokens)
        head, tail = record.child("h"), record.child("t")
        spans = *_span(head, tokens, ends), *_span(tail, tokens, ends)
        ids = head.text("id", ""), tail.text("id", "")
        types = head.text("type", ""), tail.text("type", "")
        rows.add(str(rows.count), text, *spans, record.text("relation"), *ids, *types, tokens)
    return rows.dataset()


def _span(entity: Record, tokens: list[str], ends: list[int]) -> tuple[int, int]:
    start, end = entity.integers("pos", 2)
    return char_span(entity, f"{entity.prefix}pos", tokens, ends, start, end - 1)


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the RELATION schema; rows without tokens are cut at white space and at the borders of spans."""
    write_json_lines(path, map(_record, rows_of(dataset, SCHEMA)))


def _record(row: dict) -> dict:
    subj, obj = (row["subj_start"], row["subj_end"]), (row["obj_start"], row["obj_end"])
    tokens, [head, tail] = token_spans(row["text"], row["tokens"], [subj, obj])
    return {
        "token": tokens,
        "h": _entity(row["text"][slice(*subj)], row["subj_id"], head, row["subj_type"]),
        "t": _entity(row["text"][slice(*obj)], row["obj_id"], tail, row["obj_type"]),
        "relation": row["label"],
    }


def _entity(name: str, id: str, span: tuple[int, int], type: str) -> dict:
    return {"name": name, "id": id, "pos": list(span)} | ({"type": type} if type else {})
