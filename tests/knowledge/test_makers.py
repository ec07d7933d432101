"""What makers make of published files: labels that are true, nothing that gives an answer away, the same every time."""

import pytest
from datasets import Dataset
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from kadapter.errors import KAdapterError
from kadapter.formats.schemas import DEPENDENCY, FACT, LINKED, RELATION, SYNSET
from kadapter.knowledge import blanks, descriptions, lexical, links, replaced, senses, supersenses, truth, wordnet


def facts(edges, holds=True):
    rows = [
        {
            "id": str(i), "head": h, "relation": r, "tail": t, "head_text": f"the {h}", "relation_text": f"is {r} of",
            "tail_text": f"the {t}", "holds": holds,
        }
        for i, (h, r, t) in enumerate(edges)
    ]  # fmt: skip
    return Dataset.from_list(rows, features=FACT)


few = settings(max_examples=15, phases=(Phase.generate,))  # tables are slow to build
edges = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("rs"), st.sampled_from("abcdefgh")),
    min_size=3, max_size=12, unique=True,
)  # fmt: skip


@few
@given(edges=edges, corrupt=st.sampled_from(truth.CORRUPT), seed=st.integers(0, 9))
def test_truth_of_facts(edges, corrupt, seed):
    assume(len({end for h, _, t in edges for end in (h, t)}) > 3)  # else everything may be true
    splits = {"train": facts(edges[:2]), "test": facts(edges[2:])}
    made = truth.examples(splits, corrupt=corrupt, seed=seed)
    assert {name: rows.to_list() for name, rows in made.items()} == {
        name: rows.to_list() for name, rows in truth.examples(splits, corrupt=corrupt, seed=seed).items()
    }
    for split, rows in made.items():
        assert rows.features == RELATION and len(rows) == 2 * len(splits[split])
        found = rows.to_list()
        for real, corrupted in zip(found[::2], found[1::2], strict=True):
            ends = [(row["subj_id"], row["obj_id"]) for row in (real, corrupted)]
            assert (real["label"], corrupted["label"]) == ("real", "corrupted")
            assert sum(a != b for a, b in zip(*ends, strict=True)) == 1  # head or tail
            relation = real["text"].split(" is ")[1][0]
            assert (ends[0][0], relation, ends[0][1]) in edges and (ends[1][0], relation, ends[1][1]) not in edges
            for row in (real, corrupted):
                assert row["text"][: row["subj_end"]] == f"the {row['subj_id']}"
                assert row["text"][row["obj_start"] :] == f"the {row['obj_id']}"


def test_truth_takes_published_counterexamples_where_there_are_some():
    train, wrong = [("a", "r", "b"), ("c", "r", "d")], facts([("a", "r", "d")], holds=False)
    both = Dataset.from_list([*facts([("c", "s", "b")]), *wrong], features=FACT)
    made = truth.examples({"train": facts(train), "test": both})
    assert made["test"]["label"] == ["real", "corrupted"] and made["test"]["obj_id"] == ["b", "d"]
    assert len(truth.examples({"train": facts(train)}, most=2)["train"]) == 2


def test_truth_of_a_slot_is_harder():
    """With `slot` a corrupted head is a head of the relation elsewhere."""
    edges = [(f"h{i}", "r", f"t{i}") for i in range(20)]
    slot = truth.examples({"train": facts(edges)}, corrupt="slot")["train"]
    assert all(row["subj_id"][0] == "h" and row["obj_id"][0] == "t" for row in slot)
    loose = truth.examples({"train": facts(edges)})["train"]
    assert not all(row["subj_id"][0] == "h" and row["obj_id"][0] == "t" for row in loose)


def test_truth_where_nothing_is_false():
    with pytest.raises(KAdapterError, match="found 1 entity; expected two or more"):
        truth.examples({"train": facts([("a", "r", "a")])})
    full = [(h, "r", t) for h in "ab" for t in "ab"]
    with pytest.raises(KAdapterError, match="the fact . r . is true of every entity that was tried"):
        truth.examples({"train": facts(full)})


def sentence(number, subject, object, label="P1", types=("", ""), ids=True):
    text = f"Then {subject} met {object} ."
    start = len("Then ")
    second = start + len(subject) + len(" met ")
    return {
        "id": str(number), "text": text, "subj_start": start, "subj_end": start + len(subject), "obj_start": second,
        "obj_end": second + len(object), "label": label, "subj_id": subject * ids, "obj_id": object * ids,
        "subj_type": types[0], "obj_type": types[1], "tokens": text.split(),
    }  # fmt: skip


def sentences(pairs, **more):
    return Dataset.from_list([sentence(i, *pair, **more) for i, pair in enumerate(pairs)], features=RELATION)


