"""Corpora for map-tuning (Zhang et al., 2023): in a world of bare names and neutral sentences a mapping network would
have nothing to learn from, and a model nothing to read a mapped vector by. So

- the linked corpus, for general map-tuning, calls part of its entities by full names, which tell what they are;
- the spoken text, for the language layer of a backbone that has none, says before some names, too, what they name;
- the downstream training parts mix sentences that tell the subject's type with sentences that do not;
- the entities of the downstream test parts stand in neutral sentences under bare names. They are in the graph, and in
  neither training text.

Beside each test part stands the same text with the type said, `oracle`: what a model reaches that sees the type.
"""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from datasets import Dataset

from kadapter.formats import entity_typing, opennre
from kadapter.formats.schemas import RELATION, TYPING
from kadapter.world.corpora import NO_RELATION_SHARE, World
from kadapter.world.dated import DATED, DATED_LEXICON, LABELS, NO_RELATION, day, year
from kadapter.world.facts import Entity
from kadapter.world.grammar import Sentence, expand, name_fragment, parse
from kadapter.world.medical_facts import MEDICAL_LABELS
from kadapter.world.medicine import Medicine
from kadapter.world.probes import write_triples
from kadapter.world.sentences import PLAIN, characters, cycle, relation_row
from kadapter.world.statements import ways
from kadapter.world.telling import full_name, with_noun
from kadapter.world.templates import LEXICON, PAIR, SINGLE

SIZES = {
    "linked": {"train": 4000, "dev": 400},
    "spoken": {"train": 6000, "dev": 400},
    "typing": {"train": 1600, "dev": 300, "test": 600},
    "relation": {"train": 1600, "dev": 300, "test": 600},
}
"""Examples per split beside a world of 1,000 entities; others, and the second domain, in proportion."""

FULL = 0.5  # share of the linked corpus's entities that are called by a full name
STATED = 0.3  # share of its sentences that state the fact that links their entities
SAID = 0.6  # share of the spoken text's names before which a noun says what they name
TELLING = 0.5  # share of telling sentences in the downstream train and dev parts
DATED_LABELS = LABELS | MEDICAL_LABELS


def linked(world: World) -> dict[str, Dataset]:
    """The linked corpus: sentences about two entities of `train` (or of `dev`) and the property that links them.

    Every entity has one name in it, a full one for the share `FULL`, the bare one for the others.
    """
    rng = world.rng("linked")
    names = {e.id: full_name(e, rng) if rng.random() < FULL else e.name for e in world.entities}
    return _facts_told(world, "linked", rng, lambda entity: names[entity.id])


def spoken(world: World) -> dict[str, Dataset]:
    """Text for a language layer: sentences as those of the linked corpus, in which each name is full or bare by chance,
    and a noun may say before it what it names."""
    rng = world.rng("spoken")
    return _facts_told(world, "spoken", rng, lambda e: full_name(e, rng) if rng.random() < FULL else e.name, SAID)


def _facts_told(
    world: World, corpus: str, rng: random.Random, named: Callable[[Entity], str], said: float = 0.0
) -> dict[str, Dataset]:
    """Sentences about the two entities of a fact, which they state or not; `said` is the share of names before which a
    noun stands."""
    made = {}
    for split, size in _sizes(world, corpus).items():
        facts = [f for f in world.facts if f.subject.split == f.object.split == split]
        if not facts:  # a small world may link no two entities of dev: it has no such file then
            continue
        rows = []
        for number, fact in enumerate(cycle(facts, size, rng)):
            stated = rng.random() < STATED
            template = rng.choice(ways(fact) if stated else PAIR)
            entities = {"S": fact.subject, "O": fact.object}
            fills = {slot: name_fragment(named(entity)) for slot, entity in entities.items()}
            template = expand(template, LEXICON, rng, PLAIN)
            for slot, entity in entities.items() if said else ():
                template = with_noun(template, slot, entity, rng) if rng.random() < said else template
            sentence = parse(template, fills)
            ids = {"id": str(number), "subj_id": fact.subject.id, "obj_id": fact.object.id}
            rows.append(relation_row(sentence, label=fact.relation.property, **ids))
        made[split] = Dataset.from_list(rows, features=RELATION)
    return made


