"""Sentences with dependency trees from hand-written templates, for the generated world.

A template is its sentence, bracketed: every bracket opens with a dependency relation and holds exactly one bare word,
its head, among further brackets, in reading order. `(nsubj <people>) spoke (obl (case about) {S})` is the tree in which
`spoke` is the root. `{S}` is a placeholder that the caller fills; `<people>` is replaced by one of the options of a
lexicon, `<when?>` by one of them or by nothing.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UPOS_OF_DEPREL = {
    "det": "DET", "case": "ADP", "mark": "SCONJ", "cc": "CCONJ", "punct": "PUNCT", "aux": "AUX", "cop": "AUX",
    "advmod": "ADV", "amod": "ADJ", "nummod": "NUM", "expl": "PRON", "compound:prt": "ADP",
    "nsubj": "NOUN", "obj": "NOUN", "iobj": "NOUN", "obl": "NOUN", "nmod": "NOUN", "appos": "NOUN", "compound": "NOUN",
    "root": "VERB", "ccomp": "VERB", "xcomp": "VERB", "csubj": "VERB", "advcl": "VERB", "acl": "VERB",
    "parataxis": "VERB",
}  # fmt: skip
"""Part of speech of a word that names none, by its dependency relation (without subtype); with any other relation, such
as `conj`, it is that of its head. A word that differs writes `word/UPOS`."""

_TOKEN = re.compile(r"\(\s*[^\s()]+|\)|[^\s()]+")
_SLOT = re.compile(r"<(\w+)(\??)>")


@dataclass(frozen=True)
class Sentence:
    """Words with their Universal Dependencies tree.

    `heads` are 1-based with 0 for the root; `spans` gives the words [start, end) of each filled placeholder.
    """

    words: tuple[str, ...]
    heads: tuple[int, ...]
    deprels: tuple[str, ...]
    upos: tuple[str, ...]
    spans: Mapping[str, tuple[int, int]]


def name_fragment(name: str) -> str:
    """A proper name as a template fragment: the first word is the head, the others hang on it as `flat`."""
    first, *others = name.split()
    return " ".join([f"{first}/PROPN", *(f"(flat {word}/PROPN)" for word in others)])


def expand(template: str, lexicon: Mapping[str, Sequence[str]], rng: random.Random, richness: float) -> str:
    """The template with a random option for every `<slot>`; a `<slot?>` is filled with probability `richness`."""
    while match := _SLOT.search(template):
        name, optional = match.groups()
        choice = "" if optional and rng.random() >= richness else rng.choice(lexicon[name])
        template = template[: match.start()] + choice + template[match.end() :]
    return template


def parse(template: str, fills: Mapping[str, str]) -> Sentence:
    """Read an expanded template. A full stop is added as the root's last dependent, the first word gets a capital, and
    `a` becomes `an` before a vowel.

    `fills` maps placeholder names to fragments (bare head word and brackets), such as `name_fragment` makes.
    Raises ValueError for a bracket without exactly one head word, and for brackets that do not match.
    """
    words: list[str] = []
    upos: list[str] = []
    deprels: list[str] = []
    heads: list[int] = []
    spans: dict[str, tuple[int, int]] = {}
    tokens = [*_TOKEN.findall(template), "(punct", ".", ")"]

    def bracket(deprel: str, tokens: list[str], position: int, nested: bool) -> tuple[int, int]:
        """Read one bracket's contents from `position`; the index of its head word and the position after it."""
        head: int | None = None
        children: list[int] = []

        def read(tokens: list[str], position: int, nested: bool) -> int:
            nonlocal head
            while position < len(tokens):
                token = tokens[position]
                position += 1
                if token == ")":
                    if nested:
                        return position
                    raise ValueError(f"a bracket is closed that was never opened: {template}")
                if token.startswith("("):
                    child, position = bracket(token[1:].strip(), tokens, position, True)
                    children.append(child)
                elif token.startswith("{"):
                    start = len(words)
                    read(_TOKEN.findall(fills[token[1:-1]]), 0, False)
                    spans[token[1:-1]] = (start, len(words))
                else:
                    if head is not None:
                        raise ValueError(f"({deprel} has two head words, {words[head]!r} and {token!r}: {template}")
                    word, _, tag = token.partition("/")
                    head = len(words)
                    words.append(word)
                    upos.append(tag or UPOS_OF_DEPREL.get(deprel.partition(":")[0], ""))
                    deprels.append(deprel)
                    heads.append(0)
            if nested:
                raise ValueError(f"({deprel} is never closed: {template}")
            return position

        position = read(tokens, position, nested)
        if head is None:
            raise ValueError(f"({deprel} has no head word: {template}")
        for child in children:
            heads[child] = head + 1
            upos[child] = upos[child] or upos[head]
        return head, position

    bracket("root", tokens, 0, False)
    for index, following in enumerate(words[1:]):
        if words[index] == "a" and following[0] in "aeiou":
            words[index] = "an"
    words[0] = words[0][0].upper() + words[0][1:]
    return Sentence(tuple(words), tuple(heads), tuple(deprels), tuple(upos), spans)
