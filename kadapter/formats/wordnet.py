"""WordNet's database (Fellbaum, 1998; wndb(5WN)), one synset a row: `data.noun`, `data.verb`, `data.adj` or `data.adv`
in a folder with its index files, read by nltk.

A part of it, which is no database (its pointers would lead out of it), is written and read as one JSON object a line
with the fields of the schema. `id` is the synset's offset and part of speech (`02084071-n`), `lemmas` have spaces for
WordNet's underscores, `hypernyms` those of instances, too. Other pointers, verb frames and counts are not kept. A line
that nltk cannot read, a pointer that leads nowhere and a missing file of the database raise.
"""

import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

from datasets import Dataset

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import chunks
from kadapter.formats.records import json_lines, write_json_lines
from kadapter.formats.rows import Rows, rows_of
from kadapter.formats.schemas import SYNSET as SCHEMA

SUPERSENSES = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition "
    "noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person "
    "noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state "
    "noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition "
    "verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social "
    "verb.stative verb.weather adj.ppl"
).split()
"""In the order of lexnames(5WN)."""

FILES = {"data.noun": "n", "data.verb": "v", "data.adj": "a", "data.adv": "r"}


# What nltk, which checks little, trips over in a broken database.
TRIPS = (ValueError, LookupError, AssertionError, OSError, RuntimeError, AttributeError, TypeError)


def read(path: Path | str) -> Dataset:
    """The synsets of a database file in their order, or of a part of it; raises KAdapterError for what is broken."""
    path = Path(path)
    if path.name in FILES and path.is_file():
        return _read_database(path)
    rows = Rows(path, SCHEMA)
    for record in json_lines(path):
        texts = (record.text(name) for name in ("id", "pos", "supersense"))
        rows.add(
            *texts, record.strings("lemmas"), record.text("gloss"), *map(record.strings, ("examples", "hypernyms"))
        )
    return rows.dataset()


def write(dataset: Dataset, path: Path | str) -> None:
    """Writes rows of the SYNSET schema as JSON lines."""
    write_json_lines(path, rows_of(dataset, SCHEMA))


def _read_database(path: Path) -> Dataset:
    rows = Rows(path, SCHEMA)
    for _ in chunks(path):  # text, and none of it torn
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a pointer that leads nowhere, which is an error here
        for row in _told(path, lambda: _synsets(path)):
            rows.add(*row)
    return rows.dataset()


def _synsets(path: Path) -> list[tuple]:
    found = []
    with closing(database(path.parent)) as reader:
        for synset in reader.all_eng_synsets(FILES[path.name]):
            above = [name_of(other) for other in (*synset.hypernyms(), *synset.instance_hypernyms())]
            lemmas = [lemma.replace("_", " ") for lemma in synset.lemma_names()]
            kind = synset.lexname()
            found.append((name_of(synset), synset.pos(), kind, lemmas, synset.definition(), synset.examples(), above))
    return found


def name_of(synset: Any) -> str:
    """A synset's id: its offset and part of speech."""
    return f"{synset.offset():08d}-{synset.pos()}"


def _told(path: Path, found: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """What nltk reads; an error of its is one of ours."""
    try:
        yield from found()
    except KAdapterError:
        raise
    except (*TRIPS, _nltk().WordNetError) as error:
        shown = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise FormatError(path, "file", "WordNet database", shown, "a whole one, as wndb(5WN) describes it") from None


def _nltk() -> Any:
    try:
        return importlib.import_module("nltk.corpus.reader.wordnet")
    except ModuleNotFoundError:
        raise KAdapterError("WordNet is read by nltk, which is not there: pip install 'kadapter[wordnet]'") from None


def database(folder: Path) -> Any:
    """nltk's reader of a WordNet database. Raises KAdapterError where nltk is not installed, or a file is missing."""
    base: Any = _nltk().WordNetCorpusReader
    data = importlib.import_module("nltk.data")
    wanted = [*FILES, *(f"index.{name.partition('.')[2]}" for name in FILES)]
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        raise KAdapterError(f"{folder} has no {missing[0]}: expected a WordNet database, as of Debian's wordnet-base")
    if (place := str(folder.resolve())) not in data.path:
        data.path.append(place)  # nltk opens nothing elsewhere

    opened: list[Any] = []

    class Reader(base):
        """nltk's reader, without the files that it asks for and does not need here."""

        def open(self, file: str) -> Any:
            if file == "lexnames" and not (folder / file).is_file():
                return StringIO("".join(f"{i:02d}\t{name}\t0\n" for i, name in enumerate(SUPERSENSES)))
            if file.endswith(".exc") and not (folder / file).is_file():
                return StringIO("")
            opened.append(super().open(file))
            return opened[-1]

        def close(self) -> None:
            """Close its files, which nltk leaves open."""
            close_all(opened)

        def map_wn(self, version: str = "wordnet") -> None:
            """No other version is asked for."""

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other languages
        try:
            return next(_told(folder / "index.noun", lambda: iter([Reader(place, None)])))
        except Exception:  # whatever nltk trips over
            close_all(opened)
            raise


def close_all(streams: Iterable[Any]) -> None:
    """Close files."""
    for stream in streams:
        stream.close()
