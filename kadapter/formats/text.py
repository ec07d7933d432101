"""Plain text, one text a line (WikiText, any corpus); empty lines and headings (`= Title =`) are no texts."""

import re
from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import lines, replacing
from kadapter.formats.lama import MASK
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import CLOZE as SCHEMA

_HEADING = re.compile(r"\s*= .* =\s*")


def read(path: Path | str) -> Dataset:
    """The file's texts in their order, without the space around them; raises FormatError for one with [MASK]."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for number, line in lines(path):
        if MASK in line:
            raise FormatError(path, f"line {number}", "text", line, f"plain text, without {MASK}")
        if line.strip() and not _HEADING.fullmatch(line):
            rows.add(str(rows.count), "", line.strip(), "", [])
    return rows.dataset()


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the CLOZE schema without [MASK]; a line end within a text becomes a space."""
    with replacing(path) as file:
        for row in rows_of(dataset, SCHEMA):
            if MASK in row["text"]:
                raise KAdapterError(f"record {row['id']}: found {MASK}; expected plain text")
            file.write(re.sub(r"\r?\n", " ", row["text"]) + "\n")
