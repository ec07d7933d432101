"""Cases for the report: examples that knowledge put right and examples that it spoilt, chosen by a rule and not by hand
(the paper's Table 7 shows chosen ones)."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet

from kadapter.cases.table import Case
from kadapter.report import labels
from kadapter.report.rendering import first_with_knowledge
from kadapter.report.scores import RunScores

SHOWN = 4  # examples of a kind and task


@dataclass(frozen=True)
class Example:
    """A test example: its text with [subject] and {object} marked, the true labels, what each row decided in the first
    seed in which one was right and the other wrong, and in how many seeds that is so."""

    text: str
    true: str
    theirs: str
    ours: str
    seeds: int


@dataclass(frozen=True)
class Changed:
    """What `model` changed against `against` on one task and regime.

    Attributes:
        n, seeds: test examples, and seeds that both rows have.
        counts: `fixed` and `broken` -> how many examples: in every seed, and in at least one.
        shown: `fixed` and `broken` -> at most `SHOWN` of them, each with other true labels than those before it.
    """

    task: str
    regime: str
    model: str
    against: str
    n: int
    seeds: int
    counts: dict[str, tuple[int, int]]
    shown: dict[str, list[Example]]


def examples(found: Iterable[RunScores], against: str = "backbone") -> list[Changed]:
    """Of every task and regime with labels, what the first model row with knowledge fixed and broke.

    Shown are first those that are fixed (broken) in most seeds, as a single seed does much by chance, and among these
    the first of each true label. Tasks without labels, and runs that left no predictions, are not in it.
    """
    rows: dict[tuple[str, str], dict[str, RunScores]] = {}
    for run in found:
        rows.setdefault((run.task, run.regime), {})[run.model] = run
    pairs = [(own, first_with_knowledge(own)) for own in rows.values() if against in own]
    read = [_changed(own[model], own[against]) for own, model in pairs if model is not None]
    return [each for each in read if each is not None]


def _changed(run: RunScores, other: RunScores) -> Changed | None:
    ours, theirs = labels.decided(run.run.path), labels.decided(other.run.path)
    common = [seed for seed in run.seeds if seed in other.seeds]
    if ours is None or theirs is None or ours.labels != theirs.labels or not common:
        return None
    texts = _texts(run.run.path)
    if len(texts) != len(ours.references):
        return None
    a = ours.decided[[run.seeds.index(seed) for seed in common]]  # (seeds, examples, labels)
    b = theirs.decided[[other.seeds.index(seed) for seed in common]]
    right, theirs_right = ((which == ours.references).all(-1) for which in (a, b))
    kinds = {"fixed": right & ~theirs_right, "broken": ~right & theirs_right}  # (seeds, examples)

    def example(i: int, changed: np.ndarray) -> Example:
        seed = int(changed[:, i].argmax())
        true, before, after = (_names(which, ours.labels) for which in (ours.references[i], b[seed, i], a[seed, i]))
        return Example(texts[i], true, before, after, seeds=int(changed[:, i].sum()))

    shown = {}
    for kind, changed in kinds.items():
        often = changed.sum(axis=0)
        order = [i for i in np.argsort(-often, kind="stable").tolist() if often[i]]
        shown[kind] = _first_of_each(example(i, changed) for i in order)
    counts = {kind: (int(mask.all(axis=0).sum()), int(mask.any(axis=0).sum())) for kind, mask in kinds.items()}
    return Changed(run.task, run.regime, run.model, other.model, len(texts), len(common), counts, shown)


def _first_of_each(found: Iterable[Example]) -> list[Example]:
    """The first example of each true label."""
    first: dict[str, Example] = {}
    for each in found:
        first.setdefault(each.true, each)
    return list(first.values())[:SHOWN]


def _names(mask: np.ndarray, names: Sequence[str]) -> str:
    return ", ".join(name for name, chosen in zip(names, mask, strict=True) if chosen) or "no label"


def _texts(folder: Path) -> list[str]:
    """The marked text of each test example; [] where the run left none."""
    path = folder / "predictions.parquet"
    columns = {"seed", "text", "mentions"}
    if not columns <= set(pyarrow.parquet.read_schema(path).names):
        return []
    table = pyarrow.parquet.read_table(path, columns=sorted(columns)).to_pylist()
    return [
        Case(0, "", row["text"], json.loads(row["mentions"]), [], {}).marked()
        for row in table
        if row["seed"] == table[0]["seed"]
    ]
