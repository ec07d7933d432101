"""Runs, DatasetBrowser, the app and the training curves without a browser: what they find, show, escape and refuse."""

import json
import os
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest

from kadapter import runs
from kadapter.drawing import static
from kadapter.errors import KAdapterError
from kadapter.experiment import prepared
from kadapter.formats import trex_rc
from kadapter.formats.schemas import CHOICE, OPENQA, RELATION
from kadapter.report import figures
from tests import tiny, workbench
from widgets import DatasetBrowser, Runs, TrainingCurves
from widgets.app import App, studies
from widgets.dataset_browser import ANY, PAGE
from widgets.dataset_rows import row_html
from widgets.run_views import differing, headline
from widgets.runs import lab_address


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return workbench.make(tmp_path_factory.mktemp("place"))


@pytest.fixture
def browser(place):
    return Runs(place / "runs").wait()


def test_every_run_is_listed_with_its_headline(browser):
    assert browser.preset == "tiny"
    listed = [run_id for _, run_id in browser._list.options]
    assert listed == ["data/all", "finetune/typing-frozen-F", "finetune/typing-frozen-backbone"]
    score = runs.load(browser.root / "tiny/finetune/typing-frozen-F").metrics["f1"]
    assert f"f1 {100 * score:.1f}%" in browser._list.options[1][0]
    assert "95% interval" in browser.picture() and "<svg" in browser.picture()
    output = browser._drawing.outputs[0]["data"]
    assert set(output) == {static.PLOTLY, static.SVG}


def test_parameters_that_differ_are_those_that_differ(browser):
    browser._list.value = ("finetune/typing-frozen-F", "finetune/typing-frozen-backbone")
    browser._what.value = "Parameters that differ"
    browser.wait()
    frame = differing(browser.chosen)
    assert frame.to_dict("index") == {
        "model": {"finetune/typing-frozen-F": "F", "finetune/typing-frozen-backbone": "backbone"}
    }
    assert "training.epochs" not in browser.picture() and ">model<" in browser.picture()
    browser._list.value = ()  # those of the newest run's stage, not whatever is listed
    browser.wait()
    assert ">model<" in browser._text.value and "data/all" not in browser._text.value
    browser._list.value = ("data/all",)  # nothing to compare with: all its parameters
    browser.wait()
    assert "data/all" in browser._text.value and "finetune" not in browser._text.value
    one = differing([runs.load(browser.root / "tiny/finetune/typing-frozen-F")])
    assert one.loc["training.epochs"].tolist() == ["3"]  # of a single run, all


def test_the_paper_is_shown_for_the_tasks_of_a_preset(tmp_path):
    from tests.report.test_report import write_run
    from widgets import run_views

    row = {"task": "typing", "regime": "paper", "model": "F"}
    for preset, dataset in (("world", "world_typing"), ("real", "open_entity")):
        write_run(tmp_path, "a", row | {"dataset": dataset}, {"name": "multilabel"}, np.ones((1, 5, 3)), preset=preset)
    world, real = (run_views.paper(tmp_path, preset, [], [])[0] for preset in ("world", "real"))
    assert "fictional content" in world and "K-Adapter (F)" in world and "77.53" in world and "100.00" not in world
    assert "which is typing here" in real and "100.00" in real and real.count("<table") == 2


def test_every_view_has_a_picture_or_a_sentence(browser):
    for view in ("Scores", "Learning curves", "Confusions", "Beside the paper"):
        browser._what.value = view
        browser.wait()
        assert not browser._message.value, view
    assert "No task of this preset" in browser._text.value  # `mentions` is none of the paper's datasets
    browser._what.value = "Preset"  # `tiny` is neither made by the pipeline nor in the package
    browser.wait()
    assert "unknown preset" in browser._message.value and "Traceback" not in browser._message.value
    browser._what.value = "Confusions"
    for chosen in ((), ("finetune/typing-frozen-F",), ("finetune/typing-frozen-backbone",), ("data/all",)):
        browser._list.value = chosen
        browser.wait()
        assert "finetune/typing-frozen-F against finetune/typing-frozen-backbone" in browser._text.value
        assert not browser._message.value and "heatmap" in str(browser._drawing.outputs[0]["data"][static.PLOTLY])
    browser._search.value = "frozen-F"  # nothing is left to compare with
    browser.wait()
    assert "two runs of the stage finetune" in browser._message.value


