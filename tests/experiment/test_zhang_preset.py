"""The preset of the published map-tuning on files of the official form, in small: every row of every task."""

import pytest
from datasets import Dataset

from kadapter import runs
from kadapter.experiment import prepared, preset
from kadapter.experiment.map_stages import MapTuning
from kadapter.formats import fewrel, opennre, wiki_et
from kadapter.formats.schemas import RELATION, TYPING
from kadapter.report import mapping, report
from tests import linked, speaking, tiny

SHORT = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-3}
WORDS = ("Ada", "Bor", "Cul", "Dex", "Eno", "Fal", "Gor")


def sentences(n: int, start: int = 0) -> Dataset:
    """Relations whose subjects and half of whose objects have ids."""
    rows = []
    for i, row in enumerate(tiny.relations(n)):
        rows.append(row | {"id": str(start + i), "subj_id": f"Q{(start + i) % 5}", "obj_id": f"Q{i % 9}"})
    return Dataset.from_list(rows, features=RELATION)


def mentions(n: int) -> Dataset:
    """Typed mentions whose ids are rows of the embeddings."""
    ents = [
        [{"id": str(i % 5), "start": r["start"], "end": r["end"], "score": 1.0}] for i, r in enumerate(tiny.typings(n))
    ]
    return tiny.typings(n).remove_columns("ents").add_column("ents", ents, feature=TYPING["ents"])


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    root = tmp_path_factory.mktemp("official")
    data, made = root / "official", root / "runs" / "zhang2023_map_tuning_bert_base"
    linked.embeddings().save(data / "knowledge_embedding" / "wikipedia")
    for folder, write, rows, files in (
        ("wiki20m", opennre.write, sentences, {"wiki20m_train.txt": 12, "wiki20m_val.txt": 8}),
        ("Wiki80", opennre.write, sentences, {"train.txt": 16, "dev.txt": 12, "test.txt": 12}),
        ("WikiET", wiki_et.write, mentions, {"train.json": 16, "dev.json": 12, "test.json": 12}),
        ("FewRel", fewrel.write, sentences, {"train_wiki.json": 24, "val_wiki.json": 48}),
    ):
        (data / folder).mkdir()
        for name, n in files.items():
            found = rows(n)
            if name == "val_wiki.json":  # 8 relations of 6 instances each
                labels = [f"P{i % 8}" for i in range(n)]
                found = found.remove_columns("label").add_column("label", labels)
            write(found, data / folder / name)
    p = preset.load("zhang2023_map_tuning_bert_base", [f"data.path={data}"])
    prepared.prepare(
        made / "data" / "all", p["datasets"], p["data"] | {"path": str(data)}, preset.roles(p), p["overlap"]
    )
    section = p["map_tuning"] | {"embeddings": {"path": str(data / "knowledge_embedding" / "wikipedia")}}
    section |= {"tunings": {"lora": {"options": {"r": 2}}}, "dropouts": [0.25], "general": section["general"] | SHORT}
    few = {"ways": 2, "queries": 2, "train": 3, "dev": 1, "settings": [[2, 1], [3, 2]], "asked": 12}
    section["tasks"] = {
        name: task | {"training": SHORT, "mapping": SHORT} | ({"episodes": few} if name == "fewrel" else {})
        for name, task in section["tasks"].items()
    }
    backbone = speaking.make("bert", root / "bert", max_position_embeddings=512)
    stage = MapTuning(data=prepared.Data(made / "data" / "all"), backbone=str(backbone), section=section, seeds=[233])
    run = runs.begin(made / "mapping" / "all", stage="mapping", name="all", parameters={})
    stage.embed(run.path("embeddings"), progress=False)
    assert stage.speak(run.path("work")) is None  # its own head
    stage.run(run.path("work"), progress=False)
    stage.finish(run)
    return stage, root / "runs"


def test_every_task_has_every_row(stage):
    made, root = stage
    rows = made.rows()
    assert set(rows["task"]) == {"wiki80", "wiki_et", "fewrel_2_1", "fewrel_3_2"} and set(rows["seed"]) == {233}
    wanted = set(preset.load("zhang2023_map_tuning_bert_base", ["data.path=/"])["map_tuning"]["models"])
    assert all(set(own["model"]) == wanted for _, own in rows.groupby("task"))
    counts = made.counts()
    assert counts["fewrel_2_1", "lora", "plain"].shape == (1, 3, 2)  # 12 questions: 3 episodes of 2 x 2
    assert counts["fewrel_3_2", "lora", "mapping"][0, :, 1].tolist() == [6.0, 6.0]
    chance = rows[rows["model"] == "chance"].set_index("task")["score"]
    assert chance["fewrel_2_1"] == 0.5 and chance["fewrel_3_2"] == pytest.approx(1 / 3)
    table = report.table(root, "zhang2023_map_tuning_bert_base")
    shown = mapping.section(table, runs.find(root, "zhang2023_map_tuning_bert_base"))
    assert "86.1 (" not in shown and "85.3 (" in shown  # Wiki80 of LoRA beside ours, of full tuning alone


def test_few_shot_classes_stand_in_one_split(stage):
    labels = [set(stage[0].data.read("fewrel", split)["label"]) for split in ("train", "dev", "test")]
    assert len(labels[1]) == 2 and len(labels[2]) == 6 and not labels[1] & labels[2]


def test_ids_that_are_rows_are_linked(stage):
    made, _ = stage
    links = [link["entity"] for links in made.works[1].splits["test"]["links"] for link in links]
    assert links and set(links) == {f"Q{i}" for i in range(5)}
    assert made.works[1].counted["test"][0]["linked"] == 12
