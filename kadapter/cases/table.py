"""A table of cases: one example with every model's labels and logits, and what chooses among them (Table 7)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kadapter.errors import KAdapterError, unknown

if TYPE_CHECKING:
    from kadapter.tasks.base import Task

KINDS = ("fixed", "broken", "both right", "both wrong")
ALONE = "alone"  # in place of a kind: no other model is right
ALL = "all"  # whoever is right
SORTS = ("movement", "margin", "order")
NOT_ANSWERED = "(none)"  # stands for no label: an example that has none, a model that gives none


@dataclass(frozen=True)
class Case:
    """One example: its text, mentions [[start, end, role], ...], true labels, and logits per model.

    `true` is None where nobody has said what is true: a sentence that a person wrote.
    """

    index: int
    example_id: str
    text: str
    mentions: list
    true: list[str] | None
    logits: dict[str, np.ndarray]

    def marked(self) -> str:
        """The text with its subject (or mention) in [brackets] and its object in {braces}."""
        ends = {"subject": "[]", "mention": "[]", "object": "{}"}
        inserts = [(p, k, ends[role][k]) for start, end, role in self.mentions for k, p in ((0, start), (1, end))]
        out, at = "", 0
        for position, _, bracket in sorted(inserts, key=lambda i: (i[0], -i[1])):
            out, at = out + self.text[at:position] + bracket, position
        return out + self.text[at:]


class CaseTable:
    """The test examples of one task as several models answered them.

    Args:
        task: of all models; its labels are the columns of the logits.
        models: row names, in the given order.
        frame: one row per example: example_id, text, mentions, true (list of labels).
        logits: (models, examples, labels) float32, of one seed.

    Attributes:
        labels: the label list.
        independent: the labels' probabilities are independent (a typing head), not one distribution.
        asked: the cases are facts that models were asked for as they are, and the labels words.
    """

    asked = False

    def __init__(self, task: "Task", models: Sequence[str], frame: pd.DataFrame, logits: np.ndarray) -> None:
        self.task, self.models, self.labels = task, list(models), list(task.labels)
        self.frame, self.logits = frame, logits
        self.independent = task.schema == "typing"

    @cached_property
    def decided(self) -> np.ndarray:
        """(models, examples, labels), whether the label is part of the model's answer, as the score decides."""
        return np.stack([decide(self.task, each) for each in self.logits])

    @cached_property
    def right(self) -> np.ndarray:
        """(models, examples), whether the model's answer is all that is true and nothing else."""
        return (self.decided == self.truth).all(-1)

    def __len__(self) -> int:
        return len(self.frame)

    def model(self, name: str) -> int:
        """The position of a model. Raises KAdapterError for an unknown one."""
        if name not in self.models:
            raise unknown("model of this case study", name, self.models)
        return self.models.index(name)

    @cached_property
    def truth(self) -> np.ndarray:
        """(examples, labels), whether the label is true."""
        index = {label: i for i, label in enumerate(self.labels)}
        truth = np.zeros((len(self), len(self.labels)), dtype=bool)
        for row, true in enumerate(self.frame["true"]):
            truth[row, [index[t] for t in true]] = True
        return truth

    @cached_property
    def true_logits(self) -> np.ndarray:
        """(models, examples) mean logit of the true labels; 0 without a true label."""
        return np.stack([np.where(self.truth, each, 0).sum(-1) for each in self.logits]) / np.maximum(
            self.truth.sum(-1), 1
        )

    @cached_property
    def margins(self) -> np.ndarray:
        """(models, examples) how far the lowest true label's logit lies above the best other label's; NaN where every
        label or none is true."""
        lowest = np.stack([np.where(self.truth, each, np.inf).min(-1) for each in self.logits])
        highest = np.stack([np.where(self.truth, -np.inf, each).max(-1) for each in self.logits])
        return np.where(np.isfinite(lowest) & np.isfinite(highest), lowest - highest, np.nan)

    @cached_property
    def _searched(self) -> list[str]:
        return [text.casefold() for text in self.frame["text"]]

    def select(
        self,
        kind: str,
        model: str,
        against: str = "backbone",
        *,
        label: str = "",
        text: str = "",
        margin: tuple[float, float] | None = None,
        query: str = "",
        sort: str = "movement",
    ) -> np.ndarray:
        """Indices of the cases that pass every filter, in order.

        Args:
            kind: what `model` did to them: `fixed` or `broken` against `against`, `both right`, `both wrong`; `alone`:
                `model` is the only one that is right; or `all`.
            label: one of their true labels; "" for any.
            text: words that the sentence holds, in any case of letters; "" for any.
            margin: lowest and highest margin of `model` (see `margins`); None for any.
            query: what else holds, in pandas' query syntax over the columns of `facts`; "" for anything.
            sort: `movement` (of the true label's logit, largest first), `margin` (of `model`, lowest first) or `order`.

        Raises KAdapterError for an unknown kind, model, label or sort, and as `query` does.
        """
        ours, theirs = self.right[self.model(model)], self.right[self.model(against)]
        masks = {
            "fixed": ours & ~theirs,
            "broken": ~ours & theirs,
            "both right": ours & theirs,
            "both wrong": ~ours & ~theirs,
            ALONE: ours & (self.right.sum(0) == 1),
            ALL: np.ones(len(self), dtype=bool),
        }
        if kind not in masks:
            raise unknown("kind of case", kind, masks)
        if sort not in SORTS:
            raise unknown("order of cases", sort, SORTS)
        if label and label not in self.labels:
            raise unknown("label of this case study", label, self.labels)
        mask, margins = masks[kind], self.margins[self.model(model)]
        if label:
            mask = mask & self.truth[:, self.labels.index(label)]
        if margin is not None:
            mask = mask & (margins >= margin[0]) & (margins <= margin[1])
        if text:
            wanted = text.casefold()
            mask = mask & np.fromiter((wanted in each for each in self._searched), dtype=bool, count=len(self))
        if query:
            mask = mask & self.query(query)
        chosen = np.flatnonzero(mask)
        if sort == "order":
            return chosen
        key = -np.abs(self.movement(model, against)[chosen]) if sort == "movement" else margins[chosen]
        return chosen[np.argsort(key, kind="stable")]  # NaN comes last

    def movement(self, model: str, against: str = "backbone") -> np.ndarray:
        """(examples,) how much higher the true labels' mean logit is with `model` than with `against`; 0 without a true
        label."""
        return self.true_logits[self.model(model)] - self.true_logits[self.model(against)]

    @cached_property
    def facts(self) -> pd.DataFrame:
        """What `query` asks about, a row per example: `text`, `words`, `subject`, `object`, `label` (true labels, with
        commas), `labels` (their number), and of each model M `M` (whether it is right), `answer_M` (as `label`) and
        `margin_M`."""
        texts, spans = self.frame["text"], self.frame["mentions"]
        columns: dict[str, Any] = {"text": texts, "words": [len(text.split()) for text in texts]}
        for role in ("subject", "object"):
            columns[role] = [
                next((text[a:b] for a, b, r in found if (r == "object") == (role == "object")), "")
                for text, found in zip(texts, spans, strict=True)
            ]
        columns |= {"label": [", ".join(each) for each in self.frame["true"]], "labels": self.truth.sum(-1)}
        for at, name in enumerate(self.models):
            columns[name] = self.right[at]
            columns[f"answer_{name}"] = [", ".join(self._answer(at, index)) for index in range(len(self))]
            columns[f"margin_{name}"] = self.margins[at]
        return pd.DataFrame({name: list(column) for name, column in columns.items()})

    def query(self, expression: str) -> np.ndarray:
        """(examples,), whether an expression in pandas' query syntax holds: `words > 12 and F and not backbone`,
        `answer_F == "city"`; a name with other signs, as F+L, stands between backticks.

        Raises KAdapterError for one that cannot be read, names an unknown column, or is neither true nor false.
        """
        if "@" in expression or "__" in expression:  # pandas' ways out of the table
            raise KAdapterError(f"{expression!r}: expected an expression over {self.columns()} alone")
        try:
            found = self.facts.eval(expression, engine="python", local_dict={}, global_dict={})
        except Exception as problem:  # what pandas raises depends on the mistake
            said = " ".join(str(problem).split())
            raise KAdapterError(f"{expression!r} cannot be asked: {said}; the columns are {self.columns()}") from None
        if not isinstance(found, pd.Series) or found.dtype != bool:
            raise KAdapterError(
                f"{expression!r} is neither true nor false of a case; expected a comparison, as words > 12"
            )
        return found.to_numpy()

    def columns(self) -> str:
        """The columns that a query may name, as it names them."""
        own = [f"{kind}{name}" for name in self.models for kind in ("", "answer_", "margin_")]
        names = ["text", "words", "subject", "object", "label", "labels", *own]
        return ", ".join(name if name.isidentifier() else f"`{name}`" for name in names)

    def scores(self, indices: Sequence[int] | np.ndarray | None = None) -> pd.DataFrame:
        """The task's metrics of each model (row) as fractions, on the chosen cases alone; None for all.

        Raises KAdapterError without a case.
        """
        chosen = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=int)
        if not len(chosen):
            raise KAdapterError("no case is chosen: there is nothing to score")
        found, truth = self._for_metric
        rows = {name: self.task.metrics(found[at][chosen], truth[chosen]) for at, name in enumerate(self.models)}
        return pd.DataFrame.from_dict(rows, orient="index")

    @cached_property
    def _for_metric(self) -> tuple[np.ndarray, np.ndarray]:
        """Decisions of every model, and what is true, in the form that the task's metric takes."""
        if np.asarray(self.task.decide(self.logits[0][:1])).ndim == 2:  # several labels at a time
            return self.decided.astype(np.int64), self.truth.astype(np.int64)
        return self.decided.argmax(-1), self.truth.argmax(-1)

    def answer(self, model: str, index: int) -> list[str]:
        """The labels that a model answers to a case, as the score decides; [] for none."""
        return self._answer(self.model(model), index)

    def _answer(self, model: int, index: int) -> list[str]:
        return [self.labels[p] for p in np.flatnonzero(self.decided[model, index])]

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        counted: dict[str, Counter] = {"subject": Counter(), "object": Counter()}
        for text, found in zip(self.frame["text"], self.frame["mentions"], strict=True):
            for start, end, role in found:
                counted["object" if role == "object" else "subject"][text[start:end]] += 1
        return {role: [name for name, _ in counter.most_common()] for role, counter in counted.items()}

    def names(self, role: str = "subject", text: str = "", limit: int = 20) -> list[str]:
        """The first names that stand in the sentences as subject (or mention) or as `object` and hold `text`, the most
        frequent first."""
        wanted, found = text.casefold(), []
        for name in self._names[role]:
            if wanted in name.casefold():
                found.append(name)
                if len(found) == limit:
                    break
        return found

    def __getitem__(self, index: int) -> Case:
        row = self.frame.iloc[index]
        logits = {m: self.logits[k, index] for k, m in enumerate(self.models)}
        return Case(int(index), row["example_id"], row["text"], row["mentions"], row["true"], logits)

    def table(self, indices: Sequence[int], k: int = 3, models: Sequence[str] | None = None) -> pd.DataFrame:
        """Table 7: per case and model the input with subject and object marked, the true label, the model's answer (as
        the score decides: `task.rule`), the top-k labels and their logits."""
        rows = []
        for index in indices:
            case = self[index]
            for name in models or self.models:
                logits = case.logits[name]
                top = np.argsort(-logits, kind="stable")[:k]
                rows.append(
                    {
                        "case": case.index,
                        "input": case.marked(),
                        "true label": ", ".join(case.true or ()) or NOT_ANSWERED,
                        "model": name,
                        "answer": ", ".join(self.answer(name, index)) or NOT_ANSWERED,
                        "right": bool(self.right[self.model(name), index]),
                        f"top-{k} labels": ", ".join(self.labels[t] for t in top),
                        f"top-{k} logits": ", ".join(f"{logits[t]:.2f}" for t in top),
                    }
                )
        return pd.DataFrame(rows)

    def counts(self, model: str, against: str = "backbone") -> dict[str, int]:
        """How many cases are of each kind."""
        return {kind: len(self.select(kind, model, against)) for kind in KINDS}


def decide(task: "Task", logits: np.ndarray) -> np.ndarray:
    """(examples, labels), whether a label is part of the answer, of (examples, labels) logits."""
    found = np.asarray(task.decide(logits))
    return found.astype(bool) if found.ndim == 2 else found[:, None] == np.arange(logits.shape[-1])


def plugged_name(model: str, adapter_names: Sequence[str], plugged: Sequence[str]) -> str:
    """A model row's name that says which of its adapters are missing.

    >>> plugged_name("F", ["F"], []), plugged_name("F+L", ["F", "L"], ["F"]), plugged_name("F", ["F"], ["F"])
    ('F, unplugged', 'F+L, L unplugged', 'F')
    """
    missing = [name for name in adapter_names if name not in plugged]
    if not missing:
        return model
    return f"{model}, unplugged" if len(adapter_names) == 1 else f"{model}, {' and '.join(missing)} unplugged"
