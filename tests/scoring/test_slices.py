"""Every example stands in the right part of a test set, and labels are scored as scikit-learn scores them."""

import json

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from kadapter.errors import KAdapterError
from kadapter.formats.schemas import CHOICE, DEPENDENCY, OPENQA, PROBE, RELATION, TYPING
from kadapter.report import labels
from kadapter.scoring import metrics, slices


def typing(*rows) -> Dataset:
    """Rows of (text, mention, labels)."""
    columns = [
        {"id": str(i), "text": text, "start": text.index(mention), "end": text.index(mention) + len(mention)}
        | {"labels": list(types), "ents": []}
        for i, (text, mention, types) in enumerate(rows)
    ]
    return Dataset.from_list(columns, features=TYPING)


def relation(*rows) -> Dataset:
    """Rows of (text, subject, object, label)."""
    columns = []
    for i, (text, subject, obj, label) in enumerate(rows):
        spans = {"subj_start": text.index(subject), "subj_end": text.index(subject) + len(subject)}
        spans |= {"obj_start": text.index(obj), "obj_end": text.index(obj) + len(obj)}
        named = dict.fromkeys(("subj_id", "obj_id", "subj_type", "obj_type"), "")
        columns.append({"id": str(i), "text": text, "label": label, "tokens": [], **spans, **named})
    return Dataset.from_list(columns, features=RELATION)


def test_typing_by_hand():
    train = typing(("Ada  Byron wrote .", "Ada  Byron", "pw"), *[("It rained .", "It", "p")] * 9)
    test = typing(
        ("Then ada byron came .", "ada byron", "w"),  # another case, other white space; w is on 1 training example
        ("Ada came to the small town on the river Bray .", "Ada", "p"),  # part of a mention is not the mention; p: 10
        ("and " * 38 + "Bob left .", "Bob", "pw"),  # 41 words; the rarest is w
        ("and " * 37 + "Bob left .", "Bob", ""),  # 40 words; no label
        ("It .", "It", "x"),  # a label that training has not
    )
    frame = slices.attributes(test, train)
    seen, unseen = slices.ENTITY
    assert frame["entity"].tolist() == [seen, unseen, unseen, unseen, seen]
    assert frame["words"].tolist() == ["0–10", "11–20", "41–80", "21–40", "0–10"]
    assert frame["label frequency"].tolist() == ["0–9", "10–99", "0–9", "", "0–9"]
    assert list(frame) == ["entity", "words", "label frequency"]


def test_relation_by_hand():
    train = relation(("Ada met Bob .", "Ada", "Bob", "met"), *[("Cy saw Di .", "Cy", "Di", "no_relation")] * 1000)
    test = relation(
        ("Bob met Ada .", "Bob", "Ada", "met"),  # roles do not matter
        ("Di met Eve .", "Di", "Eve", "no_relation"),
        ("Eve met Di .", "Eve", "Di", "met"),
        ("Eve met Flo .", "Eve", "Flo", "met"),
    )
    frame = slices.attributes(test, train, negative="no_relation")
    assert frame["entity"].tolist() == list(slices.PAIR)
    assert frame["label frequency"].tolist() == ["0–9", "", "0–9", "0–9"]  # what does not count has no slice
    assert slices.attributes(test, train)["label frequency"][1] == "1000 and more"


def test_questions_by_hand():
    def choices(*rows):
        columns = [
            {"id": str(i), "context": "one two three", "question": "?", "answers": list(answers), "label": label}
            for i, (answers, label) in enumerate(rows)
        ]
        return Dataset.from_list(columns, features=CHOICE)

    frame = slices.attributes(choices(("xy", 1), ("xy", 0), ("yz", -1)), choices(("xy", 1), ("xz", -1)))
    seen, unseen = slices.ENTITY
    assert frame["answer"].tolist() == [seen, unseen, unseen] and frame["words"].tolist() == ["0–10"] * 3
    assert list(frame) == ["answer", "words"]

    def questions(*rows):
        columns = [
            {"id": str(i), "question": question, "answers": list(answers), "paragraphs": ["long " * 90]}
            for i, (question, answers) in enumerate(rows)
        ]
        return Dataset.from_list(columns, features=OPENQA)

    frame = slices.attributes(
        questions(("who " * 11, ["Rome", "the ETERNAL city"]), ("who", ["Oslo"])),
        questions(("?", ["The eternal City"])),
    )
    assert frame["answer"].tolist() == [seen, unseen] and frame["words"].tolist() == ["11–20", "0–10"]


