"""Embeddings trained by pykeen: of every entity, by their seed alone, ranked against an own count; of real graphs."""

import json
import tarfile

import numpy as np
import pytest
from datasets import Dataset

from kadapter.errors import KAdapterError
from kadapter.formats import triples
from kadapter.formats.schemas import TRIPLE
from kadapter.graphs import training
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.graphs.training import MODELS, train_embeddings
from kadapter.world import World
from kadapter.world.probes import graph

pytest.importorskip("pykeen", reason="the extra `graphs` is not installed")
SMALL = {"width": 8, "epochs": 3, "batch_size": 64, "negatives": 2, "progress": False}


def dataset(rows) -> Dataset:
    return Dataset.from_list([{"id": str(i)} | dict(zip(("head", "relation", "tail"), r, strict=True)) for i, r in
                              enumerate(rows)], features=TRIPLE)  # fmt: skip


@pytest.fixture(scope="module")
def world_graph():
    return graph(World(seed=1, entities=60))


@pytest.mark.parametrize("model", MODELS)
def test_every_entity_gets_a_vector_that_the_seed_tells(model, world_graph, tmp_path):
    made = train_embeddings(world_graph["train"], {"test": world_graph["test"]}, model=model, **SMALL)
    entities = set(world_graph["train"]["head"]) | set(world_graph["train"]["tail"])
    assert set(made.embeddings.ids) == entities and made.embeddings.width == 8
    assert len(made.losses) == 3 and made.losses[-1] < made.losses[0]
    again = train_embeddings(world_graph["train"], model=model, **SMALL)
    assert again.embeddings.fingerprint == made.embeddings.fingerprint and again.metrics == {}
    other = train_embeddings(world_graph["train"], model=model, **SMALL | {"seed": 1})
    assert other.embeddings.fingerprint != made.embeddings.fingerprint
    read = EntityEmbeddings.open(made.save(tmp_path))
    assert read.fingerprint == made.embeddings.fingerprint
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["metrics"] == made.metrics and record["settings"]["model"] == model
    card = (tmp_path / "README.md").read_text()
    assert f"{len(entities):,} entities x 8" in card and training.CITATIONS[model] in card
    assert f"| test | {len(world_graph['test']):,} | 0 | {made.metrics['test']['mrr']:.4g} |" in card


def test_ranks_are_filtered_and_ties_stand_at_their_mean(monkeypatch):
    """A model that gives every triple the same score: all candidates that are no known triple tie."""
    known = [("a", "r", "b"), ("a", "r", "c"), ("b", "r", "c"), ("d", "r", "a")]
    monkeypatch.setattr(training, "_fit", lambda model, *_: [p.data.zero_() for p in model.parameters()] and [0.0])
    found = train_embeddings(dataset(known), {"test": dataset([("b", "r", "d")])}, **SMALL).metrics["test"]
    # Tails of (b, r, ?): c is known, three are left, mean rank 2. Heads of (?, r, d): none is known, mean rank 2.5.
    assert found["mean_rank"] == pytest.approx((2 + 2.5) / 2)
    assert found["mrr"] == pytest.approx((1 / 2 + 1 / 2.5) / 2)
    assert (found["hits_at_1"], found["hits_at_3"], found["triples"], found["left_out"]) == (0, 1, 1, 0)


def test_triples_with_unknown_names_are_left_out_and_counted():
    known = dataset([("a", "r", "b"), ("b", "r", "c"), ("c", "s", "a")])
    held_out = {
        "valid": dataset([("a", "s", "b"), ("a", "t", "b"), ("x", "r", "b")]),
        "test": dataset([("x", "r", "y")]),
    }
    found = train_embeddings(known, held_out, **SMALL).metrics
    assert (found["valid"]["triples"], found["valid"]["left_out"]) == (1, 2)
    assert (found["test"]["triples"], found["test"]["left_out"], found["test"]["mrr"]) == (0, 1, 0.0)


def test_patience_stops(world_graph):
    settings = SMALL | {"epochs": 40, "learning_rate": 1e-7, "patience": 1}
    assert len(train_embeddings(world_graph["train"], {"valid": world_graph["valid"]}, **settings).losses) < 40


def test_types_can_be_read_from_the_worlds_embeddings():
    """What map-tuning needs of them: entities of a type lie together, with no text seen."""
    world = World(seed=0, entities=240)
    made = train_embeddings(graph(world)["train"], width=32, epochs=30, batch_size=128, progress=False).embeddings
    types = {e.id: e.type for e in world.entities}
    gold = np.array([types[id] for id in made.ids])
    similar = made.matrix @ made.matrix.T
    np.fill_diagonal(similar, -np.inf)
    assert (gold[similar.argmax(1)] == gold).mean() > 0.8


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "trense"}, "unknown model 'trense': did you mean 'transe'"),
        ({"model": "rotate", "width": 7}, "width: found 7; expected an even one"),
        ({"width": 0}, "width"),
        ({"widht": 8}, "unknown setting of embeddings 'widht'"),
    ],
)
def test_settings_that_are_refused(settings, said, world_graph):
    with pytest.raises(KAdapterError, match=said):
        train_embeddings(world_graph["train"], **settings)


def test_without_pykeen(monkeypatch, world_graph):
    monkeypatch.setitem(__import__("sys").modules, "pykeen.triples", None)
    with pytest.raises(KAdapterError, match=r"pip install 'kadapter\[graphs\]'"):
        train_embeddings(world_graph["train"])


@pytest.mark.parametrize("name", ["codex-s", "umls", "WN18RR", "FB15k-237"])
def test_real_graphs(name, real_data, tmp_path):
    if name == "codex-s":
        files = {split: real_data / "codex" / "triples" / name / f"{split}.txt" for split in ("train", "test")}
    else:
        with tarfile.open(real_data / "small_kgs" / f"{name}.tar.gz") as tar:
            members = {
                split: next(n for n in tar.getnames() if n.endswith(f"{split}.txt")) for split in ("train", "test")
            }
            for member in members.values():
                tar.extract(member, tmp_path, filter="data")
        files = {split: tmp_path / member for split, member in members.items()}
    graph = {split: triples.read(path) for split, path in files.items()}
    train = graph["train"].select(range(min(5000, len(graph["train"]))))
    test = graph["test"].select(range(min(50, len(graph["test"]))))
    made = train_embeddings(train, {"test": test}, width=8, epochs=2, negatives=1, progress=False)
    assert made.losses[1] < made.losses[0] and np.isfinite(made.embeddings.matrix).all()
    assert made.metrics["test"]["triples"] + made.metrics["test"]["left_out"] == len(test)
