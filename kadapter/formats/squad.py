"""SQuAD (Rajpurkar et al., 2016) and XQuAD, read as questions about several paragraphs: a free stand-in for SearchQA
and Quasar-T (section 4.3, Table 3 of the paper).

One JSON object `{"version": ..., "data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [{"id": ...,
"question": ..., "answers": [{"text": ..., "answer_start": ...}]}]}]}]}`.

A question has the paragraphs of its article, in their order: its own and the others as distractors; `read` can draw
fewer. Answers may be empty or missing (SQuAD 2.0's questions without an answer), a repeated one is kept. Which
paragraph is a question's own, `answer_start`, titles and other keys are not kept: an answer counts wherever it occurs.
`write` puts a question under the first paragraph that holds one of its answers (offset -1 where none does), so that
reading gives the same rows. A missing field, a wrong type, an `answer_start` at which its answer does not stand, and a
file without the list `data` raise.
"""

import random
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from datasets import Dataset

from kadapter.errors import KAdapterError
from kadapter.formats.files import replacing
from kadapter.formats.records import Record, dumps, json_member
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import OPENQA as SCHEMA


def read(path: Path | str, paragraphs: int | None = None, seed: int = 0) -> Dataset:
    """The file's questions in their order, each with its article's paragraphs; with `paragraphs`, at most so many of
    them: its own, and others drawn by `seed` and the question's id. Raises FormatError for the first broken record.
    """
    if paragraphs is not None and paragraphs < 1:
        raise KAdapterError(f"paragraphs is {paragraphs}; expected at least 1, the question's own")
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for article in json_member(path, "data"):
        found = list(_children(article, "paragraphs"))
        contexts = [paragraph.text("context") for paragraph in found]
        for own, paragraph in enumerate(found):
            for question in _children(paragraph, "qas"):
                id = question.text("id")
                shown = contexts
                if paragraphs is not None and paragraphs < len(contexts):
                    others = [i for i in range(len(contexts)) if i != own]
                    drawn = random.Random(f"{seed}/{id}").sample(others, paragraphs - 1)
                    shown = [contexts[i] for i in sorted([own, *drawn])]
                answers = [_answer(answer, contexts[own]) for answer in _children(question, "answers", default=[])]
                rows.add(id, question.text("question"), answers, shown)
    return rows.dataset()


def _children(record: Record, key: str, default: list | None = None) -> Iterator[Record]:
    """The objects of a list."""
    for i, value in enumerate(record.items(key, "a list of objects", default)):
        yield Record(record.file, record.unit, record.number, value, f"{record.prefix}{key}[{i}].")


def _answer(answer: Record, context: str) -> str:
    """An answer's text, which stands at its `answer_start`, if it has one and stands anywhere."""
    text = answer.text("text")
    if answer.data.get("answer_start", -1) != -1 and not context.startswith(text, answer.integer("answer_start")):
        raise answer.wrong("answer_start", f"where {text[:40]!r} begins in its context, or -1")
    return text


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the OPENQA schema; consecutive questions with the same paragraphs make one article.

    Raises KAdapterError for a row without paragraphs.
    """
    with replacing(path) as file:
        file.write('{"version": "1.1", "data": [')
        between = "\n"
        for paragraphs, rows in groupby(rows_of(dataset, SCHEMA), lambda row: row["paragraphs"]):
            for article in _articles(paragraphs, rows):
                file.write(between + dumps(article))
                between = ",\n"
        file.write("\n]}\n")


def _articles(paragraphs: list[str], rows: Iterator[dict]) -> Iterator[dict]:
    """One article, or several where the questions' order would have to change to put each below its answer."""
    article: dict[str, Any] | None = None
    last = 0
    for row in rows:
        if not paragraphs:
            raise KAdapterError(f"row {row['id']!r} has no paragraphs; expected at least one to put the question under")
        holding = [i for i, text in enumerate(paragraphs) if any(answer in text for answer in row["answers"])]
        own = next((i for i in holding if i >= last), holding[0] if holding else last)
        if article is not None and own < last:
            yield article
            article = None
        article = article or {"title": "", "paragraphs": [{"context": text, "qas": []} for text in paragraphs]}
        last = own
        answers = [{"text": text, "answer_start": paragraphs[own].find(text)} for text in row["answers"]]
        question = {"id": row["id"], "question": row["question"], "answers": answers}
        article["paragraphs"][own]["qas"].append(question)
    if article is not None:
        yield article
