"""T-REx-rc, the factual pre-training set (paper, section 3.3): Wikipedia sentences with a Wikidata relation.

Published as `train.json` and `dev.json` by microsoft/K-Adapter's scripts (from T-REx, Elsahar et al., 2018). A JSON
list of `{"docid": "Q3343462", "token": [...], "relation": "P31", "subj_start": 20, "subj_end": 20, "obj_start": 18,
"obj_end": 18, "subj_label": "Q3361", "obj_label": "Q6465"}`; positions count tokens, end inclusive.

`docid` becomes `id` (several records share one), the two labels become `subj_id` and `obj_id`. A relation given as an
integer, as the official cleaning script leaves it, is looked up in `relations.json` beside the file. Other fields are
not kept; `write` has no place for entity types. A missing field, a wrong type, a position outside the tokens raises.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError
from kadapter.formats.records import Record, json_list, json_whole, write_json_list
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import RELATION as SCHEMA
from kadapter.formats.spans import inclusive_columns, inclusive_span, token_ends


def read(path: Path | str) -> Dataset:
    """The file's records in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    names: dict[int, str] = {}
    for record in json_list(path):
        tokens, text = record.tokens("token")
        ends = token_ends(tokens)
        spans = *inclusive_span(record, "subj", tokens, ends), *inclusive_span(record, "obj", tokens, ends)
        if type(record.data.get("relation")) is int:
            names = names or _names(path.with_name("relations.json"))
            label = names.get(record.data["relation"])
            if label is None:
                raise record.wrong("relation", "a property id, or an integer that is in relations.json")
        else:
            label = record.text("relation")
        ids = record.text("subj_label"), record.text("obj_label")
        rows.add(record.text("docid"), text, *spans, label, *ids, "", "", tokens)
    return rows.dataset()


def _names(path: Path) -> dict[int, str]:
    """relations.json, integer -> property id."""
    table = Record(path, "file", 1, json_whole(path)).data
    for name, number in table.items():
        if type(number) is not int:
            raise FormatError(path, "file", name, number, "an integer")
    return {number: name for name, number in table.items()}


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the RELATION schema; rows without tokens are cut at white space and at the borders of spans."""
    write_json_list(path, map(_record, rows_of(dataset, SCHEMA)))


def _record(row: dict) -> dict:
    return {
        "docid": row["id"], "relation": row["label"], **inclusive_columns(row),
        "subj_label": row["subj_id"], "obj_label": row["obj_id"],
    }  # fmt: skip
