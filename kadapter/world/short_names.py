"""Names that two entities share, and sentences that call entities by them: which of the two is meant the sentence tells
that states a fact; where it only mentions both ends of one, knowledge of the fact does."""

from datasets import Dataset

from kadapter.formats.schemas import RELATION
from kadapter.world.corpora import World
from kadapter.world.facts import Entity, Fact
from kadapter.world.grammar import expand, name_fragment, parse
from kadapter.world.sentences import PLAIN, relation_row
from kadapter.world.statements import ways
from kadapter.world.templates import LEXICON, PAIR

FACTS = 2  # of each entity as the subject: as many as a small adapter learns by heart
SENTENCES = {"train": 4, "dev": 1, "test": 1}
"""Split -> sentences about each of these facts."""


def short_names(world: World) -> dict[str, str]:
    """A short name for each entity, by id: that of an entity of another type, too, wherever there is a partner."""
    rng = world.rng("short names")
    short: dict[str, str] = {}
    waiting: list[Entity] = []  # all of one type
    for entity in rng.sample(world.entities, len(world.entities)):
        short[entity.id] = f"Old {entity.name.split()[0]}"
        if waiting and waiting[-1].type != entity.type:
            short[waiting.pop().id] = short[entity.id]
        else:
            waiting.append(entity)
    return short


def linking(world: World) -> dict[str, Dataset]:
    """Sentences about facts that call both ends by their short names; no sentence twice. All splits are about the same
    facts, the share `stated` of their sentences states them."""
    rng, names = world.rng("linking"), short_names(world)
    of_subject: dict[str, list[Fact]] = {}
    for fact in world.facts:
        of_subject.setdefault(fact.subject.id, []).append(fact)
    rows: dict[str, list[dict]] = {split: [] for split in SENTENCES}
    for fact in (fact for facts in of_subject.values() for fact in facts[:FACTS]):
        fills = {slot: name_fragment(names[e.id]) for slot, e in (("S", fact.subject), ("O", fact.object))}
        ids = {"subj_id": fact.subject.id, "obj_id": fact.object.id}
        texts: set[str] = set()
        for split in (split for split, count in SENTENCES.items() for _ in range(count)):
            stated = rng.random() < world.stated
            row = None
            while row is None or row["text"] in texts:  # there are few ways to state a fact, and many to mention it
                template = expand(rng.choice(ways(fact) if stated else PAIR), LEXICON, rng, PLAIN)
                number = str(len(rows[split]))
                row = relation_row(parse(template, fills), label=fact.relation.property, id=number, **ids)
                stated = False
            texts.add(row["text"])
            rows[split].append(row)
    for examples in rows.values():
        rng.shuffle(examples)
    return {split: Dataset.from_list(examples, features=RELATION) for split, examples in rows.items()}
