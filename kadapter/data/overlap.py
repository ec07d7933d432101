"""What the examples that adapters learn from share with those that they are tested on: a leak that would count as
knowledge.

Three things are compared. *Text*: the letters and digits are the same, whatever the case, spacing and punctuation; of a
question its context or each of its paragraphs, as a whole: a sentence inside a longer text is not found. *Pair*: the
same two entities, in any order, by their texts or by their ids. *Fact*: the same pair in the same relation. Where two
datasets have no label in common (names of relations in one, property ids in the other) relations cannot be told apart,
and the same pair counts as the same fact.

What is taken out of the knowledge by default is the same text and the same fact of dev and test, never an example for
one of its entities alone: that the adapter has read of them elsewhere is what the experiment is about (Section 3.2 of
the paper; in the embedded world every test entity is in the knowledge corpus on purpose).
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from kadapter.errors import KAdapterError

LEARNED = ("train", "dev")  # the splits of a knowledge set that an adapter sees
HELD_OUT = ("dev", "test")  # the parts of a downstream set that nobody may have seen
KINDS = ("text", "pair", "fact")
_MASK = "[MASK]"
_SIGNS = re.compile(r"[\W_]+")

Splits = Mapping[str, Dataset]


@dataclass(frozen=True)
class _Keys:
    """Per kind, hashes of what the rows of a dataset hold (`keys`), and which row holds each (`rows`): (hashes,)."""

    size: int
    labels: frozenset[str]
    rows: dict[str, np.ndarray]
    keys: dict[str, np.ndarray]

    def sharing(self, kind: str, other: "_Keys") -> np.ndarray:
        """(size,) whether a row holds something that `other` holds, too."""
        kind = "pair" if kind == "fact" and not self.labels & other.labels else kind
        marked = np.zeros(self.size, dtype=bool)
        marked[self.rows[kind][np.isin(self.keys[kind], other.keys[kind])]] = True
        return marked


def remove(
    datasets: Mapping[str, Splits], knowledge: Iterable[str], downstream: Iterable[str], keep: bool = False
) -> tuple[dict[str, dict[str, Dataset]], list[dict[str, Any]]]:
    """Count what knowledge and downstream sets share, and take it out of the knowledge.

    Args:
        datasets: name -> split -> examples.
        knowledge, downstream: names of those that adapters learn from, and of those that they are tested on. One that
            is both is not compared with itself: `deduplicate` is for that.
        keep: count only.

    Returns the knowledge splits that lost examples, and a row for every pair of a knowledge split and a downstream
    part: knowledge, split, downstream, part; for each of `KINDS` how many examples of the split share it with the part
    (`text`, ...) and how many of the part with the split (`text_of_part`, ...); removed. Raises KAdapterError if a
    split would lose all its examples.
    """
    parts = [(name, part, _keys(rows)) for name in downstream for part, rows in datasets[name].items()]
    changed: dict[str, dict[str, Dataset]] = {}
    counted: list[dict[str, Any]] = []
    for name in knowledge:
        for split in LEARNED:
            if split not in datasets[name]:
                continue
            own = _keys(datasets[name][split])
            lost = np.zeros(own.size, dtype=bool)
            for other, part, theirs in parts:
                if other == name:
                    continue
                shared = {kind: own.sharing(kind, theirs) for kind in KINDS}
                leak = (shared["text"] | shared["fact"]) & (part in HELD_OUT and not keep)
                lost |= leak
                row: dict[str, Any] = {"knowledge": name, "split": split, "downstream": other, "part": part}
                row |= {kind: int(shared[kind].sum()) for kind in KINDS}
                row |= {f"{kind}_of_part": int(theirs.sharing(kind, own).sum()) for kind in KINDS}
                counted.append(row | {"removed": int(leak.sum())})
            if lost.all():
                raise KAdapterError(
                    f"dataset '{name}': every example of {split} is in dev or test of a downstream dataset, so nothing "
                    "is left to learn from: choose another, or give --set overlap=keep"
                )
            if lost.any():
                changed.setdefault(name, {})[split] = datasets[name][split].select(np.flatnonzero(~lost))
    return changed, counted


def _keys(dataset: Dataset) -> _Keys:
    rows: dict[str, list[int]] = {kind: [] for kind in KINDS}
    keys: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for number, row in enumerate(_rows(dataset)):
        said = {kind: set(found) for kind, found in zip(KINDS, (_texts(row), *_facts(row)), strict=True)}
        for kind, found in said.items():
            rows[kind] += [number] * len(found)
            keys[kind] += map(_hash, found)
    relation = "label" if "subj_start" in dataset.column_names else "relation"
    labels = set(dataset[relation]) if relation in dataset.column_names else ()
    return _Keys(
        len(dataset),
        frozenset(map(_plain, labels)),
        {kind: np.asarray(found, dtype=np.int64) for kind, found in rows.items()},
        {kind: np.asarray(found, dtype=np.uint64) for kind, found in keys.items()},
    )


def _rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
    for batch in dataset.iter(1000):
        yield from (dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True))


def _texts(row: Mapping[str, Any]) -> Iterator[str]:
    if "sentences" in row:  # probes, with their object in its place
        texts = [each["text"].replace(_MASK, each["object"]) for each in row["sentences"]]
    elif "words" in row:
        texts = [" ".join(row["words"])]
    elif "paragraphs" in row:
        texts = row["paragraphs"]
    elif "context" in row:
        texts = [row["context"]]
    else:
        texts = [row["text"].replace(_MASK, row.get("answer", _MASK))] if "text" in row else []
    yield from filter(None, map(_plain, texts))


def _facts(row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The pairs that a row is about, by name and by id, and each with its relation."""
    if "subj_start" in row:
        text = row["text"]
        named = text[row["subj_start"] : row["subj_end"]], text[row["obj_start"] : row["obj_end"]]
        both, relation = [named, (row["subj_id"], row["obj_id"])], row["label"]
    elif "subj_id" in row:
        both, relation = [(row["subject"], row["object"]), (row["subj_id"], row["obj_id"])], row["relation"]
    elif "tail" in row:
        both, relation = [(row["head"], row["tail"])], row["relation"]
    else:
        return [], []
    pairs = ["\t".join(sorted(plain)) for pair in both if all(plain := [_plain(each) for each in pair])]
    return pairs, [f"{pair}\t{_plain(relation)}" for pair in pairs]


def _plain(text: str) -> str:
    return _SIGNS.sub("", text.casefold())


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
