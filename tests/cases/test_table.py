"""The table of cases: queries choose what a loop chooses, scores of a choice are the metric's on it alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from kadapter import catalog
from kadapter.cases.table import CaseTable, decide
from kadapter.errors import KAdapterError

LABELS = ["a", "b", "c"]


def made(task="relation", n=90):
    random = np.random.default_rng(1)
    true = random.integers(3, size=n)
    frame = pd.DataFrame(
        {
            "example_id": [str(i) for i in range(n)],
            "text": [f"{'Ada' if i % 3 else 'Bob'} met" + " and met" * (i % 5) + " Coxon ." for i in range(n)],
            "mentions": [[[0, 3, "subject"], [8 + 8 * (i % 5), 13 + 8 * (i % 5), "object"]] for i in range(n)],
            "true": [[LABELS[t]] for t in true],
        }
    )
    found = random.normal(size=(3, n, 3)).astype(np.float32)
    found[1, np.arange(n), true] += 1.5
    return CaseTable(catalog.task(task, labels=LABELS), ["backbone", "F", "F+L"], frame, found), true


def test_the_columns_are_those_of_the_facts():
    cases, _ = made()
    assert cases.columns().replace("`", "").split(", ") == cases.facts.columns.tolist()


def test_a_query_chooses_what_a_loop_chooses():
    cases, true = made()
    answers = cases.logits.argmax(-1)
    words = np.array([len(text.split()) for text in cases.frame["text"]])
    bob = np.array([text.startswith("Bob") for text in cases.frame["text"]])
    right = answers == true
    for expression, wanted in {
        "words > 6": words > 6,
        "F and not backbone": right[1] & ~right[0],
        "`F+L` or subject == 'Bob'": right[2] | bob,
        "label == 'a' and answer_F == 'b'": (true == 0) & (answers[1] == 1),
        "margin_F < 0 and `margin_F+L` > 0": (cases.margins[1] < 0) & (cases.margins[2] > 0),
        "text.str.contains('Ada') and object == 'Coxon' and labels == 1": ~bob,
    }.items():
        np.testing.assert_array_equal(cases.query(expression), wanted)
        chosen = cases.select("all", "F", query=expression, sort="order")
        np.testing.assert_array_equal(chosen, np.flatnonzero(wanted))
        assert 0 < len(chosen) < len(cases)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("word > 3", "cannot be asked: .*word.*; the columns are text, words, subject, .*`F\\+L`"),
        ("words >", "cannot be asked"),
        ("words + 1", "neither true nor false"),
        ("@cases", "over text, words"),
        ("text.__class__ == 1", "over text, words"),
    ],
)
def test_a_query_that_cannot_be_asked_is_one_sentence(expression, message):
    with pytest.raises(KAdapterError, match=message) as raised:
        made()[0].query(expression)
    assert "\n" not in str(raised.value)


def test_scores_are_those_of_the_chosen_cases_alone():
    cases, true = made()
    chosen = cases.select("all", "F", query="words < 7", sort="order")
    answers = cases.logits.argmax(-1)
    found = cases.scores(chosen)
    assert found.index.tolist() == cases.models
    for at, name in enumerate(cases.models):
        assert found.loc[name, "f1"] == pytest.approx(f1_score(true[chosen], answers[at][chosen], average="micro"))
    assert cases.scores().loc["F", "f1"] == pytest.approx(np.mean(answers[1] == true))
    with pytest.raises(KAdapterError, match="no case is chosen"):
        cases.scores([])


def test_scores_of_several_labels_at_a_time():
    cases, true = made("typing")
    found = cases.scores()
    truth = np.eye(3, dtype=int)[true]
    for at, name in enumerate(cases.models):
        wanted = f1_score(truth, cases.logits[at] > 0, average="micro")
        assert found.loc[name, "f1"] == pytest.approx(wanted)


def test_decisions_are_the_tasks():
    logits = np.array([[-1.0, 2.0, 1.0], [-3.0, -2.0, -1.0]])
    assert decide(catalog.task("relation", labels=LABELS), logits).tolist() == [[0, 1, 0], [0, 0, 1]]
    assert decide(catalog.task("typing", labels=LABELS), logits).tolist() == [[0, 1, 1], [0, 0, 0]]
    assert decide(catalog.task("typing", labels=LABELS, scorer="figer"), logits).tolist() == [[0, 1, 1], [0, 0, 1]]
