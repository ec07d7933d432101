"""Preparing data: splits, deduplication, label inventories, and what is said of missing or broken files."""

import json

import pandas
import pytest
from datasets import Dataset

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.experiment import preset
from kadapter.experiment.prepared import Data, label_counts, label_list, prepare
from kadapter.formats import entity_typing, fewrel, opennre, trex_rc
from tests import tiny

SMALL = {"world": {"seed": 1, "entities": 96}}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    loaded = preset.load("embedded")
    prepare(out, loaded["datasets"], SMALL, preset.roles(loaded))
    return Data(out)


def test_every_dataset_of_the_embedded_preset_is_ready(world):
    table = world.table().set_index("dataset")
    for name, entry in world.manifest["datasets"].items():
        for split in entry["splits"]:
            assert len(world.read(name, split)) == table.loc[name, split] > 0
    assert world.labels("world_factual") == label_list(world.read("world_factual", "train"))
    assert world.labels("world_linguistic") == []
    counts = label_counts(world.read("world_typing", "train"))
    assert counts["examples"].sum() == len(world.read("world_typing", "train"))
    assert set(counts["label"]) == set(world.labels("world_typing"))


def test_the_same_world_has_the_same_hashes(world, tmp_path):
    prepare(tmp_path, preset.load("embedded")["datasets"], SMALL, preset.roles(preset.load("embedded")))
    again = Data(tmp_path)
    for name in world.manifest["datasets"]:
        assert again.hash(name) == world.hash(name)
    other = tmp_path / "other"
    other.mkdir()
    prepare(other, preset.load("embedded")["datasets"], {"world": {"seed": 2, "entities": 200}})
    assert Data(other).hash("world_typing") != world.hash("world_typing")


def test_the_knowledge_of_the_world_stays_whole(world):
    """Its test entities are in the factual corpus on purpose, in other sentences and other facts."""
    rows = world.manifest["overlap"]["rows"]
    tested = [row for row in rows if row["part"] in ("dev", "test")]
    assert {row["knowledge"] for row in tested} == {"world_factual", "world_linguistic"} and len(tested) > 20
    factual = [row for row in tested if row["knowledge"] == "world_factual"]
    assert {(row["text"], row["fact"], row["removed"]) for row in factual} == {(0, 0, 0)}
    known = {row["subj_id"] for row in world.read("world_factual", "train")}
    asked = world.read("world_typing", "test")
    mentioned = {ent["id"] for row in asked for ent in row["ents"] if ent["start"] == row["start"]}
    assert mentioned and mentioned <= known


def wiki_and_fewrel(folder):
    """FewRel's sentences with property ids, and some of them in Wiki80's manner with names of relations."""
    texts = [("Ann", "Acme"), ("Bob", "Apex"), ("Cid", "Atlas"), ("Dan", "Argo"), ("Eve", "Ajax"), ("Fay", "Aster")]
    rows = tiny.relations(6).to_list()
    for row, (one, other) in zip(rows, texts, strict=True):
        row |= {"text": f"{one} leads {other} .", "subj_end": len(one), "obj_start": len(one) + 7}
        row |= {"obj_end": len(one) + 7 + len(other), "tokens": [one, "leads", other, "."]}
    made = {"P169": rows, "leader": [row | {"label": "leader"} for row in rows]}
    made = {label: Dataset.from_list([row | {"label": label} for row in part]) for label, part in made.items()}
    folder.mkdir()
    for name, part in (("train", [0, 1]), ("dev", [2]), ("test", [3])):
        fewrel.write(made["P169"].select(part), folder / f"{name}.json")
    opennre.write(made["leader"].select([0, 1, 2, 3, 4, 5]), folder / "wiki80.txt")
    opennre.write(made["leader"].select([4, 5]), folder / "wiki80_dev.txt")
    return {
        "wiki80": {"format": "opennre", "train": "wiki80.txt", "dev": "wiki80_dev.txt"},
        "fewrel": {"format": "fewrel", "train": "train.json", "dev": "dev.json", "test": "test.json"},
    }


