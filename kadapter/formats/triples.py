"""Knowledge graphs as their benchmarks have them (FB15k-237, WN18RR, CoDEx): `head<TAB>relation<TAB>tail` lines, each
usually an id.

`id` is the record's position, from 0: the file has none, so `write` keeps no other. Empty lines are skipped. A line
without three columns or with an empty one raises.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import lines, replacing
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import TRIPLE as SCHEMA

_COLUMNS = ("head", "relation", "tail")


def read(path: Path | str) -> Dataset:
    """The file's triples in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for number, line in lines(path):
        if line and not line.isspace():
            columns = line.split("\t")
            if len(columns) != 3 or not all(columns):
                raise FormatError(path, f"line {number}", "columns", line, "head<TAB>relation<TAB>tail")
            rows.add(str(rows.count), *columns)
    return rows.dataset()


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the TRIPLE schema; raises KAdapterError for a name that the format cannot hold."""
    with replacing(path) as file:
        for row in rows_of(dataset, SCHEMA):
            for column in _COLUMNS:
                if not row[column] or set(row[column]) & set("\t\r\n"):
                    wanted = "a name that is not empty and has no tab or line break"
                    raise KAdapterError(f"triple {row['id']!r}: {column} is {row[column]!r}; expected {wanted}")
            line = "\t".join(row[column] for column in _COLUMNS)
            if line.isspace():
                raise KAdapterError(f"triple {row['id']!r} is white space alone; expected names")
            file.write(line + "\n")
