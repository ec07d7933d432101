"""Each format on a few lines written by hand: the rows they must give, offsets counted by hand, and what must raise."""

import copy
import json

import pytest

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats import (
    cloze,
    conceptnet,
    conllu,
    cosmosqa,
    drops,
    ernie_wiki,
    fewrel,
    figer_gold,
    graph_text,
    lama,
    opennre,
    openqa,
    redocred,
    semeval,
    squad,
    trex_rc,
    triples,
    wiki_et,
)
from kadapter.formats import text as plain_text
from kadapter.formats.spans import token_ends, token_spans
from tests.formats.test_formats import (
    CONLLU,
    COSMOSQA,
    FEWREL,
    FIGER,
    LAMA,
    LINKED_CLOZE,
    OPENNRE,
    OPENQA_JSON,
    OPENQA_TXT,
    REDOCRED,
    SAMPLES,
    SEMEVAL,
    SQUAD,
    TACRED,
    TREX,
    TYPING,
    WIKI_ET,
    put,
    table,
)


def rows(name, tmp_path, text=None):
    module, _, sample, _ = SAMPLES[name]
    return table(module.read(put(tmp_path, name, sample if text is None else text)))


def relation(id, text, subj, obj, label, ids=("", ""), types=("", ""), tokens=()):
    return {
        "id": id, "text": text, "subj_start": subj[0], "subj_end": subj[1], "obj_start": obj[0], "obj_end": obj[1],
        "label": label, "subj_id": ids[0], "obj_id": ids[1], "subj_type": types[0], "obj_type": types[1],
        "tokens": list(tokens),
    }  # fmt: skip


def test_trex_rc(tmp_path):
    # Ada was born in New York .      positions counted: Ada 0-3, New York 16-24
    assert rows("trex_rc", tmp_path) == [
        relation(
            "Q3343462", "Ada was born in New York .", (0, 3), (16, 24), "P19", ("Q7259", "Q60"),
            tokens=["Ada", "was", "born", "in", "New", "York", "."],
        ),
        relation(
            "Q3343462", "Zürich lies in Switzerland", (0, 6), (15, 26), "P17", ("Q72", "Q39"),
            tokens=["Zürich", "lies", "in", "Switzerland"],
        ),
    ]  # fmt: skip


def test_trex_rc_writes_inclusive_ends(tmp_path):
    trex_rc.write(trex_rc.read(put(tmp_path, "trex_rc", json.dumps(TREX))), tmp_path / "new.json")
    assert json.loads((tmp_path / "new.json").read_text()) == TREX


def test_trex_rc_relations_as_integers(tmp_path):
    records = [{**record, "relation": i} for i, record in enumerate(TREX)]
    path = put(tmp_path, "trex_rc", json.dumps(records))
    with pytest.raises(KAdapterError, match=r"relations\.json: cannot be read"):
        trex_rc.read(path)
    (tmp_path / "relations.json").write_text('{"P17": 1, "P19": 0}')
    assert trex_rc.read(path)["label"] == ["P19", "P17"]
    (tmp_path / "relations.json").write_text('{"P17": 1}')
    with pytest.raises(FormatError, match="record 1: relation: found 0; expected .* in relations.json"):
        trex_rc.read(path)
    (tmp_path / "relations.json").write_text('{"P17": "1"}')
    with pytest.raises(FormatError, match="relations.json, file: P17: found '1'; expected an integer"):
        trex_rc.read(path)


def test_tacred(tmp_path):
    first, second = rows("tacred", tmp_path)
    # Tom Thabane formed the All Basotho Convention -LRB- ABC -RRB-
    # 0   4       12     19  23  27      35         46
    assert first == relation(
        "61b3a5c8c9a882dcfcd2", "Tom Thabane formed the All Basotho Convention -LRB- ABC -RRB-", (23, 45), (0, 11),
        "org:founded_by", types=("ORGANIZATION", "PERSON"), tokens=TACRED[0]["token"],
    )  # fmt: skip
    assert second["text"][second["obj_start"] : second["obj_end"]] == "them"


def test_entity_typing(tmp_path):
    first, second = rows("entity_typing", tmp_path)
    assert first["text"][first["start"] : first["end"]] == "Google Maps"
    assert first == {
        "id": "0", "text": "The British released Google Maps .", "start": 21, "end": 32,
        "labels": ["object", "entity"],
        "ents": [
            {"id": "Q849763", "start": 4, "end": 11, "score": 0.12},
            {"id": "Q12013", "start": 21, "end": 32, "score": 1.0},
        ],
    }  # fmt: skip
    assert second == {"id": "1", "text": "He left", "start": 0, "end": 2, "labels": [], "ents": []}


def test_entity_typing_drops_links_outside_the_sentence(tmp_path):
    records = copy.deepcopy(TYPING)
    records[1]["ents"] = [["Q1", 3, 7, 0.5], ["Q2", 3, 8, 0.5], ["Q3", -1, 2, 0.5], ["Q4", 2, 2, 0.5]]
    del records[0]["ents"]
    dataset = SAMPLES["entity_typing"][0].read(put(tmp_path, "entity_typing", json.dumps(records)))
    assert dataset["ents"] == [[], [{"id": "Q1", "start": 3, "end": 7, "score": 0.5}]]
    assert drops(dataset) == {"entity link outside its sentence": 3}


def test_wiki_et(tmp_path):
    first, second = rows("wiki_et", tmp_path)
    assert first == {
        "id": "0", "text": "The British released Google Maps .", "start": 21, "end": 32, "labels": ["/art", "/art/web"],
        "ents": [{"id": "12", "start": 21, "end": 32, "score": 1.0}],
    }  # fmt: skip
    assert second == {"id": "1", "text": "He left", "start": 0, "end": 2, "labels": [], "ents": []}
    [whole] = rows("wiki_et", tmp_path, json.dumps(WIKI_ET[0] | {"id": 12}))
    assert whole == first


def test_wiki_et_writes_what_it_read(tmp_path):
    wiki_et.write(wiki_et.read(put(tmp_path, "wiki_et", SAMPLES["wiki_et"][2])), tmp_path / "new.json")
    assert list(map(json.loads, (tmp_path / "new.json").read_text().splitlines())) == WIKI_ET


def test_opennre_with_white_space_in_a_token(tmp_path):
    first, second = rows("opennre", tmp_path)
    # Bud Frye Field , \n_ it is in Madison .    the token of a line break and a space takes offsets 17-19
    assert first == relation(
        "0", "Bud Frye Field , \n  it is in Madison .", (0, 14), (29, 36), "airport of", ("Q14692752", "Q1913353"),
        ("", "GPE"), OPENNRE[0]["token"],
    )  # fmt: skip
    assert second == relation("1", "a b", (0, 1), (2, 3), "Other", tokens=["a", "b"])


