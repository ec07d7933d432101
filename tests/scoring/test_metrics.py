"""Each metric against values computed by hand, against scikit-learn where it has the same one, and its laws."""

import json
import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from kadapter.errors import KAdapterError
from kadapter.scoring import metrics, squad

SEMEVAL = ["Other", "Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "Entity-Origin(e1,e2)", "Entity-Origin(e2,e1)"]


def test_accuracy_by_hand():
    assert metrics.get("accuracy")([0, 1, 2, 3], [0, 1, 3, 3]) == {"accuracy": 0.75}


def test_micro_f1_without_the_negative_label_by_hand():
    # gold without 0: five; predicted without 0: four; right among them: three (1, 2, 1); the right 0 is left out
    gold, predicted = [1, 2, 1, 3, 0, 2, 0], [1, 2, 1, 0, 0, 3, 0]
    scores = metrics.get("micro_f1", negative=0)(predicted, gold)
    assert scores == pytest.approx({"precision": 3 / 4, "recall": 3 / 5, "f1": 2 / 3})


def test_micro_f1_without_a_negative_label_is_accuracy():
    gold, predicted = [1, 2, 1, 3, 0, 2, 0], [1, 2, 1, 0, 0, 3, 0]
    assert metrics.get("micro_f1")(predicted, gold) == pytest.approx({k: 5 / 7 for k in ("precision", "recall", "f1")})


def test_multilabel_by_hand():
    gold = [[1, 1, 0], [0, 1, 0], [0, 0, 1]]  # four gold labels
    predicted = [[1, 0, 0], [1, 1, 1], [0, 0, 0]]  # four predicted, two of them right
    scores = metrics.get("multilabel")(predicted, gold)
    assert scores == pytest.approx({"precision": 0.5, "recall": 0.5, "f1": 0.5})


def test_figer_by_hand():
    gold = [[1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 1, 1]]
    predicted = [[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]]
    # exact: the first of three. Precisions 2/2, 1/2, 0/1; recalls 2/2, 1/1, 0/3. In all 3 right, 5 predicted, 6 gold.
    assert metrics.get("figer")(predicted, gold) == pytest.approx(
        {
            "accuracy": 1 / 3,
            "macro_precision": 1.5 / 3,
            "macro_recall": 2 / 3,
            "macro_f1": 2 * 0.5 * (2 / 3) / (0.5 + 2 / 3),
            "micro_precision": 3 / 5,
            "micro_recall": 3 / 6,
            "micro_f1": 6 / 11,
        }
    )


def test_figer_means_leave_out_empty_sets():
    scores = metrics.get("figer")([[1, 0], [0, 0], [1, 0]], [[1, 0], [1, 1], [0, 0]])
    assert scores["accuracy"] == pytest.approx(1 / 3)
    assert scores["macro_precision"] == pytest.approx((1 + 0) / 2)  # the first and the third have a prediction
    assert scores["macro_recall"] == pytest.approx((1 + 0) / 2)  # the first and the second have a gold type


def test_uas_by_hand():
    predicted = [[0, 1, 2], [5, 5, 5, 5]]
    gold = [[0, 3, 2], [5, -100, -100, 1]]
    assert metrics.get("uas")(predicted, gold) == {"uas": 3 / 5}


def test_semeval_by_hand():
    ce12, ce21, eo12, eo21, other = 1, 2, 3, 4, 0
    gold = [ce12, ce12, ce21, eo12, eo12, other, other]
    predicted = [ce12, ce21, ce21, eo12, other, eo21, other]
    # Cause-Effect: 3 gold, 3 predicted, 2 right (one in the wrong direction): F1 2/3.
    # Entity-Origin: 2 gold, 2 predicted (one of an Other), 1 right: F1 1/2.
    scores = metrics.get("semeval", labels=SEMEVAL)(predicted, gold)
    assert scores == pytest.approx({"precision": (2 / 3 + 1 / 2) / 2, "recall": (2 / 3 + 1 / 2) / 2, "f1": 7 / 12})


def test_semeval_averages_over_the_relations_of_the_answer_key():
    scores = metrics.get("semeval", labels=SEMEVAL)([1, 3, 0], [1, 1, 0])
    assert scores == pytest.approx({"precision": 1.0, "recall": 0.5, "f1": 2 / 3})


def test_squad_normalisation():
    assert squad.normalize_answer(" The  U.S.A., an Idea! ") == "usa idea"
    assert squad.exact_match("the Eiffel-Tower", "Eiffel Tower") == 0.0
    assert squad.exact_match("The Eiffel tower.", "eiffel  Tower") == 1.0


@pytest.mark.parametrize(
    "prediction, answer, expected",
    [
        ("a blue cat", "the blue blue dog", 2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3)),
        ("red", "blue", 0.0),
        ("", "blue", 0.0),
        ("the", "a", 0.0),  # nothing left on either side: evaluate-v1.1.py's num_same == 0 comes first
        ("", "", 0.0),
        ("The.", "the", 0.0),
    ],
)
def test_squad_f1_by_hand(prediction, answer, expected):
    assert squad.f1(prediction, answer) == pytest.approx(expected)


