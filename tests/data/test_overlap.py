"""What knowledge and tests share: counted on both sides, removed from the knowledge alone."""

from collections.abc import Sequence

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from kadapter.data import overlap
from kadapter.errors import KAdapterError
from kadapter.formats.schemas import CHOICE, DEPENDENCY, PROBE, RELATION, TYPING


def relations(*rows: Sequence[str]) -> Dataset:
    """Rows of (subject, verb, object, label[, subject id, object id]); the text is the first three and a stop."""
    made = []
    for number, (subject, verb, object, label, *ids) in enumerate(rows):
        start = len(subject) + len(verb) + 2
        spans = {"subj_start": 0, "subj_end": len(subject), "obj_start": start, "obj_end": start + len(object)}
        subj_id, obj_id = ids or ("", "")
        text = f"{subject} {verb} {object} ."
        more = {"id": str(number), "text": text, "label": label, "subj_id": subj_id, "obj_id": obj_id}
        made.append(more | spans | {"subj_type": "", "obj_type": "", "tokens": text.split()})
    return Dataset.from_list(made, features=RELATION)


def remove(train, test, **more):
    changed, rows = overlap.remove({"k": {"train": train}, "d": {"test": test}}, ["k"], ["d"], **more)
    kept = changed.get("k", {}).get("train", train)
    return list(kept["text"]), rows[0]


def test_text_pair_and_fact():
    train = relations(
        ("Ann", "leads", "Acme", "leader"),
        ("Acme", "is led by", "Ann", "leader"),  # the same fact in other words
        ("Ann", "left", "Acme", "former"),  # the same pair
        ("Bob", "leads", "Acme", "leader"),  # the same entity, and nothing else
    )
    kept, row = remove(train, relations(("ANN", "leads", "acme", "leader"), ("Zoe", "leads", "Acme", "former")))
    assert kept == ["Ann left Acme .", "Bob leads Acme ."]
    assert row == {
        "knowledge": "k", "split": "train", "downstream": "d", "part": "test",
        "text": 1, "pair": 3, "fact": 2, "text_of_part": 1, "pair_of_part": 1, "fact_of_part": 1, "removed": 2,
    }  # fmt: skip
    kept, row = remove(train, relations(("ANN", "leads", "acme", "leader")), keep=True)
    assert len(kept) == 4 and row["removed"] == 0 and row["text"] == 1


def test_ids_tell_a_pair_under_other_names():
    train = relations(("Ann", "leads", "Acme", "leader", "Q1", "Q2"), ("Ann", "leads", "Apex", "leader", "Q1", "Q3"))
    kept, row = remove(train, relations(("She", "heads", "the firm", "leader", "Q1", "Q2")))
    assert kept == ["Ann leads Apex ."] and (row["text"], row["fact"]) == (0, 1)


def test_relations_that_cannot_be_compared_count_as_the_same():
    """Wiki80 has names of relations where FewRel has property ids."""
    train = relations(("Ann", "leads", "Acme", "leader"), ("Ann", "left", "Acme", "former"), ("B", "is", "C", "is"))
    assert remove(train, relations(("Ann", "met", "Acme", "P169")))[0] == ["B is C ."]
    assert remove(train, relations(("Ann", "met", "Acme", "P169"), ("X", "y", "Z", "leader")))[1]["fact"] == 0


def test_only_held_out_parts_cost_knowledge():
    train = relations(("Ann", "leads", "Acme", "leader"), ("Bob", "leads", "Acme", "leader"))
    parts = {"train": relations(("Ann", "leads", "Acme", "x")), "dev": relations(("Bob", "leads", "Acme", "x"))}
    changed, rows = overlap.remove({"k": {"train": train, "dev": train}, "d": parts}, ["k"], ["d"])
    assert changed["k"]["train"]["text"] == ["Ann leads Acme ."] == changed["k"]["dev"]["text"]
    assert [(row["split"], row["part"], row["text"], row["removed"]) for row in rows] == [
        ("train", "train", 1, 0), ("train", "dev", 1, 1), ("dev", "train", 1, 0), ("dev", "dev", 1, 1),
    ]  # fmt: skip
    assert overlap.remove({"k": {"train": train, "test": train}}, ["k"], ["k"]) == ({}, []), "not with itself"


def test_sentences_of_other_schemas():
    sentences = (["It", "rained", "."], ["Ann", "knows", "it", "."], ["Nobody", "came", "."], ["So", "?"])
    rows = [{"id": "", "words": words, "heads": [0] * len(words)} for words in sentences]
    trees = Dataset.from_list(
        [row | {"deprels": row["words"], "upos": row["words"]} for row in rows], features=DEPENDENCY
    )
    choice = {"id": "0", "context": "It  rained!", "question": "", "answers": [], "label": 0}
    mention = {"id": "0", "text": "Ann knows it.", "start": 0, "end": 3, "labels": [], "ents": []}
    probe = {"id": "0", "relation": "P1", "subject": "n", "object": "Nobody", "subj_id": "", "obj_id": ""}
    probe |= {"sentences": [{"text": "[MASK] came.", "subject": "came", "object": "Nobody"}]}
    parts = {
        "choice": {"test": Dataset.from_list([choice], features=CHOICE)},
        "typing": {"test": Dataset.from_list([mention], features=TYPING)},
        "probe": {"test": Dataset.from_list([probe], features=PROBE)},
    }
    changed, rows = overlap.remove({"k": {"train": trees}} | parts, ["k"], list(parts))
    assert [row["removed"] for row in rows] == [1, 1, 1]
    assert list(changed["k"]["train"]["words"]) == [["So", "?"]]


def test_nothing_left_is_an_error():
    train = relations(("Ann", "leads", "Acme", "leader"))
    with pytest.raises(KAdapterError, match="dataset 'k': every example of train is in dev or test .*overlap=keep"):
        remove(train, train)


_NAMES = st.sampled_from(["A", "B", "C"])
_ROWS = st.lists(st.tuples(_NAMES, st.sampled_from(["v", "w"]), _NAMES, st.sampled_from(["r", "s"])), min_size=1)


@given(_ROWS, _ROWS)
def test_as_a_plain_search_finds_it(ours, theirs):
    """The counts and what is kept, against loops over all pairs of rows."""

    def shares(kind, one, other):
        text = one[:3] == other[:3]
        pair = {one[0], one[2]} == {other[0], other[2]}
        blind = not {r[3] for r in ours} & {r[3] for r in theirs}
        return {"text": text, "pair": pair, "fact": pair and (blind or one[3] == other[3])}[kind]

    safe = ("Z", "z", "Z", "r" if any(r[3] == "r" for r in ours) else "s")
    ours = [*ours, safe]
    kept, row = remove(relations(*ours), relations(*theirs))
    leaks = [any(shares(kind, one, other) for other in theirs for kind in ("text", "fact")) for one in ours]
    assert len(kept) == leaks.count(False) and row["removed"] == leaks.count(True)
    for kind in overlap.KINDS:
        assert row[kind] == sum(any(shares(kind, one, other) for other in theirs) for one in ours)
        assert row[f"{kind}_of_part"] == sum(any(shares(kind, one, other) for one in ours) for other in theirs)