def test_opennre_writes_what_it_read(tmp_path):
    opennre.write(opennre.read(put(tmp_path, "opennre", SAMPLES["opennre"][2])), tmp_path / "new.txt")
    first, second = map(json.loads, (tmp_path / "new.txt").read_text().splitlines())
    expected = copy.deepcopy(OPENNRE[0])
    expected["h"]["name"], expected["t"]["name"] = "Bud Frye Field", "Madison"  # the text of the span
    assert first == expected
    assert second["h"] == {"name": "a", "id": "", "pos": [0, 1]}


def test_fewrel(tmp_path):
    # Merpati lost at Sorong Airport in Sorong
    # 0       8    13 16     23      31 34
    assert rows("fewrel", tmp_path) == [
        relation(
            "0", "Merpati lost at Sorong Airport in Sorong", (16, 30), (34, 40), "P931", ("Q1416492", "Q106832"),
            tokens=FEWREL["P931"][0]["tokens"],
        ),
        relation("1", "Oslo Norway", (0, 4), (5, 11), "P17", ("Q585", "Q20"), tokens=["Oslo", "Norway"]),
    ]  # fmt: skip


def test_fewrel_writes_the_rows_of_one_relation_together(tmp_path):
    dataset = fewrel.read(put(tmp_path, "fewrel", json.dumps(FEWREL)))
    fewrel.write(dataset.select([0, 1, 0]), tmp_path / "new.json")
    written = json.loads((tmp_path / "new.json").read_text())
    assert list(written) == ["P931", "P17"] and len(written["P931"]) == 2
    assert written["P17"][0]["t"] == ["Norway", "Q20", [[1]]]


def test_redocred(tmp_path):
    dataset = redocred.read(put(tmp_path, "redocred", json.dumps(REDOCRED)))
    # In London Ada met Ada: of the two mentions of Ada, listed the other way round, the first in the text
    assert table(dataset) == [
        relation(
            "Ada",
            "In London Ada met Ada",
            (10, 13),
            (3, 9),
            "P551",
            types=("PER", "LOC"),
            tokens=REDOCRED[0]["sents"][1],
        )
    ]
    assert drops(dataset) == {"relation whose entities share no sentence": 1}


def test_redocred_gives_a_row_for_each_sentence_that_has_both(tmp_path):
    places = {"a": [(0, 0, 1, "X"), (2, 2, 3, "Y")], "b": [(2, 0, 2, "Z"), (0, 1, 2, "Z")]}
    vertices = [
        [{"name": name, "sent_id": sentence, "pos": [start, end], "type": type} for sentence, start, end, type in found]
        for name, found in places.items()
    ]
    labels = [{"h": 0, "t": 1, "r": "P1", "evidence": []}]
    record = {"title": "T", "sents": [["a", "b"], ["c"], ["b", "x", "a"]], "vertexSet": vertices, "labels": labels}
    assert rows("redocred", tmp_path, json.dumps([record])) == [
        relation("T", "a b", (0, 1), (2, 3), "P1", types=("X", "Z"), tokens=["a", "b"]),
        relation("T", "b x a", (4, 5), (0, 3), "P1", types=("Y", "Z"), tokens=["b", "x", "a"]),
    ]


def test_cosmosqa_csv_and_jsonl_are_the_same(tmp_path):
    expected = [
        {
            "id": "a##1", "context": 'It rained, "hard".', "question": "Why?",
            "answers": ["Wind", "Sun", "Rain", "None of the above choices ."], "label": 2,
        },
        {"id": "a##2", "context": "é", "question": "?", "answers": ["", "", "", ""], "label": -1},
    ]  # fmt: skip
    assert rows("cosmosqa_csv", tmp_path) == expected
    assert rows("cosmosqa_jsonl", tmp_path) == expected


def test_cosmosqa_csv_fields_over_several_lines(tmp_path):
    header = "label,id,context,question,answer0,answer1,answer2,answer3,more\r\n"
    text = header + '0,a,"x\r\ny\n\nz",q,1,2,3,4,\r\n\r\n1,b,c,q,1,2,3,4,\r\n'
    found = rows("cosmosqa_csv", tmp_path, text)
    assert [(row["id"], row["context"], row["label"]) for row in found] == [("a", "x\r\ny\n\nz", 0), ("b", "c", 1)]
    with pytest.raises(FormatError, match="line 7: label: found 'one'; expected 0, 1, 2 or 3"):
        rows("cosmosqa_csv", tmp_path, text.replace("1,b", "one,b"))


def test_conllu(tmp_path):
    assert rows("conllu", tmp_path) == [
        {
            "id": "weblog-1", "words": ["I", "ca", "n't", "go"], "heads": [4, 4, 4, 0],
            "deprels": ["nsubj", "aux", "advmod", "root"], "upos": ["PRON", "AUX", "PART", "VERB"],
        },
        {"id": "1", "words": ["New York"], "heads": [0], "deprels": ["root"], "upos": ["PROPN"]},
    ]  # fmt: skip


def test_conllu_writes_ten_columns(tmp_path):
    conllu.write(conllu.read(put(tmp_path, "conllu", CONLLU)), tmp_path / "new.conllu")
    assert (tmp_path / "new.conllu").read_text() == (
        "# sent_id = weblog-1\n# text = I ca n't go\n"
        "1\tI\t_\tPRON\t_\t_\t4\tnsubj\t_\t_\n2\tca\t_\tAUX\t_\t_\t4\taux\t_\t_\n"
        "3\tn't\t_\tPART\t_\t_\t4\tadvmod\t_\t_\n4\tgo\t_\tVERB\t_\t_\t0\troot\t_\t_\n\n"
        "# sent_id = 1\n# text = New York\n1\tNew York\t_\tPROPN\t_\t_\t0\troot\t_\t_\n\n"
    )


def test_semeval_keeps_the_spacing(tmp_path):
    # The  system has a configuration of antenna elements.      two spaces after The
    # 0    5      12  16 18           32 35      43
    assert rows("semeval", tmp_path) == [
        relation(
            "1", "The  system has a configuration of antenna elements.", (18, 31), (43, 51), "Component-Whole(e2,e1)"
        ),
        # "Any time," he told her before theboy in the desks      the quotation mark belongs to the sentence
        # 0    5      12 15   20  24     31 34  38 41  45
        relation("2", '"Any time," he told her before theboy in the desks', (34, 37), (45, 49), "Other"),
    ]  # fmt: skip


def test_semeval_tags_in_any_order(tmp_path):
    text = '7\t"x <e2>a </e2><e1>b</e1><e3>"\nOther\n'
    assert rows("semeval", tmp_path, text) == [relation("7", "x a b<e3>", (4, 5), (2, 4), "Other")]


def test_semeval_writes_the_published_form(tmp_path):
    semeval.write(semeval.read(put(tmp_path, "semeval", SEMEVAL)), tmp_path / "new.txt")
    assert (tmp_path / "new.txt").read_bytes().decode() == SEMEVAL.replace(" Not a collection.", "").replace(
        "\n", "\r\n"
    )


