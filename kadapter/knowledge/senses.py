"""Which sense a word has in its context, among all senses that it has, and what each sense is a kind of (KnowBERT's
WordNet, Peters et al., 2019; as a choice of glosses, GlossBERT, Huang et al., 2019)."""

import random
from collections.abc import Iterator, Mapping
from typing import Annotated

from datasets import Dataset

from kadapter.formats.schemas import CHOICE
from kadapter.knowledge.making import MadeBy, Most, most_of, table
from kadapter.knowledge.wordnet import Lexicon, mentions
from kadapter.values import value

ANSWERS = 4
KIND = "it is a kind of"


def examples(
    splits: Mapping[str, Dataset],
    *,
    relations: Annotated[bool, value("ask, too, what a synset is a kind of, by its gloss")] = True,
    most: Most = 0,
    seed: MadeBy = 0,
) -> dict[str, Dataset]:
    """Questions of the CHOICE schema from splits of the SYNSET schema.

    *Sense*: an example of a synset, one of its words between `*`, and at most four glosses: its own and those of the
    word's other senses. Words with one sense are not asked. *Relation*: a synset's words and gloss, and four synsets
    that it might be a kind of, by their words; the wrong ones stand above other synsets of the same supersense. Synsets
    of a split are asked in that split alone; as wrong answers they may stand anywhere.
    """
    lexicon = Lexicon([row for dataset in splits.values() for row in dataset])
    tops: dict[str, list[Mapping]] = {}
    for row in lexicon.synsets.values():
        tops.setdefault(row["supersense"], []).extend(lexicon.above(row))
    made = {}
    for split, dataset in splits.items():
        rng = random.Random(f"{seed}/{split}")
        asked: list[dict] = []
        for row in dataset:
            asked += _senses(row, lexicon, rng)
            asked += _kinds(row, lexicon, tops[row["supersense"]], rng) if relations else ()
        made[split] = table(most_of(asked, most, rng), CHOICE)
    return made


def _senses(row: Mapping, lexicon: Lexicon, rng: random.Random) -> Iterator[dict]:
    for number, (text, lemma, start, end) in enumerate(mentions(row)):
        others = [other["gloss"] for other in lexicon.others(lemma, row) if other["gloss"] != row["gloss"]]
        if others:
            context = f"{text[:start]}* {text[start:end]} *{text[end:]}"
            wrong = rng.sample(others, min(len(others), ANSWERS - 1))
            yield _question(f"sense-{row['id']}-{number}", context, lemma, row["gloss"], wrong, rng)


def _kinds(row: Mapping, lexicon: Lexicon, tops: list[Mapping], rng: random.Random) -> Iterator[dict]:
    above = lexicon.above(row)
    if not above:
        return
    own = {other["id"] for other in (row, *above)}
    wrong: dict[str, str] = {}
    for _ in range(8 * ANSWERS):
        other = rng.choice(tops)
        if other["id"] not in own and len(wrong) < ANSWERS - 1:
            wrong[other["id"]] = ", ".join(other["lemmas"])
    if wrong:
        right = ", ".join(rng.choice(above)["lemmas"])
        context = f"{', '.join(row['lemmas'])}: {row['gloss']}"
        yield _question(f"relation-{row['id']}", context, KIND, right, list(wrong.values()), rng)


def _question(id: str, context: str, question: str, right: str, wrong: list[str], rng: random.Random) -> dict:
    answers = rng.sample([right, *wrong], 1 + len(wrong))
    return {
        "id": id, "context": context, "question": question, "answers": answers, "label": answers.index(right),
    }  # fmt: skip
