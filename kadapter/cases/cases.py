"""Cases: one example with every model's top-k labels and logits, side by side (Table 7 of the paper)."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kadapter import catalog, runs
from kadapter.errors import KAdapterError, unknown

if TYPE_CHECKING:
    from datasets import Dataset

    from kadapter.tasks.base import Task

KINDS = ("fixed", "broken", "both right", "both wrong")
ALL = "all"  # in place of a kind: whoever is right
SORTS = ("movement", "margin", "order")
CHUNK = 256  # examples that `from_models` answers between two looks at whether to go on


@dataclass(frozen=True)
class Case:
    """One example: its text, mentions [[start, end, role], ...], true labels, and logits per model."""

    index: int
    example_id: str
    text: str
    mentions: list
    true: list[str]
    logits: dict[str, np.ndarray]

    def marked(self) -> str:
        """The text with its subject (or mention) in [brackets] and its object in {braces}."""
        ends = {"subject": "[]", "mention": "[]", "object": "{}"}
        inserts = [(p, k, ends[role][k]) for start, end, role in self.mentions for k, p in ((0, start), (1, end))]
        out, at = "", 0
        for position, _, bracket in sorted(inserts, key=lambda i: (i[0], -i[1])):
            out, at = out + self.text[at:position] + bracket, position
        return out + self.text[at:]


class Cases:
    """The test examples of one task as several models answered them.

    Attributes:
        models: row names, in the given order.
        labels: the label list.
        frame: one row per example: example_id, text, mentions, true (list of labels).
        logits: (models, examples, labels) float32, of the seed chosen.
        right: (models, examples), whether the model's decision equals the reference.
        independent: the labels' probabilities are independent (a typing head), not one distribution.
    """

    def __init__(
        self,
        models: Sequence[str],
        labels: Sequence[str],
        frame: pd.DataFrame,
        logits: np.ndarray,
        right: np.ndarray,
        independent: bool = False,
    ) -> None:
        self.models, self.labels, self.frame, self.logits, self.right = list(models), list(labels), frame, logits, right
        self.independent = independent

    @classmethod
    def from_runs(cls, folders: Sequence[str | Path], seed: int | None = None) -> "Cases":
        """The cases of several finetune runs on the same test set.

        Args:
            folders: run folders, one per model row.
            seed: whose logits; None for each run's first.

        Raises KAdapterError when the runs differ in task, examples or labels, or a seed is missing.
        """
        if not folders:
            raise KAdapterError("a case study needs at least one fine-tuning run")
        names, stacked, frame, labels, first = [], [], None, None, None
        for folder in folders:
            run = runs.load(folder)
            table = pd.read_parquet(run.path / "predictions.parquet")
            chosen = table["seed"].iloc[0] if seed is None else seed
            table = table[table["seed"] == chosen].reset_index(drop=True)
            if table.empty:
                raise KAdapterError(f"{run.path} has no seed {seed}; its seeds are {run.seeds}")
            spec = json.loads((run.path / "task.json").read_text(encoding="utf-8"))
            task = catalog.task(spec["name"], **spec["options"])
            own = task.labels
            if not own:
                raise KAdapterError(
                    f"{run.path}: task {run.task!r} has no labels to compare; expected a classification task"
                )
            if labels is None:
                labels, frame, first = own, table, run
            elif (
                own != labels
                or list(table["text"]) != list(frame["text"])
                or list(table["reference"]) != list(frame["reference"])
            ):
                raise KAdapterError(
                    f"{run.path} and {first.path} were tested on different examples or labels: compare runs of one task"
                )
            # two runs of one model row (another regime, another preset) are told apart by the run's name or folder
            names.append(next(n for n in (run.model, run.name, str(run.path)) if n not in names))
            stacked.append(np.stack(table["logits"].to_numpy()))
        references = np.stack([np.asarray(json.loads(r)) for r in frame["reference"]])
        columns = {"example_id": frame["example_id"], "text": frame["text"]}
        return cls._answered(
            names, task, columns | {"mentions": frame["mentions"].map(json.loads)}, np.stack(stacked), references
        )

    @classmethod
    def from_models(
        cls,
        models: Mapping[str, tuple[Any, Any]],
        examples: "Dataset",
        progress: Callable[[float, str], Any] = lambda done, what: None,
    ) -> "Cases":
        """The cases of several models on examples that are answered now.

        Args:
            models: model name -> (KnowledgeModel, its tokenizer), of one task.
            examples: of the task's schema.
            progress: called with the fraction done and what is being done, at least every 256 examples; what it raises
                ends the work.

        Raises KAdapterError when the models have no labels, or differ in them.
        """
        from kadapter.training.batches import encode
        from kadapter.training.predict import predict

        task, stacked = same_task({name: model for name, (model, _) in models.items()}), []
        steps = range(0, len(examples), CHUNK)
        for number, (name, (model, tokenizer)) in enumerate(models.items()):
            answered, references = [], []
            for start in steps:
                progress((number + start / len(examples)) / len(models), f"{name} answers {len(examples)} examples")
                part = examples.select(range(start, min(start + CHUNK, len(examples))))
                found = predict(model, encode(model.task, tokenizer, part, progress=False))
                answered.append(np.stack(found.outputs))
                references.append(np.asarray(found.references))
            stacked.append(np.concatenate(answered))
        columns = {"example_id": examples["id"], "text": examples["text"], "mentions": mentions(examples)}
        return cls._answered(list(models), task, columns, np.stack(stacked), np.concatenate(references))

    @classmethod
    def _answered(
        cls, models: list[str], task: "Task", columns: dict[str, Any], logits: np.ndarray, references: np.ndarray
    ) -> "Cases":
        labels = task.labels
        decided = [np.asarray(task.decide(each)) for each in logits]  # as the score decides
        single = references.ndim == 1
        true = [[labels[r]] if single else [labels[i] for i in np.flatnonzero(r)] for r in references]
        right = np.stack([d == references if single else (d == references).all(-1) for d in decided])
        frame = pd.DataFrame({name: list(column) for name, column in columns.items()} | {"true": true})
        return cls(models, labels, frame, logits, right, independent=task.schema == "typing")

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
        sort: str = "movement",
    ) -> np.ndarray:
        """Indices of the cases that pass every filter, in order.

        Args:
            kind: what `model` did to them: `fixed` or `broken` against `against`, `both right`, `both wrong`, or `all`.
            label: one of their true labels; "" for any.
            text: words that the sentence holds, in any case of letters; "" for any.
            margin: lowest and highest margin of `model` (see `margins`); None for any.
            sort: `movement` (of the true label's logit, largest first), `margin` (of `model`, lowest first) or `order`.

        Raises KAdapterError for an unknown kind, model, label or sort.
        """
        ours, theirs = self.right[self.model(model)], self.right[self.model(against)]
        masks = {
            "fixed": ours & ~theirs,
            "broken": ~ours & theirs,
            "both right": ours & theirs,
            "both wrong": ~ours & ~theirs,
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
        """Table 7: per case and model the input with subject and object marked, the true label, the top-k labels and
        their logits."""
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
                        "true label": ", ".join(case.true) or "(none)",
                        "model": name,
                        "right": bool(self.right[self.model(name), index]),
                        f"top-{k} labels": ", ".join(self.labels[t] for t in top),
                        f"top-{k} logits": ", ".join(f"{logits[t]:.2f}" for t in top),
                    }
                )
        return pd.DataFrame(rows)

    def counts(self, model: str, against: str = "backbone") -> dict[str, int]:
        """How many cases are of each kind."""
        return {kind: len(self.select(kind, model, against)) for kind in KINDS}


def mentions(examples: "Dataset") -> list[list]:
    """Per example of a dataset its mentions, [[start, end, role], ...] in characters."""
    if "subj_start" in examples.column_names:
        columns = zip(*(examples[c] for c in ("subj_start", "subj_end", "obj_start", "obj_end")), strict=True)
        return [[[a, b, "subject"], [c, d, "object"]] for a, b, c, d in columns]
    if "start" in examples.column_names:
        return [[[a, b, "mention"]] for a, b in zip(examples["start"], examples["end"], strict=True)]
    return [[] for _ in range(len(examples))]


def same_task(models: Mapping[str, Any]) -> "Task":
    """The task of several models. Raises KAdapterError if one has no labels, or other labels than the first."""
    if not models:
        raise KAdapterError("a case study needs at least one model")
    first = next(iter(models))
    for name, model in models.items():
        if model.task is None or not model.task.labels:
            raise KAdapterError(f"model {name!r} has no labels to compare; expected a classification head")
        if model.task.labels != models[first].task.labels:
            raise KAdapterError(f"models {first!r} and {name!r} have different labels: compare models of one task")
    return models[first].task
