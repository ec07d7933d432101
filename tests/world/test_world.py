"""The generated world: reproducible, and nothing but knowledge tells a test entity's type."""

import hashlib
import json
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from kadapter.errors import KAdapterError
from kadapter.formats import conllu, entity_typing, tacred, trex_rc
from kadapter.model.backbone import load_tokenizer
from kadapter.world import World, build
from kadapter.world.dated import DATED, DATED_LEXICON, LABELS, NO_RELATION
from kadapter.world.facts import PROPERTIES, RELATIONS, TYPES, grouped
from kadapter.world.grammar import expand, name_fragment, parse
from kadapter.world.names import make_names
from kadapter.world.statements import STATEMENTS
from kadapter.world.templates import LEXICON, PAIR, SINGLE

FILLS = {
    "S": name_fragment("Ssss Tttt"), "O": name_fragment("Oooo"), "DAY": "June/PROPN (nummod 16)", "YEAR": "1987/NUM"
}  # fmt: skip
TEMPLATES = [*PAIR, *SINGLE, *(t for ts in STATEMENTS.values() for t in ts), *(t for ts in DATED.values() for t in ts)]


@pytest.fixture(scope="module")
def world():
    return World(seed=0, entities=1000)


@pytest.fixture(scope="module")
def corpora(world):
    return {name: getattr(world, name)() for name in ("knowledge", "treebank", "typing", "ambiguous")}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


# --- reproducible ----------------------------------------------------------------------------------------------------


def test_same_seed_same_bytes_in_another_process(tmp_path):
    counts = build(tmp_path / "here", seed=3, entities=60)
    code = f"from kadapter.world import build; build({str(tmp_path / 'there')!r}, seed=3, entities=60)"
    for hash_seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], env={"PYTHONHASHSEED": hash_seed}
        )
        assert digests(tmp_path / "there") == digests(tmp_path / "here")
    assert all(count > 0 for count in counts.values())
    assert {*counts, "trex/relations.json", "world.json"} - {"trex_raw"} < set(digests(tmp_path / "here"))
    build(tmp_path / "other", seed=4, entities=60)
    assert digests(tmp_path / "other")["trex/train.json"] != digests(tmp_path / "here")["trex/train.json"]


def test_sizes(corpora):
    sizes = {(name, split): len(rows) for name, splits in corpora.items() for split, rows in splits.items()}
    assert sizes == {
        ("knowledge", "train"): 6000, ("knowledge", "dev"): 500,
        ("treebank", "train"): 2000, ("treebank", "dev"): 300, ("treebank", "test"): 300,
        ("typing", "train"): 800, ("typing", "dev"): 250, ("typing", "test"): 500,
        ("ambiguous", "train"): 1000, ("ambiguous", "dev"): 250, ("ambiguous", "test"): 500,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"entities": 20}, "entities: found 20; expected a whole number from 48 to 1,000,000"),
        ({"entities": float("nan")}, "entities: found nan; expected a whole number"),
        ({"stated": 1.5}, "stated: found 1.5; expected a number from 0 to 1"),
        ({"stated": float("nan")}, "stated: found nan; expected a number from 0 to 1"),
        ({"sentences_per_fact": 0}, "sentences_per_fact: found 0; expected a whole number from 1 to 100"),
        ({"facts_per_entity": 10**9}, "facts_per_entity: found 1000000000; expected a whole number from 1 to 100"),
        ({"seed": -1}, "seed: found -1; expected a whole number from 0"),
    ],
)
def test_a_wrong_world_is_refused(knobs, message):
    with pytest.raises(KAdapterError, match=f"world parameter {message}"):
        World(**{"entities": 60, **knobs})


# --- trees -----------------------------------------------------------------------------------------------------------


def assert_tree(heads):
    assert sum(head == 0 for head in heads) == 1
    assert all(0 <= head <= len(heads) for head in heads)
    for word in range(1, len(heads) + 1):
        steps = 0
        while word:
            word, steps = heads[word - 1], steps + 1
            assert steps <= len(heads), "a cycle"


def test_parse_by_hand():
    sentence = parse("(advcl (mark when) (nsubj {S}) came) (punct ,) (nsubj we/PRON) read (obj (det a) essay)", FILLS)
    assert sentence.words == ("When", "Ssss", "Tttt", "came", ",", "we", "read", "an", "essay", ".")
    assert sentence.heads == (4, 4, 2, 7, 7, 7, 0, 9, 7, 7)
    assert sentence.deprels == ("mark", "nsubj", "flat", "advcl", "punct", "nsubj", "root", "det", "obj", "punct")
    assert sentence.upos == ("SCONJ", "PROPN", "PROPN", "VERB", "PUNCT", "PRON", "VERB", "DET", "NOUN", "PUNCT")
    assert sentence.spans == {"S": (1, 3)}


