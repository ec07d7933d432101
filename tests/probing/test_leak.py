"""What adapters had read of what is asked: T-REx-rc and LAMA share facts; the world's share is known."""

import json

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from typer.testing import CliRunner

from kadapter.cli.main import app
from kadapter.errors import KAdapterError
from kadapter.knowledge import pararel_facts
from kadapter.knowledge.facts import in_words, plain
from kadapter.probing import questions
from kadapter.probing.leak import KINDS, NEVER, NOT_READ, READ, Learned, table
from kadapter.world import World
from tests import tiny


def test_facts_in_words_are_found_in_any_words_and_relations_that_are_not_read_are_told():
    read = [fact for fact in pararel_facts.facts() if fact.set == pararel_facts.TEXT][:9]
    learned = Learned.of(in_words(read, {n: p.trained for n, p in pararel_facts.patterns().items()}))
    first, others = read[0], [fact for fact in pararel_facts.facts() if fact.set != pararel_facts.TEXT]
    same = next(fact for fact in others if fact.relation == first.relation)
    never = next(fact for fact in others if fact.set == pararel_facts.UNTRAINED)
    asked = pd.DataFrame([vars(fact) for fact in (first, same, never)])
    assert learned.kinds(asked).tolist() == [READ, NOT_READ, NEVER]
    assert learned.relations == {fact.relation for fact in read}
    asked["subject"] = asked["subject"].str.upper() + " ."  # case and signs are no difference
    assert learned.kinds(asked)[0] == READ


def test_trex_rc_and_lama_share_facts_by_name_or_by_id():
    world = World(seed=3, entities=60)
    dataset = world.knowledge()["train"]
    learned = Learned.of(dataset)
    stated = {(row["label"], row["subj_id"], row["obj_id"]) for row in dataset}
    rows = [
        {"relation": f.relation.property, "subject": f.subject.name, "object": f.object.name, "subject_id": "",
         "object_id": ""}
        for f in world.facts
    ]  # fmt: skip
    kinds = learned.kinds(pd.DataFrame(rows))
    expected = [(f.relation.property, f.subject.id, f.object.id) in stated for f in world.facts]
    assert ((kinds == READ) == expected).all() and any(expected)
    named_otherwise = [
        row | {"subject": "x", "object": "y", "subject_id": f"http://www.wikidata.org/entity/{f.subject.id}",
               "object_id": f.object.id}
        for row, f in zip(rows, world.facts, strict=True)
    ]  # fmt: skip
    assert (learned.kinds(pd.DataFrame(named_otherwise)) == kinds).all()


def test_triples_are_facts_and_what_states_no_relation_is_told():
    rows = {"id": [""], "head": ["Ada"], "relation": ["P19"], "tail": ["London"]}
    assert Learned.of(Dataset.from_dict(rows)).facts >= {("P19", "ada", "london")}
    with pytest.raises(KAdapterError, match="states no relation"):
        Learned.of(tiny.trees())
    assert not Learned.of(plain(["no fact"])).facts


def test_the_command_counts_how_much_of_a_probe_a_file_says(tmp_path):
    """Three facts of two relations; the text states one of them, with the relation's name instead of its id."""
    ids = {"obj_uri": "", "sub_uri": "", "evidences": []}
    asked = {"P19": [("Ada", "London"), ("Alan", "Paris")], "P20": [("Ada", "London")]}
    (tmp_path / "lama/TREx").mkdir(parents=True)
    for relation, pairs in asked.items():
        facts = [{"uuid": s, "sub_label": s, "obj_label": o, "predicate_id": relation} | ids for s, o in pairs]
        text = "".join(json.dumps(fact) + "\n" for fact in facts)
        (tmp_path / f"lama/TREx/{relation}.jsonl").write_text(text)
    labels = {"P19": "place of birth", "P20": "place of death"}
    rows = [{"relation": r, "template": "[X] was in [Y] .", "label": label} for r, label in labels.items()]
    (tmp_path / "lama/relations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "learned.tsv").write_text("ada\tplace of birth\tLondon\n")
    command = ["data", "leak", str(tmp_path / "learned.tsv"), "--format", "triples", "--data", str(tmp_path)]
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    assert {row["kind"]: (row["n"], row["relations"]) for row in json.loads(done.stdout)} == {
        READ: (1, 1), NOT_READ: (1, 1), NEVER: (1, 1),
    }  # fmt: skip
    assert "33.3%  in the text (1 relations)" in CliRunner().invoke(app, command).output
    wrong = CliRunner().invoke(app, [*command, "--probe", "pararel"])
    assert "probe with subjects 'pararel'" in str(wrong.exception or wrong.output)


def test_each_kind_is_scored_as_the_mean_of_its_relations():
    kinds = np.array([READ, READ, READ, NEVER], dtype=object)
    found = table(kinds, {"m": np.array([[1, 2, 1, 5], [1, 1, 1, 5]])}, ["a", "a", "b", "c"]).set_index("kind")
    assert list(found.index) == list(KINDS) and found["n"].tolist() == [3, 0, 1]
    assert found.loc[READ, "m"] == pytest.approx((0.75 + 1) / 2) and found.loc[NEVER, "m"] == 0
    assert np.isnan(found.loc[NOT_READ, "m"]) and found["share"].tolist() == [0.75, 0.0, 0.25]


def test_the_facts_of_the_package_are_among_lamas(real_data):
    asked = questions.trex(real_data).table
    read = [fact for fact in pararel_facts.facts() if fact.set in (pararel_facts.TEXT, pararel_facts.DEV)]
    learned = Learned.of(in_words(read, {n: p.trained for n, p in pararel_facts.patterns().items()}))
    there = {(f.relation, f.subject, f.object) for f in read} & set(
        asked[["relation", "subject", "object"]].itertuples(index=False, name=None)
    )
    assert (learned.kinds(asked) == READ).sum() == len(there) > 200
