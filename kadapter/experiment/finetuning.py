"""The stage that fine-tunes and scores one model row on a downstream task (Figure 1b, right)."""

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
from kadapter.experiment.examples import Examples
from kadapter.experiment.prepared import Data
from kadapter.experiment.preset_values import Seeds
from kadapter.experiment.stage import Stage, numbered, settings_for
from kadapter.hub.adapter_folder import BACKBONE, load_adapter
from kadapter.machine.device import best_device
from kadapter.model import tuning_config
from kadapter.model.adapter import AdapterConfig, KnowledgeAdapter, build_adapter
from kadapter.model.backbone import Backbone
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.regimes import REGIMES, tunings_of
from kadapter.runs import Run
from kadapter.scoring import slices
from kadapter.training.batches import Encoded
from kadapter.training.fit import Fit, attach_store, computes_bf16, fit
from kadapter.training.predict import Predictions, predict
from kadapter.training.weigh import code_lengths


class Finetuning(Stage):
    """Fine-tune and score one model row on one downstream task, once per seed.

    Where there are several `pretrainings` the seeds stand on them in turn: seed number i on pre-training i modulo their
    number. So fine-tunings are nested in pre-trainings, and as many are made as without.

    Args:
        model: `backbone`, `multitask`, `none`, or adapter names joined by `+`.
        backbone: a name, or the run of a backbone trained on knowledge (the row `multitask`).
        adapters: adapter name -> folder of its pre-training run (or of the saved adapter itself).
        none_adapter: sizes of the adapter without knowledge, for the row `none`.
        pretrainings: how many there are, in the runs of the adapters (or of the backbone); of `none`, untrained ones.
        regime: `frozen`, `paper` or `full`, or one that tunes the backbone in parts; a row of such a name trains as
            its name says in every regime's table.
        tuning: options of such a regime or row (`kadapter.model.tuning_config`).
        known: datasets that adapters learned from: scores are told apart by what of an example stands in them.
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
        pretrainings: int = 1,
        known: Sequence[str] = (),
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
        if pretrainings < 1 or len(seeds) % pretrainings:
            raise KAdapterError(
                f"pretrainings: found {pretrainings} for {len(seeds)} seeds; expected a number that divides theirs"
            )
        left = [Path(backbone) / numbered(BACKBONE, number) for number in range(pretrainings)]
        if left[0].is_dir():  # a run that left a trained backbone
            backbone = str(left[0])
        adapters = dict(adapters or {})
        names = ["none"] if model == "none" else catalog.adapters_of(model, list(adapters))
        super().__init__(Examples(data, dataset), task, dict(task_options or {}), length, fusion, backbone)
        self.known = [data.read(name, "train") for name in known]
        self.facts = Facts(data.read(facts, "train")) if facts else None
        self.model_name, self.regime, self.training, self.seeds = model, regime, training, list(seeds)
        self.task_name = task_name or task
        self.pretrainings = pretrainings
        trained = left[1:] if left[0].is_dir() else []
        self.backbones = [self.backbone, *(Backbone(str(folder)) for folder in trained)]
        sizes = none_adapter or {}
        self.adapters = [self._pretrained(names, adapters, sizes, number) for number in range(pretrainings)]
        self.fits: list[Fit] = []
        self.predictions: list[Predictions] = []
        self.lengths: dict[int, dict[str, float]] = {}  # pre-training -> code length of each adapter a gate weighs
        self.first: KnowledgeModel | None = None
        self.trained = 0  # parameters of a model that train

    def read(self, name: str) -> Dataset:
        """A split as the model reads it: in the row `retrieval` with facts in front."""
        examples = super().read(name)
        return examples if self.facts is None else self.facts.before(examples)

    def _pretrained(
        self, names: Sequence[str], folders: Mapping[str, str | Path], sizes: Mapping[str, Any], number: int
    ) -> dict[str, KnowledgeAdapter]:
        """The adapters of the pre-training of a number."""
        found = {}
        for name in names:
            if name == "none":
                found[name] = build_adapter(AdapterConfig.for_backbone(self.backbone, **sizes), seed=number)
            else:
                folder = Path(folders[name])
                inner = folder / numbered("adapter", number)
                found[name] = load_adapter(inner if inner.is_dir() or number else folder, self.backbone)
        return found

    def build(self, seed: int) -> KnowledgeModel:
        """A new model with fresh fusion and head, on the pre-training that the seed stands on; parts that will train
        are copied first."""
        number = self.number(seed)
        backbone, adapters = self.backbones[number % len(self.backbones)], self.adapters[number]
        backbone = copy.deepcopy(backbone) if tunings_of(self.trains) else backbone
        adapters = copy.deepcopy(adapters) if "adapters" in REGIMES[self.trains] else adapters
        model = KnowledgeModel(backbone, self.fusion, adapters, self.task, seed)
        return model.tune(self.trains, seed, **self.tuning) if self.trains in catalog.TUNED else model

    def run(self, out: Path, progress: bool = True, callbacks: Sequence[TrainerCallback] = ()) -> pd.DataFrame:
        """Fit each seed on `train`, choose the epoch on `dev`, score `test` once. Returns one row per seed.

        Args:
            callbacks: told of every epoch of every seed.
        """
        fingerprints = [backbone.fingerprint for backbone in self.backbones]
        splits: dict[int, dict[str, Encoded]] = {}  # what is frozen is computed once for every pre-training
        for seed in tqdm(
            self.seeds, desc=f"{self.task_name} {self.regime} {self.model_name}", unit="seed", disable=not progress
        ):
            settings, _ = settings_for(self.training, self.trains, seed)
            model = self.build(seed).to(best_device())
            bf16 = computes_bf16(settings, best_device())
            number = self.number(seed)
            if number not in splits:
                names = ("train", "dev", "test")
                splits[number] = {s: attach_store(model, self.split(s), settings, bf16) for s in names}
                if self.fusion == "gate" and len(model.adapters) > 1:
                    self.lengths[number] = code_lengths(model, splits[number]["train"], settings, out / "alone")
            if number in self.lengths:
                model.fusion.prefer(list(self.lengths[number].values()))
            self.fits.append(
                fit(
                    model,
                    splits[number]["train"],
                    splits[number]["dev"],
                    settings,
                    out / f"seed-{seed}",
                    progress=False,
                    callbacks=callbacks,
                )
            )
            self.predictions.append(predict(model, splits[number]["test"], bf16=bf16))
            self.trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
            self.first = self.first or model
        self.check_backbone()
        if [backbone.fingerprint for backbone in self.backbones] != fingerprints:
            raise KAdapterError("a frozen backbone changed while a head was trained on it: its fingerprint differs")
        return self.rows()

    def number(self, seed: int) -> int:
        """Of the pre-training that a seed's fine-tuning stands on."""
        return self.seeds.index(seed) % self.pretrainings

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
        parts = slices.attributes(self.examples["test"], self.examples["train"], negative, self.known)
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
            pretrainings=[self.number(seed) for seed in self.seeds] if self.pretrainings > 1 else None,
            data_hash=self.data.hash(self.dataset),
            backbone_fingerprint=self.fingerprint,
            history=[f.history for f in self.fits],
            code_lengths=list(self.lengths.values()) or None,
            counted={split: counts for split, e in self.encoded.items() if (counts := self.task.counts(e))},
        )
