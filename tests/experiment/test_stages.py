"""From data to scores: an adapter is pre-trained and saved, rows are fine-tuned from it, cases are read from their
runs."""

import json

import numpy as np
import pandas as pd
import pytest

from kadapter import runs
from kadapter.cases.cases import Cases
from kadapter.errors import KAdapterError
from kadapter.experiment import preset
from kadapter.experiment.prepared import Data, prepare
from kadapter.experiment.stages import Finetuning, Pretraining
from kadapter.model.backbone import load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.report import report
from kadapter.training.batches import encode
from kadapter.training.predict import predict
from tests import tiny

TRAINING = {"epochs": 3, "batch_size": 16, "learning_rate": 5e-3, "max_length": 32, "bf16": False}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    prepare(out, preset.load("embedded")["datasets"], {"world": {"seed": 3, "entities": 200}})
    return Data(out)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def pretraining(data, folder, **more):
    values = {
        "name": "F",
        "data": data,
        "dataset": "world_factual",
        "knowledge": "factual",
        "backbone": str(folder),
        "adapter": tiny.SIZES,
        "training": TRAINING,
    }
    return Pretraining(**values | more)


def finetuning(data, folder, adapter, model="F", **more):
    values = {
        "data": data,
        "dataset": "world_typing",
        "task": "typing",
        "model": model,
        "regime": "frozen",
        "backbone": str(folder),
        "training": TRAINING,
        "seeds": [0, 1],
        "adapters": {"F": adapter},
        "none_adapter": tiny.SIZES,
    }
    return Finetuning(**values | more)


@pytest.fixture(scope="module")
def adapter(data, tiny_folder, root):
    stage = pretraining(data, tiny_folder)
    run = runs.begin(root / "p" / "pretrain" / "F", stage="pretrain", name="F", parameters={})
    fitted = stage.fit(run.folder, progress=False)
    assert len([h for h in fitted.history if "loss" in h]) == 3
    return stage.finish(run, stage.predict())


def test_a_pretraining_run_holds_adapter_head_and_scores(adapter, data, tiny_folder):
    run = runs.load(adapter)
    assert run.knowledge == "factual" and run.n == len(data.read("world_factual", "dev"))
    assert sorted(p.name for p in adapter.iterdir()) == ["adapter", "result.json"]
    config = json.loads((adapter / "adapter" / "adapter_config.json").read_text())
    scored = config["trained_on"]["dev_scores"]["f1"]
    assert scored["mean"] == pytest.approx(run.metrics["f1"], abs=1e-5) and scored["ci_low"] <= scored["mean"]
    # With its head, the adapter answers its own pre-training task again.
    again = KnowledgeModel.from_adapter(adapter / "adapter")
    encoded = encode(again.task, load_tokenizer(tiny_folder), data.read("world_factual", "dev"))
    assert predict(again, encoded).scores["f1"] == pytest.approx(run.metrics["f1"], abs=1e-4)
    assert config["backbone"]["fingerprint"] == run.backbone_fingerprint
    linguistic = pretraining(data, tiny_folder, name="L", knowledge="linguistic", dataset="world_linguistic")
    assert linguistic.task.name == "dependency"


