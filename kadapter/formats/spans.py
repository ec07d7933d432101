"""Between token positions, which most relation formats count, and character offsets, which the schemas count.

A sentence's text is its tokens joined by one space, so both ways are exact, whatever characters a token holds.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate

from kadapter.errors import KAdapterError
from kadapter.formats.records import Record

_SPACE = " \t\r\n"


def token_ends(tokens: Sequence[str]) -> list[int]:
    """The offset in `" ".join(tokens)` at which each token ends.

    >>> token_ends(["New", "Fabris", "closed"])
    [3, 10, 17]
    """
    return [length + i for i, length in enumerate(accumulate(map(len, tokens)))]


def char_span(record: Record, field: str, tokens: list[str], ends: list[int], first: int, last: int) -> tuple[int, int]:
    """The character offsets of tokens `first` to `last`, both inclusive; raises FormatError naming `field`."""
    if not 0 <= first <= last < len(tokens):
        raise record.error(field, (first, last), f"0 <= first <= last <= {len(tokens) - 1}, positions of tokens")
    start, end = ends[first] - len(tokens[first]), ends[last]
    if start == end:
        raise record.error(field, (first, last), "a span that holds text")
    return start, end


def inclusive_span(record: Record, entity: str, tokens: list[str], ends: list[int]) -> tuple[int, int]:
    """The character offsets of the tokens from `<entity>_start` to `<entity>_end`, which is the last one's position."""
    start, end = f"{entity}_start", f"{entity}_end"
    return char_span(record, f"{start}, {end}", tokens, ends, record.integer(start), record.integer(end))


def token_spans(
    text: str, tokens: Sequence[str], spans: Sequence[tuple[int, int]]
) -> tuple[list[str], list[tuple[int, int]]]:
    """The tokens of a row and, for each character span, its token range (end exclusive).

    Without `tokens` the text is cut at white space and at the borders of spans. Raises KAdapterError for a span that is
    outside the text, is empty, or does not begin and end with a token.

    >>> token_spans("born in Oslo.", [], [(8, 12)])
    (['born', 'in', 'Oslo', '.'], [(2, 3)])
    """
    for start, end in spans:
        if not 0 <= start < end <= len(text):
            raise KAdapterError(f"span {start}..{end} is not inside its text of {len(text)} characters: {text[:60]!r}")
    if tokens:
        tokens = list(tokens)
        if " ".join(tokens) != text:
            raise KAdapterError(f"tokens joined by spaces differ from the text: {text[:60]!r}")
        ends = token_ends(tokens)
        starts = [end - len(token) for token, end in zip(tokens, ends, strict=True)]
    else:
        borders = sorted({0, len(text)}.union(*spans))
        pieces = zip(borders, borders[1:], strict=False)
        found = [(i + m.start(), m.group()) for i, j in pieces for m in re.finditer(f"[^{_SPACE}]+", text[i:j])]
        tokens = [token for _, token in found]
        starts = [start for start, _ in found]
        ends = [start + len(token) for start, token in found]
        spans = [_trimmed(text, start, end) for start, end in spans]
    ranges = []
    for start, end in spans:
        if start >= end or start not in starts or end not in ends:
            raise KAdapterError(f"span {text[start:end]!r} of {text[:60]!r} does not begin and end with a token")
        ranges.append((starts.index(start), ends.index(end) + 1))
    return tokens, ranges


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its borders."""
    inner = text[start:end]
    return end - len(inner.lstrip(_SPACE)), start + len(inner.rstrip(_SPACE))


def inclusive_columns(row: Mapping) -> dict[str, list[str] | int]:
    """A row's tokens and the positions of the first and last one of its two entities, as TACRED's JSON names them."""
    spans = [(row["subj_start"], row["subj_end"]), (row["obj_start"], row["obj_end"])]
    tokens, [subj, obj] = token_spans(row["text"], row["tokens"], spans)
    places = {"subj_start": subj[0], "subj_end": subj[1] - 1, "obj_start": obj[0], "obj_end": obj[1] - 1}
    return {"token": tokens} | places
