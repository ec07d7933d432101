"""The generated world's further corpora: fine types, choice questions, reading, unseen relations, raw documents."""

import json
import random
from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from kadapter.formats import cosmosqa, entity_typing, fewrel, openqa
from kadapter.world import World, build
from kadapter.world.corpora import FINE_TYPES
from kadapter.world.documents import URI, documents
from kadapter.world.facts import PROPERTIES, RELATIONS, TYPES
from kadapter.world.grammar import name_fragment, parse
from kadapter.world.questions import FACT_QUESTIONS, PLANS, READING, TYPE_QUESTIONS, choice, reading
from kadapter.world.unseen import BARE, UNSEEN, unseen_relations


@pytest.fixture(scope="module")
def world():
    return World(seed=0, entities=1000)


@pytest.fixture(scope="module")
def corpora(world):
    return {
        "figer": world.fine_typing(),
        "cosmosqa": choice(world),
        "searchqa": reading(world, "searchqa"),
        "quasart": reading(world, "quasart"),
        "fewrel": unseen_relations(world),
    }


def test_no_split_mentions_an_entity_of_another(world, corpora):
    names = {split: [e.name for e in world.entities if e.split == split] for split in ("train", "dev", "test")}
    for corpus in corpora.values():
        for split, rows in corpus.items():
            text = json.dumps(rows.to_list(), ensure_ascii=False)
            own = {"valid": "dev"}.get(split, split)
            assert any(name in text for name in names[own])
            for other in {"train", "dev", "test"} - {own}:
                assert not [name for name in names[other] if name in text]


def test_sizes(corpora):
    sizes = {name: [len(rows) for rows in corpus.values()] for name, corpus in corpora.items()}
    assert sizes == {
        "figer": [800, 250, 500], "cosmosqa": [600, 200, 400], "searchqa": [300, 100, 200], "quasart": [300, 100, 200],
        "fewrel": [560, 140, 280],
    }  # fmt: skip


def test_files_are_read_back(tmp_path):
    build(tmp_path, entities=60)
    world = World(entities=60)
    for folder, suffix, format, corpus in (
        ("figer", "json", entity_typing, world.fine_typing()),
        ("fewrel", "json", fewrel, unseen_relations(world)),
        ("cosmosqa", "jsonl", cosmosqa, choice(world)),
        ("searchqa", "json", openqa, reading(world, "searchqa")),
        ("quasart", "txt", openqa, reading(world, "quasart")),
    ):
        for split, rows in corpus.items():
            assert format.read(tmp_path / folder / f"{split}.{suffix}").to_list() == rows.to_list()


def test_fine_types(world, corpora):
    kind = {e.id: e.type for e in world.entities}
    assert set(FINE_TYPES) == set(TYPES)
    assert len({fine for _, fine in FINE_TYPES.values()}) == len(TYPES)
    assert all(fine.startswith(coarse + "/") for coarse, fine in FINE_TYPES.values())
    for row in corpora["figer"]["test"]:
        mention = next(ent for ent in row["ents"] if (ent["start"], ent["end"]) == (row["start"], row["end"]))
        assert tuple(row["labels"]) == FINE_TYPES[kind[mention["id"]]]


# --- choice questions ------------------------------------------------------------------------------------------------


def of_kind(rows, kind):
    return [row for row in rows if row["id"].startswith(kind)]


def test_plans_belong_to_one_type():
    assert set(PLANS) == set(TYPES)
    plans = [plan for options in PLANS.values() for plan in options]
    assert len(plans) == len(set(plans)) >= 4 * len(TYPES)


