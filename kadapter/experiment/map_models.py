"""The downstream models of map-tuning's tables: one task, tuned in one way without knowledge and then frozen, into
which mappings, an adapter or triples in words are put (map-tuning ledger, "Downstream protocols")."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from jaxtyping import Float
from transformers import PreTrainedTokenizerBase

from kadapter import values
from kadapter.data.episodes import episodes
from kadapter.errors import KAdapterError
from kadapter.experiment.preset_values import FROZEN, Episodes
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.graphs.linking import linked
from kadapter.graphs.retrieval import with_triples
from kadapter.machine.device import best_device
from kadapter.model.adapter import KnowledgeAdapter
from kadapter.model.backbone import Backbone
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import EntityMapping
from kadapter.scoring.metric import Metric
from kadapter.tasks.base import Task
from kadapter.training.batches import Encoded, encode
from kadapter.training.fit import computes_bf16, fit
from kadapter.training.predict import predict
from kadapter.training.settings import Settings

Counts = Float[np.ndarray, "n k"]


@dataclass
class Downstream:
    """A task with its data, linked to entities.

    Args:
        task: gives encoding, head and metric.
        splits: `train`, `dev`, `test`, and `oracle` where there is one: the test's entities in contexts that tell.
        counted: how many mentions of each split are linked.
        asked: the rows' task -> the split that is asked; left out: the task's name -> `test`.
    """

    name: str
    dataset: str
    task: Task
    splits: dict[str, Dataset]
    tokenizer: PreTrainedTokenizerBase
    counted: dict[str, Any] = field(default_factory=dict)
    encoded: dict[tuple, Encoded] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.asked = self.asked or {self.name: "test"}

    @classmethod
    def of(
        cls,
        name: str,
        dataset: str,
        task: Task,
        splits: Mapping[str, Dataset],
        entities: EntityEmbeddings,
        tokenizer: PreTrainedTokenizerBase,
        asked_in: Mapping[str, Any] | None = None,
        rows: bool = False,
    ) -> "Downstream":
        """A task with its data linked; of the task `fewshot` in episodes, a row for each of its settings.

        Raises KAdapterError where no mention of the test is linked, and for episodes that the data cannot give.
        """
        found = {split: linked(each, entities, rows=rows) for split, each in splits.items()}
        if not found["test"].coverage:
            raise KAdapterError(f"task {name}: none of its test's mentions is linked to the graph's {len(entities):,}")
        counted = {split: each.counts.to_dict("records") for split, each in found.items()}
        texts = {split: each.dataset for split, each in found.items()}
        if task.schema != "episode":
            return cls(name, dataset, task, texts, tokenizer, counted)
        drawn = in_episodes(texts, values.defaults(Episodes) | dict(asked_in or {}))
        tests = {f"{name}_{split}": split for split in drawn if split not in ("train", "dev")}
        return cls(name, dataset, task, drawn, tokenizer, counted, asked=tests)

    def split(self, name: str, mapping: EntityMapping | None = None, facts: Dataset | None = None) -> Encoded:
        """A split, encoded once for each set of entity embeddings: with places for mapped vectors, or with triples in
        words behind each text."""
        key = (name, "" if mapping is None else mapping.embeddings.fingerprint, facts is not None)
        if key not in self.encoded:
            dataset = self.splits[name] if facts is None else with_triples(self.splits[name], facts)
            self.encoded[key] = encode(self.task, self.tokenizer, dataset, progress=False, mapping=mapping)
        return self.encoded[key]

    @property
    def metric(self) -> Metric:
        """The task's scorer."""
        return self.task.metric

    def chance(self, asked: str = "test") -> Counts:
        """Of the answer that is always the most frequent of the training part; in episodes of the first class."""
        train, test = (np.asarray(self.task.references(self.split(s))) for s in ("train", asked))
        if self.task.schema == "episode":
            return self.metric.per_example(np.zeros(len(test), dtype=np.int64), test)
        found, counts = np.unique(train, axis=0, return_counts=True)
        return self.metric.per_example(np.repeat(found[counts.argmax()][None], len(test), axis=0), test)

    def counts(self, model: KnowledgeModel, encoded: Encoded, bf16: bool) -> Counts:
        """What each example adds to the score."""
        return predict(model, encoded, bf16=bf16).counts

    def score(self, counts: Counts) -> float:
        """The headline value of counts."""
        return float(self.metric.reduce(counts.sum(axis=0))[self.metric.primary])


def in_episodes(texts: Mapping[str, Dataset], how: Mapping[str, Any]) -> dict[str, Dataset]:
    """Relation datasets as episodes: `train` and `dev` of one size, and the test as `5_1`, ... for each of the settings
    of `how` (preset_values.Episodes)."""
    own = {"ways": how["ways"], "shots": how["shots"], "queries": how["queries"]}
    made = {split: episodes(texts[split], count=how[split], **own) for split in ("train", "dev")}
    for ways, shots in how["settings"]:
        size = {"ways": ways, "shots": shots, "queries": how["queries"]}
        count = max(1, how["asked"] // (ways * how["queries"]))
        made[f"{ways}_{shots}"] = episodes(texts["test"], count=count, **size)
    return made


@dataclass
class Recipe:
    """How downstream models of one kind are tuned: `kind` is one of `TUNINGS` of kadapter.model.tuning_config, or
    `frozen`."""

    kind: str
    options: dict[str, Any]
    training: dict[str, Any]

    def tune(
        self,
        work: Downstream,
        backbone: Backbone,
        seed: int,
        out: Path,
        mapping: EntityMapping | None = None,
        adapters: Mapping[str, KnowledgeAdapter] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> KnowledgeModel:
        """A model of the task, trained on it and then frozen: plain, with a mapping that stays as it is, or with
        adapters. The backbone itself is left alone.

        Args:
            more: settings of the task that the recipe's own go over.
        """
        own = copy.deepcopy(backbone)
        model = KnowledgeModel(own, "concat", dict(adapters or {}), work.task, seed, mapping)
        if self.kind == FROZEN:
            model.train_only(FROZEN)
        else:
            model.tune(self.kind, **self.options)
        if not any(p.requires_grad for p in model.parameters()):  # a language model, asked as it is
            return model.eval()
        settings = Settings.from_dict(dict(more or {}) | self.training | {"regime": model.regime, "seed": seed})
        fit(model, work.split("train", mapping), work.split("dev", mapping), settings, out, progress=False)
        return model.train_only("frozen").eval()


def computes(settings: Settings) -> bool:
    """Whether predictions are computed in bfloat16: where training would be."""
    return computes_bf16(settings, best_device())
