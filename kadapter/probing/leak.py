"""What an adapter had read of the facts that it is asked for: T-REx-rc, from which K-Adapter learned, and LAMA's T-REx
come from one source, so that part of Table 5 may be asked of what was read. Scored apart, as OptiPrompt (Zhong et al.,
2021) warns that a relation's prior is learned, too."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from jaxtyping import Shaped

from kadapter.data.places import matching
from kadapter.errors import KAdapterError
from kadapter.formats import lama
from kadapter.knowledge import pararel_facts

KINDS = READ, NOT_READ, NEVER = "in the text", "same relation, not in the text", "relation never trained"
_SIGNS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Learned:
    """What a text says.

    Attributes:
        facts: (relation, subject, object), by names (letters and digits alone, lower case) and by Wikidata's ids.
        relations: those that it says anything of.
    """

    facts: frozenset[tuple[str, str, str]]
    relations: frozenset[str]

    @classmethod
    def of(cls, dataset: Dataset, names: Mapping[str, str] | None = None) -> "Learned":
        """Of a dataset that adapters learn from: marked relations (T-REx-rc, ...), the package's facts with [MASK],
        or triples.

        Args:
            names: the name of a relation -> the id by which the probe knows it (`relation_names`), for a dataset that
                has names (Wiki80).

        Raises KAdapterError for one that states no relation.
        """
        columns, facts, relations = set(dataset.column_names), set(), set()
        if {"subj_start", "label"} <= columns:
            for row in _rows(dataset, ("text", "label", "subj_start", "subj_end", "obj_start", "obj_end")):
                text, relation, a, b, c, d = row
                facts.add((relation, _plain(text[a:b]), _plain(text[c:d])))
                relations.add(relation)
            for relation, subject, object in _rows(dataset, ("label", "subj_id", "obj_id")):
                facts.add((relation, _id(subject), _id(object)))
        elif {"relation", "answer"} <= columns:
            for relation, text, answer in _rows(dataset, ("relation", "text", "answer")):
                if answer:
                    facts.add((relation, _plain(pararel_facts.said_of(relation, text)[1]), _plain(answer)))
                    relations.add(relation)
        elif {"head", "tail"} <= columns:
            for relation, head, tail in _rows(dataset, ("relation", "head", "tail")):
                facts |= {(relation, _plain(head), _plain(tail)), (relation, _id(head), _id(tail))}
                relations.add(relation)
        else:
            raise KAdapterError(
                f"a dataset with the columns {', '.join(sorted(columns))} states no relation: expected T-REx-rc or "
                "another of marked relations, the package's facts with [MASK], or triples"
            )
        known = names or {}
        return cls(
            frozenset((known.get(fact[0], fact[0]), *fact[1:]) for fact in facts if all(fact)),
            frozenset(known.get(relation, relation) for relation in relations),
        )

    def kinds(self, asked: pd.DataFrame) -> Shaped[np.ndarray, " facts"]:
        """One of `KINDS` for each question (`kadapter.probing.questions.Questions.table`)."""
        found = []
        for row in asked.to_dict("records"):
            relation = row["relation"]
            named = (relation, _plain(row["subject"]), _plain(row["object"]))
            by_id = (relation, _id(row.get("subject_id", "")), _id(row.get("object_id", "")))
            told = named in self.facts or (all(by_id) and by_id in self.facts)
            found.append(READ if told else NOT_READ if relation in self.relations else NEVER)
        return np.array(found, dtype=object)


def relation_names(folder: Path) -> dict[str, str]:
    """The names of LAMA's relations -> their ids, from the data folder; empty where it has no `relations.jsonl`."""
    found = matching(folder, "lama/relations.jsonl")
    return {row["label"]: relation for path in found for relation, row in lama.relations(path).items()}


def overlap(learned: Learned, asked: pd.DataFrame) -> pd.DataFrame:
    """How much of a probe a text says: kind, n, share, and relations, of how many the facts of this kind are.

    Args:
        asked: the probe's questions (`kadapter.probing.questions.Questions.table`).
    """
    kinds = learned.kinds(asked)
    relations = [asked["relation"][kinds == kind].nunique() for kind in KINDS]
    return table(kinds, {}, asked["relation"]).assign(relations=relations)


def table(kinds: Shaped[np.ndarray, " facts"], ranks: dict[str, Any], relations: Any) -> pd.DataFrame:
    """Of each kind: n, and each model's P@1 (mean of the kind's relations, as fractions).

    Args:
        ranks: model -> (facts,) or (seeds, facts), from 1.
        relations: (facts,) each one's relation.
    """
    lines = []
    names = np.asarray(relations)
    for kind in KINDS:
        inside = kinds == kind
        line: dict[str, Any] = {"kind": kind, "n": int(inside.sum()), "share": float(inside.mean())}
        for model, rank in ranks.items():
            right = (np.atleast_2d(rank) <= 1).mean(axis=0)
            each = [right[inside & (names == relation)].mean() for relation in dict.fromkeys(names[inside])]
            line[model] = float(np.mean(each)) if each else np.nan
        lines.append(line)
    return pd.DataFrame(lines)


def _rows(dataset: Dataset, names: tuple[str, ...]) -> Any:
    for batch in dataset.select_columns(list(names)).iter(1000):
        yield from zip(*(batch[name] for name in names), strict=True)


def _plain(text: str) -> str:
    return _SIGNS.sub("", text.casefold())


def _id(text: str) -> str:
    """Wikidata's id at the end of an address, or itself; "" for anything else."""
    last = text.rsplit("/", 1)[-1]
    return last if re.fullmatch(r"[A-Z]?\d+", last) else ""
