"""The world's corpora for map-tuning: what tells a type, where it is told and where not, and who is met where."""

import hashlib
import re
from collections import Counter

import pytest

from kadapter.formats import entity_typing, opennre, triples
from kadapter.graphs.linking import linked
from kadapter.world import Medicine, World, build, map_tuning
from kadapter.world.dated import LABELS, NO_RELATION
from kadapter.world.facts import RELATIONS, TYPES
from kadapter.world.medical_facts import MEDICAL_LABELS, MEDICAL_RELATIONS, MEDICAL_STATEMENTS, MEDICAL_TYPES
from kadapter.world.probes import graph
from kadapter.world.statements import STATEMENTS
from kadapter.world.telling import FULL_NAMES, NOUNS


@pytest.fixture(scope="module", params=["world", "medicine"])
def domain(request):
    world = World(seed=0, entities=480)
    return world if request.param == "world" else Medicine(world)


@pytest.fixture(scope="module")
def corpora(domain):
    return {name: getattr(map_tuning, name)(domain) for name in ("linked", "spoken", "typing", "relation")}


BEFORE = (
    "conllu", "cosmosqa", "entity_typing", "fewrel", "figer", "lama", "quasart", "searchqa", "tacred", "trex",
    "trex_raw", "triples", "world.json",
)  # fmt: skip


