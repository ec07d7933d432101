"""What may stand in a preset: every key, the type of its value, and the names that its values refer to.

The tables repeat names of modules that import torch, so that a misspelt key is refused at once; a test compares them.
"""

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kadapter import catalog
from kadapter.catalog import REGIMES
from kadapter.errors import KAdapterError, unknown

SPLITS = ("train", "dev", "test")
FUSIONS = ("concat", "project", "add")
ENTRIES = {"datasets": "dataset", "knowledge": "knowledge entry", "tasks": "task"}  # sections whose keys the user names

_DATASET = ("format", "path", *SPLITS, "split", "deduplicate", "optional", "labels")
_SPLIT = ("from", "by", "parts", "seed")
_KNOWLEDGE = ("knowledge", "dataset", "task_options", "adapter", "fusion", "training", "seed")
_TASK = ("task", "dataset", "task_options", "regimes", "models", "training")
_MULTITASK = ("knowledge", "training")
_BRIEF = ("tasks", "models")
TOP = ("name", "about", "citation", "backbone", "fusion", "data", *ENTRIES, "multitask", "models", "seeds", "brief")
ADAPTER = {
    "plug_layers": list,
    "width": int,
    "layers": int,
    "heads": int,
    "inner": int,
    "activation": str,
    "dropout": float,
    "layer_norm_eps": float,
    "init_std": float,
    "combine": str,
    "mask_padding": bool,
}
TRAINING = {
    "epochs": int,
    "batch_size": int,
    "batch_tokens": int,
    "learning_rate": float,
    "head_rate": float,
    "weight_decay": float,
    "warmup_steps": int,
    "warmup_ratio": float,
    "max_grad_norm": float,
    "gradient_accumulation": int,
    "bf16": (bool, str),
    "store": (bool, str),
    "select": str,
    "checkpoints": bool,
    "max_length": int,
}
_WORDS = {dict: "a mapping", list: "a list", str: "text", int: "a whole number", float: "a number", bool: "yes or no"}


def check(preset: Mapping[str, Any]) -> None:
    """Raises KAdapterError for what is unknown, missing, of the wrong type or at odds with the rest, with its path."""
    _keys(preset, "", TOP, ("about", "backbone", "tasks", "datasets"))
    for key in ("about", "citation", "backbone"):
        _typed(preset[key], str, key)
    _named("fusion", preset["fusion"], FUSIONS)
    _check_data(preset["data"])
    for key, kind in ENTRIES.items():
        for name in _typed(preset[key], dict, key):
            if not re.fullmatch(r"[A-Za-z0-9_-]+", str(name)) or name in catalog.ROWS:
                raise KAdapterError(
                    f"{key}: {name!r} is no name for a {kind}: expected letters, digits, _, -; "
                    f"not {' or '.join(catalog.ROWS)}"
                )
    needed = {entry.get("dataset") for entry in preset["knowledge"].values() if isinstance(entry, dict)}
    for name, dataset in preset["datasets"].items():
        _check_dataset(dataset, f"datasets.{name}", catalog.FORMATS)
        if dataset.get("optional") and name in needed:
            raise KAdapterError(f"datasets.{name}.optional: an adapter is pre-trained on it, so it cannot be left out")
    for name, entry in preset["knowledge"].items():
        _check_knowledge(preset, entry, f"knowledge.{name}", catalog.KNOWLEDGE)
    if preset["multitask"]:
        _check_multitask(preset, preset["multitask"])
    for key, kind in (("models", str), ("seeds", int)):
        for value in _typed(preset[key], list, key):
            _typed(value, kind, key)
        if not preset[key] or len(set(preset[key])) < len(preset[key]):
            raise KAdapterError(f"{key}: found {preset[key]!r}; expected at least one, none twice")
    for model in preset["models"]:
        _check_model(model, preset["knowledge"])
        if model == "multitask" and not preset["multitask"]:
            raise KAdapterError("models: 'multitask' is trained as the section multitask says, and there is none")
    for name, task in preset["tasks"].items():
        _check_task(preset, task, f"tasks.{name}", catalog.TASKS)
    _check_brief(preset, preset["brief"])


def _check_knowledge(preset: Mapping[str, Any], entry: Any, where: str, kinds: Iterable[str]) -> None:
    _keys(entry, where, _KNOWLEDGE, ("knowledge", "dataset", "adapter", "training"))
    _named("knowledge", entry["knowledge"], kinds)
    _named("fusion", entry["fusion"], FUSIONS)
    _typed(entry["task_options"], dict, f"{where}.task_options")
    _typed(entry["seed"], int, f"{where}.seed")
    _uses(preset, entry["dataset"], where, ("train", "dev"))
    _values(entry["adapter"], f"{where}.adapter", ADAPTER)
    _values(entry["training"], f"{where}.training", TRAINING)


def _check_multitask(preset: Mapping[str, Any], entry: Any) -> None:
    _keys(entry, "multitask", _MULTITASK, _MULTITASK)
    for name in _typed(entry["knowledge"], list, "multitask.knowledge"):
        _named("knowledge entry", name, preset["knowledge"])
    if not entry["knowledge"] or len(set(entry["knowledge"])) < len(entry["knowledge"]):
        raise KAdapterError(f"multitask.knowledge: found {entry['knowledge']!r}; expected at least one, none twice")
    _values(entry["training"], "multitask.training", TRAINING)


