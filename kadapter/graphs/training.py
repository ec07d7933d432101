"""Entity embeddings trained from triples by pykeen (Ali et al., 2021), with rank metrics: TransE (Bordes et al., 2013),
TransR (Lin et al., 2015) and RotatE (Sun et al., 2019). Not this project's subject, so a kept library does it."""

import gc
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from datasets import Dataset

from kadapter.errors import KAdapterError
from kadapter.formats.files import replacing
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.machine.device import best_device
from kadapter.values import OneOf, Seed, check, told, value

if TYPE_CHECKING:
    from pykeen.models import ERModel
    from pykeen.triples import TriplesFactory

MODELS = ("transe", "transr", "rotate")
CITATIONS = {
    "transe": "Bordes et al., 2013, Translating Embeddings for Modeling Multi-relational Data",
    "transr": "Lin et al., 2015, Learning Entity and Relation Embeddings for Knowledge Graph Completion",
    "rotate": "Sun et al., 2019, RotatE: Knowledge Graph Embedding by Relational Rotation in Complex Space",
}
METRICS = {  # ours -> pykeen's, of both sides, filtered, ties at their mean ("realistic")
    "mrr": "both.realistic.inverse_harmonic_mean_rank",
    "hits_at_1": "both.realistic.hits_at_1",
    "hits_at_3": "both.realistic.hits_at_3",
    "hits_at_10": "both.realistic.hits_at_10",
    "mean_rank": "both.realistic.arithmetic_mean_rank",
    "adjusted_mean_rank_index": "both.realistic.adjusted_arithmetic_mean_rank_index",
}
CARD, RECORD = "README.md", "training.json"


@dataclass
class Trained:
    """What a training left.

    Attributes:
        embeddings: of every entity of the training triples.
        metrics: split -> metric -> value: `mrr`, `hits_at_1`, ... of head and tail, filtered, of the triples whose
            entities and relation the training has; `triples` and `left_out`, their number.
        losses: mean loss of each epoch.
        settings: those of `EmbeddingSettings`, and the sizes of the graph.
    """

    embeddings: EntityEmbeddings
    metrics: dict[str, dict[str, float]]
    losses: list[float]
    settings: dict

    def save(self, folder: Path | str) -> Path:
        """The embeddings' files, a card (`README.md`) and `training.json`; the folder."""
        folder = self.embeddings.save(folder)
        record = {"settings": self.settings, "metrics": self.metrics, "losses": self.losses}
        record["fingerprint"] = self.embeddings.fingerprint
        for name, text in ((RECORD, json.dumps(record, indent=1) + "\n"), (CARD, self.card())):
            with replacing(folder / name) as file:
                file.write(text)
        return folder

    def card(self) -> str:
        """Markdown: what was trained on what, and how its triples rank."""
        s = self.settings
        lines = [
            f"# Entity embeddings: {s['model']}", "",
            f"{len(self.embeddings):,} entities x {self.embeddings.width}, from {s['triples']:,} triples of "
            f"{s['relations']:,} relations, by pykeen. {CITATIONS[s['model']]}.", "",
            f"Fingerprint `{self.embeddings.fingerprint}`. Last loss {self.losses[-1]:.4f} after {len(self.losses)} "
            f"epochs, batches of {s['batch_size']}, learning rate {s['learning_rate']}, {s['negatives']} negatives, "
            f"seed {s['seed']}.", "",
        ]  # fmt: skip
        if self.metrics:
            lines += ["| split | triples | left out | " + " | ".join(METRICS) + " |", "|---" * (3 + len(METRICS)) + "|"]
        for split, found in self.metrics.items():
            cells = [f"{found[name]:.4g}" for name in METRICS]
            lines.append(f"| {split} | {found['triples']:,} | {found['left_out']:,} | " + " | ".join(cells) + " |")
        return "\n".join(lines).rstrip() + "\n"


@told
@dataclass(frozen=True)
class EmbeddingSettings:
    """How entity embeddings are trained."""

    model: Annotated[str, OneOf("model", MODELS), value("how entities and relations are embedded")] = "transe"
    width: Annotated[
        int, value("numbers of an entity's vector; rotate's are half of them imaginary parts", 2, 10_000)
    ] = 128
    epochs: Annotated[int, value("passes over the triples", 1, 100_000)] = 100
    batch_size: Annotated[int, value("triples of a step", 1, 1_000_000)] = 512
    learning_rate: Annotated[float, value("of Adam", 1e-7, 10.0)] = 0.01
    negatives: Annotated[int, value("corrupted triples for each", 1, 10_000)] = 8
    margin: Annotated[float, value("of the self-adversarial loss (Sun et al., 2019)", 0.0, 1000.0)] = 4.0
    patience: Annotated[
        int, value("rankings of `valid`, ten in all the epochs, without gain before it stops; 0: it never does", 0, 100)
    ] = 0
    seed: Annotated[Seed, value("of first weights, order and negatives")] = 0

    def __post_init__(self) -> None:
        check(type(self), asdict(self), noun="setting of embeddings")
        if self.model == "rotate" and self.width % 2:
            raise KAdapterError(
                f"width: found {self.width}; expected an even one: half of rotate's numbers are imaginary"
            )