def test_nothing_left_on_either_side_is_an_exact_match_without_f1():
    """By hand from evaluate-v1.1.py: "The" and "a!" both become ""; exact_match_score 1, f1_score 0."""
    assert metrics.get("squad")(["The", "Rome"], [["a!"], ["Rome"]]) == {"exact_match": 1.0, "f1": 0.5}


def test_squad_takes_the_best_gold_answer():
    scores = metrics.get("squad")(["Paris", "blue cat", "x"], [["London", "paris!"], ["a cat", "cat blue sky"], []])
    assert scores == pytest.approx({"exact_match": 1 / 3, "f1": (1 + 0.8 + 0) / 3})


def _labels(n: int, labels: int):
    return st.lists(st.integers(0, labels - 1), min_size=n, max_size=n)


def _sets(n: int):
    row = st.lists(st.integers(0, 1), min_size=4, max_size=4)
    return st.lists(row, min_size=n, max_size=n)


def _heads(n: int):
    row = st.lists(st.integers(0, 3), min_size=5, max_size=5)
    return st.lists(row, min_size=n, max_size=n)


def _arcs(n: int):
    row = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=5, max_size=5)
    return st.lists(row, min_size=n, max_size=n)


def _texts(n: int):
    text = st.lists(st.sampled_from(["the", "cat", "Cat.", "blue", "1984", ""]), max_size=4).map(" ".join)
    return st.lists(text, min_size=n, max_size=n)


def _ranks(n: int):
    row = st.tuples(st.sampled_from([1.0, 2.0, 10.0, 11.0, math.inf]), st.floats(-9, 0), st.integers(1, 3).map(float))
    return st.lists(row, min_size=n, max_size=n)


def _said(n: int):
    row = st.tuples(st.floats(-9, 0), st.integers(1, 3).map(float))
    return st.lists(row, min_size=n, max_size=n)


EVERY = {  # metric -> (options, strategy of n predictions, what makes references of such)
    "accuracy": ({}, lambda n: _labels(n, 4), list),
    "episodic_accuracy": ({}, lambda n: _labels(n, 4), lambda labels: [[k, i] for i, k in enumerate(labels)]),
    "micro_f1": ({"negative": 0}, lambda n: _labels(n, 4), list),
    "multilabel": ({}, _sets, list),
    "figer": ({}, _sets, list),
    "uas": ({}, _heads, list),
    "las": ({}, _arcs, list),
    "semeval": ({"labels": SEMEVAL}, lambda n: _labels(n, 5), list),
    "squad": ({}, _texts, lambda texts: [[text] for text in texts]),
    "cloze": ({"relations": 3}, _ranks, lambda ranks: [i % 4 - 1 for i in range(len(ranks))]),
    "perplexity": ({}, _said, list),
    "pieces": ({}, _ranks, list),
}


