"""The generated world's facts as LAMA's probes and as triples."""

from collections import Counter

import pytest

from kadapter.data import trex_build
from kadapter.formats import lama, trex_rc, triples
from kadapter.world import World
from kadapter.world.facts import PROPERTIES
from kadapter.world.probes import relations, write_probes


@pytest.fixture(scope="module")
def world():
    return World(entities=120)


@pytest.fixture(scope="module")
def written(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return folder, write_probes(world, folder)


def test_probes_are_the_facts(world, written):
    folder, counts = written
    found = Counter()
    for file in (folder / "lama" / "TREx").iterdir():
        rows = lama.read(file).to_list()
        assert counts[f"lama/TREx/{file.name}"] == len(rows)
        assert {row["relation"] for row in rows} == {file.stem}
        found.update((row["subj_id"], row["relation"], row["obj_id"]) for row in rows)
    assert found == Counter((f.subject.id, f.relation.property, f.object.id) for f in world.facts)


def test_templates(written):
    table = lama.relations(written[0] / "lama" / "relations.jsonl")
    assert table == relations() and set(table) == set(PROPERTIES)
    assert table["P19"]["template"] == "[X] was born in [Y] ." and table["P19"]["label"] == "place of birth"


def test_sentences_state_the_fact_and_become_examples(world, written, tmp_path):
    """What `kadapter data lama` makes of the probes: every fact, with the names where the tokens say."""
    names = {e.id: e.name for e in world.entities}
    card = trex_build.build(written[0] / "lama", tmp_path / "out", trex_build.Settings(minimum=1), kind="lama", jobs=1)
    assert card["dropped"] == {} and sum(card["examples"].values()) == card["triples"] == len(world.facts)
    for split in ("train", "dev"):
        for row in trex_rc.read(tmp_path / "out" / f"{split}.json").to_list():
            assert row["text"][row["subj_start"] : row["subj_end"]] == names[row["subj_id"]]
            assert row["text"][row["obj_start"] : row["obj_end"]] == names[row["obj_id"]]


def test_triples(world, written):
    folder, counts = written
    splits = {
        split: triples.read(folder / "triples" / f"{split}.txt").to_list() for split in ("train", "valid", "test")
    }
    assert {split: len(rows) for split, rows in splits.items()} == {s: counts[f"triples/{s}.txt"] for s in splits}
    found = Counter((row["head"], row["relation"], row["tail"]) for rows in splits.values() for row in rows)
    assert found == Counter((f.subject.id, f.relation.property, f.object.id) for f in world.facts)
    share = len(splits["test"]) / len(world.facts)
    assert 0.09 < share < 0.11 and len(splits["valid"]) == len(splits["test"])
    known = {row[column] for row in splits["train"] for column in ("head", "relation", "tail")}
    assert {row[c] for s in ("valid", "test") for row in splits[s] for c in ("head", "relation", "tail")} <= known
