"""What models answered when they were asked as they are (`kadapter.experiment.probing_stages`), and tables of it:
scores with intervals, each relation by itself, apart by what had been read, and the most probable words (Table 6).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from jaxtyping import Float

from kadapter.knowledge import pararel_facts
from kadapter.probing.leak import NEVER, NOT_READ, READ
from kadapter.scoring.cloze import Cloze, Perplexity
from kadapter.scoring.metric import Metric
from kadapter.scoring.statistics import interval

MAJORITY = "majority"


class Asked:
    """Answers of model rows, for each of some seeds.

    Args:
        models: rows.
        seeds: of their pre-trainings.
        read: the facts that the adapters learned from, rows of the schema CLOZE.
        asked: dataset -> what is asked, rows of the same schema: facts, or plain text alone.

    Attributes:
        counts: (dataset, row) -> what each example adds to the dataset's metric, (seeds, n, k).
        ranks: (dataset of facts, row) -> the rank of each answer among the words, (seeds, n).
        said, logs: of facts and the first seed, the most probable words, and the log-probabilities of all words.
    """

    def __init__(
        self, *, models: Sequence[str], seeds: Sequence[int], read: Dataset, asked: Mapping[str, Dataset]
    ) -> None:
        self.models, self.seeds, self.read, self.asked = list(models), list(seeds), read, dict(asked)
        self.counts: dict[tuple[str, str], Float[np.ndarray, "seeds n k"]] = {}
        self.ranks: dict[tuple[str, str], Float[np.ndarray, "seeds n"]] = {}
        self.said: dict[tuple[str, str], list[list[str]]] = {}
        self.logs: dict[tuple[str, str], Float[np.ndarray, "n words"]] = {}

    def _majority(self, dataset: Dataset) -> Iterator[bool]:
        """Whether a relation's most frequent object in the text that was read (of a relation that is not in it, in the
        probe itself) is the answer."""
        read, asked = (
            {
                relation: Counter(a for r, a in zip(rows["relation"], rows["answer"], strict=True) if r == relation)
                for relation in set(rows["relation"])
            }
            for rows in (self.read, dataset)
        )
        frequent = {r: min(found, key=lambda a: (-found[a], a)) for r, found in (asked | read).items()}
        for relation, answer in zip(dataset["relation"], dataset["answer"], strict=True):
            yield frequent[relation] == answer

    def metric(self, name: str) -> Metric:
        """P@1, the mean of the relations, or perplexity."""
        relations = set(self.asked[name]["relation"])
        return Cloze(relations=len(relations)) if any(relations) else Perplexity()

    def _keep(self, name: str, model: str, dataset: Dataset, found: Float[np.ndarray, "seeds n *values"]) -> None:
        metric = self.metric(name)
        if isinstance(metric, Perplexity):
            self.counts[name, model] = np.stack([metric.per_example(each, None) for each in found])
            return
        relations = self._relations(name)
        references = np.array([relations.index(relation) for relation in dataset["relation"]])
        triples = [np.stack([ranks, np.zeros(len(ranks)), np.ones(len(ranks))], axis=1) for ranks in found]
        self.counts[name, model] = np.stack([metric.per_example(each, references) for each in triples])
        self.ranks[name, model] = found

    def rows(self) -> pd.DataFrame:
        """One row for each task, model and seed."""
        return pd.DataFrame(
            {
                "task": task,
                "dataset": task,
                "model": model,
                "regime": "frozen",
                "seed": seed,
                "metric": self.metric(task).primary,
                "score": float(value),
                "n": counts.shape[1],
            }
            for (task, model), counts in self.counts.items()
            for seed, value in zip(self.seeds, self._values(task, counts), strict=True)
        )

    def _values(self, task: str, counts: Float[np.ndarray, "seeds n k"]) -> Float[np.ndarray, " seeds"]:
        metric = self.metric(task)
        return metric.reduce(counts.sum(axis=1))[metric.primary]

    def summary(self) -> pd.DataFrame:
        """Mean and 95% interval of each task and model, over pre-trainings and facts: P@1 in percent, perplexity as it
        is."""
        found = []
        for (task, model), counts in self.counts.items():
            metric = self.metric(task)
            scale = 100 if metric.share else 1
            each = {
                key: value for key, value in interval(counts, metric).items() if key in ("mean", "ci_low", "ci_high")
            }
            row = {"task": task, "metric": metric.title, "model": model}
            found.append(row | {key: scale * value for key, value in each.items()} | {"n": counts.shape[1]})
        return pd.DataFrame(found)

    def by_relation(self) -> pd.DataFrame:
        """One row for each dataset of facts, relation and model: n, P@1, P@10 and MRR, fractions, the mean of the
        seeds."""
        rows = []
        for (task, model), counts in self.counts.items():
            metric = self.metric(task)
            if isinstance(metric, Cloze):
                parts = metric.by_relation(counts.sum(axis=1)).mean(axis=0)
                for relation, (n, p1, p10, mrr) in zip(self._relations(task), parts, strict=True):
                    row = {"task": task, "relation": relation, "model": model, "n": int(n)}
                    rows.append(row | {"P@1": p1, "P@10": p10, "MRR": mrr})
        return pd.DataFrame(rows)

    def leak(self) -> pd.DataFrame:
        """Every probed fact by what the adapters read of it, in any words: kind, task, n, and each model's P@1 (share
        of the facts, mean of the pre-trainings)."""
        read, trained = self._subjects(self.read), set(self.read["relation"])
        parts = []
        for name in {task for task, _ in self.ranks}:
            facts = zip(self._subjects(self.asked[name]), self.asked[name]["relation"], strict=True)
            kinds = np.array([READ if key in read else NOT_READ if r in trained else NEVER for key, r in facts])
            for kind in (READ, NOT_READ, NEVER):
                if (inside := kinds == kind).any():
                    row: dict[str, Any] = {"kind": kind, "task": name, "n": int(inside.sum())}
                    for (task, model), ranks in self.ranks.items():
                        if task == name:
                            row[model] = float((ranks[:, inside] <= 1).mean())
                    parts.append(row)
        return pd.DataFrame(parts).sort_values("task", ignore_index=True)

    def top(self) -> dict[str, pd.DataFrame]:
        """Model -> its most probable words for every fact, of the first pre-training (Table 6)."""
        found: dict[str, pd.DataFrame] = {}
        for model in self.models:
            parts = []
            for name in self._of_facts:
                asked = (
                    self.asked[name].to_pandas()[["relation", "text", "answer"]].rename(columns={"answer": "object"})
                )
                asked["subject"] = [subject for _, subject in self._subjects(self.asked[name])]
                asked["objects"] = [[object] for object in asked["object"]]
                asked["rank"], asked["top"] = self.ranks[name, model][0].astype(int), self.said[name, model]
                parts.append(asked.assign(task=name))
            if parts:
                found[model] = pd.concat(parts, ignore_index=True)
        return found

    @property
    def _of_facts(self) -> list[str]:
        """The datasets of facts, in order."""
        return [name for name in self.asked if any(task == name for task, _ in self.ranks)]

    def _relations(self, name: str) -> list[str]:
        return sorted(set(self.asked[name]["relation"]))

    def _subjects(self, dataset: Dataset) -> list[tuple[str, str]]:
        """(relation, subject) of each row: what a text says of whom, however it says it."""
        return [pararel_facts.said_of(r, t) for r, t in zip(dataset["relation"], dataset["text"], strict=True)]
