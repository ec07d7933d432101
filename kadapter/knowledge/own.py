"""Knowledge of one's own: a file of triples, of sentences with marked entities, of questions with answers, or a CoNLL-U
treebank, recognised by its lines. A line that is none of its kind is left out and counted with its number.

- `triples`: subject, relation, object between tabs, commas or semicolons; an N-Triples statement; JSON.
- `sentences`: `[Ada] was born in {London}.`, subject in brackets, after it the object in braces; or JSON: `text`.
- `questions`: question and answer between tabs, commas or semicolons, or after the question mark; or a JSON object.
- `conllu`: ten columns, see `kadapter.formats.conllu`.

A first line that names the columns (`subject,relation,object`, `question<TAB>answer`) is read as such.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset

from kadapter.errors import FormatError, unknown
from kadapter.formats import conllu
from kadapter.formats.files import blocks, lines
from kadapter.formats.lama import MASK
from kadapter.formats.records import is_text, parse
from kadapter.formats.rows import Rows
from kadapter.knowledge.facts import OBJECT, SUBJECT, Fact
from kadapter.knowledge.wording import QUESTION, bare_name

EXAMPLE = Path(__file__).parent / "examples" / "fifty_facts.tsv"  # invented facts, written by hand
KINDS = ("triples", "sentences", "questions", "conllu")
LOOKED_AT = 200  # lines that decide what a file is
LONGEST_OBJECT, LONGEST_SUBJECT = 120, 400  # characters
NAMES = {  # of columns and JSON keys
    "subject": ("subject", "head", "subj", "sub", "s", "h", "sub_label", "subj_label", "entity"),
    "relation": ("relation", "predicate", "property", "rel", "r", "p", "predicate_id", "attribute"),
    "object": ("object", "tail", "obj", "o", "t", "obj_label", "value"),
    "question": ("question", "q", "prompt", "instruction", "query"),
    "answer": ("answer", "answers", "a", "response", "output", "completion"),
    "text": ("text", "sentence"),
}
TRIPLE, PAIR = ("subject", "relation", "object"), ("question", "answer")
_IRI, _LITERAL = (
    r"<([^<>\"{}|^`\\\x00-\x20]*)>",
    r'"((?:[^"\\\n\r]|\\.)*)"(?:@[A-Za-z]+(?:-[A-Za-z0-9]+)*|\^\^<[^<>]*>)?',
)
_STATEMENT = re.compile(rf"\s*(?:{_IRI}|(_:\S+))\s+{_IRI}\s+(?:{_IRI}|(_:\S+)|{_LITERAL})\s*\.\s*(?:#.*)?")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ASKED = re.compile(r"(.+?\?)\s+(\S.*)")


class _No(Exception):
    """Why a line is not of a kind."""


@dataclass(frozen=True)
class Dropped:
    """A line that was left out."""

    line: int
    reason: str


@dataclass
class Own:
    """What a file holds.

    Attributes:
        path: the file.
        kind: one of `KINDS`.
        said: how the kind was recognised, in words.
        facts: of every kind but `conllu`; the relation of a sentence is its pattern, as "[X] was born in [Y].".
        trees: the sentences of a treebank, in the schema DEPENDENCY; None for other kinds.
        dropped: lines that were left out.
    """

    path: Path
    kind: str
    said: str
    facts: list[Fact] = field(default_factory=list)
    trees: Dataset | None = None
    dropped: list[Dropped] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.facts) if self.trees is None else len(self.trees)

    def told(self, most: int = 5) -> list[str]:
        """What was left out, a reason a line, with the numbers of the first lines."""
        found: dict[str, list[int]] = {}
        for one in self.dropped:
            found.setdefault(one.reason, []).append(one.line)
        return [
            f"{len(numbers)} left out, {reason}: line{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers[:most]))}"
            + (" ..." if len(numbers) > most else "")
            for reason, numbers in found.items()
        ]


def read(path: Path | str, kind: str | None = None, strict: bool = False) -> Own:
    """The knowledge in a file.

    Args:
        kind: one of `KINDS`; None to recognise it.
        strict: raise at the first line that is not of the kind, instead of leaving it out.

    Raises KAdapterError for an unknown kind, and FormatError for a file that cannot be read or has no usable line.
    """
    path = Path(path)
    if kind is not None and kind not in KINDS:
        raise unknown("kind of file", kind, KINDS)
    given = kind is not None
    kind, said = (kind, "as told") if kind is not None else recognised(path)
    own = Own(path, kind, said)
    if kind == "conllu":
        _read_trees(own, strict)
    else:
        _read_facts(own, strict)
    if not len(own):
        reasons = Counter(one.reason for one in own.dropped).most_common(1)
        why = f" ({reasons[0][1]} lines: {reasons[0][0]})" if reasons else ""
        wanted = f"at least one line of the kind {kind}" if given else f"at least one line of {', '.join(KINDS)}"
        raise FormatError(path, "file", "usable lines", 0, wanted + why)
    return own


def recognised(path: Path) -> tuple[str, str]:
    """The kind that most of a file's first lines are of, and how many are. Raises FormatError where none is."""
    votes: Counter[str] = Counter()
    seen = 0
    for number, line in _lines(path):
        if seen == LOOKED_AT:
            break
        if line.startswith("#") or _header(line):
            continue
        seen += 1
        kind = next((k for k in ("conllu", "sentences", "questions", "triples") if _is(k, line, path, number)), None)
        votes[kind or ""] += 1
    best = max((k for k in votes if k), key=lambda k: (votes[k], -KINDS.index(k)), default=None)
    if best is None:
        wanted = "triples, sentences with marked entities, questions with answers, or CoNLL-U: see --as"
        raise FormatError(path, "file", "usable lines", 0, wanted)
    return best, f"{votes[best]} of the first {seen} lines are"


