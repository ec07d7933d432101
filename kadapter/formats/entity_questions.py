"""EntityQuestions (Sciavolino et al., 2021): simple questions made from Wikidata's facts, a JSON list of
`{"question": "Where was Michael Jack born?", "answers": ["Folkestone"]}` for each relation and split
(`P19.dev.json`), and `relation_query_templates.json`, relation -> the question with [X] for its subject.

`id` is the record's position, from 0: the files have none, so `write` keeps no other. There are no paragraphs. A
missing field, a wrong type and a question without answers raise.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError
from kadapter.formats.records import Record, json_list, json_whole, write_json_list
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


def templates(path: Path | str) -> dict[str, str]:
    """Relation -> the question with [X] for its subject. Raises FormatError for a question without one [X]."""
    path = Path(path)
    table = Record(path, "file", 1, json_whole(path)).data
    for relation, question in table.items():
        if type(question) is not str or question.count("[X]") != 1:
            raise FormatError(path, "file", relation, question, "a question with one [X]")
    return table


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the OPENQA schema without their paragraphs."""
    write_json_list(path, ({key: row[key] for key in ("question", "answers")} for row in rows_of(dataset, SCHEMA)))
