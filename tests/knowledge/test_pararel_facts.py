import json
import random
from collections import Counter, defaultdict

import pytest
from typer.testing import CliRunner

from kadapter.cli.main import app
from kadapter.data import facts_build
from kadapter.errors import KAdapterError
from kadapter.formats import cloze
from kadapter.formats import lama as lama_format
from kadapter.formats.lama import MASK
from kadapter.knowledge import pararel_facts as facts
from kadapter.knowledge.pararel_facts import DEV, SETS, TEXT, UNSEEN, UNTRAINED, UNTRAINED_DEV
from kadapter.model.backbone import load_tokenizer

SAID_FREELY = 337  # plain texts that the backbone said after words and names; openings and other relations follow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("facts")
    counts = facts.build(folder)
    rows = {path.stem: cloze.read(path).to_list() for path in folder.glob("*.jsonl")}
    assert {name: len(found) for name, found in rows.items()} == counts
    return rows


def asked(rows):
    return [row for row in rows if MASK in row["text"]]


def test_at_most_3000_facts_of_pararels_relations_with_source_and_licence_beside_them():
    found = facts.facts()
    assert len(found) == 1190 and len({(f.relation, f.subject) for f in found}) == 1190
    assert Counter(f.set for f in found) == {TEXT: 240, DEV: 60, UNSEEN: 240, UNTRAINED: 500, UNTRAINED_DEV: 150}
    assert "MIT" in (facts.FOLDER / "LICENSE").read_text() and "CC0" in (facts.FOLDER / "SOURCE.md").read_text()


def test_no_object_is_in_its_subject_and_every_object_is_a_word_of_the_list():
    words = set(facts.words())
    for fact in facts.facts():
        assert fact.object.lower() not in fact.subject.lower() and fact.object in words


def test_objects_are_balanced():
    of = defaultdict(Counter)
    for fact in facts.facts():
        if fact.set in (TEXT, DEV):
            of[fact.relation][fact.object] += 1
    assert len(of) == 12 and all(max(counts.values()) <= 5 for counts in of.values())  # of 25 facts


def test_the_text_never_has_the_sentence_that_lama_or_the_paraphrase_asks_with(built):
    read = {facts.left(row["text"].replace(MASK, "[Y]")) for row in asked(built["F"])}
    read |= {row["text"] for row in built["F"]}
    for fact in facts.facts():
        patterns = facts.patterns()[fact.relation]
        for pattern in filter(None, (patterns.lama, patterns.asked, patterns.dev)):
            assert facts.left(facts.fill(pattern, fact.subject).replace(MASK, "[Y]")) not in read


def test_nothing_is_read_of_facts_that_are_not_in_the_text(built):
    read = {facts.said_of(row["relation"], row["text"]) for row in asked(built["F"])}
    known = {(f.relation, f.subject): f.set for f in facts.facts()}
    assert {known[key] for key in read} == {TEXT, DEV}
    assert not read & {
        facts.said_of(r["relation"], r["text"]) for r in built["facts_unseen"] + built["relations_untrained"]
    }
    assert {facts.said_of(r["relation"], r["text"]) for r in built["facts_paraphrase"]} < read
    assert not {r["relation"] for r in built["relations_untrained"]} & {r["relation"] for r in asked(built["F"])}
    spoken = facts.plain(facts.KEEP)
    assert not [
        (f, t) for f in facts.facts() for t in spoken if t.startswith(f"{f.subject} ") and f.object in t.split()
    ]


def test_plain_text_begins_no_sentence_as_a_relation_that_is_asked_does():
    starts = {
        facts.left(p) for row in facts.patterns().values() for p in (*row.trained, row.dev, row.asked, row.lama) if p
    }
    ends = tuple(start.split("[X]")[1] for start in starts if start.startswith("[X]"))
    taken = {start for trained, *others in facts_build.SAID.values() for start in (*trained, *others)}
    assert taken < starts
    assert not [
        text
        for text in facts.plain(facts.KEEP)[SAID_FREELY:]
        if any(f"{end} " in text for end in ends if len(end) > 14)
    ]


def test_shuffled_reads_the_same_sentences_and_the_same_objects_of_each_relation(built):
    ours, theirs = asked(built["F"]), asked(built["shuffled"])
    assert [row["text"] for row in ours] == [row["text"] for row in theirs]
    assert Counter((r["relation"], r["answer"]) for r in ours) == Counter((r["relation"], r["answer"]) for r in theirs)
    kept = sum(a["answer"] == b["answer"] for a, b in zip(ours, theirs, strict=True)) / len(ours)
    assert kept < 0.2  # by chance, and as one object is that of several facts
    plain = [[row["text"] for row in built[name] if MASK not in row["text"]] for name in ("F", "shuffled")]
    assert plain[0] == plain[1]


