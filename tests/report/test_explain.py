"""The report says what its words mean, where its numbers come from, and which cases knowledge fixed and broke."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kadapter import runs
from kadapter.report import breakdown, examples, explain, labels, published, report
from tests.report.test_report import write_run
from tests.scoring.test_slices import write_predictions

LABELS = ["p", "q", "r"]
GOLD = [0, 1, 2, 0, 1]
#        seed 0            seed 1
SAYS = {
    "backbone": [[0, 0, 0, 0, 1], [0, 0, 0, 1, 1]],  # right on 0, 3, 4 and on 0, 4
    "F": [[1, 1, 2, 0, 1], [1, 1, 0, 0, 1]],  # right on 1, 2, 3, 4 and on 1, 3, 4
}
WORLD = {"task": "relation", "dataset": "world_relation", "regime": "frozen"}


def write(root: Path, model: str, texts: bool = True) -> Path:
    right = np.stack([np.array(each) == GOLD for each in SAYS[model]]).astype(float)
    counts = np.stack([right, np.ones((2, 5))], axis=-1)
    given = {"parameters": {}, "backbone_fingerprint": "abcdef0123456789"}
    folder = write_run(root, f"relation-frozen-{model}", WORLD | {"model": model}, {"name": "accuracy"}, counts)
    data = json.loads((folder / runs.RESULT).read_text()) | given
    data["parameters"] = {"backbone": "minilm"}
    (folder / runs.RESULT).write_text(json.dumps(data))
    write_predictions(folder, "relation", {"labels": LABELS}, GOLD, np.eye(3)[np.array(SAYS[model])])
    if texts:
        frame = pd.read_parquet(folder / "predictions.parquet")
        frame["text"] = [f"Ada <b>{i}</b>" for i in range(5)] * 2
        frame["mentions"] = json.dumps([[0, 3, "subject"]])
        frame.to_parquet(folder / "predictions.parquet")
    (folder / "notebook.ipynb").touch()
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    for model in SAYS:
        write(tmp_path, model)
    run = runs.begin(
        tmp_path / "synthetic/pretrain/F",
        stage="pretrain",
        name="F",
        parameters={"knowledge": "factual", "dataset": "world_factual", "backbone": "minilm"},
    )
    run.finish({"f1": 0.5}, examples=1440)
    world = {"data": {"world": {"seed": 7, "entities": 1200}}}
    runs.begin(tmp_path / "synthetic/data/all", stage="data", name="all", parameters=world).finish({"examples": 2500})
    return tmp_path


def test_changed_cases_by_hand(root):
    """F fixes example 1 in both seeds, 2 in the first and 3 in the second; it breaks example 0 in both."""
    (changed,) = examples.examples(report.run_scores(root, "synthetic"))
    assert (changed.model, changed.against, changed.n, changed.seeds) == ("F", "backbone", 5, 2)
    assert changed.counts == {"fixed": (1, 3), "broken": (1, 1)}
    fixed, broken = changed.shown["fixed"], changed.shown["broken"]
    assert [(e.text[-5:-4], e.true, e.theirs, e.ours, e.seeds) for e in fixed] == [
        *(("1", "q", "p", "q", 2), ("2", "r", "p", "r", 1), ("3", "p", "q", "p", 1))
    ]
    assert [(e.text, e.true, e.theirs, e.ours, e.seeds) for e in broken] == [("[Ada] <b>0</b>", "p", "p", "q", 2)]
    text = breakdown.cases([changed])
    assert "F fixes <b>1</b> and breaks <b>1</b> in every one of 2 seeds; <b>3</b> and <b>1</b> in at least one" in text
    assert "[Ada] &lt;b&gt;1&lt;/b&gt;" in text and "<b>0</b></td>" not in text
    assert breakdown.cases([]) == ""


def test_of_each_true_label_the_first_is_shown(root):
    folder = root / "synthetic/finetune/relation-frozen-F"
    assert labels.decided(folder).labels == LABELS
    (changed,) = examples.examples(report.run_scores(root, "synthetic"))
    true = [e.true for e in changed.shown["fixed"]]
    assert len(true) == len(set(true)) <= examples.SHOWN


def test_runs_without_texts_or_backbone_have_no_cases(tmp_path):
    write(tmp_path, "F")
    assert examples.examples(report.run_scores(tmp_path, "synthetic")) == []
    write(tmp_path, "backbone", texts=False)
    write(tmp_path, "F", texts=False)
    assert examples.examples(report.run_scores(tmp_path, "synthetic")) == []


def test_words_say_what_each_row_learned(root):
    found = runs.find(root, "synthetic")
    text = explain.words(["backbone", "none", "F", "F+L", "mine"], ["frozen", "full"], found)
    assert "<dt>row backbone</dt><dd>minilm alone" in text
    assert "pre-trained on factual knowledge (Section 3.2" in text and "dataset world_factual, 1,440 examples" in text
    assert "the adapters F, L side by side" in text and "minilm with the adapter mine" in text
    assert "<dt>regime frozen</dt><dd>only fusion and head train" in text and "regime paper" not in text
    for model in ("backbone", "multitask", "none"):
        assert f"row {model}" in explain.words([model], [], [])


def test_origin_names_backbone_data_command_code_and_time(root):
    found = runs.find(root, "synthetic")
    text = explain.origin("synthetic", found, {"command": "kadapter run synthetic --set 'a=<b>'"})
    assert "minilm (weights abcdef0123)" in text
    assert "a generated world of 1,200 fictional entities (seed 7), 2,500 training examples" in text
    assert "<code>kadapter run synthetic --set &#x27;a=&lt;b&gt;&#x27;</code>" in text
    assert found[0].data["finished"][:10] in text and found[0].data["machine"]["processor"] in text
    assert (runs.commit() or "commit unknown") in text
    assert "<code>kadapter run synthetic</code>" in explain.origin("synthetic", found, {})
    assert "unknown" in explain.origin("none", [], {})


def test_a_run_that_does_not_say_when_is_as_old_as_its_file(root):
    folder = root / "synthetic/finetune/relation-frozen-F"
    data = json.loads((folder / runs.RESULT).read_text())
    del data["finished"]
    (folder / runs.RESULT).write_text(json.dumps(data))
    os.utime(folder / runs.RESULT, (0, 0))
    assert explain.when([runs.load(folder)]) == "1970-01-01 00:00 UTC"


def test_notebooks_are_linked_from_where_the_page_will_be(root):
    found = runs.find(root, "synthetic")
    folder = root / "synthetic/report"
    run = "finetune/relation-frozen-F"
    for page in (folder / "all/report.html", folder / "all.partial-vm-1/synthetic/report/all/report.html"):
        assert explain.notebooks(found, "synthetic", page)[run] == f"../../{run}/notebook.ipynb"
    elsewhere = explain.notebooks(found, "synthetic", root / "page.html")
    assert elsewhere[run] == f"synthetic/{run}/notebook.ipynb" and "data/all" not in elsewhere
    page = report.write_html(root, "synthetic", folder / "all/report.html")
    assert 'id="shared"' not in page.read_text(encoding="utf-8")  # nothing was compared
    named = {"knowledge": "world_factual", "split": "train", "downstream": "world_relation", "part": "dev"}
    counts = dict.fromkeys(("text", "text_of_part", "pair", "pair_of_part", "fact", "fact_of_part", "removed"), 3)
    manifest = {"source": {}, "datasets": {}, "overlap": {"rule": "remove", "rows": [named | counts]}}
    (root / "synthetic/data/all/data.json").write_text(json.dumps(manifest))
    page = report.write_html(root, "synthetic", folder / "all/report.html")
    assert "What knowledge and tests share</h2>" in page.read_text(encoding="utf-8")
    assert f'href="../../{run}/notebook.ipynb"' in page.read_text(encoding="utf-8")
    assert (page.parent / f"../../{run}/notebook.ipynb").is_file()


def test_the_paper_stands_beside_the_tasks_of_the_preset(root, tmp_path):
    frame = report.published_rows(root, "synthetic")
    assert set(frame["dataset"]) == {"tacred"} and set(frame["task"]) == {"relation"} and not frame["comparable"].any()
    assert frame.set_index(["model", "metric"]).loc[("RoBERTa", "f1"), "value"] == 71.25
    text = report.write_html(root, "synthetic", tmp_path / "x.html").read_text(encoding="utf-8")
    assert "relation here has the form of tacred and fictional content" in text
    assert "<details open><summary>Table 4 of the paper: tacred" in text
    real = {"dataset": "open_entity", "regime": "paper", "task": "typing", "model": "F"}
    write_run(tmp_path, "a", real, {"name": "multilabel"}, np.ones((1, 5, 3)), preset="real")
    own = report.published_rows(tmp_path, "real")
    assert set(own["dataset"]) == {"open_entity"} and own["comparable"].all()
    other = {"dataset": "mine", "regime": "paper", "task": "mine", "model": "F"}
    write_run(tmp_path, "a", other, {"name": "accuracy"}, np.ones((1, 5, 2)), preset="other")
    assert report.published_rows(tmp_path, "other").empty
    assert "No task of this preset is one of the paper" in report.write_html(
        tmp_path, "other", tmp_path / "y.html"
    ).read_text(encoding="utf-8")


def test_each_world_dataset_imitates_one_of_the_paper():
    from kadapter.experiment import preset

    worlds = [published.imitated(t["dataset"]) for t in preset.load("embedded")["tasks"].values()]
    assert None not in worlds and len(set(worlds)) == len(worlds)
    assert published.imitated("mine") is None


def test_panels_have_one_scale(root):
    from kadapter.report import figures

    frame = report.table(root, "synthetic")
    more = frame.assign(task="other", mean=0.9, ci_low=0.8, ci_high=0.95)
    figure = figures.scores(pd.concat([frame, more]), report.seed_scores(root, "synthetic"))
    assert [axis.matches for axis in figure.select_xaxes()] == [None, "x"]