def test_it_opens_on_the_newest_run(place, tmp_path):
    root = shutil.copytree(place / "runs", tmp_path / "runs")
    aged = ["tiny/finetune/typing-frozen-F", "tiny/data/all", "tiny/finetune/typing-frozen-backbone"]
    for age, run in enumerate(aged):
        os.utime(root / run / runs.RESULT, (1e9 - age, 1e9 - age))
    old = runs.begin(root / "aged/start/zz", stage="start", name="zz", parameters={}).finish(metrics={"f1": 0.5})
    older = runs.begin(root / "aged/start/aa", stage="start", name="aa", parameters={}).finish(metrics={"f1": 0.5})
    for age, run in ((50, old), (90, older)):
        os.utime(run / runs.RESULT, (1e9 - age, 1e9 - age))
    shown = Runs(root).wait()
    assert shown.preset == "tiny" and shown._list.value == ("finetune/typing-frozen-F",)
    assert "against backbone" in shown._text.value and shown._text.value.count("typing") == 2  # beside what it beats
    os.utime(older / runs.RESULT, (2e9, 2e9))
    shown = Runs(root).wait()
    assert shown.preset == "aged" and shown._list.value == ("start/aa",)


def test_a_new_run_is_found_by_refresh(place):
    browser = Runs(place / "runs").wait()
    run = runs.begin(place / "runs/tiny/start/later", stage="start", name="later", parameters={})
    path = run.finish(metrics={"f1": 0.5})
    try:
        assert "start/later" not in dict(browser._list.options).values()
        browser._refresh.click()
        assert "start/later" in dict(browser._list.options).values()
        browser.wait()
    finally:
        (path / runs.RESULT).unlink()
    browser._search.value = "zz<b>"
    browser.wait()
    assert "No run of preset tiny" in browser._text.value and "<b>'" not in browser._text.value


def test_links_lead_to_executed_notebooks(browser, place, monkeypatch):
    monkeypatch.setattr("widgets.runs.jupyter_runtime_dir", lambda: str(place))
    monkeypatch.setenv("JPY_PARENT_PID", "77")
    browser._list.value = ("finetune/typing-frozen-F",)
    path = place / "runs/tiny/finetune/typing-frozen-F/notebook.ipynb"
    assert f"<code>{path}</code>" in browser._links.value and "href" not in browser._links.value  # no Lab is known
    for folder, address in ((place, "/base/lab/tree/runs/tiny"), (place / "runs", "/base/lab/tree/tiny")):
        (place / "jpserver-77.json").write_text(json.dumps({"root_dir": str(folder), "base_url": "/base/"}))
        assert lab_address(path) == f"{address}/finetune/typing-frozen-F/notebook.ipynb"
    assert lab_address(place / "case_study.ipynb") == ""  # outside what is served
    browser._list.value = ("finetune/typing-frozen-backbone",)
    assert 'href="/base/lab/tree/tiny/finetune/typing-frozen-backbone/notebook.ipynb"' in browser._links.value
    browser._list.value = ("data/all",)
    assert "it has no notebook" in browser._links.value and "href" not in browser._links.value
    browser.wait()


def test_without_runs_it_says_how_to_make_them(tmp_path):
    browser = Runs(tmp_path, "embedded").wait()
    assert "kadapter run embedded" in browser.picture() and not browser._message.value
    with pytest.raises(KAdapterError, match="unknown preset 'embeded': did you mean 'embedded'"):
        Runs(tmp_path, "embeded")


def test_headlines():
    def run(metrics):
        return runs.Result(Path("runs"), {"metrics": metrics})

    assert [headline(run(m)) for m in ({"f1": 0.5}, {"examples": 3}, {})] == ["f1 50.0%", "examples 3", ""]


# --- datasets ---


def test_a_page_of_a_prepared_dataset(place):
    browser = DatasetBrowser(place / "runs/tiny/data/all", dataset="mentions", split="train").wait()
    assert len(browser.examples) == 24 and browser._page.value.count("kadapter-sentence") == PAGE
    browser._label.value = "place"
    wanted = [i for i, labels in enumerate(browser.examples["labels"]) if "place" in labels]
    assert browser.found.tolist() == wanted
    browser._label.value = ANY
    browser._search.value = "OFTEN SAW"
    assert browser.found.tolist() == [i for i, text in enumerate(browser.examples["text"]) if "often saw" in text]
    browser._next.click()
    assert browser._number.value == 2 and f"{PAGE + 1} to" in browser._place()
    browser._dataset.value = "trees"
    browser.wait()
    assert browser._split.value == "train" and "<svg" in browser._page.value
    assert browser._label.layout.display == "none"


def test_a_property_is_named_where_its_name_is_known(tmp_path):
    row = tiny.relations(1)[0] | {"label": "P127"}
    assert "P127 (owned by)" in row_html(row) and "P127 (" not in row_html(row | {"label": "P127000"})
    trex_rc.write(datasets.Dataset.from_list([row] * 3, features=RELATION), tmp_path / "train.json")
    browser = DatasetBrowser(tmp_path / "train.json", "trex_rc").wait()
    assert browser._label.options[1] == ("P127 (owned by)", "P127") and "P127 (owned by)" in browser._about.value
    browser._label.value = "P127"
    assert "Error" not in browser._message.value and "P127 (owned by)" in browser._page.value


