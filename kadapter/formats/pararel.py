"""ParaRel (Elazar et al., 2021): pairs of a relation in LAMA's T-REx, and several patterns that say the relation.

`trex_lms_vocab/P19.jsonl`: one `{"sub_label": "Allan Peiper", "obj_label": "Alexandra", "uuid": "..."}` a line; the
relation is the file's name. `pattern_data/graphs_json/P19.jsonl`: one `{"pattern": "[X] was born in [Y].", "lemma",
"extended_lemma", "tense"}` a line, the first of which is LAMA's own wording.

A row is one pair; it has no ids of its entities and no sentences. A missing field and a wrong type raise.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError
from kadapter.formats.records import json_lines, write_json_lines
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import PROBE as SCHEMA


def read(path: Path | str) -> Dataset:
    """The file's pairs in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    relation = path.name.split(".")[0]
    for record in json_lines(path):
        id, subject, object = map(record.text, ("uuid", "sub_label", "obj_label"))
        rows.add(id, relation, subject, object, "", "", [])
    return rows.dataset()


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes the pairs of rows of the PROBE schema; the relation is left to the file's name."""
    fields = {"sub_label": "subject", "obj_label": "object", "uuid": "id"}
    write_json_lines(path, ({key: row[name] for key, name in fields.items()} for row in rows_of(dataset, SCHEMA)))


def patterns(path: Path | str) -> list[str]:
    """A relation's patterns, LAMA's own first. Raises FormatError for one without [X] or [Y], and for an empty file."""
    found = []
    for record in json_lines(Path(path)):
        pattern = record.text("pattern")
        if pattern.count("[X]") != 1 or pattern.count("[Y]") != 1:
            raise record.wrong("pattern", "one [X] and one [Y]")
        found.append(pattern)
    if not found:
        raise FormatError(path, "file", "records", 0, "at least one pattern")
    return found
