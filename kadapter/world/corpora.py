"""The generated world and its corpora, as datasets in the schemas of `kadapter.formats`."""

import random
from collections.abc import Sequence
from functools import cached_property

from datasets import Dataset

from kadapter.errors import KAdapterError
from kadapter.formats.schemas import DEPENDENCY, RELATION, TYPING
from kadapter.world.dated import DATED, DATED_LEXICON, LABELS, MONTHS, NO_RELATION
from kadapter.world.facts import PROPERTIES, Entity, Fact, make_entities, make_facts
from kadapter.world.grammar import Sentence, expand, name_fragment, parse
from kadapter.world.statements import STATEMENTS
from kadapter.world.templates import LEXICON, PAIR, SINGLE

SIZES = {
    "treebank": {"train": 2000, "dev": 300, "test": 300},
    "typing": {"train": 800, "dev": 250, "test": 500},
    "ambiguous": {"train": 1000, "dev": 250, "test": 500},
}
"""Sentences per split in a world of 1,000 entities; others in proportion."""

PLAIN, RICH = 0.2, 0.6
"""How often an optional slot is filled: in sentences about entities, and in the treebank."""

NO_RELATION_SHARE = 0.10
HELD_OUT = 1 / 12


class World:
    """A universe of fictional entities, facts among them, and sentences about them; everything follows from `seed`.

    `facts_per_entity`: facts of which each entity is the subject. `sentences_per_fact`: training sentences of the
    factual corpus per fact. `stated`: share of those that state the relation; the others only mention both entities.
    Whatever a model knows of these entities it learned from the factual corpus: no name tells its type, and the
    treebank, the typing sentences and the ambiguous relation sentences have the same contexts for every type.
    """

    def __init__(
        self,
        seed: int = 0,
        entities: int = 1000,
        *,
        facts_per_entity: int = 6,
        sentences_per_fact: int = 1,
        stated: float = 0.15,
    ) -> None:
        for name, value in (("facts_per_entity", facts_per_entity), ("sentences_per_fact", sentences_per_fact)):
            if value < 1:
                raise KAdapterError(f"world parameter {name} is {value}: at least 1 is needed")
        if not 0 <= stated <= 1:
            raise KAdapterError(f"world parameter stated is {stated}: a share from 0 to 1 is needed")
        self.seed = seed
        self.sentences_per_fact = sentences_per_fact
        self.stated = stated
        self.entities: list[Entity] = make_entities(seed, entities)
        self.facts: list[Fact] = make_facts(seed, self.entities, facts_per_entity)

    @cached_property
    def _of_split(self) -> dict[str, list[Entity]]:
        return {split: [e for e in self.entities if e.split == split] for split in ("train", "dev", "test")}

    def _sizes(self, corpus: str) -> dict[str, int]:
        return {split: max(1, round(n * len(self.entities) / 1000)) for split, n in SIZES[corpus].items()}

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self.seed}/{name}")

    def knowledge(self) -> dict[str, Dataset]:
        """The factual corpus: relation examples labelled with property ids, every entity a subject.

        Each fact has `sentences_per_fact` sentences in `train`; a share `HELD_OUT` of them have another one in `dev`.
        """
        rng = self._rng("knowledge")
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
        for split in rows.values():
            rng.shuffle(split)
        return {split: Dataset.from_list(found, features=RELATION) for split, found in rows.items()}

    def _about(self, fact: Fact, rng: random.Random, stated: float) -> dict:
        """One example: a sentence that states the fact, with probability `stated`, or only mentions both entities."""
        key = (fact.relation.property, fact.relation.subject)
        template = rng.choice(STATEMENTS[key] if rng.random() < stated else PAIR)
        fills = {"S": name_fragment(fact.subject.name), "O": name_fragment(fact.object.name)}
        sentence = parse(expand(template, LEXICON, rng, PLAIN), fills)
        return _relation(sentence, "S", "O", fact.subject.id, fact.relation.property, fact.subject.id, fact.object.id)

    def treebank(self) -> dict[str, Dataset]:
        """The linguistic corpus: dependency trees of neutral sentences about the same entities."""
        rng = self._rng("treebank")
        corpus = {}
        for split, size in self._sizes("treebank").items():
            rows = []
            for number in range(size):
                sentence, _ = self._neutral(rng.choice(self.entities), self.entities, rng, RICH)
                rows.append(
                    {
                        "id": f"world-{split}-{number + 1}",
                        "words": list(sentence.words),
                        "heads": list(sentence.heads),
                        "deprels": list(sentence.deprels),
                        "upos": list(sentence.upos),
                    }
                )
            corpus[split] = Dataset.from_list(rows, features=DEPENDENCY)
        return corpus

    def _neutral(
        self, subject: Entity, entities: Sequence[Entity], rng: random.Random, richness: float
    ) -> tuple[Sentence, dict[str, Entity]]:
        """A sentence that says nothing about `subject` or, where it mentions two, about another of `entities`."""
        template = rng.choice((*PAIR, *SINGLE))
        mentions = {"S": subject}
        if "{O}" in template:
            mentions["O"] = rng.choice([e for e in entities if e is not subject])
        fills = {slot: name_fragment(entity.name) for slot, entity in mentions.items()}
        return parse(expand(template, LEXICON, rng, richness), fills), mentions

    def typing(self) -> dict[str, Dataset]:
        """Entity typing: neutral sentences, the label is the type of the mentioned entity.

        No split mentions an entity of another.
        """
        rng = self._rng("typing")
        corpus = {}
        for split, size in self._sizes("typing").items():
            rows = []
            for number, subject in enumerate(_cycle(self._of_split[split], size, rng)):
                sentence, mentions = self._neutral(subject, self._of_split[split], rng, PLAIN)
                spans = {slot: _characters(sentence.words, *sentence.spans[slot]) for slot in mentions}
                rows.append(
                    {
                        "id": str(number),
                        "text": " ".join(sentence.words),
                        "start": spans["S"][0],
                        "end": spans["S"][1],
                        "labels": [subject.type],
                        "ents": [
                            {"id": entity.id, "start": spans[slot][0], "end": spans[slot][1], "score": 1.0}
                            for slot, entity in mentions.items()
                        ],
                    }
                )
            corpus[split] = Dataset.from_list(rows, features=TYPING)
        return corpus

    def ambiguous(self) -> dict[str, Dataset]:
        """Relation examples with the same text for every type of subject (Table 7), split by entity as in `typing`."""
        rng = self._rng("ambiguous")
        corpus = {}
        for split, size in self._sizes("ambiguous").items():
            rows = []
            members = [e for e in self._of_split[split] if e.type in LABELS]
            for number, subject in enumerate(_cycle(members, size, rng)):
                none = rng.random() < NO_RELATION_SHARE
                family = NO_RELATION if none else rng.choice(("begin", "end"))
                label = NO_RELATION if none else LABELS[subject.type][family == "end"]
                template = expand(rng.choice(DATED[family]), DATED_LEXICON, rng, PLAIN)
                fills = {"S": name_fragment(subject.name), "DAY": _day(rng), "YEAR": _year(rng)}
                sentence = parse(template, fills)
                date = "DAY" if "DAY" in sentence.spans else "YEAR"
                row = _relation(sentence, "S", date, f"{split}-{number + 1}", label, subject.id, "")
                rows.append(row | {"subj_type": "ENTITY", "obj_type": "DATE"})
            corpus[split] = Dataset.from_list(rows, features=RELATION)
        return corpus

    def describe(self) -> dict:
        """The world as plain data, for inspection: entities with type and downstream split, relations, facts."""
        return {
            "seed": self.seed,
            "entities": {e.id: {"name": e.name, "type": e.type, "split": e.split} for e in self.entities},
            "relations": PROPERTIES,
            "facts": [[f.subject.id, f.relation.property, f.object.id] for f in self.facts],
        }


