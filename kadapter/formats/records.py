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
        """The error for a field of this record."""
        return FormatError(self.file, f"{self.unit} {self.number}", field, found, expected)

    def wrong(self, key: str, expected: str) -> FormatError:
        """The error for what stands under a key."""
        return self.error(self.prefix + key, self.data.get(key, NOTHING), expected)

    def child(self, key: str) -> "Record":
        """What stands under a key, as a record of its own."""
        return Record(self.file, self.unit, self.number, self.data.get(key, NOTHING), f"{self.prefix}{key}.")

    def text(self, key: str, default: str | None = None) -> str:
        """The string under a key; raises FormatError for anything else."""
        value = self.data.get(key, default)
        if type(value) is not str:
            raise self.wrong(key, "a string")
        if not is_text(value):
            raise self.wrong(key, "text without lone surrogates")
        return value

    def integer(self, key: str) -> int:
        """The integer under a key; raises FormatError for anything else."""
        value = self.data.get(key)
        if type(value) is not int:
            raise self.wrong(key, "an integer")
        return value

    def items(self, key: str, expected: str, default: list | None = None) -> list:
        """The list under a key; raises FormatError for anything else."""
        value = self.data.get(key, default)
        if type(value) is not list:
            raise self.wrong(key, expected)
        return value

    def integers(self, key: str, count: int) -> list[int]:
        """The `count` integers under a key; raises FormatError for anything else."""
        value = self.data.get(key)
        if type(value) is not list or [type(item) for item in value] != [int] * count:
            raise self.wrong(key, f"a list of {count} integers")
        return value

    def index(self, key: str, length: int, of: str) -> int:
        """A position in a list of `length` items."""
        value = self.integer(key)
        if not 0 <= value < length:
            raise self.wrong(key, f"0 <= {key} < {length}, a position in {of}")
        return value

    def strings(self, key: str) -> list[str]:
        """The list of strings under a key; raises FormatError for anything else."""
        return self.string_list(self.prefix + key, self.data.get(key, NOTHING))

    def string_list(self, field: str, value: object) -> list[str]:
        """`value`, found in `field`, if it is a list of strings."""
        if type(value) is not list:
            raise self.error(field, value, "a list of strings")
        try:
            joined = " ".join(value)
        except TypeError:
            raise self.error(field, value, "a list of strings") from None
        if not is_text(joined):
            raise self.error(field, value, "text without lone surrogates")
        return value

    def tokens(self, key: str) -> tuple[list[str], str]:
        """A sentence's tokens, at least one, and its text."""
        value = self.strings(key)
        if not value:
            raise self.wrong(key, "at least one token")
        return value, " ".join(value)


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


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object, whose keys must differ: of two values under one key, which is meant?"""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


_DECODER = json.JSONDecoder(parse_constant=_constant, object_pairs_hook=_object)
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
    for number, value in line_values(path):
        yield Record(path, "line", number, value)


def line_values(path: Path) -> Iterator[tuple[int, object]]:
    """Every line's number (from 1) and JSON value; empty lines are skipped."""
    for number, line in lines(path):
        if line and not line.isspace():
            yield number, parse(line, path, f"line {number}")


def json_whole(path: Path) -> object:
    """A file that is one JSON value and known to be small."""
    return parse("".join(chunks(path)), path, "file")


def json_list(path: Path) -> Iterator[Record]:
    """Every object of a file that is one JSON list, parsed one at a time."""
    source = _Source(path)
    yield from source.objects("")
    source.finish()


def json_lists(path: Path) -> Iterator[tuple[str, Record]]:
    """Key and object for every object of a file that is one JSON object of lists, parsed one at a time."""
    source = _Source(path)
    for key in source.keys("{ : a JSON object of lists"):
        for record in source.objects(key):
            yield key, record
    source.finish()


def json_member(path: Path, member: str) -> Iterator[Record]:
    """Every object of the list `member` of a file that is one JSON object, parsed one at a time; its other members are
    passed over."""
    source, found = _Source(path), False
    for key in source.keys(f"{{ : a JSON object with the list {member!r}"):
        if key == member:
            found = True
            yield from source.objects(key)
        else:
            source.value(key)
    source.finish()
    if not found:
        raise source.error(member, "a list of objects", NOTHING)


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

    def expect(self, mark: str, field: str, expected: str) -> None:
        if self.peek() != mark:
            raise self.error(field, expected)
        self.at += 1

    def finish(self) -> None:
        if self.peek():
            raise self.error("after the end", "the end of the file")

    def keys(self, expected: str) -> Iterator[str]:
        """Every key of the JSON object that comes next; whoever asks takes the value before the next key."""
        self.expect("{", "start of file", expected)
        mark = self.peek()
        while mark != "}":
            if mark != '"':
                raise self.error("key", "a string")
            key = str(self.value("key"))
            if not is_text(key):
                raise self.error("key", "text without lone surrogates", key)
            self.expect(":", key, ": and a list")
            self.peek()
            yield key
            mark = self.peek()
            if mark == ",":
                self.expect(",", key, ", or }")
                mark = self.peek()
            elif mark != "}":
                raise self.error(f"after {key}", ", or }")
        self.expect("}", "end of file", "}")

    def objects(self, key: str) -> Iterator[Record]:
        """Every object of the JSON list that comes next."""
        self.expect("[", key or "start of file", "[ : a JSON list of objects")
        number = 0
        while not (number == 0 and self.peek() == "]"):
            number += 1
            where = f"{key} record {number}".lstrip()
            if self.peek() != "{":
                raise self.error(where, "{ : a JSON object")
            yield Record(self.path, f"{key} record".lstrip(), number, self.value(where))
            if self.peek() == "]":
                break
            self.expect(",", f"after {where}", ", or ]")
        self.at += 1

    def value(self, where: str) -> object:
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
                    raise self.error(where, f"at most {LONGEST} characters", TOO_MUCH) from None
                raise self.error(where, f"a JSON object ({error.msg})") from None
            except (ValueError, RecursionError) as error:
                raise self.error(where, f"a JSON object ({error})") from None
            if type(value) in (int, float) and end > len(self.text) - 16 and self.more():
                continue  # the window may have cut the number
            if end - self.at > LONGEST:
                raise self.error(where, f"at most {LONGEST} characters", TOO_MUCH)
            self.at = end
            return value

    def error(self, field: str, expected: str, found: object = None) -> FormatError:
        line = 1 + self.passed + self.text.count("\n", 0, self.at)
        found = self.text[self.at : self.at + 40] or NOTHING if found is None else found
        return FormatError(self.path, f"line {line}", field, found, expected)


def dumps(value: object) -> str:
    """A value as JSON, letters of every script as they are."""
    return json.dumps(value, ensure_ascii=False)


def write_json_lines(path: Path | str, records: Iterable[object]) -> None:
    """Writes one JSON value a line."""
    with replacing(path) as file:
        for record in records:
            file.write(dumps(record) + "\n")


def write_json_list(path: Path | str, records: Iterable[object]) -> None:
    """One JSON list, a record per line."""
    with replacing(path) as file:
        file.writelines(("[\n" if i == 0 else ",\n") + dumps(record) for i, record in enumerate(records))
        file.write("\n]\n")
