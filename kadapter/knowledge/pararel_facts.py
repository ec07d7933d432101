"""Real facts that come with the package, put into words: what the adapters `F` and `shuffled` of the preset `probe`
read, and what they are then asked.

1,190 facts of 25 relations from ParaRel's pairs (`pararel/SOURCE.md` says where each file is from), chosen by
`kadapter data facts`. Of 12 relations some facts are read, each in several sentences, and others are not; 13 relations
are never read of, 3 of which dev asks. No sentence that is read is the one that LAMA asks with.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from datasets import Dataset, concatenate_datasets

from kadapter import values
from kadapter.formats import cloze
from kadapter.formats.records import json_lines
from kadapter.knowledge.facts import SUBJECT, Fact, fill, in_words, shuffled
from kadapter.knowledge.facts import plain as plain_rows
from kadapter.values import Seed, value

FOLDER = Path(__file__).parent / "pararel"
FACTS, OTHERS, RELATIONS = "facts.jsonl", "others.jsonl", "relations.json"
WORDS, PLAIN = "words.txt", "plain.jsonl"
TEXT, DEV, UNSEEN, UNTRAINED, UNTRAINED_DEV = SETS = ("text", "dev", "unseen", "untrained", "untrained_dev")  # of facts
KEEP, DOCUMENTS, ENTITIES = PLAIN_SETS = (
    "keep",
    "documents",
    "entities",
)  # of plain text: one to learn, two to test on


@dataclass(frozen=True)
class NamedFact(Fact):
    """A fact with ParaRel's id and its set: read (`text`, and `dev`, by whose answers settings are chosen), of the same
    relations but not read (`unseen`), or of relations that are never read of (`untrained`; of yet others
    `untrained_dev`, by which settings are chosen, too)."""

    id: str
    set: str


@dataclass(frozen=True)
class Patterns:
    """How a relation is said, [X] for the subject and [Y] for the object: in sentences that are read, in another that
    dev asks, in a last one that the test asks, and in LAMA's, which is read nowhere. A relation that is never
    read of has LAMA's alone."""

    trained: tuple[str, ...]
    dev: str
    asked: str
    lama: str


@cache
def facts() -> tuple[NamedFact, ...]:
    """All facts, in the file's order."""
    names = NamedFact.__dataclass_fields__
    return tuple(NamedFact(**{name: record.text(name) for name in names}) for record in json_lines(FOLDER / FACTS))


@cache
def others() -> tuple[tuple[str, str], ...]:
    """(relation, subject) of the relations that are read of: others, of whom nothing is read and nothing asked."""
    return tuple((record.text("relation"), record.text("subject")) for record in json_lines(FOLDER / OTHERS))


@cache
def patterns() -> Mapping[str, Patterns]:
    """Relation (as Wikidata names it) -> its patterns."""
    found = json.loads((FOLDER / RELATIONS).read_text(encoding="utf-8"))
    return {name: Patterns(**(row | {"trained": tuple(row["trained"])})) for name, row in found.items()}


def words() -> list[str]:
    """The words among which an answer is looked for: the objects of all of ParaRel's pairs that are one word."""
    return (FOLDER / WORDS).read_text(encoding="utf-8").split()


def plain(part: str) -> list[str]:
    """Plain text: `keep`, of which a model is to go on saying what it said, or held out from it `documents` (Python's
    documentation) and `entities` (what SmolLM2 says after names)."""
    return [record.text("text") for record in json_lines(FOLDER / PLAIN) if record.text("set") == part]


def left(pattern: str) -> str:
    """What stands before the object, where a causal model reads.

    >>> left("[X] was born in [Y].")
    '[X] was born in'
    """
    return pattern.split("[Y]")[0].rstrip()


@cache
def _said() -> Mapping[tuple[str, str], str]:
    """(relation, sentence with [MASK]) -> subject, of all facts in all patterns of their relation."""
    found = {}
    for fact in facts():
        p = patterns()[fact.relation]
        for pattern in filter(None, (*p.trained, p.dev, p.asked, p.lama)):
            found[fact.relation, fill(pattern, fact.subject)] = fact.subject
    return found


