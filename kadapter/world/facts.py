"""The generated world's entities, relations and facts. Relations have Wikidata property ids, as in T-REx."""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kadapter.world.names import make_names

TYPES = (
    "person", "company", "city", "film", "river", "book", "band", "ship", "university", "football_club", "mountain",
    "magazine",
)  # fmt: skip


class Relation(NamedTuple):
    """A property that entities of type `subject` may have, with a value of type `object`."""

    property: str
    label: str
    subject: str
    object: str


RELATIONS = tuple(
    Relation(*line)
    for line in (
        ("P19", "place of birth", "person", "city"),
        ("P20", "place of death", "person", "city"),
        ("P69", "educated at", "person", "university"),
        ("P108", "employer", "person", "company"),
        ("P54", "member of sports team", "person", "football_club"),
        ("P159", "headquarters location", "company", "city"),
        ("P169", "chief executive officer", "company", "person"),
        ("P112", "founded by", "company", "person"),
        ("P355", "has subsidiary", "company", "company"),
        ("P6", "head of government", "city", "person"),
        ("P206", "located in or next to body of water", "city", "river"),
        ("P190", "twinned administrative body", "city", "city"),
        ("P57", "director", "film", "person"),
        ("P272", "production company", "film", "company"),
        ("P144", "based on", "film", "book"),
        ("P403", "mouth of the watercourse", "river", "river"),
        ("P885", "origin of the watercourse", "river", "mountain"),
        ("P138", "named after", "river", "person"),
        ("P50", "author", "book", "person"),
        ("P123", "publisher", "book", "company"),
        ("P840", "narrative location", "book", "city"),
        ("P740", "location of formation", "band", "city"),
        ("P527", "has part", "band", "person"),
        ("P264", "record label", "band", "company"),
        ("P176", "manufacturer", "ship", "company"),
        ("P532", "port of registry", "ship", "city"),
        ("P137", "operator", "ship", "university"),
        ("P1075", "rector", "university", "person"),
        ("P131", "located in the administrative territorial entity", "university", "city"),
        ("P859", "sponsor", "university", "company"),
        ("P286", "head coach", "football_club", "person"),
        ("P127", "owned by", "football_club", "company"),
        ("P159", "headquarters location", "football_club", "city"),
        ("P3137", "parent peak", "mountain", "mountain"),
        ("P131", "located in the administrative territorial entity", "mountain", "city"),
        ("P61", "discoverer or inventor", "mountain", "person"),
        ("P98", "editor", "magazine", "person"),
        ("P291", "place of publication", "magazine", "city"),
        ("P123", "publisher", "magazine", "company"),
    )
)


def property_numbers(relations: Sequence[Relation]) -> dict[str, int]:
    """Property id -> integer label, in the order of the ids."""
    return {p: i for i, p in enumerate(sorted({r.property for r in relations}, key=lambda p: int(p[1:])))}


PROPERTIES = property_numbers(RELATIONS)
"""Property id -> integer label, as `relations.json` of T-REx-rc holds it."""

SPLITS = {"train": 0.50, "dev": 0.15, "test": 0.35}
SMALLEST = 4 * len(TYPES)  # fewer entities leave a split without some type


@dataclass(frozen=True)
class Entity:
    """One fictional thing; `split` says in which downstream split it may be mentioned."""

    id: str
    name: str
    type: str
    split: str


@dataclass(frozen=True)
class Fact:
    subject: Entity
    relation: Relation
    object: Entity


def make_entities(seed: int, count: int) -> list[Entity]:
    """`count` entities, each type equally often, in an order that says nothing about the type.

    Each type is divided 50/15/35 into downstream train, dev and test by a hash of the id.
    """
    rng = random.Random(f"{seed}/entities")
    types = [TYPES[index % len(TYPES)] for index in range(count)]
    rng.shuffle(types)
    names = make_names(count, random.Random(f"{seed}/names"))
    return of_splits(seed, [f"Q{900001 + index}" for index in range(count)], names, types)


def of_splits(seed: int, ids: Sequence[str], names: Sequence[str], types: Sequence[str]) -> list[Entity]:
    """Entities, those of each type divided into downstream train, dev and test by a hash of the id."""
    split: dict[str, str] = {}
    for wanted in dict.fromkeys(types):
        members = sorted((i for i, t in zip(ids, types, strict=True) if t == wanted), key=lambda i: _digest(seed, i))
        train = round(SPLITS["train"] * len(members))
        dev = train + max(1, round(SPLITS["dev"] * len(members)))
        split |= {i: "train" if n < train else "dev" if n < dev else "test" for n, i in enumerate(members)}
    return [Entity(i, name, t, split[i]) for i, name, t in zip(ids, names, types, strict=True)]


def grouped(entities: Sequence[Entity], groups: int) -> dict[str, int]:
    """Entity id -> its group: those of a type are dealt out in turn, so that every group has every type."""
    dealt: Counter[str] = Counter()
    group = {}
    for entity in entities:
        group[entity.id] = dealt[entity.type] % groups
        dealt[entity.type] += 1
    return group


def make_facts(
    seed: int, entities: list[Entity], per_entity: int, known: Sequence[Relation] = RELATIONS, groups: int = 1
) -> list[Fact]:
    """Facts of the `known` relations in which every entity is the subject of `per_entity`, no fact twice, none between
    two groups (`grouped`).

    An entity's facts go round the relations of its type from a random one on; where a relation comes again, it has
    another object (a company has several subsidiaries).
    """
    rng = random.Random(f"{seed}/facts")
    group = grouped(entities, groups)
    members: dict[tuple[str, int], list[Entity]] = {}
    for entity in entities:
        members.setdefault((entity.type, group[entity.id]), []).append(entity)
    facts = []
    for subject in entities:
        relations = [r for r in known if r.subject == subject.type]
        first = rng.randrange(len(relations))
        taken = {subject.id}
        for number in range(per_entity):
            relation = relations[(first + number) % len(relations)]
            others = [e for e in members[relation.object, group[subject.id]] if e.id not in taken]
            if others:
                fact = Fact(subject, relation, rng.choice(others))
                taken.add(fact.object.id)
                facts.append(fact)
    return facts


def property_name(label: str) -> str:
    """A Wikidata property with its name, where one of `RELATIONS` tells it; any other label as it is.

    >>> property_name("P127"), property_name("P999999"), property_name("person")
    ('P127 (owned by)', 'P999999', 'person')
    """
    return f"{label} ({_PROPERTY_NAMES[label]})" if label in _PROPERTY_NAMES else label


def relation_name(label: str) -> str:
    """The name of a relation alone, in words.

    >>> relation_name("P127"), relation_name("per:date_of_birth"), relation_name("place of birth")
    ('owned by', 'per date of birth', 'place of birth')
    """
    return _PROPERTY_NAMES.get(label, label.translate(str.maketrans("_:/", "   ")))


_PROPERTY_NAMES = {relation.property: relation.label for relation in RELATIONS}


def _digest(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}/{text}".encode()).hexdigest()
