"""The two training stages as notebooks call them: pre-train one adapter (Figure 1b, left), fine-tune one model row
(right).

Both check every parameter before anything is loaded, train through `kadapter.training.fit.fit`, and leave a run.
"""

import copy
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import TrainerCallback

from kadapter import catalog, values
from kadapter.cases import predictions
from kadapter.data.retrieval import Facts
from kadapter.errors import KAdapterError, unknown
from kadapter.experiment import held_out
from kadapter.experiment.examples import Examples
from kadapter.experiment.prepared import Data
from kadapter.experiment.preset_values import Seeds
from kadapter.hub.adapter_folder import BACKBONE, PretrainingHead, load_adapter, save_adapter
from kadapter.machine.device import best_device
from kadapter.model import tuning_config
from kadapter.model.adapter import AdapterConfig, KnowledgeAdapter, build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.fusion import FUSIONS
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.regimes import REGIMES, tunings_of
from kadapter.runs import Run
from kadapter.scoring import slices
from kadapter.scoring.statistics import interval
from kadapter.tasks.base import Task
from kadapter.training.batches import Encoded, encode
from kadapter.training.fit import Fit, Settings, attach_store, computes_bf16, fit
from kadapter.training.predict import Predictions, predict


def settings_for(training: Mapping[str, Any], regime: str, seed: int) -> tuple[Settings, int]:
    """Training settings and the length limit, which belongs to the task."""
    given = dict(training)
    max_length = given.pop("max_length", 64)
    return Settings.from_dict(given | {"regime": regime, "seed": seed}), max_length


class _Stage:
    """What both stages share: the checked task, data, tokenizer and backbone."""

    def __init__(
        self,
        source: Examples,
        task: str,
        options: Mapping[str, Any],
        max_length: int,
        fusion: str,
        backbone: str,
    ) -> None:
        if fusion not in FUSIONS:
            raise unknown("fusion", fusion, FUSIONS)
        self.source, self.fusion = source, fusion
        self.data, self.dataset = source.data, source.dataset
        self.task: Task = catalog.task(task, labels=source.labels, max_length=max_length, **options)
        self.backbone = Backbone(backbone)
        self.backbone.check_length(max_length)
        self.tokenizer = load_tokenizer(backbone)
        self.fingerprint = self.backbone.fingerprint
        self.encoded: dict[str, Encoded] = {}
        self.examples: dict[str, Dataset] = {}

    def split(self, name: str) -> Encoded:
        """A split, read and encoded once."""
        if name not in self.encoded:
            self.examples[name] = self.source.split(name)
            self.encoded[name] = encode(self.task, self.tokenizer, self.read(name))
        return self.encoded[name]

    def read(self, name: str) -> Dataset:
        """A split as the model reads it."""
        return self.examples[name]

    def check_backbone(self) -> str:
        """The backbone's fingerprint now. Raises KAdapterError if it is no longer what was loaded."""
        now = self.backbone.fingerprint
        if now != self.fingerprint:
            raise KAdapterError(
                f"the frozen backbone changed: fingerprint {self.fingerprint[:16]} before, {now[:16]} after"
            )
        return now


