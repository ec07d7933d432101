"""The frozen backbone's hidden states, computed once and memory-mapped: ragged, without padding, only at the points
that are read."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from kadapter.artifact import writing
from kadapter.backbone import fingerprint
from kadapter.batches import Encoded, Ragged
from kadapter.errors import KAdapterError
from kadapter.model import KnowledgeModel

STORE_VERSION = 1
CACHE_LIMIT = 20e9  # bytes of stores kept; beyond it those opened longest ago are removed
KINDS = ("states", "features")  # the backbone's states, or what `KnowledgeModel.represent` makes of them
META, DATA = "meta.json", "states.bin"


def cache_root() -> Path:
    """Where stores lie: `KADAPTER_CACHE`, or `~/.cache/kadapter`."""
    return Path(os.environ.get("KADAPTER_CACHE") or Path.home() / ".cache" / "kadapter") / "features"


def token_batches(lengths: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Indices in batches of similar length whose padded size stays within `budget` tokens (one longer example stands
    alone)."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and lengths[order[stop]] * (stop + 1 - start) <= budget:
            stop += 1
        yield order[start:stop]
        start = stop


class FeatureStore:
    """Hidden states of encoded examples on disk, shape (points, tokens, hidden).

    Called with example indices, it gives `{kind: (points, batch, tokens, hidden)}`, each batch copied once out of the
    memory map; rows at padding hold the example's first state and are masked by every reader.

    The folder's name is the hash of everything the contents depend on: the backbone's fingerprint (for `features` the
    adapters' too), the encoded tokens, points, dtype and layout version. A folder is written under another name and
    renamed, and its size is checked, so a wrong or torn store is never read; two processes asking for the same one
    build it once.
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
        self.offsets = np.load(folder / "offsets.npy")
        self.data = torch.from_file(str(folder / DATA), shared=False, size=int(np.prod(self.shape)), dtype=dtype).view(
            self.shape
        )

    def __call__(self, indices: np.ndarray) -> dict[str, Float[Tensor, "points batch tokens hidden"]]:
        starts, lengths = self.offsets[indices], self.offsets[indices + 1] - self.offsets[indices]
        columns = np.arange(max(1, lengths.max()))
        rows = torch.from_numpy(
            np.where(columns < lengths[:, None], starts[:, None] + columns, starts[:, None]).reshape(-1)
        )
        out = torch.empty(self.shape[0], len(rows), self.shape[2], dtype=self.data.dtype)
        for point in range(self.shape[0]):
            torch.index_select(self.data[point], 0, rows, out=out[point])
        return {self.kind: out.view(self.shape[0], len(indices), len(columns), self.shape[2])}

    @property
    def nbytes(self) -> int:
        """Size of the states in bytes."""
        return self.data.nbytes


def size_of(model: KnowledgeModel, encoded: Encoded, kind: str, dtype: torch.dtype) -> int:
    """Bytes that a store would take, before building it."""
    points = len(model.points) if kind == "states" else 1 + len(model.slots)
    return int(encoded.lengths.sum()) * points * model.backbone.hidden_size * dtype.itemsize


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
        kind: `states` (the backbone's hidden states at `model.points`) or `features` (the last state and every
            adapter's output).
        dtype: of the stored states.
        batch_tokens: padded tokens in one batch of the backbone.

    Raises KAdapterError for an adapter that attends to padding (its outputs depend on the batch).
    """
    if any(not a.config.mask_padding for a in model.adapters.values()):
        raise KAdapterError(
            "an adapter with mask_padding=False depends on each batch's padding: train it with store=False"
        )
    points = model.points if kind == "states" else model.slots
    tokens: Ragged = encoded.columns["input_ids"]
    digest = hashlib.sha256(f"{STORE_VERSION}|{kind}|{points}|{dtype}|{model.backbone.fingerprint}".encode())
    if kind == "features":
        digest.update("|".join(f"{n}:{fingerprint(a)}:{a.config}" for n, a in model.adapters.items()).encode())
    digest.update(tokens.values.tobytes() + tokens.offsets.tobytes())
    root = root or cache_root()
    root.mkdir(parents=True, exist_ok=True)
    folder = root / digest.hexdigest()[:32]
    with FileLock(root / f"{folder.name}.lock"):
        if folder.exists():
            try:
                store = FeatureStore(folder)
                (folder / META).touch()  # opened now: `_trim` removes the longest unopened first
                return store
            except (KAdapterError, OSError, ValueError, KeyError):
                shutil.rmtree(folder)  # torn by something outside this program: never read, built again
        with writing(folder) as partial:
            _build(model, encoded, kind, dtype, partial, batch_tokens, progress)
        _trim(root, keep=folder)
        return FeatureStore(folder)


def _trim(root: Path, keep: Path) -> None:
    """Remove the stores opened longest ago until the rest fits in `CACHE_LIMIT`; who reads one keeps it mapped."""
    stores = sorted((meta for meta in root.glob(f"*/{META}")), key=lambda meta: meta.stat().st_mtime, reverse=True)
    total = 0
    for meta in stores:
        total += (meta.parent / DATA).stat().st_size if (meta.parent / DATA).exists() else 0
        if total > CACHE_LIMIT and meta.parent != keep:
            shutil.rmtree(meta.parent, ignore_errors=True)


@torch.no_grad()
def _build(
    model: KnowledgeModel,
    encoded: Encoded,
    kind: str,
    dtype: torch.dtype,
    folder: Path,
    batch_tokens: int,
    progress: bool,
) -> None:
    tokens: Ragged = encoded.columns["input_ids"]
    shape = (
        len(model.points) if kind == "states" else 1 + len(model.slots),
        int(tokens.offsets[-1]),
        model.backbone.hidden_size,
    )
    needed = int(np.prod(shape)) * dtype.itemsize
    free = shutil.disk_usage(folder).free
    if needed > 0.9 * free:
        raise KAdapterError(
            f"{folder.parent}: a store of {needed / 1e9:.1f} GB "
            f"does not fit in {free / 1e9:.1f} GB: train with store=False"
        )
    data = torch.from_file(str(folder / DATA), shared=True, size=int(np.prod(shape)), dtype=dtype).view(shape)
    device = next(model.backbone.parameters()).device
    plain = Encoded({"input_ids": tokens}, encoded.pads, key=encoded.key)
    training = model.training
    model.eval()
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)
    bar = tqdm(
        total=shape[1],
        desc=f"{kind} of {model.backbone.name}",
        unit="tok",
        unit_scale=True,
        leave=False,
        disable=not progress,
    )
    with bar, autocast:
        for chosen in token_batches(encoded.lengths, batch_tokens):
            batch = {k: v.to(device) for k, v in plain.__getitems__(chosen).items()}
            states = model.backbone.hidden_states(**batch, points=model.points)
            if kind == "features":
                states = model.represent(states, batch["attention_mask"])
            real = batch["attention_mask"].bool().cpu()
            rows = np.concatenate([np.arange(tokens.offsets[i], tokens.offsets[i + 1]) for i in chosen])
            data[:, torch.from_numpy(rows)] = states.to(dtype).cpu()[:, real]
            bar.update(len(rows))
    model.train(training)
    del data  # unmaps, so that the file is whole before the rename
    np.save(folder / "offsets.npy", tokens.offsets)
    meta = {"kind": kind, "shape": shape, "dtype": str(dtype).removeprefix("torch."), "backbone": model.backbone.name}
    (folder / META).write_text(json.dumps(meta) + "\n", encoding="utf-8")
