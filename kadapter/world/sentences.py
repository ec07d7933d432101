"""Sentences about entities as rows of the schemas; what every corpus of the generated world is made with."""

import random
from collections.abc import Sequence
from typing import TypeVar

from kadapter.formats.spans import token_ends
from kadapter.world.facts import Entity, Fact
from kadapter.world.grammar import Sentence, expand, name_fragment, parse
from kadapter.world.statements import ways
from kadapter.world.templates import LEXICON, PAIR, SINGLE

PLAIN, RICH = 0.2, 0.6
"""How often an optional slot is filled: in sentences about entities, and in the treebank."""

T = TypeVar("T")


def about(template: str, mentions: dict[str, Entity], rng: random.Random, richness: float = PLAIN) -> Sentence:
    """A sentence of the template in which each placeholder names its entity."""
    fills = {slot: name_fragment(entity.name) for slot, entity in mentions.items()}
    return parse(expand(template, LEXICON, rng, richness), fills)


def neutral(
    subject: Entity, others: Sequence[Entity], rng: random.Random, richness: float = PLAIN
) -> tuple[Sentence, dict[str, Entity]]:
    """A sentence that says nothing about `subject` or, where it mentions two, about another of `others`."""
    template = rng.choice((*PAIR, *SINGLE))
    mentions = {"S": subject}
    if "{O}" in template:
        mentions["O"] = rng.choice([e for e in others if e is not subject])
    return about(template, mentions, rng, richness), mentions


def statement(fact: Fact, rng: random.Random) -> Sentence:
    """A sentence that states the fact."""
    template = rng.choice(ways(fact))
    return about(template, {"S": fact.subject, "O": fact.object}, rng)


def token_bounds(words: Sequence[str]) -> list[tuple[int, int]]:
    """The characters [start, end) of each word in the words joined by spaces."""
    return [(end - len(word), end) for word, end in zip(words, token_ends(words), strict=True)]


def characters(words: Sequence[str], start: int, end: int) -> tuple[int, int]:
    """Words [start, end) as characters [start, end) of the words joined by spaces."""
    bounds = token_bounds(words)
    return bounds[start][0], bounds[end - 1][1]


def relation_row(sentence: Sentence, object: str = "O", **columns: str) -> dict:
    """A row of the RELATION schema with the spans of {S} and of the placeholder `object`; `columns` replace ""."""
    subj_start, subj_end = characters(sentence.words, *sentence.spans["S"])
    obj_start, obj_end = characters(sentence.words, *sentence.spans[object])
    return {
        "text": " ".join(sentence.words),
        "subj_start": subj_start,
        "subj_end": subj_end,
        "obj_start": obj_start,
        "obj_end": obj_end,
        "subj_id": "",
        "obj_id": "",
        "subj_type": "",
        "obj_type": "",
        "tokens": list(sentence.words),
        **columns,
    }


def cycle(members: Sequence[T], size: int, rng: random.Random) -> list[T]:
    """`size` of `members`: each about equally often, in random order."""
    rounds = [rng.sample(members, len(members)) for _ in range(-(-size // len(members)))]
    chosen = [member for members in rounds for member in members][:size]
    rng.shuffle(chosen)
    return chosen
