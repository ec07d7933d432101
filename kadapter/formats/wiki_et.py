"""Wiki-ET (Xin et al., 2018) as Knowledge-Plugin has it (Zhang et al., 2023): typing of mentions that are linked.

One JSON object per line: `{"sent": "...", "start": 4, "end": 11, "labels": ["/person", ...], "id": "1543"}`; offsets
count characters of `sent`, end exclusive; `id` is the mention's entity, in the published files the number of its row in
the entity embeddings (`kadapter.graphs.linking.linked(..., rows=True)`), a string or an integer.

The entity becomes the row's one link in `ents`, none where `id` is missing or "". The row's own `id` is the record's
position, from 0: the file has none, so `write` keeps no other, and of the links that of the mention alone. A missing
field, a wrong type, a mention that is empty or outside the sentence raises.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.formats.records import Record, json_lines, write_json_lines
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import TYPING as SCHEMA


def read(path: Path | str) -> Dataset:
    """The file's records in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for record in json_lines(path):
        text, start, end = record.text("sent"), record.integer("start"), record.integer("end")
        if not 0 <= start < end <= len(text):
            raise record.error("start, end", (start, end), f"0 <= start < end <= {len(text)}, characters of sent")
        entity = _entity(record)
        ents = [{"id": entity, "start": start, "end": end, "score": 1.0}] if entity else []
        rows.add(str(rows.count), text, start, end, record.strings("labels"), ents)
    return rows.dataset()


def _entity(record: Record) -> str:
    if type(record.data.get("id")) is int:
        return str(record.integer("id"))
    return record.text("id", default="")


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the TYPING schema."""
    write_json_lines(path, map(_record, rows_of(dataset, SCHEMA)))


def _record(row: dict) -> dict:
    span = (row["start"], row["end"])
    ids = [ent["id"] for ent in row["ents"] if (ent["start"], ent["end"]) == span]
    columns = {"sent": row["text"], "start": row["start"], "end": row["end"], "labels": row["labels"]}
    return columns | ({"id": ids[0]} if ids else {})
