"""The stage that asks models as they are: facts with [MASK] among the words of a list, and plain text for its
perplexity (Section 4.4 and Table 5 of the paper's early version; Petroni et al., 2019).

Rows: the backbone, an untrained adapter beside it, adapters after each of their pre-trainings, and the most frequent
object of each relation. The frozen backbone reads every text once for all of them.
"""

from collections.abc import Mapping, Sequence
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
from kadapter.experiment.asked import MAJORITY, Asked
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
from kadapter.probing.probe import most_probable, ranked
from kadapter.runs import Run
from kadapter.tasks.prompts import word_ids
from kadapter.training.batches import Encoded, encode
from kadapter.training.features import open_store
from kadapter.training.language import language_model
from kadapter.training.predict import answered

RELATIONS = "relations.csv"  # every relation by itself
LONGEST = 128  # tokens of a plain text


class Probing(Asked):
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
        self.data, self.datasets = data, list(datasets)
        for model in models:
            if model not in ("backbone", "none", *adapters):
                raise unknown("model", model, ["backbone", "none", *adapters])
        for name, folders in adapters.items():
            if len(folders) != len(seeds):
                raise KAdapterError(f"adapter {name!r} has {len(folders)} pre-trainings for {len(seeds)} seeds")
        self.backbone, self.tokenizer = Backbone(backbone), load_tokenizer(backbone)
        language_model(self.backbone)  # a backbone that does not speak is told here
        self.words = word_ids(self.tokenizer, pararel_facts.words())
        config = AdapterConfig.for_backbone(self.backbone, **(none_adapter or {}))
        self.untrained = build_adapter(config, seed=0)
        self.adapters = {
            name: [load_adapter(_adapter_folder(folder), self.backbone) for folder in folders]
            for name, folders in adapters.items()
            if name in models
        }
        read = data.read(text, "train")
        super().__init__(
            models=models,
            seeds=seeds,
            read=read.select([k for k, answer in enumerate(read["answer"]) if answer]),
            asked={name: self._askable(data.read(name, "test")) for name in self.datasets},
        )

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
        found = np.empty((len(dataset), 2))
        logs = np.empty((0 if plain else len(dataset), len(words)), dtype=np.float32)
        with torch.no_grad():
            for chosen, batch, result in answered(model, encoded, model.require_task().batch_tokens):
                log = result.logits.float().log_softmax(-1)
                if plain:
                    found[chosen] = _said(log, batch)
                else:
                    logs[chosen] = log[:, columns].numpy()
        if plain:
            return found, [], logs
        place = {word: k for k, word in enumerate(words)}
        return ranked(logs, [place[a] for a in dataset["answer"]]), most_probable(logs, words), logs

    def finish(self, run: Run) -> Path:
        """Leave rows, every example's counts, each relation's scores, and the leak table."""
        arrays: dict[str, Any] = {f"{task}/{model}": counts for (task, model), counts in self.counts.items()}
        np.savez_compressed(run.path("counts.npz"), **arrays)
        self.leak().to_csv(run.path(kept.LEAK), index=False)
        self.by_relation().to_csv(run.path(RELATIONS), index=False)
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
