"""T-REx-rc built from raw documents: the world's own, and small ones written by hand with counts by hand."""

import gzip
import json
import os
import shutil
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kadapter.cli import main
from kadapter.data import trex_build, trex_parts
from kadapter.data.trex_build import Settings, build
from kadapter.errors import FormatError, KAdapterError
from kadapter.formats import trex, trex_rc
from kadapter.world import World, documents
from kadapter.world.facts import PROPERTIES

ALL = Settings(minimum=1)
TEXT = "Ada Byron was born in London. She died there."
# 0   4     10  14   19 22    28  30  34   39   44
WORDS = [[0, 3], [4, 9], [10, 13], [14, 18], [19, 21], [22, 28], [28, 29], [30, 33], [34, 38], [39, 44], [44, 45]]


def entity(uri, boundaries):
    return {
        "uri": f"http://www.wikidata.org/entity/{uri}",
        "boundaries": boundaries,
        "surfaceform": "",
        "annotator": "",
    }


def triple(subject=(0, 9), object=(22, 28), relation="P19", sentence=0, ids=("Q7259", "Q84")):
    return {
        "subject": entity(ids[0], subject and list(subject)),
        "predicate": entity("", None) | {"uri": f"http://www.wikidata.org/prop/direct/{relation}"},
        "object": entity(ids[1], object and list(object)),
        "sentence_id": sentence, "dependency_path": None, "confidence": None, "annotator": "SPOAligner",
    }  # fmt: skip


def document(*triples, text=TEXT, sentences=((0, 29), (30, 45)), words=WORDS, id="Q7259"):
    return {
        "docid": f"http://www.wikidata.org/entity/{id}", "title": "Ada", "uri": "", "text": text,
        "sentences_boundaries": [list(pair) for pair in sentences], "words_boundaries": words, "entities": [],
        "triples": list(triples),
    }  # fmt: skip


def put(folder: Path, *documents, name="a.json") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(documents), encoding="utf-8")
    return folder


def records(out: Path) -> list[dict]:
    return [r for split in ("train", "dev") for r in json.loads((out / f"{split}.json").read_text(encoding="utf-8"))]


def many(count, relation="P19", start=0):
    """Documents with one sentence each, and the pair of entities numbered."""
    for i in range(start, start + count):
        text = f"Ada Byron was born in London. Number {i}"
        words = [*WORDS[:7], [30, 36], [37, len(text)]]
        ids = (f"Q{relation[1:]}00{i}", "Q84")
        yield document(
            triple(relation=relation, ids=ids), text=text, sentences=[(0, len(text))], words=words, id=ids[0]
        )


# --- alignment -------------------------------------------------------------------------------------------------------


def test_a_triple_by_hand(tmp_path):
    counts = Counter()
    second = triple((30, 33), (34, 38), "P20", 1, ("Q1", "Q2"))
    found = list(trex.examples(put(tmp_path, document(triple(), second)) / "a.json", counts))
    assert found == [
        ("", {
            "docid": "Q7259", "token": ["Ada", "Byron", "was", "born", "in", "London", "."], "relation": "P19",
            "subj_start": 0, "subj_end": 1, "obj_start": 5, "obj_end": 5, "subj_label": "Q7259", "obj_label": "Q84",
        }),
        ("", {
            "docid": "Q7259", "token": ["She", "died", "there", "."], "relation": "P20",
            "subj_start": 0, "subj_end": 0, "obj_start": 1, "obj_end": 1, "subj_label": "Q1", "obj_label": "Q2",
        }),
    ]  # fmt: skip
    assert counts == {"documents": 1, "triples": 2}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (triple(subject=None), "no boundaries"),
        (triple(object=None), "no boundaries"),
        (triple(sentence=2), "no such sentence"),
        (triple(sentence=-1), "no such sentence"),
        (triple(sentence=None), "no such sentence"),
        (triple(sentence=1), "outside the sentence"),
        (triple(object=(34, 38)), "outside the sentence"),
        (triple(object=(28, 33)), "outside the sentence"),
        (triple(object=(-5, 3)), "outside the sentence"),
        (triple(subject=(0, 8)), "boundaries miss the words"),
        (triple(object=(23, 28)), "boundaries miss the words"),
        (triple(object=(28, 22)), "boundaries miss the words"),
        (triple(object=(22, 22)), "boundaries miss the words"),
        (triple(object=[22, 28, 3]), "broken triple"),
        (triple(object=["22", 28]), "broken triple"),
        (triple(relation=""), "broken triple"),
        (triple() | {"subject": None}, "broken triple"),
        (triple() | {"object": {"boundaries": None}}, "broken triple"),
        ({}, "broken triple"),
        ("P19", "broken triple"),
    ],
)
def test_every_reason_to_drop_a_triple(value, reason, tmp_path):
    counts = Counter()
    found = list(trex.examples(put(tmp_path, document(value, triple())) / "a.json", counts))
    assert [why for why, _ in found] == [reason, ""] and counts["triples"] == 2
    if reason == "broken triple":
        assert "a.json, record 1: triples[0]" in str(found[0][1]) and "expected" in str(found[0][1])


