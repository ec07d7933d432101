"""Re-DocRED (Tan et al., 2022), documents with relations, as sentence-level pairs; DocRED (Yao et al., 2019) has the
same form.

`train_revised.json`, `dev_revised.json`, `test_revised.json`: a JSON list of `{"title", "sents": [[tokens]],
"vertexSet": [[{"name", "sent_id", "pos": [start, end], "type"}]], "labels": [{"h", "t", "r", "evidence"}]}`:
`vertexSet` has the mentions of each entity, h and t are positions in it; `pos` counts tokens of the sentence, end
exclusive.

A row is one relation in one sentence that mentions both entities, marked at the first mention of each; a relation gives
as many rows as there are such sentences, and two relations between the same entities give rows of equal text. A
relation whose entities share no sentence is dropped and counted. `id` is the document's title, which its rows share.
Names, evidence and entities without a relation are not kept; `write` makes a document of one sentence of each row. A
missing field, a wrong type, a position outside its list raises.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.formats.records import Record, json_list, write_json_list
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import RELATION as SCHEMA
from kadapter.formats.spans import char_span, token_ends, token_spans

_Mentions = dict[int, tuple[int, int, str]]  # sentence -> character offsets and type of an entity's first mention there


def read(path: Path | str) -> Dataset:
    """The pairs in the order of documents, relations and sentences; raises FormatError for the first broken record."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for record in json_list(path):
        title = record.text("title")
        sentences = record.items("sents", "a list of sentences, lists of tokens")
        sentences = [record.string_list(f"sents[{i}]", tokens) for i, tokens in enumerate(sentences)]
        ends = list(map(token_ends, sentences))
        entities = record.items("vertexSet", "a list of entities, lists of mentions")
        entities = [_mentions(record, f"vertexSet[{i}]", entity, sentences, ends) for i, entity in enumerate(entities)]
        for i, data in enumerate(record.items("labels", "a list of relations")):
            label = Record(path, record.unit, record.number, data, f"labels[{i}].")
            head, tail = (entities[label.index(key, len(entities), "vertexSet")] for key in "ht")
            relation = label.text("r")
            shared = sorted(head.keys() & tail.keys())
            if not shared:
                rows.drop("relation whose entities share no sentence")
            for sentence in shared:
                tokens, subj, obj = sentences[sentence], head[sentence], tail[sentence]
                spans = *subj[:2], *obj[:2]
                rows.add(title, " ".join(tokens), *spans, relation, "", "", subj[2], obj[2], tokens)
    return rows.dataset()


def _mentions(
    record: Record, field: str, entity: object, sentences: list[list[str]], ends: list[list[int]]
) -> _Mentions:
    if type(entity) is not list:
        raise record.error(field, entity, "a list of mentions")
    found: _Mentions = {}
    for i, data in enumerate(entity):
        mention = Record(record.file, record.unit, record.number, data, f"{field}[{i}].")
        sentence = mention.index("sent_id", len(sentences), "sents")
        start, end = mention.integers("pos", 2)
        start, end = char_span(mention, f"{mention.prefix}pos", sentences[sentence], ends[sentence], start, end - 1)
        if sentence not in found or start < found[sentence][0]:
            found[sentence] = start, end, mention.text("type")
    return found


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the RELATION schema; rows without tokens are cut at white space and at the borders of spans."""
    write_json_list(path, map(_record, rows_of(dataset, SCHEMA)))


def _record(row: dict) -> dict:
    subj, obj = (row["subj_start"], row["subj_end"]), (row["obj_start"], row["obj_end"])
    tokens, spans = token_spans(row["text"], row["tokens"], [subj, obj])
    types = row["subj_type"], row["obj_type"]
    vertices = [
        [{"name": row["text"][slice(*characters)], "sent_id": 0, "pos": list(span), "type": type}]
        for characters, span, type in zip((subj, obj), spans, types, strict=True)
    ]
    labels = [{"h": 0, "t": 1, "r": row["label"], "evidence": [0]}]
    return {"title": row["id"], "sents": [tokens], "vertexSet": vertices, "labels": labels}