names = st.text("abcdef ", min_size=1, max_size=9).map(lambda text: f"N{text.strip()}")
pairs = st.lists(st.tuples(names, names.map(lambda name: f"O{name}")), min_size=2, max_size=9)


@few
@given(pairs=pairs, ids=st.booleans(), seed=st.integers(0, 9))
def test_replaced_mentions(pairs, ids, seed):
    splits = {"train": sentences(pairs[:1], ids=ids), "test": sentences(pairs[1:], ids=ids)}
    known = {frozenset(name.casefold() for name in pair) for pair in pairs}
    for rows in replaced.examples(splits, seed=seed).values():
        found = rows.to_list()
        for own, other in zip(found[::2], found[1::2], strict=True):
            said = [[row["text"][row[f"{s}_start"] : row[f"{s}_end"]] for s in ("subj", "obj")] for row in (own, other)]
            assert (own["label"], other["label"]) == ("own", "replaced")
            assert said[0][1] == said[1][1] and said[0][0] != said[1][0]
            assert said[0][0][0] == said[1][0][0]  # N for N, O for O: of its side
            assert frozenset(map(str.casefold, said[0])) in known and frozenset(map(str.casefold, said[1])) not in known
            for row, (mention, beside) in zip((own, other), said, strict=True):
                assert row["text"] in (f"Then {mention} met {beside} .", f"Then {beside} met {mention} .")


def test_replaced_keeps_to_types_where_they_are_given():
    rows = [sentence(0, "A", "X", "P1", ("person", "city")), sentence(1, "B", "Y", "P2", ("person", "river"))]
    made = replaced.examples({"train": Dataset.from_list(rows, features=RELATION)}, seed=1)["train"]
    for row in made:
        if row["label"] == "replaced":
            assert row["subj_type"] == "person" and row["subj_id"] in "AB"  # no other city or river is known
    overlapping = [rows[0] | {"obj_start": rows[0]["subj_start"]}]
    assert len(replaced.examples({"train": Dataset.from_list(overlapping, features=RELATION)})["train"]) == 0


def synsets(rows):
    names = ("id", "pos", "supersense", "lemmas", "gloss", "examples", "hypernyms")
    return Dataset.from_list([dict(zip(names, row, strict=True)) for row in rows], features=SYNSET)


ANIMALS = [
    ("1", "n", "noun.animal", ["animal"], "a living thing that moves", [], []),
    ("2", "n", "noun.animal", ["dog", "hound"], "an animal that barks", ["the dogs barked", "no word of it"], ["1"]),
    ("3", "n", "noun.animal", ["cat"], "an animal that purrs", ["a cat purred"], ["1"]),
    ("4", "n", "noun.person", ["dog", "cad"], "a rascal", ["you dirty dog"], ["5"]),
    ("5", "n", "noun.person", ["person", "soul"], "a human being", [], []),
    ("6", "n", "noun.person", ["baker"], "one who bakes", [], ["5"]),
    ("7", "n", "noun.person", ["thief"], "one who steals", [], ["4"]),
]


@pytest.mark.parametrize("seed", range(5))
def test_lexical_relations(seed):
    splits = {"train": synsets(ANIMALS[:3]), "test": synsets(ANIMALS[3:])}
    made = lexical.examples(splits, seed=seed)
    words = {}
    for split, rows in made.items():
        for row in rows:
            first, second = row["text"].split(" ; ")
            assert (first, second) == (row["text"][: row["subj_end"]], row["text"][row["obj_start"] :])
            words.setdefault(frozenset((first, second)), []).append((split, row["label"]))
            within = [r for r in ANIMALS if first in r[3]]
            above = {w for r in within for id in r[6] for a in ANIMALS if a[0] == id for w in a[3]}
            same = {w for r in within for w in r[3]} - {first}
            if row["label"] == "neither":
                assert second not in above | same | {first}
            else:
                assert second in (above if row["label"] == "hypernym" else same)
    assert all(len(found) == 1 for found in words.values())  # no pair twice, none in two splits
    assert {"synonym", "hypernym", "neither"} == {label for [(_, label)] in words.values()}


def test_word_senses():
    made = senses.examples({"train": synsets(ANIMALS)})["train"].to_list()
    asked = {row["id"]: row for row in made}
    dog = asked["sense-2-0"]
    assert dog["context"] == "the * dogs * barked" and dog["question"] == "dog"
    assert sorted(dog["answers"]) == ["a rascal", "an animal that barks"]
    assert dog["answers"][dog["label"]] == "an animal that barks"
    assert "sense-3-0" not in asked  # cats have one sense here
    kind = asked["relation-6"]
    assert sorted(kind["answers"]) == ["dog, cad", "person, soul"] and kind["context"] == "baker: one who bakes"
    assert kind["answers"][kind["label"]] == "person, soul"
    assert all(not id.startswith("relation") for id in {row["id"] for row in senses.examples(
        {"train": synsets(ANIMALS)}, relations=False)["train"]})  # fmt: skip


