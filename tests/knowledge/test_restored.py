"""Sentences of LAMA's T-REx become examples of relation classification, their object put back."""

from datasets import Dataset

from kadapter import catalog
from kadapter.formats.schemas import PROBE, RELATION
from kadapter.knowledge.restored import examples


def facts(*sentences, relation="P19", **more):
    named = {"id": "u1", "relation": relation, "subject": "Ada Lovelace", "object": "London"}
    return named | {"subj_id": "Q7259", "obj_id": "Q84", "sentences": list(sentences)} | more


def probe(*rows):
    return Dataset.from_list(list(rows), features=PROBE)


BORN = {"text": "Ada Lovelace was born in [MASK].", "subject": "Ada Lovelace", "object": "Greater London"}
LIVED = {"text": "In [MASK], Ada Lovelace lived.", "subject": "Ada Lovelace", "object": "London"}


def test_both_mentions_stand_where_they_are_said():
    found = examples({"train": probe(facts(BORN, LIVED))})["train"]
    assert found.features == RELATION and found["label"] == ["P19", "P19"] and found["id"] == ["u1-0", "u1-1"]
    for row, (subject, object) in zip(
        found, [("Ada Lovelace", "Greater London"), ("Ada Lovelace", "London")], strict=True
    ):
        assert row["text"][row["subj_start"] : row["subj_end"]] == subject
        assert row["text"][row["obj_start"] : row["obj_end"]] == object
        assert (row["subj_id"], row["obj_id"]) == ("Q7259", "Q84") and row["text"] == " ".join(row["tokens"])


def test_sentences_that_do_not_say_the_subject_or_come_twice_are_left_out():
    lost = {"text": "She was born in [MASK].", "subject": "Ada Lovelace", "object": "London"}
    assert examples({"train": probe(facts(BORN, BORN, lost))})["train"]["id"] == ["u1-0"]


def test_as_many_as_are_asked_for():
    rows = [facts({**BORN, "text": f"{k} says: {BORN['text']}"}, id=f"u{k}") for k in range(30)]
    first, again = (examples({"train": probe(*rows)}, most=10, seed=1)["train"] for _ in "ab")
    assert len(first) == 10 and first.to_list() == again.to_list()
    assert examples({"train": probe(*rows)}, most=10, seed=2)["train"]["id"] != first["id"]


def test_it_is_a_kind_of_knowledge_with_the_task_of_factual():
    kind, factual = catalog.knowledge("factual_sentences"), catalog.knowledge("factual")
    assert (kind.task, kind.options) == (factual.task, factual.options) and catalog.maker(kind) is examples