def test_every_metric_is_in_the_property_tests():
    assert set(EVERY) == set(metrics.METRICS)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_laws(name, data):
    options, strategy, as_references = EVERY[name]
    metric = metrics.get(name, **options)
    n = data.draw(st.integers(1, 8))
    predictions, gold = data.draw(strategy(n)), data.draw(strategy(n))
    references = as_references(gold)
    counts = metric.per_example(predictions, references)
    scores = metric(predictions, references)

    assert counts.dtype == np.float64 and counts.shape[0] == n and counts.ndim == 2
    assert metric.primary in scores and all(
        0.0 <= value <= (1.0 if metric.share else np.inf) for value in scores.values()
    )

    order = data.draw(st.permutations(range(n)))
    shuffled = metric([predictions[i] for i in order], [references[i] for i in order])
    assert shuffled == pytest.approx(scores)

    cut = data.draw(st.integers(0, n))  # parts add up to the whole
    first = metric.per_example(predictions[:cut], references[:cut]).reshape(-1, counts.shape[1])
    second = metric.per_example(predictions[cut:], references[cut:]).reshape(-1, counts.shape[1])
    np.testing.assert_allclose(first.sum(axis=0) + second.sum(axis=0), counts.sum(axis=0))

    stacked = metric.reduce(np.stack([counts.sum(axis=0)] * 6).reshape(2, 3, -1))
    assert all(value.shape == (2, 3) for value in stacked.values())
    assert {key: value[1, 2] for key, value in stacked.items()} == pytest.approx(scores)

    perfect = metric(gold, references)
    scorable = {"cloze": False, "perplexity": False, "pieces": False}  # right by themselves, whatever the reference
    scorable |= {"micro_f1": any(gold), "semeval": any(gold), "multilabel": np.any(gold), "figer": np.any(gold)}
    if name == "squad":  # an answer of which normalisation leaves nothing has no F1 in v1.1
        worded = np.mean([bool(squad.normalize_answer(answer)) for answer in gold])
        assert perfect == pytest.approx({"exact_match": 1.0, "f1": worded})
    elif scorable.get(name, True):
        assert perfect == pytest.approx(dict.fromkeys(perfect, 1.0))


def test_cloze_by_hand():
    """Two relations of three: one with ranks 1, 2 and 11, one with rank 10; two plain texts of 2 and 3 tokens."""
    ranks = [[1, -0.5, 1], [2, -1, 1], [11, -2, 2], [10, -1, 1], [math.inf, math.log(0.25), 2], [7, math.log(0.125), 3]]
    metric = metrics.get("cloze", relations=3)
    references = [0, 0, 0, 2, -1, -1]
    assert metric(ranks, references) == pytest.approx(
        {
            "p1": (1 / 3 + 0) / 2,
            "p10": (2 / 3 + 1) / 2,
            "mrr": ((1 + 1 / 2 + 1 / 11) / 3 + 1 / 10) / 2,
            "text": (0.25 * 0.125) ** (1 / 5),
        }
    )
    rows = metric.by_relation(metric.per_example(ranks, references).sum(axis=0))
    assert rows[:, 0].tolist() == [3, 0, 1] and rows[2].tolist() == [1, 0, 1, 0.1]
    assert metric([[1, 0, 1]], [1]) == {"p1": 1, "p10": 1, "mrr": 1, "text": 0}


def test_pieces_by_hand():
    """Two mentions: one of 2 pieces with the probabilities 1/2 and 1/8, both first; one of 1 with 1/4, third."""
    found = metrics.get("pieces")([[1, math.log(1 / 16), 2], [3, math.log(1 / 4), 1]], None)
    assert found == pytest.approx({"probability": 1 / 4, "p1": 0.5})


