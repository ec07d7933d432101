"""The frozen backbone's hidden states, computed once and memory-mapped: ragged, without padding, only at the indices
that are read."""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from kadapter.errors import KAdapterError
from kadapter.hub.adapter_folder import writing
from kadapter.machine import threads
from kadapter.model.backbone import fingerprint
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.packaged import cache_folder
from kadapter.runs import read_json, remove_stale
from kadapter.training.batches import Encoded, Ragged, check_links, token_cuts
from kadapter.training.memory import kept_memory

STORE_VERSION = 1
CACHE_SHARE = 0.25  # of the disk that is free for them: stores kept; beyond it those opened longest ago are removed
CACHE_GB = "KADAPTER_CACHE_GB"  # environment variable: gigabytes to keep instead
KINDS = ("states", "features")  # the backbone's states, or what `KnowledgeModel.represent` makes of them
META, DATA, OFFSETS = "meta.json", "states.bin", "offsets.npy"
SUMMED = 2**28  # bytes; a larger file is compared by its size: reading it would cost every opening seconds


def cache_root() -> Path:
    """Where stores lie (see `kadapter.model.packaged.cache_folder`)."""
    return cache_folder() / "features"


def cache_limit(root: Path) -> float:
    """Bytes of stores that are kept under `root`: a quarter of the disk that is free or theirs, or as many gigabytes as
    `KADAPTER_CACHE_GB` says. Raises KAdapterError if it says no number."""
    named = os.environ.get(CACHE_GB)
    if named:
        try:
            return float(named) * 1e9
        except ValueError:
            raise KAdapterError(f"environment variable {CACHE_GB}: found {named!r}; expected a number") from None
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    return CACHE_SHARE * (shutil.disk_usage(there).free + sum(map(_size, root.glob(f"*/{META}"))))


def _size(meta: Path) -> int:
    """Bytes of the states beside a store's META; 0 of one that another process has just removed."""
    try:
        return (meta.parent / DATA).stat().st_size
    except OSError:
        return 0