def test_trees_have_a_length_alone():
    row = {"id": "0", "words": ["a"] * 81, "heads": [0] * 81, "deprels": ["root"] * 81, "upos": ["X"] * 81}
    trees = Dataset.from_list([row], features=DEPENDENCY)
    assert slices.attributes(trees, trees).to_dict("list") == {"words": ["81 and more"]}


def test_of_selected_rows_the_selection_counts():
    whole = typing(("Ada sat .", "Ada", "a"), ("Bob sat .", "Bob", "b"))
    frame = slices.attributes(whole, whole.select([1]))
    assert frame["entity"].tolist() == list(slices.ENTITY)[::-1]


NAMES = st.sampled_from(["Ada", "Bob", "Cy Dee", "cy  dee", "Eve"])
EXAMPLES = st.lists(st.tuples(NAMES, st.sets(st.sampled_from("pqr")), st.integers(0, 90)), min_size=1, max_size=12)


@settings(max_examples=30, deadline=None)
@given(EXAMPLES, EXAMPLES, st.randoms(use_true_random=False))
def test_slices_partition_and_order_does_not_matter(train, test, random):
    def made(rows):
        return typing(*((f"{name} {'x ' * more}", name, sorted(types)) for name, types, more in rows))

    frame = slices.attributes(made(test), made(train))
    masks = slices.masks(frame)
    for kind in ("entity", "words"):
        assert sum(mask for (of, _), mask in masks.items() if of == kind).tolist() == [1] * len(test)
    labelled = sum((mask for (of, _), mask in masks.items() if of == "label frequency"), np.zeros(len(test), int))
    assert labelled.tolist() == [int(bool(types)) for _, types, _ in test]
    metric, counts = metrics.get("multilabel"), np.random.default_rng(0).random((1, len(test), 3))
    total = sum(counts[:, mask].sum(axis=1) for (of, _), mask in masks.items() if of == "words")
    assert metric.reduce(total)["f1"] == pytest.approx(metric.reduce(counts.sum(axis=1))["f1"])
    order = random.sample(range(len(test)), len(test))
    moved = slices.attributes(made([test[i] for i in order]), made(random.sample(train, len(train))))
    pd.testing.assert_frame_equal(moved, frame.iloc[order].reset_index(drop=True))


def test_a_saved_file_is_read_again_and_a_wrong_one_is_named(tmp_path):
    assert slices.read(tmp_path, 2) is None
    frame = slices.attributes(typing(("Ada .", "Ada", ""), ("Bo .", "Bo", "p")), typing(("Ada .", "Ada", "p")))
    frame.to_parquet(tmp_path / slices.FILE)
    pd.testing.assert_frame_equal(slices.read(tmp_path, 2), frame)
    with pytest.raises(KAdapterError, match=r"slices\.parquet has 2 rows for 3 test examples"):
        slices.read(tmp_path, 3)
    (tmp_path / slices.FILE).write_bytes(b"no table")
    with pytest.raises(KAdapterError, match=r"slices\.parquet is damaged"):
        slices.read(tmp_path, 2)


def write_predictions(folder, task: str, options: dict, references, logits: np.ndarray) -> None:
    """What `Finetuning.finish` leaves: logits (seeds, n, labels)."""
    frames = [
        pd.DataFrame({"seed": seed, "reference": [json.dumps(r) for r in references], "logits": list(part)})
        for seed, part in enumerate(logits.astype(np.float32))
    ]
    pd.concat(frames, ignore_index=True).to_parquet(folder / "predictions.parquet")
    (folder / "task.json").write_text(json.dumps({"name": task, "options": options}))


def test_labels_by_hand(tmp_path):
    """Two seeds, three examples. Seed 0 decides p, p, q; seed 1 decides p, q, q; right are p, q, q. r is never seen."""
    logits = np.array([[[1, 0, 0], [1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 0], [0, 1, 0]]])
    write_predictions(tmp_path, "relation", {"labels": ["p", "q", "r"]}, [0, 1, 1], logits)
    frame = labels.scores(tmp_path).set_index("label")
    assert frame.index.tolist() == ["p", "q"] and frame["n"].tolist() == [1, 2]
    assert frame.loc["p", ["precision", "recall", "f1"]].tolist() == pytest.approx([0.75, 1.0, (2 / 3 + 1) / 2])
    assert frame.loc["q", ["precision", "recall", "f1"]].tolist() == pytest.approx([1.0, 0.75, (2 / 3 + 1) / 2])
    assert frame["std"].tolist() == pytest.approx([np.std([2 / 3, 1], ddof=1)] * 2)


