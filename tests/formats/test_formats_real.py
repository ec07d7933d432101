"""The published files themselves: their counts, their first records, and that writing them back loses nothing."""

import collections
import gzip
import json

import pytest

from kadapter.data import trex_build
from kadapter.formats import (
    conceptnet,
    conllu,
    cosmosqa,
    drops,
    duplicates,
    ernie_wiki,
    figer_gold,
    graph_text,
    lama,
    opennre,
    redocred,
    semeval,
    squad,
    trex_rc,
    triples,
)
from tests.formats.test_formats import table


def written_and_read(module, dataset, path):
    module.write(dataset, path)
    assert module.read(path).data.table.equals(dataset.data.table)


def surfaces(row):
    return row["text"][row["subj_start"] : row["subj_end"]], row["text"][row["obj_start"] : row["obj_end"]]


@pytest.mark.parametrize(("file", "each"), [("val", 70), ("train_0.1_a", 49), ("train_0.1_b", 49)])
def test_wiki80(real_data, file, each, tmp_path):
    path = real_data / "wiki80" / f"wiki80_{file}.txt.gz"
    dataset = opennre.read(path)
    labels = collections.Counter(dataset["label"])
    names = json.loads((real_data / "wiki80" / "wiki80_rel2id.json").read_text())
    assert len(dataset) == 80 * each and labels == dict.fromkeys(names, each)
    assert duplicates(dataset) == 0
    # The names that the file gives are the spans' text, but for case and, in places, white space and punctuation.
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        records = [json.loads(line) for line in stream]
    alike = 0
    for row, record in zip(table(dataset), records, strict=True):
        for surface, entity in zip(surfaces(row), (record["h"], record["t"]), strict=True):
            assert surface == " ".join(record["token"][slice(*entity["pos"])])
            alike += surface.lower() == entity["name"].lower()
    assert alike > 0.95 * 2 * len(records)
    assert any("\n" in token for row in records for token in row["token"])  # tokens of white space are in the file
    written_and_read(opennre, dataset, tmp_path / "x.txt.gz")


def test_semeval(real_data, tmp_path):
    folder = real_data / "semeval2010_task8"
    train, test = semeval.read(folder / "TRAIN_FILE.TXT"), semeval.read(folder / "TEST_FILE_FULL.TXT")
    assert (len(train), len(test)) == (8000, 2717)
    assert len(set(train["label"])) == 19 and set(test["label"]) <= set(train["label"])
    key = [line.split("\t") for line in (folder / "TEST_FILE_KEY.TXT").read_text().splitlines()]
    # The key names relations without their direction.
    assert [[row["id"], row["label"].partition("(")[0]] for row in table(test)] == key
    assert surfaces(train[0]) == ("configuration", "elements")
    assert train[0]["text"].startswith("The system as described above has its greatest application in an arrayed")
    assert surfaces(test[0]) == ("audits", "waste") and test[0]["label"] == "Message-Topic(e1,e2)"
    written_and_read(semeval, train, tmp_path / "x.TXT")
    other = opennre.read(folder / "opennre_format" / "test.txt.gz")
    assert collections.Counter(other["label"]) == collections.Counter(test["label"])


def test_figer_gold(real_data, tmp_path):
    dataset = figer_gold.read(real_data / "figer_gold" / "exp.label")
    assert len(dataset) == 563
    sentences = {row["id"].split("-")[0]: row["text"] for row in table(dataset)}
    assert len(sentences) + drops(dataset)["sentence without a mention"] == 434
    published = (real_data / "figer_gold" / "exp.txt").read_text().splitlines()
    assert [text for text in published if text in set(sentences.values())] == list(sentences.values())
    types = {line.split("\t")[1].strip() for line in (real_data / "figer_gold" / "types.map").read_text().splitlines()}
    labels = {label for row in dataset["labels"] for label in row}
    assert len(labels) == 43 and labels <= types
    first = dataset[0]
    assert first["text"][first["start"] : first["end"]] == "UW"
    assert first["labels"] == ["/organization/educational_institution", "/organization"]
    written_and_read(figer_gold, dataset, tmp_path / "exp.label")


