"""The first pass of building factual pre-training data: source files, each made into one part file of aligned examples.

A part is a Parquet file with a row for each example and the counts of what was dropped. It takes its name when it is
complete, and its name says of which file it was made, so that a build that was stopped goes on where it was.
"""

import hashlib
import importlib
import json
import os
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.files import LARGER, SMALL, Said

VERSION = 1  # of the parts; to be raised when the same source gives other examples
BATCH = 4096  # examples in memory at a time
BROKEN_SHOWN = 5  # broken records of a file that the log names

SCHEMA = pa.schema(
    {
        "relation": pa.dictionary(pa.int32(), pa.string()),
        "tokens": pa.int32(),  # number of them
        "pair": pa.uint64(),  # hash of subject and object
        "sentence": pa.uint64(),  # hash of the tokens
        "record": pa.string(),  # JSON, as T-REx-rc has it
    }
)


@dataclass(frozen=True)
class Source:
    """A file of documents; `member` names it inside the zip file `path`."""

    path: Path
    member: str = ""
    size: int = 0
    stamp: str = ""  # when it was written

    @property
    def name(self) -> str:
        """The file's name, in the archive where it lies in one."""
        return self.member or self.path.name

    def part(self, folder: Path, kind: str) -> Path:
        """Where its examples go."""
        key = repr((VERSION, kind, self.name, self.size, self.stamp))
        return folder / f"{Path(self.name).name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.parquet"


def sources(source: Path, suffixes: tuple[str, ...]) -> list[Source]:
    """The files whose names end in one of `suffixes`, gzipped or not, by name: those in a folder, at any depth, those
    in a zip file, or the file itself. Raises KAdapterError if there are none.
    """
    suffixes = (*suffixes, *(f"{suffix}.gz" for suffix in suffixes))
    inside: list[zipfile.ZipInfo] = []
    if source.suffix == ".zip" and source.is_file():
        try:
            with zipfile.ZipFile(source) as archive:
                inside = archive.infolist()
        except zipfile.BadZipFile as error:
            raise KAdapterError(f"{source}: no whole zip file ({error}); expected one of T-REx") from None
        found = [
            Source(source, info.filename, info.file_size, repr((info.date_time, info.CRC)))
            for info in inside
            if info.filename.endswith(suffixes)
        ]
    elif source.is_dir():
        found = [_file(path) for path in source.rglob("*") if path.name.endswith(suffixes) and path.is_file()]
    elif source.exists():
        found = [_file(source)]
    else:
        raise KAdapterError(f"{source} does not exist; expected a folder, a zip file or a file of documents")
    for one in inside:
        if one.file_size > max(SMALL, LARGER * one.compress_size):
            raise KAdapterError(
                f"{source}/{one.filename}: found {one.file_size:,} bytes packed into {one.compress_size:,}; "
                f"expected at most {LARGER} times as many: unpack it yourself where you trust it"
            )
    if not found:
        raise KAdapterError(f"{source} has no file that ends in {' or '.join(suffixes)}")
    return sorted(found, key=lambda one: (str(one.path), one.member))


def _file(path: Path) -> Source:
    status = path.stat()
    return Source(path, size=status.st_size, stamp=str(status.st_mtime_ns))


def extract(source: Source, part: Path, kind: str) -> None:
    """Write the examples of one file to `part`. `kind`: a module of `kadapter.formats` with `examples`.

    Raises FormatError for a file that is broken as a whole, and leaves nothing then.
    """
    if not source.member:
        _extract(source.path, part, kind)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(source.path) as archive:
                path = Path(archive.extract(source.member, folder))
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise KAdapterError(f"{source.path}/{source.member}: torn ({error}); expected a whole zip file") from None
        try:
            _extract(path, part, kind)
        except FormatError as error:
            shown = f"{source.path}/{source.member}"
            raise FormatError(shown, error.where, error.field, Said(repr(error.found)), error.expected) from None


def _extract(path: Path, part: Path, kind: str) -> None:
    module = importlib.import_module(f"kadapter.formats.{kind}")
    counts: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    broken: list[str] = []
    partial = part.with_name(f"{part.name}.partial-{os.getpid()}")
    try:
        with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
            rows: list[tuple] = []
            for reason, found in module.examples(path, counts):
                if not reason:
                    rows.append(_row(found))
                    if len(rows) == BATCH:
                        writer.write_batch(_batch(rows))
                        rows.clear()
                    continue
                dropped[reason] += 1
                if found is not None and len(broken) < BROKEN_SHOWN:
                    broken.append(str(found))
            if rows:
                writer.write_batch(_batch(rows))
            stats = {"counts": counts, "dropped": dropped, "broken": broken}
            writer.add_key_value_metadata({"kadapter": json.dumps(stats)})
        partial.rename(part)
    finally:
        partial.unlink(missing_ok=True)


def _row(record: dict) -> tuple:
    tokens = record["token"]
    pair, sentence = (record["subj_label"], record["obj_label"]), tokens
    text = json.dumps(record, ensure_ascii=False)
    return record["relation"], len(tokens), _hash(pair), _hash(sentence), text


def _hash(names) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(names).encode(), digest_size=8).digest(), "little")


def _batch(rows: list[tuple]) -> pa.RecordBatch:
    columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def stats_of(part: Path) -> dict:
    """`counts`, `dropped` and `broken` of a part."""
    return json.loads(pq.read_metadata(part).metadata[b"kadapter"])


def batches(part: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A part's rows in their order."""
    with pq.ParquetFile(part) as file:
        yield from file.iter_batches(BATCH, columns=columns)
