"""The configurations of saved folders, `adapter_config.json` and `model_config.json`: what each key takes, and the
reading of a file, which may come from a stranger or from a newer version."""

import json
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from kadapter import catalog, values
from kadapter.errors import KAdapterError
from kadapter.model.config import AdapterConfig
from kadapter.model.tuning_config import TUNINGS, tuning
from kadapter.values import Like, Name, OneOf, Values, value

FORMAT_VERSION = 1
Version = Annotated[int, value("of the format; a newer one than this program's may have keys unknown here", 1, 10**6)]


Hashes = Annotated[dict[str, str], value("SHA-256 of each file of weights beside it, which loading compares")]


class MadeFor(Values, extra="allow"):
    """The backbone that a saved folder belongs to."""

    name: Annotated[str, value("of the backbone, as it is loaded")]
    revision: Annotated[str | None, value("commit of its Hub repository")] = None
    fingerprint: Annotated[str | None, value("hash of its weights")] = None


class HeadFile(Values, extra="allow"):
    """The pre-training head beside an adapter (`head.safetensors`)."""

    task: Annotated[str, OneOf("task", catalog.TASKS), value("its task")]
    options: Annotated[dict[str, Any], value("options of the task")]
    fusion: Annotated[str, OneOf("fusion", catalog.FUSIONS), value("the representation that it reads")]


class AdapterFile(Values):
    """`adapter_config.json`."""

    format_version: Version
    adapter: Annotated[dict[str, Any], Like(AdapterConfig), value("its sizes, as listed below")]
    backbone: Annotated[MadeFor, value("what it was made for")]
    trained_on: Annotated[dict[str, Any], value("its provenance, told by the card")] = {}
    head: Annotated[HeadFile | None, value("where a pre-training head was kept")] = None
    sha256: Hashes = {}


class TaskFile(Values):
    """The task that a saved model's head was built for."""

    name: Annotated[str, OneOf("task", catalog.TASKS), value("its name")]
    options: Annotated[dict[str, Any], value("its options")]


class ModelFile(Values, extra="allow"):
    """`model_config.json`."""

    format_version: Version
    backbone: Annotated[MadeFor, value("what it stands on")]
    fusion: Annotated[str, OneOf("fusion", catalog.FUSIONS), value("how its parts are joined")]
    slots: Annotated[list[Name], value("adapters that its fusion was built for, plugged or not")]
    adapters: Annotated[dict[Name, dict[str, Any]], value("name: sizes of each that is plugged, in `adapters/NAME`")]
    regime: Annotated[str, OneOf("regime", ("adapter", *catalog.REGIMES, "mapping")), value("the parts that train")]
    task: Annotated[TaskFile | None, value("where it has a head")] = None
    tuning: Annotated[
        dict[Annotated[str, OneOf("tuning", TUNINGS)], dict[str, Any]],
        value("kind: options of it, where its backbone was tuned; what was tuned is here"),
    ] = {}
    holds_backbone: Annotated[bool, value("whether the whole backbone was trained, and is here")] = False
    mapping: Annotated[Name | None, value("name of the plugged mapping, in `mapping/`")] = None
    sha256: Hashes = {}


class EmbeddingsFile(Values, extra="allow"):
    """The entity embeddings that a mapping was trained on; they are no part of its folder."""

    entities: Annotated[int, value("how many", 1)]
    fingerprint: Annotated[str, value("hash of the vectors and their ids")]
    path: Annotated[str | None, value("where they lay, relative to the folder or absolute")] = None


class MappingFile(Values, extra="allow"):
    """`mapping_config.json`."""

    format_version: Version
    name: Annotated[Name, value("under which it is plugged")]
    width: Annotated[int, value("width of the entity embeddings", 1, 65_536)]
    hidden_size: Annotated[int, value("width of the backbone's input embeddings", 1, 65_536)]
    hidden: Annotated[int | None, value("width between its two layers; null: it is one affine layer")] = None
    unlinked: Annotated[
        str,
        OneOf("unlinked", ("nothing", "bias")),
        value("what stands before a mention whose entity has no vector"),
    ] = "nothing"
    backbone: Annotated[MadeFor, value("what it was made for")]
    embeddings: Annotated[EmbeddingsFile, value("what it reads")]
    trained_on: Annotated[dict[str, Any], value("its provenance, told by the card")] = {}
    sha256: Hashes = {}


def read_mapping(path: Path) -> dict:
    """A checked `mapping_config.json`, what it leaves out filled in. Raises KAdapterError if it is missing or wrong."""
    config = read_config(path)
    values.check(MappingFile, config, where=f"{path}: ")
    return _filled(MappingFile, config)


def read_config(path: Path) -> dict:
    """Load a JSON object. Raises KAdapterError if it is missing or not one."""
    if not path.is_file():
        raise KAdapterError(f"{path.parent} holds no {path.name}: expected a folder written by save_pretrained")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise KAdapterError(f"{path} is not a configuration: its objects stand too deep in each other") from None
    except ValueError as error:
        raise KAdapterError(f"{path} is not JSON ({error})") from error
    if not isinstance(config, dict):
        raise KAdapterError(f"{path}: found a {type(config).__name__}; expected a JSON object")
    return config


def known(config: dict, path: Path) -> tuple[dict, dict]:
    """What this version knows of a configuration, checked, and everything else that a newer one wrote; warns about the
    latter."""
    version = values.check_value(Version, config.get("format_version"), f"{path}: format_version")
    sizes = config.get("adapter")
    top = {k: v for k, v in config.items() if k not in AdapterFile.model_fields}
    sizes_known = {f.name for f in fields(AdapterConfig)}
    # In a file of our own version an unknown size is a mistake, which the check names.
    unknown_sizes = {}
    if version > FORMAT_VERSION and isinstance(sizes, dict):
        unknown_sizes = {k: v for k, v in sizes.items() if k not in sizes_known}
        sizes = {k: v for k, v in sizes.items() if k in sizes_known}
    newer = {}
    if top or unknown_sizes:
        names = sorted([*top, *(f"adapter.{k}" for k in unknown_sizes)])
        warnings.warn(
            f"{path} (format version {version}; this is version {FORMAT_VERSION}): unknown keys kept: {names}",
            stacklevel=4,
        )
        newer = {"format_version": version, "top": top, "adapter": unknown_sizes}
    ours = {k: v for k, v in config.items() if k not in top} | ({"adapter": sizes} if "adapter" in config else {})
    values.check(AdapterFile, ours, where=f"{path}: ")
    return _filled(AdapterFile, ours), newer


def read_model(path: Path) -> dict:
    """A checked `model_config.json`, what it leaves out filled in. Raises KAdapterError if it is missing or wrong."""
    config = read_config(path)
    version = values.check_value(Version, config.get("format_version"), f"{path}: format_version")
    if version > FORMAT_VERSION:
        raise KAdapterError(
            f"{path.parent} has format version {version}; this kadapter reads models up to version {FORMAT_VERSION}: "
            "update kadapter, or pass its adapters on by themselves"
        )
    values.check(ModelFile, config, where=f"{path}: ")
    try:
        for kind, options in config.get("tuning", {}).items():
            tuning(kind, options)
    except KAdapterError as error:
        raise KAdapterError(f"{path}: {error}") from None
    return _filled(ModelFile, config)


def _filled(source: type[Values], config: dict) -> dict:
    """A configuration with the defaults of what it leaves out, its own order kept."""
    made_for = config["backbone"]
    config = config | {"backbone": made_for | {k: v for k, v in values.defaults(MadeFor).items() if k not in made_for}}
    return config | {k: v for k, v in values.defaults(source).items() if k not in config}
