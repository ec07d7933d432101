"""What data is present in the data folder, counted and compared with the published sizes (section 4 of the paper, and
the datasets beside it that `datasets.yaml` names)."""

import csv
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from kadapter import catalog
from kadapter.data.places import datasets, find, holding, missing_companion
from kadapter.errors import KAdapterError
from kadapter.formats.files import chunks, lines

_OVERLAP = 64  # characters; more than any pattern is long


@dataclass(frozen=True)
class Split:
    """A split as it was found: `count` records in `files`, or None where any of its files is missing or broken."""

    name: str
    size: int | None  # published
    files: list[str]
    missing: list[str]
    count: int | None
    problem: str = ""


@dataclass(frozen=True)
class Found:
    """A dataset as it was found; `folder` is None where none of its folders holds any of its files. It is `present`
    when no split has fewer records than were published."""

    name: str
    use: str
    format: str
    unit: str
    source: str
    url: str
    licence: str
    expected: str  # folder, in the data folder
    folder: str | None
    splits: list[Split]

    @property
    def state(self) -> str:
        """`present`, `partly` or `missing`."""
        whole = [split.count is not None and split.count >= (split.size or 0) for split in self.splits]
        return "present" if all(whole) else "missing" if self.folder is None else "partly"

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"state": self.state, **asdict(self)}


def folder(path: Path | None = None) -> Path:
    """The data folder: `path`, or the one that KADAPTER_DATA names, or `data`.

    Raises KAdapterError if one is named and does not exist.
    """
    named = path or os.environ.get("KADAPTER_DATA")
    root = Path(named or "data").expanduser()
    if named and not root.is_dir():
        who = "--path" if path else "KADAPTER_DATA"
        raise KAdapterError(f"{who} names {root}, and there is no such folder: name the one that holds the data")
    return root


def look(path: Path | None = None) -> list[Found]:
    """Every dataset of `datasets.yaml`, as it is in the data folder (see `folder`)."""
    root = folder(path)
    return [_look(root, name, known) for name, known in datasets().items()]


def _look(root: Path, name: str, known: Mapping[str, Any]) -> Found:
    names = [_names(each) for spec in known["splits"].values() for each in spec["files"]]
    base = holding(root, known["folders"], names)
    splits = [_split(base, split, spec, known["format"]) for split, spec in known["splits"].items()]
    where = str(base) if any(split.files for split in splits) else None
    told = {key: known[key] for key in ("use", "format", "source", "url", "licence")}
    unit = known.get("unit", "examples")
    return Found(name=name, unit=unit, expected=known["folders"][0], folder=where, splits=splits, **told)


def _split(base: Path, name: str, spec: Mapping[str, Any], format: str) -> Split:
    files: list[Path] = []
    missing: list[str] = []
    for wanted in map(_names, spec["files"]):
        found = find(base, wanted)
        files += [file for file in found if file not in files]
        if not found:
            missing.append(wanted[0])
    missing += filter(None, (missing_companion(file, format) for file in files))
    count, problem = None, ""
    if not missing:
        try:
            count = sum(count_records(file, format) for file in files)
        except KAdapterError as error:
            problem = str(error)
    return Split(name, spec.get("size"), [str(file) for file in files], missing, count, problem)


def _names(file: str | list[str]) -> list[str]:
    return [file] if isinstance(file, str) else file


def markdown() -> str:
    """`datasets.yaml` as the table of `data/README.md`."""
    head = ("dataset", "format", "folder: files (published size)", "where it comes from", "licence")
    rows = [head, ("---",) * len(head)]
    for name, known in datasets().items():
        splits = []
        for spec in known["splits"].values():
            names = ", ".join(f"`{_names(one)[0]}`" for one in spec["files"])
            splits.append(names + (f" ({spec['size']:,})" if "size" in spec else ""))
        files = f"`{known['folders'][0]}`: {', '.join(splits)}"
        source = f"[{known['source']}]({known['url']})"
        rows.append((name, f"`{known['format']}`", files, source, known["licence"]))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