@pytest.mark.parametrize(
    ("split", "sentences", "words", "deprels"),
    [("train", 12544, 204577, 51), ("dev", 2001, 25147, 49), ("test", 2077, 25094, 49)],
)
def test_english_ewt(real_data, split, sentences, words, deprels, tmp_path):
    dataset = conllu.read(real_data / "ud_english_ewt" / f"en_ewt-ud-{split}.conllu.gz")
    assert len(dataset) == sentences and len(set(dataset["id"])) == sentences
    assert sum(map(len, dataset["words"])) == words
    assert len({deprel for row in dataset["deprels"] for deprel in row}) == deprels
    assert all(heads.count(0) == 1 for heads in dataset["heads"])
    if split != "train":
        written_and_read(conllu, dataset, tmp_path / "x.conllu")


def test_cosmosqa(real_data, tmp_path):
    dataset = cosmosqa.read(real_data / "cosmosqa" / "valid.csv")
    assert table(dataset) == table(cosmosqa.read(real_data / "cosmosqa" / "valid.jsonl.gz"))
    assert collections.Counter(dataset["label"]) == {0: 744, 1: 729, 2: 761, 3: 751}
    assert dataset[0]["question"] == "Why is this person asking about divorce ?"
    written_and_read(cosmosqa, dataset, tmp_path / "x.csv")
    written_and_read(cosmosqa, dataset, tmp_path / "x.jsonl")


@pytest.mark.parametrize(("split", "triples"), [("dev", 17284), ("test", 17448)])
def test_re_docred(real_data, split, triples, tmp_path):
    path = real_data / "re_docred" / f"{split}_revised.json.gz"
    dataset = redocred.read(path)
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        documents = json.load(stream)
    # Counted another way: the sentences of the mentions of head and tail, intersected.
    expected, apart = collections.Counter(), 0
    for document in documents:
        where = [{mention["sent_id"] for mention in mentions} for mentions in document["vertexSet"]]
        for label in document["labels"]:
            shared = where[label["h"]] & where[label["t"]]
            apart += not shared
            expected.update((document["title"], " ".join(document["sents"][i]), label["r"]) for i in shared)
    assert collections.Counter(zip(dataset["id"], dataset["text"], dataset["label"], strict=True)) == expected
    assert drops(dataset) == {"relation whose entities share no sentence": apart}
    assert sum(len(document["labels"]) for document in documents) == triples
    assert {row["subj_type"] for row in table(dataset)} <= {"PER", "ORG", "LOC", "TIME", "NUM", "MISC"}
    written_and_read(redocred, dataset, tmp_path / "x.json")


def test_xquad(real_data, tmp_path):
    path = real_data / "xquad_en" / "xquad.en.json"
    dataset = squad.read(path)
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    assert len(articles) == 48 and len(dataset) == len(set(dataset["id"])) == 1190
    assert len({text for row in dataset["paragraphs"] for text in row}) == 240
    assert {len(row) for row in dataset["paragraphs"]} == {5}
    assert all(any(row["answers"][0] in text for text in row["paragraphs"]) for row in table(dataset))
    assert all(row["answers"][0] in row["paragraphs"][0] for row in table(squad.read(path, paragraphs=1)))
    written_and_read(squad, dataset, tmp_path / "x.json")
    assert len(json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["data"]) == 48


@pytest.mark.parametrize(
    ("file", "facts"),
    [
        ("Google_RE/place_of_birth_test.jsonl.gz", 2937),
        ("Google_RE/date_of_birth_test.jsonl.gz", 1825),
        ("Google_RE/place_of_death_test.jsonl.gz", 766),
        ("Squad/test.jsonl", 305),
        ("TREx/P413.jsonl.gz", 952),
    ],
)
def test_lama(file, facts, real_data, tmp_path):
    dataset = lama.read(real_data / "lama" / file)
    assert len(dataset) == facts == len(set(dataset["id"]))
    assert all(any(lama.MASK in one["text"] for one in row) for row in dataset["sentences"])
    written_and_read(lama, dataset, tmp_path / "x.jsonl")