@pytest.mark.parametrize(
    "broken",
    [
        document() | {"text": None},
        document() | {"triples": {}},
        document() | {"words_boundaries": [[0, 3000]]},
        document() | {"words_boundaries": [[3, 0]]},
        document() | {"sentences_boundaries": None},
        document() | {"docid": 7},
        {},
    ],
)
def test_broken_documents_are_counted_and_named(broken, tmp_path):
    card = build(put(tmp_path / "raw", broken, *many(5)), tmp_path / "out", ALL, jobs=1)
    assert card["dropped"] == {"broken document": 1} and card["triples"] == 6 and card["documents"] == 6
    [line] = card["broken"]
    assert "a.json, record 1: " in line and "expected" in line
    assert line in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_names_of_entities():
    assert trex.name_of("http://www.wikidata.org/entity/Q42") == "Q42"
    assert trex.name_of('"1987-06-16T00:00:00Z"^^http://www.w3.org/2001/XMLSchema#dateTime') == "1987-06-16T00:00:00Z"


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_what_aligns_is_what_was_marked(data, tmp_path_factory):
    """Any words with any gaps between them, two spans of whole words: the tokens say the same as the characters."""
    word = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)
    words = data.draw(st.lists(word, min_size=1, max_size=6))
    text, bounds = "", []
    for one in words:
        text += data.draw(st.sampled_from(["", " ", "\n "]))
        bounds.append([len(text), len(text) + len(one)])
        text += one
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    borders = []
    for _ in range(2):
        a = data.draw(st.integers(first, last))
        borders.append((a, data.draw(st.integers(a, last))))
    spans = [(bounds[a][0], bounds[b][1]) for a, b in borders]
    order = data.draw(st.permutations(bounds))
    sentence = (bounds[first][0], bounds[last][1])
    value = document(triple(*spans), text=text, sentences=[sentence], words=[*order, [0, 0]])
    folder = put(tmp_path_factory.mktemp("raw"), value)
    [(reason, record)] = trex.examples(folder / "a.json", Counter())
    assert reason == "" and record["token"] == words[first : last + 1]
    for (a, b), role in zip(borders, ("subj", "obj"), strict=True):
        assert (record[f"{role}_start"], record[f"{role}_end"]) == (a - first, b - first)
    for shift in (-1, 1):  # one character off is no word's border, or another word's
        moved = (spans[0][0] + shift, spans[0][1])
        value["triples"] = [triple(moved, spans[1])]
        put(folder, value)
        [(reason, record)] = trex.examples(folder / "a.json", Counter())
        at = [start for start, _ in bounds]
        fits = moved[0] in at and sentence[0] <= moved[0] < moved[1]
        assert (reason == "") == fits
        if fits:
            assert record["subj_start"] == at.index(moved[0]) - first


# --- the whole build -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """A world of several files of documents."""
    folder = tmp_path_factory.mktemp("world")
    made = World(entities=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "PER_FILE", 35)
        documents.write_documents(made, folder / "trex_raw")
    for split, rows in made.knowledge().items():
        trex_rc.write(rows, folder / "trex" / f"{split}.json")
    return folder