def _cycle(members: list[Entity], size: int, rng: random.Random) -> list[Entity]:
    """`size` subjects: every member about equally often, in random order."""
    rounds = [rng.sample(members, len(members)) for _ in range(-(-size // len(members)))]
    chosen = [entity for members in rounds for entity in members][:size]
    rng.shuffle(chosen)
    return chosen


def _day(rng: random.Random) -> str:
    month, day = rng.choice(MONTHS), rng.randint(1, 28)
    return rng.choice((f"{month}/PROPN (nummod {day})", f"(nummod {day}) {month}/PROPN"))


def _year(rng: random.Random) -> str:
    year = rng.randint(1801, 2019)
    return rng.choice((f"{year}/NUM", f"{rng.choice(MONTHS)}/PROPN (nummod {year})"))


def _characters(words: Sequence[str], start: int, end: int) -> tuple[int, int]:
    """Words [start, end) as characters [start, end) of the words joined by spaces."""
    first = sum(len(word) + 1 for word in words[:start])
    return first, first + len(" ".join(words[start:end]))


def _relation(
    sentence: Sentence, subject: str, object: str, id: str, label: str, subject_id: str, object_id: str
) -> dict:
    subj_start, subj_end = _characters(sentence.words, *sentence.spans[subject])
    obj_start, obj_end = _characters(sentence.words, *sentence.spans[object])
    return {
        "id": id,
        "text": " ".join(sentence.words),
        "subj_start": subj_start,
        "subj_end": subj_end,
        "obj_start": obj_start,
        "obj_end": obj_end,
        "label": label,
        "subj_id": subject_id,
        "obj_id": object_id,
        "subj_type": "",
        "obj_type": "",
        "tokens": list(sentence.words),
    }
