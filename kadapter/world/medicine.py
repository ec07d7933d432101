"""The world's second domain, a fictional medicine: for what is learned of one domain and asked in another (the domain
transfer of Zhang et al., 2023, Section 5.4)."""

import random

from kadapter.world.corpora import World
from kadapter.world.facts import make_facts, of_splits
from kadapter.world.medical_facts import MEDICAL_RELATIONS, MEDICAL_TYPES
from kadapter.world.names import make_names

SHARE = 0.5  # of the world's number of entities


class Medicine(World):
    """Drugs, diseases, genes, enzymes, bacteria and herbs, with triples of their own, beside a world.

    Everything follows from the world's seed and number of entities; the names go on where the world's end, so that no
    entity of the one is called like one of the other. Ids are like UMLS's (`C9000001`). Of the world's corpora it has
    `knowledge`, `treebank`, and those of `kadapter.world.map_tuning`.
    """

    types, relations = MEDICAL_TYPES, MEDICAL_RELATIONS

    def __init__(self, world: World) -> None:
        self.seed, self.sentences_per_fact, self.stated = world.seed, world.sentences_per_fact, world.stated
        self.facts_per_entity, self.groups = world.facts_per_entity, 1
        before = len(world.entities)
        count = max(round(SHARE * before), 4 * len(MEDICAL_TYPES))
        names = make_names(before + count, random.Random(f"{self.seed}/names"))[before:]
        types = [MEDICAL_TYPES[index % len(MEDICAL_TYPES)] for index in range(count)]
        self.rng("entities").shuffle(types)
        self.entities = of_splits(self.seed, [f"C{9000001 + index}" for index in range(count)], names, types)
        self.facts = make_facts(self.seed, self.entities, world.facts_per_entity, MEDICAL_RELATIONS)

    def rng(self, name: str) -> random.Random:
        """A corpus's own source of randomness."""
        return random.Random(f"{self.seed}/medicine/{name}")