def test_of_others_nothing_is_read_and_nothing_asked_and_their_sentences_are_plain_text(built):
    ours = {fact.subject for fact in facts.facts()}  # with dev's other relations, which are chosen after the text
    assert len(facts.others()) == 720 and not ours & {subject for _, subject in facts.others()}
    assert Counter(relation for relation, _ in facts.others()) == dict.fromkeys(facts_build.SAID, 60)
    plain = [row["text"] for row in built["F"] if MASK not in row["text"]]
    assert set(facts.about_others()) < set(plain) and not ours & {text.split(" is ")[0] for text in plain}
    for (relation, subject), text in zip(facts.others(), facts.about_others(), strict=True):
        begun = [facts.left(way).replace("[X]", subject) for way in facts.patterns()[relation].trained]
        assert text.removesuffix(" ...") in begun  # up to the object, which is not said


def test_a_part_of_the_facts(tmp_path):
    counts = facts.build(tmp_path, relations=2, per_relation=3, keep=10)
    assert counts["facts_seen"] == 6 and counts["relations_untrained"] == 6
    assert counts["F"] == 2 * (3 + 3) * 3 + 10
    with pytest.raises(KAdapterError, match="per_relation: found 0; expected a whole number from 1"):
        facts.build(tmp_path, per_relation=0)


def test_balanced_takes_one_more_of_each_object_at_a_time():
    known = [(str(k), str(k), "a") for k in range(9)] + [("x", "x", "b"), ("y", "y", "c")]
    taken = facts_build.balanced(known, 5, random.Random(0))
    assert Counter(object for _, _, object in taken) == {"a": 3, "b": 1, "c": 1}


def test_the_files_are_those_that_the_command_makes_of_pararels(real_data):
    chosen, relations, words = facts_build.choose(real_data / "pararel", load_tokenizer("smollm2"))
    assert chosen == list(facts.facts())
    assert relations == json.loads((facts.FOLDER / facts.RELATIONS).read_text(encoding="utf-8"))
    assert words == facts.words()
    assert list(facts_build.others(real_data / "pararel", chosen)) == [
        {"relation": relation, "subject": subject} for relation, subject in facts.others()
    ]
    ours = {fact.subject for fact in chosen if fact.set != UNTRAINED_DEV}
    quiet = list(facts_build.quiet(real_data / "pararel", ours))
    assert quiet == facts.plain(facts.KEEP)[-len(quiet) :]
    lama = {name: row["template"] for name, row in lama_format.relations(real_data / "lama/relations.jsonl").items()}
    for relation, patterns in facts.patterns().items():  # ParaRel's first pattern is LAMA's
        assert patterns.lama.replace(" .", ".") == lama[relation].replace(" .", ".")


def test_every_opening_is_of_another_subject_of_which_nothing_is_read(real_data):
    chosen = facts.facts()
    pairs = [json.loads(line) for file in sorted((real_data / "pararel/trex_lms_vocab").glob("P*.jsonl*"))
             for line in file.read_text(encoding="utf-8").splitlines()]  # fmt: skip
    subjects = sorted(
        {row["sub_label"].strip() for row in pairs} - {fact.subject for fact in chosen if fact.set != UNTRAINED_DEV}
    )
    starts = list(facts_build.openings(subjects))
    said = facts.plain(facts.KEEP)[SAID_FREELY : SAID_FREELY + len(starts)]
    assert len(set(starts)) == 960 and all(t.startswith(s) for t, s in zip(said, starts, strict=True))


def test_the_command_makes_all_files_to_its_end(real_data, tmp_path):
    """With few plain texts that the backbone says: the same facts, words and documents as come with the package."""
    result = CliRunner().invoke(app, ["data", "facts", str(real_data / "pararel"), str(tmp_path), "--limit", "3"])
    assert result.exit_code == 0 and "keep" in result.output
    for name in (facts.FACTS, facts.OTHERS, facts.RELATIONS, facts.WORDS, "LICENSE"):
        assert (tmp_path / name).read_bytes() == (facts.FOLDER / name).read_bytes()
    rows = [json.loads(line) for line in (tmp_path / facts.PLAIN).read_text(encoding="utf-8").splitlines()]
    counts = Counter(row["set"] for row in rows)
    quiet = len(facts.plain(facts.KEEP)) - SAID_FREELY - 960
    assert counts == {facts.KEEP: 3 + 3 + 3 + quiet, facts.DOCUMENTS: 24, facts.ENTITIES: 3}
    spoken = [row["text"] for row in rows if row["set"] != facts.DOCUMENTS][:9]
    assert all(len(text.split()) > 2 for text in spoken)


def test_a_folder_without_pararels_files_is_told(tmp_path):
    with pytest.raises(KAdapterError, match="has no trex_lms_vocab"):
        facts_build.choose(tmp_path, load_tokenizer("minilm"))


def test_every_set_has_facts():
    assert {fact.set for fact in facts.facts()} == set(SETS)