@pytest.mark.parametrize("regime", ["frozen", "paper"])
def test_rows_runs_and_cases(adapter, data, tiny_folder, root, regime):
    folders = []
    for model in ("backbone", "none", "F"):
        stage = finetuning(data, tiny_folder, adapter, model, regime=regime)
        name = f"typing-{regime}-{model}"
        run = runs.begin(root / "p" / "finetune" / name, stage="finetune", name=name, parameters={})
        rows = stage.run(run.folder, progress=False)
        assert rows["seed"].tolist() == [0, 1] and rows["n"].unique() == len(data.read("world_typing", "test"))
        folders.append(stage.finish(run))
        counts = np.load(folders[-1] / "counts.npz")["counts"]
        assert counts.shape[:2] == (2, rows["n"][0])
        metric = stage.task.metric
        assert metric.reduce(counts.sum(1))["f1"] == pytest.approx(rows["score"].to_numpy())
        # The saved model answers as the run says its first seed did.
        saved = KnowledgeModel.from_pretrained(folders[-1] / "model")
        answers = pd.read_parquet(folders[-1] / "predictions.parquet").query("seed == 0")
        batch = stage.split("test").__getitems__([0, 1, 2])
        found = saved(**batch).logits.detach().numpy()
        np.testing.assert_allclose(found, np.stack(answers["logits"][:3].to_numpy()), rtol=1e-3, atol=1e-4)

    found = report.rows(root, "p")
    assert [r["model"] for r in found if r["regime"] == regime] == ["backbone", "none", "F"]
    parts = report.by_slice(root, "p").query("regime == @regime and model == 'F'")
    assert parts.groupby("kind")["n"].sum().to_dict() == dict.fromkeys(
        ("entity", "words", "label frequency"), len(data.read("world_typing", "test"))
    )
    assert parts[parts["kind"] == "entity"]["slice"].tolist() == ["not in training"]  # as the world is made
    labels = report.by_label(root, "p").query("regime == @regime and model == 'F'")
    assert set(labels["label"]) <= set(stage.task.labels) and labels["n"].sum() == counts.shape[1]
    cases = Cases.from_runs(folders)
    assert cases.models == ["backbone", "none", "F"] and len(cases) == len(data.read("world_typing", "test"))
    counted = cases.counts("F")
    assert sum(counted.values()) == len(cases)
    right = cases.right
    assert counted["fixed"] == (right[2] & ~right[0]).sum()
    index = int(np.argmax(np.abs(cases.movement("F"))))
    case = cases[index]
    label = cases.labels.index(case.true[0])
    assert cases.movement("F")[index] == pytest.approx(
        case.logits["F"][label] - case.logits["backbone"][label], abs=1e-5
    )
    start, end, _ = case.mentions[0]
    assert f"[{case.text[start:end]}]" in case.marked()
    table = cases.table([index], k=3)
    top = np.argsort(-case.logits["F"])[:3]
    assert table["top-3 labels"].iloc[2] == ", ".join(cases.labels[t] for t in top)
    assert table["top-3 logits"].iloc[2] == ", ".join(f"{case.logits['F'][t]:.2f}" for t in top)
    for kind in ("fixed", "broken", "both right", "both wrong"):
        moved = np.abs(cases.movement("F")[cases.select(kind, "F")])
        assert (np.diff(moved) <= 1e-6).all()
    with pytest.raises(KAdapterError, match="unknown model of this case study 'G'"):
        cases.select("fixed", "G")
    with pytest.raises(KAdapterError, match="unknown kind of case 'fixd': did you mean 'fixed'"):
        cases.select("fixd", "F")
    with pytest.raises(KAdapterError, match="has no seed 7"):
        Cases.from_runs(folders, seed=7)


def test_cases_of_different_tasks_are_not_compared(adapter, data, tiny_folder, root):
    stage = finetuning(data, tiny_folder, adapter, "F", task="relation", dataset="world_relation", seeds=[0])
    run = runs.begin(root / "q" / "finetune" / "relation", stage="finetune", name="relation", parameters={})
    stage.run(run.folder, progress=False)
    folder = stage.finish(run)
    other = finetuning(data, tiny_folder, adapter, "backbone", seeds=[0])
    run = runs.begin(root / "q" / "finetune" / "typing", stage="finetune", name="typing", parameters={})
    other.run(run.folder, progress=False)
    with pytest.raises(KAdapterError, match="were tested on different examples or labels"):
        Cases.from_runs([folder, other.finish(run)])
    with pytest.raises(KAdapterError, match="needs at least one"):
        Cases.from_runs([])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"model": "G"}, "unknown model 'G'"),
        ({"regime": "frosen"}, "unknown regime 'frosen': did you mean 'frozen'"),
        ({"regime": "adapter"}, "unknown regime 'adapter'"),
        ({"task": "typng"}, "unknown task 'typng': did you mean 'typing'"),
        ({"dataset": "world_typin"}, "unknown dataset 'world_typin': did you mean 'world_typing'"),
        ({"training": {"epoch": 1}}, "unknown training setting 'epoch': did you mean 'epochs'"),
        ({"fusion": "sum"}, "unknown fusion 'sum'"),
        ({"seeds": []}, r"seeds: found \[\]; expected a list of at least 1, each a whole number"),
        ({"seeds": [2**63]}, r"seeds\[0\]: found 9223372036854775808; expected a whole number"),
        ({"training": {"max_length": 1024}}, "max_length 1024 is longer than the 128 positions that"),
        ({"training": {"max_length": 100_000}}, "max_length: found 100000; expected a whole number from 8 to 16,384"),
        ({"adapters": {"F": "nowhere"}}, "nowhere holds no adapter_config.json"),
    ],
)
def test_bad_parameters_of_fine_tuning(adapter, data, tiny_folder, more, message):
    with pytest.raises(KAdapterError, match=message):
        finetuning(data, tiny_folder, adapter, **more)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"knowledge": "factal"}, "unknown knowledge 'factal': did you mean 'factual'"),
        ({"adapter": {"plug_layers": [0, 5]}}, "plug layer 5 is out of range: .* has hidden_states 0..4"),
        ({"adapter": {"widht": 3}}, "unknown adapter setting 'widht'"),
    ],
)
def test_bad_parameters_of_pretraining(data, tiny_folder, more, message):
    with pytest.raises(KAdapterError, match=message):
        pretraining(data, tiny_folder, **more)


