"""Encoded examples in flat arrays, and batches of similar length made from them without per-token Python."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import EntityMapping
from kadapter.tasks.base import Task
from kadapter.tasks.links import NOTHING, encode_linked

ENCODE_CHUNK = 1000  # examples tokenised in one call


@dataclass
class Ragged:
    """Rows of different length in one flat array; `offsets` has one entry more than there are rows."""

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> "Ragged":
        """Rows of any lengths, put end to end."""
        lengths = np.fromiter((len(r) for r in rows), dtype=np.int64, count=len(rows))
        values = (
            np.concatenate([np.asarray(r, dtype=np.int64) for r in rows]) if len(rows) else np.zeros(0, dtype=np.int64)
        )
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]))

    @classmethod
    def joined(cls, parts: Sequence["Ragged"]) -> "Ragged":
        """The rows of several, one after the other."""
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(np.concatenate([part.values for part in parts]), np.concatenate([[0], np.cumsum(lengths)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Elements in each row, (rows,)."""
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


@runtime_checkable
class Precomputed(Protocol):
    """A part of each batch that was computed before (see `kadapter.training.features.FeatureStore`)."""

    kind: str

    def __call__(self, indices: np.ndarray) -> dict[str, Tensor]: ...

    def at(self, rows: Sequence[int]) -> "Precomputed":
        """The same, of which only these of its hidden states are read."""
        ...


