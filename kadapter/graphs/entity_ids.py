"""The files that say which entity each row of an embedding matrix belongs to, as Arrow strings: five million ids stay
strings side by side and never become Python objects.

`entity2id.txt` (OpenKE, Knowledge-Plugin): a count, then a line `Q42<tab or space>0` for each entity. `entities.tsv`
(Knowledge-Plugin's UMLS): a heading, then `0<tab>C0000005`.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import lines, replacing

FILES = ("entity2id.txt", "entities.tsv")  # the first that is there is read
_MOST = 2**31 - 1  # rows that are kept in four bytes each


def read(path: Path | str) -> pa.ChunkedArray:
    """The ids of rows 0, 1, ... of an `entity2id.txt`, or of an `entities.tsv` (a name that ends in `tsv` or `tsv.gz`).

    Raises FormatError for a line that is no id and row, a count that the lines do not have, a row that two ids have or
    none.
    """
    path = Path(path)
    first, separator = _beginning(path)
    columns = ["row", "id"] if _is_tsv(path) else ["id", "row"]
    ids: list[pa.Array] = []
    rows: list[np.ndarray] = []
    try:
        for batch in _batches(path, columns, separator):
            if pc.any(pc.equal(pc.binary_length(batch.column("id")), 0)).as_py():
                raise pa.ArrowInvalid("an empty id")
            ids.append(batch.column("id"))
            rows.append(batch.column("row").to_numpy().clip(-1, _MOST).astype(np.int32))
    except (pa.ArrowInvalid, OSError) as error:
        raise _broken(path, columns, separator, str(error)) from None
    found = pa.chunked_array(ids, pa.string())
    if not len(found):
        raise FormatError(path, "file", "entities", 0, "at least one line with an id and a row")
    if not _is_tsv(path) and len(found) != int(first):
        raise FormatError(path, "line 1", "count", int(first), f"{len(found)}, the number of lines below it")
    return _in_order(path, found, np.concatenate(rows))


def count(path: Path | str) -> int | None:
    """How many entities the first line of an `entity2id.txt` counts, without reading on; None for `entities.tsv`."""
    path = Path(path)
    first, _ = _beginning(path)
    return None if _is_tsv(path) else int(first)


def write(ids: Sequence[str] | pa.Array | pa.ChunkedArray, path: Path | str) -> None:
    """Writes the ids of rows 0, 1, ...; raises KAdapterError for one that the file cannot hold."""
    path = Path(path)
    with replacing(path) as file:
        file.write("row\tentity\n" if _is_tsv(path) else f"{len(ids)}\n")
        for row, id in enumerate(strings(ids)):
            if not id.strip() or set(id) & set("\t\r\n"):
                raise KAdapterError(f"row {row}: the entity's id is {id!r}; expected text without tab or line break")
            file.write(f"{row}\t{id}\n" if _is_tsv(path) else f"{id}\t{row}\n")


def strings(ids: Sequence[str] | pa.Array | pa.ChunkedArray) -> Iterator[str]:
    """The ids one after the other, a few thousand Python strings at a time."""
    step = 1 << 14
    for start in range(0, len(ids), step):
        part = ids[start : start + step]
        yield from part.to_pylist() if isinstance(part, pa.Array | pa.ChunkedArray) else part


def _is_tsv(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith(".tsv")


def _beginning(path: Path) -> tuple[str, str]:
    """The first line, and what separates the columns of the second."""
    start = lines(path)
    first = next(start, (1, ""))[1].strip()
    if not _is_tsv(path) and not re.fullmatch("[0-9]{1,18}", first):
        raise FormatError(path, "line 1", "count", first, "the number of entities")
    return first, "\t" if "\t" in next(start, (2, "\t"))[1] else " "


def _batches(path: Path, columns: list[str], separator: str) -> Iterator[pa.RecordBatch]:
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with pa.input_stream(str(path), compression="gzip" if packed else None) as stream:
        reader = csv.open_csv(
            stream,
            csv.ReadOptions(skip_rows=1, column_names=columns, use_threads=False),
            csv.ParseOptions(delimiter=separator, quote_char=False),
            csv.ConvertOptions(column_types={"id": pa.string(), "row": pa.int64()}, null_values=[]),
        )
        yield from reader


def _broken(path: Path, columns: list[str], separator: str, said: str) -> FormatError:
    """The error for the first line that is not two columns; `said` is what Arrow found where there is none such."""
    for number, line in lines(path):
        values = dict(zip(columns, line.split(separator), strict=False))
        right = line.count(separator) == 1 and values["id"] and re.fullmatch("-?[0-9]{1,18}", values["row"])
        if number > 1 and line and not right:
            between = "<tab>" if separator == "\t" else " "
            return FormatError(path, f"line {number}", "columns", line, between.join(columns))
    return FormatError(path, "file", "lines", said, "an id and a row in each")


def _in_order(path: Path, ids: pa.ChunkedArray, rows: np.ndarray) -> pa.ChunkedArray:
    """The ids in the order of their rows."""
    expected = np.arange(len(ids), dtype=np.int32)
    if np.array_equal(rows, expected):
        return ids
    order = np.argsort(rows, kind="stable")
    wrong = np.flatnonzero(rows[order] != expected)
    if len(wrong):
        row = int(rows[order[wrong[0]]])
        id = ids[int(order[wrong[0]])].as_py()
        raise FormatError(path, f"entity {id}", "row", row, f"every row of 0 ... {len(ids) - 1} once")
    return ids.take(pa.array(order))