@pytest.mark.parametrize("broken", ["(nsubj we they) read", "(nsubj (det the)) read", "(nsubj we read", "we) read"])
def test_a_broken_template_is_refused(broken):
    with pytest.raises(ValueError, match="head word|never"):
        parse(broken, FILLS)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), richness=st.floats(0, 1))
def test_every_template_is_a_tree(seed, richness):
    rng = random.Random(seed)
    for template in TEMPLATES:
        sentence = parse(expand(template, {**LEXICON, **DATED_LEXICON}, rng, richness), FILLS)
        assert_tree(sentence.heads)
        assert all(sentence.upos) and all(sentence.deprels)
        assert sentence.words[-1] == "." and len(sentence.words) < 60
        assert not set("<>(){}/") & set("".join(sentence.words))


def test_enough_templates():
    assert len(set(PAIR)) == len(PAIR) >= 60 and len(set(SINGLE)) == len(SINGLE) >= 30
    assert all("{S}" in t and "{O}" in t for t in PAIR)
    assert all("{S}" in t and "{O}" not in t for t in SINGLE)
    assert all(len(templates) >= 12 for templates in DATED.values())
    assert {(r.property, r.subject) for r in RELATIONS} == set(STATEMENTS)
    assert len(PROPERTIES) >= 20 and len(TYPES) >= 12 and 2 * len(LABELS) >= 16


def test_the_treebank_is_varied_and_holds_trees(corpora):
    sentences = [row for rows in corpora["treebank"].values() for row in rows]
    for row in sentences:
        assert_tree(row["heads"])
    relations = {deprel for row in sentences for deprel in row["deprels"]}
    assert {"advcl", "acl:relcl", "ccomp", "xcomp", "csubj", "conj", "nmod", "obl", "flat", "nsubj:pass"} <= relations
    shapes = {split: {tuple(row["heads"]) for row in rows} for split, rows in corpora["treebank"].items()}
    assert len(shapes["train"]) > 700
    assert len(shapes["test"] - shapes["train"]) > 0.3 * len(shapes["test"])


# --- entities and facts ----------------------------------------------------------------------------------------------


def test_entities_and_facts(world):
    types = Counter(e.type for e in world.entities)
    assert set(types) == set(TYPES) and min(types.values()) >= 20
    assert len({e.id for e in world.entities}) == 1000
    subjects = Counter(f.subject.id for f in world.facts)
    assert all(subjects[e.id] >= 2 for e in world.entities)
    assert all((f.relation.subject, f.relation.object) == (f.subject.type, f.object.type) for f in world.facts)
    assert all(f.subject is not f.object for f in world.facts)
    for wanted in TYPES:
        splits = Counter(e.split for e in world.entities if e.type == wanted)
        assert splits["train"] == pytest.approx(0.5 * types[wanted], abs=1)
        assert splits["dev"] == pytest.approx(0.15 * types[wanted], abs=1)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_name_is_part_of_another(seed):
    names = make_names(120, random.Random(seed))
    assert len(set(names)) == 120
    lower = [name.lower() for name in names]
    assert not [(a, b) for a in lower for b in lower if a != b and a in b]
    assert all(1 <= len(name.split()) <= 2 and all(w[0].isupper() for w in name.split()) for name in names)


def test_names_are_no_words(world):
    """Of the pseudo-words next to none is a whole piece of MiniLM's vocabulary, and none is a word of the templates."""
    words = [word.lower() for e in world.entities for word in e.name.split()]
    pieces = load_tokenizer("minilm").get_vocab()
    assert sum(word in pieces for word in words) < 0.005 * len(words)
    text = " ".join([*TEMPLATES, *(option for options in LEXICON.values() for option in options)]).lower()
    assert not set(words) & set(re.findall("[a-z]+", text))


# --- nothing gives a test entity away --------------------------------------------------------------------------------


def test_test_entities_are_known_and_never_trained_on(world, corpora):
    known = {row["subj_id"] for row in corpora["knowledge"]["train"]}
    assert known == {e.id for e in world.entities}
    names = {split: [e.name for e in world.entities if e.split == split] for split in ("train", "dev", "test")}
    for corpus in ("typing", "ambiguous"):
        for split in ("train", "dev", "test"):
            text = "\n".join(corpora[corpus][split]["text"])
            for other in {"train", "dev", "test"} - {split}:
                assert not [name for name in names[other] if name in text]
    tested = {row["subj_id"] for row in corpora["ambiguous"]["test"]}
    tested |= {row["ents"][0]["id"] for row in corpora["typing"]["test"]}
    assert {e.id for e in world.entities if e.split == "test"} == tested


