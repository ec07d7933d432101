"""Kinds of knowledge from their files to a run: examples are made, the adapter is scored on what it has not seen, and
beside it what has not its knowledge."""

import numpy as np
import pytest

from kadapter import catalog, runs
from kadapter.errors import KAdapterError
from kadapter.experiment import preset
from kadapter.experiment.examples import Examples
from kadapter.experiment.prepared import Data, prepare
from kadapter.experiment.stages import Pretraining
from kadapter.report import report
from tests import tiny

TRAINING = {"epochs": 2, "batch_size": 32, "learning_rate": 5e-3, "max_length": 32, "bf16": False}
GRAPH = {"format": "graph_text", "path": "triples", "train": "train.txt", "dev": "valid.txt", "test": "test.txt"}
TREX = {
    "format": "trex_rc", "path": "trex", "train": "train.json",
    "split": {"from": "dev.json", "parts": {"dev": 0.5, "test": 0.5}},
}  # fmt: skip
PARTS = {"train": 0.7, "dev": 0.15, "test": 0.15}
DATASETS = {
    "graph": GRAPH,
    "trex": TREX,
    "wordnet": {"format": "wordnet", "path": "wordnet", "split": {"from": "data.noun", "parts": PARTS}},
    "conceptnet": {"format": "conceptnet", "path": "conceptnet", "split": {"from": "assertions.csv", "parts": PARTS}},
    "trees": {
        "format": "conllu", "path": "conllu", "train": "train.conllu", "dev": "dev.conllu", "test": "test.conllu",
    },
}  # fmt: skip
KINDS = {
    "triple_truth": ("graph", {"most": 200}),
    "replaced_entity": ("trex", {"most": 200}),
    "supersense": ("wordnet", {"most": 200}),
    "word_sense": ("wordnet", {"most": 100}),
    "lexical_relation": ("wordnet", {"most": 200}),
    "matching_blanks": ("trex", {"most": 100}),
    "entity_linking": ("trex", {"most": 200}),
    "entity_description": ("graph", {"most": 100}),
    "dependency_relation": ("trees", {}),
    "commonsense": ("conceptnet", {"most": 200}),
}


def test_every_kind_of_the_catalog_is_here():
    """Beside those that other tests train."""
    assert {*KINDS, "factual", "linguistic", "facts"} <= catalog.KNOWLEDGE.keys()
    made = {name for name, kind in catalog.KNOWLEDGE.items() if kind.maker}
    assert made <= {*KINDS, "factual_sentences"}  # tests/knowledge/test_restored.py; trained as factual is


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("kinds")
    prepare(out, DATASETS, {"world": {"seed": 3, "entities": 96, "sentences_per_fact": 2}})
    return Data(out)


def pretraining(data, folder, kind, **more):
    dataset, examples = KINDS[kind]
    values = {
        "name": "K", "data": data, "dataset": dataset, "knowledge": kind, "backbone": str(folder),
        "adapter": tiny.SIZES, "training": TRAINING, "examples": examples, "test": True,
    }  # fmt: skip
    return Pretraining(**values | more)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_learned_and_scored_beside_baselines(kind, data, tiny_folder, tmp_path):
    stage = pretraining(data, tiny_folder, kind)
    run = runs.begin(tmp_path / "kinds" / "pretrain" / "K", stage="pretrain", name="K", parameters={})
    stage.fit(run.folder, progress=False)
    left = runs.load(stage.finish(run, stage.predict()))
    scores = stage.held_out.scores
    assert list(scores) == ["K", "backbone", "none", *(["majority"] if "majority" in scores else [])]
    assert all(0 <= score <= 1 for score in scores.values())
    assert left.metrics["test"] == pytest.approx(scores["K"], abs=1e-5)
    rows = {row["model"]: row for row in report.rows(tmp_path, "kinds")}
    assert set(rows) == set(scores) and rows["K"]["task"] == "K"
    for model, score in scores.items():
        assert rows[model]["mean"] == pytest.approx(score) and rows[model]["n"] == len(stage.examples["test"])
    assert stage.adapter.provenance["test_scores"]
    if kind == "matching_blanks":
        page = report.write_html(tmp_path, "kinds", tmp_path / "report.html").read_text(encoding="utf-8")
        assert "majority" in page


def test_examples_of_a_kind_are_those_of_its_maker(data):
    made = Examples(data, "graph", "triple_truth", {"most": 20})
    again = Examples(data, "graph", "triple_truth", {"most": 20})
    assert made.split("test").to_list() == again.split("test").to_list()
    assert made.labels == ["corrupted", "real"] and len(made.split("train")) == 20
    plain = Examples(data, "trex", "factual")
    assert plain.split("test").to_list() == data.read("trex", "test").to_list()
    assert plain.labels == data.labels("trex")
    with pytest.raises(KAdapterError, match="unknown split of graph 'valid'"):
        made.split("valid")


def test_options_of_a_maker_are_checked(data, tiny_folder):
    with pytest.raises(KAdapterError, match="unknown option of the examples of 'triple_truth' 'mots': did you mean"):
        pretraining(data, tiny_folder, "triple_truth", examples={"mots": 3})
    with pytest.raises(KAdapterError, match="knowledge 'factual' takes its examples as they are; expected no options"):
        Examples(data, "trex", "factual", {"most": 3})
    with pytest.raises(KAdapterError, match=r"knowledge.F.examples: knowledge 'factual' takes its examples as they"):
        preset.load("embedded", ["knowledge.F.examples={most: 3}"])


def test_a_constant_answer_is_the_most_frequent_one_of_training(data, tiny_folder):
    stage = pretraining(data, tiny_folder, "triple_truth")
    train, test = stage.split("train"), stage.split("test")
    counts = np.bincount(train.columns["labels"])
    assert (stage.task.constant(train, test) == counts.argmax()).all() and len(stage.task.constant(train, test)) == len(
        test
    )


def test_every_maker_says_what_it_takes():
    for name, kind in catalog.KNOWLEDGE.items():
        if catalog.maker(kind):
            catalog.check_examples(name, {"most": 5})
            with pytest.raises(KAdapterError, match="splits"):
                catalog.check_examples(name, {"splits": 5})
