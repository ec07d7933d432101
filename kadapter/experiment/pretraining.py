"""The stage that pre-trains one knowledge adapter (Figure 1b, left), under one seed or several."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from kadapter import catalog, values
from kadapter.experiment import held_out
from kadapter.experiment.examples import Examples
from kadapter.experiment.prepared import Data
from kadapter.experiment.preset_values import Seeds
from kadapter.experiment.stage import Stage, numbered, out_of, settings_for
from kadapter.hub.adapter_folder import PretrainingHead, save_adapter
from kadapter.machine.device import best_device
from kadapter.model.adapter import AdapterConfig, build_adapter
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.runs import Run
from kadapter.scoring.statistics import interval
from kadapter.training.fit import Fit, attach_store, computes_bf16, fit, fit_together
from kadapter.training.predict import Predictions, predict


class Pretraining(Stage):
    """Pre-train one knowledge adapter; the backbone is frozen.

    With `more_seeds` it is pre-trained again under each, beside the first: they share examples, encoding and the frozen
    states. Where these are stored each has an order of examples of its own, too; where they are computed in every step,
    all read the same batches, in one pass of the backbone.

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
        more_seeds: Sequence[int] = (),
    ) -> None:
        seeds = [seed, *more_seeds]
        values.check_value(Seeds, seeds, "seed and more_seeds")
        kind = catalog.knowledge(knowledge)
        self.settings, max_length = settings_for(training, "adapter", seed)
        options = kind.options | dict(task_options or {})
        source = Examples(data, dataset, knowledge, examples)
        super().__init__(source, kind.task, options, max_length, fusion, backbone)
        self.name, self.knowledge, self.test = name, knowledge, test
        self.held_out: held_out.HeldOut | None = None
        self.config = AdapterConfig.for_backbone(self.backbone, **adapter)
        self.models = {
            each: KnowledgeModel(self.backbone, fusion, {name: build_adapter(self.config, each)}, self.task, each)
            for each in seeds
        }
        self.model = self.models[seed]
        self.adapter = self.model.adapters[name]
        self.fits = {each: Fit() for each in seeds}

    def fit(self, out: Path, progress: bool = True, callbacks: Sequence[TrainerCallback] = ()) -> Fit:
        """Train on `train`, choose the epoch on `dev`; `callbacks` hear of every epoch. What it returns is of the first
        seed; `fits` has all."""
        bf16 = computes_bf16(self.settings, best_device())
        self.model.to(best_device())
        train, dev = (attach_store(self.model, self.split(name), self.settings, bf16) for name in ("train", "dev"))
        shared: dict[str, Any] = {"progress": progress, "callbacks": callbacks}
        if train.states is None and len(self.models) > 1:
            together = {str(seed): model for seed, model in self.models.items()}
            fits = fit_together(together, train, dev, self.settings, out, **shared)
            self.fits = {seed: fits[str(seed)] for seed in self.models}
        else:
            for seed, model in self.models.items():
                settings = dataclasses.replace(self.settings, seed=seed)
                self.fits[seed] = fit(model, train, dev, settings, out_of(out, settings), **shared)
        return self.fitted

    @property
    def fitted(self) -> Fit:
        """How the first seed was fitted."""
        return self.fits[self.settings.seed]

    def predict(self, split: str = "dev", seed: int | None = None) -> Predictions:
        """A trained model's answers on a split; the first seed's where none is named."""
        model = self.model if seed is None else self.models[seed]
        return predict(model, self.split(split), bf16=computes_bf16(self.settings, best_device()))

    def finish(self, run: Run, predictions: Predictions, split: str = "dev") -> Path:
        """Save every seed's adapter with its pre-training head, and finish the run.

        Args:
            predictions: of the first seed on `split`.
        """
        if self.test:
            splits = {name: self.split(name) for name in ("train", "dev", "test")}
            self.held_out = held_out.score(self.name, self.model, splits, self.settings, run.folder)
        scores = {k: round(v, 6) for k, v in predictions.scores.items()}
        primary = predictions.metric.primary
        after = self.check_backbone()
        found = {seed: self.predict(split, seed) for seed in self.models if seed != self.settings.seed}
        for number, (seed, each) in enumerate(({self.settings.seed: predictions} | found).items()):
            self._save(run.path(numbered("adapter", number)), seed, split, each)
        metrics = {primary: scores[primary], **scores, "loss": predictions.loss, "epoch": self.fitted.best_epoch}
        more: dict[str, Any] = {}
        if self.held_out is not None:
            beside = {f"test {row}": round(score, 6) for row, score in self.held_out.scores.items()}
            metrics = {"test": beside.pop(f"test {self.name}"), **beside, **metrics}
            more["scored"] = self.held_out.save(run)
        if found:
            more["further"] = {
                seed: {primary: round(each.scores[primary], 6), "epoch": self.fits[seed].best_epoch}
                for seed, each in found.items()
            }
        return run.finish(
            metrics=metrics,
            **more,
            knowledge=self.knowledge,
            dataset=self.dataset,
            n=len(predictions.outputs),
            seeds=list(self.models),
            examples=len(self.split("train")),
            adapter_parameters=sum(p.numel() for p in self.adapter.parameters()),
            data_hash=self.data.hash(self.dataset),
            backbone_fingerprint=after,
            history=self.fitted.history,
        )

    def _save(self, folder: Path, seed: int, split: str, predictions: Predictions) -> None:
        """One seed's adapter, with what it was trained on and what it scores."""
        model, primary = self.models[seed], predictions.metric.primary
        adapter = model.adapters[self.name]
        scores = {k: round(v, 6) for k, v in predictions.scores.items()}
        adapter.provenance = {
            "name": self.name,
            "knowledge": self.knowledge,
            "dataset": self.dataset,
            "data_hash": self.data.hash(self.dataset),
            "examples": len(self.split("train")),
            "training": dataclasses.replace(self.settings, seed=seed).to_dict(),
            f"{split}_scores": scores | {primary: interval(predictions.counts[None], predictions.metric)},
        }
        if self.held_out is not None and model is self.model:
            own = self.held_out.counts[self.name][None]
            adapter.provenance["test_scores"] = {primary: interval(own, predictions.metric)}
        weights = {f"fusion.{k}": v for k, v in model.fusion.state_dict().items()}
        assert model.head is not None  # a task gives one
        weights |= {f"head.{k}": v for k, v in model.head.state_dict().items()}
        adapter.pretraining_head = PretrainingHead(self.task.name, self.task.options(), self.fusion, weights)
        save_adapter(adapter, folder, self.backbone)
