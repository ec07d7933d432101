"""Names of the fictional entities: one generator for every type, so that a name says nothing about what it names."""

import random

ONSETS = "b c d f g h j k l m n p r s t v w br ch cl cr dr fl gr kl pl sh sk sl st th tr".split()
VOWELS = "a e i o u".split()
MIDDLES = "l m n r s t rd lm nd rt lv rm nt st rk mb ld ss".split()
CODAS = " n r l s m t x d k".split(" ")
ENGLISH = ("a", "e", "ed", "es", "er", "en", "an", "on", "in", "or", "al")  # endings that make words people know
LONGER = 0.2  # share of names of two words


def _word(rng: random.Random) -> str:
    """A capitalised pseudo-word of two syllables: two or three pieces to a sub-word tokenizer."""
    parts = (ONSETS, VOWELS, MIDDLES, VOWELS, CODAS)
    return "".join(rng.choice(part) for part in parts).capitalize()


def make_names(count: int, rng: random.Random) -> list[str]:
    """`count` names of one or two capitalised pseudo-words.

    No word is used twice, no two words share their first five letters, and no name is part of another (in any case),
    so that a sub-word tokenizer sees each name as its own sequence of pieces.
    """
    names: list[str] = []
    words: list[str] = []
    beginnings: set[str] = set()

    def fresh() -> str:
        while True:
            word = _word(rng)
            lower = word.lower()
            clash = lower[:5] in beginnings or any(lower in other or other in lower for other in words)
            if 5 <= len(word) <= 8 and not clash and not lower.endswith(ENGLISH):
                beginnings.add(lower[:5])
                words.append(lower)
                return word

    for _ in range(count):
        names.append(" ".join(fresh() for _ in range(2 if rng.random() < LONGER else 1)))
    return names
