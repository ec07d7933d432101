"""The preset map_tuning in small: a tiny random backbone, a small world, every row of the table."""

import dataclasses

import numpy as np
import pytest

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment import prepared, preset
from kadapter.experiment.graph import graph
from kadapter.experiment.map_stages import MapTuning
from kadapter.experiment.preset_values import MAP_ROWS
from kadapter.hub.adapter_folder import save_adapter
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import EntityMapping
from kadapter.report import mapping, report
from tests import tiny

SMALL = ("data.world.entities=96", "seeds=[0, 3]", "map_tuning.embeddings={model: transe, width: 8, epochs: 4}")
TUNINGS = {"full": {}, "lora": {"options": {"r": 2}}}


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_folder):
    """The stage after it has run, its run, and the root of runs."""
    root = tmp_path_factory.mktemp("runs")
    p = preset.load("map_tuning", SMALL)
    data = root / "map_tuning" / "data" / "all"
    prepared.prepare(data, p["datasets"], p["data"], preset.roles(p), p["overlap"])
    section = dict(p["map_tuning"])
    section |= {
        "models": [*MAP_ROWS],
        "tunings": TUNINGS,
        "dropouts": [0.25, 0.0],
        "general": section["general"] | {"epochs": 2},
    }
    section["language"] = section["language"] | {"epochs": 1}
    short = {"epochs": 1, "batch_size": 32, "learning_rate": 1e-3}
    section["tasks"] = {"typing": section["tasks"]["typing"] | {"training": short, "mapping": short}}
    section["domains"] = section["domains"] | {"training": short, "mapping": short}
    adapter = save_adapter(build_adapter(tiny.sizes()), root / "F", Backbone(tiny_folder))
    stage = MapTuning(
        data=prepared.Data(data), backbone=str(tiny_folder), section=section, seeds=[0, 3], adapters={"F": adapter}
    )
    out = root / "map_tuning" / "mapping" / "all"
    run = runs.begin(out, stage="mapping", name="all", parameters={})
    stage.embed(run.path("embeddings"), progress=False)
    assert 0 < stage.speak(run.path("work/language")) < 1
    stage.run(run.path("work"), progress=False)
    stage.swap(run.path("work/swap"), progress=False)
    return stage, stage.finish(run), root


def test_every_row_of_every_regime_is_scored(made):
    stage, _, root = made
    rows = stage.rows()
    swapped = rows["task"].str.startswith("typing_")
    rows, others = rows[~swapped], rows[swapped]
    assert set(others["task"]) == {"typing_world", "typing_medicine"} and set(others["regime"]) == {"full"}
    assert set(rows["model"]) == set(MAP_ROWS) and set(rows["regime"]) == set(TUNINGS)
    assert set(rows["task"]) == {"typing"} and set(rows["seed"]) == {0, 3}
    assert len(rows) == len(TUNINGS) * len(MAP_ROWS) * 2 and rows["score"].between(0, 1).all()
    found = report.rows(root, "map_tuning")
    keys = {(row["task"], row["regime"], row["model"]) for row in found}
    assert keys == set(map(tuple, stage.rows()[["task", "regime", "model"]].drop_duplicates().to_numpy()))


def test_the_frozen_model_is_the_same_with_and_without(made):
    """What is scored plain, and what the saved model says once its mapping is taken out, are equal to the bit."""
    stage, folder, _ = made
    work = stage.works[0]
    model = KnowledgeModel.from_pretrained(folder / "model")
    assert model.mapping.name == "general"
    with_it = work.counts(model, work.split("test", model.mapping), True)
    model.unplug_mapping()
    plain = work.counts(model, work.split("test"), True)
    assert np.array_equal(plain, stage.found["typing", "full", "plain"][0])
    assert np.array_equal(with_it, stage.found["typing", "full", "mapping"][0])


