"""Knowledge graphs in words: `head<TAB>relation<TAB>tail` lines, and beside them what each name says, as KG-BERT (Yao
et al., 2019) and CoDEx (Safavi & Koutra, 2020) publish them.

The texts are those of `entity2text.txt` and `relation2text.txt` in the file's folder (`name<TAB>text`), or of CoDEx's
`entities/en/entities.json` and `relations/en/relations.json` (`{"Q42": {"label": ...}}`) two folders above it. A fourth
column, `1` or `-1`, says whether the triple is a fact; without it those of a file `*_negatives.txt` are not.

`id` is the record's position, from 0. Empty lines are skipped. A triple one of whose names has no text is left out and
counted. A line without three columns (four with the sign) or with an empty one raises; so does a folder without texts.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from datasets import Dataset

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import lines, replacing
from kadapter.formats.records import Record, json_whole, parse
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import FACT as SCHEMA

ENTITIES, RELATIONS = "entity2text.txt", "relation2text.txt"
CODEX = {ENTITIES: "entities/en/entities.json", RELATIONS: "relations/en/relations.json"}
SIGNS = {"1": True, "-1": False}
_NAMES = (("sub_uri", "sub_label"), ("obj_uri", "obj_label"))  # LAMA's

Texts = dict[str, str]


def read(path: Path | str, texts: Iterable[Path | str] = ()) -> Dataset:
    """The file's triples in their order; raises FormatError for the first broken one.

    Args:
        texts: more files that say what names mean, read before those beside the triples: two columns, CoDEx's JSON, or
            the records of LAMA and OpenNRE, which name their entities.
    """
    path = Path(path)
    rows = Rows(path, SCHEMA)
    found = list(_triples(path))
    given: Texts = {}
    for file in texts:
        given = _texts(Path(file)) | given
    said = {name: given | _beside(path, name) for name in (ENTITIES, RELATIONS)}
    if found and not any(said.values()):
        raise KAdapterError(
            f"{path}: found no texts of its entities; expected {ENTITIES} and {RELATIONS} in its folder, or CoDEx's "
            f"{CODEX[ENTITIES]} two folders above"
        )
    for head, relation, tail, holds in found:
        read = said[ENTITIES].get(head), said[RELATIONS].get(relation), said[ENTITIES].get(tail)
        if None in read:
            rows.drop("relation without a text" if read[1] is None else "entity without a text")
            continue
        rows.add(str(rows.count), head, relation, tail, *read, holds)
    return rows.dataset()


def _triples(path: Path) -> Iterable[tuple[str, str, str, bool]]:
    usual = not path.name.split(".")[0].endswith("_negatives")
    for number, line in lines(path):
        if line and not line.isspace():
            columns = line.split("\t")
            if len(columns) not in (3, 4) or not all(columns) or (len(columns) == 4 and columns[3] not in SIGNS):
                expected = "head<TAB>relation<TAB>tail, and 1 or -1 or nothing after them"
                raise FormatError(path, f"line {number}", "columns", line, expected)
            yield columns[0], columns[1], columns[2], SIGNS[columns[3]] if len(columns) == 4 else usual


def _beside(path: Path, name: str) -> Texts:
    """The texts of entities or of relations that lie where the triples do."""
    places = [path.with_name(name), path.parent.parent.parent / CODEX[name]]
    for place in places:
        for file in (place, place.with_name(f"{place.name}.gz")):
            if file.is_file():
                return _texts(file)
    return {}


def _texts(path: Path) -> Texts:
    """Name -> text, of any kind of file that `read` takes."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".json"):
        records = json_whole(path)
        if type(records) is not dict:
            raise FormatError(path, "file", "texts", type(records).__name__, "a JSON object of objects with a label")
        entries = (Record(path, "entry", number, data) for number, data in enumerate(records.values(), 1))
        return dict(zip(records, (entry.text("label") for entry in entries), strict=True))
    found: Texts = {}
    for number, line in lines(path):
        if line.startswith("{"):
            record = Record(path, "line", number, parse(line, path, f"line {number}"))
            found |= {k: v for k, v in _named(record).items() if k and v and k not in found}
        elif line and not line.isspace():
            columns = line.split("\t")
            if len(columns) != 2 or not all(columns):
                raise FormatError(path, f"line {number}", "columns", line, "name<TAB>text")
            found[columns[0]] = columns[1]
    return found


def _named(record: Record) -> Texts:
    """The entities that a record of LAMA or OpenNRE names."""
    if "sub_uri" in record.data:
        return {record.text(id): record.text(label) for id, label in _NAMES}
    return {entity.text("id", ""): entity.text("name", "") for entity in (record.child("h"), record.child("t"))}


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the FACT schema and, beside them, the texts of their names, added to those that are there. Raises
    KAdapterError for a name or text that the format cannot hold, and for a name with two texts."""
    path = Path(path)
    rows = list(rows_of(dataset, SCHEMA))
    said: dict[str, Texts] = {ENTITIES: {}, RELATIONS: {}}
    for row in rows:
        for column, kind in (("head", ENTITIES), ("relation", RELATIONS), ("tail", ENTITIES)):
            name, text = row[column], row[f"{column}_text"]
            _check(row, column, name)
            _check(row, f"{column}_text", text)
            if said[kind].setdefault(name, text) != text:
                raise KAdapterError(f"fact {row['id']!r}: {column} {name!r} has the texts {said[kind][name]!r} and "
                                    f"{text!r}; expected one")  # fmt: skip
    signed = not all(row["holds"] for row in rows) or path.name.split(".")[0].endswith("_negatives")
    sign = {value: f"\t{name}" for name, value in SIGNS.items()}
    with replacing(path) as file:
        for row in rows:
            file.write("\t".join(row[c] for c in ("head", "relation", "tail")) + sign[row["holds"]] * signed + "\n")
    for name, texts in said.items():
        write_texts(_beside(path, name) | texts, path.with_name(name))


def write_texts(texts: Mapping[str, str], path: Path | str) -> None:
    """Writes `name<TAB>text` lines."""
    with replacing(path) as file:
        file.writelines(f"{name}\t{text}\n" for name, text in texts.items())


def _check(row: dict, column: str, text: str) -> None:
    if not text or text.isspace() or text.startswith("{") or set(text) & set("\t\r\n"):
        wanted = "text that is not empty, does not begin with { and has no tab or line break"
        raise KAdapterError(f"fact {row['id']!r}: {column} is {text!r}; expected {wanted}")