def _is(kind: str, line: str, path: Path, number: int) -> bool:
    if kind == "conllu":
        columns = line.split("\t")
        return len(columns) == 10 and re.fullmatch(r"\d+([-.]\d+)?", columns[0]) is not None
    try:
        _PARSERS[kind](line, None)
    except _No:
        return False
    return True


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in lines(path):
        if line.strip():
            yield number, line


# --- facts ---


def _read_facts(own: Own, strict: bool) -> None:
    parser, seen, columns, first = _PARSERS[own.kind], dict[Fact, int](), None, True
    for number, line in _lines(own.path):
        was_first, first = first, False
        if was_first and (columns := _header(line)):
            continue
        if line.startswith("#") and not line.startswith("#\t"):
            continue
        try:
            fact = _checked(parser(line, columns))
            if fact in seen:
                raise _No(f"said before{'' if strict else ' in another line'}")
        except _No as no:
            if strict:
                raise FormatError(own.path, f"line {number}", own.kind, line[:80], str(no)) from None
            own.dropped.append(Dropped(number, str(no)))
            continue
        seen[fact] = number
        own.facts.append(fact)


def _header(line: str) -> Mapping[str, int] | None:
    """Column -> place, of a line that names columns."""
    try:
        cells = [cell.strip().lower().replace(" ", "_") for cell in _cells(line)]
    except _No:
        return None
    found: dict[str, int] = {}
    for column, names in NAMES.items():
        for place, cell in enumerate(cells):
            if cell in names and column not in found and place not in found.values():
                found[column] = place
    for wanted in (TRIPLE, PAIR):
        if set(wanted) <= set(found):
            return found
    return None


def _cells(line: str) -> list[str]:
    """The columns of a line: between tabs, commas, or semicolons."""
    if "\t" in line:
        return line.split("\t")
    for delimiter in (",", ";"):
        try:
            [cells] = csv.reader([line], delimiter=delimiter, strict=True, skipinitialspace=True)
        except (csv.Error, ValueError):
            continue
        if len(cells) > 1:
            return cells
    raise _No("expected columns between tabs, commas or semicolons")


def _columns(line: str, wanted: tuple[str, ...], header: Mapping[str, int] | None) -> list[str]:
    cells = _cells(line)
    if header is not None and set(wanted) <= set(header):
        if max(header[name] for name in wanted) >= len(cells):
            raise _No(f"expected the columns that the first line names, {', '.join(wanted)}")
        return [cells[header[name]] for name in wanted]
    if len(cells) != len(wanted):
        raise _No(f"expected {len(wanted)} columns, {', '.join(wanted)}")
    return cells


def _json(line: str) -> Any:
    """The JSON value of a line that begins as one; None for another line."""
    if line.lstrip()[:1] not in "{[":
        return None
    try:
        return parse(line.strip(), Path("line"), "line")
    except FormatError:
        return None


def _values(record: Any, wanted: tuple[str, ...]) -> list[str]:
    """What stands in a JSON object or list under some names. Raises _No."""
    if isinstance(record, list) and len(record) == len(wanted) and len(wanted) > 1:
        found = list(record)
    elif isinstance(record, dict):
        keys = {str(key).lower(): value for key, value in record.items()}
        found = [next((keys[name] for name in NAMES[column] if name in keys), None) for column in wanted]
    else:
        found = [None]
    texts = []
    for value in found:
        if isinstance(value, list) and value:  # the first of several answers
            value = value[0]
        if isinstance(value, dict):
            value = next((value[key] for key in ("name", "label", "text") if key in value), None)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = json.dumps(value)
        if not isinstance(value, str):
            raise _No(f"expected a JSON object with {', '.join(wanted)}, each a text")
        texts.append(value)
    return texts