def _check_brief(preset: Mapping[str, Any], brief: Any) -> None:
    _keys(brief, "brief", _BRIEF, ())
    for name in _typed(brief.get("tasks", []), list, "brief.tasks"):
        _named("task", name, preset["tasks"])
    for model in _typed(brief.get("models", []), list, "brief.models"):
        _check_model(model, preset["knowledge"])


def _check_task(preset: Mapping[str, Any], task: Any, where: str, tasks: Iterable[str]) -> None:
    _keys(task, where, _TASK, ("task", "dataset", "regimes", "training"))
    _named("task", task["task"], tasks)
    _typed(task["task_options"], dict, f"{where}.task_options")
    _uses(preset, task["dataset"], where, SPLITS)
    for regime in _typed(task["regimes"], list, f"{where}.regimes"):
        _named("regime", regime, REGIMES)
    for regime, models in _typed(task["models"], dict, f"{where}.models").items():
        _named("regime", regime, REGIMES)
        for model in _typed(models, list, f"{where}.models.{regime}"):
            _check_model(model, preset["knowledge"])
    _values(task["training"], f"{where}.training", TRAINING | dict.fromkeys(REGIMES, dict))
    for regime in REGIMES:
        only = task["training"].get(regime, {})
        _values(only, f"{where}.training.{regime}", TRAINING)
        if twice := only.keys() & task["training"]:  # which of the two holds is anybody's guess
            key = min(twice)
            raise KAdapterError(
                f"{where}.training.{key} is set for all regimes and for {regime}: "
                f"set {where}.training.{regime}.{key} alone"
            )


def _check_model(model: str, knowledge: Mapping[str, Any]) -> None:
    if model == "none" and not knowledge:
        raise KAdapterError("models: 'none' takes the sizes of the first knowledge entry, and there is none")
    parts = catalog.adapters_of(model)
    for part in parts:
        if part not in knowledge:
            raise unknown(
                "model" if part == model else f"adapter in model {model!r}:", part, [*catalog.ROWS, *knowledge]
            )
    if len(set(parts)) < len(parts):
        raise KAdapterError(f"models: {model!r} plugs an adapter in twice: name each once")


def _check_data(data: Any) -> None:
    _keys(data, "data", ("world", "path"), ())
    if len(data) > 1:
        raise KAdapterError("data: found both world and path; expected one: the embedded corpus, or a folder of files")
    if "world" in data:
        from kadapter.world import World

        _keys(data["world"], "data.world", inspect.signature(World).parameters, ())
        for key, value in data["world"].items():
            _typed(value, float, f"data.world.{key}")
    elif "path" in data:
        _typed(data["path"], str, "data.path")


def _check_dataset(dataset: Any, where: str, formats: Iterable[str]) -> None:
    _keys(dataset, where, _DATASET, ("format",))
    _named("format", dataset["format"], formats)
    files = {key: dataset[key] for key in SPLITS if key in dataset}
    split = dataset.get("split")
    if split is not None:
        _keys(split, f"{where}.split", _SPLIT, ("from", "by", "parts"))
        files["split.from"] = split["from"]
        _named("split.by", split["by"], ("example", "sentence"))
        _keys(split["parts"], f"{where}.split.parts", SPLITS, ())
        _typed(split.get("seed", 0), int, f"{where}.split.seed")
        shares = [_typed(share, float, f"{where}.split.parts.{part}") for part, share in split["parts"].items()]
        if not all(share > 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
            raise KAdapterError(f"{where}.split.parts: found {split['parts']}; expected shares above 0 that sum to 1")
        if twice := files.keys() & split["parts"]:
            raise KAdapterError(f"{where}: {min(twice)} is both a file and a part of the split; expected one of them")
    for key, value in files.items():
        for file in value if isinstance(value, list) and value else [value]:
            _typed(file, str, f"{where}.{key}")
    _typed(dataset.get("path", ""), str, f"{where}.path")
    for key in ("deduplicate", "optional"):
        _typed(dataset.get(key, False), bool, f"{where}.{key}")
    _named("labels", dataset.get("labels", "train"), ("train", "all"))


def _uses(preset: Mapping[str, Any], name: Any, where: str, splits: Iterable[str]) -> None:
    _named("dataset", name, preset["datasets"])
    dataset = preset["datasets"][name]
    there = {*dataset, *dataset.get("split", {}).get("parts", ())}
    for split in splits:
        if split not in there:
            raise KAdapterError(f"{where} needs the split {split} of dataset '{name}': add datasets.{name}.{split}")


def _keys(value: Any, where: str, known: Iterable[str], required: Iterable[str]) -> None:
    for key in _typed(value, dict, where or "preset"):
        if key not in known:
            raise unknown(f"{where} key".strip(), key, known)
    for key in required:
        if key not in value:
            raise KAdapterError(f"{where or 'preset'}: the key '{key}' is missing")


def _values(value: Any, where: str, types: Mapping[str, Any]) -> None:
    _keys(value, where, types, ())
    for key, found in value.items():
        _typed(found, types[key], f"{where}.{key}")


def _named(kind: str, name: Any, known: Iterable[str]) -> None:
    if name not in known:
        raise unknown(kind, name, known)


def _typed(value: Any, expected: type | tuple[type, ...], where: str) -> Any:
    kinds = expected if isinstance(expected, tuple) else (expected,)
    fits = any(
        isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
        for kind in kinds
    )
    if not fits:
        raise KAdapterError(f"{where}: found {value!r}; expected {' or '.join(_WORDS[kind] for kind in kinds)}")
    return value
