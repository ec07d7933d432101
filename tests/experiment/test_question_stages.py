"""Fine-tuning runs of multiple choice and reading: their rows, their predictions and their counts."""

import json

import numpy as np
import pandas as pd
import pytest

from kadapter import runs
from kadapter.experiment.prepared import Data, prepare
from kadapter.experiment.stages import Finetuning
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.scoring.squad import normalize_answer

DATASETS = {
    "choice": {
        "format": "cosmosqa",
        "train": "cosmosqa/train.jsonl",
        "dev": "cosmosqa/valid.jsonl",
        "test": "cosmosqa/test.jsonl",
    },
    "span": {
        "format": "openqa",
        "train": "searchqa/train.txt",
        "dev": "searchqa/dev.txt",
        "test": "searchqa/test.txt",
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    prepare(out, DATASETS, {"world": {"seed": 3, "entities": 96}})
    return Data(out)


@pytest.mark.parametrize("task", list(DATASETS))
def test_a_run_holds_answers_and_counts(data, tiny_folder, tmp_path, task):
    training = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-2, "max_length": 64, "bf16": False}
    values = {"data": data, "dataset": task, "task": task, "model": "backbone", "regime": "frozen"}
    stage = Finetuning(**values, backbone=str(tiny_folder), training=training, seeds=[0, 1])
    rows = stage.run(tmp_path / "work", progress=False)
    assert rows["metric"].tolist() == [{"choice": "accuracy", "span": "f1"}[task]] * 2
    run = runs.begin(tmp_path / "p" / "finetune" / task, stage="finetune", name=task, parameters={})
    folder = stage.finish(run)
    result, test = runs.load(folder), data.read(task, "test")
    assert result.n == len(test)
    table = pd.read_parquet(folder / "predictions.parquet")
    assert len(table) == 2 * len(test) and table["text"][0].endswith(test[0]["question"])
    assert np.load(folder / "counts.npz")["counts"].shape[:2] == (2, len(test))
    for index, row in table[table["seed"] == 1].reset_index(drop=True).iterrows():
        gold = test[int(index)]
        if task == "choice":
            assert json.loads(row["answers"]) == gold["answers"] and len(row["logits"]) == 4
            assert json.loads(row["reference"]) == gold["label"]
            assert row["logits"].argmax() == stage.predictions[1].decided[index]
        else:
            assert json.loads(row["reference"]) == gold["answers"] and 0 <= row["probability"] <= 1
            assert any(row["answer"] in p for p in gold["paragraphs"]) and normalize_answer(row["answer"])
    again = KnowledgeModel.from_pretrained(folder / "model")
    assert again.task.options() == stage.task.options()
    without = {"choice": "without a label", "span": "without an answer in their paragraphs"}[task]
    counted = json.loads((folder / "result.json").read_text())["counted"]
    assert counted == {split: {without: 0} for split in ("train", "dev", "test")}
