"""Which entity is a mention, among those that it may be taken for (ERNIE's entity alignment, Zhang et al., 2019;
KnowBERT's candidates, Peters et al., 2019)."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from datasets import Dataset

from kadapter.formats.schemas import ENTITY
from kadapter.knowledge.making import MadeBy, Most, most_of, table
from kadapter.knowledge.replaced import SIDES
from kadapter.values import value


@dataclass(frozen=True)
class Mention:
    """A mention in its sentence, with the entity that it is; `kind` is what other entities of its kind have, too."""

    id: str
    text: str
    start: int
    end: int
    entity: str
    kind: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The words of its name, in lower case."""
        return self.text[self.start : self.end].lower().split()


def examples(
    splits: Mapping[str, Dataset],
    *,
    candidates: Annotated[int, value("entities to choose from, the right one among them", 2, 1000)] = 8,
    most: Most = 0,
    seed: MadeBy = 0,
) -> dict[str, Dataset]:
    """Rows of the ENTITY schema from splits of the RELATION schema (both mentions) or the LINKED one.

    Wrong candidates are first those that have the mention's name (hard), then those that share a word of it, then those
    of its kind (the type or side of a relation), then any. Entities are those that train mentions; what dev and test
    say of others is left out.
    """
    first = "train" if "train" in splits else next(iter(splits))
    known = _Known()
    made = {}
    for split in (first, *(name for name in splits if name != first)):
        rng = random.Random(f"{seed}/{split}")
        rows = list(_mentions(splits[split]))
        if split != first:
            rows = [mention for mention in rows if mention.entity in known.entities]
        rows = most_of(rows, most, rng)
        for mention in rows if split == first else ():
            known.add(mention)
        made[split] = table((_row(m, known.like(m, candidates, rng), rng) for m in rows), ENTITY)
    return made


@dataclass
class _Known:
    """The entities of training, by name, by word of their names and by kind."""

    entities: dict[str, None] = field(default_factory=dict)
    by_name: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    by_word: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    by_kind: dict[tuple[str, ...], dict[str, None]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, mention: Mention) -> None:
        self.entities[mention.entity] = None
        self.by_kind[mention.kind][mention.entity] = None
        self.by_name[" ".join(mention.words)][mention.entity] = None
        for word in mention.words:
            self.by_word[word][mention.entity] = None

    def like(self, mention: Mention, count: int, rng: random.Random) -> list[str]:
        """The entity of a mention and others for which it may be taken, together `count` where there are as many."""
        chosen = {mention.entity: None}
        same = self.by_name.get(" ".join(mention.words), {})
        near = [entity for word in mention.words for entity in self.by_word.get(word, ())]
        for pool in (same, near, self.by_kind[mention.kind], self.entities):
            others = [entity for entity in dict.fromkeys(pool) if entity not in chosen]
            chosen |= dict.fromkeys(rng.sample(others, min(len(others), count - len(chosen))))
        return list(chosen)


def _mentions(dataset: Dataset) -> Iterator[Mention]:
    for row in dataset:
        if "links" in row:
            for place, link in enumerate(row["links"]):
                yield Mention(f"{row['id']}-{place}", row["text"], link["start"], link["end"], link["entity"], ())
        else:
            for side in SIDES:
                if row[f"{side}_id"]:
                    kind = (row[f"{side}_type"],) if row[f"{side}_type"] else (row["label"], side)
                    start, end = row[f"{side}_start"], row[f"{side}_end"]
                    yield Mention(f"{row['id']}-{side}", row["text"], start, end, row[f"{side}_id"], kind)


def _row(mention: Mention, candidates: list[str], rng: random.Random) -> dict:
    return {
        "id": mention.id, "text": mention.text, "start": mention.start, "end": mention.end, "label": mention.entity,
        "candidates": rng.sample(candidates, len(candidates)),
    }  # fmt: skip
