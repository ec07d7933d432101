"""JSON records as streams: one object per line, or one list of objects, never the whole file in memory at once."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from kadapter.errors import FormatError
from kadapter.formats.files import LONGEST, NOTHING, TOO_MUCH, chunks, lines, replacing


class Record:
    """A JSON object and its place in a file; its methods give a field's value or raise a FormatError saying where."""

    __slots__ = ("file", "unit", "number", "data", "prefix")

    def __init__(self, file: Path, unit: str, number: int, data: object, prefix: str = "") -> None:
        self.file, self.unit, self.number, self.prefix = file, unit, number, prefix
        if type(data) is not dict:
            raise self.error(prefix.rstrip(".") or "record", data, "a JSON object")
        self.data = data

    def error(self, field: str, found: object, expected: str) -> FormatError:
        return FormatError(self.file, f"{self.unit} {self.number}", field, found, expected)

    def wrong(self, key: str, expected: str) -> FormatError:
        return self.error(self.prefix + key, self.data.get(key, NOTHING), expected)

    def child(self, key: str) -> "Record":
        return Record(self.file, self.unit, self.number, self.data.get(key, NOTHING), f"{self.prefix}{key}.")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.data.get(key, default)
        if type(value) is not str:
            raise self.wrong(key, "a string")
        return value if is_text(value) else self.no_text(key)

    def integer(self, key: str) -> int:
        value = self.data.get(key)
        if type(value) is not int:
            raise self.wrong(key, "an integer")
        return value

    def items(self, key: str, expected: str, default: list | None = None) -> list:
        value = self.data.get(key, default)
        if type(value) is not list:
            raise self.wrong(key, expected)
        return value

    def strings(self, key: str) -> list[str]:
        value = self.items(key, "a list of strings")
        try:
            joined = " ".join(value)
        except TypeError:
            raise self.wrong(key, "a list of strings") from None
        return value if is_text(joined) else self.no_text(key)

    def tokens(self, key: str) -> tuple[list[str], str]:
        """A sentence's tokens, at least one, and its text."""
        value = self.strings(key)
        if not value:
            raise self.wrong(key, "at least one token")
        return value, " ".join(value)

    def no_text(self, key: str) -> NoReturn:
        raise self.wrong(key, "text without lone surrogates")


def is_text(value: str) -> bool:
    """Whether a string can be stored as UTF-8: JSON can escape half of a surrogate pair."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(parse_constant=_constant)
_SPACE = " \t\n\r"


def parse(text: str, file: Path, where: str) -> object:
    """One whole JSON value."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        at, said = error.pos, error.msg
    except (ValueError, RecursionError) as error:  # NaN, an integer of thousands of digits, a thousand brackets
        at, said = 0, str(error)
    raise FormatError(file, where, "JSON", text[at : at + 40], f"a JSON value ({said} at character {at + 1})")


def json_lines(path: Path) -> Iterator[Record]:
    """Every line's JSON object; empty lines are skipped."""
    for number, line in lines(path):
        if line and not line.isspace():
            yield Record(path, "line", number, parse(line, path, f"line {number}"))


def json_whole(path: Path) -> object:
    """A file that is one JSON value of bounded size."""
    return parse("".join(chunks(path)), path, "file")


def json_list(path: Path) -> Iterator[Record]:
    """Every object of a file that is one JSON list, parsed one at a time."""
    source = _Source(path)
    if source.peek() != "[":
        raise source.error("start of file", "[ : a JSON list of objects")
    source.at += 1
    number = 0
    mark = source.peek()
    while mark != "]" or number:
        number += 1
        if mark != "{":
            raise source.error(f"record {number}", "{ : a JSON object")
        yield Record(path, "record", number, source.value(number))
        mark = source.peek()
        if mark == "]":
            break
        if mark != ",":
            raise source.error(f"after record {number}", ", or ]")
        source.at += 1
        mark = source.peek()
    source.at += 1
    if source.peek():
        raise source.error("after the list", "the end of the file")


class _Source:
    """A moving window on a file's text: `text[at:]` is what has been read and not yet parsed."""

    def __init__(self, path: Path) -> None:
        self.path, self.chunks = path, chunks(path)
        self.text, self.at, self.passed = "", 0, 0  # passed: line ends before the window

    def more(self, wanted: int = 1) -> bool:
        """Reads at least `wanted` more characters, fewer at the end of the file; False if there were none."""
        parts, length = [], 0
        for chunk in self.chunks:
            parts.append(chunk)
            length += len(chunk)
            if length >= wanted:
                break
        self.passed += self.text.count("\n", 0, self.at)
        self.text, self.at = self.text[self.at :] + "".join(parts), 0
        return length > 0

    def peek(self) -> str:
        """The next character that is not white space, "" at the end of the file."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in _SPACE:
                    return self.text[self.at]
                self.at += 1
            if not self.more():
                return ""

    def value(self, number: int) -> object:
        """The JSON value that starts at `at`."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                # An error at the very end, or in a string that does not end, may only mean that the window ends here.
                cut = error.pos > len(self.text) - 16 or error.msg.startswith("Unterminated")
                size = len(self.text) - self.at
                if cut and size <= LONGEST and self.more(wanted=size):
                    continue
                self.at = min(error.pos, len(self.text))
                if cut and size > LONGEST:
                    raise self.error(f"record {number}", f"at most {LONGEST} characters", TOO_MUCH) from None
                raise self.error(f"record {number}", f"a JSON object ({error.msg})") from None
            except (ValueError, RecursionError) as error:
                raise self.error(f"record {number}", f"a JSON object ({error})") from None
            if end - self.at > LONGEST:
                raise self.error(f"record {number}", f"at most {LONGEST} characters", TOO_MUCH)
            self.at = end
            return value

    def error(self, field: str, expected: str, found: object = None) -> FormatError:
        line = 1 + self.passed + self.text.count("\n", 0, self.at)
        found = self.text[self.at : self.at + 40] or NOTHING if found is None else found
        return FormatError(self.path, f"line {line}", field, found, expected)


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def write_json_lines(path: Path | str, records: Iterable[object]) -> None:
    with replacing(path) as file:
        for record in records:
            file.write(dumps(record) + "\n")


def write_json_list(path: Path | str, records: Iterable[object]) -> None:
    """One JSON list, a record per line."""
    with replacing(path) as file:
        file.writelines(("[\n" if i == 0 else ",\n") + dumps(record) for i, record in enumerate(records))
        file.write("\n]\n")
