"""Vectors of a knowledge graph's entities, as OpenKE and Knowledge-Plugin store them: what map-tuning puts into a
model (Zhang et al., 2023, Plug-and-Play Knowledge Injection for Pre-trained Language Models, Section 3)."""

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Int

from kadapter.errors import KAdapterError
from kadapter.graphs import entity_ids

MATRIX = "entities.npy"  # as `save` names it
_BLOCK = 1 << 16  # rows hashed at a time


class EntityEmbeddings:
    """A matrix with a row for each entity, and the entities' ids.

    Of a file nothing is read before it is asked for: the matrix is memory-mapped, the ids are read when the first is
    looked up, and stay Arrow strings. Five million entities of width 128 open in a few milliseconds.

    Attributes:
        matrix: (entities, width) float32.
        path: the folder or file it was opened from, None for arrays.
    """

    def __init__(
        self, matrix: Float[np.ndarray, "entities width"], ids: pa.ChunkedArray | Path, path: Path | None = None
    ) -> None:
        self.matrix, self.path, self._ids = matrix, path, ids

    @classmethod
    def open(cls, path: Path | str) -> "EntityEmbeddings":
        """A `.npy` file, or a folder with one, with `entity2id.txt` or `entities.tsv` beside it.

        Raises KAdapterError where there is none of them, or the matrix is not (entities, width) float32 with as many
        rows as the ids' file counts.
        """
        path = Path(path)
        file = _matrix_file(path)
        beside = [file.with_name(name) for name in entity_ids.FILES]
        ids = next((name for name in beside if name.is_file()), None)
        if ids is None:
            raise KAdapterError(f"{file}: no ids beside it; expected {' or '.join(entity_ids.FILES)} in {file.parent}")
        matrix = _mapped(file)
        counted = entity_ids.count(ids)
        if counted is not None and counted != len(matrix):
            raise KAdapterError(
                f"{ids} counts {counted} entities, {file.name} has {len(matrix)} rows; expected as many"
            )
        return cls(matrix, ids, path)

    @classmethod
    def from_arrays(cls, ids: Sequence[str], matrix: np.ndarray) -> "EntityEmbeddings":
        """Ids and their vectors, (entities, width) of any floating type.

        Raises KAdapterError for an id that comes twice, another number of ids than rows, a value that is not finite.
        """
        matrix = np.asarray(matrix, dtype=np.float32)
        if matrix.ndim != 2 or len(matrix) != len(ids) or not matrix.size:
            raise KAdapterError(f"{len(ids)} ids and an array of shape {matrix.shape}; expected (entities, width)")
        if len(set(ids)) != len(ids):
            twice = next(id for id in ids if list(ids).count(id) > 1)
            raise KAdapterError(f"entity {twice!r} comes twice; expected each id once")
        if not np.isfinite(matrix).all():
            row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
            raise KAdapterError(f"the vector of entity {ids[row]!r} is not finite; expected numbers")
        return cls(matrix, pa.chunked_array([pa.array(list(ids), pa.string())]))

    def __len__(self) -> int:
        return len(self.matrix)

    def __repr__(self) -> str:
        return f"EntityEmbeddings({len(self):,} entities x {self.width}{f', {self.path}' if self.path else ''})"

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return self.matrix.shape[1]

    @property
    def ids(self) -> pd.arrays.ArrowStringArray:
        """The ids in the order of the rows: a sequence of strings."""
        return pd.arrays.ArrowStringArray(self._arrow)

    @cached_property
    def _arrow(self) -> pa.ChunkedArray:
        if not isinstance(self._ids, Path):
            return self._ids
        ids = entity_ids.read(self._ids)
        if len(ids) != len(self):
            raise KAdapterError(f"{self._ids} has {len(ids)} entities, the matrix {len(self)} rows; expected as many")
        return ids

    def row(self, id: str) -> int | None:
        """The row of an entity, None for one that is not there."""
        found = int(self.rows([id])[0])
        return None if found < 0 else found

    def rows(self, ids: Sequence[str]) -> Int[np.ndarray, " ids"]:
        """The rows of entities, -1 for those that are not there.

        One pass over all ids for as many as are asked (a tenth of a second for five million): ask for many at once.
        Raises KAdapterError for an asked id that two rows have.
        """
        if not len(ids):
            return np.zeros(0, dtype=np.int64)
        asked, place = np.unique(np.asarray(ids, dtype=object), return_inverse=True)
        matches = pc.index_in(self._arrow, value_set=pa.array(asked, pa.string()))
        hits = pc.indices_nonzero(pc.is_valid(matches)).to_numpy().astype(np.int64)
        which = matches.drop_null().to_numpy()
        if len(np.unique(which)) < len(which):
            twice = asked[np.flatnonzero(np.bincount(which) > 1)[0]]
            raise KAdapterError(f"{self.path or 'the ids'}: entity {twice!r} has two rows; expected one")
        found = np.full(len(asked), -1, dtype=np.int64)
        found[which] = hits
        return found[place]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over shape, vectors and ids: the same wherever they stand. Reads the whole matrix."""
        digest = hashlib.sha256(f"{self.matrix.shape}".encode())
        for start in range(0, len(self), _BLOCK):
            digest.update(np.ascontiguousarray(self.matrix[start : start + _BLOCK]).data)
        for start in range(0, len(self), _BLOCK):
            digest.update("\n".join(["", *self._arrow[start : start + _BLOCK].to_pylist()]).encode())
        return digest.hexdigest()

    def shuffled(self, seed: int) -> "EntityEmbeddings":
        """The control: the same vectors, each given to another entity by chance. The matrix is shared."""
        order = np.random.default_rng(seed).permutation(len(self))
        return EntityEmbeddings(self.matrix, self._arrow.take(pa.array(order)), self.path)

    def save(self, folder: Path | str, ids: str = entity_ids.FILES[0]) -> Path:
        """Writes `entities.npy` and the file of ids, `entity2id.txt` or `entities.tsv`; the folder."""
        if ids not in entity_ids.FILES:
            raise KAdapterError(f"ids cannot be written as {ids!r}; expected {' or '.join(entity_ids.FILES)}")
        folder = Path(folder)
        entity_ids.write(self._arrow, folder / ids)
        partial = folder / f"{MATRIX}.partial-{os.getpid()}"
        try:
            with open(partial, "wb") as file:
                np.save(file, self.matrix)
            partial.rename(folder / MATRIX)
        finally:
            partial.unlink(missing_ok=True)
        return folder


def _matrix_file(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(path.glob("*.npy")) if path.is_dir() else []
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise KAdapterError(f"{path}: expected a .npy file, or a folder with one; found {names}")
    return found[0]


def _mapped(file: Path) -> np.ndarray:
    expected = "expected float32 numbers of shape (entities, width), as numpy.save writes them"
    try:
        matrix = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise KAdapterError(f"{file}: cannot be read as .npy ({error}); {expected}") from None
    if not isinstance(matrix, np.ndarray) or matrix.dtype != np.float32 or matrix.ndim != 2 or not matrix.size:
        shape, dtype = getattr(matrix, "shape", None), getattr(matrix, "dtype", type(matrix).__name__)
        raise KAdapterError(f"{file}: found {dtype} of shape {shape}; {expected}")
    return matrix
