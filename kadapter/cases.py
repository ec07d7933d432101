"""Cases: one example with every model's top-k labels and logits, side by side (Table 7 of the paper)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kadapter import catalog, runs
from kadapter.errors import KAdapterError, unknown

KINDS = ("fixed", "broken", "both right", "both wrong")


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
    """

    def __init__(
        self, models: Sequence[str], labels: Sequence[str], frame: pd.DataFrame, logits: np.ndarray, right: np.ndarray
    ) -> None:
        self.models, self.labels, self.frame, self.logits, self.right = list(models), list(labels), frame, logits, right

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
        models, stacked, decided, frame, labels, first = [], [], [], None, None, None
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
            models.append(run.model)
            stacked.append(np.stack(table["logits"].to_numpy()))
            decided.append(np.asarray(task.decide(stacked[-1])))  # as the score decides
        references = np.stack([np.asarray(json.loads(r)) for r in frame["reference"]])
        true = (
            [[labels[r]] for r in references]
            if references.ndim == 1
            else [[labels[i] for i in np.flatnonzero(r)] for r in references]
        )
        right = np.stack([(d == references) if references.ndim == 1 else (d == references).all(-1) for d in decided])
        frame = pd.DataFrame(
            {
                "example_id": frame["example_id"],
                "text": frame["text"],
                "mentions": frame["mentions"].map(json.loads),
                "true": true,
            }
        )
        return cls(models, labels, frame, np.stack(stacked), right)

    def __len__(self) -> int:
        return len(self.frame)

    def model(self, name: str) -> int:
        """The position of a model. Raises KAdapterError for an unknown one."""
        if name not in self.models:
            raise unknown("model of this case study", name, self.models)
        return self.models.index(name)

    def select(self, kind: str, model: str, against: str = "backbone") -> np.ndarray:
        """Indices of cases that `model` fixed, broke, or answered as `against` did, largest movement of the true
        label's logit first."""
        if kind not in KINDS:
            raise unknown("kind of case", kind, KINDS)
        ours, theirs = self.right[self.model(model)], self.right[self.model(against)]
        mask = {
            "fixed": ours & ~theirs,
            "broken": ~ours & theirs,
            "both right": ours & theirs,
            "both wrong": ~ours & ~theirs,
        }[kind]
        chosen = np.flatnonzero(mask)
        return chosen[np.argsort(-np.abs(self.movement(model, against)[chosen]), kind="stable")]

    def movement(self, model: str, against: str = "backbone") -> np.ndarray:
        """(examples,) how much higher the true labels' mean logit is with `model` than with `against`; 0 without a true
        label."""
        difference = self.logits[self.model(model)] - self.logits[self.model(against)]
        index = {label: i for i, label in enumerate(self.labels)}
        return np.array(
            [
                row[[index[t] for t in true]].mean() if true else 0.0
                for row, true in zip(difference, self.frame["true"], strict=True)
            ]
        )

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