def test_figer_gold(tmp_path):
    dataset = figer_gold.read(put(tmp_path, "figer_gold", FIGER))
    # The UW of Ada .     UW of 4-9, Ada 10-13
    assert table(dataset) == [
        {
            "id": "0-0", "text": "The UW of Ada .", "start": 4, "end": 9,
            "labels": ["/organization/university", "/organization"], "ents": [],
        },
        {"id": "0-1", "text": "The UW of Ada .", "start": 10, "end": 13, "labels": ["/person"], "ents": []},
        {"id": "1-0", "text": "AAAS", "start": 0, "end": 4, "labels": ["/organization"], "ents": []},
    ]  # fmt: skip
    assert drops(dataset) == {"sentence without a mention": 1}


def test_figer_gold_tells_equal_sentences_apart(tmp_path):
    one, two = "Ada\tB-/a\nBob\tO\n\n", "Ada\tO\nBob\tB-/b\n\n"
    dataset = figer_gold.read(put(tmp_path, "figer_gold", one + two + two))
    assert dataset["id"] == ["0-0", "1-0", "2-0"]
    figer_gold.write(dataset, tmp_path / "new")
    assert (tmp_path / "new").read_text() == one + two + two


def test_figer_gold_types_in_another_order_continue_a_mention(tmp_path):
    (row,) = rows("figer_gold", tmp_path, "New\tB-/city,/location\nYork\tI-/location,/city\n")
    assert (row["start"], row["end"], row["labels"]) == (0, 8, ["/city", "/location"])


def test_openqa(tmp_path):
    dataset = openqa.read(put(tmp_path, "openqa", OPENQA_TXT))
    assert table(dataset) == [
        {
            "id": "0", "question": "who wrote it", "answers": ["Ada Byron", "Ada"],
            "paragraphs": ["Ada Byron wrote it in London", "one two three four five six"],
        },
        {"id": "1", "question": "why", "answers": [], "paragraphs": []},
    ]  # fmt: skip
    assert table(openqa.read(tmp_path / "dev.json")) == table(dataset)


def test_squad(tmp_path):
    ada = ["Ada met London.", "Nobody knows."]
    assert rows("squad", tmp_path) == [
        {"id": "a1", "question": " Whom did Ada meet?", "answers": ["London", "London"], "paragraphs": ada},
        {"id": "a2", "question": "When?", "answers": [], "paragraphs": ada},
        {"id": "b", "question": "?", "answers": ["é"], "paragraphs": ["é"]},
    ]


def test_squad_writes_a_question_under_its_answer(tmp_path):
    squad.write(squad.read(put(tmp_path, "squad", json.dumps(SQUAD))), tmp_path / "new.json")
    new = json.loads((tmp_path / "new.json").read_text())
    [first, second] = new["data"]
    assert [[qa["id"] for qa in p["qas"]] for p in first["paragraphs"]] == [["a1", "a2"], []]
    assert first["paragraphs"][0]["qas"][0]["answers"] == SQUAD["data"][0]["paragraphs"][0]["qas"][0]["answers"]
    assert second["paragraphs"] == SQUAD["data"][2]["paragraphs"]


def test_squad_draws_paragraphs_by_seed(tmp_path):
    articles = [{"paragraphs": [{"context": f"{i}", "qas": [{"id": f"q{i}", "question": "?"}]} for i in range(20)]}]
    path = put(tmp_path, "squad", json.dumps({"data": articles}))
    drawn = table(squad.read(path, paragraphs=4))
    for i, row in enumerate(drawn):
        assert len(row["paragraphs"]) == 4 and str(i) in row["paragraphs"]
        assert row["paragraphs"] == sorted(set(row["paragraphs"]), key=int)  # in the article's order, none twice
    assert table(squad.read(path, paragraphs=4)) == drawn != table(squad.read(path, paragraphs=4, seed=1))
    assert table(squad.read(path, paragraphs=20)) == table(squad.read(path))
    assert [row["paragraphs"] for row in table(squad.read(path, paragraphs=1))] == [[str(i)] for i in range(20)]
    squad.write(squad.read(path, paragraphs=4), tmp_path / "new.json")
    assert table(squad.read(tmp_path / "new.json")) == drawn
    with pytest.raises(KAdapterError, match="paragraphs is 0; expected at least 1"):
        squad.read(path, paragraphs=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": "1.1"}', "data: found nothing; expected a list of objects"),
        ('{"data": {}}', r"data: found .*; expected \[ : a JSON list of objects"),
        ('{"data": [{"paragraphs": 3}]}', "data record 1: paragraphs: found 3; expected a list of objects"),
        (
            '{"data": [{"paragraphs": [{"context": "x", "qas": [{"id": 1}]}]}]}',
            r"data record 1: paragraphs\[0\].qas\[0\].id: found 1; expected a string",
        ),
        (
            '{"data": [{"paragraphs": [{"qas": []}]}]}',
            r"data record 1: paragraphs\[0\].context: found nothing; expected a string",
        ),
        (
            '{"data": [{"paragraphs": [{"context": "a b", "qas": [{"id": "1", "question": "?", "answers": '
            '[{"text": "b", "answer_start": 1}]}]}]}]}',
            r"answers\[0\].answer_start: found 1; expected where 'b' begins in its context, or -1",
        ),
        ('{"data": [{"paragraphs": [], "paragraphs": []}]}', "the key 'paragraphs' stands twice in one object"),
    ],
)
def test_broken_squad_says_where(text, message, tmp_path):
    with pytest.raises(FormatError, match=message):
        squad.read(put(tmp_path, "squad", text))


def test_lama(tmp_path):
    peiper, khatchig, alive, gold = rows("lama", tmp_path)
    assert peiper == {
        "id": "6a9d", "relation": "P19", "subject": "Ada Peiper", "object": "Alexandra", "subj_id": "Q1886736",
        "obj_id": "Q2643563",
        "sentences": [{"text": "Peiper left [MASK].", "subject": "Peiper", "object": "Alexandra, Victoria"}],
    }  # fmt: skip
    assert khatchig == {
        "id": "9c68", "relation": "/people/person/place_of_birth", "subject": "Khatchig", "object": "Lebanon",
        "subj_id": "", "obj_id": "Q822",
        "sentences": [{"text": "Khatchig was born in [MASK] .", "subject": "Khatchig", "object": "Lebanon"}],
    }  # fmt: skip
    assert (alive["id"], alive["relation"], alive["subject"], alive["object"]) == (
        "d4f1", "HasSubevent", "alive", "think"
    )  # fmt: skip
    assert (gold["id"], gold["relation"], gold["subject"], gold["object"]) == ("56be_0", "", "Squad", "gold")


def test_cloze(tmp_path):
    asked, plain = rows("cloze", tmp_path)
    assert asked["answer"] == "Ljubljana" and asked["candidates"] == ["Ljubljana"]
    assert plain == {
        "id": "1", "relation": "", "text": "Plain text, in which nothing is asked.", "answer": "", "candidates": [],
    }  # fmt: skip
    for record, message in (
        ({"text": "a [MASK] [MASK]", "answer": "b"}, r"line 1: text: .* expected one \[MASK\]"),
        ({"text": "a [MASK]"}, "line 1: answer: .* expected an answer where the text has"),
        ({"text": "a", "answer": "b"}, "line 1: answer: .* expected an answer where the text has"),
    ):
        path = tmp_path / "bad.jsonl"
        path.write_text(json.dumps(record) + "\n")
        with pytest.raises(FormatError, match=message):
            cloze.read(path)


