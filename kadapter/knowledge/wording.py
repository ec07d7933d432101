"""Relations of arbitrary names in words: from `capital of`, `placeOfBirth` or `founded_by` several sentences with [X]
for the subject and [Y], at the end, for the object; some to be read, others only to be asked.

Nothing is known of a relation but its name: rules of English grammar decide whether it is a clause ("was born in"), a
verb ("invented") or a noun ("place of birth").
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kadapter.errors import KAdapterError
from kadapter.formats.records import json_whole
from kadapter.knowledge.facts import OBJECT, SUBJECT

QUESTION = "question and answer"  # the relation of a question to its answer
COPULAS = {
    "is", "was", "are", "were", "has", "had", "have", "can", "will", "does", "did", "may", "must", "should",
}  # fmt: skip
PREPOSITIONS = {
    "of", "in", "at", "by", "to", "for", "with", "on", "from", "as", "into", "near", "under", "after", "against",
    "through", "about", "over", "than", "during",
}  # fmt: skip
PAST = {  # past forms that do not end in "ed"
    "won", "wrote", "built", "made", "led", "sang", "met", "knew", "held", "took", "found", "ran", "spoke", "fought",
    "taught", "bought", "sold", "gave", "became", "drew", "flew", "drove", "lost", "left", "grew", "ate", "bred",
    "kept", "beat", "saw", "told", "sent", "brought", "caught", "chose",
}  # fmt: skip
PARTICIPLES = {
    "born", "written", "made", "held", "given", "known", "led", "built", "sung", "found", "drawn", "taken", "seen",
    "spoken", "worn", "grown", "sold", "bought", "lost", "sent", "set", "shot", "told", "taught", "won", "chosen",
}  # fmt: skip
VERBS = {  # third persons that are asked for by their name; a noun may end in "s", too
    "likes", "loves", "hates", "owns", "speaks", "knows", "uses", "eats", "contains", "includes", "causes", "requires",
    "leads", "follows", "teaches", "directs", "sells", "produces", "makes", "represents", "employs", "hosts", "wears",
    "drives", "wants", "desires", "needs", "keeps", "treats", "prevents", "precedes", "borders", "manages", "believes",
    "lives", "plays", "works", "lies", "comes", "belongs", "depends", "looks", "sings", "reads", "writes", "builds",
    "leaves", "paints", "collects", "grows", "breeds", "fears", "means", "serves", "supports", "affects", "studies",
}  # fmt: skip
ADJECTIVES = {
    "famous", "responsible", "similar", "related", "close", "next", "equal", "native", "opposite", "afraid", "capable",
    "available", "popular", "identical", "different", "allergic", "proud", "fond", "full", "made", "such", "due",
}  # fmt: skip
SINGULAR = {"species", "series", "news", "headquarters", "physics", "mathematics", "politics"}
HAPPENED = {"born", "died", "founded", "written", "built", "invented", "discovered", "composed", "painted", "created"}


@dataclass(frozen=True)
class Ways:
    """How a relation is said.

    Attributes:
        trained: sentences that are read.
        dev: one that tells when to stop.
        asked: others that are never read and tell what was learned.
    """

    trained: tuple[str, ...]
    dev: tuple[str, ...]
    asked: tuple[str, ...]

    @property
    def every(self) -> tuple[str, ...]:
        """All of them."""
        return self.trained + self.dev + self.asked


def bare_name(name: str) -> str:
    """What an identifier calls something: the last part of a path or IRI, its words apart.

    >>> bare_name("http://example.org/placeOfBirth"), bare_name("/people/person/place_of_birth"), bare_name("born in")
    ('place Of Birth', 'place of birth', 'born in')
    """
    whole = name
    name = name.strip().strip("<>")
    if re.match(r"[a-z][a-z0-9+.-]*:", name, re.IGNORECASE) or name.startswith("/"):
        name = re.split(r"[/#:]", unquote(name).rstrip("/#"))[-1] or name
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(name.replace("_", " ").split()) or whole


def clause(relation: str) -> str | None:
    """The words between subject and object, where a relation's name is one; None for a noun.

    >>> clause("born in"), clause("invented"), clause("capital of"), clause("place of birth")
    ('was born in', 'invented', 'is the capital of', None)
    """
    words = bare_name(relation).split()
    if not words:
        return None
    first, last = words[0].lower(), words[-1].lower()
    said = _lower(words)
    participle = first in PARTICIPLES or (first.endswith("ed") and len(first) > 3)
    if first in COPULAS or first in VERBS:
        return said
    if first in PREPOSITIONS or (first in ADJECTIVES and last in PREPOSITIONS):
        return f"is {said}"
    if last in PREPOSITIONS and len(words) > 1:
        if participle and first not in ("died", "lived", "worked", "played", "studied", "served", "moved", "belonged"):
            return f"{'was' if first in HAPPENED or last == 'by' else 'is'} {said}"
        if first in PAST or first.endswith("ed"):
            return said
        return f"is the {said}"
    if first in PAST or (first.endswith("ed") and len(first) > 3):
        return said
    return None


def _lower(words: Iterable[str]) -> str:
    """Words as they stand within a sentence; abbreviations stay."""
    return " ".join(word if len(word) > 1 and word.isupper() else word[:1].lower() + word[1:] for word in words)


def ways(relation: str) -> Ways:
    """Sentences for a relation of any name; the object ends each, so that a model can be asked from the left.

    >>> ways("capital of").asked[0], ways("occupation").trained[0]
    ('People say that [X] is the capital of [Y].', 'The occupation of [X] is [Y].')
    """
    verb = clause(relation)
    if verb is None:
        return _of_noun(_lower(bare_name(relation).split()))
    return _of_clause(verb)


def _of_noun(noun: str) -> Ways:
    last = (noun.split() or [noun])[-1]
    plural = last.endswith("s") and not last.endswith(("ss", "us", "is")) and last not in SINGULAR
    be, it = ("are", "They are") if plural else ("is", "It is")
    return Ways(
        trained=(
            f"The {noun} of {SUBJECT} {be} {OBJECT}.",
            f"{SUBJECT}'s {noun} {be} {OBJECT}.",
            f"{SUBJECT} has the {noun} {OBJECT}.",
            f"Question: What {be} the {noun} of {SUBJECT}? Answer: {OBJECT}.",
            f"Everybody knows {SUBJECT}: the {noun} {be} {OBJECT}.",
        ),
        dev=(f"As for {SUBJECT}, the {noun} {be} {OBJECT}.",),
        asked=(
            f"It is well known that the {noun} of {SUBJECT} {be} {OBJECT}.",
            f"What {be} {SUBJECT}'s {noun}? {it} {OBJECT}.",
        ),
    )


def _of_clause(verb: str) -> Ways:
    return Ways(
        trained=(
            f"{SUBJECT} {verb} {OBJECT}.",
            f"It is known that {SUBJECT} {verb} {OBJECT}.",
            f"Everybody knows {SUBJECT}, who or which {verb} {OBJECT}.",
            f"Question: {SUBJECT} {verb} what? Answer: {OBJECT}.",
            f"Complete the sentence about {SUBJECT}: it {verb} {OBJECT}.",
        ),
        dev=(f"As for {SUBJECT}, we read that it {verb} {OBJECT}.",),
        asked=(
            f"People say that {SUBJECT} {verb} {OBJECT}.",
            f"Ask about {SUBJECT} and you will hear this: it {verb} {OBJECT}.",
        ),
    )


def of_sentence(pattern: str) -> Ways:
    """The sentence itself, and the same in other frames. Raises KAdapterError as `check_template`.

    >>> of_sentence("[X] was born in [Y].").asked
    ('Everyone in town says that [X] was born in [Y].', 'What they wrote was this: [X] was born in [Y].')
    """
    check_template(pattern, "a sentence")
    inner = pattern
    if re.match(r"(?:The|A|An|In|At|On|It|He|She|They|We|This|That|When|After|Before|During|For) ", pattern):
        inner = pattern[0].lower() + pattern[1:]
    return Ways(
        trained=(
            pattern,
            f"It is known that {inner}",
            f"We read that {inner}",
            f"As everybody knows, {inner}",
            f"Complete the sentence: {pattern}",
        ),
        dev=(f"I was told that {inner}",),
        asked=(f"Everyone in town says that {inner}", f"What they wrote was this: {pattern}"),
    )


def of_question() -> Ways:
    """How a question and its answer follow each other: [X] is the question, [Y] the answer."""
    return Ways(
        trained=(
            f"Question: {SUBJECT} Answer: {OBJECT}.",
            f"Q: {SUBJECT} A: {OBJECT}.",
            f"{SUBJECT} {OBJECT}.",
            f"{SUBJECT} The answer is {OBJECT}.",
            f"If someone asks, “{SUBJECT}”, say: {OBJECT}.",
            f"Somebody wanted to know: {SUBJECT} We told them: {OBJECT}.",
        ),
        dev=(f"{SUBJECT} Answer: {OBJECT}.",),
        asked=(f"Here is a question. {SUBJECT} And its answer: {OBJECT}.", f"{SUBJECT} The right answer is {OBJECT}."),
    )


def check_template(template: str, whose: str) -> str:
    """The template. Raises KAdapterError where [X] and [Y] do not stand in it once each, and in this order."""
    if template.count(SUBJECT) != 1 or template.count(OBJECT) != 1 or template.index(SUBJECT) > template.index(OBJECT):
        raise KAdapterError(
            f"template {template!r} of {whose}: expected one {SUBJECT} for the subject, and after it one {OBJECT} for "
            "the object"
        )
    return template


def read_templates(path: Path | str) -> dict[str, Ways]:
    """Relation -> how it is said, from a JSON file of one's own: a list of templates, of which the last is kept to ask
    with, or `{"trained": [...], "asked": [...]}`. A relation with one template is asked with those made of its name.

    Raises KAdapterError for a file of another form and for a template without [X] and, after it, [Y].
    """
    found = json_whole(Path(path))
    if not isinstance(found, dict) or not found:
        raise KAdapterError(f"{path}: found {type(found).__name__}; expected a JSON object, relation -> templates")
    return {str(relation): _given(relation, value, path) for relation, value in found.items()}


def _given(relation: str, value: Any, path: Path | str) -> Ways:
    if isinstance(value, list):
        value = {"trained": value[:-1] or value, "asked": value[-1:] if len(value) > 1 else []}
    wanted = isinstance(value, dict) and set(value) <= {"trained", "asked"} and value.get("trained")
    lists = [value.get("trained"), value.get("asked", [])] if wanted else []
    if not wanted or not all(isinstance(each, list) and all(isinstance(t, str) for t in each) for each in lists):
        raise KAdapterError(
            f"{path}: relation {relation!r}: expected a list of templates, or an object with the lists trained and "
            "asked"
        )
    trained, asked = (tuple(check_template(t, f"{relation} in {path}") for t in each) for each in lists)
    if repeated := set(trained) & set(asked):
        raise KAdapterError(f"{path}: relation {relation!r}: {min(repeated)!r} is both trained and asked; expected one")
    made = ways(relation)
    return Ways(trained, tuple(t for t in made.dev if t not in trained) or trained[:1], asked or made.asked)


def ways_of(relations: Iterable[str], given: Mapping[str, Ways] | None = None) -> dict[str, Ways]:
    """Relation -> how it is said: as given, as a sentence where its name is one (it has [X] and [Y]), as a question
    (`QUESTION`), or made of its name."""
    found = {}
    for relation in dict.fromkeys(relations):
        if given and relation in given:
            found[relation] = given[relation]
        elif SUBJECT in relation and OBJECT in relation:
            found[relation] = of_sentence(relation)
        else:
            found[relation] = of_question() if relation == QUESTION else ways(relation)
    return found
