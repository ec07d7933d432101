"""SemEval-2010 Task 8 (Hendrickx et al., 2010): relations between two marked nominals, 9 directed ones and Other.

`TRAIN_FILE.TXT` and `TEST_FILE_FULL.TXT`: blocks with an empty line between them; a block is `id<TAB>"sentence with
<e1>..</e1> and <e2>..</e2>"`, the label (`Component-Whole(e2,e1)`) and a comment line. Lines end in CRLF.

e1 is the subject and e2 the object; the direction stays in the label. The text is the sentence without its quotation
marks and tags, spacing as published; `tokens` is empty. Comments are not kept, and entity ids and types have no place
in the file; `write` turns line breaks in a text into spaces. A line that does not fit, tags that are missing,
repeated or empty, and nominals that overlap raise.
"""

import re
from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import blocks, replacing
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import RELATION as SCHEMA

_SENTENCE = re.compile(r'([^\t]+)\t"(.*)"\s*', re.DOTALL)
_TAG = re.compile(r"</?e[12]>")


def read(path: Path | str) -> Dataset:
    """The file's records in their order; raises FormatError for the first broken one."""
    path = Path(path)
    rows = Rows(path, SCHEMA)
    for block in blocks(path):
        number, line = block[0]
        match = _SENTENCE.fullmatch(line)
        if not match:
            raise FormatError(path, f"line {number}", "sentence", line, 'id<TAB>"sentence"')
        id, marked = match.groups()
        text, spans = _unmark(path, number, marked)
        if len(block) < 2 or _is_comment(block[1][1]) or "\t" in block[1][1]:
            found = block[1][1] if len(block) > 1 else ""
            raise FormatError(path, f"line {number + 1}", "label", found, "a label such as Component-Whole(e2,e1)")
        if len(block) > 3 or (len(block) == 3 and not _is_comment(block[2][1])):
            at, found = block[min(len(block), 4) - 1]
            raise FormatError(path, f"line {at}", "comment", found, "'Comment: ...' and an empty line after the label")
        rows.add(id, text, *spans, block[1][1].strip(), "", "", "", "", [])
    return rows.dataset()


def _is_comment(line: str) -> bool:
    return line.startswith("Comment:")


def _unmark(path: Path, number: int, marked: str) -> tuple[str, tuple[int, int, int, int]]:
    """The sentence without its four tags, and the offsets at which they stood."""
    found = list(_TAG.finditer(marked))
    if sorted(match.group() for match in found) != ["</e1>", "</e2>", "<e1>", "<e2>"]:
        tags = [match.group() for match in found]
        raise FormatError(path, f"line {number}", "tags", tags, "<e1>, </e1>, <e2> and </e2>, once each")
    offset, removed = {}, 0
    for match in found:
        offset[match.group()] = match.start() - removed
        removed += len(match.group())
    spans = offset["<e1>"], offset["</e1>"], offset["<e2>"], offset["</e2>"]
    if spans[0] >= spans[1] or spans[2] >= spans[3]:
        raise FormatError(path, f"line {number}", "tags", marked, "text inside <e1></e1> and inside <e2></e2>")
    if _overlap(*spans):
        raise FormatError(path, f"line {number}", "tags", marked, "two nominals that do not overlap")
    return _TAG.sub("", marked), spans


def _overlap(start: int, end: int, other_start: int, other_end: int) -> bool:
    return start < other_end and other_start < end


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the RELATION schema; raises KAdapterError for a row that the format cannot hold."""
    with replacing(path) as file:
        for row in rows_of(dataset, SCHEMA):
            id, label = row["id"], row["label"]
            held = id.strip() and label and label == label.strip() and not set(id + label) & set("\t\r\n")
            if not held or _is_comment(label):
                raise KAdapterError(
                    f"row {id!r} has the label {label!r}; expected one line of text in both, and no tabs"
                )
            file.write(f'{id}\t"{_mark(row)}"\r\n{label}\r\nComment:\r\n\r\n')


def _mark(row: dict) -> str:
    text = row["text"].translate({10: " ", 13: " "})
    if _TAG.search(text):
        raise KAdapterError(f"the text of row {row['id']!r} holds one of the tags <e1> </e1> <e2> </e2>: {text[:60]!r}")
    if _overlap(*(row[column] for column in ("subj_start", "subj_end", "obj_start", "obj_end"))):
        raise KAdapterError(f"row {row['id']!r}: its entities overlap; expected two apart from each other")
    tags = [("subj_end", "</e1>"), ("obj_end", "</e2>"), ("subj_start", "<e1>"), ("obj_start", "<e2>")]
    for column, tag in sorted(tags, key=lambda pair: row[pair[0]], reverse=True):
        text = text[: row[column]] + tag + text[row[column] :]
    return text