@pytest.mark.parametrize("scorer", ["multilabel", "figer"])
def test_labels_of_sets_are_those_of_scikit_learn(tmp_path, scorer):
    rng = np.random.default_rng(0)
    gold, logits = rng.integers(0, 2, (40, 4)), rng.normal(-0.7, 1, (2, 40, 4)).astype(np.float32)
    options = {"labels": list("pqrs"), "scorer": scorer}
    write_predictions(tmp_path, "typing", options, gold.tolist(), logits)
    frame = labels.scores(tmp_path)
    expected = []
    for part in logits:
        decided = part > 0
        if scorer == "figer":
            decided |= part == part.max(axis=1, keepdims=True)
        expected.append(precision_recall_fscore_support(gold, decided, zero_division=0.0))
    for place, column in enumerate(("precision", "recall", "f1")):
        assert frame[column].tolist() == pytest.approx(np.mean([seed[place] for seed in expected], axis=0))
    assert frame["n"].tolist() == gold.sum(axis=0).tolist()
    order = rng.permutation(40)
    write_predictions(tmp_path, "typing", options, gold[order].tolist(), logits[:, order])
    pd.testing.assert_frame_equal(labels.scores(tmp_path), frame)


def test_tasks_without_labels_have_no_scores_of_labels(tmp_path):
    assert labels.scores(tmp_path) is None
    write_predictions(tmp_path, "dependency", {}, [[2, 0]], np.zeros((1, 1, 2)))
    assert labels.scores(tmp_path) is None


def test_damaged_predictions_are_named(tmp_path):
    write_predictions(tmp_path, "relation", {"labels": ["p", "q"]}, [0, 1], np.zeros((1, 2, 2)))
    (tmp_path / "predictions.parquet").write_bytes(b"no table")
    with pytest.raises(KAdapterError, match="has damaged predictions"):
        labels.scores(tmp_path)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(2, 6), st.integers(0, 2**16))
def test_counts_of_labels_add_up(tmp_path_factory, n, width, seed):
    folder, rng = tmp_path_factory.mktemp("run"), np.random.default_rng(seed)
    gold, logits = rng.integers(0, width, n), rng.normal(size=(2, n, width))
    write_predictions(folder, "relation", {"labels": [str(i) for i in range(width)]}, gold.tolist(), logits)
    frame = labels.scores(folder)
    assert frame["n"].sum() == n
    right = np.mean(logits.argmax(-1) == gold)
    assert (frame["recall"] * frame["n"]).sum() / n == pytest.approx(right)  # recall weighted by n is the accuracy


def test_what_stands_in_the_knowledge_text():
    """Pairs in either order; surfaces without regard to case; a probe's sentences count as examples do."""
    pairs = [("Ada", "London"), ("Rome", "Ada"), ("Ada", "Oslo"), ("Ada", "Paris"), ("Xu", "Oslo Fjord")]
    test = Dataset.from_list([_relation(a, b) for a, b in pairs], features=RELATION)
    text = Dataset.from_list([_relation("London", "ada"), _relation("Oslo", "Paris")], features=RELATION)
    sentences = [{"text": "Ada saw [MASK] .", "subject": "Ada", "object": "Rome"}]
    blank = dict.fromkeys(("id", "relation", "subject", "object", "subj_id", "obj_id"), "")
    probe = Dataset.from_list([blank | {"sentences": sentences}], features=PROBE)
    found = slices.attributes(test, test, knowledge=[text, probe])["knowledge"]
    together, apart, _, neither = slices.KNOWN_PAIR
    assert found.tolist() == [together, together, apart, apart, neither]
    assert list(slices.masks(found.to_frame())) == [("knowledge", name) for name in (together, apart, neither)]
    assert "knowledge" not in slices.attributes(test, test)
    single = slices.attributes(_typing("ADA", "Bo"), _typing("Bo"), knowledge=[text])["knowledge"]
    assert single.tolist() == list(slices.KNOWN)


def _relation(subject, object):
    text = f"{subject} met {object}"
    spans = {"subj_start": 0, "subj_end": len(subject), "obj_start": len(text) - len(object), "obj_end": len(text)}
    named = dict.fromkeys(("id", "label", "subj_id", "obj_id", "subj_type", "obj_type"), "")
    return named | spans | {"text": text, "tokens": text.split()}


def _typing(*mentions):
    rows = [{"id": "", "text": m, "start": 0, "end": len(m), "labels": ["x"], "ents": []} for m in mentions]
    return Dataset.from_list(rows, features=TYPING)
