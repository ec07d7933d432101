"""Sentences with a blank and linked mentions: the lines of the format `cloze`, each with `links`: `[[start, end, "Q1"],
...]`, characters of `text`, end exclusive, and the entity that stands there. `links` may be missing.

What EntityQuestions becomes for map-tuning (`kadapter graphs questions`). Raises as `cloze` does, and for a link that
is empty or outside the text.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.formats import cloze
from kadapter.formats.records import Record, is_text, json_lines, write_json_lines
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import LINKED_CLOZE as SCHEMA


def read(path: Path | str) -> Dataset:
    """The file's sentences in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for record in json_lines(path):
        columns = cloze.columns(record, rows.count)
        links = record.items("links", '[[start, end, "Q1"], ...]', default=[])
        rows.add(*columns, [_link(record, link, columns[2]) for link in links])
    return rows.dataset()


def _link(record: Record, link: object, text: str) -> dict:
    typed = type(link) is list and [type(part) for part in link] == [int, int, str]
    if type(link) is not list or not typed or not 0 <= link[0] < link[1] <= len(text) or not is_text(link[2]):
        raise record.error("links", link, f'[start, end, "Q1"] with 0 <= start < end <= {len(text)}')
    return dict(zip(("start", "end", "entity"), link, strict=True))


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the LINKED_CLOZE schema."""
    write_json_lines(path, map(_record, rows_of(dataset, SCHEMA)))


def _record(row: dict) -> dict:
    return row | {"links": [[link["start"], link["end"], link["entity"]] for link in row["links"]]}
