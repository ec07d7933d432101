"""The swap of domains (Zhang et al., 2023, Section 5.4): one frozen downstream model that was trained on the texts of
several domains, and for each domain a mapping of its own knowledge graph."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.experiment.map_models import Counts, Downstream, Recipe, computes
from kadapter.experiment.prepared import Data
from kadapter.experiment.stage import settings_for
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.graphs.linking import linked
from kadapter.graphs.training import train_embeddings
from kadapter.model.backbone import Backbone, fingerprint
from kadapter.model.mapping import EntityMapping, build_mapping
from kadapter.training import map_tuning
from kadapter.training.settings import Settings

NONE = "none"


class Domains:
    """Mappings of several domains, each plugged into the same frozen model and asked about every domain.

    Args:
        section: the preset's `map_tuning`; its `domains` names the graphs, texts and tests.
        folder: for the entity embeddings, one folder a domain.
        known: dataset of triples -> embeddings that were trained from it.
    """

    def __init__(
        self,
        data: Data,
        backbone: Backbone,
        tokenizer: Any,
        section: Mapping[str, Any],
        folder: Path,
        known: Mapping[str, EntityEmbeddings] | None = None,
    ) -> None:
        self.backbone, self.section, self.own = backbone, section, section["domains"]
        self.regime = next(iter(section["tunings"]))
        options = {"labels": data.labels(self.own["dataset"]), "max_length": self.own.get("max_length", 64)}
        self.task = catalog.task(self.own["task"], **options, **self.own.get("task_options", {}))
        splits = {split: data.read(self.own["dataset"], split) for split in ("train", "dev")}
        splits |= {domain: data.read(entry["test"], "test") for domain, entry in self.own["of"].items()}
        self.entities: dict[str, EntityEmbeddings] = {}
        self.corpora: dict[str, dict] = {}
        self.works: dict[str, Downstream] = {}  # one for each graph: the same texts, linked to its entities
        self.told: dict[str, Any] = {}
        for domain, entry in self.own["of"].items():
            entities = (known or {}).get(entry["graph"])
            if entities is None:
                trained = train_embeddings(data.read(entry["graph"], "train"), None, False, **section["embeddings"])
                entities = EntityEmbeddings.open(trained.save(folder / domain))
            self.entities[domain] = entities
            both = {split: linked(data.read(entry["corpus"], split), entities) for split in ("train", "dev")}
            self.corpora[domain] = {split: found.dataset for split, found in both.items()}
            asked = {split: linked(dataset, entities) for split, dataset in splits.items()}
            self.told |= {f"{domain}'s graph, {split}": f.counts.to_dict("records") for split, f in asked.items()}
            texts = {split: found.dataset for split, found in asked.items()}
            self.works[domain] = Downstream(self.own["task"], entry["test"], self.task, texts, tokenizer)

    @property
    def names(self) -> list[str]:
        """The domains."""
        return list(self.own["of"])

    def tasks(self) -> dict[str, str]:
        """The row's task -> the dataset whose test it is."""
        return {self._task(domain): entry["test"] for domain, entry in self.own["of"].items()}

    def _task(self, domain: str) -> str:
        return f"{self.own['task']}_{domain}"

    def rows(
        self, seed: int, language: Any, out: Path, general: Mapping[str, EntityMapping] | None = None
    ) -> Iterator[tuple[tuple[str, str, str], Counts]]:
        """(task, regime, model) and what each test example counts, of one seed: the model as it is, with each domain's
        general mapping, and with that tuned further through the frozen model, asked about every domain.

        Args:
            language: weights of a language layer, where the backbone has none of its own.
            general: mappings of domains that are trained already.

        Raises KAdapterError if the frozen model has changed.
        """
        first = next(iter(self.works.values()))
        training = self.own["training"]
        bf16 = computes(Settings.from_dict(dict(training) | {"regime": "paper"}))
        how = self.section["tunings"][self.regime]
        recipe = Recipe(self.regime, *(dict(how.get(key, {})) for key in ("options", "training")))
        model = recipe.tune(first, self.backbone, seed, out / "plain", more=training)
        before = fingerprint(model)
        for domain in self.own["of"]:
            yield (self._task(domain), self.regime, "plain"), first.counts(model, first.split(domain), bf16)
        for name, work in self.works.items():
            found = (general or {}).get(name) or self._general(name, seed, language, out / f"general-{name}")
            tuned = {f"mapping_{name}": found}
            if self.own.get("mapping"):
                tuning = Settings.from_dict(dict(self.own["mapping"]) | {"regime": "mapping", "seed": seed})
                splits = (work.split("train", found), work.split("dev", found))
                tuned[f"mapping_task_{name}"] = map_tuning.task_specific(model, found, *splits, tuning, out / "task")
            for row, mapping in tuned.items():
                model.plug_mapping(mapping)
                for domain in self.own["of"]:
                    counts = work.counts(model, work.split(domain, mapping), bf16)
                    yield (self._task(domain), self.regime, row), counts
                model.unplug_mapping()
        if fingerprint(model) != before:
            raise KAdapterError("the frozen model changed while mappings of other domains were plugged into it")

    def _general(self, domain: str, seed: int, language: Any, out: Path) -> EntityMapping:
        settings, length = settings_for(self.section["general"], "mapping", seed)
        start = build_mapping(domain, self.entities[domain], self.backbone, self.section["hidden"], seed=seed)
        corpus = self.corpora[domain]
        how = (corpus["train"], corpus["dev"], settings, out, self.section["dropouts"][:1], language, length)
        tokenizer = self.works[domain].tokenizer
        return map_tuning.general(start, self.backbone, tokenizer, *how)[-1].into(start)
