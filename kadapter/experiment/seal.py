"""Whether a finished run is still what its stage left: sizes and hashes of its files, taken when it was put in its
place."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from kadapter import runs

FILES = "files"  # the key in stage.json
HASHED = 2**28  # bytes; a larger file is compared by its size: reading it would cost every run seconds


def of(folder: Path) -> dict[str, list]:
    """Size in bytes and SHA-256 (None above `HASHED`) of every file of a run, by its path in it.

    The executed notebook is left out, which a person may open and save, and so are hidden files.
    """
    return {
        path.relative_to(folder).as_posix(): [path.stat().st_size, _hash(path)]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _counts(path.relative_to(folder))
    }


def broken(folder: Path) -> str:
    """The first file of a run that is missing or differs from what its stage left, and how; "" if none does, or if the
    run was made without a seal."""
    sealed = (runs.read_json(folder / runs.KEY) or {}).get(FILES)
    for name, (size, digest) in sealed.items() if isinstance(sealed, Mapping) else ():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        found = path.stat().st_size
        if found != size:
            return f"{name} has {found:,} bytes of {size:,}"
        if digest is not None and _hash(path) != digest:
            return f"{name} has other content than when it was written"
    return ""


def _counts(path: Path) -> bool:
    return path.name not in (runs.KEY, "notebook.ipynb") and not any(part.startswith(".") for part in path.parts)


def _hash(path: Path) -> str | None:
    if path.stat().st_size > HASHED:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