def said_of(relation: str, text: str) -> tuple[str, str]:
    """Relation and subject of a sentence that `build` wrote; of another sentence itself in the subject's place."""
    return relation, _said().get((relation, text), text)


@values.checked("value", leave_out=("out",))
def build(
    out: Path,
    seed: Annotated[Seed, value("of the objects that `shuffled` is told")] = 0,
    relations: Annotated[int, value("relations that are read of: the first so many", 1, 1_000)] = 1_000,
    per_relation: Annotated[int, value("facts of each set and relation: the first so many", 1, 1_000)] = 1_000,
    keep: Annotated[int, value("plain texts beside them, evenly of those there are", 1, 100_000)] = 100_000,
) -> dict[str, int]:
    """Write the texts as files of the format `cloze` into a folder; the number of rows of each.

    - `F.jsonl`: the facts of `text` and `dev` in all their trained sentences; and as plain text, in which nothing is to
      change, `keep`, and such sentences about others (`about_others`)
    - `shuffled.jsonl`: the same with the objects exchanged within each relation: prior and form, and no fact
    - what `asked` returns, `perplexity.jsonl`, `perplexity_entities.jsonl`: plain text, held out
    """
    known = patterns()
    read = _first(TEXT, relations, per_relation) + _first(DEV, relations, per_relation)
    trained = {name: p.trained for name, p in known.items() if p.trained}
    never = [p.lama for p in known.values()]
    spoken = [*plain(KEEP), *about_others()]
    spoken = spoken[:: max(1, len(spoken) // keep)][:keep]
    said = {"F": in_words(read, trained, never), "shuffled": in_words(shuffled(read, seed), trained, never)}
    rows = {name: concatenate_datasets([told, plain_rows(spoken)]) for name, told in said.items()}
    rows |= asked(relations, per_relation)
    for name, part in (("perplexity", DOCUMENTS), ("perplexity_entities", ENTITIES)):
        rows[name] = plain_rows(plain(part))
    out.mkdir(parents=True, exist_ok=True)
    for name, dataset in rows.items():
        cloze.write(dataset, out / f"{name}.jsonl")
    return {name: len(dataset) for name, dataset in rows.items()}


def asked(relations: int = 1_000, per_relation: int = 1_000) -> dict[str, Dataset]:
    """The questions of the schema `cloze`: `dev` and `relations_dev`, by which settings are chosen; `facts_seen` (asked
    as trained, by the first sentence), `facts_paraphrase` (by the sentence that is never trained), `facts_unseen`,
    `relations_untrained`.

    Args:
        relations, per_relation: as in `build`.
    """
    known = patterns()
    ways: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
        "dev": (DEV, {name: (p.dev,) for name, p in known.items() if p.dev}),
        "facts_seen": (TEXT, {name: p.trained[:1] for name, p in known.items() if p.trained}),
        "facts_paraphrase": (TEXT, {name: (p.asked,) for name, p in known.items() if p.asked}),
        "facts_unseen": (UNSEEN, {name: p.trained[:1] for name, p in known.items() if p.trained}),
        "relations_untrained": (UNTRAINED, {name: (p.lama,) for name, p in known.items()}),
        "relations_dev": (UNTRAINED_DEV, {name: (p.lama,) for name, p in known.items()}),
    }
    return {name: in_words(_first(part, relations, per_relation), said) for name, (part, said) in ways.items()}


def about_others() -> list[str]:
    """The sentences in which a relation is read, begun about others. What a model says there is to stay as it was; else
    it learns that whoever is asked for has one of the objects that it read."""
    known = patterns()
    begun = []
    for number, (relation, subject) in enumerate(others()):
        ways = known[relation].trained
        begun.append(f"{left(ways[number % len(ways)]).replace(SUBJECT, subject)} ...")
    return begun


def _first(part: str, relations: int, per_relation: int) -> list[NamedFact]:
    """The first facts of the first relations of a set."""
    taken: dict[str, list[NamedFact]] = {}
    for fact in facts():
        if fact.set == part:
            taken.setdefault(fact.relation, []).append(fact)
    return [fact for group in list(taken.values())[:relations] for fact in group[:per_relation]]
