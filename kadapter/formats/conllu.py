"""CoNLL-U, the format of Universal Dependencies: sentences with their dependency trees (linguistic knowledge, section
3.4).

Comment lines (`# sent_id = ...`), then one word per line in ten tab-separated columns ID FORM LEMMA UPOS XPOS FEATS
HEAD DEPREL DEPS MISC, an empty line after each sentence. HEAD counts words from 1; 0 is the root. See
universaldependencies.org/format.

`id` is `sent_id`, or the sentence's position from 0 where there is none. Multiword tokens (`3-4`) and empty nodes
(`8.1`) are skipped; comments, LEMMA, XPOS, FEATS, DEPS and MISC are not kept: `write` puts `_`. Several roots are
accepted. A line without ten columns, ids that do not count 1, 2, ..., an empty FORM, a HEAD that is no word of the
sentence or the word itself, heads in a circle, and a sentence without a root or without words raise.
"""

from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import blocks, replacing
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import DEPENDENCY as SCHEMA


def read(path: Path | str) -> Dataset:
    """The file's sentences in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for block in blocks(path):
        rows.add(*sentence(path, block, str(rows.count)))
    return rows.dataset()


def sentence(
    path: Path, block: list[tuple[int, str]], id: str
) -> tuple[str, list[str], list[int], list[str], list[str]]:
    """The row of one sentence.

    Args:
        block: its numbered lines.
        id: used where it has no `sent_id`.

    Raises FormatError for the first broken line.
    """
    words: list[str] = []
    heads: list[int] = []
    deprels: list[str] = []
    upos: list[str] = []
    for number, line in block:
        if line[0] == "#":
            key, _, value = line[1:].partition("=")
            if key.strip() == "sent_id":
                id = value.strip()
            continue
        columns = line.split("\t")
        if len(columns) != 10:
            raise FormatError(path, f"line {number}", "columns", len(columns), "10 columns between tabs")
        if columns[0] != str(len(words) + 1):
            if _skipped(columns[0]):
                continue
            raise FormatError(path, f"line {number}", "ID", columns[0], f"{len(words) + 1}, the next word")
        if not columns[1]:
            raise FormatError(path, f"line {number}", "FORM", columns[1], "a word")
        if not (columns[6].isascii() and columns[6].isdecimal()):
            raise FormatError(path, f"line {number}", "HEAD", columns[6], "the number of a word, or 0 for the root")
        words.append(columns[1])
        heads.append(int(columns[6][:10]))  # ten digits are more than any sentence has, and never slow to convert
        deprels.append(columns[7])
        upos.append(columns[3])
    _check_tree(path, block, heads)
    return id, words, heads, deprels, upos


def _skipped(id: str) -> bool:
    """Whether an id is a multiword token's (3-4) or an empty node's (8.1)."""
    first, dash, last = id.replace(".", "-").partition("-")
    return bool(dash) and first.isdecimal() and last.isdecimal()


def _check_tree(path: Path, block: list[tuple[int, str]], heads: list[int]) -> None:
    first = f"line {block[0][0]}"
    if not heads:
        raise FormatError(path, first, "sentence", block[0][1], "at least one word")
    for word, head in enumerate(heads, 1):
        if head > len(heads) or head == word:
            at = next(number for number, line in block if line.startswith(f"{word}\t"))
            raise FormatError(path, f"line {at}", "HEAD", head, f"0 to {len(heads)}, and not the word itself ({word})")
    if 0 not in heads:
        raise FormatError(path, first, "HEAD", heads, "a root: a word whose HEAD is 0")
    if circle := _circle(heads):
        found = " -> ".join(str(word) for word in circle[:8])
        raise FormatError(path, first, "HEAD", found, "a tree: the heads of every word end at a root")


def _circle(heads: list[int]) -> list[int]:
    """The first words, counted from 1, whose heads lead back to them; [] for a tree."""
    reached = {0}  # words from which a root is reached
    for start in range(1, len(heads) + 1):
        way: dict[int, None] = {}  # in the order in which it is gone
        word = start
        while word not in reached:
            if word in way:
                return [*list(way)[list(way).index(word) :], word]
            way[word] = None
            word = heads[word - 1]
        reached.update(way)
    return []


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the DEPENDENCY schema; raises KAdapterError for a row that the format cannot hold."""
    with replacing(path) as file:
        for row in rows_of(dataset, SCHEMA):
            if row["id"] != row["id"].strip() or "\n" in row["id"]:
                raise KAdapterError(f"sentence id {row['id']!r}: expected no white space around it and no line break")
            file.write(f"# sent_id = {row['id']}\n# text = {' '.join(row['words'])}\n")
            try:
                columns = list(zip(row["words"], row["heads"], row["deprels"], row["upos"], strict=True))
            except ValueError:
                lengths = "words, heads, deprels and upos of different lengths"
                raise KAdapterError(f"sentence {row['id']!r} has {lengths}; expected one of each per word") from None
            if all(0 <= head <= len(columns) for head in row["heads"]) and (circle := _circle(row["heads"])):
                raise KAdapterError(f"sentence {row['id']!r}: the heads of words {circle} form a circle")
            for number, (word, head, deprel, upos) in enumerate(columns, 1):
                line = f"{number}\t{word}\t_\t{upos}\t_\t_\t{head}\t{deprel}\t_\t_"
                if line.count("\t") != 9 or "\n" in line or not word:
                    wanted = "a word, and no tab or line break in any column"
                    raise KAdapterError(f"sentence {row['id']!r}: word {number} is {word!r}; expected {wanted}")
                file.write(line + "\n")
            file.write("\n")
