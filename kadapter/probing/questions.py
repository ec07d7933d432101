"""What the probes ask: facts as texts with [MASK] where the object stands, made from the files as they were published.

LAMA (Petroni et al., 2019): T-REx and Google-RE through one template a relation, each pair of subject and object once;
ConceptNet and SQuAD through their own sentences. EntityQuestions (Sciavolino et al., 2021): [MASK] after the question.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from kadapter import catalog
from kadapter.data.places import matching
from kadapter.errors import KAdapterError
from kadapter.formats import entity_questions, lama
from kadapter.formats.lama import MASK
from kadapter.knowledge.facts import fill

COLUMNS = ["relation", "subject", "object", "objects", "text", "template", "subject_id", "object_id"]
NEUTRAL = "it"  # stands for the subject where the score without one is asked
GOOGLE_RE = {  # of LAMA's code; its files do not name them
    "place_of_birth": "[X] was born in [Y] .",
    "date_of_birth": "[X] (born [Y]).",
    "place_of_death": "[X] died in [Y] .",
}
LONGEST = 100  # words of a sentence; LAMA drops longer ones
REPEATED, REJECTED, NO_TEMPLATE = "the same subject and object again", "more raters reject it", "relation: no template"
LONG, NOT_ONE_MASK = f"over {LONGEST} words", "not exactly one [MASK]"


@dataclass
class Questions:
    """Facts to ask for.

    Attributes:
        table: one row a fact: relation, subject, object, objects (all that are right for this relation and subject),
            text (one [MASK]), template ("" where the text is a sentence of the data), and Wikidata's subject_id and
            object_id ("" where the file has none).
        dropped: reason -> number of facts that the probe leaves out by its own rules.
    """

    table: pd.DataFrame
    dropped: Counter = field(default_factory=Counter)

    def first(self, limit: int | None) -> "Questions":
        """At most `limit` facts of each relation, in the files' order."""
        if limit is None:
            return self
        return Questions(self.table.groupby("relation", sort=False).head(limit).reset_index(drop=True), self.dropped)


def neutral(template: str) -> str:
    """A template asked of nobody: its subject is `NEUTRAL`.

    >>> neutral("[X] was born in [Y] .")
    'It was born in [MASK] .'
    """
    text = fill(template, NEUTRAL)
    return text[:1].upper() + text[1:]


def trex(folder: Path) -> Questions:
    """LAMA's T-REx: every relation whose file is there."""
    templates = {relation: row["template"] for relation, row in lama.relations(relations_file(folder)).items()}
    files = _files(folder, catalog.PROBES["lama-trex"])
    return _templated({_stem(path): path for path in files}, templates)


def google_re(folder: Path) -> Questions:
    """LAMA's Google-RE: places and dates of birth and death. A fact that more raters reject than accept is dropped."""
    files = {_stem(p).removesuffix("_test"): p for p in _files(folder, catalog.PROBES["lama-google-re"])}
    rejected = {id for path in files.values() for id in lama.rejected(path)}
    return _templated(files, GOOGLE_RE, rejected)


def squad(folder: Path) -> Questions:
    """LAMA's SQuAD: 305 sentences."""
    return _sentences(_files(folder, catalog.PROBES["lama-squad"]), "Squad")


def conceptnet(folder: Path) -> Questions:
    """LAMA's ConceptNet: sentences of the Open Mind Common Sense corpus."""
    return _sentences(_files(folder, catalog.PROBES["lama-conceptnet"]), "ConceptNet")


def entity_question(folder: Path) -> Questions:
    """EntityQuestions' test questions with [MASK] after them; any of the accepted answers is right."""
    files = _files(folder, "entity_questions/dataset/test/P*.test.json")
    rows = []
    for path in files:
        for row in entity_questions.read(path):
            text = f"{row['question']} {MASK}"
            rows.append((_stem(path), "", row["answers"][0], row["answers"], text, "", "", ""))
    return Questions(pd.DataFrame(rows, columns=COLUMNS))


def _templated(files: dict[str, Path], templates: dict[str, str], rejected: set[str] | None = None) -> Questions:
    dropped: Counter[str] = Counter()
    rows = []
    for relation, path in files.items():
        facts = lama.read(path)
        if relation not in templates:
            dropped[NO_TEMPLATE] += len(facts)
            continue
        seen: dict[tuple[str, str], tuple[str, str]] = {}
        for row in facts:
            pair = (row["subject"], row["object"])
            if rejected and row["id"] in rejected:
                dropped[REJECTED] += 1
            elif pair in seen:
                dropped[REPEATED] += 1
            else:
                seen[pair] = (row["subj_id"], row["obj_id"])
        right: dict[str, list[str]] = {}
        for subject, object in seen:
            right.setdefault(subject, []).append(object)
        template = templates[relation]
        rows += [(relation, s, o, right[s], fill(template, s), template, *ids) for (s, o), ids in seen.items()]
    return Questions(pd.DataFrame(rows, columns=COLUMNS), dropped)


def _sentences(files: list[Path], name: str) -> Questions:
    dropped: Counter[str] = Counter()
    rows = []
    for path in files:
        for row in lama.read(path):
            for text in _usable(row["sentences"][:1], dropped):
                rows.append((name, row["subject"], row["object"], [row["object"]], text, "", "", ""))
    return Questions(pd.DataFrame(rows, columns=COLUMNS), dropped)


def _usable(sentences: list[dict], dropped: Counter) -> Iterator[str]:
    for sentence in sentences:
        text = sentence["text"]
        if text.count(MASK) != 1:
            dropped[NOT_ONE_MASK] += 1
        elif len(text.split()) > LONGEST:
            dropped[LONG] += 1
        else:
            yield text


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def relations_file(folder: Path) -> Path:
    """LAMA's `relations.jsonl` in the data folder. Raises KAdapterError where it is missing."""
    return _files(folder, "lama/relations.jsonl")[0]


def _files(folder: Path, pattern: str) -> list[Path]:
    found = matching(folder, pattern)
    if not found:
        raise KAdapterError(
            f"{folder} has no {pattern}: name the folder that holds the probes' files with --data or KADAPTER_DATA "
            "(kadapter data says where they come from)"
        )
    return found


# probe -> what it asks. One line makes another probe of this kind; one in `catalog.PROBES` lets presets name it.
PROBES: dict[str, Callable[[Path], Questions]] = {
    "lama-trex": trex,
    "lama-google-re": google_re,
    "lama-conceptnet": conceptnet,
    "lama-squad": squad,
    "entity-questions": entity_question,
}
