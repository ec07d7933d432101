"""The stage of map-tuning: entity embeddings, mappings, downstream models tuned in several ways, and every row that
compares them (Zhang et al., ACL 2023, Tables 1 to 4; map-tuning ledger, "Shipped results")."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from jaxtyping import Float
from tqdm.auto import tqdm

from kadapter import catalog, values
from kadapter.errors import KAdapterError
from kadapter.experiment.map_domains import Domains
from kadapter.experiment.map_models import Counts, Downstream, Recipe, computes
from kadapter.experiment.prepared import Data
from kadapter.experiment.preset_values import MAP_ROWS, MapTuningSection, Seeds
from kadapter.experiment.stage import settings_for
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.graphs.linking import linked
from kadapter.graphs.training import train_embeddings
from kadapter.hub.adapter_folder import load_adapter
from kadapter.hub.mapping_folder import save_mapping
from kadapter.model.backbone import Backbone, fingerprint, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import EntityMapping, build_mapping, nearest_tokens
from kadapter.runs import Run
from kadapter.scoring import statistics
from kadapter.training import map_tuning
from kadapter.training.settings import Settings

PLAIN = "plain"


class MapTuning:
    """Train the mappings of a graph and score them in downstream models that never saw it.

    Args:
        data: a prepared data folder.
        section: the preset's section `map_tuning`, checked.
        adapters: adapter name -> folder of its pre-training, for the rows `F` and `F+mapping`.
        seeds: of mappings and downstream models: one of each for a seed.

    Raises KAdapterError for a value that is unknown, and where nothing is linked.
    """

    def __init__(
        self,
        *,
        data: Data,
        backbone: str,
        section: Mapping[str, Any],
        seeds: Sequence[int] = (0,),
        adapters: Mapping[str, str | Path] | None = None,
    ) -> None:
        values.check_value(Seeds, list(seeds), "seeds")
        values.check(MapTuningSection, section, at="map_tuning")
        s = self.section = values.defaults(MapTuningSection) | dict(section)
        self.data, self.seeds = data, list(seeds)
        self.backbone, self.tokenizer = Backbone(backbone), load_tokenizer(backbone)
        self.fingerprint = self.backbone.fingerprint
        self.facts = data.read(s["facts"], "train") if s["facts"] else None
        self.general, self.max_length = settings_for(s["general"], "mapping", 0)
        self.recipes = [
            Recipe(kind, dict(found.get("options", {})), dict(found.get("training", {})))
            for kind, found in s["tunings"].items()
        ]
        self.adapters = {
            name: load_adapter(inner if (inner := Path(folder) / "adapter").is_dir() else folder, self.backbone)
            for name, folder in (adapters or {}).items()
        }
        self.rows_of = [row for row in MAP_ROWS if row in s["models"]]
        self.entities: EntityEmbeddings | None = None
        self.works: list[Downstream] = []
        self.language: dict | None = None
        self.found: dict[tuple[str, str, str], list[Counts]] = {}
        self.kept: list[dict[str, Any]] = []
        self.told: dict[str, Any] = {}
        self.mappings: dict[tuple[str, int], EntityMapping] = {}
        self.first: KnowledgeModel | None = None
        self.domains: Domains | None = None

    # --- before any mapping ---

    def embed(self, folder: Path, progress: bool = True) -> EntityEmbeddings:
        """The entity embeddings: read where the section names their files, else trained from its triples; and every
        text, linked."""
        s = self.section
        if s["embeddings"].get("path"):
            self.entities = EntityEmbeddings.open(s["embeddings"]["path"])
        else:
            trained = train_embeddings(self.data.read(s["graph"], "train"), None, progress, **s["embeddings"])
            self.entities = EntityEmbeddings.open(trained.save(folder))
        self.corpus = {}
        for split in ("train", "dev") if s["corpus"] else ():
            found = linked(self.data.read(s["corpus"], split), self.entities)
            self.corpus[split] = found.dataset
            self.told[f"corpus {split}"] = found.counts.to_dict("records")
        for name, entry in s["tasks"].items():
            options = {"labels": self.data.labels(entry["dataset"]), "max_length": entry.get("max_length", 64)}
            task = catalog.task(entry["task"], **options, **entry.get("task_options", {}))
            splits = {split: self.data.read(entry["dataset"], split) for split in ("train", "dev", "test")}
            if entry.get("oracle"):
                splits["oracle"] = self.data.read(entry["oracle"], "test")
            how = (self.entities, self.tokenizer, entry.get("episodes"), entry.get("rows", False))
            work = Downstream.of(name, entry["dataset"], task, splits, *how)
            self.told[name] = work.counted
            self.works.append(work)
        return self.entities

    def speak(self, out: Path) -> float | None:
        """Train a language layer where the backbone has no head of its own; its mean probability of a hidden piece on
        dev."""
        if not self.section["corpus"] or map_tuning.mention_task(self.backbone).language_head == "own":
            return None
        settings, length = settings_for(self.section["language"], "frozen", 0)
        spoken = self.section["spoken"]
        train, dev = (self.data.read(spoken, split) if spoken else self.corpus[split] for split in ("train", "dev"))
        made = map_tuning.language_layer(self.backbone, self.tokenizer, train, dev, settings, out, length)
        self.language, self.told["language layer"] = made
        return made[1]

    # --- mappings ---

    def tune(self, seed: int, out: Path, shuffled: bool = False) -> list[map_tuning.Kept]:
        """General map-tuning from one seed; the one fixed mapping is that of the first dropout after its last epoch.
        Without a corpus it is a new one."""
        assert self.entities is not None  # `embed` came before
        name = "shuffled" if shuffled else "general"
        entities = self.entities.shuffled(seed) if shuffled else self.entities
        start = build_mapping(name, entities, self.backbone, self.section["hidden"], seed=seed)
        if not self.section["corpus"]:
            self.mappings[name, seed] = start
            return []
        settings = Settings.from_dict(self.general.to_dict() | {"seed": seed})
        dropouts = self.section["dropouts"][:1] if shuffled else self.section["dropouts"]
        how = (self.corpus["train"], self.corpus["dev"], settings, out / f"{name}-{seed}", dropouts, self.language)
        kept = map_tuning.general(start, self.backbone, self.tokenizer, *how, self.max_length)
        self.kept += [{"mapping": name, "seed": seed} | row for row in map_tuning.describe(kept)]
        fixed = [k for k in kept if k.dropout == dropouts[0]][-1]
        mapping = fixed.into(start)
        mapping.provenance = {"stage": "general", "training": settings.to_dict(), "dropout": fixed.dropout}
        mapping.provenance["dev_scores"] = {"probability": fixed.dev}
        self.mappings[name, seed] = mapping
        return kept

    # --- rows ---

    def run(self, out: Path, progress: bool = True) -> pd.DataFrame:
        """Everything for every seed; returns `rows`."""
        steps = [(seed, work, recipe) for seed in self.seeds for work in self.works for recipe in self.recipes]
        kept: dict[int, list[map_tuning.Kept]] = {}
        for seed, work, recipe in tqdm(steps, desc="map-tuning", unit="model", disable=not progress):
            if seed not in kept:
                kept[seed] = self.tune(seed, out)
                if {"mapping_shuffled", "mapping_task_shuffled"} & set(self.rows_of):
                    self.tune(seed, out, shuffled=True)
            self._rows(seed, work, recipe, kept[seed], out / f"{work.name}-{recipe.kind}-{seed}")
        if self.backbone.fingerprint != self.fingerprint:
            raise KAdapterError("the frozen backbone changed while mappings were tuned")
        return self.rows()

    def _rows(self, seed: int, work: Downstream, recipe: Recipe, kept: list[map_tuning.Kept], out: Path) -> None:
        entry = self.section["tasks"][work.name]
        given = entry["training"]
        general, bf16 = self.mappings["general", seed], computes(Settings.from_dict(dict(given) | {"regime": "paper"}))

        def keep(row: str, model: KnowledgeModel, split: str = "", facts: Dataset | None = None) -> None:
            for task, test in work.asked.items() if row in self.rows_of else ():
                counts = work.counts(model, work.split(split or test, model.mapping, facts), bf16)
                self.found.setdefault((task, recipe.kind, row), []).append(counts)

        def plugged(row: str, model: KnowledgeModel, mapping: EntityMapping) -> None:
            if row in self.rows_of:
                model.plug_mapping(mapping)
                keep(row, model)
                model.unplug_mapping()

        for task, test in work.asked.items() if "chance" in self.rows_of else ():
            self.found.setdefault((task, recipe.kind, "chance"), []).append(work.chance(test))
        plain = recipe.tune(work, self.backbone, seed, out / PLAIN, more=given)
        before = fingerprint(plain)
        keep(PLAIN, plain)
        plugged("mapping", plain, general)
        if "mapping_dev" in self.rows_of:
            plugged("mapping_dev", plain, self._chosen(work, plain, kept, general, bf16))
        if "mapping_shuffled" in self.rows_of:
            plugged("mapping_shuffled", plain, self.mappings["shuffled", seed])
        for row, name in (("mapping_task", "general"), ("mapping_task_shuffled", "shuffled")):
            if row in self.rows_of:
                settings = Settings.from_dict(dict(entry["mapping"]) | {"regime": "mapping", "seed": seed})
                start = self.mappings[name, seed]
                splits = (work.split("train", start), work.split("dev", start))
                own = map_tuning.task_specific(plain, start, *splits, settings, out / row)
                plugged(row, plain, own)
                if name == "general":
                    self.mappings[f"{work.name}-{recipe.kind}", seed] = own
        if self.facts is not None and work.task.schema != "episode":
            keep("retrieval", plain, facts=self.facts)
        if "oracle" in work.splits:
            keep("oracle", plain, "oracle")
        if fingerprint(plain) != before:
            raise KAdapterError(f"the frozen model of {work.name} changed while knowledge was plugged into it")
        self.first = self.first or plain
        if "mapping_tuned" in self.rows_of:
            keep("mapping_tuned", recipe.tune(work, self.backbone, seed, out / "tuned", general, more=given))
        if self.adapters and {"F", "F+mapping"} & set(self.rows_of):
            model = recipe.tune(work, self.backbone, seed, out / "F", adapters=self.adapters, more=given)
            keep("F", model)
            plugged("F+mapping", model, general)

    def swap(self, out: Path, progress: bool = True) -> None:
        """The mappings of several domains in one frozen model, where the section names them: more rows."""
        if not self.section.get("domains"):
            return
        assert self.entities is not None  # `embed` came before
        where, known = out.parent / "domains", {self.section["graph"]: self.entities}
        self.domains = Domains(self.data, self.backbone, self.tokenizer, self.section, where, known)
        self.told |= self.domains.told
        own = [d for d, e in self.section["domains"]["of"].items() if e["corpus"] == self.section["corpus"]]
        for seed in tqdm(self.seeds, desc="domains", unit="model", disable=not progress):
            general = {domain: self.mappings["general", seed] for domain in own if ("general", seed) in self.mappings}
            rows = self.domains.rows(seed, self.language, out / str(seed), general)
            for key, counts in rows:
                self.found.setdefault(key, []).append(counts)

    def _chosen(
        self,
        work: Downstream,
        model: KnowledgeModel,
        kept: list[map_tuning.Kept],
        general: EntityMapping,
        bf16: bool,
    ) -> EntityMapping:
        """Of all dropouts and epochs the mapping that is best on the task's dev."""
        scores = []
        for each in kept:
            model.plug_mapping(each.into(general))
            scores.append(work.score(work.counts(model, work.split("dev", general), bf16)))
            model.unplug_mapping()
        return kept[int(np.argmax(scores))].into(general)

    # --- what is told ---

    def _asked(self) -> dict[str, tuple[str, Downstream]]:
        """Of each row's task the dataset whose test it is, and what scores it."""
        asked = {task: (work.dataset, work) for work in self.works for task in work.asked}
        if self.domains is not None:
            scorer = next(iter(self.domains.works.values()))
            asked |= {task: (dataset, scorer) for task, dataset in self.domains.tasks().items()}
        return asked

    def counts(self) -> dict[tuple[str, str, str], Float[np.ndarray, "seeds n k"]]:
        """(task, regime, model) -> counts of all seeds."""
        return {key: np.stack(found) for key, found in self.found.items()}

    def rows(self) -> pd.DataFrame:
        """One row for each task, regime, model and seed."""
        works = self._asked()
        return pd.DataFrame(
            {
                "task": task,
                "dataset": works[task][0],
                "model": model,
                "regime": regime,
                "seed": seed,
                "metric": works[task][1].metric.primary,
                "score": works[task][1].score(counts),
                "n": len(counts),
            }
            for (task, regime, model), found in self.found.items()
            for seed, counts in zip(self.seeds, found, strict=False)
        )

    def summary(self) -> pd.DataFrame:
        """Of every task, regime and model the mean and its 95% interval over seeds and examples, and what it has over
        the plain model, with the paired interval; in percent."""
        works, rows = self._asked(), []
        every = self.counts()
        for (task, regime, model), counts in every.items():
            metric = works[task][1].metric
            found = statistics.interval(counts, metric)
            row = {"task": task, "regime": regime, "model": model, "n": counts.shape[1]}
            row |= {key: 100 * found[key] for key in ("mean", "ci_low", "ci_high")}
            if model not in (PLAIN, "oracle"):
                gain = statistics.compare(counts, every[task, regime, PLAIN], metric, rounds=1)
                row |= {"over plain": 100 * gain["difference"]}
                row |= {"low": 100 * gain["ci_low"], "high": 100 * gain["ci_high"]}
            rows.append(row)
        return pd.DataFrame(rows)

    def nearest(self, entities: Sequence[str], seed: int | None = None, k: int = 8) -> pd.DataFrame:
        """The input tokens nearest to entities' mapped vectors, and their cosines: what the model reads."""
        mapping = self.mappings["general", self.seeds[0] if seed is None else seed]
        ids, cosines = nearest_tokens(mapping, self.backbone, mapping.rows(entities).tolist(), k)
        tokens = [self.tokenizer.convert_ids_to_tokens(row.tolist()) for row in ids]
        return pd.DataFrame(
            {"entity": list(entities), "nearest": [" ".join(t) for t in tokens], "cosine": cosines[:, 0]}
        )

    def finish(self, run: Run) -> Path:
        """Leave rows, counts of every example, the kept mappings' dev scores, the mappings, and the first downstream
        model with the general mapping plugged in."""
        arrays: dict[str, Any] = {"/".join(key): counts for key, counts in self.counts().items()}
        np.savez_compressed(run.path("counts.npz"), **arrays)
        for (name, seed), mapping in self.mappings.items():
            save_mapping(mapping, run.path(f"mappings/{name}-{seed}"), self.backbone)
        assert self.first is not None  # `run` came before
        self.first.plug_mapping(self.mappings["general", self.seeds[0]])
        self.first.save_pretrained(run.path("model"))
        shutil.rmtree(run.path("work"), ignore_errors=True)
        pd.DataFrame(self.kept).to_csv(run.path("kept.csv"), index=False)
        rows, works = self.rows(), self._asked()
        return run.finish(
            metrics={
                " ".join(key): float(np.mean([works[key[0]][1].score(counts) for counts in found]))
                for key, found in self.found.items()
            },
            rows=[{str(key): value for key, value in row.items()} for row in rows.to_dict("records")],
            scored=[
                {
                    "task": task,
                    "regime": regime,
                    "model": model,
                    "metric": {"name": works[task][1].metric.name, "options": works[task][1].metric.options},
                }
                for task, regime, model in self.found
            ],
            seeds=self.seeds,
            n=int(sum(len(work.split(split)) for work in self.works for split in work.asked.values())),
            linked=self.told,
            kept=self.kept,
            domains={} if self.domains is None else {"task": self.domains.own["task"], "names": self.domains.names},
            backbone_fingerprint=self.fingerprint,
        )
