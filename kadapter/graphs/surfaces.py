"""Exact surface maps: which entity a name means (Knowledge-Plugin's `entity_map.txt`).

A line is a name and, last, an id, with tabs between; what stands between them is not read. Names are compared as they
are. A name may stand on several lines, with several ids.
"""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import lines, replacing

Surfaces = Mapping[str, Sequence[str]]  # name -> the ids that it may mean, in the order of the file


def read(path: Path | str, wanted: Container[str] | None = None) -> dict[str, list[str]]:
    """Name -> its ids, each once; of `wanted` names alone where they are given, so that a map of millions of names need
    not be kept. Raises FormatError for a line without a name and an id."""
    path = Path(path)
    found: dict[str, list[str]] = {}
    for number, line in lines(path):
        if not line or line.isspace():
            continue
        name, *_, id = line.split("\t") if "\t" in line else (line, "")
        if not name or not id.strip():
            raise FormatError(path, f"line {number}", "columns", line, "name<tab>...<tab>id")
        if wanted is None or name in wanted:
            ids = found.setdefault(name, [])
            if id not in ids:
                ids.append(id)
    return found


def of_texts(path: Path | str) -> dict[str, list[str]]:
    """Name -> ids of a file that names entities, `id<tab>name` (`entity2text.txt`). Raises FormatError for a line
    without both."""
    path = Path(path)
    found: dict[str, list[str]] = {}
    for number, line in lines(path):
        id, tab, name = line.partition("\t")
        if not line or line.isspace():
            continue
        if not tab or not id or not name:
            raise FormatError(path, f"line {number}", "columns", line, "id<tab>name")
        found.setdefault(name, []).append(id)
    return found


def write(surfaces: Surfaces, path: Path | str) -> None:
    """A line for each name and id; raises KAdapterError for one that a line cannot hold."""
    with replacing(path) as file:
        for name, ids in surfaces.items():
            for id in ids:
                if not name or not id.strip() or set(name + id) & set("\t\r\n"):
                    raise KAdapterError(f"name {name!r} of {id!r}: expected texts without tab or line break")
                file.write(f"{name}\t{id}\n")
