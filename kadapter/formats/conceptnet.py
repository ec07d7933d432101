"""ConceptNet's assertions (Speer et al., 2017): five columns between tabs, the assertion's URI, relation (`/r/IsA`),
start and end (`/c/en/guitar`, `/c/en/test/n/wn/act`) and a JSON object (weight, surface texts, ...).

`id` is the record's position, from 0. The text of a concept is its third part, with spaces for underscores, and that
of a relation its words in lower case (`/r/UsedFor`: "used for"). Assertions of two English concepts are read; others
are counted and left out, and so are external URLs. The JSON object is not kept: `write` puts an empty one. A line
without five columns, a URI of another form and an empty concept raise.
"""

import re
from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import lines, replacing
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import FACT as SCHEMA

LANGUAGE = "en"
_RELATION = re.compile(r"/r/[\w/]+")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def read(path: Path | str) -> Dataset:
    """The file's English assertions in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for number, line in lines(path):
        if not line or line.isspace():
            continue
        columns = line.split("\t")
        where = f"line {number}"
        if len(columns) != 5:
            raise FormatError(path, where, "columns", line, "five: URI, relation, start, end and a JSON object")
        relation, start, end = columns[1:4]
        if not _RELATION.fullmatch(relation):
            raise FormatError(path, where, "relation", relation, "a URI such as /r/IsA")
        parts = [uri.split("/") for uri in (start, end)]
        if any(part[:2] != ["", "c"] for part in parts):
            rows.drop("end that is no concept")
        elif any(len(part) < 4 or not concept(part[3]) for part in parts):
            raise FormatError(path, where, "concept", f"{start} {end}", "URIs such as /c/en/guitar")
        elif any(part[2] != LANGUAGE for part in parts):
            rows.drop("another language")
        else:
            texts = [concept(part[3]) for part in parts]
            rows.add(str(rows.count), start, relation, end, texts[0], words(relation), texts[1], True)
    return rows.dataset()


def concept(name: str) -> str:
    """The words of a concept's name."""
    return " ".join(name.replace("_", " ").split())


def words(relation: str) -> str:
    """The words of a relation's name.

    >>> words("/r/MotivatedByGoal"), words("/r/IsA"), words("/r/dbpedia/genre")
    ('motivated by goal', 'is a', 'genre')
    """
    return " ".join(_WORDS.findall(relation.rsplit("/", 1)[1])).lower() or relation.rsplit("/", 1)[1]


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the FACT schema whose names are URIs of ConceptNet; raises KAdapterError for others, and for a row
    whose texts are not those of its names or that is no fact."""
    with replacing(path) as file:
        for row in rows_of(dataset, SCHEMA):
            relation, ends = row["relation"], (row["head"], row["tail"])
            good = _RELATION.fullmatch(relation) and all(re.fullmatch(r"/c/en/[^\t\r\n]+", end) for end in ends)
            said = good and (*(concept(end.split("/")[3]) for end in ends), words(relation))
            if not row["holds"] or not said or said != (row["head_text"], row["tail_text"], row["relation_text"]):
                raise KAdapterError(
                    f"fact {row['id']!r}: found {row['head']} {relation} {row['tail']}; expected a fact with "
                    "ConceptNet's names, such as /c/en/guitar /r/IsA /c/en/instrument, and the texts that these say"
                )
            file.write(f"/a/[{relation}/,{ends[0]}/,{ends[1]}/]\t{relation}\t{ends[0]}\t{ends[1]}\t{{}}\n")
