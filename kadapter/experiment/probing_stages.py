"""The stage that asks models as they are: facts with [MASK] among the words of a list, and plain text for its
perplexity (Section 4.4 and Table 5 of the paper's early version; Petroni et al., 2019).

Rows: the backbone, an untrained adapter beside it, adapters after each of their pre-trainings, and the most frequent
object of each relation. The frozen backbone reads every text once for all of them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from jaxtyping import Float, Int

from kadapter import catalog, values
from kadapter.errors import KAdapterError, unknown
from kadapter.experiment.prepared import Data
from kadapter.experiment.preset_values import Seeds
from kadapter.formats.lama import MASK
from kadapter.hub.adapter_folder import load_adapter
from kadapter.knowledge import pararel_facts
from kadapter.model.adapter import AdapterConfig, KnowledgeAdapter, build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.language_head import language_kind
from kadapter.probing import kept
from kadapter.probing.leak import NEVER, NOT_READ, READ
from kadapter.probing.probe import TOP
from kadapter.runs import Run
from kadapter.scoring.cloze import Cloze, Perplexity
from kadapter.scoring.metric import Metric
from kadapter.scoring.statistics import interval
from kadapter.tasks.prompts import word_ids
from kadapter.training.batches import Encoded, encode
from kadapter.training.features import open_store
from kadapter.training.language import language_model
from kadapter.training.predict import answered

MAJORITY = "majority"
LONGEST = 128  # tokens of a plain text


class Probing:
    """Ask every model row what is in some datasets.

    Args:
        data: a prepared data folder; the split `test` of each of `datasets` is read from it.
        text: the dataset that the adapters learned from; its most frequent objects are the row `majority`.
        models: `backbone`, `none`, and names of adapters.
        adapters: adapter name -> folders of its pre-training runs, one for each of `seeds`.
        none_adapter: sizes of the untrained adapter.

    Raises KAdapterError for an unknown name, and for facts none of which can be asked.
    """

    def __init__(
        self,
        *,
        data: Data,
        datasets: Sequence[str],
        text: str,
        backbone: str,
        models: Sequence[str],
        adapters: Mapping[str, Sequence[str | Path]],
        seeds: Sequence[int] = (0,),
        none_adapter: Mapping[str, Any] | None = None,
    ) -> None:
        values.check_value(Seeds, list(seeds), "seeds")
        self.data, self.datasets, self.seeds = data, list(datasets), list(seeds)
        self.models = list(models)
        for model in self.models:
            if model not in ("backbone", "none", *adapters):
                raise unknown("model", model, ["backbone", "none", *adapters])
        for name, folders in adapters.items():
            if len(folders) != len(self.seeds):
                raise KAdapterError(f"adapter {name!r} has {len(folders)} pre-trainings for {len(self.seeds)} seeds")
        self.backbone, self.tokenizer = Backbone(backbone), load_tokenizer(backbone)
        language_model(self.backbone)  # a backbone that does not speak is told here
        self.words = word_ids(self.tokenizer, pararel_facts.words())
        config = AdapterConfig.for_backbone(self.backbone, **(none_adapter or {}))
        self.untrained = build_adapter(config, seed=0)
        self.adapters = {
            name: [load_adapter(_adapter_folder(folder), self.backbone) for folder in folders]
            for name, folders in adapters.items()
            if name in self.models
        }
        read = data.read(text, "train")
        self.read = read.select([k for k, answer in enumerate(read["answer"]) if answer])
        self.asked = {name: self._askable(data.read(name, "test")) for name in self.datasets}
        self.counts: dict[tuple[str, str], Float[np.ndarray, "seeds n k"]] = {}
        self.ranks: dict[tuple[str, str], Float[np.ndarray, "seeds n"]] = {}
        # of the first pre-training: most probable words, and log-probabilities of all words
        self.said: dict[tuple[str, str], list[list[str]]] = {}
        self.logs: dict[tuple[str, str], Float[np.ndarray, "n words"]] = {}

    def _askable(self, dataset: Dataset) -> Dataset:
        """Plain text, or the facts whose object is in the word list and that can be asked from the left."""
        if not any(dataset["answer"]):
            return dataset
        texts = zip(dataset["answer"], dataset["text"], strict=True)
        kept = dataset.select([k for k, (a, t) in enumerate(texts) if a in self.words and t.split(MASK)[0].strip()])
        if not len(kept):
            raise KAdapterError(f"none of {len(dataset)} facts has an object among the {len(self.words)} words")
        return kept

    def run(self, progress: bool = True) -> pd.DataFrame:
        """Ask everything; returns `rows`."""
        for name, dataset in self.asked.items():
            encoded = self._encoded(dataset, progress)
            for model in self.models:
                found = []
                for adapter in self._of(model):
                    ranks, said, logs = self._answers(dataset, encoded, model, adapter)
                    found.append(ranks)
                    self.said.setdefault((name, model), said)
                    self.logs.setdefault((name, model), logs)
                if len(found) == 1:  # what no pre-training changes is the same for every seed
                    found *= len(self.seeds)
                self._keep(name, model, dataset, np.stack(found))
            if any(dataset["answer"]):
                guessed = [float(1 if right else np.inf) for right in self._majority(dataset)]
                self._keep(name, MAJORITY, dataset, np.tile(guessed, (len(self.seeds), 1)))
        return self.rows()

    def _of(self, model: str) -> Sequence[KnowledgeAdapter | None]:
        if model in self.adapters:
            return self.adapters[model]
        return [None if model == "backbone" else self.untrained]

    def _encoded(self, dataset: Dataset, progress: bool) -> Encoded:
        """Examples with the states that any row reads, in float32."""
        task = catalog.task("cloze", reading=language_kind(self.backbone), max_length=LONGEST)
        encoded = encode(task, self.tokenizer, dataset, progress=False)
        return replace(encoded, states=open_store(self._widest(), encoded, "states", torch.float32, progress=progress))

    def _widest(self) -> KnowledgeModel:
        """One that reads every state that any row reads."""
        return self._with(next(iter(self.adapters.values()))[0] if self.adapters else self.untrained)

    def _with(self, adapter: KnowledgeAdapter | None) -> KnowledgeModel:
        return language_model(self.backbone, {} if adapter is None else {"adapter": adapter})

    def _answers(
        self, dataset: Dataset, encoded: Encoded, name: str, adapter: KnowledgeAdapter | None
    ) -> tuple[Float[np.ndarray, "n *values"], list[list[str]], Float[np.ndarray, "facts words"]]:
        """Of facts the rank of each answer among the words, (n,), the most probable ones, and the log-probabilities of
        all; of plain text the log-probability and number of its tokens, (n, 2)."""
        model = self._with(adapter)
        known = self._widest().state_indices
        if encoded.states is not None and model.state_indices != known:
            if not set(model.state_indices) <= set(known):
                raise KAdapterError(f"model {name!r} reads states {model.state_indices}; expected some of {known}")
            encoded = replace(encoded, states=encoded.states.at([known.index(i) for i in model.state_indices]))
        plain = not any(dataset["answer"])
        columns = torch.tensor(list(self.words.values()))
        words = list(self.words)
        place = {word: k for k, word in enumerate(words)}
        found = np.empty((len(dataset), 2) if plain else len(dataset))
        answers = dataset["answer"]
        said: list[list[str]] = [[] for _ in range(0 if plain else len(dataset))]
        logs = np.empty((len(said), len(words)), dtype=np.float32)
        with torch.no_grad():
            for chosen, batch, result in answered(model, encoded, model.require_task().batch_tokens):
                log = result.logits.float().log_softmax(-1)
                if plain:
                    found[chosen] = _said(log, batch)
                else:
                    scores = log[:, columns]
                    right = scores[torch.arange(len(chosen)), [place[answers[k]] for k in chosen]]
                    found[chosen] = 1 + (scores > right[:, None]).sum(1).numpy()
                    logs[chosen] = scores.numpy()
                    best = scores.topk(min(TOP, len(words))).indices.tolist()
                    for k, ids in zip(chosen, best, strict=True):
                        said[k] = [words[i] for i in ids]
        return found, said, logs

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
        relations = sorted(set(dataset["relation"]))
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
        return [name for name in self.datasets if any(task == name for task, _ in self.ranks)]

    def _subjects(self, dataset: Dataset) -> list[tuple[str, str]]:
        """(relation, subject) of each row: what a text says of whom, however it says it."""
        return [pararel_facts.said_of(r, t) for r, t in zip(dataset["relation"], dataset["text"], strict=True)]

    def finish(self, run: Run) -> Path:
        """Leave rows, every example's counts, and the leak table."""
        arrays: dict[str, Any] = {f"{task}/{model}": counts for (task, model), counts in self.counts.items()}
        np.savez_compressed(run.path("counts.npz"), **arrays)
        self.leak().to_csv(run.path(kept.LEAK), index=False)
        kept.write(run.folder, top := self.top())
        if top:
            logs = {m: np.concatenate([self.logs[name, m] for name in self._of_facts]) for m in self.models}
            kept.write_cases(run.folder, list(self.words), logs, pd.concat(top.values()))
        rows = self.rows()
        scored = [
            {
                "task": task,
                "model": model,
                "metric": {"name": self.metric(task).name, "options": self.metric(task).options},
            }
            for task, model in self.counts
        ]
        return run.finish(
            metrics={f"{t} {m}": float(self._values(t, counts).mean()) for (t, m), counts in self.counts.items()},
            rows=[{str(key): value for key, value in row.items()} for row in rows.to_dict("records")],
            scored=scored,
            seeds=self.seeds,
            n=int(sum(len(dataset) for dataset in self.asked.values())),
            words={"name": "objects of ParaRel's pairs", "size": len(pararel_facts.words()), "usable": len(self.words)},
            backbone_fingerprint=self.backbone.fingerprint,
        )


def _adapter_folder(folder: str | Path) -> Path:
    inner = Path(folder) / "adapter"
    return inner if inner.is_dir() else Path(folder)


def _said(log: Float[torch.Tensor, "asked vocabulary"], batch: Mapping[str, torch.Tensor]) -> Float[np.ndarray, "n 2"]:
    """Per text the log-probability of its tokens, and their number."""
    asked = batch["asked"] >= 0
    right = log.gather(1, batch["labels"][asked][:, None])[:, 0]
    row: Int[torch.Tensor, " asked"] = torch.nonzero(asked)[:, 0]
    total = torch.zeros(len(asked)).index_add(0, row, right)
    return torch.stack([total, asked.sum(1).float()], 1).numpy()
