"""The case study and the adapter switches without a browser: their controls are moved in Python, what they show is
compared with what `ask` and the model itself give."""

import csv
import re
import time

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ipywidgets import Widget

from kadapter import catalog
from kadapter.cases import exports
from kadapter.cases.attribution import Attribution, attribute, knockouts
from kadapter.cases.cases import Cases
from kadapter.cases.inference import (
    ask,
    contributions,
    logits,
    probabilities,
    read_marked,
    replace_mention,
    write_marked,
)
from kadapter.cases.table import NOT_ANSWERED, Case, CaseTable, plugged_name
from kadapter.errors import KAdapterError
from kadapter.model.adapter import KnowledgeAdapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from tests import tiny
from widgets import AdapterSwitch, CaseStudy
from widgets.adapter_switch import Plugs
from widgets.background import Work
from widgets.case_list import PAGE, CaseList
from widgets.predictions import verdict
from widgets.sentence import sentence_html
from widgets.style import plain

LABELS = ["hates", "knows", "leads", "likes"]
NASTY = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def backbone(tiny_folder):
    return Backbone(tiny_folder)


@pytest.fixture
def models(backbone):
    """Two models of a relation task on one frozen backbone: without an adapter, and with two."""

    def adapter(name, seed):
        torch.manual_seed(seed)
        made = KnowledgeAdapter(tiny.sizes())
        made.provenance = {"name": name, "knowledge": "factual", "dataset": "tiny_set", "examples": 1200}
        return made

    task = catalog.task("relation", labels=LABELS)
    plugged = {"F": adapter("F", 1), "L": adapter("L", 2)}
    return {
        "backbone": KnowledgeModel(backbone, task=task, seed=3).eval(),
        "F+L": KnowledgeModel(backbone, adapters=plugged, task=task, seed=4).eval(),
    }


@pytest.fixture
def tokenizer(tiny_folder):
    return load_tokenizer(tiny_folder)


@pytest.fixture
def study(models, tokenizer):
    cases = Cases.from_models({n: (m, tokenizer) for n, m in models.items()}, tiny.relations(30))
    made = CaseStudy(models, cases)
    made.work.wait()
    return made