def test_test_sentences_leave_the_knowledge(tmp_path):
    """The motivating leak: FewRel's val_wiki is a part of Wiki80."""
    specs, source = wiki_and_fewrel(tmp_path / "files"), {"path": str(tmp_path / "files")}
    roles = {"knowledge": ["wiki80"], "downstream": ["fewrel"]}
    found = {}
    for rule in ("remove", "keep"):
        out = tmp_path / rule
        out.mkdir()
        prepare(out, specs, source, roles, rule)
        found[rule] = Data(out)
    assert found["keep"].read("wiki80", "train").num_rows == 6 and found["remove"].labels("wiki80") == ["leader"]
    assert [text[:3] for text in found["remove"].read("wiki80", "train")["text"]] == ["Ann", "Bob", "Eve", "Fay"]
    assert found["remove"].hash("wiki80") != found["keep"].hash("wiki80")
    assert found["remove"].hash("fewrel") == found["keep"].hash("fewrel")
    shared = found["remove"].overlap()
    assert list(zip(shared["part"], shared["text"], shared["text_of_part"], shared["removed"], strict=True)) == [
        ("train", 2, 2, 0), ("dev", 1, 1, 1), ("test", 1, 1, 1),
    ]  # fmt: skip
    assert found["keep"].overlap()["removed"].sum() == 0 == found["keep"].overlap()["pair"].sum() - 4
    table = pandas.read_csv(tmp_path / "remove" / "overlap.csv")
    assert set(table["split"]) == {"train", "dev"} and table["removed"].sum() == 2
    with pytest.raises(KAdapterError, match="unknown overlap 'drop': .*known: keep, remove"):
        prepare(tmp_path / "keep", specs, source, roles, "drop")


def test_a_label_that_train_lacks_is_told_at_once(tmp_path):
    rows = tiny.relations(20)
    few = rows.filter(lambda row: row["label"] != "leads")
    folder = tmp_path / "files"
    folder.mkdir()
    trex_rc.write(few, folder / "train.json")
    trex_rc.write(rows, folder / "test.json")
    spec = {"format": "trex_rc", "train": "train.json", "test": "test.json"}
    message = "dataset 'd': test has the label 'leads', which no example of train has: .*--set datasets.d.labels=all"
    with pytest.raises(KAdapterError, match=message):
        prepare(tmp_path, {"d": spec}, {"path": str(folder)})
    assert prepare(tmp_path, {"d": spec | {"labels": "all"}}, {"path": str(folder)})["datasets"]["d"]["labels"] == [
        "hates", "knows", "leads", "likes",
    ]  # fmt: skip
    out = tmp_path / "world"
    out.mkdir()
    with pytest.raises(KAdapterError, match="dataset 'world_relation': dev has the label .* and 1 more, which no "):
        prepare(out, preset.load("embedded")["datasets"], {"world": {"seed": 3, "entities": 60}})


def write(folder, rows, name="all.json"):
    folder.mkdir(exist_ok=True)
    entity_typing.write(rows, folder / name)


def test_files_are_cut_by_sentence_and_by_example(tmp_path):
    # 40 mentions in 20 sentences: each twice
    write(tmp_path / "files", tiny.typings(40))
    for by in ("example", "sentence"):
        out = tmp_path / by
        out.mkdir()
        split = {"from": "all.json", "by": by, "parts": {"train": 0.5, "dev": 0.25, "test": 0.25}, "seed": 1}
        prepare(
            out, {"d": {"format": "entity_typing", "split": split, "labels": "all"}}, {"path": str(tmp_path / "files")}
        )
        data = Data(out)
        parts = {s: data.read("d", s) for s in ("train", "dev", "test")}
        assert sum(len(p) for p in parts.values()) == 40
        assert sorted(t for p in parts.values() for t in p["text"]) == sorted(tiny.typings(40)["text"])
        texts = [set(p["text"]) for p in parts.values()]
        assert (not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]) == (by == "sentence")
        assert data.labels("d") == ["artist", "person", "place"]
    assert (len(parts["train"]), len(parts["dev"]), len(parts["test"])) == (20, 10, 10)