def test_supersenses_of_synsets():
    made = supersenses.examples({"train": synsets(ANIMALS)})["train"]
    found = {row["text"]: (row["text"][row["start"] : row["end"]], row["labels"]) for row in made}
    assert found == {
        "the dogs barked": ("dogs", ["noun.animal"]), "a cat purred": ("cat", ["noun.animal"]),
        "you dirty dog": ("dog", ["noun.person"]),
    }  # fmt: skip


def test_supersenses_of_text(monkeypatch):
    class Known:
        def of(self, word, upos):
            return ("noun.animal", "noun.person") if (word, upos) == ("dogs", "NOUN") else ()

    monkeypatch.setattr(wordnet, "folder", lambda: None)
    monkeypatch.setattr(wordnet, "installed", lambda place: Known())
    rows = [{"id": "a", "words": ["Two", "dogs", "bark"], "heads": [2, 3, 0], "deprels": ["x"] * 3,
             "upos": ["NUM", "NOUN", "VERB"]}]  # fmt: skip
    [row] = supersenses.examples({"test": Dataset.from_list(rows, features=DEPENDENCY)})["test"].to_list()
    assert (row["text"], row["start"], row["end"]) == ("Two dogs bark", 4, 8)
    assert row["labels"] == ["noun.animal", "noun.person"]


@pytest.mark.parametrize("seed", range(3))
def test_matching_blanks(seed):
    train = [("A", "X"), ("A", "X"), ("B", "Y"), ("A", "Y"), ("C", "X"), ("C", "X"), ("D", "Z")]
    rows = [sentence(i, *pair) | {"text": f"{sentence(i, *pair)['text']} {i}"} for i, pair in enumerate(train)]
    splits = {"train": Dataset.from_list(rows, features=RELATION)}
    made = blanks.examples(splits, blank=0.0, wrong=2, seed=seed)["train"].to_list()
    assert {row["id"] for row in made} == {"0", "1", "4", "5"}  # pairs that two sentences hold
    for row in made:
        said = [tuple(t["text"][s["start"] : s["end"]] for s in t["spans"]) for t in row["texts"]]
        query, others = said[0], said[1:]
        assert len(others) == 3 and [pair == query for pair in others].index(True) == row["answer"]
        assert others.count(query) == 1 and row["texts"][1 + row["answer"]]["text"] != row["texts"][0]["text"]
        assert any(set(pair) & set(query) for i, pair in enumerate(others) if i != row["answer"])  # a hard one
    blanked = blanks.examples(splits, blank=1.0, wrong=2, seed=seed)["train"].to_list()
    for text in (text for row in blanked for text in row["texts"]):
        assert [text["text"][s["start"] : s["end"]] for s in text["spans"]] == ["[BLANK]"] * 2
        assert text["text"].startswith("Then [BLANK] met [BLANK] .")


@few
@given(edges=edges, seed=st.integers(0, 9))
def test_descriptions(edges, seed):
    assume(len({end for h, _, t in edges for end in (h, t)}) > 5)
    for row in descriptions.examples({"train": facts(edges)}, wrong=2, seed=seed)["train"]:
        head, *tails = [text["text"].removeprefix("the ") for text in row["texts"]]
        true = [(head, row["label"], tail) in edges for tail in tails]
        assert true.index(True) == row["answer"] and sum(true) == 1 and len(set(tails)) == 3


def test_links_of_mentions():
    train = [("Old Ada", "X"), ("Old Bob", "Y"), ("Cy", "Z"), ("Dee", "X")]
    splits = {"train": sentences(train), "test": sentences([("Old Ada", "Y"), ("New", "Z")])}
    made = {name: rows.to_list() for name, rows in links.examples(splits, candidates=3).items()}
    assert [row["label"] for row in made["test"]] == ["Old Ada", "Y", "Z"]  # who is new is not asked for
    for row in (*made["train"], *made["test"]):
        assert row["text"][row["start"] : row["end"]] == row["label"]
        assert len(set(row["candidates"])) == 3 and row["label"] in row["candidates"]
        if row["label"] == "Old Ada":
            assert "Old Bob" in row["candidates"]  # shares a word
    known = {row["label"] for row in made["train"]}
    assert all(set(row["candidates"]) <= known for row in made["test"])
    linked = [{"id": "s", "text": "ada sang", "links": [{"start": 0, "end": 3, "entity": "Q1"}]}]
    [row] = links.examples({"train": Dataset.from_list(linked, features=LINKED)})["train"].to_list()
    assert (row["label"], row["candidates"], row["id"]) == ("Q1", ["Q1"], "s-0")
