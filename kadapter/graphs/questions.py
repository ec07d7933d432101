"""EntityQuestions (Sciavolino et al., 2021) as cloze with linked subjects, as Zhang et al. (2023) ask it: the subject
between `$`, and [MASK] after the question (map-tuning ledger, "Downstream protocols")."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from datasets import Dataset

from kadapter.errors import KAdapterError
from kadapter.formats import entity_questions
from kadapter.formats.lama import MASK
from kadapter.formats.schemas import LINKED_CLOZE
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.graphs.linking import Mention, decided
from kadapter.graphs.surfaces import Surfaces
from kadapter.tasks.prompts import answer_pieces

MARK = "$"  # around the subject
TEMPLATES = "relation_query_templates.json"


class Questions(NamedTuple):
    """`dataset`: rows of the LINKED_CLOZE schema; `counts`: as `kadapter.graphs.linking.linked` gives
    them; `dropped`: reason -> number of questions."""

    dataset: Dataset
    counts: pd.DataFrame
    dropped: Counter[str]


def read(
    folder: Path | str,
    split: str,
    surfaces: Surfaces,
    embeddings: EntityEmbeddings | None = None,
    usable: Callable[[str], bool] | None = None,
    linked_only: bool = True,
) -> Questions:
    """The questions of all relations: `SPLIT/P*.SPLIT.json` below a folder, and the templates that tell their subjects.

    Args:
        folder: EntityQuestions' `dataset` folder; the templates stand in it or above it.
        surfaces: name -> ids (`kadapter.graphs.surfaces`).
        usable: which answers can be asked for, as those that are one token of a vocabulary (`one_piece`); the first
            usable one is the answer, and a question without one is dropped. None takes every first answer.
        linked_only: drop questions whose subject is not linked, as the official code does.

    Raises KAdapterError where there are no such files, and where no question is left.
    """
    folder = Path(folder)
    files = sorted([*folder.glob(f"{split}/P*.{split}.json"), *folder.glob(f"{split}/P*.{split}.json.gz")])
    known = next((path for path in (folder / TEMPLATES, folder.parent / TEMPLATES) if path.is_file()), None)
    if not files or known is None:
        raise KAdapterError(f"{folder}: expected {split}/P*.{split}.json, and {TEMPLATES} there or one folder above")
    templates = entity_questions.templates(known)
    rows: list[dict] = []
    mentions: list[list[Mention]] = []
    dropped: Counter[str] = Counter()
    for path in files:
        relation = path.name.split(".")[0]
        before, _, after = templates.get(relation, "").partition("[X]")
        for number, row in enumerate(entity_questions.read(path)):
            question = row["question"]
            subject = question[len(before) : len(question) - len(after)]
            if not (before or after) or question != before + subject + after or not subject.strip():
                dropped["question: not that of its template"] += 1
                continue
            answer = next((a for a in row["answers"] if usable is None or usable(a)), None)
            if answer is None:
                dropped["answer: none that can be asked for"] += 1
                continue
            start = len(f"{before}{MARK} ")
            text = f"{before}{MARK} {subject} {MARK}{after} {MASK}"
            mentions.append([Mention("subject", start, start + len(subject), tuple(surfaces.get(subject, ())))])
            rows.append({"id": f"{relation}-{number}", "relation": relation, "text": text, "answer": answer})
    links, counts = decided(mentions, embeddings)
    kept = [row | {"candidates": [], "links": found} for row, found in zip(rows, links, strict=True)]
    if linked_only:
        dropped["subject: not linked"] += sum(not row["links"] for row in kept)
        kept = [row for row in kept if row["links"]]
    if not kept:
        raise KAdapterError(f"{folder}: no question of {split} is left ({dict(dropped)})")
    return Questions(Dataset.from_list(kept, features=LINKED_CLOZE), counts, +dropped)


def one_piece(tokenizer) -> Callable[[str], bool]:
    """Whether a text that follows a space is one token of a tokenizer: the answers that the official code asks for."""

    def answer(text: str) -> bool:
        [ids] = answer_pieces(tokenizer, [text])
        return len(ids) == 1 and ids[0] != tokenizer.unk_token_id

    return answer