def test_a_test_label_that_training_never_saw(data, tmp_path):
    from kadapter.formats import entity_typing

    test = data.read("world_typing", "test")
    strange = test.map(lambda row: {"labels": ["volcano"]})
    entity_typing.write(strange, tmp_path / "test.json")
    spec = {"format": "entity_typing", "test": str(tmp_path / "test.json")}
    for split in ("train", "dev"):
        spec[split] = str(data.folder / data.manifest["datasets"]["world_typing"]["splits"][split]["file"])
    (tmp_path / "out").mkdir()
    with pytest.raises(KAdapterError, match="'d': test has the label 'volcano', which no example of train has"):
        prepare(tmp_path / "out", {"d": spec}, {"path": "/"})


def test_rows_of_today_stand_beside(data, tiny_folder, adapter, root):
    """LoRA and bottlenecks beside a frozen backbone, and facts as text: run, saved, with what they train."""
    training = TRAINING | {"epochs": 1, "max_length": 64}
    trained, before = {}, None
    for model, more in {
        "backbone": {},
        "lora": {"tuning": {"r": 2}},
        "houlsby": {"tuning": {"bottleneck": 3}},
        "retrieval": {"facts": "world_factual"},
    }.items():
        stage = finetuning(data, tiny_folder, adapter, model, training=training, seeds=[0], **more)
        before = before or stage.fingerprint
        name = f"typing-frozen-{model}"
        run = runs.begin(root / "today" / "finetune" / name, stage="finetune", name=name, parameters={})
        trained[model] = stage.run(run.folder, progress=False)["trained_parameters"][0]
        saved = KnowledgeModel.from_pretrained(stage.finish(run) / "model")
        assert list(saved.backbone.tuned) == ([model] if more.get("tuning") else [])
        assert stage.backbone.fingerprint == before  # shared by all: what is tuned is a copy
        batch = stage.split("test").__getitems__([0, 1])
        found = pd.read_parquet(root / "today/finetune" / name / "predictions.parquet")["logits"][:2]
        np.testing.assert_allclose(saved(**batch).logits.detach(), np.stack(found.to_numpy()), rtol=1e-3, atol=1e-4)
    head = trained["backbone"]
    assert trained["retrieval"] == head
    assert trained["lora"] == head + tiny.DEPTH * 2 * (64 + 64 + 80)  # query, key, and into the feed-forward part
    assert trained["houlsby"] == head + tiny.DEPTH * 2 * (2 * 3 * 32 + 3 + 32)
    with_facts = stage.read("test")
    assert sum(len(row["text"]) for row in with_facts) > 1.5 * sum(len(row["text"]) for row in stage.examples["test"])
    found = report.rows(root, "today")
    assert [(row["model"], row["trained_parameters"]) for row in found] == [
        (model, trained[model]) for model in ("backbone", "houlsby", "lora", "retrieval")
    ]
    with pytest.raises(KAdapterError, match="facts: found '' for the row 'retrieval'; expected a dataset"):
        finetuning(data, tiny_folder, adapter, "retrieval")
    with pytest.raises(KAdapterError, match="unknown option of tuning 'lora' 'rank'"):
        finetuning(data, tiny_folder, adapter, "lora", tuning={"rank": 2})


def test_a_gate_begins_with_what_each_adapter_alone_is_worth(data, tiny_folder, adapter, root):
    more = {"adapters": {"F": adapter, "G": adapter}, "model": "F+G", "fusion": "gate", "seeds": [0]}
    stage = finetuning(data, tiny_folder, adapter, **more)
    stage.run(root / "weighed", progress=False)
    assert list(stage.lengths[0]) == ["F", "G"]
    assert stage.lengths[0]["F"] == pytest.approx(stage.lengths[0]["G"], rel=0.1)
    alone = finetuning(data, tiny_folder, adapter, fusion="gate", seeds=[0])
    alone.run(root / "alone", progress=False)
    assert alone.lengths == {}  # nothing to choose from
