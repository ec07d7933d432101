"""How two words are related: synonyms, one above the other, or neither (LIBERT, Lauscher et al., 2020)."""

import random
from collections.abc import Mapping

from datasets import Dataset

from kadapter.formats.schemas import RELATION
from kadapter.knowledge.making import MadeBy, Most, most_of, table
from kadapter.knowledge.wordnet import Lexicon, drawn

SYNONYM, HYPERNYM, NEITHER = "synonym", "hypernym", "neither"
TRIES = 20  # words drawn for an unrelated pair before it is left out

Pair = tuple[str, str]


def examples(splits: Mapping[str, Dataset], *, most: Most = 0, seed: MadeBy = 0) -> dict[str, Dataset]:
    """Rows of the RELATION schema, `synonym`, `hypernym` (the second word is above the first) or `neither`, from splits
    of the SYNSET schema.

    A synset gives a pair of its words, and one of its words with a word of a synset above it. For each pair another
    stands beside it: its first word with the second word of some pair, where no synset relates them. No pair is in two
    splits, so that a test pair was not seen, though its words may have been.
    """
    lexicon = Lexicon([row for dataset in splits.values() for row in dataset])
    related = {pair for row in lexicon.synsets.values() for pair in _related(row, lexicon)}
    seen: set[frozenset[str]] = set()
    made = {}
    for split, dataset in splits.items():
        rng = random.Random(f"{seed}/{split}")
        found = [pair for row in drawn(list(dataset), rng) for pair in _pairs(row, lexicon, rng)]
        once = {frozenset(words): (words, label) for words, label in found if len(set(words)) == 2}
        pairs = [(key, *pair) for key, pair in once.items() if key not in seen]
        seconds = [words[1] for _, words, _ in pairs]
        rows = []
        for key, words, label in pairs:
            rows.append((words, label))
            seen.add(key)
            other = _unrelated(words[0], seconds, related, seen, rng)
            if other:
                rows.append(((words[0], other), NEITHER))
                seen.add(frozenset((words[0], other)))
        chosen = enumerate(most_of(rows, most, rng))
        made[split] = table((_row(str(i), *words, label) for i, (words, label) in chosen), RELATION)
    return made


def _related(row: Mapping, lexicon: Lexicon) -> set[Pair]:
    """All pairs of words that a synset relates, in both directions."""
    others = {lemma for above in (row, *lexicon.above(row)) for lemma in above["lemmas"]}
    pairs = {(lemma, other) for lemma in row["lemmas"] for other in others}
    return pairs | {(b, a) for a, b in pairs}


def _pairs(row: Mapping, lexicon: Lexicon, rng: random.Random) -> list[tuple[Pair, str]]:
    found: list[tuple[Pair, str]] = []
    if len(row["lemmas"]) > 1:
        first, second = rng.sample(row["lemmas"], 2)
        found.append(((first, second), SYNONYM))
    if above := lexicon.above(row):
        found.append(((rng.choice(row["lemmas"]), rng.choice(rng.choice(above)["lemmas"])), HYPERNYM))
    return found


def _unrelated(
    word: str, seconds: list[str], related: set[Pair], seen: set[frozenset[str]], rng: random.Random
) -> str | None:
    for _ in range(TRIES):
        other = rng.choice(seconds)
        if other != word and (word, other) not in related and frozenset((word, other)) not in seen:
            return other
    return None


def _row(id: str, first: str, second: str, label: str) -> dict:
    text = f"{first} ; {second}"
    return {
        "id": id, "text": text, "subj_start": 0, "subj_end": len(first), "obj_start": len(text) - len(second),
        "obj_end": len(text), "label": label, "subj_id": "", "obj_id": "", "subj_type": "", "obj_type": "",
        "tokens": [],
    }  # fmt: skip