def test_joined_files_lose_duplicates_of_train_and_dev(tmp_path):
    rows = tiny.relations(20)
    folder = tmp_path / "files"
    folder.mkdir()
    distinct = {r["text"] + r["label"] for r in rows}
    trex_rc.write(rows.select(range(12)), folder / "a.json")
    trex_rc.write(rows.select(range(8, 20)), folder / "b.json")
    trex_rc.write(rows.select([0, 1]), folder / "dev.json")
    spec = {"format": "trex_rc", "train": ["a.json", "b.json"], "dev": "dev.json", "deduplicate": True}
    (tmp_path / "out").mkdir()
    prepare(tmp_path / "out", {"d": spec}, {"path": str(folder)})
    train = Data(tmp_path / "out").read("d", "train")
    assert len(train) == len(distinct) - 2
    assert not {r["text"] + r["label"] for r in train} & {r["text"] + r["label"] for r in rows.select([0, 1])}


def test_an_untouched_file_is_named_where_it_lies(tmp_path):
    write(tmp_path / "files", tiny.typings(8), "train.json")
    (tmp_path / "out").mkdir()
    prepare(
        tmp_path / "out", {"d": {"format": "entity_typing", "train": "train.json"}}, {"path": str(tmp_path / "files")}
    )
    entry = json.loads((tmp_path / "out" / "data.json").read_text())["datasets"]["d"]
    assert entry["splits"]["train"]["file"] == str(tmp_path / "files" / "train.json")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["data.json"]


def test_mistakes_are_one_sentence(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(KAdapterError, match="cannot be read"):
        prepare(out, {"d": {"format": "trex_rc", "train": "no.json"}}, {"path": str(tmp_path)})
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(KAdapterError, match="empty.json, file: records: found 0; expected at least one record"):
        prepare(out, {"d": {"format": "trex_rc", "train": "empty.json"}}, {"path": str(tmp_path)})
    (tmp_path / "broken.json").write_text('[{"token": ["a"], "relation": "P1", "subj_start": "0"}]')
    with pytest.raises(KAdapterError, match=r"broken.json, record 1: .*found .*; expected"):
        prepare(out, {"d": {"format": "trex_rc", "train": "broken.json"}}, {"path": str(tmp_path)})
    with pytest.raises(KAdapterError, match="holds no data.json: expected a folder left by notebook 01_build_data"):
        Data(tmp_path)
    write(tmp_path / "files", tiny.typings(8), "train.json")
    prepare(out, {"d": {"format": "entity_typing", "train": "train.json"}}, {"path": str(tmp_path / "files")})
    with pytest.raises(KAdapterError, match="unknown dataset 'e'"):
        Data(out).read("e", "train")
    with pytest.raises(KAdapterError, match="unknown split of d 'test': known: train"):
        Data(out).read("d", "test")


@pytest.mark.parametrize("name", catalog.FORMATS)
def test_every_format_of_the_catalog_reads_and_writes(name):
    module = catalog.format_module(name)
    assert callable(module.read) and callable(module.write) and module.SCHEMA


def test_relations_of_documents_are_a_dataset_like_any_other(real_data, tmp_path):
    parts = {"train": 0.6, "dev": 0.2, "test": 0.2}
    split = {"from": ["dev_revised.json.gz"], "by": "sentence", "parts": parts}
    spec = {"format": "redocred", "path": "re_docred", "split": split, "labels": "all"}
    prepare(tmp_path, {"d": spec}, {"path": str(real_data)})
    data = Data(tmp_path)
    assert sum(data.table().loc[0, s] for s in parts) == 8614 and len(data.labels("d")) > 50
