"""Whatever a data set holds, the format that has written it reads the same; and one writes what another has read."""

import json

import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kadapter.formats import (
    conceptnet,
    conllu,
    cosmosqa,
    entity_typing,
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
    tacred,
    text,
    trex_rc,
    triples,
    wiki_et,
    wordnet,
)
from tests.formats.test_formats import SAMPLES, SEMEVAL, put, table

fuzzing = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
# A byte order mark that is the first character of a file is no text, so the text formats cannot keep it there.
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff")
texts = st.text(characters, max_size=8)
words = st.text(characters, min_size=1, max_size=8)
plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff \t\r\n"), min_size=1, max_size=8)


def rows_like(columns):
    return st.lists(columns, min_size=1, max_size=4)


@st.composite
def relations(draw):
    tokens = draw(st.lists(words, min_size=1, max_size=6))
    starts = [sum(map(len, tokens[:i])) + i for i in range(len(tokens))]

    def span():
        first = draw(st.integers(0, len(tokens) - 1))
        last = draw(st.integers(first, len(tokens) - 1))
        return starts[first], starts[last] + len(tokens[last])

    (subj_start, subj_end), (obj_start, obj_end) = span(), span()
    return {
        "id": draw(texts), "text": " ".join(tokens), "subj_start": subj_start, "subj_end": subj_end,
        "obj_start": obj_start, "obj_end": obj_end, "label": draw(texts), "subj_id": draw(texts), "obj_id": draw(texts),
        "subj_type": draw(texts), "obj_type": draw(texts), "tokens": tokens,
    }  # fmt: skip


def check(module, rows, path, renewed=(), lost=()):
    """Writes and reads rows; `renewed` ids count from 0, and `lost` columns come back empty."""
    module.write(Dataset.from_list(rows, features=module.SCHEMA), path)
    for i, row in enumerate(rows):
        row |= {"id": str(i)} if renewed else {}
        row |= dict.fromkeys(lost, "")
    assert table(module.read(path)) == rows


ENTITY_IDS, TYPES = ("subj_id", "obj_id"), ("subj_type", "obj_type")


@pytest.mark.parametrize(
    ("module", "renewed", "lost"),
    [
        (trex_rc, False, TYPES),
        (tacred, False, ENTITY_IDS),
        (opennre, True, ()),
        (fewrel, True, TYPES),
        (redocred, False, ENTITY_IDS),
    ],
)
@fuzzing
@given(rows=rows_like(relations()))
def test_relations(module, renewed, lost, tmp_path, rows):
    if module is fewrel:
        labels = list(dict.fromkeys(row["label"] for row in rows))
        rows.sort(key=lambda row: labels.index(row["label"]))
    check(module, rows, tmp_path / "x.json", renewed, lost)


@fuzzing
@given(data=st.data())
def test_semeval(tmp_path, data):
    lines = st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\t\r\n<"), min_size=1, max_size=9
    )
    lines = lines.filter(lambda text: text == text.strip() and not text.startswith("Comment:"))
    texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n<"), min_size=1, max_size=30)
    rows = []
    for _ in range(data.draw(st.integers(1, 3))):
        text = data.draw(texts)
        text += data.draw(texts)  # of two characters at least: a nominal needs one
        borders = sorted(data.draw(st.lists(st.integers(1, len(text) - 1), max_size=3)))
        cuts = sorted({0, *borders, len(text)})
        spans = [(start, end) for start, end in zip(cuts, cuts[1:], strict=False)]
        spans = [(0, 1), (1, len(text))] if len(spans) < 2 else data.draw(st.permutations(spans))
        starts, ends = ([span[i] for span in spans[:2]] for i in (0, 1))
        row = {"id": data.draw(lines), "text": text, "label": data.draw(lines), "tokens": []}
        row |= dict(zip(("subj_start", "obj_start", "subj_end", "obj_end"), starts + ends, strict=True))
        rows.append(row | dict.fromkeys(ENTITY_IDS + TYPES, ""))
    check(semeval, rows, tmp_path / "x.txt")


@fuzzing
@given(data=st.data())
def test_wiki_et(tmp_path, data):
    rows = []
    for i in range(data.draw(st.integers(1, 3))):
        text = data.draw(st.text(characters, min_size=1, max_size=30))
        start = data.draw(st.integers(0, len(text) - 1))
        span = {"start": start, "end": data.draw(st.integers(start + 1, len(text)))}
        ids = data.draw(st.lists(words, max_size=1))
        ents = [{"id": id, "score": 1.0} | span for id in ids]
        rows.append(
            {"id": str(i), "text": text, **span, "labels": data.draw(st.lists(texts, max_size=3)), "ents": ents}
        )
    check(wiki_et, rows, tmp_path / "x.json")


