"""Cases of finished runs, or of models that answer now (Table 7 of the paper)."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kadapter import catalog, runs
from kadapter.cases.table import CaseTable
from kadapter.errors import KAdapterError

if TYPE_CHECKING:
    from datasets import Dataset

    from kadapter.tasks.base import Task

PROBE = "probe"  # the stage whose run has facts that models were asked for as they are
CHUNK = 256  # examples that `from_models` answers between two looks at whether to go on


class Cases(CaseTable):
    """The cases of finished runs, or of models that answer now."""

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
        if runs.load(folders[0]).stage == PROBE:
            return cls.from_probe(folders[0])
        names: list[str] = []
        stacked: list[np.ndarray] = []
        labels, frame, first = None, pd.DataFrame(), None  # of the first run
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
                labels, frame, first = own, table, run.path
            elif (
                own != labels
                or list(table["text"]) != list(frame["text"])
                or list(table["reference"]) != list(frame["reference"])
            ):
                raise KAdapterError(
                    f"{run.path} and {first} were tested on different examples or labels: compare runs of one task"
                )
            # two runs of one model row (another regime, another preset) are told apart by the run's name or folder
            names.append(next(n for n in (run.model, run.name, str(run.path)) if n not in names))
            stacked.append(np.stack(list(table["logits"])))
        references = np.stack([np.asarray(json.loads(r)) for r in frame["reference"]])
        columns = {"example_id": frame["example_id"], "text": frame["text"]}
        columns["mentions"] = frame["mentions"].map(json.loads)
        return cls._answered(names, task, columns, np.stack(stacked), references)

    @classmethod
    def from_probe(cls, folder: str | Path) -> "Cases":
        """The facts that the run of a probe asked for, as cases: the labels are the words that are an answer or among
        the most probable ones of a model, their logits log-probabilities; the subject is marked.

        Raises KAdapterError for a run that left none.
        """
        from kadapter.probing import kept

        path = runs.load(folder).path
        words, logs = kept.read_cases(path)
        frame = next(iter(kept.read_top(path).values()))
        places = [text.find(subject) for text, subject in zip(frame["text"], frame["subject"], strict=True)]
        spans = zip(places, frame["subject"], strict=True)
        columns = {
            "example_id": [f"{r} {k}" for k, r in enumerate(frame["relation"])],
            "text": frame["text"],
            "mentions": [[[at, at + len(name), "subject"]] if at >= 0 and name else [] for at, name in spans],
        }
        place = {word: k for k, word in enumerate(words)}
        references = np.array([place[word] for word in frame["object"]])
        task = catalog.task("relation", labels=words, negative=None)
        cases = cls._answered(list(logs), task, columns, np.stack(list(logs.values())), references)
        cases.asked = True
        return cases

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
                mapping = model.mapping if "links" in part.column_names else None
                found = predict(model, encode(model.task, tokenizer, part, progress=False, mapping=mapping))
                answered.append(np.stack(found.outputs))
                references.append(np.asarray(found.references))
            stacked.append(np.concatenate(answered))
        columns = {"example_id": examples["id"], "text": examples["text"], "mentions": mentions(examples)}
        return cls._answered(list(models), task, columns, np.stack(stacked), np.concatenate(references))

    @classmethod
    def _answered(
        cls, models: list[str], task: "Task", columns: dict[str, Any], logits: np.ndarray, references: np.ndarray
    ) -> "Cases":
        labels, single = task.labels, references.ndim == 1
        true = [[labels[r]] if single else [labels[i] for i in np.flatnonzero(r)] for r in references]
        frame = pd.DataFrame({name: list(column) for name, column in columns.items()} | {"true": true})
        return cls(task, models, frame, logits)


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
