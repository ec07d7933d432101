"""FIGER (GOLD), the hand-annotated test set of Ling and Weld (2012): 434 sentences, 563 mentions; the FIGER test of
Table 2.

`exp.label` of xiaoling/figer: `token<TAB>tag` lines, an empty line (or a lone tab) between sentences; a tag is `O`, or
`B-` or `I-` and the mention's types between commas (`B-/person,/person/artist`). Further columns are ignored.

A row is one mention. `id` is `sentence-mention`, both from 0, over the sentences that have a mention; a sentence
without one gives no row and is counted as dropped. `write` puts consecutive mentions of one text back into one
sentence, cuts texts at white space and at the borders of mentions, does not keep `ents`, and refuses a mention without
labels. A line with fewer columns, an unknown tag, and an `I-` that continues no mention of the same types raise.
"""

from collections.abc import Iterator
from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import lines, replacing
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import TYPING as SCHEMA
from kadapter.formats.spans import token_ends, token_spans


def read(path: Path | str) -> Dataset:
    """The file's mentions in their order; raises FormatError for the first broken line."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    kept = 0
    for tokens, mentions in _sentences(path):
        if not mentions:
            rows.drop("sentence without a mention")
            continue
        text, ends = " ".join(tokens), token_ends(tokens)
        for i, (first, last, types) in enumerate(mentions):
            rows.add(f"{kept}-{i}", text, ends[first] - len(tokens[first]), ends[last], types, [])
        kept += 1
    return rows.dataset()


def _sentences(path: Path) -> Iterator[tuple[list[str], list[list]]]:
    """Tokens, and mentions as [first token, last token, types]."""
    tokens: list[str] = []
    mentions: list[list] = []
    for number, line in lines(path):
        token, *rest = line.split("\t")
        if not token and not "".join(rest):
            if tokens:
                yield tokens, mentions
            tokens, mentions = [], []
            continue
        if not token or not rest:
            raise FormatError(path, f"line {number}", "columns", line, "token<TAB>tag")
        begins, types = rest[0][:2], rest[0][2:].split(",")
        if begins == "B-" and all(types):
            mentions.append([len(tokens), len(tokens), types])
        elif begins == "I-" and mentions and mentions[-1][1] == len(tokens) - 1 and set(types) == set(mentions[-1][2]):
            mentions[-1][1] += 1
        elif rest[0] != "O":
            expected = "O, B-/type,/type, or I- with the types of the mention that it continues"
            raise FormatError(path, f"line {number}", "tag", rest[0], expected)
        tokens.append(token)
    if tokens:
        yield tokens, mentions


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the TYPING schema; raises KAdapterError for a row that the format cannot hold."""
    with replacing(path) as file:
        sentence: list[dict] = []
        for row in rows_of(dataset, SCHEMA):
            if sentence and not _continues(sentence[-1], row):
                file.write(_block(sentence))
                sentence = []
            sentence.append(row)
        file.write(_block(sentence))


def _continues(former: dict, row: dict) -> bool:
    """Whether a row is the next mention of the former row's sentence."""
    same = former["text"] == row["text"] and _sentence_of(former) == _sentence_of(row)
    return same and former["end"] <= row["start"]


def _sentence_of(row: dict) -> str:
    return row["id"].rpartition("-")[0]


def _block(sentence: list[dict]) -> str:
    for row in sentence:
        if not row["labels"] or any(not label or set(label) & set(",\t\r\n") for label in row["labels"]):
            wanted = "at least one, none of them empty or with a comma, tab or line break"
            raise KAdapterError(f"row {row['id']!r} has labels {row['labels']}; expected {wanted}")
    tokens, spans = token_spans(sentence[0]["text"], [], [(row["start"], row["end"]) for row in sentence])
    tags = ["O"] * len(tokens)
    for row, (first, stop) in zip(sentence, spans, strict=True):
        types = ",".join(row["labels"])
        tags[first:stop] = ["B-" + types] + ["I-" + types] * (stop - first - 1)
    return "".join(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True)) + "\n"
