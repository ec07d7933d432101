"""The stage that teaches kinds of knowledge one after another, and after each scores all of them again, on their own
tests and on one downstream task: Figure 1 of the paper, measured.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from kadapter import catalog, values
from kadapter.errors import KAdapterError, unknown
from kadapter.experiment.examples import Examples
from kadapter.experiment.learners import LEARNERS, Cost, Kind, Learner
from kadapter.experiment.prepared import Data
from kadapter.experiment.preset_values import Elastic, Seeds
from kadapter.experiment.stage import settings_for
from kadapter.machine.device import best_device, has_bf16
from kadapter.model.adapter import AdapterConfig
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.runs import Run
from kadapter.scoring import continual
from kadapter.training.batches import encode
from kadapter.training.fit import attach_store, fit
from kadapter.training.predict import Predictions, predict


@dataclass(frozen=True)
class Measured:
    """A row after a stage: its answers on every kind's test and on the downstream task's, the parameters that it needs
    beyond the backbone, and seconds of the processor for a thousand downstream texts with all that is plugged in."""

    answers: Mapping[str, Predictions]
    downstream: Predictions
    stored: int
    seconds_per_1000: float


class Continual:
    """Teach some rows kinds of knowledge, in some orders.

    Args:
        data: a prepared data folder.
        rows: names of `catalog.CONTINUAL`.
        orders: the names of all of `kinds`, each time in the order of learning.
        kinds: name -> knowledge, dataset, task_options, examples, adapter and training, as the preset's `knowledge`
            entries.
        task: a downstream task as an entry of the preset's `tasks`, its `training` that of the regime `frozen`.
        task_name: how it is called.
        training: row -> settings over those of the kinds.
        elastic: strength and samples of the row `ewc` (`ElasticWeights`).

    Raises KAdapterError for an unknown name, size or setting, and for an order that has not every kind once.
    """

    def __init__(
        self,
        *,
        data: Data,
        rows: Sequence[str],
        orders: Sequence[Sequence[str]],
        kinds: Mapping[str, Mapping[str, Any]],
        task: Mapping[str, Any],
        backbone: str,
        task_name: str = "downstream",
        training: Mapping[str, Mapping[str, Any]] | None = None,
        elastic: Mapping[str, Any] | None = None,
        fusion: str = "concat",
        seeds: Sequence[int] = (0,),
    ) -> None:
        values.check_value(Seeds, list(seeds), "seeds")
        for row in (*rows, *(training or {})):
            if row not in catalog.CONTINUAL:
                raise unknown("row", row, catalog.CONTINUAL)
        for order in orders:
            if sorted(order) != sorted(kinds):
                raise KAdapterError(f"orders: found {list(order)}; expected each of {', '.join(kinds)} once")
        values.check(Elastic, elastic or {}, at="elastic")
        self.data, self.rows, self.seeds, self.fusion = data, list(rows), list(seeds), fusion
        self.orders = [tuple(order) for order in orders]
        self.training, self.elastic = dict(training or {}), values.defaults(Elastic) | dict(elastic or {})
        self.backbone, self.tokenizer = Backbone(backbone), load_tokenizer(backbone)
        self.fingerprint = self.backbone.fingerprint
        self.kinds = {name: self._kind(name, entry) for name, entry in kinds.items()}
        self.task_name = task_name
        self.downstream_training, max_length = settings_for({**task["training"], "select": "last"}, "frozen", 0)
        self.task = catalog.task(
            task["task"], labels=data.labels(task["dataset"]), max_length=max_length, **task.get("task_options", {})
        )
        read = {split: data.read(task["dataset"], split) for split in ("train", "test")}
        self.downstream = {
            split: encode(self.task, self.tokenizer, rows, progress=False) for split, rows in read.items()
        }
        self.bf16 = has_bf16(best_device())
        self.scores: list[dict[str, Any]] = []
        self.costs: list[dict[str, Any]] = []

    def _kind(self, name: str, entry: Mapping[str, Any]) -> Kind:
        kind = catalog.knowledge(entry["knowledge"])
        settings_for(entry["training"], "adapter", 0)
        options = kind.options | dict(entry.get("task_options") or {})
        max_length = entry["training"].get("max_length", 64)
        self.backbone.check_length(max_length)
        source = Examples(self.data, entry["dataset"], entry["knowledge"], entry.get("examples"))
        task = catalog.task(kind.task, labels=source.labels, max_length=max_length, **options)
        train, test = (encode(task, self.tokenizer, source.split(split), progress=False) for split in ("train", "test"))
        sizes = AdapterConfig.for_backbone(self.backbone, **entry["adapter"])
        return Kind(name, task, train, test, sizes, dict(entry["training"]))

    def run(self, progress: bool = True) -> pd.DataFrame:
        """Teach and score everything; returns `rows`. Raises KAdapterError if the backbone itself has changed."""
        stages = len(self.rows) * len(self.seeds) * len(self.orders) * len(self.kinds)
        with tqdm(total=stages, unit="stage", disable=not progress) as bar, TemporaryDirectory() as cache:
            for row in self.rows:
                for seed in self.seeds:
                    learner = self._learner(row, seed, Path(cache))
                    known: dict[Any, tuple[Cost, Measured]] = {}
                    for order in self.orders:
                        self._teach(learner, row, order, seed, known, bar)
        if self.backbone.fingerprint != self.fingerprint:
            raise KAdapterError("the backbone that every row starts from has changed")
        return self.rows_of()

    def _learner(self, row: str, seed: int, cache: Path) -> Learner:
        more = self.elastic if row == "ewc" else {}
        return LEARNERS[row](self.kinds, self.backbone, self.fusion, self.training.get(row, {}), seed, cache, **more)

    def _teach(self, learner: Learner, row: str, order: Sequence[str], seed: int, known: dict, bar: tqdm) -> None:
        """All stages of an order, 0 before the first. Where the order does not matter, what another order has reached
        is not learned again."""
        said: dict[str, list[np.ndarray]] = {}  # kind -> its answers just after its own stage
        for stage in range(len(order) + 1):
            learned = tuple(order[:stage])
            key = frozenset(learned) if learner.by_set or not learned else learned
            if key not in known:
                cost = learner.learn(learned)
                known[key] = cost, self._measure(learner)
            cost, measured = known[key]
            if learned:
                said[learned[-1]] = measured.answers[learned[-1]].outputs
            named = {"row": row, "order": "-".join(order), "seed": seed, "stage": stage}
            for kind, answers in measured.answers.items():
                unchanged = _same(said[kind], answers.outputs) if kind in said else None
                self.scores.append({**named, "kind": kind, **_scored(answers), "unchanged": unchanged})
            self.scores.append({**named, "kind": self.task_name, **_scored(measured.downstream), "unchanged": None})
            at = {"learned": learned[-1] if learned else "", **asdict(cost)}
            at |= {"stored": measured.stored, "seconds_per_1000": measured.seconds_per_1000}
            self.costs.append({**named, **at})
            if learned:
                bar.set_postfix_str(f"{row}, seed {seed}: {' > '.join(learned)}")
                bar.update()

    def _measure(self, learner: Learner) -> Measured:
        answers = {
            name: predict(learner.answering(name), kind.test, bf16=self.bf16) for name, kind in self.kinds.items()
        }
        model = learner.knowing(self.task)
        settings = replace(self.downstream_training, seed=learner.seed)
        train = attach_store(model, self.downstream["train"], settings, self.bf16, learner.cache)
        fit(model, train, None, settings, learner.cache / "fit", progress=False, cache=learner.cache)
        started = time.process_time()
        downstream = predict(model, self.downstream["test"], bf16=self.bf16)
        per_1000 = 1000 * (time.process_time() - started) / len(self.downstream["test"])
        return Measured(answers, downstream, learner.stored(), per_1000)

    def rows_of(self) -> pd.DataFrame:
        """For each row, order, seed, stage and kind its score, metric, n, and the share of its answers whose numbers
        are those of just after its own stage (`unchanged`)."""
        return pd.DataFrame(self.scores)

    def costs_of(self) -> pd.DataFrame:
        """One row for each row, order, seed and stage: what learning took (`Cost`), and what answering takes."""
        return pd.DataFrame(self.costs)

    def finish(self, run: Run) -> Path:
        """Leave scores and costs."""
        summary = continual.summary(self.rows_of(), self.task_name)
        metrics = {
            f"{row['row']} {name}": round(float(row[name]), 6)
            for row in summary.groupby("row", sort=False).mean(numeric_only=True).reset_index().to_dict("records")
            for name in ("average_accuracy", "forgetting")
        }
        return run.finish(
            metrics=metrics,
            rows=self.scores,
            costs=self.costs,
            kinds=list(self.kinds),
            downstream=self.task_name,
            orders=["-".join(order) for order in self.orders],
            seeds=self.seeds,
            n=sum(len(kind.test) for kind in self.kinds.values()),
            backbone_fingerprint=self.fingerprint,
        )


def _scored(answers: Predictions) -> dict[str, Any]:
    primary = answers.metric.primary
    return {"metric": answers.metric.title, "score": float(answers.scores[primary]), "n": len(answers.outputs)}


def _same(before: Sequence[np.ndarray], now: Sequence[np.ndarray]) -> float:
    """The share of examples whose numbers are the same, bit by bit."""
    return float(np.mean([a.tobytes() == b.tobytes() for a, b in zip(before, now, strict=True)]))