def test_choice_answers(world, corpora):
    entity = {e.name: e for e in world.entities}
    linked = {(f.subject.name, f.object.name) for f in world.facts}
    rows = corpora["cosmosqa"]["test"]
    assert all(len(set(row["answers"])) == 4 and 0 <= row["label"] <= 3 for row in rows)
    assert max(Counter(row["label"] for row in rows).values()) < 0.35 * len(rows)
    shares = {kind: len(of_kind(rows, kind)) / len(rows) for kind in ("type", "fact", "text")}
    assert shares == pytest.approx({"type": 0.55, "fact": 0.15, "text": 0.30}, abs=0.08)
    for kind, questions in (("type", TYPE_QUESTIONS), ("fact", FACT_QUESTIONS)):
        for row in of_kind(rows, kind):
            subject = next(
                name for name in entity if row["question"] in {question.replace("{S}", name) for question in questions}
            )
            assert subject in row["context"]
            answers = [row["answers"][row["label"]], *(a for i, a in enumerate(row["answers"]) if i != row["label"])]
            if kind == "type":
                types = [next(t for t, plans in PLANS.items() if answer in plans) for answer in answers]
                assert types[0] == entity[subject].type and len(set(types)) == 4
            else:
                assert (subject, answers[0]) in linked
                assert not {(subject, wrong) for wrong in answers[1:]} & linked
                assert not {(wrong, subject) for wrong in answers[1:]} & linked
                assert len({entity[answer].type for answer in answers}) == 1
                assert answers[0] not in row["context"]
    for row in of_kind(rows, "text"):
        assert row["answers"][row["label"]] in row["context"].lower()


def test_words_do_not_answer_type_questions(corpora):
    """A classifier of (answer, names masked) finds the right one no more often than chance."""
    rows = {split: of_kind(corpora["cosmosqa"][split], "type") for split in ("train", "test")}
    texts = {split: [answer for row in found for answer in row["answers"]] for split, found in rows.items()}
    right = {split: [i == row["label"] for row in found for i in range(4)] for split, found in rows.items()}
    vectorizer = CountVectorizer(ngram_range=(1, 2))
    model = LogisticRegression(max_iter=1000).fit(vectorizer.fit_transform(texts["train"]), right["train"])
    scores = model.predict_proba(vectorizer.transform(texts["test"]))[:, 1].reshape(-1, 4)
    found = np.mean(scores.argmax(1) == [row["label"] for row in rows["test"]])
    assert found < 0.25 + 0.08  # two standard errors of 220 questions are 0.06


# --- reading ---------------------------------------------------------------------------------------------------------


def test_every_relation_has_a_question():
    assert set(READING) == {(r.property, r.subject) for r in RELATIONS}
    texts = [text for pair in READING.values() for text in pair]
    assert len(set(texts)) == len(texts)
    assert all(text.count("{S}") == 1 for text in texts)


@pytest.mark.parametrize("name", ["searchqa", "quasart"])
def test_the_answer_is_in_the_paragraphs(world, corpora, name):
    linked = {(f.subject.name, f.relation.property, f.object.name) for f in world.facts}
    names = [e.name for e in world.entities]
    for row in corpora[name]["test"]:
        [answer] = row["answers"]
        assert len(row["paragraphs"]) == 5 and all(len(p.split()) > 5 for p in row["paragraphs"])
        assert 1 <= sum(answer in paragraph for paragraph in row["paragraphs"]) <= 3
        subject = next(n for n in names if n in row["question"])
        assert all(subject in paragraph for paragraph in row["paragraphs"])
        assert answer not in row["question"]
        questions = {
            property
            for (property, _), pair in READING.items()
            if row["question"] in {q.replace("{S}", subject) for q in pair}
        }
        assert any((subject, property, answer) in linked for property in questions)


# --- unseen relations ------------------------------------------------------------------------------------------------