def test_dev_facts_are_in_train(corpora):
    facts = {
        split: {(row["subj_id"], row["label"], row["obj_id"]) for row in rows}
        for split, rows in corpora["knowledge"].items()
    }
    assert facts["dev"] <= facts["train"]
    assert not set(corpora["knowledge"]["dev"]["text"]) & set(corpora["knowledge"]["train"]["text"])


def test_spans_are_the_names(world, corpora):
    name = {e.id: e.name for e in world.entities}
    for row in corpora["knowledge"]["train"]:
        assert row["text"][row["subj_start"] : row["subj_end"]] == name[row["subj_id"]]
        assert row["text"][row["obj_start"] : row["obj_end"]] == name[row["obj_id"]]
    for row in corpora["typing"]["test"]:
        assert row["text"][row["start"] : row["end"]] == name[row["ents"][0]["id"]]
        assert all(row["text"][e["start"] : e["end"]] == name[e["id"]] for e in row["ents"])
    for row in corpora["ambiguous"]["test"]:
        assert row["text"][row["subj_start"] : row["subj_end"]] == name[row["subj_id"]]
        date = row["text"][row["obj_start"] : row["obj_end"]]
        assert any(character.isdigit() for character in date) and len(date.split()) <= 2
        assert (row["subj_type"], row["obj_type"]) == ("ENTITY", "DATE")


def test_most_sentences_do_not_state_the_relation(world, corpora):
    fills = {"S": name_fragment("S"), "O": name_fragment("O")}
    stating = {
        (" ".join(parse(template, fills).words), property)
        for (property, _), templates in STATEMENTS.items()
        for template in templates
    }
    for rows, low, high in (
        (corpora["knowledge"]["train"], 0.10, 0.25),
        (World(entities=100, stated=1.0).knowledge()["train"], 1.0, 1.0),
        (World(entities=100, stated=0.0).knowledge()["train"], 0.0, 0.0),
    ):
        frames = [
            (_masked(row["text"], {"S": (row["subj_start"], row["subj_end"]), "O": (row["obj_start"], row["obj_end"])}))
            for row in rows
        ]
        share = np.mean([(frame, row["label"]) in stating for frame, row in zip(frames, rows, strict=True)])
        assert low <= share <= high


def _masked(text: str, spans: dict[str, tuple[int, int]]) -> str:
    """The text with each span replaced by its name."""
    for name, (start, end) in sorted(spans.items(), key=lambda item: -item[1][0]):
        text = text[:start] + name + text[end:]
    return text


def accuracy(train_texts, train_labels, texts, labels, **vectorizer) -> float:
    vectorizer = CountVectorizer(**vectorizer)
    model = LogisticRegression(max_iter=2000).fit(vectorizer.fit_transform(train_texts), train_labels)
    return model.score(vectorizer.transform(texts), labels)


def test_contexts_do_not_tell_the_type(corpora):
    train, test = corpora["typing"]["train"], corpora["typing"]["test"]
    labels = [[row["labels"][0] for row in rows] for rows in (train, test)]
    chance = max(Counter(labels[1]).values()) / len(test)
    assert chance < 1 / len(TYPES) + 0.02
    texts = [[_masked(row["text"], {"MENTION": (row["start"], row["end"])}) for row in rows] for rows in (train, test)]
    assert accuracy(texts[0], labels[0], texts[1], labels[1], ngram_range=(1, 2)) < chance + 0.05


def test_names_do_not_tell_the_type(world):
    train, test = ([e for e in world.entities if (e.split == "test") == held_out] for held_out in (False, True))
    names, types = ([[getattr(e, key) for e in half] for half in (train, test)] for key in ("name", "type"))
    found = accuracy(names[0], types[0], names[1], types[1], analyzer="char_wb", ngram_range=(1, 3))
    assert found < 1 / len(TYPES) + 0.05


def test_neutral_knowledge_does_not_tell_the_relation():
    corpus = World(entities=300, stated=0.0).knowledge()
    texts = [
        [
            _masked(row["text"], {"S": (row["subj_start"], row["subj_end"]), "O": (row["obj_start"], row["obj_end"])})
            for row in corpus[split]
        ]
        for split in ("train", "dev")
    ]
    labels = [list(corpus[split]["label"]) for split in ("train", "dev")]
    chance = max(Counter(labels[1]).values()) / len(labels[1])
    assert accuracy(texts[0], labels[0], texts[1], labels[1], min_df=3) < chance + 0.05


