"""A preset: a YAML file that names a whole experiment, checked key by key.

`preset_values` says what each key takes; `docs/values.md`, made from it, is the page to read.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from kadapter import catalog, values
from kadapter.catalog import REGIMES, RETRIEVAL, adapters_of
from kadapter.data import places
from kadapter.errors import KAdapterError, unknown
from kadapter.experiment.preset_check import ENTRIES, check, facts_of
from kadapter.experiment.preset_values import OWN_SETTINGS, SPLITS, Brief, Knowledge, Preset, Task

FOLDER = Path(__file__).parent / "presets"
MOST_VALUES = 100_000  # in one file, after its anchors are put in


class _Loader(yaml.SafeLoader):
    """YAML in which 5e-5 is a number, as it is everywhere but in YAML 1.1."""


_SCIENTIFIC = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _SCIENTIFIC, list("-+0123456789"))


def names() -> list[str]:
    """The presets that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    """The plain content of a preset's file. `name` is one of `names()` or the path of a YAML file.

    Raises KAdapterError for a name that is neither and for a file that is no YAML mapping.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise unknown("preset", name, names()) from None
    except (OSError, ValueError) as error:  # no file, no permission, no UTF-8, no path
        raise KAdapterError(f"preset {name!r} cannot be read: {error}") from None
    preset = _unshared(_parse(text, str(path)), str(path))
    if not isinstance(preset, dict):
        raise KAdapterError(
            f"{path}: found {values.said(preset)}; expected a mapping of {', '.join(Preset.model_fields)}"
        )
    if preset.get("name") != path.stem:
        raise KAdapterError(f"{path}: name: found {preset.get('name')!r}; expected {path.stem!r}, the name of the file")
    return preset


def load(name: str, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """A checked preset with its defaults filled in.

    Args:
        name: see `read`.
        overrides: texts `a.b.c=VALUE` that set one value each, VALUE in YAML (`seeds=[0,1]`); `tasks=all` and
            `tasks=[NAME, ...]` choose among the tasks that are there.

    Raises KAdapterError for what is unknown, missing or of the wrong type, with its path and the nearest known name.
    """
    preset = read(name)
    chosen, keys = None, set()
    for text in overrides:
        key, _, value = text.partition("=")
        keys.add(key.strip())
        if key.strip() == "tasks" and (value.strip() == "all" or value.strip().startswith("[")):
            chosen = _parse(value, f"--set {_shown(text)}")
        else:
            _override(preset, text)
    preset = values.defaults(Preset) | preset
    filled = {"knowledge": lambda: values.defaults(Knowledge) | {"fusion": preset["fusion"]}}
    filled["tasks"] = lambda: {key: values.defaults(Task)[key] for key in ("task_options", "models")}
    for key, default in filled.items():
        if isinstance(preset.get(key), dict):
            preset[key] = {n: default() | e if isinstance(e, dict) else e for n, e in preset[key].items()}
    check(preset)
    if chosen not in (None, "all"):
        values.check(Brief, {"tasks": chosen})
    return _chosen(preset, chosen, "models" in keys)


def _chosen(preset: dict[str, Any], chosen: str | list[str] | None, models_set: bool) -> dict[str, Any]:
    """The preset with the tasks that were asked for, or those of its section `brief`, and the models accordingly."""
    brief = preset.pop("brief")
    if chosen is None:
        names = brief.get("tasks", list(preset["tasks"]))
    else:
        names = list(preset["tasks"]) if chosen == "all" else chosen
    for name in names:
        if name not in preset["tasks"]:
            raise unknown("task", name, preset["tasks"])
    tasks = {name: entry for name, entry in preset["tasks"].items() if name in names}
    models = preset["models"]
    if chosen != "all" and not models_set:
        models = [model for model in models if model in brief.get("models", models)]
    chosen_preset = preset | {"tasks": tasks, "models": models}
    if not made(preset):  # files that nothing reads need not be there
        used = [preset["knowledge"][name] for name in used_knowledge(chosen_preset)]
        read = {entry["dataset"] for entry in (*tasks.values(), *used)} | set(preset["probe"].get("datasets", ()))
        read |= map_datasets(preset)
        chosen_preset["datasets"] = {name: spec for name, spec in preset["datasets"].items() if name in read}
    return chosen_preset


def map_datasets(preset: Mapping[str, Any]) -> set[str]:
    """The datasets that the section `map_tuning` reads."""
    section = preset["map_tuning"]
    if not section:
        return set()
    named = {section.get("corpus"), section.get("spoken"), section.get("graph"), section.get("facts")}
    domains = section.get("domains") or {"of": {}}
    named |= {domains.get("dataset"), *(name for domain in domains["of"].values() for name in domain.values())}
    tasks = section["tasks"].values()
    return {name for name in named if name} | {n for t in tasks for n in (t["dataset"], t.get("oracle")) if n}


def models_of(preset: Mapping[str, Any], task: Mapping[str, Any], regime: str) -> list[str]:
    """The model rows that a task has in a regime, in the order of the preset."""
    return [model for model in preset["models"] if model in task["models"].get(regime, preset["models"])]


def all_models(preset: Mapping[str, Any]) -> set[str]:
    """The model rows of all tasks together."""
    tasks = preset["tasks"].values()
    rows = {model for task in tasks for regime in task["regimes"] for model in models_of(preset, task, regime)}
    lama = preset["probe"].get("lama") or {"heads": True}  # with heads its rows are those of a task
    whole = "datasets" in preset["probe"] or not lama.get("heads") or preset["map_tuning"]
    return rows | set(preset["models"] if whole else ())


def used_knowledge(preset: Mapping[str, Any]) -> list[str]:
    """The knowledge entries that some row needs: plugged in, or learned by the backbone of the row multitask."""
    models = all_models(preset)
    used = {name for model in models for name in adapters_of(model)}
    used |= set(preset["multitask"]["knowledge"] if "multitask" in models else ())
    if RETRIEVAL in models:
        used |= {name for name, entry in preset["knowledge"].items() if entry["dataset"] == facts_of(preset)}
    used |= {name for name, entry in preset["knowledge"].items() if entry["test"]}
    return [name for name in preset["knowledge"] if name in used]


def roles(preset: Mapping[str, Any]) -> dict[str, list[str]]:
    """The datasets that adapters learn from, `knowledge`, and those that they are tested on, `downstream`.

    In the embedded world both are the same whatever part of the preset is run: its data is made once.
    """
    sources = {entry["dataset"] for entry in preset["knowledge"].values()}
    tested = {task["dataset"] for task in preset["tasks"].values() if task["task"] != "text"}
    spoken = {task["dataset"] for task in preset["tasks"].values()} - tested  # what a language head learns from
    names = [name for name in preset["datasets"] if name not in spoken - sources]
    return {
        "knowledge": [name for name in names if name in sources],
        "downstream": [name for name in names if name in tested or name not in sources],
    }


def made(preset: Mapping[str, Any]) -> bool:
    """Whether the package makes the preset's data: the embedded world, or its facts."""
    return "world" in preset["data"] or "facts" in preset["data"]