def test_a_mapping_of_another_domain_changes_nothing(made):
    """Its graph knows no entity of the other's sentences: nothing stands in them."""
    stage, folder, root = made
    for asked, other in (("world", "medicine"), ("medicine", "world")):
        plain, *found = (
            stage.counts()[f"typing_{asked}", "full", row]
            for row in ("plain", f"mapping_{other}", f"mapping_task_{other}", f"mapping_{asked}")
        )
        assert np.array_equal(plain, found[0]) and np.array_equal(plain, found[1])
    means = stage.summary().set_index(["task", "model"])["mean"] / 100
    scores = mapping.matrix(means, "typing", ["world", "medicine"], "mapping_task")
    assert list(scores.index) == ["none", "world", "medicine"] and scores.loc["none", "world"] == pytest.approx(
        scores.loc["medicine", "world"]
    )
    table = report.table(root, "map_tuning")
    page = mapping.section(table, [runs.load(folder)])
    assert page.count("domains-mapping") >= 2 and "EntityQuestions" in page and "general mappings" in page
    assert mapping.section(table, []) == ""


def test_mappings_are_left_with_their_cards(made):
    stage, folder, _ = made
    names = {path.name for path in (folder / "mappings").iterdir()}
    assert {"general-0", "general-3", "shuffled-0", "typing-full-0", "typing-lora-3"} <= names
    again = EntityMapping.from_pretrained(folder / "mappings" / "general-3", backbone=stage.backbone)
    assert again.embeddings.fingerprint == stage.entities.fingerprint
    assert "probability" in (folder / "mappings" / "general-3" / "README.md").read_text()
    kept = runs.load(folder).kept
    assert len(kept) == 2 * (2 * 2 + 2)  # seeds x (dropouts x epochs, and the control's epochs)
    assert {(k["dropout"], k["epoch"]) for k in kept} == {(0.25, 1), (0.25, 2), (0.0, 1), (0.0, 2)}


def test_links_chance_and_gains_are_told(made):
    stage, folder, _ = made
    told = runs.load(folder).linked
    assert all(row["linked"] == row["mentions"] for row in told["corpus train"])  # the graph knows every entity
    summary = stage.summary()
    chance = summary[(summary["model"] == "chance") & (summary["task"] == "typing")]["mean"]
    assert chance.between(0, 30).all()
    assert summary[summary["model"] == "mapping"]["over plain"].notna().all()
    nearest = stage.nearest(["Q900001"], k=3)
    assert len(nearest["nearest"][0].split()) == 3


def test_test_entities_stand_in_no_text(made):
    stage, _, _ = made
    asked = {link["entity"] for work in stage.works for links in work.splits["test"]["links"] for link in links}
    read = {link["entity"] for each in stage.corpus.values() for links in each["links"] for link in links}
    read |= {
        link["entity"]
        for work in stage.works
        for split in ("train", "dev")
        for links in work.splits[split]["links"]
        for link in links
    }
    assert asked and not asked & read


def test_the_graph_of_stages(tmp_path):
    stages = {s.id: s for s in graph(preset.load("map_tuning"))}
    assert list(stages) == ["data/all", "pretrain/F", "mapping/all", "report/all"]
    assert stages["mapping/all"].inputs == {"data": "data/all", "adapters": {"F": "pretrain/F"}}


def test_mistakes_are_one_sentence(made, tiny_folder):
    stage, _, _ = made
    with pytest.raises(KAdapterError, match="unknown tuning 'lore': did you mean 'lora'"):
        preset.load("map_tuning", ["map_tuning.tunings={lore: {}}"])
    with pytest.raises(KAdapterError, match="expected graph, a dataset of triples, or embeddings.path"):
        preset.load("map_tuning", ["map_tuning.graph=''"])
    strange = dataclasses.replace(stage.works[0]).splits["test"].remove_columns("links")
    from kadapter.experiment.map_models import Downstream
    from tests import linked

    with pytest.raises(KAdapterError, match="none of its test's mentions is linked to the graph's 5"):
        Downstream.of("typing", "x", stage.works[0].task, {"test": strange}, linked.embeddings(), stage.tokenizer)