def synthetic(n, labels=50, models=("backbone", "F")):
    """Many cases with random logits; the true label of the i-th is the (i mod labels)-th."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "example_id": [str(i) for i in range(n)],
            "text": [f"The clerk of office {i} met {'Ada' if i % 3 else 'Bob'} ." for i in range(n)],
            "mentions": [[[4, 9, "mention"]]] * n,
            "true": [[f"label {i % labels}"] for i in range(n)],
        }
    )
    found = random.normal(size=(len(models), n, labels)).astype(np.float32)
    return CaseTable(catalog.task("relation", labels=[f"label {i}" for i in range(labels)]), models, frame, found)


# --- the list ---


def test_filters_choose_what_a_loop_over_the_cases_chooses():
    cases = synthetic(300, labels=4)
    shown = CaseList(cases, "F", "backbone")
    for kind, label, text, margin in [
        ("fixed", "", "", None),
        ("broken", "label 1", "", None),
        ("both wrong", "", "BOB", None),
        ("all", "label 2", "ada", (-0.5, 1.0)),
        ("both right", "", "office 1", (0.0, 0.5)),
    ]:
        chosen = cases.select(kind, "F", label=label, text=text, margin=margin)
        expected = set()
        for i in range(300):
            was, now, own = cases.right[0, i], cases.right[1, i], cases.logits[1, i]
            is_kind = {"fixed": now and not was, "broken": was and not now, "all": True}
            is_kind |= {"both wrong": not (was or now), "both right": was and now}
            space = own[i % 4] - max(own[j] for j in range(4) if j != i % 4)
            passes = is_kind[kind] and label in ("", f"label {i % 4}") and text.lower() in cases[i].text.lower()
            if passes and (margin is None or margin[0] <= space <= margin[1]):
                expected.add(i)
        assert set(chosen.tolist()) == expected and expected
        moved = np.abs(cases.movement("F")[chosen])
        assert (np.diff(moved) <= 0).all()
        shown.kind.value, shown.label.value, shown.text.value = kind, label, text
        if margin is None:
            assert set(shown.found.tolist()) == expected
            assert [i for _, i in shown.rows.options] == chosen[:PAGE].tolist() and shown.case == chosen[0]
    margins = cases.margins[1][cases.select("all", "F", sort="margin")]
    assert (np.diff(margins) >= 0).all()
    assert cases.select("all", "F", sort="order").tolist() == list(range(300))


def test_the_margin_of_several_true_labels_is_that_of_the_lowest_and_none_is_nan():
    frame = pd.DataFrame({"example_id": list("abc"), "text": ["x"] * 3, "mentions": [[]] * 3})
    frame["true"] = [["p", "q"], [], ["p", "q", "r"]]
    found = np.array([[[5, 2, 4], [1, 2, 3], [1, 2, 3]]], np.float32)
    cases = CaseTable(catalog.task("typing", labels=["p", "q", "r"]), ["F"], frame, found)
    np.testing.assert_array_equal(cases.margins, [[-2, np.nan, np.nan]])
    np.testing.assert_array_equal(cases.true_logits, [[3.5, 0, 2]])
    assert cases.select("all", "F", "F", margin=(-9.0, 9.0)).tolist() == [0]


@pytest.mark.parametrize(
    ("more", "message"),
    [({"label": "lable 1"}, "unknown label"), ({"sort": "size"}, "unknown order"), ({"kind": "fxed"}, "unknown kind")],
)
def test_unknown_filters_are_named(more, message):
    with pytest.raises(KAdapterError, match=message):
        synthetic(8).select(**{"kind": "all", "model": "F"} | more)


def test_ten_thousand_cases_filter_at_once_and_a_page_is_all_that_is_sent(monkeypatch):
    cases = synthetic(10_000, models=("backbone", "none", "F", "L", "F+L"))
    shown = CaseList(cases, "F", "backbone")
    sent = []
    monkeypatch.setattr(Widget, "_send", lambda self, message, buffers=None: sent.append(repr(message)))
    for control, value in [
        (shown.text, "bob"), (shown.kind, "broken"), (shown.label, "label 7"), (shown.label, ""), (shown.text, ""),
        (shown.sort, "margin"), (shown.model, "F+L"), (shown.kind, "all"), (shown.margin, (-1.0, 2.0)),
    ]:  # fmt: skip
        sent.clear()
        began = time.perf_counter()
        control.value = value
        assert time.perf_counter() - began < 0.2
        assert len(shown.rows.options) <= PAGE and sum(map(len, sent)) < 20_000
    assert len(shown.found) > 1000
    first = list(shown.rows.options)
    shown._next.click()
    assert [i for _, i in shown.rows.options] == shown.found[PAGE : 2 * PAGE].tolist()
    shown._former.click()
    assert list(shown.rows.options) == first and shown._former.disabled
    shown.text.value = "nothing has these words"
    assert shown.rows.options == () and shown.case == -1
    assert len(cases.names("subject", "CL")) == 1 and cases.names("object") == []


# --- live answers ---


def test_an_edited_sentence_is_answered_as_ask_answers_it(study, models, tokenizer):
    sentence = "[Person1] leads {Nobody} in the end ."
    study.live.sentence.value = sentence
    study.work.wait()
    assert study.shown.case.marked() == sentence and study.live.names["object"].value == "Nobody"
    for name, model in models.items():
        expected = ask(model, tokenizer, [sentence], k=4).set_index("label")["logit"]
        shown = dict(zip(LABELS, study.shown.case.logits[name].tolist(), strict=True))
        assert shown == pytest.approx(expected.to_dict(), abs=1e-5)
        assert f"{expected.iloc[0]:.2f}" in study.answers._tables.value
    study.live.names["subject"].value = "Someone Else"
    study.work.wait()
    assert study.live.sentence.value == "[Someone Else] leads {Nobody} in the end ."
    assert study.shown.case.marked() == study.live.sentence.value
    study.live.reset.click()
    study.work.wait()
    assert study.shown.case.marked() == study.cases[study.list.case].marked()


def test_a_toggled_adapter_is_unplugged_and_its_share_is_what_is_missing(study, models, tokenizer):
    model, sentence = models["F+L"], study.live.sentence.value
    whole = logits(model, tokenizer, [sentence])[0].numpy()
    share = study.shown.moves["F+L"]["F"]
    study.live.toggles["F+L", "F"].value = False
    study.work.wait()
    assert list(model.adapters) == ["L"]
    without = logits(model, tokenizer, [sentence])[0].numpy()
    np.testing.assert_allclose(study.shown.case.logits["F+L"], without, atol=1e-5)
    np.testing.assert_allclose(share, whole - without, atol=1e-5)
    assert list(study.shown.moves["F+L"]) == ["L"] and "backbone" not in study.shown.moves
    study.live.toggles["F+L", "F"].value = True
    study.work.wait()
    np.testing.assert_allclose(study.shown.case.logits["F+L"], whole, atol=1e-5)


def test_an_unplugged_adapter_is_named_wherever_the_row_is(study):
    """Tables, bars, the static picture and every export."""
    study.live.toggles["F+L", "L"].value = False
    study.work.wait()
    row = "F+L, L unplugged"
    assert f"<caption>{row} · " in study.answers._tables.value and row in study.picture()
    titles = [a.text for a in study.answers._bars.figure.layout.annotations]
    assert titles == ["backbone", row]
    assert study.answers._bars.figure.data[1].hovertemplate.startswith(row)
    study.export.add.click()
    (case,) = study.export.cases
    assert list(case.logits) == ["backbone", row]
    for written in (exports.latex, exports.markdown, exports.table):
        assert exports.md(row) in written([case], LABELS) or row in written([case], LABELS)
    study.live.toggles["F+L", "L"].value = True
    study.work.wait()
    assert "unplugged" not in study.picture()
    alone = [plugged_name("F", ["F"], []), plugged_name("F+L", ["F", "L"], []), plugged_name("F+L", ["F", "L"], ["F"])]
    assert alone == ["F, unplugged", "F+L, F and L unplugged", row]


def test_an_edited_sentence_has_no_true_label_until_it_is_given(study):
    original = study.cases[study.list.case]
    assert study.live.true.layout.display == "none" and study.shown.original is None
    study.live.sentence.value = "[Ada] likes {tea} ."
    study.work.wait()
    assert study.shown.case.true is None and study.live.true.layout.display == ""
    assert "✓ answers" not in study.answers._tables.value and "✗ answers" not in study.answers._tables.value
    assert "(true)" not in study.answers._tables.value + str(study.answers._bars.figure.layout.yaxis.ticktext)
    head = study.answers._sentence.value  # beside the original, with its label and what was answered to it
    assert head.index("In the data") < head.index("(not given)") and "Ada" in head
    assert f"True label: <b>{original.true[0]}</b>" in head and original.text.split()[0] in head
    assert verdict(study.cases.answer("backbone", original.index), original.true) in head
    study.export.add.click()
    assert "(not given)" in exports.table(study.export.cases, LABELS)
    best = LABELS[int(study.shown.case.logits["backbone"].argmax())]
    study.live.true.value = best
    assert study.shown.case.true == [best] and f"backbone · ✓ answers {best}" in study.answers._tables.value
    study.live.names["subject"].value = "Bo"  # another edit keeps what was given
    study.work.wait()
    assert study.shown.case.true == [best]
    study.live.reset.click()
    study.work.wait()
    assert study.shown.case.true == original.true and study.live.true.layout.display == "none"
    assert study.live.truth is None and "In the data" not in study.answers._sentence.value


def test_several_labels_or_none_can_be_true_of_an_edited_sentence(backbone, tokenizer):
    model = KnowledgeModel(backbone, task=catalog.task("typing", labels=["artist", "person", "place"])).eval()
    cases = Cases.from_models({"backbone": (model, tokenizer)}, tiny.typings(8))
    study = CaseStudy({"backbone": model}, cases)
    study.live.sentence.value = "They met [Ada] ."
    study.work.wait()
    assert study.shown.case.true is None
    study.live.true.value = ("artist", "person")
    assert study.shown.case.true == ["artist", "person"]
    study.live.true.value = (NOT_ANSWERED,)
    assert study.shown.case.true == [] and "True label: <b>(none)</b>" in study.answers._sentence.value


def test_what_is_answered_is_what_the_score_decides(backbone, tokenizer):
    """A label with a negative logit may come first and be true, and still be no answer."""
    task = catalog.task("typing", labels=["artist", "person", "place"])
    frame = pd.DataFrame(
        {"example_id": ["a"], "text": ["Rome"], "mentions": [[[0, 4, "mention"]]], "true": [["place"]]}
    )
    found = np.array([[[-3, -2, -1]], [[-3, -2, 1]]], np.float32)
    cases = Cases(task, ["backbone", "F"], frame, found)
    assert cases.right.tolist() == [[False], [True]] and cases.answer("backbone", 0) == []
    assert cases.table([0])["answer"].tolist() == [NOT_ANSWERED, "place"]
    models = {name: KnowledgeModel(backbone, task=task) for name in cases.models}
    html = CaseStudy(models, cases).answers._tables.value
    assert "backbone · ✗ answers no label" in html and "F · ✓ answers place" in html
    assert html.count("where its logit is above 0") == 1  # the threshold is explained once
    first = html[html.index("<tbody>") : html.index("</tr>", html.index("<tbody>"))]
    assert "place (true)" in first and "kadapter-not" in first  # true, but not answered
    assert "✓ place" not in html


def test_the_list_shows_the_number_that_orders_it():
    cases = synthetic(40, labels=4)
    shown = CaseList(cases, "F", "backbone")
    shown.kind.value = "all"
    for sort, numbers in (("movement", cases.movement("F")), ("margin", cases.margins[1])):
        shown.sort.value = sort
        lines = [float(line.split()[1]) for line, _ in shown.rows.options]
        assert lines == pytest.approx([numbers[i] for _, i in shown.rows.options], abs=0.006)


def test_the_first_case_is_one_in_which_only_the_model_is_right():
    cases = synthetic(200, labels=4, models=("backbone", "F", "F+L"))
    shown = CaseList(cases, "F", "backbone")
    assert shown.kind.value == "alone" and cases.right[:, shown.case].tolist() == [False, True, False]
    assert "right alone" in shown.kind.options[0][0]
    assert CaseList(synthetic(200, labels=4), "F", "backbone").kind.value == "fixed"


def test_contributions_equal_a_model_that_never_had_the_adapter_plugged(models, tokenizer):
    sentences = ["[Ada] likes {tea} .", "[Bo] of the long name hates {milk} very much ."]
    found, moves = contributions(models["F+L"], tokenizer, sentences)
    np.testing.assert_allclose(found, logits(models["F+L"], tokenizer, sentences), atol=1e-6)
    for name, others in {"F": ["L"], "L": ["F"]}.items():
        with models["F+L"].only(*others):
            expected = found - logits(models["F+L"], tokenizer, sentences)
        np.testing.assert_allclose(moves[name], expected, atol=1e-5)
        assert expected.abs().max() > 1e-3


def test_mistakes_are_one_sentence_at_the_edit_and_the_last_answer_is_greyed(study):
    before = study.shown
    below = study.live.children[study.live.children.index(study.live.sentence) + 1]
    assert study._message in below.children and study.work.box in below.children
    assert not study.answers.stale and not study.answers.picture().startswith("<div style")
    study.live.sentence.value = "nobody [closed this"
    assert study.answers.stale  # before anything is answered
    study.work.wait()
    assert "bracket is never closed" in study._message.value and "Traceback" not in study._message.value
    assert study.shown is before and study.answers.stale and "kadapter-stale" in study.answers._dom_classes
    assert study.answers.picture().startswith('<div style="opacity: 0.4">')
    study.live.reset.click()
    study.work.wait()
    assert not study.answers.stale and not study._message.value.count("alert")
    study.export.buttons["CSV"].click()
    assert "no case is chosen" in study.export.message.value
    study.models.answer = lambda sentence, progress, links: 1 / 0
    study.live.sentence.value = "[a] b {c}"
    study.work.wait()
    assert "ZeroDivisionError" in study._message.value


def test_more_labels_and_other_cases_follow_their_controls(study):
    study.live.k.value = 1
    assert study.answers._tables.value.count("<tr") == 2 * (1 + 1)  # heads, and a label of each model
    study.live.k.value = 4
    assert study.answers._tables.value.count("<tr") == 2 * (1 + 4)
    other = study.list.rows.options[1][1]
    study.list.rows.index = 1
    study.work.wait()
    assert study.shown.case.index == other
    first, second = study.answers._bars.figure.data
    lines = study.answers._lines(study.shown.case, 4)
    for trace, name in ((first, "backbone"), (second, "F+L")):
        expected = [study.shown.case.logits[name][LABELS.index(n)] for n in lines]
        np.testing.assert_allclose(trace.x, expected, atol=1e-4)
    assert first.marker.line.width[0] > 0 and first.marker.line.width[1] == 0  # the true label comes first
    state = study.answers._bars.figure.get_state("_widget_data")["_widget_data"]
    assert list(state[0]["x"]) == list(first.x)  # a page that is loaded again gets what is shown


def test_models_of_folders_are_loaded_when_first_needed(models, tokenizer, tmp_path):
    cases = Cases.from_models({n: (m, tokenizer) for n, m in models.items()}, tiny.relations(8))
    folders = {name: model.save_pretrained(tmp_path / name) for name, model in models.items()}
    study = CaseStudy(folders, cases)
    assert not study.models.loaded and set(study.live.toggles) == {("F+L", "F"), ("F+L", "L")}
    assert study.shown.source.startswith("answers of the runs") and not study.shown.moves
    study.live.toggles["F+L", "L"].value = False
    study.work.wait()
    loaded = study.models.loaded
    assert list(loaded["F+L"].adapters) == ["F"] and loaded["backbone"].backbone is loaded["F+L"].backbone
    expected = logits(loaded["F+L"], tokenizer, [study.live.sentence.value])[0]
    np.testing.assert_allclose(study.shown.case.logits["F+L"], expected, atol=1e-5)


def test_a_dataset_is_answered_in_the_background(models, tokenizer):
    data = tiny.relations(12)
    study = CaseStudy(models, data)
    assert "answering" in study.summary() and "answering" in study.picture()
    study.work.wait()
    marked = [study.cases[i].marked() for i in range(12)]
    np.testing.assert_allclose(study.cases.logits[1], logits(models["F+L"], tokenizer, marked), atol=1e-5)
    assert study.cases.frame["true"].tolist() == [[label] for label in data["label"]]
    with pytest.raises(KAdapterError, match="unknown model of this case study 'G'"):
        CaseStudy(models, study.cases, model="G")
    with pytest.raises(KAdapterError, match="the models given are"):
        CaseStudy({"G": models["F+L"]}, study.cases)


# --- switches ---


def test_switches_plug_and_unplug_and_everyone_hears_of_it(study, models):
    model, seen = models["F+L"], []
    switch, other = AdapterSwitch(model), AdapterSwitch(model)
    switch.observe(lambda change: seen.append(change["new"]), "plugged")
    assert "tiny_set (1,200 examples)" in switch.picture() and "factual knowledge" in switch.picture()
    adapter = model.adapters["F"]
    other._boxes["F"].value = False
    assert list(model.adapters) == ["L"] and seen == [("L",)] and not switch._boxes["F"].value
    assert not study.live.toggles["F+L", "F"].value
    study.work.wait()
    assert list(study.shown.moves["F+L"]) == ["L"]
    switch.plugged = ("F", "L")
    assert model.adapters["F"] is adapter and other.plugged == ("F", "L")
    model.unplug("L")  # as a cell would
    Plugs.refresh_all()
    assert switch.plugged == ("F",) and "L unplugged" in repr(switch) and "<td>unplugged</td>" in switch.picture()
    switch.plugged = ("G",)
    assert "unknown adapter" in switch._message.value and switch.plugged == ("F",) and list(model.adapters) == ["F"]
    assert "no adapters" in AdapterSwitch(models["backbone"]).picture()


def test_what_a_switch_shows_below_follows_the_model(models):
    switch = AdapterSwitch(models["F+L"], show=lambda model: f"{NASTY} {sorted(model.adapters)}")
    switch.work.wait()
    assert "&#x27;F&#x27;, &#x27;L&#x27;" in switch.picture() and "<script" not in switch.picture()
    switch._boxes["F"].value = False
    switch.work.wait()
    assert "[&#x27;L&#x27;]" in switch.picture()


# --- work in the background ---


def test_a_newer_job_takes_the_place_of_an_older_one_and_cancelling_throws_away():
    said = []
    work = Work(cancelled=lambda: said.append("cancelled"))

    def endless(progress):
        while True:
            progress(0.0, "turning <b>")
            time.sleep(0.005)

    work.submit(endless, said.append, said.append)
    time.sleep(0.05)
    work._deliver()
    assert work.box.layout.display == "" and "turning &lt;b&gt;" in work._text.value
    work.submit(lambda progress: 7, said.append, said.append)
    work.wait()
    assert said == [7] and work.box.layout.display == "none"
    work.submit(endless, said.append, said.append)
    work._stop.click()
    work.wait(1)
    assert said == [7, "cancelled"] and not work.busy
    work.submit(lambda progress: 1, said.append, said.append, delay=5.0)
    work.submit(lambda progress: int("x"), said.append, said.append)
    work.wait(2)
    assert isinstance(said[-1], ValueError) and len(said) == 3


# --- text is data ---


def nasty_case():
    text = f"{NASTY} [1] *met* B_{{0}} & $5"
    start = text.index("B_")
    spans = [[0, len(NASTY), "subject"], [start, start + 5, "object"]]
    return Case(4, "id,7", text, spans, ["a_b"], {"F+L": np.array([1.5, -0.25, 3.0]), "none": np.array([0.0, 2.0, 1])})


def test_scripts_and_markup_are_shown_not_run(models, tokenizer):
    data = tiny.relations(3).to_pandas()
    data["text"] = [f"Ada likes {NASTY} $x$ <b>" for _ in range(3)]
    data["subj_start"], data["subj_end"], data["obj_start"], data["obj_end"] = 0, 3, 10, 10 + len(NASTY)
    cases = Cases.from_models(
        {n: (m, tokenizer) for n, m in models.items()}, tiny.relations(3).from_pandas(data, tiny.relations(1).features)
    )
    cases.labels[cases.labels.index("likes")] = "<a href='x'>$l$</a>"
    cases.frame["true"] = [["<a href='x'>$l$</a>"]] * 3
    study = CaseStudy(models, cases)
    study.work.wait()
    html = study._repr_mimebundle_()["text/html"] + study.answers._sentence.value + study.answers._tables.value
    assert "<script" not in html and "<a href" not in html and "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    ticks = study.answers._bars.figure.layout.yaxis.ticktext
    assert ticks[0] == "<b>&lt;a href='x'&gt;&#36;l&#36;&lt;/a&gt; (true)</b>"
    assert plain("<b>$a$ & b") == "&lt;b&gt;&#36;a&#36; &amp; b"


def test_a_sentence_is_highlighted_as_in_table_7():
    html = sentence_html("Ada <b> met Bo", [[0, 3, "subject"], [12, 14, "object"]])
    assert re.sub(r"<(/?)(\w)[^>]*>", r"<\1\2>", html) == "<p><u>Ada</u> &lt;b&gt; met <i>Bo</i></p>"
    assert "underline wavy" in html and "underline solid" in html
    nested = sentence_html("Bank of Rome", [[0, 12, "subject"], [8, 12, "object"]])
    assert nested.count("<u") == nested.count("</u>") and nested.count("<i") == nested.count("</i>") == 1


text = st.text("ab[]{}\\ <é", min_size=1, max_size=8)


@given(before=text, subject=text, between=text, thing=text, after=text, name=st.text("x[]\\", min_size=1, max_size=5))
def test_any_text_can_be_marked_read_and_changed(before, subject, between, thing, after, name):
    whole = before + subject + between + thing + after
    a, b = len(before), len(before + subject)
    c, d = b + len(between), b + len(between + thing)
    marked = write_marked(whole, [[a, b, "subject"], [c, d, "object"]])
    assert read_marked(marked) == (whole, {"subject": (a, b), "object": (c, d)})
    changed, found = read_marked(replace_mention(marked, "subject", name))
    assert changed == before + name + between + thing + after
    assert changed[slice(*found["subject"])] == name and changed[slice(*found["object"])] == thing


def test_replacing_says_what_is_missing():
    with pytest.raises(KAdapterError, match="marks no object"):
        replace_mention("[a] b", "object", "c")
    with pytest.raises(KAdapterError, match="the subject is empty"):
        replace_mention("[a] b", "subject", " ")


def test_probabilities_are_the_textbook_ones_and_never_overflow():
    np.testing.assert_allclose(probabilities(np.array([0.0, np.log(3)]), False), [0.25, 0.75])
    np.testing.assert_allclose(probabilities(np.array([0.0, np.log(3), -2000, 2000]), True), [0.5, 0.75, 0, 1])


# --- exports ---

LATEX = r"""
\multirow{4}{=}{\uline{\textless{}script\textgreater{}alert(1)\textless{}/script\textgreater{}} [1] *met* \uwave{B\_\{0\}} \& \$5} & \multirow{4}{*}{a\_b} & \multirow{2}{*}{F+L} & x\% & 3.00 \\
 & &  & \textbf{a\_b} & 1.50 \\
 & & \multirow{2}{*}{none} & c\textbar{}d & 2.00 \\
 & &  & x\% & 1.00 \\
