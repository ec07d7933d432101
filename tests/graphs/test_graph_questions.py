"""EntityQuestions with linked subjects: texts and links by hand, what is dropped, and the real files."""

import json
import tarfile

import numpy as np
import pytest

from kadapter import catalog
from kadapter.errors import FormatError, KAdapterError
from kadapter.formats import entity_questions
from kadapter.graphs import questions
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.model.backbone import load_tokenizer
from kadapter.tasks.links import encode_linked

KNOWN = EntityEmbeddings.from_arrays(["Q1", "Q2"], np.eye(2))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dataset/dev").mkdir(parents=True)
    templates = {"P19": "Where was [X] born?", "P50": "Who is the author of [X]?", "P99": "[X]?"}
    (tmp_path / "relation_query_templates.json").write_text(json.dumps(templates))
    asked = [
        {"question": "Where was Ada born?", "answers": ["Newtown Sluffenhausen", "London"]},
        {"question": "Where was Bob born?", "answers": ["Rome"]},
        {"question": "Where was Eve born?", "answers": ["Oslo"]},
        {"question": "When was Ada born?", "answers": ["Rome"]},
    ]
    (tmp_path / "dataset/dev/P19.dev.json").write_text(json.dumps(asked))
    book = [{"question": "Who is the author of Emma?", "answers": ["Sluffen"]}]
    (tmp_path / "dataset/dev/P50.dev.json").write_text(json.dumps(book))
    return tmp_path / "dataset"


SURFACES = {"Ada": ["Q1"], "Bob": ["Q1", "Q2"], "Emma": ["Q2", "Q7"], "Eve": ["Q8"]}


def test_by_hand(folder):
    found = questions.read(folder, "dev", SURFACES, KNOWN)
    assert found.dataset[:2]["text"] == ["Where was $ Ada $ born? [MASK]", "Who is the author of $ Emma $? [MASK]"]
    assert found.dataset["answer"] == ["Newtown Sluffenhausen", "Sluffen"]
    assert found.dataset["links"][:] == [
        [{"start": 12, "end": 15, "entity": "Q1"}],
        [{"start": 23, "end": 27, "entity": "Q2"}],
    ]
    assert [text[12:15] for text in found.dataset["text"][:1]] == ["Ada"]
    assert found.counts.loc["subject"].to_dict() == {
        "mentions": 4, "linked": 2, "no id": 0, "no vector": 1, "ambiguous": 1,
    }  # fmt: skip
    assert found.dropped == {"question: not that of its template": 1, "subject: not linked": 2}
    every = questions.read(folder, "dev", SURFACES, KNOWN, linked_only=False)
    assert [len(links) for links in every.dataset["links"]] == [1, 0, 0, 1]


def test_the_first_answer_that_is_one_piece(folder):
    tokenizer = load_tokenizer("minilm")
    found = questions.read(folder, "dev", SURFACES, KNOWN, usable=questions.one_piece(tokenizer))
    assert found.dataset["answer"] == ["London"]
    assert found.dropped["answer: none that can be asked for"] == 1


def test_the_vector_stands_before_the_subject_between_the_marks(folder):
    tokenizer = load_tokenizer("minilm")
    dataset = questions.read(folder, "dev", SURFACES, KNOWN, usable=questions.one_piece(tokenizer)).dataset
    columns = encode_linked(catalog.task("cloze"), tokenizer, dataset[:], KNOWN.rows)
    tokens = tokenizer.convert_ids_to_tokens(columns["input_ids"][0])
    place = columns["link_rows"][0].index(0)
    assert tokens[place - 1] == "$" and tokens[place + 1 : place + 4] == ["/", "ada", "$"]
    assert tokens[-2:] == ["[MASK]", "[SEP]"]


def test_what_is_refused(folder, tmp_path):
    with pytest.raises(KAdapterError, match=r"expected test/P\*.test.json"):
        questions.read(folder, "test", SURFACES)
    with pytest.raises(KAdapterError, match="no question of dev is left"):
        questions.read(folder, "dev", {}, KNOWN)
    path = tmp_path / "relation_query_templates.json"
    path.write_text('{"P19": "Where was X born?"}')
    with pytest.raises(FormatError, match=r"P19: found 'Where was X born\?'; expected a question with one \[X\]"):
        entity_questions.templates(path)


def test_real_questions(real_data):
    """Subjects that FB15k-237 has under the same name."""
    names: dict[str, list[str]] = {}
    text = next((real_data / "small_kgs" / "text" / "FB15k-237").glob("entity2text.txt*"))
    for line in text.read_text(encoding="utf-8").splitlines():
        id, name = line.split("\t")
        names.setdefault(name, []).append(id)
    with tarfile.open(real_data / "small_kgs" / "FB15k-237.tar.gz") as tar:
        train = next(name for name in tar.getnames() if name.endswith("train.txt"))
        stream = tar.extractfile(train)
        assert stream is not None
        ids = sorted({id for line in stream.read().decode().splitlines() for id in line.split("\t")[::2]})
    entities = EntityEmbeddings.from_arrays(ids, np.zeros((len(ids), 2)))
    found = questions.read(real_data / "entity_questions" / "dataset", "test", names, entities)
    assert found.counts.loc["subject", "mentions"] == 22075
    assert 400 < len(found.dataset) == found.counts.loc["subject", "linked"] < 700
    for row in found.dataset.select(range(0, len(found.dataset), 20)):
        [link] = row["links"]
        assert row["text"][link["start"] - 2 : link["start"]] == "$ " and row["text"][link["end"] :][:2] == " $"
        assert link["entity"] in names[row["text"][link["start"] : link["end"]]]


def test_left_to_right_the_answer_follows_the_question(folder):
    """A causal model reads the question with its vector, then says the answer piece by piece."""
    tokenizer = load_tokenizer("smollm2")
    dataset = questions.read(folder, "dev", SURFACES, KNOWN).dataset.select([0])
    columns = encode_linked(catalog.task("cloze", reading="causal"), tokenizer, dataset[:], KNOWN.rows)
    [ids], [rows], [asked], [labels] = (columns[name] for name in ("input_ids", "link_rows", "asked", "labels"))
    place = rows.index(0)
    answer = tokenizer.decode([label for label in labels if label >= 0])
    assert answer.strip() == "Newtown Sluffenhausen"
    assert asked[0] >= 0 and ids[asked[0] + 1] == labels[0]  # the first piece is predicted where the question ends
    assert "".join(tokenizer.decode(ids[place + 1 : place + 4]).split()).startswith("/Ada")
    assert tokenizer.decode(ids[:place]).rstrip().endswith("$")