def data_folder(preset: Mapping[str, Any]) -> Path | None:
    """The folder that the preset's data files are relative to; None where they come from the embedded world.

    Raises KAdapterError if it is not named, missing or empty.
    """
    if made(preset):
        return None
    named = preset["data"].get("path") or os.environ.get("KADAPTER_DATA")
    mend = "set KADAPTER_DATA to the folder that holds them, or give --set data.path=FOLDER"
    if not named:
        if all(Path(dataset.get("path", "")).is_absolute() for dataset in preset["datasets"].values()):
            return Path("/")  # every dataset has a place of its own
        raise KAdapterError(f"preset '{preset['name']}' reads data files and no folder is named: {mend}")
    folder = Path(named).expanduser().absolute()
    if not folder.is_dir() or not any(folder.iterdir()):
        state = "is empty" if folder.is_dir() else "is no folder"
        raise KAdapterError(f"the data folder of preset '{preset['name']}', {folder}, {state}: {mend}")
    return folder


def data_files(preset: Mapping[str, Any]) -> list[Path]:
    """Every data file that the preset reads, absolute; [] for the embedded world.

    Raises KAdapterError for the first that is missing, unless its dataset is optional.
    """
    folder = data_folder(preset)
    if folder is None:
        return []
    files = []
    for name, dataset in present(preset)["datasets"].items():
        base, found = _located(folder, dataset)
        for wanted, file in found:
            other = wanted if file is None else places.missing_companion(file, dataset["format"])
            if other is not None:
                raise KAdapterError(
                    f"dataset '{name}': there is no file {base / other}: put it there, gzipped or not, or name another "
                    f"place with --set datasets.{name}.path=FOLDER (now {base}) or --set data.path=FOLDER"
                )
            if file is not None:
                files.append(file)
    return files