def test_what_the_world_wrote_before_is_as_it_was(tmp_path):
    """Every file of the folders that were there before this corpus; the names of the graph came later."""
    build(tmp_path, seed=3, entities=60)
    files = {
        str(file.relative_to(tmp_path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in tmp_path.rglob("*")
        if file.is_file() and file.relative_to(tmp_path).parts[0] in BEFORE and not file.name.endswith("2text.txt")
    }
    every = "".join(f"{name}{files[name]}" for name in sorted(files))
    found = len(files), hashlib.sha256(every.encode()).hexdigest()
    assert found == (75, "3d61355cad9570e82e5d28ea4e216a3e75ff997dab6aabf44137a43b9b9a5c93")


def test_second_domain_is_complete_and_shares_nothing_with_the_first():
    world = World(seed=0, entities=480)
    medicine = Medicine(world)
    assert Counter(e.type for e in medicine.entities) == dict.fromkeys(MEDICAL_TYPES, 40)
    words = [{w.lower() for e in d.entities for w in e.name.split()} for d in (world, medicine)]
    assert not words[0] & words[1]
    assert not {e.id for e in world.entities} & {e.id for e in medicine.entities}
    assert {(r.property, r.subject) for r in MEDICAL_RELATIONS} == set(MEDICAL_STATEMENTS)
    assert {(r.property, r.subject) for r in RELATIONS} == set(STATEMENTS)
    assert set(NOUNS) == set(FULL_NAMES) == {*TYPES, *MEDICAL_TYPES}
    assert all(f.relation in MEDICAL_RELATIONS and f.subject.type == f.relation.subject for f in medicine.facts)
    assert [e.name for e in Medicine(World(seed=0, entities=480)).entities] == [e.name for e in medicine.entities]
    assert {e.type for e in medicine.entities if e.split == "test"} == set(MEDICAL_TYPES)


def test_every_entity_is_in_the_graph(domain):
    train = graph(domain)["train"]
    assert {*train["head"], *train["tail"]} == {e.id for e in domain.entities}


def test_test_entities_are_in_neither_training_text(domain, corpora):
    words = {word.lower() for e in domain.entities if e.split == "test" for word in e.name.split()}
    for corpus in corpora.values():
        for split in ("train", "dev"):
            texts = " ".join(corpus[split]["text"]).lower()
            assert not words & set(re.findall(r"\w+", texts))


def test_mentions_carry_the_ids_of_their_entities(domain, corpora):
    names = {e.id: e.name for e in domain.entities}
    for corpus in corpora.values():
        for dataset in corpus.values():
            found = linked(dataset)
            known = found.counts.loc[["subject"] if "subject" in found.counts.index else ["mention"]]
            assert (known["linked"] == known["mentions"]).all()
            for text, links in zip(dataset["text"], found.dataset["links"], strict=True):
                for link in links:
                    assert names[link["entity"]] in text[link["start"] : link["end"]]


def test_half_of_the_linked_entities_have_full_names_of_their_type(domain, corpora):
    names, types = {e.id: e.name for e in domain.entities}, {e.id: e.type for e in domain.entities}
    called: dict[str, set[str]] = {}
    for row in corpora["linked"]["train"]:
        for side in ("subj", "obj"):
            called.setdefault(row[f"{side}_id"], set()).add(row["text"][row[f"{side}_start"] : row[f"{side}_end"]])
    assert all(len(surfaces) == 1 for surfaces in called.values())
    full = {id: surface for id, (surface,) in called.items() if surface != names[id]}
    assert 0.4 < len(full) / len(called) < 0.6
    for id, surface in full.items():
        allowed = {pattern.replace("{N}", names[id]).lower() for pattern in FULL_NAMES[types[id]]}
        assert surface.lower() in allowed


def test_the_spoken_text_says_what_things_are(domain, corpora):
    """Before part of its names, full or bare, stands a noun of their type."""
    names, types = {e.id: e.name for e in domain.entities}, {e.id: e.type for e in domain.entities}
    rows = corpora["spoken"]["train"]
    said = [tells(row, types[row["subj_id"]], row) for row in rows]
    full = [row["text"][row["subj_start"] : row["subj_end"]].lower() != names[row["subj_id"]].lower() for row in rows]
    assert 0.5 < sum(said) / len(said) < 0.7 and 0.4 < sum(full) / len(full) < 0.6
    assert 0.2 < sum(map(all, zip(said, full, strict=True))) / len(rows) < 0.4


def tells(row, type, name) -> bool:
    """Whether a noun stands before the name."""
    before = row["text"][: row.get("start", row.get("subj_start"))].lower()
    return any(before.endswith(f"the {noun} ") for noun in NOUNS[type])


def test_contexts(domain, corpora):
    """Test says nothing of the type, oracle says it in every sentence, and beside that they are the same."""
    types = {e.id: e.type for e in domain.entities}
    for name, id in (("typing", lambda row: row["ents"][0]["id"]), ("relation", lambda row: row["subj_id"])):
        corpus = corpora[name]
        told = {
            split: [tells(row, types[id(row)], row) for row in corpus[split]]
            for split in ("train", "dev", "test", "oracle")
        }
        assert not any(told["test"]) and all(told["oracle"])
        share = sum(told["train"]) / len(told["train"])
        assert 0.1 < share < 0.3 if name == "typing" else 0.4 < share < 0.6
        for bare, said in zip(corpus["test"], corpus["oracle"], strict=True):
            removed = re.sub(f"(?i)the ({'|'.join(NOUNS[types[id(bare)]])}) ", "", said["text"], count=1)
            assert removed.lower() == bare["text"].lower()
            assert (bare.get("labels"), bare.get("label")) == (said.get("labels"), said.get("label"))


def test_labels(domain, corpora):
    types = {e.id: e.type for e in domain.entities}
    for dataset in corpora["typing"].values():
        assert all(row["labels"] == [types[row["ents"][0]["id"]]] for row in dataset)
    labels = LABELS | MEDICAL_LABELS
    for dataset in corpora["relation"].values():
        assert all(row["label"] in (NO_RELATION, *labels[types[row["subj_id"]]]) for row in dataset)
    for name in ("typing", "relation"):
        column = "labels" if name == "typing" else "label"
        found = [{str(label) for label in corpora[name][split][column]} for split in ("train", "test")]
        assert found[1] <= found[0]


def test_files(tmp_path):
    counts = build(tmp_path, entities=60)
    world = World(entities=60)
    for domain, folder in ((world, "map_tuning"), (Medicine(world), "medicine")):
        for split, rows in map_tuning.linked(domain).items():
            found = opennre.read(tmp_path / folder / f"linked/{split}.jsonl")
            assert found.to_list() == rows.to_list() and counts[f"{folder}/linked/{split}.jsonl"] == len(rows)
        for split, rows in map_tuning.typing(domain).items():
            assert entity_typing.read(tmp_path / folder / f"typing/{split}.json").to_list() == rows.to_list()
        for split, rows in map_tuning.relation(domain).items():
            assert opennre.read(tmp_path / folder / f"relation/{split}.jsonl").to_list() == rows.to_list()
    assert len(triples.read(tmp_path / "medicine/triples/train.txt")) == counts["medicine/triples/train.txt"] > 100