def test_text_leaves_out_headings_and_empty_lines(tmp_path):
    first, second = rows("text", tmp_path)
    assert (first["text"], second["text"]) == ("A paragraph about London .", "another line")
    assert not any(first[key] for key in ("relation", "answer", "candidates"))
    (tmp_path / "bad.txt").write_text("fine\na [MASK]\n")
    with pytest.raises(FormatError, match=r"line 2: text: .* expected plain text, without \[MASK\]"):
        plain_text.read(tmp_path / "bad.txt")
    with pytest.raises(KAdapterError, match=r"found \[MASK\]; expected plain text"):
        plain_text.write(cloze.read(put(tmp_path, "cloze", SAMPLES["cloze"][2])), tmp_path / "new.txt")


def test_lama_writes_the_layout_of_trex(tmp_path):
    lama.write(lama.read(put(tmp_path, "lama", SAMPLES["lama"][2])), tmp_path / "new.jsonl")
    assert json.loads((tmp_path / "new.jsonl").read_text().splitlines()[0]) == LAMA[0]


def test_lama_relations(tmp_path):
    table = {"P19": {"template": "[X] was born in [Y] .", "label": "place of birth", "description": "", "type": "N-1"}}
    lama.write_relations(table, tmp_path / "relations.jsonl")
    assert lama.relations(tmp_path / "relations.jsonl") == table
    line = (tmp_path / "relations.jsonl").read_text()
    for text, message in (
        (line * 2, "line 2: relation: found 'P19'; expected each relation once"),
        (line.replace("[X]", "X"), r"line 1: template: found .*; expected one \[X\] and one \[Y\]"),
        (line.replace('"label"', '"lable"'), "line 1: label: found nothing; expected a string"),
        ("", "records: found 0"),
    ):
        (tmp_path / "relations.jsonl").write_text(text)
        with pytest.raises(FormatError, match=message):
            lama.relations(tmp_path / "relations.jsonl")


@pytest.mark.parametrize(
    ("text", "subject", "object", "tokens", "spans"),
    [
        ("Ada was born in [MASK].", "Ada", "London", "Ada was born in London .", (0, 0, 4, 4)),
        (
            "[MASK]-born Ada (b. 1815), 1.5 m",
            "Ada",
            "New York",
            "New York - born Ada ( b . 1815 ) , 1.5 m",
            (4, 4, 0, 1),
        ),
        ("In [MASK]s, Adam and Ada's dog", "Ada", "US", "In US s , Adam and Ada ' s dog", (6, 6, 1, 1)),
        ("don't Ada, Inc. [MASK]", "Ada, Inc.", "x", "don't Ada , Inc . x", (1, 4, 5, 5)),
        ("Ada [MASK]", "Ada", " é ", "Ada é", (0, 0, 1, 1)),
    ],
)
def test_lama_sentences_are_restored(text, subject, object, tokens, spans):
    reason, record = lama.restore(text, subject, object)
    names = ("subj_start", "subj_end", "obj_start", "obj_end")
    assert reason == "" and " ".join(record["token"]) == tokens
    assert tuple(record[name] for name in names) == spans


@pytest.mark.parametrize(
    ("text", "subject", "object", "reason"),
    [
        ("Ada left", "Ada", "x", "not exactly one [MASK]"),
        ("Ada [MASK] [MASK]", "Ada", "x", "not exactly one [MASK]"),
        ("Ada left [MASK]", "Ada", " ", "empty object"),
        ("She left [MASK]", "Ada", "Ada", "subject not in the sentence"),
        ("She left [MASK]", "", "x", "subject not in the sentence"),
        ("Adam left [MASK]", "Ada", "x", "subject inside a word"),
    ],
)
def test_lama_sentences_that_are_left_out(text, subject, object, reason):
    assert lama.restore(text, subject, object) == (reason, None)


def test_triples(tmp_path):
    assert rows("triples", tmp_path) == [
        {"id": "0", "head": "Q7259", "relation": "P19", "tail": "Q84"},
        {"id": "1", "head": "Ada Byron", "relation": "born in", "tail": "London"},
    ]


@pytest.mark.parametrize("line", ["a\tb", "a\tb\tc\td", "a\t\tc", "\tb\tc", "a b c"])
def test_broken_triples(line, tmp_path):
    with pytest.raises(FormatError, match="line 2: columns: found .*; expected head<TAB>relation<TAB>tail"):
        triples.read(put(tmp_path, "triples", f"a\tb\tc\n{line}\n"))


def test_openqa_needs_both_files_of_one_length(tmp_path):
    path = put(tmp_path, "openqa", OPENQA_TXT)
    documents = tmp_path / "dev.json"
    documents.write_text(OPENQA_JSON.splitlines()[0])
    with pytest.raises(FormatError, match=r"dev\.json, line 2: record: found nothing; expected .* line 2 of dev\.txt"):
        openqa.read(path)
    documents.write_text(OPENQA_JSON + "[]\n")
    with pytest.raises(FormatError, match=r"dev\.txt, line 3: record: found nothing; expected .* line 3 of dev\.json"):
        openqa.read(path)
    documents.write_text("\n" + OPENQA_JSON)  # shifted by an empty line
    with pytest.raises(FormatError, match=r"dev\.json, line 1: record: found nothing; expected .* line 1 of dev\.txt"):
        openqa.read(path)
    documents.unlink()
    with pytest.raises(KAdapterError, match=r"dev\.json does not exist; expected the pair dev\.txt and dev\.json"):
        openqa.read(path)
    with pytest.raises(KAdapterError, match=r"dev\.csv: expected a file whose name ends in \.txt or \.json"):
        openqa.read(tmp_path / "dev.csv")


def change(records, *keys, to):
    """A copy of a sample with one part replaced; `to=...` removes it."""
    records = copy.deepcopy(records)
    inner = records
    for key in keys[:-1]:
        inner = inner[key]
    if to is ...:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = to
    return json.dumps(records)


def by_line(records, *keys, to):
    return "\n".join(map(json.dumps, json.loads(change(records, *keys, to=to))))


