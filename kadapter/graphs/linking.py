"""Which entities the mentions of a dataset mean: ids that the data has (OpenNRE, T-REx, FewRel, ERNIE's typing sets,
Wiki-ET), or names looked up in an exact surface map (Zhang et al., 2023, Section 4.1). What is not linked, or not
uniquely, gets no link: nothing is injected there (map-tuning ledger, row 3)."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd
from datasets import Dataset

from kadapter.errors import KAdapterError
from kadapter.formats.schemas import LINKS
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.graphs.surfaces import Surfaces

OUTCOMES = ("linked", "no id", "no vector", "ambiguous")
_RELATION = ["subj_start", "subj_end", "obj_start", "obj_end", "subj_id", "obj_id"]
_TYPING = ["start", "end", "ents"]


class Mention(NamedTuple):
    """A mention in its text: which of the row's mentions it is, its characters, and the ids that it may mean."""

    side: str
    start: int
    end: int
    ids: tuple[str, ...]


class Linked(NamedTuple):
    """`dataset` with the column `links` (lists of start, end, entity), and `counts`: a row for each kind of mention
    (`subject`, `object`; `mention`, `other`) with the number of mentions and of each of `OUTCOMES`."""

    dataset: Dataset
    counts: pd.DataFrame

    @property
    def coverage(self) -> float:
        """Share of the mentions that are linked, 0.0 of none."""
        total = int(self.counts["mentions"].sum())
        return int(self.counts["linked"].sum()) / total if total else 0.0


def linked(
    dataset: Dataset,
    embeddings: EntityEmbeddings | None = None,
    surfaces: Surfaces | None = None,
    *,
    others: bool = False,
    rows: bool = False,
) -> Linked:
    """The dataset with a column `links`.

    A mention is linked where the data, or for one without id the surface map, names one entity, and the embeddings
    have it. Several ids that have vectors are ambiguous and give no link.

    Args:
        dataset: with the columns of the RELATION or the TYPING schema, or with a column `links` of any other, whose
            links are kept as far as the embeddings have them (kind `link`).
        embeddings: links to entities that they lack are left out; None keeps all.
        surfaces: name -> ids (`kadapter.graphs.surfaces`), asked for mentions without id.
        others: of the TYPING schema, link the entities found elsewhere in the sentence, too, not the mention alone.
        rows: ids that the data has are rows of the embeddings, as in Wiki-ET, not ids.

    Raises KAdapterError for other columns, and for rows without embeddings.
    """
    names = set(dataset.column_names)
    if names.issuperset(_RELATION):
        found = [list(_relation(row)) for row in dataset.select_columns(_RELATION)]
    elif names.issuperset(_TYPING):
        found = [list(_typing(row, others)) for row in dataset.select_columns(_TYPING)]
    elif "links" in names:
        found = [[Mention("link", m["start"], m["end"], (m["entity"],)) for m in links] for links in dataset["links"]]
    else:
        raise KAdapterError(
            f"cannot link a dataset with the columns {', '.join(dataset.column_names)}; expected those of the schema "
            "relation or typing, or links"
        )
    if rows:
        found = _ids_of_rows(found, embeddings)
    if surfaces is not None:
        texts = dataset["text"]
        found = [
            [m if m.ids else m._replace(ids=tuple(surfaces.get(text[m.start : m.end], ()))) for m in mentions]
            for text, mentions in zip(texts, found, strict=True)
        ]
    links, counts = decided(found, embeddings)
    without = dataset.remove_columns("links") if "links" in names else dataset
    return Linked(without.add_column("links", links, feature=LINKS), counts)


def in_text(text: str, surfaces: Surfaces) -> list[dict]:
    """The links of a text that a person typed: names of one entity each that stand in it as whole words, the longest
    where several begin, from the left; as the column `links`.

    >>> in_text("Is Gormul in Old York ?", {"Gormul": ["Q1"], "Old York": ["Q2"], "York": ["Q3"], "Is": ["Q4", "Q5"]})
    [{'start': 3, 'end': 9, 'entity': 'Q1'}, {'start': 13, 'end': 21, 'entity': 'Q2'}]
    """
    words = [(m.start(), m.end()) for m in re.finditer(r"\w+|[^\w\s]", text)]
    most = max((len(name) for name in surfaces), default=0)
    links: list[dict] = []
    for number, (start, _) in enumerate(words):
        if links and start < links[-1]["end"]:
            continue
        for end in reversed([end for _, end in words[number:] if end - start <= most]):
            if len(found := surfaces.get(text[start:end], ())) == 1:
                links.append({"start": start, "end": end, "entity": found[0]})
                break
    return links


def _relation(row: dict) -> Iterator[Mention]:
    for side, prefix in (("subject", "subj"), ("object", "obj")):
        ids = tuple(filter(None, [row[f"{prefix}_id"]]))
        yield Mention(side, row[f"{prefix}_start"], row[f"{prefix}_end"], ids)


def _typing(row: dict, others: bool) -> Iterator[Mention]:
    at: dict[tuple[int, int], list[str]] = {(row["start"], row["end"]): []}
    for ent in row["ents"]:
        span = (ent["start"], ent["end"])
        if ent["id"] and (others or span in at):
            at.setdefault(span, []).append(ent["id"])
    own = (row["start"], row["end"])
    for span, ids in at.items():
        yield Mention("mention" if span == own else "other", *span, tuple(dict.fromkeys(ids)))


def _ids_of_rows(found: list[list[Mention]], embeddings: EntityEmbeddings | None) -> list[list[Mention]]:
    """Mentions whose ids are rows, written in digits, with the ids of these rows; none for a row that is not there."""
    if embeddings is None:
        raise KAdapterError("ids that are rows need the embeddings whose rows they are; expected embeddings")
    ids = embeddings.ids
    most = len(embeddings)
    return [
        [m._replace(ids=tuple(ids[int(n)] for n in m.ids if n.isdecimal() and int(n) < most)) for m in mentions]
        for mentions in found
    ]


def _known(found: list[list[Mention]], embeddings: EntityEmbeddings | None) -> set[str]:
    """Of all ids, those that the embeddings have."""
    ids = list(dict.fromkeys(id for mentions in found for m in mentions for id in m.ids))
    if embeddings is None:
        return set(ids)
    return {id for id, row in zip(ids, embeddings.rows(ids).tolist(), strict=True) if row >= 0}


def decided(found: list[list[Mention]], embeddings: EntityEmbeddings | None) -> tuple[list[list[dict]], pd.DataFrame]:
    """The links of each text's mentions, in their order, and the table of what became of them."""
    known = _known(found, embeddings)
    links: list[list[dict]] = []
    counted: dict[str, dict[str, int]] = {}
    for mentions in found:
        here: dict[int, dict] = {}
        for m in mentions:
            ids = [id for id in m.ids if id in known]
            outcome = "no id" if not m.ids else "no vector" if not ids else "ambiguous" if len(ids) > 1 else "linked"
            row = counted.setdefault(m.side, dict.fromkeys(("mentions", *OUTCOMES), 0))
            row["mentions"] += 1
            row[outcome] += 1
            if outcome == "linked":
                here.setdefault(m.start, {"start": m.start, "end": m.end, "entity": ids[0]})
        links.append([here[start] for start in sorted(here)])
    return links, pd.DataFrame.from_dict(counted, orient="index", columns=["mentions", *OUTCOMES]).astype(int)