@fuzzing
@given(data=st.data())
def test_entity_typing(tmp_path, data):
    score = st.floats(0, 1) | st.just(1e-300)
    rows = []
    for i in range(data.draw(st.integers(1, 3))):
        text = data.draw(st.text(characters, min_size=1, max_size=30))
        spans = []
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, len(text) - 1))
            spans.append((start, data.draw(st.integers(start + 1, len(text)))))
        ents = [{"id": data.draw(texts), "start": s, "end": e, "score": data.draw(score)} for s, e in spans[1:]]
        labels = data.draw(st.lists(texts, max_size=3))
        rows.append(
            {"id": str(i), "text": text, "start": spans[0][0], "end": spans[0][1], "labels": labels, "ents": ents}
        )
    check(entity_typing, rows, tmp_path / "x.json")


@fuzzing
@given(data=st.data())
def test_figer_gold(tmp_path, data):
    label = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=",\t\r\n"), min_size=1, max_size=8)
    rows = []
    for i in range(data.draw(st.integers(1, 3))):
        tokens = data.draw(st.lists(plain, min_size=1, max_size=6))
        borders = data.draw(st.lists(st.integers(0, len(tokens)), min_size=2, max_size=4, unique=True).map(sorted))
        ends = [sum(map(len, tokens[:j])) + j - 1 for j in range(len(tokens) + 1)]
        for j, (first, stop) in enumerate(zip(borders[::2], borders[1::2], strict=False)):
            labels = data.draw(st.lists(label, min_size=1, max_size=3))
            rows.append({"id": f"{i}-{j}", "text": " ".join(tokens), "start": ends[first] + 1, "end": ends[stop]})
            rows[-1] |= {"labels": labels, "ents": []}
    check(figer_gold, rows, tmp_path / "exp.label")


@fuzzing
@given(data=st.data())
def test_conllu(tmp_path, data):
    field = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n"), max_size=8)
    rows = []
    for _ in range(data.draw(st.integers(1, 3))):
        count = data.draw(st.integers(1, 5))
        order = data.draw(st.permutations(range(1, count + 1)))  # a word's head stands before it in this order
        heads = [0] * count
        for place, word in enumerate(order):
            heads[word - 1] = data.draw(st.sampled_from([0, *order[:place]]))
        columns = {name: [data.draw(field) for _ in heads] for name in ("deprels", "upos")}
        tokens = [data.draw(field.filter(bool)) for _ in heads]
        rows.append({"id": data.draw(plain.map(str.strip)), "words": tokens, "heads": heads, **columns})
    check(conllu, rows, tmp_path / "x.conllu")


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.jsonl"])
@fuzzing
@given(
    rows=rows_like(
        st.fixed_dictionaries(
            {
                **dict.fromkeys(("id", "context", "question"), texts),
                "answers": st.lists(texts, min_size=4, max_size=4),
                "label": st.integers(-1, 3),
            }
        )
    )
)
def test_cosmosqa(name, tmp_path, rows):
    check(cosmosqa, rows, tmp_path / name)


@fuzzing
@given(
    rows=rows_like(
        st.fixed_dictionaries(
            {
                "id": st.just(""),
                "question": texts,
                "answers": st.lists(texts, max_size=3),
                "paragraphs": st.lists(texts.map(lambda text: f"{text} a  b c d e f {text}"), max_size=3),
            }
        )
    )
)
def test_openqa(tmp_path, rows):
    check(openqa, rows, tmp_path / "x.txt", renewed=True)


@fuzzing
@given(data=st.data())
def test_graph_text(tmp_path, data):
    line = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\t\r\n"), min_size=1, max_size=8)
    line = line.filter(lambda text: not text.isspace() and not text.startswith("{"))
    name = st.integers(0, 99).map("Q{}".format)
    said: dict = {}
    rows = []
    for i in range(data.draw(st.integers(1, 5))):
        row = {"id": str(i), "head": data.draw(name), "relation": data.draw(line), "tail": data.draw(name)}
        for column in ("head", "relation", "tail"):
            row[f"{column}_text"] = said.setdefault((column == "relation", row[column]), data.draw(line))
        rows.append(row | {"holds": data.draw(st.booleans())})
    file = data.draw(st.sampled_from(["train.txt", "test.txt.gz", "valid_negatives.txt"]))
    check(graph_text, rows, tmp_path / file)


@fuzzing
@given(data=st.data())
def test_conceptnet(tmp_path, data):
    name = st.text(st.characters(exclude_categories=["Cs", "Z", "C"], exclude_characters="/"), min_size=1, max_size=8)
    name = name.filter(lambda text: text.strip("_"))
    relation = st.sampled_from(["/r/IsA", "/r/UsedFor", "/r/MotivatedByGoal", "/r/dbpedia/genre"])
    rows = []
    for i in range(data.draw(st.integers(1, 4))):
        names = [data.draw(name), data.draw(name)]
        uris = [f"/c/en/{each}" + data.draw(st.sampled_from(["", "/n", "/n/wn/act"])) for each in names]
        said, relates = [conceptnet.concept(each) for each in names], data.draw(relation)
        values = (str(i), uris[0], relates, uris[1], said[0], conceptnet.words(relates), said[1], True)
        rows.append(dict(zip(conceptnet.SCHEMA, values, strict=True)))
    check(conceptnet, rows, tmp_path / "assertions.csv")