MENTION = (0, "vertexSet", 1, 0)
BROKEN = [
    # format, text, what the message says
    ("trex_rc", "{}", r"line 1: start of file: found '\{\}'; expected \[ : a JSON list of objects"),
    ("trex_rc", "[1]", r"line 1: record 1: found '1\]'; expected \{ : a JSON object"),
    ("trex_rc", json.dumps(TREX)[:-1], "line 1: after record 2: found nothing; expected , or ]"),
    ("trex_rc", json.dumps(TREX) + "\n\nx", "line 3: after the end: found 'x'; expected the end of the file"),
    ("trex_rc", json.dumps(TREX).replace("}, {", "}\n{"), "line 2: after record 1: found .*; expected , or ]"),
    ("trex_rc", json.dumps(TREX, indent=1)[:300], "line [0-9]+: record 2: found nothing; expected a JSON object"),
    ("trex_rc", json.dumps(TREX, indent=1).replace('"docid": ', '"docid" ', 1), "line 3: record 1: .*':' delimiter"),
    ("trex_rc", json.dumps(TREX).replace('"P17"', "NaN"), "record 2: found .*; expected a JSON object .*NaN"),
    ("trex_rc", json.dumps(TREX).replace('"P17"', "[" * 100_000), "record 2: .*; expected a JSON object .*recursion"),
    ("trex_rc", json.dumps(TREX).replace('"P17"', "9" * 5000), "record 2: .*; expected a JSON object .*digits"),
    ("trex_rc", change(TREX, 1, "token", to=...), "record 2: token: found nothing; expected a list of strings"),
    ("trex_rc", change(TREX, 1, "token", to=[]), r"record 2: token: found \[\]; expected at least one token"),
    (
        "trex_rc",
        change(TREX, 1, "token", to=["a", 1]),
        r"record 2: token: found \['a', 1\]; expected a list of strings",
    ),
    ("trex_rc", change(TREX, 1, "token", to="abcd"), "record 2: token: found 'abcd'; expected a list of strings"),
    (
        "trex_rc",
        change(TREX, 1, "token", 1, to="\ud800"),
        "record 2: token: found .*expected text without lone surrogates",
    ),
    (
        "trex_rc",
        change(TREX, 1, "obj_end", to=4),
        r"record 2: obj_start, obj_end: found \(3, 4\); expected 0 <= first <= last <= 3",
    ),
    ("trex_rc", change(TREX, 0, "obj_end", to=3), r"record 1: obj_start, obj_end: found \(4, 3\)"),
    ("trex_rc", change(TREX, 0, "subj_start", to=-1), r"record 1: subj_start, subj_end: found \(-1, 0\)"),
    ("trex_rc", change(TREX, 0, "subj_start", to=True), "record 1: subj_start: found True; expected an integer"),
    ("trex_rc", change(TREX, 0, "subj_start", to=None), "record 1: subj_start: found None; expected an integer"),
    (
        "trex_rc",
        change(TREX, 1, "token", 0, to=""),
        r"record 2: subj_start.*found \(0, 0\); expected a span that holds text",
    ),
    ("trex_rc", change(TREX, 0, "relation", to=["P1"]), r"record 1: relation: found \['P1'\]; expected a string"),
    ("trex_rc", change(TREX, 0, "obj_label", to=...), "record 1: obj_label: found nothing; expected a string"),
    ("tacred", change(TACRED, 1, "obj_type", to=...), "record 2: obj_type: found nothing; expected a string"),
    ("tacred", change(TACRED, 1, "id", to=7), "record 2: id: found 7; expected a string"),
    ("tacred", change(TACRED, 1, "relation", to=...), "record 2: relation: found nothing; expected a string"),
    ("wiki_et", json.dumps(WIKI_ET[0] | {"id": []}), r"line 1: id: found \[\]; expected a string"),
    ("wiki_et", json.dumps(WIKI_ET[1] | {"end": 9}), r"line 1: start, end: found \(0, 9\)"),
    ("wiki_et", json.dumps(WIKI_ET[1] | {"labels": None}), "line 1: labels: found None"),
    (
        "linked_cloze",
        json.dumps(LINKED_CLOZE[0] | {"links": [[0, 99, "Q1"]]}),
        r"line 1: links: found \[0, 99, 'Q1'\]; expected \[start, end, \"Q1\"\] with 0 <= start < end <= ",
    ),
    ("linked_cloze", json.dumps(LINKED_CLOZE[0] | {"links": [["Q1", 0, 9]]}), r"line 1: links: found \['Q1', 0, 9\]"),
    (
        "entity_typing",
        change(TYPING, 1, "end", to=8),
        r"record 2: start, end: found \(0, 8\); expected 0 <= start < end <= 7",
    ),
    ("entity_typing", change(TYPING, 1, "end", to=0), r"record 2: start, end: found \(0, 0\)"),
    (
        "entity_typing",
        change(TYPING, 1, "sent", to="\udc80 left"),
        "record 2: sent: found .*; expected text without lone surrogates",
    ),
    (
        "entity_typing",
        change(TYPING, 1, "labels", to="person"),
        "record 2: labels: found 'person'; expected a list of strings",
    ),
    ("entity_typing", change(TYPING, 1, "labels", to=...), "record 2: labels: found nothing"),
    (
        "entity_typing",
        change(TYPING, 0, "ents", 1, to=["Q1", 1, 2]),
        r"record 1: ents: found \['Q1', 1, 2\]; expected .*score",
    ),
    ("entity_typing", change(TYPING, 0, "ents", 1, 1, to=2**31), "record 1: ents: found .*2147483648"),
    ("entity_typing", change(TYPING, 0, "ents", to={}), r"record 1: ents: found \{\}; expected a list of links"),
    ("opennre", by_line(OPENNRE, 1, "h", to=...), "line 2: h: found nothing; expected a JSON object"),
    (
        "opennre",
        by_line(OPENNRE, 1, "t", "pos", to=[1, 3]),
        r"line 2: t\.pos: found \(1, 2\); expected 0 <= first <= last <= 1",
    ),
    ("opennre", by_line(OPENNRE, 1, "t", "pos", to=[1, 1]), r"line 2: t\.pos: found \(1, 0\)"),
    ("opennre", by_line(OPENNRE, 1, "t", "pos", to=[1]), r"line 2: t\.pos: found \[1\]; expected a list of 2 integers"),
    ("opennre", by_line(OPENNRE, 1, "t", "id", to=5), r"line 2: t\.id: found 5; expected a string"),
    ("opennre", by_line(OPENNRE, 0, "relation", to=...), "line 1: relation: found nothing; expected a string"),
    (
        "opennre",
        SAMPLES["opennre"][2] + "\n{'a'}\n",
        r"line 4: JSON: found .*; expected a JSON value \(.*at character 2\)",
    ),
    ("opennre", SAMPLES["opennre"][2] + '{"a": Infinity}', "line 3: JSON: .*Infinity"),
    ("opennre", SAMPLES["opennre"][2] + "[]", r"line 3: record: found \[\]; expected a JSON object"),
    ("fewrel", "[]", r"line 1: start of file: found '\[\]'; expected \{ : a JSON object of lists"),
    ("fewrel", '{"P1": {}}', r"line 1: P1: found .*; expected \[ : a JSON list of objects"),
    ("fewrel", '{"P1"; []}', "line 1: P1: found .*; expected : and a list"),
    ("fewrel", '{"P1": [] "P2": []}', "line 1: after P1: found .*; expected , or }"),
    ("fewrel", '{"P1": [], 2: []}', "line 1: key: found .*; expected a string"),
    ("fewrel", '{"\\udc00": []}', "line 1: key: found .*; expected text without lone surrogates"),
    ("fewrel", json.dumps(FEWREL)[:-1], "line 1: after P17: found nothing; expected , or }"),
    (
        "fewrel",
        change(FEWREL, "P17", 0, "h", to=["o", "Q1", []]),
        r"P17 record 1: h: found .*; expected \[\"name\", \"Q-id\"",
    ),
    (
        "fewrel",
        change(FEWREL, "P17", 0, "h", 2, to=[[2]]),
        r"P17 record 1: h: found \(2, 2\); expected 0 <= first <= last <= 1",
    ),
    ("fewrel", change(FEWREL, "P17", 0, "t", 2, to=[["1"]]), "P17 record 1: t: found"),
    (
        "redocred",
        change(REDOCRED, 0, "labels", to=...),
        "record 1: labels: found nothing; expected a list of relations",
    ),
    (
        "redocred",
        change(REDOCRED, 0, "labels", 1, "t", to=3),
        r"record 1: labels\[1\]\.t: found 3; expected 0 <= t < 3",
    ),
    ("redocred", change(REDOCRED, 0, "labels", 1, "r", to=3), r"record 1: labels\[1\]\.r: found 3; expected a string"),
    ("redocred", change(REDOCRED, *MENTION, "pos", to=[1, 6]), r"record 1: vertexSet\[1\]\[0\]\.pos: found \(1, 5\)"),
    (
        "redocred",
        change(REDOCRED, *MENTION, "sent_id", to=3),
        r"vertexSet\[1\]\[0\]\.sent_id: found 3; expected 0 <= sent_id < 3",
    ),
    (
        "redocred",
        change(REDOCRED, *MENTION, "type", to=...),
        r"vertexSet\[1\]\[0\]\.type: found nothing; expected a string",
    ),
    (
        "redocred",
        change(REDOCRED, 0, "vertexSet", 1, to={}),
        r"record 1: vertexSet\[1\]: found \{\}; expected a list of mentions",
    ),
    (
        "redocred",
        change(REDOCRED, 0, "sents", 1, to=["a", None]),
        r"record 1: sents\[1\]: found .*; expected a list of strings",
    ),
    ("redocred", change(REDOCRED, 0, "labels", to=[]), r"file: records: found 0; expected at least one record$"),
    (
        "redocred",
        change(REDOCRED, 0, "labels", 0, to=REDOCRED[0]["labels"][1]),
        r"found 0; .* \(2 dropped: relation whose",
    ),
    ("cosmosqa_jsonl", by_line(COSMOSQA, 0, "label", to="4"), "line 1: label: found '4'; expected 0, 1, 2 or 3"),
    ("cosmosqa_jsonl", by_line(COSMOSQA, 0, "label", to=True), "line 1: label: found True; expected 0, 1, 2 or 3"),
    ("cosmosqa_jsonl", '{"id": "1", "id": "2"}', "line 1: JSON: .*; expected a JSON value .the key 'id' stands twice"),
    ("cosmosqa_jsonl", by_line(COSMOSQA, 1, "answer3", to=...), "line 2: answer3: found nothing; expected a string"),
    ("cosmosqa_csv", "id,context\n1,2\n", "line 1: header: found .*; expected a column 'question'"),
    ("cosmosqa_csv", SAMPLES["cosmosqa_csv"][2] + "1,2\n", "line 4: fields: found 2; expected 8, as in the header"),
    (
        "cosmosqa_csv",
        SAMPLES["cosmosqa_csv"][2] + '1,"2\n',
        "line 4: CSV: found 'unexpected end of data'; expected fields",
    ),
    (
        "conllu",
        CONLLU.replace("\t_\t0\troot\t_\tSpace", " _ 0 root _ Space"),
        "line 7: columns: found 5; expected 10 columns",
    ),
    ("conllu", CONLLU.replace("4\tgo", "5\tgo"), "line 7: ID: found '5'; expected 4, the next word"),
    ("conllu", CONLLU.replace("4.1", "4.x"), "line 8: ID: found '4.x'; expected 5, the next word"),
    ("conllu", CONLLU.replace("4\tgo\t", "4\t\t"), "line 7: FORM: found ''; expected a word"),
    ("conllu", CONLLU.replace("\t4\tnsubj", "\t_\tnsubj"), "line 3: HEAD: found '_'; expected the number of a word"),
    ("conllu", CONLLU.replace("\t4\tnsubj", "\t5\tnsubj"), "line 3: HEAD: found 5; expected 0 to 4"),
    ("conllu", CONLLU.replace("\t4\tnsubj", "\t-1\tnsubj"), "line 3: HEAD: found '-1'"),
    (
        "conllu",
        CONLLU.replace("\t4\tnsubj", f"\t{'9' * 9999}\tnsubj"),
        "line 3: HEAD: found 9999999999; expected 0 to 4",
    ),
    (
        "conllu",
        CONLLU.replace("\t4\taux", "\t2\taux"),
        r"line 5: HEAD: found 2; expected 0 to 4, and not the word itself \(2\)",
    ),
    ("conllu", CONLLU.replace("\t0\troot\t_\tSpace", "\t1\troot\t_\tSpace"), "line 1: HEAD: found .*; expected a root"),
    (
        "conllu",
        CONLLU.replace("\t4\taux", "\t3\taux").replace("\t4\tadvmod", "\t2\tadvmod"),
        "line 1: HEAD: found '2 -> 3 -> 2'; expected a tree",
    ),
    ("conllu", CONLLU + "# sent_id = 3\n\n", "line 13: sentence: found '# sent_id = 3'; expected at least one word"),
    ("semeval", SEMEVAL.replace("2\t", "2 "), 'line 5: sentence: found .*; expected id<TAB>"sentence"'),
    (
        "semeval",
        SEMEVAL.replace("</e2>s", "s"),
        "line 5: tags: found .*; expected <e1>, </e1>, <e2> and </e2>, once each",
    ),
    ("semeval", SEMEVAL.replace("<e2>desk</e2>", "<e2></e2>"), "line 5: tags: found .*; expected text inside"),
    ("semeval", '7\t"x <e2>a <e1>b</e1></e2>"\nOther\n', "line 1: tags: found .*; expected two nominals that do not"),
    ("semeval", SEMEVAL.replace("Other\n", ""), "line 6: label: found 'Comment:'; expected a label such as"),
    (
        "semeval",
        SEMEVAL.replace("\n\n2", "\n2"),
        "line 4: comment: found .*; expected 'Comment: ...' and an empty line",
    ),
    ("semeval", SEMEVAL.replace("Comment:\n", "More\n"), "line 7: comment: found 'More'"),
    ("semeval", SEMEVAL.replace("Other\nComment:\n", ""), "line 6: label: found ''; expected a label such as"),
    (
        "figer_gold",
        FIGER.replace("of\tI-", "of\tX-"),
        "line 3: tag: found 'X-/organ.*; expected O, B-/type,/type, or I-",
    ),
    (
        "figer_gold",
        FIGER.replace("\nAda\tB-", "\nAda\tI-"),
        "line 4: tag: found 'I-/person'; expected .*mention that it continues",
    ),
    ("figer_gold", FIGER.replace("The\tO", "The\tI-/a"), "line 1: tag: found 'I-/a'"),
    ("figer_gold", FIGER.replace("B-/person", "B-/person,"), "line 4: tag: found 'B-/person,'"),
    ("figer_gold", FIGER.replace(".\tO", "."), r"line 5: columns: found '\.'; expected token<TAB>tag"),
    ("figer_gold", FIGER.replace(".\tO", "\tO"), r"line 5: columns: found '\\tO'; expected token<TAB>tag"),
    (
        "figer_gold",
        "The\tO\n",
        r"file: records: found 0; expected at least one record \(1 dropped: sentence without a mention\)",
    ),
    (
        "openqa",
        OPENQA_TXT.replace("who wrote it", "\\ud800"),
        r"dev\.txt, line 1: question: found .*; expected text without",
    ),
    (
        "openqa",
        OPENQA_TXT.replace('["Ada Byron", "Ada"]', '"Ada"'),
        "line 1: answers: found 'Ada'; expected a list of strings",
    ),
    ("openqa", OPENQA_TXT.replace('"why"', "3"), "line 2: question: found 3; expected a string"),
]


