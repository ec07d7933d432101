"""Sentences with a blank, one JSON object per line: `{"id", "relation", "text", "answer", "candidates"}`; [MASK] stands
in `text` where the answer was.

A line without [MASK] is plain text: its `relation` and `answer` are "". `candidates` may be missing: the whole
vocabulary is then to choose from. A line with several [MASK], or with one and without an answer, raises.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.formats.lama import MASK
from kadapter.formats.records import Record, json_lines, write_json_lines
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import CLOZE as SCHEMA


def read(path: Path | str) -> Dataset:
    """The file's sentences in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for record in json_lines(path):
        rows.add(*columns(record, rows.count))
    return rows.dataset()


def columns(record: Record, number: int) -> tuple[str, str, str, str, list[str]]:
    """A record's values in the schema's order; `number` is its position, from 0."""
    text, answer = record.text("text"), record.text("answer", default="")
    if text.count(MASK) > 1:
        raise record.wrong("text", f"one {MASK}, or none in plain text")
    if (MASK in text) != bool(answer):
        raise record.wrong("answer", f"an answer where the text has {MASK}, and none in plain text")
    candidates = record.strings("candidates") if record.data.get("candidates") is not None else []
    return record.text("id", default=str(number)), record.text("relation", default=""), text, answer, candidates


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the CLOZE schema."""
    write_json_lines(path, rows_of(dataset, SCHEMA))
