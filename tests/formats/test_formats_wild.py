"""Files as they are in the wild: further keys, keys in another order, other spacing, other writers, blank lines, quoted
line breaks. They go in unchanged."""

import gzip
import json

import pytest

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats import conllu, cosmosqa, entity_typing, fewrel, figer_gold, openqa, squad, tacred, triples
from tests.formats.test_formats import (
    CONLLU,
    FIGER,
    SAMPLES,
    TACRED,
    TYPING,
    put,
    table,
)


def test_openentity_with_further_keys(tmp_path):
    """OpenEntity as KnowBert and K-Adapter copies of ERNIE's split have it."""
    extra = [{"id": "x7", "annot_id": 3, **record, "notable": None, "score": [1.5]} for record in TYPING]
    path = put(tmp_path, "entity_typing", json.dumps(extra, indent=4))
    assert table(entity_typing.read(path)) == table(
        entity_typing.read(put(tmp_path, "entity_typing", json.dumps(TYPING)))
    )


def test_a_link_without_score_or_with_a_whole_one(tmp_path):
    records = [TYPING[0] | {"ents": [["Q1", 4, 11, 1]]}]
    assert entity_typing.read(put(tmp_path, "entity_typing", json.dumps(records)))["ents"][0][0]["score"] == 1.0


def test_figer_test_of_563_mentions(tmp_path):
    """Several labels, none of them, and mentions of one sentence, in one line as json.dump writes it."""
    labels = [["/person"], ["/person", "/person/artist"], ["/location", "/location/city", "/organization"]]
    records = [
        {"labels": labels[i % 3], "sent": f"Ada {i} met Bob in New York .", "end": 3, "start": 0, "ents": []}
        for i in range(563)
    ]
    dataset = entity_typing.read(put(tmp_path, "entity_typing", json.dumps(records)))
    assert len(dataset) == 563 and dataset[562]["labels"] == labels[562 % 3]


def test_official_tacred(tmp_path):
    """Keys in LDC's order, with the parser's columns of the sentence's length."""
    words = ["At", "the", "same", "time", ",", "Chief", "Financial", "Officer", "Douglas", "Flint", "will", "leave"]
    record = {
        "id": "e7798fb926b9403cfcd2", "docid": "APW_ENG_20101103.0539", "relation": "per:title", "token": words,
        "subj_start": 8, "subj_end": 9, "obj_start": 5, "obj_end": 7, "subj_type": "PERSON", "obj_type": "TITLE",
        "stanford_pos": ["IN"] * 12, "stanford_ner": ["O"] * 12, "stanford_head": ["4"] * 12,
        "stanford_deprel": ["case"] * 12,
    }  # fmt: skip
    [row] = table(tacred.read(put(tmp_path, "tacred", json.dumps([record]))))
    assert row["text"][row["subj_start"] : row["subj_end"]] == "Douglas Flint"
    assert row["text"][row["obj_start"] : row["obj_end"]] == "Chief Financial Officer"
    assert row["label"] == "per:title" and row["tokens"] == words
    # Retacred and cleaned copies lack the columns, and some tokens are brackets or white space.
    short = {key: value for key, value in record.items() if not key.startswith("stanford")}
    short["token"] = ["-LRB-", "\u00a0", *words[2:]]
    assert table(tacred.read(put(tmp_path, "tacred", json.dumps([short]))))[0]["tokens"] == short["token"]


@pytest.mark.parametrize("indent", [None, 2])
def test_fewrel_files(indent, tmp_path):
    """val_wiki has property ids, val_pubmed names with spaces; the mention lists are nested; entities may lack ids."""
    one = {"tokens": ["Oslo", "is", "in", "Norway"], "h": ["oslo", "Q585", [[0]]], "t": ["norway", "Q20", [[3]]]}
    pubmed = one | {"h": ["oslo", "", [[0]]], "t": ["norway", "C0028423", [[3], [3]]]}
    text = json.dumps({"P17": [one], "biological process involves gene product": [pubmed, pubmed]}, indent=indent)
    dataset = fewrel.read(put(tmp_path, "fewrel", text))
    assert dataset["label"] == ["P17", *["biological process involves gene product"] * 2]
    assert dataset["subj_id"] == ["Q585", "", ""]


def test_fewrel_semeval(tmp_path):
    """FewRel 2.0's nominals: the words of the mention where an entity's id stands elsewhere."""
    one = {"tokens": ["the", "owl", "held", "its", "claw"], "h": ["owl", "owl", [[1]]], "t": ["claw", "claw", [[4]]]}
    dataset = fewrel.read(put(tmp_path, "fewrel", json.dumps({"Component-Whole(e2,e1)": [one]})))
    assert (dataset["label"], dataset["subj_id"]) == (["Component-Whole(e2,e1)"], ["owl"])


def test_fewrel_entities_without_an_id(tmp_path):
    one = {"tokens": ["Oslo", "is", "in", "Norway"], "h": ["oslo", None, [[0]]], "t": ["norway", "Q20", [[3]]]}
    assert fewrel.read(put(tmp_path, "fewrel", json.dumps({"P17": [one]})))["subj_id"] == [""]


