"""CosmosQA (Huang et al., 2019): questions about blog posts with four answers, section 4.3 and Table 3 of the paper.

`train.csv` and `valid.csv` have the columns `id,context,question,answer0,answer1,answer2,answer3,label`; `train.jsonl`,
`valid.jsonl` and `test.jsonl` have the same keys, an object per line. Which of the two a file is shows in its first
character.

`label` is "0" to "3" or such an integer; where it is missing, empty, null or -1 (the test set) it is -1. Line breaks in
a CSV field are read as they are. Other columns are not kept. Nothing is dropped. A missing column or key, a row with
too few or too many fields, a field over 131,072 characters, a quotation mark out of place, and a label that is no
answer's number raise.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import chunks, lines, replacing
from kadapter.formats.records import Record, dumps, json_lines
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import CHOICE as SCHEMA

_ANSWERS = ["answer0", "answer1", "answer2", "answer3"]
_COLUMNS = ["id", "context", "question", *_ANSWERS]
_LABELS = {str(i): i for i in range(-1, 4)} | {i: i for i in range(-1, 4)} | {"": -1, None: -1}


def read(path: Path | str) -> Dataset:
    """The file's questions in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for record in json_lines(path) if _is_json(path) else _csv_records(path):
        label = record.data.get("label", "")
        if type(label) not in (str, int, type(None)) or label not in _LABELS:
            raise record.wrong("label", "0, 1, 2 or 3, or no label")
        id, context, question, *answers = map(record.text, _COLUMNS)
        rows.add(id, context, question, answers, _LABELS[label])
    return rows.dataset()


def _is_json(path: Path) -> bool:
    start = next(chunks(path), "")
    return start.lstrip().startswith("{")


def _csv_records(path: Path) -> Iterator[Record]:
    reader = csv.reader((line + "\n" for _, line in lines(path, keep_cr=True)), strict=True)
    header: list[str] = []
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FormatError(
                path, f"line {number}", "CSV", str(error), "fields between commas, quoted as needed"
            ) from None
        if not fields:
            continue
        if not header:
            header = fields
            missing = [name for name in _COLUMNS if name not in header]
            if missing:
                raise FormatError(path, f"line {number}", "header", fields, f"a column {missing[0]!r}")
        elif len(fields) != len(header):
            raise FormatError(path, f"line {number}", "fields", len(fields), f"{len(header)}, as in the header")
        else:
            yield Record(path, "line", number, dict(zip(header, fields, strict=True)))


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the CHOICE schema, as CSV when the name ends in .csv or .csv.gz, else as JSON lines.

    Raises KAdapterError for a row without exactly four answers.
    """
    path = Path(path)
    with replacing(path) as file:
        if path.name.removesuffix(".gz").endswith(".csv"):
            writer = csv.DictWriter(file, [*_COLUMNS, "label"], lineterminator="\r\n")
            writer.writeheader()
            writer.writerows(map(_record, rows_of(dataset, SCHEMA)))
        else:
            file.writelines(dumps(_record(row)) + "\n" for row in rows_of(dataset, SCHEMA))


def _record(row: dict) -> dict:
    if len(row["answers"]) != 4 or not -1 <= row["label"] <= 3:
        found = f"{len(row['answers'])} answers and label {row['label']}"
        raise KAdapterError(f"row {row['id']!r} has {found}; expected 4 answers and a label from -1 to 3")
    record = {name: row[name] for name in _COLUMNS[:3]} | dict(zip(_ANSWERS, row["answers"], strict=True))
    return record | ({"label": str(row["label"])} if row["label"] >= 0 else {})
