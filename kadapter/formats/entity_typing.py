"""Entity typing as ERNIE's authors split it (Zhang et al., 2019): OpenEntity and FIGER of the paper's section 4.2,
Table 2.

`train.json`, `dev.json`, `test.json`: a JSON list of `{"sent": "The British ...", "start": 55, "end": 64, "labels":
["person"], "ents": [["Q849763", 4, 11, 0.12], ...]}`; offsets count characters of `sent`, end exclusive. `labels` may
be empty or several.

`id` is the record's position, from 0: the file has none, so `write` keeps no other. `ents` are links that TAGME found,
with their confidence; a record without them has an empty list, and a link outside the sentence is dropped and counted.
A missing field, a wrong type, a mention that is empty or outside the sentence raises.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.formats.records import Record, is_text, json_list, write_json_list
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import TYPING as SCHEMA

_LINKS = [str, int, int, float], [str, int, int, int]


def read(path: Path | str) -> Dataset:
    """The file's records in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for record in json_list(path):
        text, start, end = record.text("sent"), record.integer("start"), record.integer("end")
        if not 0 <= start < end <= len(text):
            raise record.error("start, end", (start, end), f"0 <= start < end <= {len(text)}, characters of sent")
        links = record.items("ents", "a list of links", default=[])
        ents = [_link(record, link) for link in links]
        inside = [ent for ent in ents if 0 <= ent["start"] < ent["end"] <= len(text)]
        if len(inside) < len(ents):
            rows.drop("entity link outside its sentence", len(ents) - len(inside))
        rows.add(str(rows.count), text, start, end, record.strings("labels"), inside)
    return rows.dataset()


def _link(record: Record, link: object) -> dict:
    typed = type(link) is list and [type(part) for part in link] in _LINKS
    if type(link) is not list or not typed or not is_text(link[0]) or max(map(abs, link[1:])) >= 2**31:
        raise record.error("ents", link, '["Q849763", start, end, score]')
    return {"id": link[0], "start": link[1], "end": link[2], "score": float(link[3])}


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the TYPING schema."""
    write_json_list(path, map(_record, rows_of(dataset, SCHEMA)))


def _record(row: dict) -> dict:
    ents = [[ent["id"], ent["start"], ent["end"], ent["score"]] for ent in row["ents"]]
    return {"sent": row["text"], "start": row["start"], "end": row["end"], "labels": row["labels"], "ents": ents}