def test_the_world_comes_back(raw, tmp_path):
    card = build(raw / "trex_raw", tmp_path / "out", ALL, jobs=1)
    assert card["files"] == 2 and card["documents"] == 60
    assert set(card["dropped"]) == {"no boundaries", "boundaries miss the words"}
    assert card["triples"] == sum(card["examples"].values()) + sum(card["dropped"].values())
    expected = [r for split in ("train", "dev") for r in json.loads((raw / "trex" / f"{split}.json").read_text())]
    dumped = [
        [json.dumps(record, sort_keys=True) for record in found] for found in (records(tmp_path / "out"), expected)
    ]
    assert Counter(dumped[0]) == Counter(dumped[1])
    numbers = json.loads((tmp_path / "out" / "relations.json").read_text())
    assert numbers == PROPERTIES
    sizes = {split: len(trex_rc.read(tmp_path / "out" / f"{split}.json")) for split in ("train", "dev")}
    assert sizes == card["examples"]
    split = [{tuple(row) for row in trex_rc.read(tmp_path / "out" / f"{s}.json")["tokens"]} for s in sizes]
    assert not split[0] & split[1]
    assert len(split[1]) == round(0.1 * len(split[0] | split[1]))


def test_jobs_and_the_kind_of_source_change_nothing(raw, tmp_path):
    files = sorted((raw / "trex_raw").iterdir())
    (tmp_path / "gz").mkdir()
    for file in files:
        (tmp_path / "gz" / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in files:
            archive.write(file, f"TREx/{file.name}")
    card = build(raw / "trex_raw", tmp_path / "one", ALL, jobs=1)
    for name, source, jobs in (
        ("two", raw / "trex_raw", 2),
        ("gz", tmp_path / "gz", 1),
        ("zip", tmp_path / "all.zip", 1),
    ):
        other = build(source, tmp_path / f"out-{name}", ALL, jobs=jobs)
        assert {**other, "source": ""} == {**card, "source": ""}
        for file in ("train.json", "dev.json", "relations.json", "relations.csv", "relations.html"):
            assert (tmp_path / f"out-{name}" / file).read_bytes() == (tmp_path / "one" / file).read_bytes()
    build(raw / "trex_raw", tmp_path / "seed", Settings(minimum=1, seed=1), jobs=1)
    assert (tmp_path / "seed" / "dev.json").read_bytes() != (tmp_path / "one" / "dev.json").read_bytes()
    assert sorted(map(json.dumps, records(tmp_path / "seed"))) == sorted(map(json.dumps, records(tmp_path / "one")))


def test_both_rules_of_rarity(tmp_path):
    """P1 has 3 examples of 3 pairs, P2 has 4 of one pair, P3 has 1."""
    same = [document(triple(relation="P2"), triple((0, 3), relation="P2"), triple((4, 9), relation="P2"))]
    same.append(document(triple((0, 9), (10, 13), "P2")))
    raw = put(tmp_path / "raw", *many(3, "P1"), *same, *many(1, "P3"))
    by_pairs = build(raw, tmp_path / "pairs", Settings(minimum=2), jobs=1)
    assert by_pairs["relations"] == 1 and by_pairs["dropped"] == {"rare relation": 5}
    assert {r["relation"] for r in records(tmp_path / "pairs")} == {"P1"}
    by_examples = build(raw, tmp_path / "examples", Settings("examples", 2), jobs=1)
    assert by_examples["relations"] == 2 and by_examples["dropped"] == {"rare relation": 1}
    assert (tmp_path / "examples" / "relations.csv").read_text() == (
        "relation,examples,entity_pairs,kept\nP2,4,1,yes\nP1,3,3,yes\nP3,1,1,no\n"
    )
    assert json.loads((tmp_path / "examples" / "relations.json").read_text()) == {"P1": 0, "P2": 1}


def test_every_count_of_the_card_by_hand(tmp_path):
    bad = document(
        triple(subject=None), triple(subject=(0, 8)), triple(subject=(0, 7)), triple(sentence=1), triple(sentence=9),
        {}, triple(), triple(),
    )  # fmt: skip
    long = document(triple((0, 3), (4, 9), "P19", 0), sentences=[(0, 45)])
    raw = put(tmp_path / "raw", *many(3), bad, long, *many(2, "P31"), *many(1, "P6"), {})
    wanted = Settings(minimum=2, exclude=("P31", "P999"), max_tokens=9, dev_share=0.25)
    card = build(raw, tmp_path / "out", wanted, jobs=1)
    assert card["triples"] == 3 + 8 + 1 + 2 + 1 + 1 and card["documents"] == 9
    assert card["dropped"] == {
        "boundaries miss the words": 2, "excluded relation": 2, "no boundaries": 1, "outside the sentence": 1,
        "no such sentence": 1, "broken triple": 1, "broken document": 1, "duplicate": 1, "too long": 1,
        "rare relation": 1,
    }  # fmt: skip
    assert card["examples"] == {"train": 3, "dev": 1}
    assert sum(card["dropped"].values()) + 4 == card["triples"]
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for line in (
        "| `train.json` | 3 |", "| dropped: boundaries miss the words | 2 | 12.50% |", "| kept | 4 | 25.00% |",
        "fewer than 2 distinct subject-object pairs; so are P31, P999.", "Longest sentence: 9 words",
    ):  # fmt: skip
        assert line in text
    picture = (tmp_path / "out" / "relations.html").read_text(encoding="utf-8")
    assert "kept (1)" in picture and "rare, left out (1)" in picture
    assert "cdn.plot.ly" not in picture.split("</script>")[-1] and 'src="http' not in picture


def test_without_dev(tmp_path):
    card = build(put(tmp_path / "raw", *many(3)), tmp_path / "out", Settings(minimum=1, dev_share=0.0), jobs=1)
    assert card["examples"] == {"train": 3} and not (tmp_path / "out" / "dev.json").exists()


# --- stopped, broken, refused ----------------------------------------------------------------------------------------


def test_a_stopped_build_goes_on_where_it_was(raw, tmp_path, monkeypatch):
    files = sorted((raw / "trex_raw").iterdir())
    source = tmp_path / "raw"
    source.mkdir()
    for number, file in enumerate([*files, *files]):
        shutil.copy(file, source / f"{number}.json")
    whole = build(source, tmp_path / "whole", ALL, jobs=1)
    real, read = trex_parts.extract, []

    def stopping(one, part, kind):
        if len(read) == 2:
            raise KeyboardInterrupt
        read.append(one.name)
        real(one, part, kind)

    monkeypatch.setattr(trex_build, "extract", stopping)
    with pytest.raises(KeyboardInterrupt):
        build(source, tmp_path / "out", ALL, jobs=1)
    assert read == ["0.json", "1.json"] and not (tmp_path / "out").exists()
    assert len(list((tmp_path / "out.parts").iterdir())) == 2

    def counting(one, part, kind):
        read.append(one.name)
        real(one, part, kind)

    monkeypatch.setattr(trex_build, "extract", counting)
    os.utime(source / "1.json", ns=(0, 0))  # it changed since
    card = build(source, tmp_path / "out", ALL, jobs=1, keep_parts=True)
    assert read[2:] == ["1.json", "2.json", "3.json"]
    assert card == {**whole, "source": str(source)}
    read.clear()
    other = build(source, tmp_path / "out", Settings("examples", 15, ("P19",), 12), jobs=1)
    assert not read and other["relations"] < card["relations"]  # parts serve other settings, too
    assert not (tmp_path / "out.parts").exists() and not list(tmp_path.glob("*.partial-*"))


def test_a_part_that_fails_leaves_nothing(tmp_path, monkeypatch):
    source = put(tmp_path / "raw", *many(3))
    monkeypatch.setattr(trex_parts, "_row", lambda record: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(source, tmp_path / "out", ALL, jobs=1)
    assert not list((tmp_path / "out.parts").iterdir()) and not (tmp_path / "out").exists()


def test_an_interrupted_second_pass_leaves_the_former_build(tmp_path, monkeypatch):
    source = put(tmp_path / "raw", *many(20))
    before = build(source, tmp_path / "out", ALL, jobs=1)
    monkeypatch.setattr(trex_build, "_digest", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(source, tmp_path / "out", Settings(minimum=1, seed=7), jobs=1)
    assert json.loads((tmp_path / "out" / "card.json").read_text())["sha256"] == before["sha256"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.parts", "raw"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_file_that_is_no_json_is_named(jobs, tmp_path):
    source = put(tmp_path / "raw", *many(3))
    put(source, *many(3, start=3), name="b.json")
    (source / "c.json").write_text('[{"docid": "Q1",\n "text": oops}]', encoding="utf-8")
    with pytest.raises(FormatError, match=r"c\.json, line 2: record 1: found .*ops}.*; expected a JSON object"):
        build(source, tmp_path / "out", ALL, jobs=jobs)
    assert not (tmp_path / "out").exists()
    (source / "c.json").unlink()
    assert build(source, tmp_path / "out", ALL, jobs=1)["files"] == 2


def test_a_broken_file_in_a_zip_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("re/a.json", "[oops]")
    with pytest.raises(FormatError, match=r"all\.zip/re/a\.json, line 1: record 1: found 'oops"):
        build(tmp_path / "all.zip", tmp_path / "out", ALL, jobs=1)
    (tmp_path / "torn.zip").write_bytes((tmp_path / "all.zip").read_bytes()[:-9])
    with pytest.raises(KAdapterError, match=r"torn\.zip: no whole zip file"):
        build(tmp_path / "torn.zip", tmp_path / "out", ALL, jobs=1)


def test_what_is_refused(tmp_path):
    source = put(tmp_path / "raw", *many(3))
    with pytest.raises(KAdapterError, match="nowhere does not exist; expected a folder"):
        build(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(KAdapterError, match=r"empty has no file that ends in \.json or \.json\.gz"):
        build(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(KAdapterError, match="raw would be replaced, but is no earlier build"):
        build(source, source)
    with pytest.raises(KAdapterError, match="unknown rarity 'pairs': did you mean 'entity_pairs'"):
        Settings("pairs")
    with pytest.raises(KAdapterError, match="dev_share is 1.0"):
        Settings(dev_share=1.0)
    with pytest.raises(KAdapterError, match="max_tokens is 1"):
        Settings(max_tokens=1)
    with pytest.raises(KAdapterError, match="jobs is 0"):
        build(source, tmp_path / "out", jobs=0)
    with pytest.raises(KAdapterError, match="unknown kind of source 'squad'"):
        build(source, tmp_path / "out", kind="squad")
    with pytest.raises(
        KAdapterError, match=r"0 sentences are left of 3 triples \(dropped: 3 rare relation\).*50 entity"
    ):
        build(source, tmp_path / "out", jobs=1)
    with pytest.raises(KAdapterError, match="0 sentences are left of 3 triples"):
        build(source, tmp_path / "out", Settings(minimum=1, max_tokens=2), jobs=1)


def test_the_command(tmp_path, monkeypatch, capsys):
    source = put(tmp_path / "raw", *many(12), *many(2, "P31"))
    command = ["data", "trex", str(source), str(tmp_path / "out"), "--minimum", "1", "--exclude", "P31", "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", ["kadapter", *command])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert not ended.value.code
    shown = capsys.readouterr().out
    assert "14 triples in 14 documents of 1 files" in shown and "2  dropped: excluded relation" in shown
    assert f"1 relations: {tmp_path / 'out'}" in shown
    assert json.loads((tmp_path / "out" / "card.json").read_text())["settings"]["exclude"] == ["P31"]
    monkeypatch.setattr(trex_build, "extract", lambda *arguments: os.kill(os.getpid(), 15))
    monkeypatch.setattr(sys, "argv", ["kadapter", "data", "trex", str(source), str(tmp_path / "new"), "--jobs", "1"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 130
    assert f"finished parts are kept in {tmp_path / 'new'}.parts" in capsys.readouterr().err


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("kadapter.data.trex_parts.SMALL", 1 << 16)
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("re/a.json", bytes(1 << 20))
    with pytest.raises(KAdapterError, match=r"all\.zip/re/a\.json: found 1,048,576 bytes packed into 1,0..; expected"):
        build(tmp_path / "all.zip", tmp_path / "out", ALL, jobs=1)
