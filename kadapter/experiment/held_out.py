"""What an adapter learned, on examples that it was not trained on, beside models that have not its knowledge: the same
head on the backbone alone and beside an untrained adapter, and whoever only counts the answers of training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kadapter.machine.device import best_device
from kadapter.model.adapter import build_adapter
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.runs import Run
from kadapter.scoring.metric import Metric
from kadapter.training.batches import Encoded
from kadapter.training.fit import computes_bf16, fit_together
from kadapter.training.predict import predict
from kadapter.training.settings import Settings

SPLIT = "test"


@dataclass(frozen=True)
class HeldOut:
    """Scores on a held-out split: model row -> what each example adds to the metric, (n, k)."""

    task: str
    metric: Metric
    counts: dict[str, np.ndarray]

    @property
    def scores(self) -> dict[str, float]:
        """Model row -> the headline value, as a fraction; the adapter first."""
        totals = {model: counts.sum(axis=0) for model, counts in self.counts.items()}
        return {model: float(self.metric.reduce(total)[self.metric.primary]) for model, total in totals.items()}

    def save(self, run: Run) -> list[dict[str, Any]]:
        """Leave the counts in a run, as the probe's run does; what its result says of them."""
        arrays: dict[str, Any] = {f"{self.task}/{model}": counts[None] for model, counts in self.counts.items()}
        np.savez_compressed(run.path("counts.npz"), **arrays)
        metric = {"name": self.metric.name, "options": asdict(self.metric)}
        return [{"task": self.task, "model": model, "metric": metric} for model in self.counts]


def score(
    name: str,
    model: KnowledgeModel,
    splits: Mapping[str, Encoded],
    settings: Settings,
    out: Path,
    progress: bool = True,
) -> HeldOut:
    """Score a model whose one adapter was pre-trained on `test`, and what stands beside it.

    Args:
        name: of the adapter.
        splits: train, dev and test, encoded.
        settings: with which it was pre-trained.

    Rows: the adapter's name; `backbone` and `none` (an untrained adapter of its sizes), whose heads are trained as the
    adapter's was, all else frozen; `majority`, the constant answer that is right most often in training, where the task
    has one.
    """
    task, seed = model.require_task(), settings.seed
    none = build_adapter(model.adapters[name].config, seed)
    models = {
        row: KnowledgeModel(model.backbone, model.fusion.kind, adapters, task, seed)
        for row, adapters in (("backbone", {}), ("none", {"none": none}))
    }
    alone = replace(settings, regime="frozen")
    fit_together(models, splits["train"], splits["dev"], alone, out / "baselines", progress=progress)
    bf16 = computes_bf16(settings, best_device())
    counts = {row: predict(each, splits[SPLIT], bf16=bf16).counts for row, each in ({name: model} | models).items()}
    constant = task.constant(splits["train"], splits[SPLIT])
    if constant is not None:
        counts["majority"] = task.metric.per_example(constant, task.references(splits[SPLIT]))
    return HeldOut(name, task.metric, counts)