@dataclass
class Encoded:
    """Examples as a task encoded them; also a PyTorch dataset whose items are asked for a batch at a time.

    Attributes:
        columns: `input_ids` and the task's own columns, each a `Ragged` or an array with one row per example.
        pads: padding value of each ragged column.
        groups: where an example is several sequences (the answers to choose from, the paragraphs to read), the first
            sequence of each example, and the number of sequences at the end: one entry more than there are examples.
            Columns then have a row per sequence or a row per example, whichever their length says; as every example
            has a sequence, the two cannot be confused.
        apart: a column of 0 and 1; examples with 1 stand in batches of their own, which take turns with the others.
        aside: what no batch holds and predictions are made readable with: a value per example.
        linked: the fingerprint of the entity embeddings whose rows the column `link_rows` names; "" without one.
        key: hash of all that batches are made of; two equal keys are the same data.
        states: optional `(sequences) -> {"states" | "features": tensor}`, the precomputed part of each batch.
    """

    columns: dict[str, Ragged | np.ndarray]
    pads: dict[str, int]
    groups: np.ndarray | None = None
    aside: dict[str, list] = field(default_factory=dict, repr=False)
    key: str = ""
    apart: str = ""
    linked: str = ""
    states: Precomputed | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.key:
            digest = hashlib.sha256()
            for name in sorted(self.columns):
                column = self.columns[name]
                digest.update(name.encode())
                for array in (column.values, column.offsets) if isinstance(column, Ragged) else (column,):
                    digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
            digest.update(b"" if self.groups is None else b"groups" + self.groups.tobytes())
            digest.update(self.linked.encode())
            self.key = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.columns["input_ids"]) if self.groups is None else len(self.groups) - 1

    @property
    def tokens(self) -> Ragged:
        """`input_ids`."""
        found = self.columns["input_ids"]
        assert isinstance(found, Ragged)
        return found

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example; of several sequences, the longest as many times as any example has sequences, so
        that the padded size of a batch is never more than its longest example times its examples."""
        lengths = self.tokens.lengths
        if self.groups is None:
            return lengths
        return np.maximum.reduceat(lengths, self.groups[:-1]) * np.diff(self.groups).max()

    def batches(self, batch_size: int, seed: int, tokens: int = 0) -> "LengthBatches | TurnBatches":
        """The order in which training takes these examples: `batch_size`, or padded `tokens`, at a time."""
        if self.apart and 0 < (beside := np.asarray(self.columns[self.apart]) > 0).sum() < len(self):
            return TurnBatches(self.lengths, beside, batch_size, seed, tokens)
        return LengthBatches(self.lengths, batch_size, seed, tokens=tokens)

    def __getitems__(self, indices: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """One batch: every column of these examples, padded on the right, and `attention_mask`. Where an example is
        several sequences, all of them, and `group`: whose each is, counted within the batch."""
        chosen = sequences = np.asarray(indices)
        batch: dict[str, Tensor] = {}
        if self.groups is not None:
            counts = self.groups[chosen + 1] - self.groups[chosen]
            before = np.cumsum(counts) - counts
            sequences = np.arange(counts.sum()) + np.repeat(self.groups[chosen] - before, counts)
            batch["group"] = torch.from_numpy(np.repeat(np.arange(len(chosen)), counts))
        for name, column in self.columns.items():
            rows = sequences if len(column) == len(self.columns["input_ids"]) else chosen
            if isinstance(column, Ragged):
                values, real = column.take(rows, self.pads[name])
                batch[name] = torch.from_numpy(values)
                if name == "input_ids":
                    batch["attention_mask"] = torch.from_numpy(real.astype(np.int64))
            else:
                batch[name] = torch.from_numpy(column[rows])
        if self.states is not None:
            batch |= self.states(sequences)
        return batch


def encode(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    progress: bool = True,
    mapping: EntityMapping | None = None,
) -> Encoded:
    """A dataset of the task's schema, encoded; with a mapping, and a column `links`, it has a place for a mapped vector
    before each mention that is linked. Raises KAdapterError for an empty dataset or an unknown label."""
    if not len(dataset):
        raise KAdapterError(f"nothing to encode for task {task.name}: the dataset has no examples")
    ragged = {"input_ids": tokenizer.pad_token_id, "link_rows": NOTHING, **task.pads}
    parts: dict[str, list] = {}  # by chunk: lists of numbers in Python take five times the memory
    aside: dict[str, list] = {name: [] for name in task.aside}
    steps = range(0, len(dataset), ENCODE_CHUNK)
    for start in tqdm(
        steps, desc="tokenise", unit_scale=ENCODE_CHUNK, leave=False, disable=not progress or len(steps) < 3
    ):
        examples = dataset[start : start + ENCODE_CHUNK]
        made = (
            task.encode(tokenizer, examples)
            if mapping is None
            else encode_linked(task, tokenizer, examples, mapping.rows)
        )
        for name, values in made.items():
            if name in aside:
                aside[name].extend(values)
            else:
                parts.setdefault(name, []).append(Ragged.of(values) if name in ragged else np.asarray(values))
    groups = np.concatenate([[0], np.cumsum(np.concatenate(parts.pop("sequences")))]) if "sequences" in parts else None
    return Encoded(
        {n: Ragged.joined(each) if n in ragged else np.concatenate(each) for n, each in parts.items()},
        ragged,
        groups,
        aside,
        apart=task.apart,
        linked="" if mapping is None else mapping.embeddings.fingerprint,
    )


def check_links(model: KnowledgeModel, encoded: Encoded) -> None:
    """Raises KAdapterError for examples that were encoded for other entity embeddings than the model's mapping reads,
    or for a mapping when none is plugged."""
    found = "" if model.mapping is None else model.mapping.embeddings.fingerprint
    if encoded.linked and encoded.linked != found:
        plugged = f"mapping {model.mapping.name!r} reads {found[:16]}" if model.mapping else "no mapping is plugged"
        raise KAdapterError(
            f"these examples were encoded for entity embeddings {encoded.linked[:16]}, and {plugged}: encode them with "
            "mapping=model.mapping"
        )


class LengthBatches:
    """Batch sampler: shuffled batches of examples of similar length, in a new order each epoch that depends on `seed`
    and the epoch alone.

    Batches of `batch_size`: examples are shuffled, then sorted by length within pools of 50 batches, then the batches
    are shuffled. Batches of at most `tokens` padded tokens (one longer example stands alone): examples are sorted by
    length, those of equal length in a random order, and cut where the budget is full, so that every epoch has as many
    batches; then the batches are shuffled.
    """

    POOL = 50

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, shuffle: bool = True, tokens: int = 0) -> None:
        self.lengths, self.seed, self.shuffle, self.epoch = lengths, seed, shuffle, 0
        self.cuts = token_cuts(np.sort(lengths), tokens) if tokens else list(range(0, len(lengths), batch_size))
        self.batch_size = None if tokens else batch_size  # batches of `tokens` differ
        self.drop_last = False
        self.sampler = self  # accelerate looks here for set_epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.cuts)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.argsort(self.lengths, kind="stable")
        if self.shuffle:
            rng = np.random.default_rng((self.seed, self.epoch))
            order = rng.permutation(len(self.lengths))
            pool = len(order) if self.batch_size is None else self.POOL * self.batch_size
            order = np.concatenate(
                [p[np.argsort(self.lengths[p], kind="stable")] for p in np.split(order, range(pool, len(order), pool))]
            )
        batches = [batch.tolist() for batch in np.split(order, self.cuts[1:])]
        if self.shuffle:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        return iter(batches)


class TurnBatches:
    """Batch sampler: after each batch of examples one of those that stand apart (half as many, or as many padded
    tokens), which are taken again from the start, in another order, when all were. With two accumulated batches a step
    learns from both."""

    def __init__(self, lengths: np.ndarray, apart: np.ndarray, batch_size: int, seed: int, tokens: int = 0) -> None:
        self.places = np.flatnonzero(~apart), np.flatnonzero(apart)
        sizes = batch_size, max(1, batch_size // 2)
        self.parts = [
            LengthBatches(lengths[p], n, seed, tokens=tokens) for p, n in zip(self.places, sizes, strict=True)
        ]
        self.batch_size = None  # they differ
        self.drop_last = False
        self.sampler = self  # accelerate looks here for set_epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.parts[0].set_epoch(epoch)

    def __len__(self) -> int:
        return 2 * len(self.parts[0])

    def __iter__(self) -> Iterator[list[int]]:
        own, apart = self.parts
        turn = own.epoch * len(own)  # batches that stand apart go on where the former epoch ended
        beside: list[list[int]] = []
        for chosen in own:
            if not beside or turn % len(apart) == 0:
                apart.set_epoch(turn // len(apart))
                beside = list(apart)
            yield self.places[0][chosen].tolist()
            yield self.places[1][beside[turn % len(apart)]].tolist()
            turn += 1


def token_cuts(lengths: np.ndarray, budget: int) -> list[int]:
    """Where batches begin in ascending lengths so that none has more than `budget` padded tokens; one longer example
    stands alone."""
    cuts, start = [0], 0
    for place, length in enumerate(lengths.tolist()):
        if place > start and length * (place + 1 - start) > budget:
            cuts.append(place)
            start = place
    return cuts