@pytest.mark.parametrize(("name", "text", "message"), BROKEN)
def test_broken_records_say_where_and_what(name, text, message, tmp_path):
    path = put(tmp_path, name, text)
    with pytest.raises(FormatError, match=message) as error:
        SAMPLES[name][0].read(path)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}\n[]", r"line 1: record: found \{\}; expected a list of paragraphs"),
        ('["a"]\n[]', r"line 1: \[0\]: found 'a'; expected a JSON object"),
        ('[{"document": ["a"]}, {}]\n[]', r"line 1: \[1\]\.document: found nothing; expected a string"),
        ("[]\n[{'a'}]", r"line 2: JSON: found"),
    ],
)
def test_broken_paragraphs_say_where_and_what(text, message, tmp_path):
    path = put(tmp_path, "openqa", OPENQA_TXT)
    (tmp_path / "dev.json").write_text(text)
    with pytest.raises(FormatError, match=rf"dev\.json, {message}"):
        openqa.read(path)


def test_token_spans():
    assert token_ends(["New", "Fabris", "", "x"]) == [3, 10, 11, 13]
    # Without tokens: cut at white space and at the borders of spans, which may hold white space at their ends.
    assert token_spans("a  (Oslo)\tb", [], [(4, 8), (0, 3)]) == (["a", "(", "Oslo", ")", "b"], [(2, 3), (0, 1)])
    assert token_spans("one two", [], [(0, 7), (2, 5)]) == (["on", "e", "t", "wo"], [(0, 4), (1, 3)])
    # With tokens: the offsets must be theirs, white space and empty tokens included.
    assert token_spans("a  \n  b", ["a", "", "\n ", "b"], [(3, 5), (0, 7)]) == (["a", "", "\n ", "b"], [(2, 3), (0, 4)])
    for text, tokens, span, message in [
        ("one two", ["one", "two"], (0, 5), "span 'one t' of 'one two' does not begin and end with a token"),
        ("one two", ["one", "too"], (0, 3), "tokens joined by spaces differ from the text: 'one two'"),
        ("one two", [], (3, 4), "span '' of 'one two' does not begin and end with a token"),
        ("one two", [], (3, 3), "span 3..3 is not inside its text of 7 characters"),
        ("one two", [], (-1, 3), r"span -1..3 is not inside"),
        ("one two", [], (0, 8), "span 0..8 is not inside its text of 7 characters: 'one two'"),
    ]:
        with pytest.raises(KAdapterError, match=message):
            token_spans(text, tokens, [span])