def test_lama_relations(real_data):
    table = lama.relations(real_data / "lama" / "relations.jsonl")
    assert len(table) == 46 and table["P19"]["template"] == "[X] was born in [Y] ."
    files = {path.name.split(".")[0] for path in (real_data / "lama" / "TREx").iterdir()}
    assert len(files) == 28 and files < set(table)


def test_lama_as_factual_data(real_data, tmp_path):
    """Restored sentences of two relations, counted another way."""
    wanted, sentences = collections.Counter(), set()
    (tmp_path / "lama").mkdir()
    for relation in ("P140", "P463"):
        path = real_data / "lama" / "TREx" / f"{relation}.jsonl.gz"
        (tmp_path / "lama" / path.name).symlink_to(path)
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            for fact in map(json.loads, stream):
                for one in fact["evidences"]:
                    key = (fact["uuid"], one["masked_sentence"])
                    if one["masked_sentence"].count("[MASK]") == 1 and one["sub_surface"] in one["masked_sentence"]:
                        wanted[relation] += key not in sentences
                        sentences.add(key)
    settings = trex_build.Settings(minimum=1)
    card = trex_build.build(tmp_path / "lama", tmp_path / "out", settings, kind="lama", jobs=1)
    parts = [trex_rc.read(tmp_path / "out" / f"{split}.json") for split in ("train", "dev")]
    assert collections.Counter(label for part in parts for label in part["label"]) == wanted
    assert sum(card["dropped"].values()) + wanted.total() == card["triples"]
    row = parts[0][0]
    assert all(surfaces(row)) and row["subj_id"].startswith("Q") and row["obj_id"].startswith("Q")


def test_codex(real_data, tmp_path):
    folder = real_data / "codex" / "triples" / "codex-s"
    sizes = {split: len(triples.read(folder / f"{split}.txt")) for split in ("train", "valid", "test")}
    assert sizes == {"train": 32888, "valid": 1827, "test": 1828}
    dataset = triples.read(folder / "test.txt")
    triples.write(dataset, tmp_path / "test.txt")
    assert (tmp_path / "test.txt").read_text().split() == (folder / "test.txt").read_text().split()


def test_conceptnet_sample(real_data, tmp_path):
    dataset = conceptnet.read(real_data / "conceptnet_sample" / "assertions.csv")
    assert len(dataset) == 96 and sum(drops(dataset).values()) == 764 - 96
    row = dataset.to_list()[-1]
    assert (row["head_text"], row["relation_text"], row["tail_text"]) == ("balalaika", "used for", "making music")
    written_and_read(conceptnet, dataset, tmp_path / "x.csv")


def test_ernie_wiki_sample(real_data):
    dataset = ernie_wiki.read(real_data / "ernie_wiki_sample" / "wiki_token.gz")
    assert len(dataset) == 16365
    links = [link for row in table(dataset) for link in row["links"]]
    assert len({link["entity"] for link in links}) == 11251
    first = dataset[0]
    said = {link["entity"]: first["text"][link["start"] : link["end"]] for link in first["links"]}
    assert said == {"Q179805": "political philosophy", "Q417633": "self - governed"}


def test_graphs_in_words(real_data):
    texts = real_data / "small_kgs" / "text" / "umls"
    folder = real_data / "codex" / "triples" / "codex-s"
    names = [real_data / "wiki80" / f"wiki80_{name}.txt.gz" for name in ("val", "train_0.1_a", "train_0.1_b")]
    relations = real_data / "codex" / "relations" / "en" / "relations.json"
    read = {
        split: graph_text.read(folder / f"{split}.txt", [*names, relations]) for split in ("test", "test_negatives")
    }
    assert all(read["test"]["holds"]) and not any(read["test_negatives"]["holds"])
    assert all(len(dataset) > 50 for dataset in read.values())
    assert len(graph_text._texts(texts / "entity2text.txt")) == 135
