"""Text files as streams: plain or gzipped, UTF-8, read a megabyte at a time, written whole or not at all."""

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from kadapter.errors import FormatError, KAdapterError

CHUNK = 1 << 20  # bytes read at a time
LARGER, SMALL = 200, 1 << 26  # a gzipped file unpacks to at most so many times its bytes, or to so many bytes
LONGEST = 1 << 21  # characters of one line or record; the longest of the published files is near a fifth of it


class Said(str):
    """A finding that an error message shows without quotes."""

    def __repr__(self) -> str:
        return str(self)


NOTHING = Said("nothing")
TOO_MUCH = Said(f"more than {LONGEST} characters")


def _open(path: Path) -> io.BufferedIOBase:
    try:
        with open(path, "rb") as stream:
            gzipped = stream.read(2) == b"\x1f\x8b"
        return gzip.open(path, "rb") if gzipped else open(path, "rb")
    except OSError as error:
        raise KAdapterError(f"{path}: cannot be read ({error.strerror}); expected a data file there") from None


def chunks(path: Path) -> Iterator[str]:
    """The text of a plain or gzipped UTF-8 file, piece by piece, without its byte order mark."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    line, total = 1, 0
    with _open(path) as stream:
        most = max(SMALL, LARGER * path.stat().st_size)
        more = True
        while more:
            try:
                data = stream.read(CHUNK)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise FormatError(path, f"line {line}", "gzip stream", str(error), "a whole gzip file") from None
            more, total = bool(data), total + len(data)
            if total > most:
                expected = f"at most {most:,}: unpack it yourself where you trust it"
                raise FormatError(path, f"line {line}", "bytes unpacked", Said(f"{total:,} and more"), expected)
            try:
                text = decoder.decode(data, final=not more)
            except UnicodeDecodeError as error:
                bad = error.object[error.start : error.start + 8]
                line += error.object.count(b"\n", 0, error.start)
                raise FormatError(path, f"line {line}", "encoding", bad, "UTF-8 text") from None
            line += data.count(b"\n")
            if text:
                yield text


def lines(path: Path, keep_cr: bool = False) -> Iterator[tuple[int, str]]:
    """Line number (from 1) and text of every line; only LF and CRLF end a line, other separators are text."""
    number, rest = 0, ""
    for chunk in chunks(path):
        *whole, rest = (rest + chunk).split("\n")
        for line in whole:
            number += 1
            _check_length(path, number, line)
            yield number, line if keep_cr else line.removesuffix("\r")
        _check_length(path, number + 1, rest)
    if rest:
        yield number + 1, rest if keep_cr else rest.removesuffix("\r")


def blocks(path: Path) -> Iterator[list[tuple[int, str]]]:
    """The numbered lines between lines that are empty or white space."""
    block: list[tuple[int, str]] = []
    for number, line in lines(path):
        if line and not line.isspace():
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _check_length(path: Path, number: int, line: str) -> None:
    if len(line) > LONGEST:
        raise FormatError(path, f"line {number}", "length", TOO_MUCH, f"at most {LONGEST} characters")


@contextmanager
def replacing(path: Path | str) -> Iterator[TextIO]:
    """A text file that takes its name when it is complete; gzipped when the name ends in .gz."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        with open(partial, "wb") as raw:
            # Without name and time in its header, the same data gives the same bytes.
            binary = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if path.suffix == ".gz" else raw
            with io.TextIOWrapper(binary, "utf-8", newline="\n") as stream:
                yield stream
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