def test_perplexity_by_hand():
    """Two texts, of 2 tokens with the probabilities 1/2 and 1/8, and of 1 with 1/4."""
    assert metrics.get("perplexity")([[math.log(1 / 16), 2], [math.log(1 / 4), 1]], None) == pytest.approx(
        {"perplexity": 4.0}
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20).flatmap(lambda n: st.tuples(_labels(n, 5), _labels(n, 5))))
def test_micro_f1_equals_scikit_learn(both):
    gold, predicted = both
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(
        gold, predicted, labels=[1, 2, 3, 4], average="micro", zero_division=0
    )
    scores = metrics.get("micro_f1", negative=0)(predicted, gold)
    assert scores == pytest.approx({"precision": precision, "recall": recall, "f1": f1})


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20).flatmap(lambda n: st.tuples(_sets(n), _sets(n))))
def test_multilabel_and_figer_equal_scikit_learn(both):
    gold, predicted = map(np.array, both)
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(
        gold, predicted, average="micro", zero_division=0
    )
    assert metrics.get("multilabel")(predicted, gold) == pytest.approx(
        {"precision": precision, "recall": recall, "f1": f1}
    )
    figer = metrics.get("figer")(predicted, gold)
    assert figer["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(gold, predicted))
    assert figer["micro_f1"] == pytest.approx(f1)
    full = (gold.sum(1) > 0) & (predicted.sum(1) > 0)
    if full.all():  # then "samples" averages over the same mentions
        precision, recall, _, _ = sklearn.metrics.precision_recall_fscore_support(
            gold, predicted, average="samples", zero_division=0
        )
        assert (figer["macro_precision"], figer["macro_recall"]) == pytest.approx((precision, recall))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30).flatmap(lambda n: st.tuples(_labels(n, 5), _labels(n, 5))))
def test_semeval_equals_scikit_learn_per_relation(both):
    """Independent route: scikit-learn's F1 of each relation, a wrong direction turned into a prediction of its own."""
    gold, predicted = both
    relation = [SEMEVAL[label].split("(")[0] for label in range(5)]
    f1 = []
    for name in ("Cause-Effect", "Entity-Origin"):
        if not any(relation[label] == name for label in gold):
            continue
        right = sum(g == p and relation[g] == name for g, p in zip(gold, predicted, strict=True))
        spoilt = [relation[p] == name for p in predicted]
        hits = [relation[g] == name and g == p for g, p in zip(gold, predicted, strict=True)]
        precision = (
            sklearn.metrics.precision_score(
                [h or not s for h, s in zip(hits, spoilt, strict=True)], spoilt, zero_division=0
            )
            if any(spoilt)
            else 0.0
        )
        recall = right / sum(relation[g] == name for g in gold)
        f1.append(2 * precision * recall / (precision + recall) if right else 0.0)
    assert metrics.get("semeval", labels=SEMEVAL)(predicted, gold)["f1"] == pytest.approx(np.mean(f1) if f1 else 0.0)


@pytest.mark.parametrize("name", EVERY)
def test_a_metric_is_made_again_from_its_name_and_options(name):
    metric = metrics.get(name, **EVERY[name][0])
    options = json.loads(json.dumps(metric.options))
    assert metrics.get(metric.name, **options) == metric and metric.title


@pytest.mark.parametrize("name", EVERY)
def test_nothing_to_score_is_zero(name):
    scores = metrics.get(name, **EVERY[name][0])([], [])
    assert scores and set(scores.values()) == {0.0}


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: metrics.get("acuracy"), "unknown metric 'acuracy': did you mean 'accuracy'"),
        (lambda: metrics.get("micro_f1", negtive=0), "unknown option of metric micro_f1 'negtive': did you mean"),
        (lambda: metrics.get("semeval"), "metric semeval needs the option labels"),
        (lambda: metrics.get("semeval", labels=["A(e1,e2)"]), "semeval: labels have no 'Other'"),
        (lambda: metrics.get("accuracy")([1, 2], [1]), r"predictions have shape \(2,\) and references \(1,\)"),
        (lambda: metrics.get("multilabel")([[0.7, 1]], [[0, 1]]), "multilabel: predictions hold 0.7; expected 0 or 1"),
        (lambda: metrics.get("squad")(["x"], []), "squad: 1 predictions for 0 references"),
        (lambda: metrics.get("uas")([[1, 2]], [[1]]), "uas: sentence 0 has 2 predicted heads for 1 words"),
    ],
)
def test_errors_say_what_and_where(make, message):
    with pytest.raises(KAdapterError, match=message):
        make()
