"""Is it a fact? Triples put into words, half of them corrupted (BERT-MK, He et al., 2020; KG-BERT, Yao et al.,
2019)."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Annotated

from datasets import Dataset

from kadapter.errors import KAdapterError
from kadapter.formats.schemas import RELATION
from kadapter.knowledge.making import MadeBy, Most, most_of, table
from kadapter.values import OneOf, value

REAL, CORRUPTED = "real", "corrupted"
CORRUPT = ("any", "slot")
TRIES = 200  # entities drawn for one corrupted fact before a graph counts as full


def examples(
    splits: Mapping[str, Dataset],
    *,
    corrupt: Annotated[
        str,
        OneOf("corrupt", CORRUPT),
        value("a corrupted fact's new entity: `any`, or one that has this `slot` of the relation elsewhere: harder"),
    ] = "any",
    most: Most = 0,
    seed: MadeBy = 0,
) -> dict[str, Dataset]:
    """Rows of the RELATION schema, `real` or `corrupted`, from splits of the FACT schema.

    Where a split has published counterexamples (CoDEx's hard negatives) they are taken; in others each fact stands
    beside itself with head or tail exchanged. No corrupted fact is a fact of any split.
    """
    graph = Graph(splits)
    made = {}
    for split, dataset in splits.items():
        rng = random.Random(f"{seed}/{split}")
        rows = list(dataset)
        if all(row["holds"] for row in rows):
            rows = [fact for row in most_of(rows, most // 2, rng) for fact in (row, graph.corrupted(row, rng, corrupt))]
        made[split] = table([in_words(row) for row in most_of(rows, most, rng)], RELATION)
    return made


class Graph:
    """The facts of all splits: what is true, what entities there are, and which stand in which slot of a relation."""

    def __init__(self, splits: Mapping[str, Dataset]) -> None:
        self.facts: set[tuple[str, str, str]] = set()
        self.texts: dict[str, str] = {}
        slots: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        for row in (row for dataset in splits.values() for row in dataset):
            if row["holds"]:
                self.facts.add((row["head"], row["relation"], row["tail"]))
            for side in ("head", "tail"):
                self.texts[row[side]] = row[f"{side}_text"]
                if row["holds"]:
                    slots[row["relation"], side][row[side]] = None
        self.entities = list(self.texts)
        self.slots = {slot: list(names) for slot, names in slots.items()}
        if len(self.entities) < 2:
            raise KAdapterError(f"found {len(self.entities)} entity; expected two or more, or none can be exchanged")

    def corrupted(self, fact: Mapping, rng: random.Random, corrupt: str) -> dict:
        """A fact with head or tail, as a coin says, exchanged so that it is none."""
        other = next(self.others(fact, rng, corrupt), None)
        if other is None:
            raise KAdapterError(
                f"the fact {fact['head']} {fact['relation']} {fact['tail']} is true of every entity that was tried in "
                "its place; expected a graph in which something is false"
            )
        return other

    def others(
        self, fact: Mapping, rng: random.Random, corrupt: str, sides: tuple[str, ...] = ("head", "tail")
    ) -> Iterator[dict]:
        """Facts with one of `sides` exchanged so that they are none, each once, as long as some are found: first from
        where `corrupt` says, then from all entities."""
        tried: set[tuple[str, str]] = set()
        for slotted in (True, False) if corrupt == "slot" else (False,):
            for _ in range(TRIES):
                side = rng.choice(sides)
                name = rng.choice(self.slots[fact["relation"], side] if slotted else self.entities)
                if name == fact[side] or (side, name) in tried:
                    continue
                tried.add((side, name))
                other = dict(fact) | {side: name, f"{side}_text": self.texts[name], "holds": False}
                if (other["head"], other["relation"], other["tail"]) not in self.facts:
                    yield other | {"id": f"{fact['id']}-{side}-{name}"}


def in_words(fact: Mapping) -> dict:
    """A row of the RELATION schema: the texts of head, relation and tail with spaces between, the ends marked."""
    head, relation, tail = (" ".join(fact[f"{part}_text"].split()) for part in ("head", "relation", "tail"))
    text = f"{head} {relation} {tail}"
    return {
        "id": fact["id"], "text": text, "subj_start": 0, "subj_end": len(head), "obj_start": len(text) - len(tail),
        "obj_end": len(text), "label": REAL if fact["holds"] else CORRUPTED, "subj_id": fact["head"],
        "obj_id": fact["tail"], "subj_type": "", "obj_type": "", "tokens": [],
    }  # fmt: skip
