"""Facts in words: (subject, relation, object) put into sentences by templates, with the object to be predicted; and the
control that knows the words and the format, and no fact (Petroni et al., 2019; Zhong et al., 2021)."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from datasets import Dataset

from kadapter.errors import KAdapterError
from kadapter.formats.lama import MASK
from kadapter.formats.schemas import CLOZE

SUBJECT, OBJECT = "[X]", "[Y]"


def fill(template: str, subject: str) -> str:
    """A template with its subject, and [MASK] for the object.

    >>> fill("[X] was born in [Y] .", "Ada")
    'Ada was born in [MASK] .'
    """
    return template.replace(OBJECT, MASK).replace(SUBJECT, subject)


@dataclass(frozen=True)
class Fact:
    """One fact, with its names in words."""

    subject: str
    relation: str
    object: str


def shuffled(facts: Sequence[Fact], seed: int) -> list[Fact]:
    """The same facts with their objects permuted within each relation: what is trained on them learns which objects a
    relation has, and how it is asked, and not who has which."""
    rng = np.random.default_rng(seed)
    places: dict[str, list[int]] = defaultdict(list)
    for place, fact in enumerate(facts):
        places[fact.relation].append(place)
    out = list(facts)
    for relation in sorted(places):
        for place, other in zip(places[relation], rng.permutation(places[relation]), strict=True):
            out[place] = replace(facts[place], object=facts[int(other)].object)
    return out


def in_words(
    facts: Iterable[Fact], templates: Mapping[str, Sequence[str]], never: Collection[str] = (), choose: bool = False
) -> Dataset:
    """A row of the CLOZE schema for each fact and each template of its relation, with [MASK] for the object.

    Args:
        templates: relation -> templates such as "[X] was born in [Y] .".
        never: templates that must not be used, as those of the probes that will ask; compared without regard to case,
            space and a full stop at the end.
        choose: the candidates are the relation's objects among these facts; else the whole vocabulary.

    Raises KAdapterError for a fact whose relation has no template, a template without one [X] and one [Y], and one that
    is among `never`.
    """
    facts, forbidden = list(facts), {_bare(template) for template in never}
    for relation, ways in templates.items():
        for template in ways:
            if template.count(SUBJECT) != 1 or template.count(OBJECT) != 1:
                raise KAdapterError(f"template {template!r} of {relation}: expected one {SUBJECT} and one {OBJECT}")
            if _bare(template) in forbidden:
                raise KAdapterError(
                    f"template {template!r} of {relation} is one that a probe asks with: take it out of the training "
                    "text, or a fact is asked in the words in which it was learned"
                )
    objects = relation_objects(facts) if choose else {}
    rows = []
    for number, fact in enumerate(facts):
        if not templates.get(fact.relation):
            raise KAdapterError(f"relation {fact.relation!r} has no template; expected at least one")
        for way, template in enumerate(templates[fact.relation]):
            rows.append(
                {
                    "id": f"{number}-{way}",
                    "relation": fact.relation,
                    "text": fill(template, fact.subject),
                    "answer": fact.object,
                    "candidates": objects.get(fact.relation, []),
                }
            )
    return Dataset.from_list(rows, features=CLOZE)


def plain(texts: Iterable[str]) -> Dataset:
    """Rows of the CLOZE schema for texts in which nothing is asked: what keeps a model speaking. Raises KAdapterError
    for a text that has [MASK]."""
    rows = []
    for number, text in enumerate(texts):
        if MASK in text:
            raise KAdapterError(f"plain text {number} has {MASK}: expected text in which nothing is asked")
        rows.append({"id": f"text-{number}", "relation": "", "text": text, "answer": "", "candidates": []})
    return Dataset.from_list(rows, features=CLOZE)


def relation_objects(facts: Iterable[Fact]) -> dict[str, list[str]]:
    """The objects of each relation, each once, sorted: the answers to choose from (ParaRel, Elazar et al., 2021)."""
    found: dict[str, set[str]] = defaultdict(set)
    for fact in facts:
        found[fact.relation].add(fact.object)
    return {relation: sorted(objects) for relation, objects in found.items()}


def _bare(template: str) -> str:
    return " ".join(template.lower().split()).removesuffix(".").strip()
