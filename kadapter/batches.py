"""Encoded examples in flat arrays, and batches of similar length made from them without per-token Python."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.tasks.base import Task

ENCODE_CHUNK = 1000  # examples tokenised in one call


@dataclass
class Ragged:
    """Rows of different length in one flat array; `offsets` has one entry more than there are rows."""

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> "Ragged":
        lengths = np.fromiter((len(r) for r in rows), dtype=np.int64, count=len(rows))
        values = (
            np.concatenate([np.asarray(r, dtype=np.int64) for r in rows]) if len(rows) else np.zeros(0, dtype=np.int64)
        )
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def rows(self) -> list[np.ndarray]:
        """The rows as views."""
        return np.split(self.values, self.offsets[1:-1])

    def take(self, indices: np.ndarray, pad: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows at `indices`, padded on the right with `pad`: (rows, longest), and a mask of what is real."""
        starts, lengths = self.offsets[indices], self.offsets[indices + 1] - self.offsets[indices]
        columns = np.arange(max(1, lengths.max(initial=0)))
        real = columns < lengths[:, None]
        out = np.full(real.shape, pad, dtype=self.values.dtype)
        out[real] = self.values[(starts[:, None] + columns)[real]]
        return out, real


@dataclass
class Encoded:
    """Examples as a task encoded them; also a PyTorch dataset whose items are asked for a batch at a time.

    Attributes:
        columns: `input_ids` and the task's own columns, each a `Ragged` or an array with one row per example.
        pads: padding value of each ragged column.
        key: hash of all contents; two equal keys are the same data.
        states: optional `(indices) -> {"states" | "features": tensor}`, the precomputed part of each batch.
    """

    columns: dict[str, Ragged | np.ndarray]
    pads: dict[str, int]
    key: str = ""
    states: object = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.key:
            digest = hashlib.sha256()
            for name in sorted(self.columns):
                column = self.columns[name]
                digest.update(name.encode())
                for array in (column.values, column.offsets) if isinstance(column, Ragged) else (column,):
                    digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
            self.key = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.columns["input_ids"])

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example."""
        return self.columns["input_ids"].lengths

    def __getitems__(self, indices: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """One batch: every column of these examples, padded on the right, and `attention_mask`."""
        chosen = np.asarray(indices)
        batch: dict[str, Tensor] = {}
        for name, column in self.columns.items():
            if isinstance(column, Ragged):
                values, real = column.take(chosen, self.pads[name])
                batch[name] = torch.from_numpy(values)
                if name == "input_ids":
                    batch["attention_mask"] = torch.from_numpy(real.astype(np.int64))
            else:
                batch[name] = torch.from_numpy(column[chosen])
        if self.states is not None:
            batch |= self.states(chosen)
        return batch


def encode(task: Task, tokenizer: PreTrainedTokenizerBase, dataset: Dataset, progress: bool = True) -> Encoded:
    """A dataset of the task's schema, encoded. Raises KAdapterError for an empty dataset or an unknown label."""
    if not len(dataset):
        raise KAdapterError(f"nothing to encode for task {task.name}: the dataset has no examples")
    columns: dict[str, list] = {}
    steps = range(0, len(dataset), ENCODE_CHUNK)
    for start in tqdm(
        steps, desc="tokenise", unit_scale=ENCODE_CHUNK, leave=False, disable=not progress or len(steps) < 3
    ):
        for name, values in task.encode(tokenizer, dataset[start : start + ENCODE_CHUNK]).items():
            columns.setdefault(name, []).extend(values)
    ragged = {"input_ids": tokenizer.pad_token_id, **task.pads}
    return Encoded({n: Ragged.of(v) if n in ragged else np.asarray(v) for n, v in columns.items()}, ragged)


class LengthBatches:
    """Batch sampler: shuffled batches of `batch_size` examples of similar length.

    Examples are shuffled, then sorted by length within pools of 50 batches, then the batches are shuffled: little
    padding, and a new order each epoch that depends on `seed` and the epoch alone.
    """

    POOL = 50

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, shuffle: bool = True) -> None:
        self.lengths, self.batch_size, self.seed, self.shuffle, self.epoch = lengths, batch_size, seed, shuffle, 0
        self.drop_last = False
        self.sampler = self  # accelerate looks here for set_epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.argsort(self.lengths, kind="stable")
        if self.shuffle:
            rng = np.random.default_rng((self.seed, self.epoch))
            order = rng.permutation(len(self.lengths))
            pool = self.POOL * self.batch_size
            order = np.concatenate(
                [p[np.argsort(self.lengths[p], kind="stable")] for p in np.split(order, range(pool, len(order), pool))]
            )
        batches = [order[i : i + self.batch_size].tolist() for i in range(0, len(order), self.batch_size)]
        if self.shuffle:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        return iter(batches)
