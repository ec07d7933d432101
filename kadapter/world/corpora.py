"""The generated world and its main corpora, as datasets in the schemas of `kadapter.formats`."""

import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated

from datasets import Dataset

from kadapter.errors import KAdapterError
from kadapter.formats.schemas import DEPENDENCY, RELATION, TYPING
from kadapter.values import Seed, checked, value
from kadapter.world.dated import DATED, DATED_LEXICON, LABELS, NO_RELATION, day, year
from kadapter.world.facts import (
    RELATIONS,
    SMALLEST,
    TYPES,
    Entity,
    Fact,
    Relation,
    grouped,
    make_entities,
    make_facts,
    property_numbers,
)
from kadapter.world.grammar import expand, name_fragment, parse
from kadapter.world.sentences import PLAIN, RICH, about, characters, cycle, neutral, relation_row, statement
from kadapter.world.templates import PAIR

SIZES = {
    "treebank": {"train": 2000, "dev": 300, "test": 300},
    "typing": {"train": 800, "dev": 250, "test": 500},
    "ambiguous": {"train": 1000, "dev": 250, "test": 500},
    "fine_typing": {"train": 800, "dev": 250, "test": 500},
    "choice": {"train": 600, "valid": 200, "test": 400},
    "searchqa": {"train": 300, "dev": 100, "test": 200},
    "quasart": {"train": 300, "dev": 100, "test": 200},
    "fewrel": {"train": 560, "dev": 140, "test": 280},
}
"""Examples per split in a world of 1,000 entities; others in proportion."""

NO_RELATION_SHARE = 0.10
HELD_OUT = 1 / 12

FINE_TYPES = {
    "person": ("/livingthing", "/livingthing/person"),
    "company": ("/organization", "/organization/company"),
    "city": ("/location", "/location/city"),
    "film": ("/art", "/art/film"),
    "river": ("/location", "/location/body_of_water"),
    "book": ("/written_work", "/written_work/book"),
    "band": ("/organization", "/organization/music_group"),
    "ship": ("/product", "/product/ship"),
    "university": ("/organization", "/organization/educational_institution"),
    "football_club": ("/organization", "/organization/sports_team"),
    "mountain": ("/location", "/location/mountain"),
    "magazine": ("/written_work", "/written_work/magazine"),
}
"""Type -> labels in the manner of FIGER (Ling and Weld, 2012): a coarse one and a fine one below it."""