def typing(world: World) -> dict[str, Dataset]:
    """Entity typing, with links: train and dev mix telling and neutral sentences, test has neutral ones, oracle the
    same with the type said before the name.

    A telling sentence states a fact of its subject, calls it by its full name, or says its type before the name.
    """
    rng = world.rng("linked typing")
    corpus: dict[str, list[dict]] = {}
    for split, size in _sizes(world, "typing").items():
        rows = corpus[split] = []
        members = world.of_split[split]
        facts: dict[str, list] = {}
        for fact in world.facts:
            if fact.subject.split == fact.object.split == split:
                facts.setdefault(fact.subject.id, []).append(fact)
        for number, subject in enumerate(cycle(members, size, rng)):
            mentions, name, template = {"S": subject}, subject.name, rng.choice((*PAIR, *SINGLE))
            kind = "" if split == "test" or rng.random() >= TELLING else rng.choice(("fact", "full", "noun"))
            if kind == "fact" and subject.id in facts:
                fact = rng.choice(facts[subject.id])
                template, mentions["O"] = rng.choice(ways(fact)), fact.object
            elif kind == "full":
                name = full_name(subject, rng)
            if "{O}" in template and "O" not in mentions:
                mentions["O"] = rng.choice([e for e in members if e is not subject])
            template = expand(template, LEXICON, rng, PLAIN)
            said = with_noun(template, "S", subject, rng)
            told = kind == "noun" or (kind == "fact" and subject.id not in facts)
            rows.append(_typing_row(number, said if told else template, mentions, name))
            if split == "test":
                corpus.setdefault("oracle", []).append(_typing_row(number, said, mentions, name))
    return {split: Dataset.from_list(rows, features=TYPING) for split, rows in corpus.items()}


def relation(world: World) -> dict[str, Dataset]:
    """The ambiguous relation task, with links: as `World.ambiguous`, whose text is the same for every type of subject;
    train and dev say that type before the name in some sentences, oracle in all, test in none."""
    rng = world.rng("linked relation")
    corpus: dict[str, list[dict]] = {}
    for split, size in _sizes(world, "relation").items():
        rows = corpus[split] = []
        members = [e for e in world.of_split[split] if e.type in DATED_LABELS]
        for number, subject in enumerate(cycle(members, size, rng)):
            none = rng.random() < NO_RELATION_SHARE
            family = NO_RELATION if none else rng.choice(("begin", "end"))
            label = NO_RELATION if none else DATED_LABELS[subject.type][family == "end"]
            template = expand(rng.choice(DATED[family]), DATED_LEXICON, rng, PLAIN)
            fills = {"S": name_fragment(subject.name), "DAY": day(rng), "YEAR": year(rng)}
            said = with_noun(template, "S", subject, rng)
            told = split != "test" and rng.random() < TELLING
            columns = {"id": str(number), "label": label, "subj_id": subject.id}
            rows.append(_dated_row(said if told else template, fills, columns))
            if split == "test":
                corpus.setdefault("oracle", []).append(_dated_row(said, fills, columns))
    return {split: Dataset.from_list(rows, features=RELATION) for split, rows in corpus.items()}


def write_map_tuning(world: World, out: Path) -> dict[str, int]:
    """Writes `map_tuning/{linked,spoken,relation}/*.jsonl` (OpenNRE) and `map_tuning/typing/*.json` (ERNIE's) under
    `out`, the same of the second domain under `medicine/`, and its `triples/*.txt` and `world.json`; the number of rows
    of each file."""
    medicine = Medicine(world)
    counts = write_triples(medicine, out / "medicine", "medicine/")
    for domain, folder in ((world, "map_tuning"), (medicine, "medicine")):
        for name, dataset in _files(domain):
            module = entity_typing if name.endswith(".json") else opennre
            module.write(dataset, out / folder / name)
            counts[f"{folder}/{name}"] = len(dataset)
    described = json.dumps(medicine.describe(), indent=1) + "\n"
    (out / "medicine" / "world.json").write_text(described, encoding="utf-8")
    return counts


def _files(world: World) -> Iterator[tuple[str, Dataset]]:
    for corpus, suffix in ((linked, "jsonl"), (spoken, "jsonl"), (typing, "json"), (relation, "jsonl")):
        for split, dataset in corpus(world).items():
            yield f"{corpus.__name__}/{split}.{suffix}", dataset


def _sizes(world: World, corpus: str) -> dict[str, int]:
    return {split: max(1, round(n * len(world.entities) / 1000)) for split, n in SIZES[corpus].items()}


def _typing_row(number: int, template: str, mentions: dict[str, Entity], name: str) -> dict:
    fills = {slot: name_fragment(name if slot == "S" else entity.name) for slot, entity in mentions.items()}
    sentence: Sentence = parse(template, fills)
    ents = []
    for slot, entity in mentions.items():
        start, end = characters(sentence.words, *sentence.spans[slot])
        ents.append({"id": entity.id, "start": start, "end": end, "score": 1.0})
    mention = {"start": ents[0]["start"], "end": ents[0]["end"], "labels": [mentions["S"].type]}
    return {"id": str(number), "text": " ".join(sentence.words), "ents": ents} | mention


def _dated_row(template: str, fills: dict[str, str], columns: dict[str, str]) -> dict:
    sentence = parse(template, fills)
    return relation_row(sentence, "DAY" if "DAY" in sentence.spans else "YEAR", **columns)
