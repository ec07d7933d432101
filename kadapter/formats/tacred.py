"""TACRED (Zhang et al., 2017; LDC2018T24), the relation classification set of the paper's section 4.4 and Table 4.

A JSON list of `{"id", "docid", "relation", "token": [...], "subj_start", "subj_end", "obj_start", "obj_end",
"subj_type", "obj_type", "stanford_pos", "stanford_ner", "stanford_head", "stanford_deprel"}`; positions count tokens,
end inclusive. Re-TACRED and the revisited TACRED have the same form.

`docid` and the `stanford_*` columns are not kept, and entity ids have no place in the file. Tokens stay as published
(`-LRB-` for a bracket). A missing field, a wrong type, a position outside the tokens raises.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.formats.records import json_list, write_json_list
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import RELATION as SCHEMA
from kadapter.formats.spans import inclusive_columns, inclusive_span, token_ends


def read(path: Path | str) -> Dataset:
    """The file's records in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for record in json_list(path):
        tokens, text = record.tokens("token")
        ends = token_ends(tokens)
        spans = *inclusive_span(record, "subj", tokens, ends), *inclusive_span(record, "obj", tokens, ends)
        types = record.text("subj_type"), record.text("obj_type")
        rows.add(record.text("id"), text, *spans, record.text("relation"), "", "", *types, tokens)
    return rows.dataset()


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the RELATION schema; rows without tokens are cut at white space and at the borders of spans."""
    write_json_list(path, map(_record, rows_of(dataset, SCHEMA)))


def _record(row: dict) -> dict:
    return {
        "id": row["id"], "relation": row["label"], **inclusive_columns(row),
        "subj_type": row["subj_type"], "obj_type": row["obj_type"],
    }  # fmt: skip
