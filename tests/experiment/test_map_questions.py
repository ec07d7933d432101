"""The preset of linked questions in small: a causal language model as it is, and a mapping tuned through it."""

import numpy as np
import pytest
from datasets import Dataset

from kadapter.errors import KAdapterError
from kadapter.experiment import prepared, preset
from kadapter.experiment.map_stages import MapTuning
from kadapter.formats import linked_cloze
from kadapter.formats.schemas import LINKED_CLOZE
from tests import linked, speaking

ANSWERS = ("dog", "river", "names", "knows", "saw")


def questions(n: int) -> Dataset:
    """The answer follows from the entity alone: what the text says is the same for all."""
    rows = []
    for i in range(n):
        links = [{"start": 2, "end": 8, "entity": f"Q{i % 5}"}]
        row = {"id": str(i), "relation": "P1", "text": "$ Person $ knows [MASK]", "answer": ANSWERS[i % 5]}
        rows.append(row | {"candidates": [], "links": links})
    return Dataset.from_list(rows, features=LINKED_CLOZE)


def test_a_frozen_language_model_reads_mapped_vectors(tmp_path):
    for split in ("train", "dev", "test"):
        linked_cloze.write(questions(40), tmp_path / "questions" / f"{split}.jsonl")
    entities = linked.embeddings().save(tmp_path / "entities")
    p = preset.load("map_tuning_questions", [f"data.path={tmp_path}"])
    assert not p["map_tuning"].get("corpus")
    (tmp_path / "data").mkdir()
    prepared.prepare(tmp_path / "data", p["datasets"], p["data"], preset.roles(p), p["overlap"])
    section = p["map_tuning"] | {"embeddings": {"path": str(entities)}}
    task = section["tasks"]["entity_questions"]
    how = {"epochs": 15, "batch_size": 8, "learning_rate": 0.3, "bf16": False}
    section["tasks"] = {"entity_questions": task | {"mapping": how}}
    backbone = str(speaking.make("llama", tmp_path / "llama"))
    stage = MapTuning(data=prepared.Data(tmp_path / "data"), backbone=backbone, section=section, seeds=[0])
    stage.embed(tmp_path / "embeddings", progress=False)
    assert stage.speak(tmp_path / "work") is None
    stage.run(tmp_path / "work", progress=False)
    score = stage.rows().set_index("model")["score"]
    assert set(score.index) == {"plain", "mapping_task", "mapping_task_shuffled"}
    assert set(stage.rows()["regime"]) == {"frozen"}
    assert score["plain"] <= 0.2 < 0.5 < score["mapping_task"]
    assert np.stack(stage.found["entity_questions", "frozen", "plain"]).shape[1] == 40


def test_a_general_mapping_needs_linked_text(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(KAdapterError, match="map_tuning: the key 'corpus' is missing"):
        preset.load("map_tuning_questions", [f"data.path={tmp_path}", "map_tuning.models=[plain, mapping]"])
