"""The layout of thunlp/OpenQA (Lin et al., 2018) for SearchQA and Quasar-T, section 4.3 and Table 3 of the paper.

Two files per split. `dev.txt`: one JSON object per line, `{"question": "...", "answers": ["..."]}`. `dev.json`: on the
same line number a JSON list of `{"question": [tokens], "document": [tokens]}`, the paragraphs that a search engine
found for that question, up to 100. Strings in the place of token lists occur and are read as they are.

`id` is the line's position, from 0: the files have none, so `write` keeps no other. A paragraph is its tokens joined by
spaces; one of 5 tokens or fewer is dropped and counted, as the official code does. A question whose paragraphs are all
gone stays. The question is the one of `.txt`; one file of the pair may be gzipped and the other not. `answers` may be
empty. A missing field, a wrong type, a missing file of the pair, and files of different length raise.
"""

import sys
from itertools import zip_longest
from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import NOTHING, replacing
from kadapter.formats.records import Record, dumps, line_values
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import OPENQA as SCHEMA

SHORT = 5  # tokens; a paragraph needs more than these


def read(path: Path | str) -> Dataset:
    """The split's questions in their order, from either file of the pair; raises FormatError for a broken one."""
    questions, documents = map(_there, pair(Path(path)))
    for file in (questions, documents):
        if not file.exists():
            raise KAdapterError(f"{file} does not exist; expected the pair {questions.name} and {documents.name}")
    rows = Rows(path, SCHEMA)
    end = (sys.maxsize, NOTHING)  # no file has such a line
    for (at, question), (number, found) in zip_longest(line_values(questions), line_values(documents), fillvalue=end):
        if at != number:
            has, lacks = (questions, documents) if at < number else (documents, questions)
            line = min(at, number)
            raise FormatError(lacks, f"line {line}", "record", NOTHING, f"a record for line {line} of {has.name}")
        record = Record(questions, "line", at, question)
        if type(found) is not list:
            raise FormatError(documents, f"line {number}", "record", found, "a list of paragraphs")
        paragraphs = [
            _text(Record(documents, "line", number, one, f"[{i}]."), "document") for i, one in enumerate(found)
        ]
        kept = [paragraph for paragraph in paragraphs if len(paragraph.split()) > SHORT]
        if len(kept) < len(paragraphs):
            rows.drop(f"paragraph of {SHORT} tokens or fewer", len(paragraphs) - len(kept))
        rows.add(str(rows.count), _text(record, "question"), record.strings("answers"), kept)
    return rows.dataset()


def pair(path: Path) -> tuple[Path, Path]:
    """The .txt and the .json file of the split that either of them names, gzipped if that one is.

    >>> pair(Path("quasart/dev.json"))
    (PosixPath('quasart/dev.txt'), PosixPath('quasart/dev.json'))
    """
    gz = ".gz" if path.suffix == ".gz" else ""
    plain = path.with_suffix("") if gz else path
    if plain.suffix not in (".txt", ".json"):
        raise KAdapterError(f"{path}: expected a file whose name ends in .txt or .json (or with .gz after it)")
    return plain.with_suffix(f".txt{gz}"), plain.with_suffix(f".json{gz}")


def _there(file: Path) -> Path:
    """The file, or where there is none the one that differs in being gzipped."""
    other = file.with_suffix("") if file.suffix == ".gz" else file.with_name(f"{file.name}.gz")
    return other if other.exists() and not file.exists() else file


def _text(record: Record, key: str) -> str:
    if type(record.data.get(key)) is list:
        return " ".join(record.strings(key))
    return record.text(key)


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the OPENQA schema to both files of the pair that `path` names one of."""
    questions, documents = pair(Path(path))
    with replacing(documents) as paragraphs, replacing(questions) as file:
        for row in rows_of(dataset, SCHEMA):
            tokens = row["question"].split()
            file.write(dumps({"question": row["question"], "answers": row["answers"]}) + "\n")
            found = [{"question": tokens, "document": paragraph.split(" ")} for paragraph in row["paragraphs"]]
            paragraphs.write(dumps(found) + "\n")
