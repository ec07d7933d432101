"""The stage that asks LAMA's questions: a tiny masked model, files of a probe and of a word list made here; and the
generated world's own, asked of a head that was trained on text."""

import json

import numpy as np
import pytest

from kadapter import catalog, runs
from kadapter.errors import KAdapterError
from kadapter.experiment import prepared, preset
from kadapter.experiment.graph import graph
from kadapter.experiment.lama_stages import Lama
from kadapter.experiment.stages import Finetuning
from kadapter.formats import lama
from kadapter.probing import kept, questions
from kadapter.probing.leak import KINDS
from kadapter.probing.models import load
from kadapter.probing.probe import ask
from kadapter.probing.words import word_list
from kadapter.report import facts, report
from tests import speaking, tiny

PAIRS = [("Arbon", "dog"), ("Brill", "river"), ("Coxon", "dog"), ("A river", "river"), ("Person", "names")]
TEMPLATES = {"P19": "[X] barked loudly at [Y] .", "P27": "[X] wrote down [Y] ."}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with LAMA's T-REx and a word list."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "lama" / "TREx").mkdir(parents=True)
    table = {r: {"template": t, "label": r, "description": "", "type": "N-1"} for r, t in TEMPLATES.items()}
    lama.write_relations(table, folder / "lama" / "relations.jsonl")
    for relation in TEMPLATES:
        lines = [
            {"uuid": f"{relation}{k}", "predicate_id": relation, "sub_label": s, "obj_label": o, "sub_uri": f"Q{k}",
             "obj_uri": f"Q9{k}", "evidences": []}
            for k, (s, o) in enumerate(PAIRS)
        ]  # fmt: skip
        (folder / "lama" / "TREx" / f"{relation}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    (folder / "optiprompt_lama" / "common_vocabs").mkdir(parents=True)
    (folder / "optiprompt_lama" / "common_vocabs" / "list.txt").write_text("dog\nriver\nnames\nthere\nnotaword\n")
    return folder


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
    return str(speaking.make("bert", tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def asked(folder, speaker):
    stage = Lama(probe="lama-trex", folder=folder, models={"backbone": [speaker], "again": [speaker]}, words="list.txt")
    stage.run(progress=False)
    return stage


def test_scores_are_those_of_the_probe_and_uhn_is_a_part_of_them(asked, folder, speaker):
    model, tokenizer = load(speaker)
    expected = ask(model, tokenizer, questions.trex(folder), word_list(tokenizer, "list.txt", folder))
    assert np.array_equal(asked.ranks()["backbone"][0], expected.table["rank"])
    table = asked.table().set_index(["probe", "model"])
    mean = np.mean([(part["rank"] <= 1).mean() for _, part in expected.table.groupby("relation")])
    assert table.loc[("lama-trex", "backbone"), "P@1"] == pytest.approx(100 * mean)
    assert table.loc[("lama-trex", "again"), "P@1"] == table.loc[("lama-trex", "backbone"), "P@1"]
    rows = {(row["probe"], row["relation"]): row["n"] for row in asked.rows() if row["metric"] == "P@1"}
    assert rows["lama-trex", "macro"] == 10 and rows["lama-trex-uhn", "macro"] < 10  # "A river" is a river
    assert "4 of 5 words" in asked.about()


def test_the_run_is_what_tables_5_and_6_and_the_report_read(asked, tmp_path):
    run = runs.begin(tmp_path / "p" / "probe" / "lama-trex", stage="probe", name="lama-trex", parameters={})
    left = asked.finish(run)
    assert runs.load(left).words == {"name": "list.txt", "size": 5, "usable": 4}
    assert set(kept.read_top(left)) == {"backbone", "again"}
    assert kept.read_top(left)["again"]["top"].tolist() == asked.facts["top"].tolist()
    rows = report.rows(tmp_path, "p")
    assert {(row["task"], row["model"]) for row in rows} == {
        (task, model)
        for task in ("lama-trex", "lama-trex-uhn")
        for model in ("backbone", "again", "majority", "no_subject")
    }
    probed = facts.of_runs(runs.find(tmp_path, "p"))
    ours = probed.table5[probed.table5["source"] == facts.HERE].set_index("model")
    assert ours.loc["backbone", "trex"] == pytest.approx(asked.table()["P@1"][0])
    files = report.export(tmp_path, "p", tmp_path / "tables")
    assert {"table5.csv", "table5.tex"} <= set(files) and r"\toprule" in files["table5.tex"].read_text()
    page = report.write_html(tmp_path, "p", tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Table 5" in page and "No published row is known to use this list" in page


def test_the_worlds_facts_are_asked_of_a_head_that_read_text(tmp_path, tiny_folder):
    root = tmp_path / "runs" / "world"
    p = preset.load("notebook", ["tasks=[text]", "data.world={seed: 1, entities: 60}"])
    data = root / "data" / "all"
    prepared.prepare(data, p["datasets"], p["data"], preset.roles(p))
    training = {"epochs": 1, "batch_size": 32, "learning_rate": 0.01, "select": "last"}
    heads = Finetuning(
        data=prepared.Data(data), dataset="world_linguistic", task="text", model="none", regime="frozen",
        backbone=str(tiny_folder), training=training, none_adapter=tiny.SIZES,
    )  # fmt: skip
    run = runs.begin(root / "finetune" / "text-frozen-none", stage="finetune", name="text-frozen-none", parameters={})
    heads.run(run.folder, progress=False)
    left = heads.finish(run)
    stage = Lama(
        probe="lama-trex", folder="", models={"none": [left]}, words="objects", limit=2, data=prepared.Data(data),
        text="world_factual",
    )  # fmt: skip
    table = stage.run(progress=False)
    assert set(table["probe"]) == {"world-lama-trex"} and set(table["model"]) == {"none", "majority", "no_subject"}
    assert stage.overlap()["n"].sum() == len(stage.questions.table) and list(stage.leak()["kind"]) == list(KINDS)
    assert all(len(answers) <= 5 and answers for answers in stage.facts["top"])
    for _, part in stage.facts.groupby("relation"):
        assert len(part) <= 2 and set(part["object"]) <= set(stage.questions.table["object"])


def test_the_stages_of_a_preset(folder, monkeypatch):
    monkeypatch.delenv("KADAPTER_DATA", raising=False)
    assert not [s for s in graph(preset.load("probe")) if s.name.startswith("lama")]
    monkeypatch.setenv("KADAPTER_DATA", str(folder))
    assert not [s for s in graph(preset.load("probe")) if s.name.startswith("lama")]  # its word list is not there
    p = preset.load("probe", ["probe.lama={probes: [lama-trex, lama-squad], words: list.txt, limit: 3}"])
    (stage,) = [s for s in graph(p) if s.name.startswith("lama")]
    assert stage.parameters["folder"] == str(folder) and stage.parameters["named"] == {"backbone": "smollm2"}
    assert stage.inputs["models"] == {"shuffled": ["pretrain/shuffled"], "F": ["pretrain/F"]}
    world = {s.id: s for s in graph(preset.load("embedded", ["tasks=[text]"]))}
    assert world["probe/lama-trex"].inputs["models"]["F"] == ["finetune/text-frozen-F"]
    assert not [s for s in graph(preset.load("embedded")) if s.stage == "probe"]  # nobody asked for it


def test_what_cannot_be_asked_is_told(folder, speaker):
    with pytest.raises(KAdapterError, match="unknown probe 'lama-treks': did you mean 'lama-trex'"):
        Lama(probe="lama-treks", folder=folder, models={"a": [speaker]}, words="list.txt")
    with pytest.raises(KAdapterError, match="model 'a': found 2 for 1 seeds"):
        Lama(probe="lama-trex", folder=folder, models={"a": [speaker, speaker]}, words="list.txt")
    with pytest.raises(KAdapterError, match="folder: found none"):
        Lama(probe="lama-trex", folder="", models={"a": [speaker]}, words="list.txt")
    with pytest.raises(KAdapterError, match="probe.lama.heads: 'typing' is of task 'typing'; expected task 'text'"):
        preset.load("embedded", ["tasks=all", "probe.lama.heads=typing"])
    with pytest.raises(KAdapterError, match="unknown probe 'lama'"):
        preset.load("probe", ["probe.lama={probes: [lama]}"])


def test_every_probe_of_the_catalog_is_one():
    assert set(catalog.PROBES) < set(questions.PROBES)
