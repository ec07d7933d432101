"""FewRel (Han et al., 2018): Wikipedia sentences for 100 Wikidata relations, 700 each; relation classification.

`train_wiki.json`, `val_wiki.json`: one JSON object, property id -> list of `{"tokens": [...], "h": ["name", "Q-id",
[[3, 4], [9]]], "t": [...]}`: for every mention of the entity the positions of its tokens. FewRel 2.0 (Gao et al., 2019)
has the same: `val_pubmed.json` with UMLS ids (`C0206431`) and names of relations, `val_semeval.json` with the mention's
words where an id stands elsewhere; they link to nothing.

A row is one instance, marked at the first mention of each entity, from its first to its last token. `id` is the
record's position, from 0: the file has none, so `write` keeps no other. An entity's id that is null is "". Names and
further mentions are not kept; `write` puts the span's text as name and gathers the rows of one relation in one list, so
rows that were not in that order change it. A missing field, a wrong type, an entity without mention, a position outside
the tokens raises.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.formats.files import replacing
from kadapter.formats.records import Record, dumps, is_text, json_lists
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import RELATION as SCHEMA
from kadapter.formats.spans import char_span, token_ends, token_spans

_ENTITIES = [str, str, list], [str, type(None), list]


def read(path: Path | str) -> Dataset:
    """The file's instances in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for relation, record in json_lists(path):
        tokens, text = record.tokens("tokens")
        ends = token_ends(tokens)
        subj_id, subj = _entity(record, "h", tokens, ends)
        obj_id, obj = _entity(record, "t", tokens, ends)
        rows.add(str(rows.count), text, *subj, *obj, relation, subj_id, obj_id, "", "", tokens)
    return rows.dataset()


def _entity(record: Record, key: str, tokens: list[str], ends: list[int]) -> tuple[str, tuple[int, int]]:
    """The id and the span of the first mention."""
    expected = '["name", "Q-id", [[positions of a mention\'s tokens], ...]]'
    entity = record.items(key, expected)
    if [type(part) for part in entity] not in _ENTITIES or not is_text(entity[1] or ""):
        raise record.wrong(key, expected)
    mention = entity[2][0] if entity[2] else None
    if type(mention) is not list or not mention or any(type(position) is not int for position in mention):
        raise record.wrong(key, expected)
    return entity[1] or "", char_span(record, key, tokens, ends, min(mention), max(mention))


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the RELATION schema; rows without tokens are cut at white space and at the borders of spans."""
    instances: dict[str, list[str]] = {}
    for row in rows_of(dataset, SCHEMA):
        instances.setdefault(row["label"], []).append(dumps(_record(row)))
    with replacing(path) as file:
        lists = (dumps(label) + ": [\n" + ",\n".join(records) + "\n]" for label, records in instances.items())
        file.write("{\n" + ",\n".join(lists) + "\n}\n")


def _record(row: dict) -> dict:
    subj, obj = (row["subj_start"], row["subj_end"]), (row["obj_start"], row["obj_end"])
    tokens, [head, tail] = token_spans(row["text"], row["tokens"], [subj, obj])
    return {
        "tokens": tokens,
        "h": [row["text"][slice(*subj)], row["subj_id"], [list(range(*head))]],
        "t": [row["text"][slice(*obj)], row["obj_id"], [list(range(*tail))]],
    }
