"""Sentences that call entities by names that two of them share."""

from collections import Counter, defaultdict

import pytest

from kadapter.knowledge import links
from kadapter.world import World
from kadapter.world.short_names import linking, short_names


@pytest.fixture(scope="module")
def world():
    return World(seed=3, entities=60, facts_per_entity=3, stated=0.5)


def test_a_short_name_is_shared_by_entities_of_two_types(world):
    of_name = defaultdict(list)
    types = {entity.id: entity.type for entity in world.entities}
    for id, name in short_names(world).items():
        of_name[name].append(types[id])
    assert max(map(len, of_name.values())) == 2
    shared = [found for found in of_name.values() if len(found) == 2]
    assert len(shared) > 20 and all(a != b for a, b in shared)


def test_all_splits_are_about_the_same_facts_in_other_sentences(world):
    names, splits = short_names(world), linking(world)
    told = {(f.subject.id, f.relation.property, f.object.id) for f in world.facts}
    facts = {split: {(r["subj_id"], r["label"], r["obj_id"]) for r in rows} for split, rows in splits.items()}
    assert facts["train"] == facts["dev"] == facts["test"] <= told
    assert set(Counter(subject for subject, *_ in facts["test"]).values()) == {2}
    rows = [row for dataset in splits.values() for row in dataset]
    assert len({(row["text"], row["subj_id"], row["obj_id"]) for row in rows}) == len(rows) == 6 * len(facts["test"])
    for row in rows:
        for side in ("subj", "obj"):
            assert row["text"][row[f"{side}_start"] : row[f"{side}_end"]] == names[row[f"{side}_id"]]


def test_whoever_has_the_same_name_is_a_candidate(world):
    names = short_names(world)
    partner = {a: b for a in names for b in names if a != b and names[a] == names[b]}
    made = links.examples(linking(world))
    for row in made["test"]:
        assert partner.get(row["label"], row["label"]) in row["candidates"] and len(set(row["candidates"])) == 8