def _triple(line: str, header: Mapping[str, int] | None) -> Fact:
    if (record := _json(line)) is not None:
        return Fact(*_values(record, TRIPLE))
    if found := _STATEMENT.fullmatch(line):
        subject, blank, relation, iri, other_blank, literal = found.groups()
        if blank or other_blank:
            raise _No("a blank node has no name; expected IRIs and literals")
        return Fact(bare_name(subject), bare_name(relation), _unescaped(literal) if iri is None else bare_name(iri))
    if line.lstrip().startswith("<") and "\t" not in line:
        raise _No("expected an N-Triples statement: <subject> <relation> <object> .")
    return Fact(*_columns(line, TRIPLE, header))


def _unescaped(literal: str) -> str:
    plain = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f"}

    def one(found: re.Match[str]) -> str:
        code = found[1] or found[2]
        if code is None:
            return plain.get(found[3], found[3])
        value = int(code, 16)
        return chr(value) if value < 0x110000 and not 0xD800 <= value < 0xE000 else "\ufffd"

    return _ESCAPE.sub(one, literal)


def _sentence(line: str, header: Mapping[str, int] | None) -> Fact:
    text = line
    if (record := _json(line)) is not None and isinstance(record, dict):
        [text] = _values(record, ("text",))
    subjects, objects = re.findall(r"\[([^\[\]{}]+)\]", text), re.findall(r"\{([^\[\]{}]+)\}", text)
    if len(subjects) != 1 or len(objects) != 1:
        raise _No("expected one [subject] and one {object}")
    pattern = text.replace(f"[{subjects[0]}]", SUBJECT).replace(f"{{{objects[0]}}}", OBJECT)
    if pattern.index(SUBJECT) > pattern.index(OBJECT):
        raise _No("expected the {object} after the [subject], where a model that reads from the left is asked")
    return Fact(subjects[0], " ".join(pattern.split()), objects[0])


def _question(line: str, header: Mapping[str, int] | None) -> Fact:
    if (record := _json(line)) is not None:
        question, answer = _values(record, PAIR)
    elif "\t" not in line and (found := _ASKED.fullmatch(line.strip())):
        question, answer = found.groups()
    else:
        question, answer = _columns(line, PAIR, header)
    return Fact(question, QUESTION, answer)


_PARSERS: dict[str, Callable[[str, Mapping[str, int] | None], Fact]] = {
    "triples": _triple,
    "sentences": _sentence,
    "questions": _question,
}


def _checked(fact: Fact) -> Fact:
    """The fact with its names as they are said. Raises _No for names that cannot be put into words."""
    subject, relation, object = (" ".join(part.split()) for part in (fact.subject, fact.relation, fact.object))
    for part, text, longest in (
        ("subject", subject, LONGEST_SUBJECT), ("relation", relation, LONGEST_SUBJECT),
        ("object", object, LONGEST_OBJECT),
    ):  # fmt: skip
        if not any(letter.isalnum() for letter in text):
            raise _No(f"the {part} has no letter or digit")
        if len(text) > longest:
            raise _No(f"the {part} has more than {longest} characters")
        if not is_text(text) or MASK in text or (part != "relation" and (SUBJECT in text or OBJECT in text)):
            raise _No(f"the {part} holds {MASK}, {SUBJECT}, {OBJECT} or half a character")
    marks = (relation.count(SUBJECT), relation.count(OBJECT))
    if marks != (0, 0) and (marks != (1, 1) or relation.index(SUBJECT) > relation.index(OBJECT)):
        raise _No(f"the relation holds {SUBJECT} or {OBJECT}, and is no sentence with one of each in this order")
    return Fact(subject, relation, object)


# --- trees ---


def _read_trees(own: Own, strict: bool) -> None:
    rows = Rows(own.path, conllu.SCHEMA)
    for block in blocks(own.path):
        try:
            rows.add(*conllu.sentence(own.path, block, str(rows.count)))
        except FormatError as error:
            if strict:
                raise
            own.dropped.append(Dropped(_line_of(error, block[0][0]), f"{error.field}: expected {error.expected}"))
    if rows.count:
        own.trees = rows.dataset()


def _line_of(error: FormatError, first: int) -> int:
    found = re.fullmatch(r"line (\d+)", str(error.where))
    return int(found[1]) if found else first