@fuzzing
@given(data=st.data())
def test_ernie_wiki(tmp_path, data):
    """Words of the vocabulary that MiniLM's package has, some linked; two links of one entity do not touch."""
    rows = []
    for i in range(data.draw(st.integers(1, 3))):
        words = data.draw(st.lists(st.sampled_from(["the", "unaffable", "cat", "sat", ".", "α"]), max_size=6))
        text, links, at = " ".join(words), [], 0
        for number, word in enumerate(words):
            if data.draw(st.booleans()):
                links.append({"start": at, "end": at + len(word), "entity": f"Q{number}"})
            at += len(word) + 1
        rows.append({"id": f"0-{i}", "text": text, "links": links})
    check(ernie_wiki, rows, tmp_path / "wiki_token")


@fuzzing
@given(
    rows=rows_like(
        st.fixed_dictionaries(
            {
                **dict.fromkeys(("id", "pos", "supersense", "gloss"), texts),
                **dict.fromkeys(("lemmas", "examples", "hypernyms"), st.lists(texts, max_size=3)),
            }
        )
    )
)
def test_parts_of_wordnet(tmp_path, rows):
    check(wordnet, rows, tmp_path / "x.jsonl")


@fuzzing
@given(found=st.lists(plain.map(str.strip).filter(lambda t: t and t[0] != "="), min_size=1, max_size=4))
def test_text(tmp_path, found):
    none = {"relation": "", "answer": "", "candidates": []}
    check(text, [none | {"id": "", "text": each} for each in found], tmp_path / "x.txt", renewed=True)


RELATION_FORMATS = ["trex_rc", "tacred", "opennre", "fewrel", "redocred", "semeval"]


@pytest.mark.parametrize("source", RELATION_FORMATS)
@pytest.mark.parametrize("target", RELATION_FORMATS)
def test_every_relation_format_writes_what_another_has_read(source, target, tmp_path):
    read, (write, file, _, _) = SAMPLES[source][0], SAMPLES[target]
    dataset = read.read(put(tmp_path, source, SAMPLES[source][2]))
    (tmp_path / "new").mkdir()
    write.write(dataset, tmp_path / "new" / file)
    written = write.read(tmp_path / "new" / file)
    for old, new in zip(table(dataset), table(written), strict=True):
        assert new["label"] == old["label"]
        for name in ("subj", "obj"):
            surface = [row["text"][row[f"{name}_start"] : row[f"{name}_end"]].replace("\n", " ") for row in (old, new)]
            assert surface[0] == surface[1]
    # From then on the text has the target's tokens and stays as it is.
    write.write(written, tmp_path / "new" / f"again-{file}")
    assert table(write.read(tmp_path / "new" / f"again-{file}")) == table(written)


def test_tokens_are_cut_where_spans_begin_and_end(tmp_path):
    tacred.write(semeval.read(put(tmp_path, "semeval", SEMEVAL)), tmp_path / "x.json")
    first, second = json.loads((tmp_path / "x.json").read_text())
    assert first["token"] == ["The", "system", "has", "a", "configuration", "of", "antenna", "elements", "."]
    assert second["token"][6:] == ["the", "boy", "in", "the", "desk", "s"]
    assert (second["subj_start"], second["subj_end"], second["obj_start"], second["obj_end"]) == (7, 7, 10, 10)


def test_typing_formats_write_what_the_other_has_read(tmp_path):
    gold = figer_gold.read(put(tmp_path, "figer_gold", SAMPLES["figer_gold"][2]))
    entity_typing.write(gold, tmp_path / "x.json")
    ernie = entity_typing.read(tmp_path / "x.json")
    assert table(ernie.remove_columns("id")) == table(gold.remove_columns("id"))
    figer_gold.write(ernie, tmp_path / "exp.label")
    assert table(figer_gold.read(tmp_path / "exp.label")) == table(gold)


@fuzzing
@given(
    rows=rows_like(
        st.fixed_dictionaries(
            {
                "id": texts,
                "question": texts,
                "answers": st.lists(texts, max_size=2),
                "paragraphs": st.lists(texts, min_size=1, max_size=3) | st.just(["a", "b", "ab"]),
            }
        )
    )
)
def test_squad(tmp_path, rows):
    check(squad, rows, tmp_path / "x.json")


@fuzzing
@given(
    rows=rows_like(
        st.fixed_dictionaries(
            {
                **dict.fromkeys(("id", "relation", "subject", "object", "subj_id", "obj_id"), texts),
                "sentences": st.lists(
                    st.fixed_dictionaries(dict.fromkeys(("text", "subject", "object"), texts)), max_size=2
                ),
            }
        )
    )
)
def test_lama(tmp_path, rows):
    check(lama, rows, tmp_path / "x.jsonl")


@fuzzing
@given(rows=rows_like(st.fixed_dictionaries({"id": st.just(""), **dict.fromkeys(("head", "relation", "tail"), plain)})))
def test_triples(tmp_path, rows):
    check(triples, rows, tmp_path / "x.txt", renewed=True)
