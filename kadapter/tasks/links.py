"""Mentions of linked entities: a place for a vector from outside before each of them, `e / mention`, in any tokenizer's
pieces (Zhang et al., ACL 2023, Section 3.1; map-tuning ledger, rows 2 and 3).

The place is written into the text itself, as a character that the tokenizer takes for one token, so that whatever a
task does with a text (markers, crops, pairs) is done with it, too.
"""

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.formats.lama import MASK
from kadapter.tasks.base import Task

NOTHING, ZERO = -1, -2  # of `link_rows`: no vector stands here; a vector of zeros, for an entity that has none
SEPARATOR = "/"
FIRST_PLACE = 0x10FF00  # private use: no text has these characters

# schema -> the column in which mentions are linked, and the columns that count characters of it. A mention that begins
# where an entity is linked holds its vector (task markers wrap the whole).
TEXTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "relation": ("text", ("subj_start", "subj_end", "obj_start", "obj_end")),
    "typing": ("text", ("start", "end")),
    "cloze": ("text", ()),
    "mention": ("text", ()),
    "dependency": ("words", ()),  # characters of the words joined by spaces
    "choice": ("context", ()),
    "openqa": ("question", ()),
}


def encode_linked(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    examples: dict[str, list],
    rows_of: Callable[[Sequence[str]], Sequence[int] | np.ndarray],
) -> dict[str, list]:
    """`task.encode` of examples whose column `links` (lists of {start, end, entity}) names entities in their text: with
    one token and the pieces of `/` before each mention, and the column `link_rows`: for each token the row of the
    vector that stands there, -1 for none, -2 for zeros.

    Args:
        rows_of: entity ids -> rows; -1 puts nothing before a mention.

    Raises KAdapterError for examples without links and for a task that reads no text with mentions.
    """
    placed, rows = place(task.schema, examples, rows_of)
    most = max(map(len, rows), default=0)
    wider = with_places(tokenizer, most)
    columns = task.encode(wider, placed)
    first = wider.get_vocab()[chr(FIRST_PLACE)]
    stand_in = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.pad_token_id
    owners = np.repeat(np.arange(len(rows)), columns.get("sequences", 1))
    found = []
    for number, (ids, owner) in enumerate(zip(columns["input_ids"], owners, strict=True)):
        ids = np.asarray(ids)
        inside = ids >= first
        links = np.full(len(ids), NOTHING)
        links[inside] = np.asarray(rows[owner], dtype=np.int64)[ids[inside] - first]
        columns["input_ids"][number] = np.where(inside, stand_in, ids).tolist()
        found.append(links.tolist())
    return columns | {"link_rows": found}


def place(
    schema: str,
    examples: dict[str, list],
    rows_of: Callable[[Sequence[str]], Sequence[int] | np.ndarray],
    owners: Sequence[int] | None = None,
) -> tuple[dict[str, list], list[list[int]]]:
    """Examples with a place and `/` written before each mention that is given a row, and those rows: the k-th place of
    an example stands for the k-th of its rows. In plain text of a cloze task nothing is written. Texts of one of
    `owners` are parts of one example, and their places are numbered through."""
    if schema == "episode" and "links" in examples:
        return _place_in_episodes(examples, rows_of)
    if schema not in TEXTS:
        raise KAdapterError(f"schema {schema!r} has no text in which entities are linked: expected {', '.join(TEXTS)}")
    if "links" not in examples:
        raise KAdapterError("these examples name no entities: expected a column 'links' (kadapter.graphs.linking)")
    column, offsets = TEXTS[schema]
    placed: dict[str, list] = examples | {name: list(examples[name]) for name in (column, *offsets)}
    if schema == "mention":
        placed["masked"] = list(examples["masked"])
    kept: list[list[int]] = []
    linked = [
        [] if schema == "cloze" and MASK not in text else sorted(links, key=lambda link: link["start"])
        for text, links in zip(examples[column], examples["links"], strict=True)
    ]
    found = iter(rows_of([link["entity"] for links in linked for link in links]))
    used: dict[int, int] = {}
    for number, links in enumerate(linked):
        text, owner = examples[column][number], number if owners is None else owners[number]
        rows = [next(found) for _ in links]
        starts = [link["start"] for link, row in zip(links, rows, strict=True) if row != NOTHING]
        kept.append([int(row) for row in rows if row != NOTHING])
        first = used.get(owner, 0)
        used[owner] = first + len(starts)
        written = [f"{chr(FIRST_PLACE + first + k)} {SEPARATOR} " for k in range(len(starts))]
        if column == "words":
            placed[column][number] = _into_words(text, starts, written)
            continue
        placed[column][number] = _into(text, starts, written)
        for name in offsets:
            placed[name][number] = moved(examples[name][number], starts, len(f"x {SEPARATOR} "))
        if schema == "mention":
            placed["masked"][number] = [
                {"start": moved(m["start"], starts, len(f"x {SEPARATOR} "), inside=True)}
                | {"end": moved(m["end"], starts, len(f"x {SEPARATOR} "))}
                for m in examples["masked"][number]
            ]
    return placed, kept