class World:
    """A universe of fictional entities, facts among them, and sentences about them; everything follows from `seed`.

    `facts_per_entity`: facts of which each entity is the subject. `sentences_per_fact`: training sentences of the
    factual corpus per fact. `stated`: share of those that state the relation; the others only mention both entities.
    `groups`: no fact is about entities of two of them, and each has a factual corpus of its own, too.
    Whatever a model knows of these entities it learned from the factual corpus: no name tells its type, and the
    treebank, the typing sentences and the ambiguous relation sentences have the same contexts for every type.
    """

    types: tuple[str, ...] = TYPES
    relations: tuple[Relation, ...] = RELATIONS

    @checked("world parameter")
    def __init__(
        self,
        seed: Annotated[Seed, value("of everything in it")] = 0,
        entities: Annotated[int, value("in it, each of 12 types equally often", SMALLEST, 1_000_000)] = 1000,
        *,
        facts_per_entity: Annotated[int, value("facts of which each entity is the subject", 1, 100)] = 6,
        sentences_per_fact: Annotated[int, value("training sentences of the factual corpus per fact", 1, 100)] = 1,
        stated: Annotated[
            float, value("share of those that state the relation; the others only mention both entities", 0, 1)
        ] = 0.15,
        groups: Annotated[int, value("groups of entities that have facts among themselves alone", 1, 26)] = 1,
    ) -> None:
        if entities < groups * SMALLEST:
            raise KAdapterError(f"entities: found {entities} for {groups} groups; expected {groups * SMALLEST} or more")
        self.seed, self.facts_per_entity = seed, facts_per_entity
        self.sentences_per_fact = sentences_per_fact
        self.stated = stated
        self.entities: list[Entity] = make_entities(seed, entities)
        self.facts: list[Fact] = make_facts(seed, self.entities, facts_per_entity, groups=groups)
        self.groups = groups

    @cached_property
    def of_split(self) -> dict[str, list[Entity]]:
        """Downstream split -> the entities that it may mention."""
        members = {split: [e for e in self.entities if e.split == split] for split in ("train", "dev", "test")}
        return members | {"valid": members["dev"]}  # as CosmosQA calls it

    def sizes(self, corpus: str) -> dict[str, int]:
        """Split -> examples of a corpus in `SIZES`, for this number of entities."""
        return {split: max(1, round(n * len(self.entities) / 1000)) for split, n in SIZES[corpus].items()}

    def rng(self, name: str) -> random.Random:
        """A corpus's own source of randomness, so that a change of one corpus leaves the others as they are."""
        return random.Random(f"{self.seed}/{name}")

    @cached_property
    def knowledge_rows(self) -> dict[str, list[dict]]:
        """The rows of `knowledge`."""
        rng = self.rng("knowledge")
        rows: dict[str, list[dict]] = {"train": [], "dev": []}
        held_out = set(rng.sample(range(len(self.facts)), max(1, round(HELD_OUT * len(self.facts)))))
        for number, fact in enumerate(self.facts):
            splits = ["train"] * self.sentences_per_fact + ["dev"] * (number in held_out)
            texts: set[str] = set()
            for split in splits:
                row = self._about(fact, rng, self.stated)
                while row["text"] in texts:  # there are few ways to state a fact, and many to mention it
                    row = self._about(fact, rng, 0.0)
                texts.add(row["text"])
                rows[split].append(row)
        for examples in rows.values():
            rng.shuffle(examples)
        return rows

    def _about(self, fact: Fact, rng: random.Random, stated: float) -> dict:
        """One example: a sentence that states the fact, with probability `stated`, or only mentions both entities."""
        if rng.random() < stated:
            sentence = statement(fact, rng)
        else:
            sentence = about(rng.choice(PAIR), {"S": fact.subject, "O": fact.object}, rng)
        ids = {"id": fact.subject.id, "subj_id": fact.subject.id, "obj_id": fact.object.id}
        return relation_row(sentence, label=fact.relation.property, **ids)

    def knowledge(self) -> dict[str, Dataset]:
        """The factual corpus: relation examples labelled with property ids, every entity a subject.

        Each fact has `sentences_per_fact` sentences in `train`; a share `HELD_OUT` of them have another one in `dev`.
        """
        return {split: Dataset.from_list(rows, features=RELATION) for split, rows in self.knowledge_rows.items()}

    def knowledge_of_groups(self) -> dict[str, dict[str, Dataset]]:
        """The factual corpus of each group, `a`, `b`, ...: its part of `knowledge`, and as `test` another sentence
        about each of its facts that `dev` has not, which only mentions both entities."""
        rng, group = self.rng("groups"), grouped(self.entities, self.groups)
        corpora = {}
        for number in range(self.groups):
            rows = {
                split: [row for row in found if group[row["subj_id"]] == number]
                for split, found in self.knowledge_rows.items()
            }
            held_out = {(row["subj_id"], row["obj_id"], row["label"]) for row in rows["dev"]}
            texts = {row["text"] for found in rows.values() for row in found}
            rows["test"] = []
            for fact in self.facts:
                key = (fact.subject.id, fact.object.id, fact.relation.property)
                if group[fact.subject.id] == number and key not in held_out:
                    row = self._about(fact, rng, 0.0)
                    while row["text"] in texts:
                        row = self._about(fact, rng, 0.0)
                    rows["test"].append(row)
            corpora[chr(ord("a") + number)] = {
                split: Dataset.from_list(found, features=RELATION) for split, found in rows.items()
            }
        return corpora

    def treebank(self) -> dict[str, Dataset]:
        """The linguistic corpus: dependency trees of neutral sentences about the same entities."""
        rng = self.rng("treebank")
        corpus = {}
        for split, size in self.sizes("treebank").items():
            rows = []
            for number in range(size):
                sentence, _ = neutral(rng.choice(self.entities), self.entities, rng, RICH)
                columns = {name: list(getattr(sentence, name)) for name in ("words", "heads", "deprels", "upos")}
                rows.append({"id": f"world-{split}-{number + 1}"} | columns)
            corpus[split] = Dataset.from_list(rows, features=DEPENDENCY)
        return corpus

    def typing(self) -> dict[str, Dataset]:
        """Entity typing: neutral sentences, the label is the type of the mentioned entity.

        No split mentions an entity of another.
        """
        return self._typing("typing", {name: (name,) for name in self.types})

    def fine_typing(self) -> dict[str, Dataset]:
        """Entity typing with two labels per mention, `FINE_TYPES`; otherwise like `typing`, in other sentences."""
        return self._typing("fine_typing", FINE_TYPES)

    def _typing(self, name: str, labels: Mapping[str, Sequence[str]]) -> dict[str, Dataset]:
        rng = self.rng(name)
        corpus = {}
        for split, size in self.sizes(name).items():
            rows = []
            for number, subject in enumerate(cycle(self.of_split[split], size, rng)):
                sentence, mentions = neutral(subject, self.of_split[split], rng)
                ents = []
                for slot, entity in mentions.items():
                    start, end = characters(sentence.words, *sentence.spans[slot])
                    ents.append({"id": entity.id, "start": start, "end": end, "score": 1.0})
                mention = {"start": ents[0]["start"], "end": ents[0]["end"], "labels": list(labels[subject.type])}
                rows.append({"id": str(number), "text": " ".join(sentence.words), "ents": ents} | mention)
            corpus[split] = Dataset.from_list(rows, features=TYPING)
        return corpus

    def ambiguous(self) -> dict[str, Dataset]:
        """Relation examples with the same text for every type of subject (Table 7), split by entity as in `typing`."""
        rng = self.rng("ambiguous")
        corpus = {}
        for split, size in self.sizes("ambiguous").items():
            rows = []
            members = [e for e in self.of_split[split] if e.type in LABELS]
            for number, subject in enumerate(cycle(members, size, rng)):
                none = rng.random() < NO_RELATION_SHARE
                family = NO_RELATION if none else rng.choice(("begin", "end"))
                label = NO_RELATION if none else LABELS[subject.type][family == "end"]
                template = expand(rng.choice(DATED[family]), DATED_LEXICON, rng, PLAIN)
                fills = {"S": name_fragment(subject.name), "DAY": day(rng), "YEAR": year(rng)}
                sentence = parse(template, fills)
                date = "DAY" if "DAY" in sentence.spans else "YEAR"
                columns = {"id": f"{split}-{number + 1}", "label": label, "subj_id": subject.id}
                rows.append(relation_row(sentence, date, **columns, subj_type="ENTITY", obj_type="DATE"))
            corpus[split] = Dataset.from_list(rows, features=RELATION)
        return corpus

    def describe(self) -> dict:
        """The world as plain data, for inspection: entities with type and downstream split, relations, facts."""
        return {
            "seed": self.seed,
            "entities": {e.id: {"name": e.name, "type": e.type, "split": e.split} for e in self.entities},
            "relations": property_numbers(self.relations),
            "facts": [[f.subject.id, f.relation.property, f.object.id] for f in self.facts],
        }