class Pretraining(_Stage):
    """Pre-train one knowledge adapter; the backbone is frozen.

    Args:
        name: of the adapter, e.g. `F`.
        data: a prepared data folder; `dataset` is read from it.
        knowledge: `factual`, `linguistic`, ... (`kadapter.catalog.KNOWLEDGE`).
        adapter: sizes (`AdapterConfig`); what is left out scales with the backbone.
        training: `Settings` without regime and seed, and `max_length`.
        task_options: over those of the knowledge.
        examples: options of what makes the knowledge's examples (`kadapter.catalog.Knowledge.maker`).
        test: score it on the split `test`, too, beside baselines (`kadapter.experiment.held_out`), when it is finished.

    Raises KAdapterError for an unknown name, size or setting.
    """

    def __init__(
        self,
        *,
        name: str,
        data: Data,
        dataset: str,
        knowledge: str,
        backbone: str,
        adapter: Mapping[str, Any],
        training: Mapping[str, Any],
        fusion: str = "concat",
        task_options: Mapping[str, Any] | None = None,
        examples: Mapping[str, Any] | None = None,
        test: bool = False,
        seed: int = 0,
    ) -> None:
        kind = catalog.knowledge(knowledge)
        self.settings, max_length = settings_for(training, "adapter", seed)
        options = kind.options | dict(task_options or {})
        source = Examples(data, dataset, knowledge, examples)
        super().__init__(source, kind.task, options, max_length, fusion, backbone)
        self.name, self.knowledge, self.test = name, knowledge, test
        self.held_out: held_out.HeldOut | None = None
        self.config = AdapterConfig.for_backbone(self.backbone, **adapter)
        self.adapter = build_adapter(self.config, seed)
        self.model = KnowledgeModel(self.backbone, fusion, {name: self.adapter}, self.task, seed)
        self.fitted = Fit()

    def fit(self, out: Path, progress: bool = True, callbacks: Sequence[TrainerCallback] = ()) -> Fit:
        """Train on `train`, choose the epoch on `dev`; `callbacks` hear of every epoch."""
        splits = (self.split("train"), self.split("dev"))
        self.fitted = fit(self.model, *splits, self.settings, out, progress=progress, callbacks=callbacks)
        return self.fitted

    def predict(self, split: str = "dev") -> Predictions:
        """The trained model's answers on a split."""
        return predict(self.model, self.split(split), bf16=computes_bf16(self.settings, best_device()))

    def finish(self, run: Run, predictions: Predictions, split: str = "dev") -> Path:
        """Save the adapter with its pre-training head, and finish the run."""
        if self.test:
            splits = {name: self.split(name) for name in ("train", "dev", "test")}
            self.held_out = held_out.score(self.name, self.model, splits, self.settings, run.folder)
        scores = {k: round(v, 6) for k, v in predictions.scores.items()}
        primary = predictions.metric.primary
        after = self.check_backbone()
        self.adapter.provenance = {
            "name": self.name,
            "knowledge": self.knowledge,
            "dataset": self.dataset,
            "data_hash": self.data.hash(self.dataset),
            "examples": len(self.split("train")),
            "training": self.settings.to_dict(),
            f"{split}_scores": scores | {primary: interval(predictions.counts[None], predictions.metric)},
        }
        if self.held_out is not None:
            own = self.held_out.counts[self.name][None]
            self.adapter.provenance["test_scores"] = {primary: interval(own, predictions.metric)}
        weights = {f"fusion.{k}": v for k, v in self.model.fusion.state_dict().items()}
        assert self.model.head is not None  # a task gives one
        weights |= {f"head.{k}": v for k, v in self.model.head.state_dict().items()}
        self.adapter.pretraining_head = PretrainingHead(self.task.name, self.task.options(), self.fusion, weights)
        save_adapter(self.adapter, run.path("adapter"), self.backbone)
        metrics = {primary: scores[primary], **scores, "loss": predictions.loss, "epoch": self.fitted.best_epoch}
        more: dict[str, Any] = {}
        if self.held_out is not None:
            beside = {f"test {row}": round(score, 6) for row, score in self.held_out.scores.items()}
            metrics = {"test": beside.pop(f"test {self.name}"), **beside, **metrics}
            more["scored"] = self.held_out.save(run)
        return run.finish(
            metrics=metrics,
            **more,
            knowledge=self.knowledge,
            dataset=self.dataset,
            n=len(predictions.outputs),
            seeds=[self.settings.seed],
            examples=len(self.split("train")),
            adapter_parameters=sum(p.numel() for p in self.adapter.parameters()),
            data_hash=self.data.hash(self.dataset),
            backbone_fingerprint=after,
            history=self.fitted.history,
        )