def test_text_of_a_dataset_is_shown_and_not_run(place):
    browser = DatasetBrowser(prepared.Data(place / "runs/tiny/data/all"), dataset="mentions", split="test").wait()
    assert "<script>" not in browser.picture() and "&lt;script&gt;window.hacked" in browser.picture()
    rows = [tiny.relations(1)[0], tiny.trees(1)[0], {"a": "<b>"}, {"id": "1", "text": "<i>"}]
    rows[0] |= {"label": "<u>", "subj_type": "<u>"}
    rows[1] |= {"words": ["<u>"] * 3, "deprels": ["<u>"] * 3, "upos": ["<u>"] * 3}
    for row in rows:
        html = row_html(row).replace("<u title", "")
        assert not any(tag in html for tag in ("<u>", "<i>", "<b><", ">&lt;<b>"))


def test_questions_are_shown_with_their_answers():
    choice = {"id": "q", "context": "It rained.", "question": "Why?", "answers": ["a", "b & c"], "label": 1}
    html = row_html(datasets.Dataset.from_list([choice], features=CHOICE)[0])
    assert "<li>a</li><li><b>b &amp; c</b> ✓</li>" in html
    assert "not given" in row_html(choice | {"label": -1})
    asked = {"id": "0", "question": "Where?", "answers": ["new york"], "paragraphs": ["In New York it rains."] * 7}
    html = row_html(datasets.Dataset.from_list([asked], features=OPENQA)[0])
    assert html.count("<u><b>New York</b></u>") == 5 and "2 more paragraphs" in html


def test_what_was_left_out_is_counted():
    dataset = tiny.relations(3)
    dataset.info.description = "dropped paragraph of 5 tokens or fewer: 7"
    assert "fewer: 7" in DatasetBrowser(dataset).picture()


def test_a_long_list_is_filtered_quickly_and_sent_by_the_page():
    import time

    table = tiny.typings(10_000)
    browser = DatasetBrowser(table)
    began = time.perf_counter()
    browser._search.value = "often often often often saw brill"
    assert time.perf_counter() - began < 0.2
    assert len(browser.found) == np.sum(["often often often often saw Brill" in t for t in table["text"]])
    assert len(browser._page.value) < 20_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.json",), "a file needs its format"),
        (("nothing.json", "tacret"), "unknown format 'tacret': did you mean 'tacred'"),
        (("nothing.json", "tacred"), "nothing.json does not exist"),
        (("{data}", "", "mention"), "unknown dataset 'mention': did you mean 'mentions'"),
        (("{data}", "", "mentions", "tset"), "unknown split of mentions 'tset': did you mean 'test'"),
    ],
)
def test_a_mistake_is_one_sentence(place, arguments, message):
    with pytest.raises(KAdapterError, match=message):
        DatasetBrowser(*(a.replace("{data}", str(place / "runs/tiny/data/all")) for a in arguments))


def test_a_broken_file_is_said_in_the_widget(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text('[{"token": 3}]')
    browser = DatasetBrowser(path, "tacred").wait()
    assert "expected" in browser._message.value and "broken.json" in browser.picture()


# --- app and curves ---


def test_the_app_finds_studies_and_opens_the_first(place, tmp_path, monkeypatch):
    found = studies(place / "runs")
    assert {name: [p.name for p in own] for name, own in found.items()} == {
        "tiny · typing · frozen": ["typing-frozen-backbone", "typing-frozen-F"]
    }
    monkeypatch.setenv("KADAPTER_RUNS", str(place / "runs"))
    app = App()
    assert app.study.cases.models == ["backbone", "F"] and app._make.layout.display == "none"
    empty = App(tmp_path)
    assert empty.study is None and "make run" in empty._message.value and empty._make.layout.display != "none"


def test_curves_grow_while_training_runs(monkeypatch):
    from types import SimpleNamespace as Values

    shown = []

    class Handle:
        def update(self, picture, raw):
            shown.append(picture)

    monkeypatch.setattr("widgets.training_curves.display", lambda picture, **more: shown.append(picture) or Handle())
    monkeypatch.setattr("widgets.training_curves.PAUSE", -1.0)
    curves = TrainingCurves("F", seeds=True)
    for seed in (0, 1):
        curves.on_train_begin(Values(seed=seed), None, None)
        for epoch in (1.0, 2.0):
            curves.on_log(None, Values(epoch=epoch), None, {"loss": 2 - epoch / 2})
        curves.on_train_end(None, None, None)
    assert len(shown) == 6 and all(static.SVG in picture for picture in shown)
    assert list(curves.histories) == ["F, seed 0", "F, seed 1"]
    wanted = static.bundle(figures.training(curves.histories))[static.PLOTLY]["data"]
    assert shown[-1][static.PLOTLY]["data"] == wanted