def token_batches(lengths: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Indices in batches of similar length whose padded size stays within `budget` tokens (one longer example stands
    alone)."""
    order = np.argsort(lengths, kind="stable")
    yield from np.split(order, token_cuts(lengths[order], budget)[1:])


class NoRoom(KAdapterError):
    """A store that the disk does not hold."""


class FeatureStore:
    """Hidden states of encoded examples on disk, shape (indices, tokens, hidden).

    Called with the indices of sequences (an example is one, unless `Encoded.groups` says more), it gives `{kind:
    (indices, batch, tokens, hidden)}`, each batch copied once out of the memory map; rows at padding hold the
    sequence's first state and are masked by every reader.

    The folder's name is the hash of everything the contents depend on: the backbone's fingerprint (for `features` the
    adapters' too), that of a plugged mapping and the rows it maps, the encoded tokens, state indices, dtype and layout
    version. A folder is written under another name and renamed, and its files are compared with what was written, so a
    wrong, torn or damaged store is never read; two processes asking for the same one build it once.
    """

    def __init__(self, folder: Path) -> None:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        self.folder, self.kind, self.shape = folder, meta["kind"], tuple(meta["shape"])
        dtype = getattr(torch, meta["dtype"])
        expected = int(np.prod(self.shape)) * dtype.itemsize
        found = (folder / DATA).stat().st_size
        if found != expected:
            raise KAdapterError(
                f"{folder / DATA} has {found} bytes; expected {expected}: remove the folder to have it built again"
            )
        for name, known in meta.get("sums", {}).items():
            if _sum(folder / name) != known:
                raise KAdapterError(
                    f"{folder / name} is not as it was written: remove the folder to have it built again"
                )
        self.offsets = np.load(folder / OFFSETS)
        self.rows = list(range(self.shape[0]))  # the hidden states that are read
        self.data = torch.from_file(str(folder / DATA), shared=False, size=int(np.prod(self.shape)), dtype=dtype).view(
            self.shape
        )

    def __call__(self, indices: np.ndarray) -> dict[str, Float[Tensor, "states batch tokens hidden"]]:
        starts, lengths = self.offsets[indices], self.offsets[indices + 1] - self.offsets[indices]
        columns = np.arange(max(1, lengths.max()))
        rows = torch.from_numpy(
            np.where(columns < lengths[:, None], starts[:, None] + columns, starts[:, None]).reshape(-1)
        )
        out = torch.empty(len(self.rows), len(rows), self.shape[2], dtype=self.data.dtype)
        for place, row in enumerate(self.rows):
            torch.index_select(self.data[row], 0, rows, out=out[place])
        return {self.kind: out.view(len(self.rows), len(indices), len(columns), self.shape[2])}

    def __reduce__(self):  # another process maps the same file
        return _opened, (self.folder, self.rows)

    def at(self, rows: Sequence[int]) -> "FeatureStore":
        """The same store, of which only these of its hidden states are read."""
        other = object.__new__(type(self))  # `copy.copy` would open the files again, through `__reduce__`
        other.__dict__ |= self.__dict__ | {"rows": list(rows)}
        return other

    @property
    def nbytes(self) -> int:
        """Size of the states in bytes."""
        return self.data.nbytes


def _opened(folder: Path, rows: list[int]) -> FeatureStore:
    return FeatureStore(folder).at(rows)


def size_of(model: KnowledgeModel, encoded: Encoded, kind: str, dtype: torch.dtype) -> int:
    """Bytes that a store would take, before building it."""
    states = len(model.state_indices) if kind == "states" else 1 + len(model.adapter_names)
    return int(encoded.tokens.offsets[-1]) * states * model.backbone.hidden_size * dtype.itemsize


def open_store(
    model: KnowledgeModel,
    encoded: Encoded,
    kind: str = "states",
    dtype: torch.dtype = torch.bfloat16,
    root: Path | None = None,
    batch_tokens: int = 4096,
    progress: bool = True,
) -> FeatureStore:
    """The store of these examples' states under this model, built first if it is not there.

    Args:
        kind: `states` (the backbone's hidden states at `model.state_indices`) or `features` (the last state and every
            adapter's output).
        dtype: of the stored states.
        batch_tokens: padded tokens in one batch of the backbone.

    Raises KAdapterError for an adapter that attends to padding (its outputs depend on the batch), and for examples that
    were encoded with another mapping than the model's.
    """
    check_links(model, encoded)
    if any(not a.config.mask_padding for a in model.adapters.values()):
        raise KAdapterError(
            "an adapter with mask_padding=False depends on each batch's padding: train it with store=False"
        )
    read = model.state_indices if kind == "states" else model.adapter_names
    tokens = encoded.tokens
    digest = hashlib.sha256(f"{STORE_VERSION}|{kind}|{read}|{dtype}|{model.backbone.fingerprint}".encode())
    if kind == "features":
        digest.update("|".join(f"{n}:{fingerprint(a)}:{a.config}" for n, a in model.adapters.items()).encode())
    digest.update(tokens.values.tobytes() + tokens.offsets.tobytes())
    if "segments" in encoded.columns:
        segments = encoded.columns["segments"]
        assert isinstance(segments, Ragged)
        digest.update(b"segments" + segments.values.tobytes())
    if encoded.linked and model.mapping is not None:  # mapped vectors are part of the input
        links = encoded.columns["link_rows"]
        assert isinstance(links, Ragged)
        digest.update(f"{encoded.linked}|{fingerprint(model.mapping.network)}".encode() + links.values.tobytes())
    root = root or cache_root()
    root.mkdir(parents=True, exist_ok=True)
    folder = root / digest.hexdigest()[:32]
    with FileLock(root / f"{folder.name}.lock"):
        if folder.exists():
            try:
                store = FeatureStore(folder)
                (folder / META).touch()  # opened now: `_trim` removes the longest unopened first
                return store
            except (KAdapterError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
                shutil.rmtree(folder)  # torn by something outside this program: never read, built again
        with writing(folder) as partial:
            states = None
            if (
                kind == "features"
                and model.adapters
                and 4 * size_of(model, encoded, "states", dtype) < cache_limit(root)
            ):
                # Other models with the same plug layers need them, too: the backbone reads the examples once for all.
                states = open_store(model, encoded, "states", dtype, root, batch_tokens, progress)
            _build(model, encoded, kind, dtype, partial, batch_tokens, progress, states)
        _trim(root, keep=folder)
        return FeatureStore(folder)


def _trim(root: Path, keep: Path) -> None:
    """Remove what killed processes left, and the stores opened longest ago until the rest fits in `cache_limit`; who
    reads one keeps it mapped."""
    remove_stale(root / "*")
    stores = sorted((meta for meta in root.glob(f"*/{META}")), key=lambda meta: meta.stat().st_mtime, reverse=True)
    total, limit = 0, cache_limit(root)
    for meta in stores:
        total += _size(meta)
        if total > limit and meta.parent != keep:
            shutil.rmtree(meta.parent, ignore_errors=True)


def stores(root: Path | None = None) -> list[dict]:
    """One row per store: folder, backbone, kind, state indices or adapters, dtype, tokens, bytes, and when it was last
    opened (seconds since 1970); the last opened first. Of a damaged one its folder and bytes are known."""
    rows = []
    for path in (root or cache_root()).glob(f"*/{META}"):
        read = read_json(path)
        meta = read if isinstance(read, dict) else {}
        row = {key: meta.get(key) for key in ("backbone", "kind", "state_indices", "adapters", "dtype")}
        size = sum(file.stat().st_size for file in path.parent.iterdir())
        rows.append(
            {"folder": path.parent, **row, "tokens": _tokens(meta), "bytes": size, "used": path.stat().st_mtime}
        )
    return sorted(rows, key=lambda row: row["used"], reverse=True)


def _tokens(meta: Mapping[str, Any]) -> int:
    shape = meta.get("shape")
    return shape[1] if isinstance(shape, list) and len(shape) == 3 and isinstance(shape[1], int) else 0


def clear(root: Path | None = None) -> tuple[int, int]:
    """Remove every store; how many, and their bytes. One that is being written is left; who reads one keeps it
    mapped."""
    count = freed = 0
    for row in stores(root):
        folder = row["folder"]
        try:
            with FileLock(folder.with_name(f"{folder.name}.lock"), timeout=0):
                shutil.rmtree(folder)
        except Timeout:
            continue
        count, freed = count + 1, freed + row["bytes"]
    return count, freed


def told_cache() -> str:
    """Where the stores lie, how many and how large they are, and how large they may grow, in words."""
    root, rows = cache_root(), stores()
    size, limit = gigabytes(sum(row["bytes"] for row in rows)), gigabytes(cache_limit(root))
    named = f"{CACHE_GB}={os.environ[CACHE_GB]}" if os.environ.get(CACHE_GB) else f"{CACHE_GB} sets another limit"
    return f"{len(rows)} stores, {size} of at most {limit} in {root} ({named})"


def gigabytes(size: float | int) -> str:
    """A number of bytes for people.

    >>> gigabytes(1.26e9), gigabytes(3400)
    ('1.3 GB', '0.0034 MB')
    """
    return f"{size / 1e9:.2g} GB" if size >= 1e8 else f"{size / 1e6:.2g} MB"


def _sum(path: Path) -> int | None:
    """The CRC-32 of a file; None of one above `SUMMED`."""
    if path.stat().st_size > SUMMED:
        return None
    found = 0
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            found = zlib.crc32(data, found)
    return found


def _reserve(path: Path, size: int) -> None:
    """Make a file of a size whose place on the disk is its own: one that fills up under a mapped file ends the process
    that writes there. Raises NoRoom where it does not fit."""
    with path.open("wb") as file:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        except OSError as error:
            raise NoRoom(f"{path.parent.parent}: no room for a store of {gigabytes(size)} ({error.strerror})") from None


@torch.no_grad()
def _build(
    model: KnowledgeModel,
    encoded: Encoded,
    kind: str,
    dtype: torch.dtype,
    folder: Path,
    batch_tokens: int,
    progress: bool,
    stored: FeatureStore | None = None,
) -> None:
    """Write a store; the backbone's states are computed, or read where they are `stored`."""
    tokens = encoded.tokens
    shape = (
        len(model.state_indices) if kind == "states" else 1 + len(model.adapter_names),
        int(tokens.offsets[-1]),
        model.backbone.hidden_size,
    )
    needed = int(np.prod(shape)) * dtype.itemsize
    free = shutil.disk_usage(folder).free
    if needed > 0.9 * free:
        raise NoRoom(
            f"{folder.parent}: a store of {needed / 1e9:.1f} GB "
            f"does not fit in {free / 1e9:.1f} GB: train with store=False"
        )
    _reserve(folder / DATA, needed)
    data = torch.from_file(str(folder / DATA), shared=True, size=int(np.prod(shape)), dtype=dtype).view(shape)
    device = next(model.backbone.parameters()).device
    read = [
        "input_ids",
        *(["link_rows"] if encoded.linked else []),
        *(["segments"] if "segments" in encoded.columns else []),
    ]
    columns = {name: encoded.columns[name] for name in read}
    plain = Encoded(columns, encoded.pads, key=encoded.key)  # sequences, whatever example they are of
    threads.use()
    training = model.training
    model.eval()
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)
    bar = tqdm(
        total=shape[1],
        desc=f"{kind} of {model.backbone.name}, {gigabytes(needed)}",
        unit="tok",
        unit_scale=True,
        leave=False,
        disable=not progress,
    )
    in_bf16 = model.backbone.in_bf16() if dtype == torch.bfloat16 else nullcontext()
    with bar, autocast, in_bf16, kept_memory():
        for chosen in token_batches(plain.lengths, batch_tokens):
            batch = {k: v.to(device) for k, v in plain.__getitems__(chosen).items()}
            if stored is None:
                states = model.read(
                    batch["input_ids"],
                    batch["attention_mask"],
                    link_rows=batch.get("link_rows"),
                    segments=batch.get("segments"),
                )
            else:
                states = stored(chosen)["states"].to(device, model.backbone.dtype)
            if kind == "features":
                states = model.represent(states, batch["attention_mask"])
            real = batch["attention_mask"].bool().cpu()
            rows = np.concatenate([np.arange(tokens.offsets[i], tokens.offsets[i + 1]) for i in chosen])
            data[:, torch.from_numpy(rows)] = states.to(dtype).cpu()[:, real]
            bar.update(len(rows))
    model.train(training)
    del data  # unmaps, so that the file is whole before the rename
    np.save(folder / OFFSETS, tokens.offsets)
    meta = {
        "kind": kind,
        "shape": shape,
        "dtype": str(dtype).removeprefix("torch."),
        "backbone": model.backbone.name,
        "state_indices": model.state_indices if kind == "states" else [],
        "adapters": list(model.adapters) if kind == "features" else [],
        "sums": {name: _sum(folder / name) for name in (DATA, OFFSETS)},
    }
    (folder / META).write_text(json.dumps(meta) + "\n", encoding="utf-8")