# --- counting --------------------------------------------------------------------------------------------------------


def count_records(path: Path, format: str) -> int:
    """The records of a file, counted without parsing them: by a key that each has once, by lines, or by rows.

    A format without a quick way to count is read. Raises FormatError for a torn file and one that is no UTF-8.
    """
    if format in _COUNTS:
        return _COUNTS[format](path)
    return len(catalog.format_module(format).read(path))


def _key(name: str) -> Callable[[Path], int]:
    # A quotation mark inside a JSON string is escaped, so `"name":` can only be a key.
    return _pattern(rf'"{name}"\s{{0,8}}:')


def _pattern(pattern: str) -> Callable[[Path], int]:
    compiled = re.compile(pattern)

    def count(path: Path) -> int:
        total, rest = 0, "\n"  # so that every line has a line break before it
        for chunk in chunks(path):
            text, after = rest + chunk, 0
            for match in compiled.finditer(text):
                total += 1
                after = match.end()
            rest = text[max(after, len(text) - _OVERLAP) :]
        return total

    return count


def _lines(path: Path) -> int:
    return sum(1 for _, line in lines(path) if line and not line.isspace())


def _choices(path: Path) -> int:
    if not path.name.removesuffix(".gz").endswith(".csv"):
        return _lines(path)
    rows = csv.reader(line + "\n" for _, line in lines(path, keep_cr=True))
    return sum(1 for row in rows if row) - 1


def _synsets(path: Path) -> int:
    whole = path.name.startswith("data.") and not path.name.endswith(".jsonl")
    return _pattern(r"\n\d{8} ")(path) if whole else _lines(path)


_COUNTS: dict[str, Callable[[Path], int]] = {
    "trex": lambda path: 1,  # 32 GB are not read to list them
    "trex_rc": _key("subj_start"),
    "tacred": _key("subj_start"),
    "entity_typing": _key("sent"),
    "fewrel": _key("tokens"),
    "redocred": _key("vertexSet"),
    "squad": _key("question"),
    "opennre": _lines,
    "openqa": _lines,
    "lama": _lines,
    "pararel": _lines,
    "entity_questions": _key("question"),
    "triples": _lines,
    "graph_text": _lines,
    "conceptnet": _lines,
    "wordnet": _synsets,
    "cosmosqa": _choices,
    "conllu": _pattern(r"\n1\t"),
    "figer_gold": _pattern(r"\tB-"),
    "semeval": _pattern(r'\n\d{1,9}\t"'),
}


# --- the table -------------------------------------------------------------------------------------------------------


def table(found: Sequence[Found], root: Path) -> Table:
    """A terminal table: what is present with its counts, and where the rest comes from."""
    present = sum(one.state == "present" for one in found)
    shown = Table(
        title=f"{present} of {len(found)} datasets are complete in {root}",
        caption="count ✓: as published; count / published size otherwise; each file may be gzipped",
        box=SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    for column in ("dataset", "for", "format", "records", "where, or where from"):
        shown.add_column(column, overflow="fold")
    for one in found:
        place = one.folder or f"put into {root / one.expected}: {one.source}; {one.licence}; {one.url}"
        style = {"present": "green", "partly": "yellow", "missing": "dim"}[one.state]
        records = "\n".join(_line(split) for split in one.splits)
        shown.add_row(Text(one.name, style), Text(one.use), Text(one.format), Text(records), Text(place))
    return shown


def _line(split: Split) -> str:
    published = "" if split.size is None else f"{split.size:,}"
    if split.problem:
        return f"{split.name}: broken, {split.problem}"
    if split.count is None:
        wanted = ", ".join(split.missing)
        return f"{split.name}: no {wanted}" + (f" ({published})" if published else "")
    same = " ✓" if split.count == split.size else f" / {published}" if published else ""
    return f"{split.name}: {split.count:,}{same}"