"""  # noqa: E501
MARKDOWN = r"""
| \[&lt;script\>alert\(1\)&lt;/script\>\] \[1\] \*met\* \{B\_\{0\}\} &amp; \$5 | a\_b | F\+L | x%, **a\_b** | 3.00, 1.50 |
| \[&lt;script\>alert\(1\)&lt;/script\>\] \[1\] \*met\* \{B\_\{0\}\} &amp; \$5 | a\_b | none | c\|d, x% | 2.00, 1.00 |
"""  # noqa: E501


def test_exports_are_what_a_person_would_write():
    case, labels = nasty_case(), ["a_b", "c|d", "x%"]
    tex = exports.latex([case], labels, k=2)
    assert LATEX.strip() in tex and tex.count(r"\begin") == tex.count(r"\end") == 2
    assert r"Input & True label & Model & Top-2 labels & Logit \\" in tex and "ulem" in tex
    assert exports.markdown([case], labels, k=2).split("\n", 2)[2].strip() == MARKDOWN.strip()
    rows = list(csv.DictReader(exports.table([case], labels, k=2).splitlines()))
    assert len(rows) == 4 and rows[1] == {
        "case": "4", "example_id": "id,7", "input": case.marked(), "true_label": "a_b", "model": "F+L", "rank": "2",
        "label": "a_b", "logit": "1.5", "probability": f"{np.exp(1.5) / np.exp([1.5, -0.25, 3]).sum():.6g}",
    }  # fmt: skip
    with pytest.raises(KAdapterError, match="no case is chosen"):
        exports.latex([], labels)


WHY = r"""
\textbf{F, unplugged} (1.50): \colorbox[RGB]{64,149,197}{\strut a\_b} \colorbox[RGB]{239,195,159}{\strut \#\#x}
"""


def test_an_explanation_in_latex_is_coloured_by_its_share():
    found = {"F, unplugged": Attribution("a_b", ["a_b", "##x"], np.array([2.0, -1.0]), logit=1.5, masked=0.5)}
    tex = exports.why_latex(found, {"F, hidden state 3": -0.25})
    assert WHY.strip() in tex and r"\emph{a\_b}" in tex and "adapter layers add F, hidden state 3 -0.25" in tex
    assert tex.count(r"\begin") == tex.count(r"\end") == 1
    with pytest.raises(KAdapterError, match="nothing is explained yet"):
        exports.why_latex({}, {})


def test_export_buttons_write_beside_the_notebook_and_replace_nothing(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cases.tex").write_text("mine")
    study.live.sentence.value = "[Ada] likes {tea & milk} ."
    study.work.wait()
    study.export.add.click()
    study.list.rows.index = 1
    study.work.wait()
    study.export.add.click()
    for name in ("LaTeX", "Markdown", "CSV"):
        study.export.buttons[name].click()
        assert "Error" not in study.export.message.value
    assert (tmp_path / "cases.tex").read_text() == "mine" and "cases.csv" in study.export.message.value
    written = (tmp_path / "cases-2.tex").read_text()
    assert r"\uwave{tea \& milk}" in written and "2 cases written to" in study.export.message.value
    edited = pd.read_csv(tmp_path / "cases.csv")
    assert edited["example_id"].iloc[0].endswith("(edited)") and edited["case"].nunique() == 2
    assert study.export.text.value == (tmp_path / "cases.csv").read_text()
    study.export.remove.click()
    assert [c.marked() for c in study.export.cases] == ["[Ada] likes {tea & milk} ."]
    with pytest.raises(KAdapterError, match="cannot be written"):
        exports.write("x", tmp_path / "no such folder", "cases", "tex")


# --- where nobody can click ---


def test_the_static_picture_says_what_the_widget_says_and_follows_it(study, monkeypatch):
    bundle = study._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    assert bundle["text/plain"] == "CaseStudy of 30 cases: backbone, F+L"
    for name in ("backbone", "F+L"):
        best = LABELS[int(study.shown.case.logits[name].argmax())]
        assert re.search(rf"<caption>{re.escape(name)} .*?{best}</td>", bundle["text/html"])
    assert "<svg" in bundle["text/html"] and "What" not in bundle["text/plain"]
    shown, updated = [], []
    monkeypatch.setattr("widgets.static_view.display", lambda data, **more: shown.append((data, more)))
    monkeypatch.setattr("widgets.static_view.update_display", lambda data, **more: updated.append((data, more)))
    study._ipython_display_()
    (view, _), (still, more) = shown
    assert set(view) == {"text/plain", "application/vnd.jupyter.widget-view+json"} and "<table" in still["text/html"]
    study.live.k.value = 1
    assert updated[-1][1]["display_id"] == more["display_id"]
    assert updated[-1][0]["text/html"].count("<tr") < still["text/html"].count("<tr")
    hidden = re.search(r'class="(kadapter-still-\w+)"', still["text/html"]).group(1)
    assert f".{hidden} {{ display: none; }}" in study.children[-1].value


# --- why, and where cases lie ---


def test_why_explains_what_is_shown_and_forgets_it_with_the_next_edit(study, models, tokenizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert study.tabs.titles == ("Answers", "Why", "Representations") and study.insights.why.explanation is None
    study.live.sentence.value = "[Ada] likes {tea} ."
    study.live.toggles["F+L", "L"].value = False
    study.work.wait()
    study.insights.why.label.value = "knows"
    study.insights.why.start.click()
    study.work.wait()
    found = study.insights.why.explanation
    wanted = attribute(models["F+L"], tokenizer, "[Ada] likes {tea} .", "knows")
    np.testing.assert_allclose(found.tokens["F+L"].scores, wanted.scores, atol=1e-5)
    moves = knockouts(models["F+L"], tokenizer, "[Ada] likes {tea} .")
    assert found.layers == {("F+L", a, p): pytest.approx(move[1], abs=1e-5) for (a, p), move in moves.items()}
    assert {adapter for _, adapter, _ in found.layers} == {"F"}
    shown = study.picture()
    assert "What each token adds to the logit of <b>knows</b>" in shown and "F+L, L unplugged" in shown
    assert "decides most" in shown and "F in F+L, hidden state 2" in shown
    assert shown.count("<svg") > study.answers.picture().count("<svg")  # attention is drawn, too
    study.insights.why.latex.click()
    written = (tmp_path / "why.tex").read_text()
    assert r"\colorbox[RGB]{" in written and r"\emph{knows}" in written and "F+L, L unplugged" in written
    assert "hidden state 2" in written and study.export.text.value == written
    study.live.sentence.value = "[Ada] hates {tea} ."
    assert study.insights.why.explanation is None and "decides most" not in study.picture()  # at once
    study.work.wait()
    study.live.sentence.value = "[Ada hates {tea} ."
    study.work.wait()
    study.insights.why.start.click()
    assert "no answers to explain" in study.insights.why._said.value


def test_filtered_cases_are_drawn_before_and_after_an_adapter(study):
    study.list.query.value = "words > 5"
    study.work.wait()
    assert 3 < len(study.list.found) < 30
    study.insights.map.start.click()
    study.work.wait()
    figure = study.insights.map._picture.figure
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["backbone's last state", "output of F in F+L", "output of L in F+L"]
    of_first = [trace for trace in figure.data if trace.xaxis == "x"]
    assert sum(len(trace.x) for trace in of_first) == len(study.list.found)
    assert {trace.name for trace in of_first} == {t for i in study.list.found.tolist() for t in study.cases[i].true}
    assert (
        "Representations" in study.picture() and f"{len(study.list.found)} cases; PCA" in study.insights.map._said.value
    )
    study.list.query.value = "words > 900"
    assert study.insights.map._picture.figure is None  # it was of other cases
    study.insights.map.start.click()
    study.work.wait()
    assert "0 cases are too few" in study.insights.map._said.value


def test_the_metrics_of_the_filter_are_shown_and_a_bad_query_is_one_sentence(study):
    whole = study.list._scores.value
    study.list.kind.value = "all"
    study.list.query.value = "words > 4 and not backbone"
    wanted = study.cases.scores(study.list.found)
    assert f"Metrics of these {len(study.list.found)} cases" in study.list._scores.value != whole
    assert f"<td>{100 * wanted.loc['F+L', 'f1']:.1f}</td>" in study.list._scores.value
    before = study.list.found
    study.list.query.value = "wrds > 4"
    assert "cannot be asked" in study.list._message.value and "`F+L`" in study.list._message.value
    assert study.list.found is before
    study.list.query.value = ""
    assert "Error" not in study.list._message.value
    study.work.wait()
