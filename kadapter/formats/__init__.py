"""Published file formats: each module has SCHEMA, `read(path) -> datasets.Dataset` and `write(dataset, path)`.

A format knows files and nothing of tokenizers or models; a task knows the columns of `schemas.py` and nothing of files.
What holds for every format: plain or gzipped files are told apart by their first bytes; text is UTF-8, with or without
a byte order mark, lines end in LF or CRLF; a broken record raises `FormatError`; so do a file without records and a
record of more than `files.LONGEST` characters; a repeated record is kept, because published counts include them
(`duplicates` counts them). Records that a format leaves out by its own definition are counted (`drops`). A file is
written whole or not at all.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset


def drops(dataset: "Dataset") -> dict[str, int]:
    """What `read` left out of a file, reason -> count; it travels in the data set's description.

    >>> drops(openqa.read("quasart/dev.txt"))  # doctest: +SKIP
    {'paragraph of 5 tokens or fewer': 1204}
    """
    found: dict[str, int] = {}
    for reason, count in re.findall(r"^dropped (.+): (\d+)$", dataset.info.description or "", flags=re.MULTILINE):
        found[reason] = found.get(reason, 0) + int(count)
    return found


def duplicates(dataset: "Dataset") -> int:
    """The number of rows that equal an earlier row in everything but `id`."""
    seen: set[bytes] = set()
    rows = 0
    for batch in dataset.remove_columns("id").with_format("arrow").iter(1000):
        seen.update(repr(row).encode() for row in batch.to_pylist())
        rows += len(batch)
    return rows - len(seen)