@pytest.mark.parametrize(
    ("name", "column", "value", "message"),
    [
        ("semeval", "text", "The  <e1>tem has a configuration of antenna elements.", "holds one of the tags"),
        ("semeval", "label", "a\nb", "expected one line of text"),
        ("semeval", "label", "Comment: x", "expected one line of text"),
        ("semeval", "label", " x", "expected one line of text"),
        ("semeval", "id", "1\t2", "expected one line of text"),
        ("semeval", "obj_start", 20, "its entities overlap; expected two apart from each other"),
        ("conllu", "heads", [0, 3, 2, 1], r"the heads of words \[2, 3, 2\] form a circle"),
        ("conllu", "id", "a\nb", "expected no white space around it and no line break"),
        ("conllu", "words", ["I", "", "n't", "go"], "word 2 is ''; expected a word"),
        ("conllu", "words", ["I", "a\tb", "n't", "go"], r"word 2 is 'a\\tb'; expected .* no tab"),
        ("conllu", "upos", ["X"], "of different lengths; expected one of each per word"),
        ("figer_gold", "labels", [], r"has labels \[\]; expected at least one"),
        ("figer_gold", "labels", ["a,b"], r"has labels \['a,b'\]; expected .* comma"),
        ("cosmosqa_jsonl", "answers", ["a"], "has 1 answers and label 2; expected 4 answers"),
        ("cosmosqa_csv", "label", 4, "has 4 answers and label 4; expected .* a label from -1 to 3"),
    ],
)
def test_write_refuses_what_a_format_cannot_hold(name, column, value, message, tmp_path):
    module, file, text, _ = SAMPLES[name]
    dataset = module.read(put(tmp_path, name, text))
    changed = type(dataset).from_list([{**dataset[0], column: value}], features=module.SCHEMA)
    with pytest.raises(KAdapterError, match=message):
        module.write(changed, tmp_path / "new" / file)
    assert not list((tmp_path / "new").iterdir())


def test_semeval_turns_line_breaks_into_spaces(tmp_path):
    dataset = opennre.read(put(tmp_path, "opennre", SAMPLES["opennre"][2]))
    semeval.write(dataset, tmp_path / "new.txt")
    row = table(semeval.read(tmp_path / "new.txt"))[0]
    assert row["text"] == "Bud Frye Field ,    it is in Madison ."
    assert row["text"][row["obj_start"] : row["obj_end"]] == "Madison"


def test_cosmosqa_format_follows_the_name(tmp_path):
    dataset = cosmosqa.read(put(tmp_path, "cosmosqa_jsonl", SAMPLES["cosmosqa_jsonl"][2]))
    cosmosqa.write(dataset, tmp_path / "a.csv")
    cosmosqa.write(dataset, tmp_path / "a.jsonl")
    assert (tmp_path / "a.csv").read_text() == SAMPLES["cosmosqa_csv"][2]
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == COSMOSQA


# --- knowledge graphs in words ---


def test_graph_text_says_what_is_said_beside_it(tmp_path):
    first, second, third = rows("graph_text", tmp_path)
    assert first == {
        "id": "0", "head": "Q7259", "relation": "P19", "tail": "Q84", "head_text": "Ada Byron",
        "relation_text": "place of birth", "tail_text": "London", "holds": True,
    }  # fmt: skip
    assert second["holds"] and not third["holds"] and second["tail_text"] == "United Kingdom, country"
    assert drops(graph_text.read(tmp_path / "train.tsv")) == {"entity without a text": 1}