def _place_in_episodes(
    examples: dict[str, list], rows_of: Callable[[Sequence[str]], Sequence[int] | np.ndarray]
) -> tuple[dict[str, list], list[list[int]]]:
    """As `place`, in the text of each query and each of its supports; the places of one example are numbered
    through."""
    column, offsets = TEXTS["relation"]
    names = (column, *offsets)
    texts = [
        [{name: examples[name][i] for name in (*names, "links")}, *examples["supports"][i]]
        for i in range(len(examples[column]))
    ]
    flat = {name: [text[name] for example in texts for text in example] for name in (*names, "links")}
    before = np.cumsum([0, *map(len, texts)])
    placed, rows = place("relation", flat, rows_of, [i for i, example in enumerate(texts) for _ in example])
    found: dict[str, list] = examples | {name: [placed[name][i] for i in before[:-1]] for name in names}
    found["supports"] = [
        [{name: placed[name][k] for name in names} for k in range(start + 1, stop)]
        for start, stop in zip(before[:-1], before[1:], strict=True)
    ]
    joined = [sum(rows[start:stop], []) for start, stop in zip(before[:-1], before[1:], strict=True)]
    return found, joined


def moved(position: int, starts: Sequence[int], length: int, inside: bool = False) -> int:
    """A character's position after `length` characters were written at each of `starts`; one where something is written
    stays before it, or goes behind it (`inside`)."""
    return position + length * sum(start < position or (inside and start == position) for start in starts)


def _into(text: str, starts: Sequence[int], written: Sequence[str]) -> str:
    parts, at = [], 0
    for start, piece in zip(starts, written, strict=True):
        parts += [text[at:start], piece]
        at = start
    return "".join([*parts, text[at:]])


def _into_words(words: Sequence[str], starts: Sequence[int], written: Sequence[str]) -> list[str]:
    """As `_into`, in the word that holds each start: there are as many words as before."""
    found, begin = [], 0
    for word in words:
        here = [(s - begin, w) for s, w in zip(starts, written, strict=True) if begin <= s < begin + len(word)]
        found.append(_into(word, [s for s, _ in here], [w for _, w in here]))
        begin += len(word) + 1
    return found


def with_places(tokenizer: PreTrainedTokenizerBase, most: int) -> PreTrainedTokenizerBase:
    """A copy of a tokenizer to which each of `most` or more places is one token of its own, numbered behind all
    others."""
    return _copy_with(tokenizer, 1 << max(0, most - 1).bit_length())


@lru_cache(4)
def _copy_with(tokenizer: PreTrainedTokenizerBase, most: int) -> PreTrainedTokenizerBase:
    made = copy.deepcopy(tokenizer)
    made.add_tokens([AddedToken(chr(FIRST_PLACE + k), normalized=False, lstrip=True) for k in range(most)])
    return made