def test_the_ambiguous_task_is_ambiguous(corpora):
    train, test = corpora["ambiguous"]["train"], corpora["ambiguous"]["test"]
    assert set(train["label"]) == {NO_RELATION, *(label for pair in LABELS.values() for label in pair)}
    assert 0.05 < np.mean([label == NO_RELATION for label in train["label"]]) < 0.15
    related = [[row for row in rows if row["label"] != NO_RELATION] for rows in (train, test)]
    texts = [
        [_masked(row["text"], {"MENTION": (row["subj_start"], row["subj_end"])}) for row in rows] for rows in related
    ]
    labels = [[row["label"] for row in rows] for rows in related]
    found = accuracy(texts[0], labels[0], texts[1], labels[1])
    assert found < 1 / len(LABELS) + 0.05
    families = [["begin" if label in {b for b, _ in LABELS.values()} else "end" for label in part] for part in labels]
    assert accuracy(texts[0], families[0], texts[1], families[1]) > 0.95  # the text does decide this much
    none = [[row["label"] == NO_RELATION for row in rows] for rows in (train, test)]
    assert accuracy(train["text"], none[0], test["text"], none[1]) > 0.9


def test_a_family_shares_its_templates(corpora):
    """Every sentence frame occurs with several labels of its family, about as often with each type."""
    frames = defaultdict(Counter)
    for row in corpora["ambiguous"]["train"]:
        frame = " ".join(row["tokens"]).replace(row["text"][row["subj_start"] : row["subj_end"]], "S")
        date = row["text"][row["obj_start"] : row["obj_end"]]
        frames[frame.replace(date, "D")][row["label"]] += 1
    common = [labels for labels in frames.values() if labels.total() >= 20]
    assert len(common) >= 8
    assert all(len(labels) >= 6 for labels in common if NO_RELATION not in labels)


# --- files -----------------------------------------------------------------------------------------------------------


def test_files_hold_the_published_formats(tmp_path):
    world = World(entities=60)
    build(tmp_path, entities=60)
    for splits, folder, suffix, format, lost in (
        (world.knowledge(), "trex", "json", trex_rc, []),
        (world.treebank(), "conllu", "conllu", conllu, []),
        (world.typing(), "entity_typing", "json", entity_typing, []),
        (world.ambiguous(), "tacred", "json", tacred, ["subj_id"]),
    ):
        for split, rows in splits.items():
            found = format.read(tmp_path / folder / f"{split}.{suffix}")
            assert found.remove_columns(lost).to_list() == rows.remove_columns(lost).to_list()
    record = json.loads((tmp_path / "trex/train.json").read_text())[0]
    assert set(record) == {
        "docid", "token", "relation", "subj_start", "subj_end", "obj_start", "obj_end", "subj_label", "obj_label"
    }  # fmt: skip
    name = {e.id: e.name for e in world.entities}
    assert " ".join(record["token"][record["subj_start"] : record["subj_end"] + 1]) == name[record["subj_label"]]
    assert json.loads((tmp_path / "trex/relations.json").read_text()) == PROPERTIES
    described = json.loads((tmp_path / "world.json").read_text())
    assert described["entities"]["Q900001"]["name"] == world.entities[0].name
    assert [f.subject.id for f in world.facts] == [fact[0] for fact in described["facts"]]


# --- groups ----------------------------------------------------------------------------------------------------------


def test_groups_have_facts_among_themselves_alone_and_a_corpus_each(tmp_path):
    grouped_world = World(seed=2, entities=120, groups=2, facts_per_entity=2)
    group_of = grouped(grouped_world.entities, 2)
    for t in TYPES:
        assert Counter(group_of[e.id] for e in grouped_world.entities if e.type == t) == {0: 5, 1: 5}
    assert all(group_of[f.subject.id] == group_of[f.object.id] for f in grouped_world.facts)
    corpora = grouped_world.knowledge_of_groups()
    assert list(corpora) == ["a", "b"]
    whole = {split: {row["text"] for row in found} for split, found in grouped_world.knowledge_rows.items()}
    for number, splits in enumerate(corpora.values()):
        facts = {
            split: [(row["subj_id"], row["obj_id"], row["label"]) for row in found] for split, found in splits.items()
        }
        own = {
            (f.subject.id, f.object.id, f.relation.property)
            for f in grouped_world.facts
            if group_of[f.subject.id] == number
        }
        assert set(facts["train"]) == own
        assert set(facts["test"]) | set(facts["dev"]) == own and not set(facts["test"]) & set(facts["dev"])
        texts = {split: set(found["text"]) for split, found in splits.items()}
        assert not texts["test"] & (texts["train"] | texts["dev"])
        assert texts["train"] <= whole["train"] and texts["dev"] <= whole["dev"]
    counts = build(tmp_path, seed=2, entities=120, groups=2, facts_per_entity=2)
    assert counts["trex_a/train.json"] + counts["trex_b/train.json"] == counts["trex/train.json"]


def test_one_group_is_the_world_as_it_was():
    assert World(5, 60, groups=1).facts == World(5, 60).facts
    with pytest.raises(KAdapterError, match="entities: found 60 for 2 groups; expected 96 or more"):
        World(5, 60, groups=2)