class Finetuning(_Stage):
    """Fine-tune and score one model row on one downstream task, once per seed.

    Args:
        model: `backbone`, `multitask`, `none`, or adapter names joined by `+`.
        backbone: a name, or the run of a backbone trained on knowledge (the row `multitask`).
        adapters: adapter name -> folder of its pre-training run (or of the saved adapter itself).
        none_adapter: sizes of the adapter without knowledge, for the row `none`.
        regime: `frozen`, `paper` or `full`, or one that tunes the backbone in parts; a row of such a name trains as
            its name says in every regime's table.
        tuning: options of such a regime or row (`kadapter.model.tuning_config`).
        facts: for the row `retrieval`, the dataset whose facts stand in front of every example.

    Raises KAdapterError for an unknown name, size or setting.
    """

    def __init__(
        self,
        *,
        data: Data,
        dataset: str,
        task: str,
        model: str,
        regime: str,
        backbone: str,
        training: Mapping[str, Any],
        seeds: Sequence[int] = (0,),
        adapters: Mapping[str, str | Path] | None = None,
        none_adapter: Mapping[str, Any] | None = None,
        fusion: str = "concat",
        task_options: Mapping[str, Any] | None = None,
        task_name: str | None = None,
        tuning: Mapping[str, Any] | None = None,
        facts: str = "",
    ) -> None:
        if regime not in catalog.REGIMES:
            raise unknown("regime", regime, catalog.REGIMES)
        values.check_value(Seeds, list(seeds), "seeds")
        self.trains = model if model in catalog.TUNED else regime
        length = settings_for(training, self.trains, 0)[1]
        self.tuning = dict(tuning or {})
        if self.trains in catalog.TUNED:
            tuning_config.tuning(self.trains, self.tuning)
        if (model == catalog.RETRIEVAL) != bool(facts):
            raise KAdapterError(
                f"facts: found {facts!r} for the row {model!r}; expected a dataset for the row "
                f"{catalog.RETRIEVAL!r}, and for no other"
            )
        if (inner := Path(backbone) / BACKBONE).is_dir():  # a run that left a trained backbone
            backbone = str(inner)
        adapters = dict(adapters or {})
        names = ["none"] if model == "none" else catalog.adapters_of(model, list(adapters))
        super().__init__(Examples(data, dataset), task, dict(task_options or {}), length, fusion, backbone)
        self.facts = Facts(data.read(facts, "train")) if facts else None
        self.model_name, self.regime, self.training, self.seeds = model, regime, training, list(seeds)
        self.task_name = task_name or task
        self.adapters: dict[str, KnowledgeAdapter] = {}
        for name in names:
            if name == "none":
                config = AdapterConfig.for_backbone(self.backbone, **(none_adapter or {}))
                self.adapters[name] = build_adapter(config, seed=0)
            else:
                folder = Path(adapters[name])
                inner = folder / "adapter"
                self.adapters[name] = load_adapter(inner if inner.is_dir() else folder, self.backbone)
        self.fits: list[Fit] = []
        self.predictions: list[Predictions] = []
        self.first: KnowledgeModel | None = None
        self.trained = 0  # parameters of a model that train

    def read(self, name: str) -> Dataset:
        """A split as the model reads it: in the row `retrieval` with facts in front."""
        examples = super().read(name)
        return examples if self.facts is None else self.facts.before(examples)

    def build(self, seed: int) -> KnowledgeModel:
        """A new model with fresh fusion and head; parts that will train are copied first."""
        backbone = copy.deepcopy(self.backbone) if tunings_of(self.trains) else self.backbone
        adapters = copy.deepcopy(self.adapters) if "adapters" in REGIMES[self.trains] else self.adapters
        model = KnowledgeModel(backbone, self.fusion, adapters, self.task, seed)
        return model.tune(self.trains, seed, **self.tuning) if self.trains in catalog.TUNED else model

    def run(self, out: Path, progress: bool = True, callbacks: Sequence[TrainerCallback] = ()) -> pd.DataFrame:
        """Fit each seed on `train`, choose the epoch on `dev`, score `test` once. Returns one row per seed.

        Args:
            callbacks: told of every epoch of every seed.
        """
        for seed in tqdm(
            self.seeds, desc=f"{self.task_name} {self.regime} {self.model_name}", unit="seed", disable=not progress
        ):
            settings, _ = settings_for(self.training, self.trains, seed)
            model = self.build(seed).to(best_device())
            bf16 = computes_bf16(settings, best_device())
            if not self.fits:  # what is frozen is the same for every seed: computed once
                splits = {s: attach_store(model, self.split(s), settings, bf16) for s in ("train", "dev", "test")}
            self.fits.append(
                fit(
                    model,
                    splits["train"],
                    splits["dev"],
                    settings,
                    out / f"seed-{seed}",
                    progress=False,
                    callbacks=callbacks,
                )
            )
            self.predictions.append(predict(model, splits["test"], bf16=bf16))
            self.trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
            self.first = self.first or model
        self.check_backbone()
        return self.rows()

    def rows(self) -> pd.DataFrame:
        """One row per seed: what was scored, and how."""
        return pd.DataFrame(
            {
                "task": self.task_name,
                "dataset": self.dataset,
                "model": self.model_name,
                "regime": self.regime,
                "seed": seed,
                "metric": p.metric.primary,
                "score": p.scores[p.metric.primary],
                "n": len(p.outputs),
                "dev": f.best.get(f"eval_{p.metric.primary}"),
                "epoch": f.best_epoch,
                "seconds": round(f.seconds, 2),
                "trained_parameters": self.trained,
            }
            for seed, p, f in zip(self.seeds, self.predictions, self.fits, strict=True)
        )

    def finish(self, run: Run) -> Path:
        """Leave the rows, every example's counts, logits and slices, and the first seed's model."""
        rows = self.rows()
        metric = self.predictions[0].metric
        np.savez_compressed(run.path("counts.npz"), counts=np.stack([p.counts for p in self.predictions]))
        found = predictions.table(self.task, self.examples["test"], self.split("test"), self.seeds, self.predictions)
        found.to_parquet(run.path("predictions.parquet"))
        negative = getattr(self.task, "negative", None)  # a relation task's label that does not count
        parts = slices.attributes(self.examples["test"], self.examples["train"], negative)
        parts.to_parquet(run.path(slices.FILE))
        spec = {"name": self.task.name, "options": self.task.options()}
        run.path("task.json").write_text(json.dumps(spec) + "\n", encoding="utf-8")
        assert self.first is not None  # `run` came before
        self.first.save_pretrained(run.path("model"))
        return run.finish(
            metrics={metric.primary: rows["score"].mean(), "std": rows["score"].std(ddof=1) if len(rows) > 1 else 0.0},
            rows=[{str(k): v for k, v in row.items()} for row in rows.to_dict("records")],
            task=self.task_name,
            dataset=self.dataset,
            regime=self.regime,
            model=self.model_name,
            metric={"name": metric.name, "options": dataclasses.asdict(metric)},
            n=len(self.predictions[0].outputs),
            seeds=self.seeds,
            data_hash=self.data.hash(self.dataset),
            backbone_fingerprint=self.fingerprint,
            history=[f.history for f in self.fits],
            counted={split: counts for split, e in self.encoded.items() if (counts := self.task.counts(e))},
        )