def probe_folder(preset: Mapping[str, Any], probe: str, words: str) -> str | None:
    """The folder that holds the files of a probe of LAMA, and the word list; None where they are missing. "" for the
    embedded world, whose own are written with its data."""
    if "world" in preset["data"]:
        return ""
    named = data_folder(preset) or os.environ.get("KADAPTER_DATA")
    folder = Path(named).expanduser().absolute() if named else None
    if folder is None or not places.matching(folder, catalog.PROBES[probe]):
        return None
    listed = words == "objects" or Path(words).is_file() or (folder / places.WORD_LISTS / words).is_file()
    return str(folder) if listed else None


def present(preset: Mapping[str, Any]) -> dict[str, Any]:
    """The preset without the optional datasets whose files are missing, and without the tasks on them."""
    folder = data_folder(preset)
    missing = {
        name
        for name, dataset in preset["datasets"].items()
        if folder is not None and dataset.get("optional") and None in (file for _, file in _located(folder, dataset)[1])
    }
    datasets = {name: dataset for name, dataset in preset["datasets"].items() if name not in missing}
    tasks = {name: task for name, task in preset["tasks"].items() if task["dataset"] not in missing}
    return dict(preset) | {"datasets": datasets, "tasks": tasks}


def _located(folder: Path, dataset: Mapping[str, Any]) -> tuple[Path, list[tuple[str, Path | None]]]:
    """The folder of a dataset, and each file that it names with its place, None where it is missing."""
    named = dataset | dataset.get("split", {})
    names = [file for key in (*SPLITS, "from") for file in as_list(named.get(key))]
    base, found = places.locate(folder, dataset, names)
    return base, list(zip(names, found, strict=True))


def as_list(files: str | list[str] | None) -> list[str]:
    """A file or a list of files as a list."""
    return [files] if isinstance(files, str) else list(files or ())


def training_for(task: Mapping[str, Any], regime: str, model: str = "backbone") -> dict[str, Any]:
    """A task's training settings in one regime: the shared ones, over them those under the regime's name, and over them
    those under the name of a row that trains otherwise (`lora`, `retrieval`, ...)."""
    shared = {key: value for key, value in task["training"].items() if key not in (*REGIMES, *OWN_SETTINGS)}
    own = task["training"].get(model, {}) if model in OWN_SETTINGS else {}
    return shared | task["training"].get(regime, {}) | own


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise KAdapterError(f"{where}: no YAML: lists or mappings stand too deep in each other") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise KAdapterError(f"{where}{line}: no YAML: {reason}") from None


def _unshared(value: Any, where: str) -> Any:
    """A copy in which what a YAML anchor put in two places is two things, so that one can be set without the other.

    Raises KAdapterError where anchors within anchors make more than any preset has.
    """
    room = MOST_VALUES

    def copied(value: Any) -> Any:
        nonlocal room
        room -= 1
        if room < 0:
            raise KAdapterError(f"{where}: found more than {MOST_VALUES:,} values, its anchors put in; expected fewer")
        if isinstance(value, dict):
            return {key: copied(each) for key, each in value.items()}
        return [copied(each) for each in value] if isinstance(value, list) else value

    try:
        return copied(value)
    except RecursionError:
        raise KAdapterError(f"{where}: an anchor holds itself, or values stand too deep in each other") from None


def _shown(text: str) -> str:
    text = text if text.isprintable() else repr(text)  # one line, whatever a shell passed on
    return text if len(text) <= 100 else f"{text[:97]}..."


def _override(preset: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    *parents, last = parts = key.strip().split(".")
    if not equals or not all(parts):
        raise KAdapterError(f"--set {_shown(text)}: found no key=value; expected something like seeds=[0,1]")
    node = preset
    for depth, part in enumerate(parents):
        if part not in node or node[part] is None:
            if depth == 1 and parts[0] in ENTRIES:
                raise unknown(ENTRIES[parts[0]], part, node)
            node[part] = {}
        node = node[part]
        if not isinstance(node, dict):
            here = ".".join(parts[: depth + 1])
            raise KAdapterError(
                f"--set {_shown(text)}: {here} is {values.said(node)} and has no keys: set it as a whole"
            )
    node[last] = _parse(value, f"--set {_shown(text)}")