def test_cosmosqa_csv_of_another_writer(tmp_path):
    """Columns in another order, every field quoted, line breaks and commas in fields, a column without a name."""
    text = (
        '"","label","id","question","context","answer0","answer1","answer2","answer3"\r\n'
        '"0","1","a##1","Why, then ?","He said:\r\n""No"",\n\nand left .","A","B, b","C","None of the above"\r\n'
        '"1","0","a##2","?","x","","B","C","D"\r\n\r\n'
    )
    [first, second] = table(cosmosqa.read(put(tmp_path, "cosmosqa_csv", text)))
    assert first == {
        "id": "a##1", "context": 'He said:\r\n"No",\n\nand left .', "question": "Why, then ?",
        "answers": ["A", "B, b", "C", "None of the above"], "label": 1,
    }  # fmt: skip
    assert second["answers"][0] == "" and second["label"] == 0


@pytest.mark.parametrize("label", ["", None, "missing", -1, "-1"])
def test_cosmosqa_test_sets_have_no_labels(label, tmp_path):
    record = {"id": "a", "context": "x", "question": "?", **{f"answer{i}": str(i) for i in range(4)}}
    record |= {} if label == "missing" else {"label": label}
    assert cosmosqa.read(put(tmp_path, "cosmosqa_jsonl", json.dumps(record)))["label"] == [-1]


def test_openqa_of_strings_and_of_blank_lines(tmp_path):
    """Questions and paragraphs as strings, as one list of tokens each, and blank lines at the end of both files."""
    path = tmp_path / "dev.txt"
    path.write_text('{"question": "who ?", "answers": ["Ada Byron"]}\n{"question": ["why", "?"], "answers": []}\n\n\n')
    path.with_suffix(".json").write_text(
        '[{"question": "who ?", "document": "Ada Byron wrote it in London"}]\n'
        '[{"question": ["why"], "document": ["a", "b", "c", "d", "e", "f"], "id": [0, 1]}]\n\n'
    )
    first, second = table(openqa.read(path))
    assert first["paragraphs"] == ["Ada Byron wrote it in London"] and second["question"] == "why ?"
    assert second["paragraphs"] == ["a b c d e f"]
    for file in (path, path.with_suffix(".json")):
        (tmp_path / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    assert len(openqa.read(tmp_path / "dev.txt.gz")) == 2


def test_openqa_when_one_of_the_pair_is_gzipped(tmp_path):
    path = put(tmp_path, "openqa", SAMPLES["openqa"][2])
    whole = table(openqa.read(path))
    other = path.with_suffix(".json")
    (tmp_path / "dev.json.gz").write_bytes(gzip.compress(other.read_bytes()))
    other.unlink()
    assert table(openqa.read(path)) == whole and table(openqa.read(tmp_path / "dev.json.gz")) == whole


def test_openqa_answers_as_one_string(tmp_path):
    path = put(tmp_path, "openqa", '{"question": "who", "answers": "Ada"}\n{"question": "why", "answers": []}\n')
    with pytest.raises(FormatError, match="line 1: answers: found 'Ada'; expected a list of strings"):
        openqa.read(path)


def test_figer_gold_with_crlf_and_blank_lines_at_both_ends(tmp_path):
    plain = table(figer_gold.read(put(tmp_path, "figer_gold", FIGER)))
    assert table(figer_gold.read(put(tmp_path, "figer_gold", "\n\n" + FIGER.replace("\t\n", "\n") + "\n\n"))) == plain
    assert table(figer_gold.read(put(tmp_path, "figer_gold", FIGER.replace("\n", "\r\n")))) == plain


def test_conllu_of_parsers(tmp_path):
    """No ids, comments without values, several blank lines, and enhanced columns."""
    text = CONLLU.replace("# sent_id = weblog-1\n", "# newdoc\n#\n").replace("\n\n", "\n\n\n \n")
    rows = table(conllu.read(put(tmp_path, "conllu", text)))
    assert [row["id"] for row in rows] == ["0", "1"] and rows[0]["words"] == ["I", "ca", "n't", "go"]


def test_squad_of_version_two(tmp_path):
    text = json.dumps({
        "data": [{"title": "x", "paragraphs": [{"document_id": 3, "context": "Ada met Bob.", "qas": [
            {"plausible_answers": [{"text": "Bob", "answer_start": 8}], "question": "Who left?", "id": "1",
             "answers": [], "is_impossible": True},
        ]}]}], "version": "v2.0",
    })  # fmt: skip
    assert table(squad.read(put(tmp_path, "squad", text)))[0]["answers"] == []


def test_triples_with_crlf(tmp_path):
    path = tmp_path / "train.txt"
    path.write_bytes(b"\xef\xbb\xbfQ1\tP1\tQ2\r\n\r\nQ1\tP2\tQ3\r\n")
    assert triples.read(path)["tail"] == ["Q2", "Q3"]


def test_json_lines_in_the_place_of_a_list_are_told(tmp_path):
    """ERNIE-like files are also passed around as one object per line: refused with what was expected."""
    with pytest.raises(KAdapterError, match="line 1: start of file: found .*expected .* a JSON list of objects"):
        tacred.read(put(tmp_path, "tacred", "\n".join(map(json.dumps, TACRED))))


def test_a_gzip_bomb_is_refused_where_it_becomes_one(tmp_path, monkeypatch):
    monkeypatch.setattr("kadapter.formats.files.SMALL", 1 << 21)
    path = put(tmp_path, "triples", "")
    path.write_bytes(gzip.compress(b"a\tb\tc\n" * (1 << 20)))
    with pytest.raises(FormatError, match="bytes unpacked: found .* and more; expected at most 2,.*: unpack it"):
        triples.read(path)