def test_unseen_relations(world, corpora):
    assert not {property for property, *_ in UNSEEN} & set(PROPERTIES)
    assert len({tuple(types) for _, *types in UNSEEN}) == len(UNSEEN) >= 12
    fills = {"S": name_fragment("Ssss"), "O": name_fragment("Oooo")}
    for template in [*BARE, *(t for templates in UNSEEN.values() for t in templates)]:
        assert parse(template, fills).heads.count(0) == 1
    kind = {e.id: e.type for e in world.entities}
    bare = {" ".join(parse(template, {"S": "S/X", "O": "O/X"}).words) for template in BARE}
    for split in ("train", "test"):
        rows = corpora["fewrel"][split]
        assert {row["label"] for row in rows} == {property for property, *_ in UNSEEN}
        assert all((row["label"], kind[row["subj_id"]], kind[row["obj_id"]]) in UNSEEN for row in rows)
        frames = [
            row["text"]
            .replace(row["text"][row["subj_start"] : row["subj_end"]], "S")
            .replace(row["text"][row["obj_start"] : row["obj_end"]], "O")
            for row in rows
        ]
        assert 0.5 < np.mean([frame in bare for frame in frames]) < 0.7


# --- raw documents ---------------------------------------------------------------------------------------------------


def aligned(document):
    """What a builder makes of a document: rows as T-REx-rc has them, and why the other triples were dropped."""
    rows, dropped = [], Counter()
    for triple in document["triples"]:
        first, last = document["sentences_boundaries"][triple["sentence_id"]]
        words = [(s, e) for s, e in document["words_boundaries"] if first <= s and e <= last]
        spans = [triple[role]["boundaries"] for role in ("subject", "object")]
        if None in spans:
            dropped["no boundaries"] += 1
            continue
        starts, ends = {s: i for i, (s, _) in enumerate(words)}, {e: i for i, (_, e) in enumerate(words)}
        if any(s not in starts or e not in ends for s, e in spans):
            dropped["not at words"] += 1
            continue
        positions = tuple((starts[s], ends[e]) for s, e in spans)
        tokens = tuple(document["text"][s:e] for s, e in words)
        ids = tuple(triple[role]["uri"].removeprefix(URI) for role in ("subject", "object"))
        rows.append((tokens, positions, triple["predicate"]["uri"].rsplit("/", 1)[1], ids))
    return rows, dropped


def test_aligned_documents_are_the_factual_corpus(tmp_path, world):
    found, dropped = Counter(), Counter()
    for document in documents(world):
        assert [document["text"][s:e] for s, e in document["sentences_boundaries"]] == [
            " ".join(document["text"][a:b] for a, b in document["words_boundaries"] if s <= a and b <= e)
            for s, e in document["sentences_boundaries"]
        ]
        rows, reasons = aligned(document)
        found.update(rows)
        dropped.update(reasons)
    expected = Counter()
    for rows in world.knowledge().values():
        for row in rows:
            ends = [len(" ".join(row["tokens"][: i + 1])) for i in range(len(row["tokens"]))]
            starts = [end - len(token) for end, token in zip(ends, row["tokens"], strict=True)]
            positions = tuple(
                (starts.index(row[f"{kind}_start"]), ends.index(row[f"{kind}_end"])) for kind in ("subj", "obj")
            )
            expected[tuple(row["tokens"]), positions, row["label"], (row["subj_id"], row["obj_id"])] += 1
    assert found == expected
    assert all(0.02 < dropped[why] / expected.total() < 0.1 for why in ("no boundaries", "not at words"))


def test_document_files(tmp_path):
    counts = build(tmp_path, entities=60)
    files = sorted((tmp_path / "trex_raw").iterdir())
    written = [document for file in files for document in json.loads(file.read_text())]
    assert counts["trex_raw"] == len(written) == 60
    assert written == list(documents(World(entities=60)))
    assert {e.id for e in World(entities=60).entities} == {d["docid"].removeprefix(URI) for d in written}


@pytest.mark.parametrize("seed", random.Random(0).sample(range(1000), 3))
def test_the_smallest_world_can_be_built(tmp_path, seed):
    counts = build(tmp_path, seed=seed, entities=48)
    assert all(count > 0 for count in counts.values())