def train_embeddings(
    train: Dataset, held_out: Mapping[str, Dataset] | None = None, progress: bool = True, **settings: Any
) -> Trained:
    """Embeddings of the entities in `train`.

    Args:
        train: triples (TRIPLE schema).
        held_out: split -> triples to rank; `valid` decides when to stop where `patience` says so.
        progress: show a bar of epochs.
        settings: those of `EmbeddingSettings`.

    Raises KAdapterError where pykeen is missing, and for a setting that is unknown or out of range.
    """
    check(EmbeddingSettings, settings, noun="setting of embeddings")
    chosen = EmbeddingSettings(**settings)
    _require_pykeen()
    from pykeen.triples import TriplesFactory
    from pykeen.utils import set_random_seed

    held_out = held_out or {}
    set_random_seed(chosen.seed)
    factory = TriplesFactory.from_labeled_triples(_array(train))
    splits = {name: _known(dataset, factory) for name, dataset in held_out.items()}
    model = _model(chosen, factory).to(best_device())
    losses = _fit(model, factory, splits, chosen, progress)
    metrics = {}
    for name, ranked in splits.items():
        others = [factory.mapped_triples, *(other.mapped_triples for other in splits.values() if other is not ranked)]
        sizes = {"triples": ranked.num_triples, "left_out": len(held_out[name]) - ranked.num_triples}
        metrics[name] = _ranks(model, ranked, others, progress) | sizes
    sizes = {"triples": factory.num_triples, "entities": factory.num_entities, "relations": factory.num_relations}
    ids = [factory.entity_id_to_label[i] for i in range(factory.num_entities)]
    embeddings = EntityEmbeddings.from_arrays(ids, _vectors(model))
    return Trained(embeddings, metrics, losses, asdict(chosen) | sizes)


def _require_pykeen() -> None:
    try:
        import pykeen.triples
    except ImportError:
        raise KAdapterError("embeddings are trained by pykeen: pip install 'kadapter[graphs]'") from None
    for name in ("pykeen", "torch_max_mem"):  # that a batch was taken as it was given is no news
        logging.getLogger(name).setLevel(logging.ERROR)
    del pykeen


def _array(triples: Dataset) -> np.ndarray:
    """(triples, 3) strings."""
    return np.stack([np.asarray(triples[name][:], dtype=str) for name in ("head", "relation", "tail")], axis=1)


def _known(triples: Dataset, factory: "TriplesFactory") -> "TriplesFactory":
    """The triples whose names the training has: no other can be ranked."""
    from pykeen.triples import TriplesFactory

    entities, relations = factory.entity_to_id, factory.relation_to_id
    array = _array(triples)
    kept = [row[0] in entities and row[1] in relations and row[2] in entities for row in array]
    return TriplesFactory.from_labeled_triples(array[kept], entity_to_id=entities, relation_to_id=relations)


def _model(chosen: EmbeddingSettings, factory: "TriplesFactory") -> "ERModel":
    from pykeen.losses import NSSALoss
    from pykeen.models import RotatE, TransE, TransR

    shared: dict[str, Any] = {
        "triples_factory": factory,
        "random_seed": chosen.seed,
        "loss": NSSALoss(margin=chosen.margin),
    }
    if chosen.model == "transr":
        return TransR(embedding_dim=chosen.width, relation_dim=chosen.width, **shared)
    if chosen.model == "rotate":
        return RotatE(embedding_dim=chosen.width // 2, **shared)
    return TransE(embedding_dim=chosen.width, **shared)


def _fit(
    model: "ERModel",
    factory: "TriplesFactory",
    splits: Mapping[str, "TriplesFactory"],
    chosen: EmbeddingSettings,
    progress: bool,
) -> list[float]:
    """The mean loss of each epoch."""
    from pykeen.evaluation import RankBasedEvaluator
    from pykeen.stoppers import EarlyStopper
    from pykeen.training import SLCWATrainingLoop

    stopper = None
    if chosen.patience and "valid" in splits:
        stopper = EarlyStopper(
            model=model,
            evaluator=RankBasedEvaluator(),
            training_triples_factory=factory,
            evaluation_triples_factory=splits["valid"],
            frequency=max(1, chosen.epochs // 10),
            patience=chosen.patience,
            metric=METRICS["mrr"],
        )
    loop = SLCWATrainingLoop(
        model=model,
        triples_factory=factory,
        optimizer=torch.optim.Adam(model.get_grad_params(), lr=chosen.learning_rate),
        negative_sampler="basic",
        negative_sampler_kwargs={"num_negs_per_pos": chosen.negatives},
        automatic_memory_optimization=False,
    )
    gc.collect()
    gc.freeze()  # the loop collects garbage after each epoch: seconds of it, unless what is there already is set aside
    try:
        losses = loop.train(
            factory,
            num_epochs=chosen.epochs,
            batch_size=min(chosen.batch_size, factory.num_triples),
            use_tqdm=progress,
            use_tqdm_batch=False,
            stopper=stopper,
            pin_memory=False,
        )
    finally:
        gc.unfreeze()
    return [float(loss) for loss in losses or []]


def _ranks(model: "ERModel", ranked: "TriplesFactory", filters: list, progress: bool) -> dict[str, float]:
    from pykeen.evaluation import RankBasedEvaluator

    if not ranked.num_triples:
        return dict.fromkeys(METRICS, 0.0)
    results = RankBasedEvaluator().evaluate(
        model, ranked.mapped_triples, batch_size=64, additional_filter_triples=filters, use_tqdm=progress,
        tqdm_kwargs={"leave": False},
    )  # fmt: skip
    return {name: float(results.get_metric(theirs)) for name, theirs in METRICS.items()}


def _vectors(model: "ERModel") -> np.ndarray:
    """(entities, width) float32; complex numbers as their real and imaginary parts side by side."""
    with torch.inference_mode():
        found = model.entity_representations[0](indices=None).detach().cpu()
    return (torch.view_as_real(found).flatten(1) if found.is_complex() else found).float().numpy()