def test_graph_text_as_codex_publishes_it(tmp_path):
    folder = tmp_path / "triples" / "codex-s"
    folder.mkdir(parents=True)
    for name in ("entities", "relations"):
        (tmp_path / name / "en").mkdir(parents=True)
        texts = {"Q1": {"label": "Ada", "wiki": None}, "Q2": {"label": "London"}, "P19": {"label": "place of birth"}}
        (tmp_path / name / "en" / f"{name}.json").write_text(json.dumps(texts))
    for name in ("test.txt", "test_negatives.txt"):
        (folder / name).write_text("Q1\tP19\tQ2\n")
        [row] = table(graph_text.read(folder / name))
        assert row["head_text"] == "Ada" and row["relation_text"] == "place of birth"
        assert row["holds"] == (name == "test.txt")


def test_graph_text_takes_names_from_lama_and_opennre(tmp_path):
    """The shared copy of CoDEx has no texts of entities; other data sets name them by the same ids."""
    (tmp_path / "train.txt").write_text("Q7259\tP19\tQ60\nQ7259\tP20\tQ9\n")
    (tmp_path / graph_text.RELATIONS).write_text("P19\tplace of birth\n")
    (tmp_path / "names.jsonl").write_text(
        json.dumps({"sub_uri": "Q7259", "sub_label": "Ada", "obj_uri": "Q60", "obj_label": "New York"})
        + "\n" + json.dumps({"h": {"id": "Q9", "name": "x"}, "t": {"name": "y"}}) + "\n"
    )  # fmt: skip
    with pytest.raises(KAdapterError, match="dropped: entity without a text"):
        graph_text.read(tmp_path / "train.txt")
    read = graph_text.read(tmp_path / "train.txt", texts=[tmp_path / "names.jsonl"])
    assert read["tail_text"] == ["New York"] and drops(read) == {"relation without a text": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Q84\tP17", "line 1: columns: found 'Q84.tP17'; expected head<TAB>relation<TAB>tail, and 1 or -1"),
        ("Q84\tP17\tQ145\t0", "line 1: columns"),
        ("Q84\t\tQ145", "line 1: columns"),
    ],
)
def test_graph_text_refuses(text, message, tmp_path):
    with pytest.raises(FormatError, match=message):
        rows("graph_text", tmp_path, text)


def test_graph_text_needs_texts_and_they_must_be_whole(tmp_path):
    (tmp_path / "train.txt").write_text("Q84\tP17\tQ145\n")
    with pytest.raises(KAdapterError, match="train.txt: found no texts .* expected entity2text.txt and relation2text"):
        graph_text.read(tmp_path / "train.txt")
    (tmp_path / graph_text.ENTITIES).write_text("Q84 London\n")
    with pytest.raises(FormatError, match="entity2text.txt, line 1: columns: .*expected name<TAB>text"):
        graph_text.read(tmp_path / "train.txt")
    (tmp_path / "names.json").write_text('["Q84"]')
    with pytest.raises(FormatError, match="names.json, file: texts: found .list.; expected a JSON object"):
        graph_text.read(tmp_path / "train.txt", texts=[tmp_path / "names.json"])


def test_graph_text_cannot_hold_every_text(tmp_path):
    read = graph_text.read(put(tmp_path, "graph_text", SAMPLES["graph_text"][2]))
    broken = read.map(lambda row: row | {"tail_text": "{x"})
    with pytest.raises(KAdapterError, match="fact '0': tail_text is '{x'; expected text"):
        graph_text.write(broken, tmp_path / "out.txt")
    two = read.map(lambda row, i: row | {"relation": "P", "relation_text": str(i)}, with_indices=True)
    with pytest.raises(KAdapterError, match="relation 'P' has the texts '0' and '1'; expected one"):
        graph_text.write(two, tmp_path / "out.txt")


# --- ConceptNet, and ERNIE's Wikipedia ---


def test_conceptnet_in_words(tmp_path):
    first, second = rows("conceptnet", tmp_path)
    assert first == {
        "id": "0", "head": "/c/en/balalaika", "relation": "/r/UsedFor", "tail": "/c/en/make_music",
        "head_text": "balalaika", "relation_text": "used for", "tail_text": "make music", "holds": True,
    }  # fmt: skip
    assert (second["head_text"], second["relation_text"], second["tail_text"]) == ("assay", "is a", "test")
    read = conceptnet.read(tmp_path / "assertions.csv")
    assert drops(read) == {"another language": 1, "end that is no concept": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/a/x\t/r/IsA\t/c/en/a\t/c/en/b", "line 1: columns: .*expected five: URI, relation, start, end"),
        ("/a/x\tIsA\t/c/en/a\t/c/en/b\t{}", "line 1: relation: found 'IsA'; expected a URI such as /r/IsA"),
        ("/a/x\t/r/IsA\t/c/en/__\t/c/en/b\t{}", "line 1: concept: .*expected URIs such as /c/en/guitar"),
        ("/a/x\t/r/IsA\t/c/en\t/c/en/b\t{}", "line 1: concept"),
    ],
)
def test_conceptnet_refuses(text, message, tmp_path):
    with pytest.raises(FormatError, match=message):
        rows("conceptnet", tmp_path, text)


def test_ernie_wiki_joins_pieces_and_links(tmp_path):
    first, second, third = rows("ernie_wiki", tmp_path)
    assert first == {
        "id": "0-0", "text": "adaline in london",
        "links": [{"start": 0, "end": 7, "entity": "Q7259"}, {"start": 11, "end": 17, "entity": "Q84"}],
    }  # fmt: skip
    assert (second["text"], second["links"], third["id"]) == ("α .", [], "1-0")


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (
            "2\t4\t2\t3\t4\t5\t1\t6\n1\t1\t2\n",
            "wiki_entity, line 1: shape: .*expected that of the same line",
        ),
        ("2\t4\t2\t3\t4\t5\t2\t6\t99\n1\t1\t2\n", "line 1: piece: found '99'; expected a number from 0 to 7"),
        ("2\t4\t2\t3\n", "line 1: article: .*expected the number of sentences"),
        ("1\t1\t2\t3\n", "line 1: article: found '1 items behind its sentences'"),
        ("2\t4\t2\t3\t4\t5\t2\t6\t7\n", "line 2: article: found nothing; expected one, as wiki_entity has it"),
    ],
)
def test_ernie_wiki_refuses(tokens, message, tmp_path):
    with pytest.raises(FormatError, match=message):
        rows("ernie_wiki", tmp_path, tokens)


def test_ernie_wiki_names_its_files(tmp_path):
    put(tmp_path, "ernie_wiki", SAMPLES["ernie_wiki"][2])
    (tmp_path / "wiki_entity").unlink()
    with pytest.raises(KAdapterError, match="wiki_entity does not exist; expected the entities of wiki_token there"):
        ernie_wiki.read(tmp_path / "wiki_token")
    with pytest.raises(KAdapterError, match="expected the file of tokens, wiki_token, beside which wiki_entity lies"):
        ernie_wiki.read(put(tmp_path, "ernie_wiki", SAMPLES["ernie_wiki"][2]).rename(tmp_path / "x"))
