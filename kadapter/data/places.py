"""Where a data file lies: gzipped or not, under any of its published names, in any folder that its dataset goes by.

`kadapter data` and the presets ask here, so that what one of them finds is there for the other, too.
"""

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kadapter.errors import KAdapterError

ARCHIVES = (".tar.gz", ".tgz", ".tar")
LARGER = 100  # times its archive may unpacked data be; what is published is ten times as large
SMALL = 2**26  # bytes; up to so many it may be unpacked from however small an archive
MEMBERS = 100_000  # files in one archive
HEADER = 2**20  # bytes of a member's name and properties
DATASETS = Path(__file__).with_name("datasets.yaml")
WORD_LISTS = "optiprompt_lama/common_vocabs"  # in the data folder


@cache
def datasets() -> dict[str, dict[str, Any]]:
    """`datasets.yaml`: name -> what is known of the dataset."""
    return yaml.safe_load(DATASETS.read_text(encoding="utf-8"))


def matching(base: Path, pattern: str) -> list[Path]:
    """The files of a name (`*` stands for any text), gzipped or not; one that is there both ways is taken once."""
    pattern = pattern.removesuffix(".gz")
    if Path(pattern).is_absolute():  # a file with a place of its own
        base, pattern = Path(pattern).parent, Path(pattern).name
    found = {path.name.removesuffix(".gz"): path for end in (".gz", "") for path in base.glob(pattern + end)}
    return [found[key] for key in sorted(found) if found[key].is_file()]


def probe_folder(given: Path | None) -> Path:
    """The folder of the probes' files: the one that is given, else KADAPTER_DATA. Raises KAdapterError for neither."""
    named = given or os.environ.get("KADAPTER_DATA")
    if not named:
        raise KAdapterError("the probes' files: name their folder with --data FOLDER or KADAPTER_DATA")
    return Path(named)


def find(base: Path, names: Iterable[str]) -> list[Path]:
    """The files of the first of `names` that is there, [] if none is."""
    return next(filter(None, (matching(base, name) for name in names)), [])


def holding(root: Path, folders: Sequence[str], files: Sequence[Sequence[str]]) -> Path:
    """The first of `folders` below `root` that holds any of `files` (each given by all its names); the first of all if
    none does. A `.tar.gz` is a folder, too, once it is unpacked in the cache."""
    places = [_unpacked(root / Path(folder).expanduser()) for folder in folders]
    return next((place for place in places if any(find(place, names) for names in files)), places[0])


def _unpacked(place: Path) -> Path:
    """The folder that a tar file becomes in the cache; any other place itself. Raises KAdapterError for one that is
    broken."""
    if not (place.name.endswith(ARCHIVES) and place.is_file()):
        return place
    from kadapter.model.packaged import cache_folder  # brings torch

    stat = place.stat()
    name = hashlib.sha256(f"{place.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:16]
    folder = cache_folder() / "unpacked" / f"{place.name.partition('.')[0]}-{name}"
    if not folder.is_dir():
        partial = Path(tempfile.mkdtemp(dir=_made(folder.parent)))
        try:
            with _opened(place) as stream, tarfile.open(fileobj=_Bounded(stream), mode="r:") as archive:
                archive.extractall(partial, _members(archive, place, stat.st_size), filter="data")
            with suppress(OSError):  # another process was first
                partial.rename(folder)
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise KAdapterError(f"{place}: no whole archive ({error}); expected a .tar or .tar.gz of files") from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _opened(place: Path) -> io.BufferedIOBase:
    with place.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(place, "rb") if gzipped else open(place, "rb")


class _Bounded(io.RawIOBase):
    """An archive's bytes, for tarfile, which takes whole into memory what a header says is a header."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self.stream = stream

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes, at most {HEADER:,} are read")
        return self.stream.read(size)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        return self.stream.seek(place, whence)

    def tell(self) -> int:
        return self.stream.tell()


def _members(archive: tarfile.TarFile, place: Path, size: int) -> Iterator[tarfile.TarInfo]:
    """The members of an archive of so many bytes. Raises KAdapterError before one is unpacked that makes more of it
    than an archive of data holds."""
    most, total = max(SMALL, LARGER * size), 0
    for number, member in enumerate(archive, 1):
        total += member.size
        if total > most or number > MEMBERS:
            found = f"more than {MEMBERS:,} files" if number > MEMBERS else f"{total:,} bytes and more"
            raise KAdapterError(
                f"{place}: found {found} in {size:,} bytes; expected at most {most:,} bytes in {MEMBERS:,} files: "
                "unpack it yourself where you trust it"
            )
        yield member


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def locate(root: Path, spec: Mapping[str, Any], files: Sequence[str]) -> tuple[Path, list[Path | None]]:
    """The folder of a preset's dataset, and each of its files there, None where it is missing.

    Args:
        root: the data folder.
        spec: `format` and `path` of the dataset.
        files: their names as the preset has them.

    A folder or file that `datasets.yaml` knows, for this format, is found by its other names, too.
    """
    names = [names_of(file, spec["format"]) for file in files]
    base = holding(root, _folders(str(spec.get("path", "")), spec["format"]), names)
    found = [find(base, each) for each in names]
    return base, [one[0] if one else None for one in found]


def names_of(file: str, format: str) -> list[str]:
    """A file's name, and after it the others that `datasets.yaml` gives it."""
    name = file.removesuffix(".gz")
    return [name, *(other for group in _groups(format) if name in group for other in group if other != name)]


def missing_companion(file: Path, format: str) -> str | None:
    """The name of the other file that one of OpenQA's layout needs and that is not beside it; None if all is there."""
    if format != "openqa":
        return None
    other = file.name.removesuffix(".gz").removesuffix(".txt") + ".json"
    return None if matching(file.parent, other) else other


def _groups(format: str) -> list[list[str]]:
    splits = [split for known in datasets().values() if known["format"] == format for split in known["splits"].values()]
    return [names for split in splits for names in split["files"] if isinstance(names, list)]


def _folders(path: str, format: str) -> list[str]:
    same = [known["folders"] for known in datasets().values() if known["format"] == format and path in known["folders"]]
    return [path, *(other for folders in same for other in folders if other != path)]
