"""EntityQuestions (Sciavolino et al., 2021): simple questions made from Wikidata's facts, a JSON list of
`{"question": "Where was Michael Jack born?", "answers": ["Folkestone"]}` for each relation and split
(`P19.dev.json`).

`id` is the record's position, from 0: the files have none, so `write` keeps no other. There are no paragraphs. A
missing field, a wrong type and a question without answers raise.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.formats.records import json_list, write_json_list
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import OPENQA as SCHEMA


def read(path: Path | str) -> Dataset:
    """The file's questions in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for record in json_list(path):
        question, answers = record.text("question"), record.strings("answers")
        if not answers:
            raise record.wrong("answers", "at least one answer")
        rows.add(str(rows.count), question, answers, [])
    return rows.dataset()


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the OPENQA schema without their paragraphs."""
    write_json_list(path, ({key: row[key] for key in ("question", "answers")} for row in rows_of(dataset, SCHEMA)))
