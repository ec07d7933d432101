"""The multitask row: one backbone trained by batches of several tasks, saved, and fine-tuned as any other."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kadapter import runs
from kadapter.catalog import task
from kadapter.errors import KAdapterError
from kadapter.experiment import graph, preset
from kadapter.experiment.multitask import MixedBatches, MixedExamples, Multitask, MultitaskModel
from kadapter.experiment.prepared import Data, prepare
from kadapter.experiment.stages import Finetuning
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import LengthBatches, encode
from tests import tiny

TRAINING = {"epochs": 3, "batch_size": 16, "learning_rate": 2e-3, "head_rate": 3.0, "max_length": 32, "bf16": False}
PARTS = {
    "F": {"knowledge": "factual", "dataset": "world_factual", "task_options": {"pooling": "mean"}},
    "L": {"knowledge": "linguistic", "dataset": "world_linguistic", "task_options": {}},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    named = ("world_factual", "world_linguistic", "world_typing")
    datasets = {name: preset.load("embedded")["datasets"][name] for name in named}
    prepare(out, datasets, {"world": {"seed": 3, "entities": 100}})
    return Data(out)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 9), st.integers(0, 3))
def test_every_epoch_takes_every_example_once_in_batches_of_one_part(sizes, batch_size, seed):
    offsets = np.cumsum([0, *sizes]).tolist()
    parts = [LengthBatches(np.arange(n) % 7 + 1, batch_size, seed) for n in sizes]
    mixed = MixedBatches(parts, offsets[:-1], seed)
    epochs = []
    for epoch in range(2):
        mixed.set_epoch(epoch)
        batches = list(mixed)
        assert len(batches) == len(mixed) == sum(-(-n // batch_size) for n in sizes)
        assert sorted(i for batch in batches for i in batch) == list(range(sum(sizes)))
        for batch in batches:
            assert len({int(np.searchsorted(offsets, i, side="right")) for i in batch}) == 1
        epochs.append(batches)
    mixed.set_epoch(0)
    assert list(mixed) == epochs[0]


def test_a_batch_is_answered_by_the_model_of_its_part(tiny_folder):
    backbone, tokenizer = Backbone(tiny_folder), load_tokenizer(tiny_folder)
    tasks = {
        "relation": task("relation", labels=["hates", "knows", "leads", "likes"], max_length=32),
        "dependency": task("dependency", max_length=32),
    }
    encoded = [
        encode(tasks["relation"], tokenizer, tiny.relations()),
        encode(tasks["dependency"], tokenizer, tiny.trees()),
    ]
    models = {name: KnowledgeModel(backbone, "concat", {}, t, 0) for name, t in tasks.items()}
    both, examples = MultitaskModel(models).eval(), MixedExamples(encoded)
    assert len(examples) == 70
    for part, indices in ((0, [3, 39]), (1, [40, 69])):
        batch = examples.__getitems__(indices)
        assert batch["part"] == part
        alone = encoded[part].__getitems__([i - 40 * part for i in indices])
        expected = list(models.values())[part](**alone)
        assert torch.equal(both(**batch).logits, expected.logits) and torch.equal(both(**batch).loss, expected.loss)


def test_the_backbone_learns_both_and_is_fine_tuned_as_a_row(data, tiny_folder, tmp_path):
    stage = Multitask(data=data, backbone=str(tiny_folder), parts=PARTS, training=TRAINING)
    before = {name: p.loss for name, p in stage.predict().items()}
    run = runs.begin(tmp_path / "p" / "pretrain" / "multitask", stage="pretrain", name="multitask", parameters={})
    stage.fit(run.folder, progress=False)
    predictions = stage.predict()
    assert all(p.loss < before[name] for name, p in predictions.items())
    folder = stage.finish(run, predictions)
    left = runs.load(folder)
    assert set(left.metrics) == {"F_f1", "L_uas"} and left.backbone_fingerprint == Backbone(tiny_folder).fingerprint
    trained = Backbone(folder / "backbone")
    assert trained.fingerprint == stage.backbone.fingerprint != left.backbone_fingerprint

    row = Finetuning(
        data=data,
        dataset="world_typing",
        task="typing",
        model="multitask",
        regime="frozen",
        backbone=str(folder),
        training={"epochs": 1, "batch_size": 32, "learning_rate": 1e-3, "max_length": 32},
    )
    assert row.fingerprint == trained.fingerprint and row.adapters == [{}]
    rows = row.run(tmp_path / "f", progress=False)
    assert rows["model"].tolist() == ["multitask"] and rows["n"].tolist() == [len(data.read("world_typing", "test"))]


def test_what_is_wrong_is_said(data, tiny_folder):
    with pytest.raises(KAdapterError, match="at least one kind of knowledge"):
        Multitask(data=data, backbone=str(tiny_folder), parts={}, training=TRAINING)
    with pytest.raises(KAdapterError, match="fusion: found 'sum'"):
        Multitask(data=data, backbone=str(tiny_folder), parts=PARTS, training=TRAINING, fusion="sum")


def test_its_place_in_the_graph():
    p = preset.load("embedded", ["tasks=all"])
    stages = {stage.id: stage for stage in graph.graph(p)}
    trained = stages["pretrain/multitask"]
    assert trained.notebook == "02_pretrain_multitask.ipynb" and list(trained.parameters["parts"]) == ["F", "L"]
    row = stages["finetune/typing-frozen-multitask"]
    assert row.inputs["backbone"] == "pretrain/multitask" in row.needs and "backbone" not in row.parameters
    assert set(graph.keys(list(stages.values()), runs.notebooks_folder())) == set(stages)
