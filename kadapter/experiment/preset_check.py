"""What must agree in a preset, after `preset_values` has said what may stand there."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kadapter import catalog, values
from kadapter.catalog import REGIMES
from kadapter.errors import KAdapterError, unknown
from kadapter.experiment.preset_values import FULL_REGIMES, GENERAL_ROWS, MAP_ROWS, SPLITS, Preset
from kadapter.model.config import AdapterConfig
from kadapter.model.tuning_config import TUNINGS

ENTRIES = {"datasets": "dataset", "knowledge": "knowledge entry", "tasks": "task"}  # sections whose keys the user names


def check(preset: Mapping[str, Any]) -> None:
    """Raises KAdapterError for what is unknown, missing, of the wrong type, out of range or at odds with the rest, with
    its path."""
    for key, kind in ENTRIES.items():
        _check_names(preset.get(key), key, kind)
    values.check(Preset, preset)
    _once("seeds", preset["seeds"])
    _check_pretraining_seeds(preset)
    _once("models", preset["models"])
    _check_data(preset["data"])
    needed = {entry["dataset"] for entry in preset["knowledge"].values()}
    for name, dataset in preset["datasets"].items():
        _check_dataset(dataset, f"datasets.{name}")
        if dataset.get("optional") and name in needed:
            raise KAdapterError(f"datasets.{name}.optional: an adapter is pre-trained on it, so it cannot be left out")
    for name, entry in preset["knowledge"].items():
        _uses(preset, entry["dataset"], f"knowledge.{name}", SPLITS if entry["test"] else ("train", "dev"))
        _check_sizes(entry["adapter"], f"knowledge.{name}.adapter")
    if preset["multitask"]:
        _check_multitask(preset, preset["multitask"])
    for model in preset["models"]:
        _check_model(model, preset["knowledge"])
        if model == "multitask" and not preset["multitask"]:
            raise KAdapterError("models: 'multitask' is trained as the section multitask says, and there is none")
    for name, task in preset["tasks"].items():
        _check_task(preset, task, f"tasks.{name}")
    tested = any(entry["test"] for entry in preset["knowledge"].values())
    probed = preset["probe"] and not (preset["probe"].get("lama") or {}).get("heads")  # which a task trains
    if not (preset["tasks"] or probed or preset["map_tuning"] or tested):
        raise KAdapterError(
            "tasks: found none; expected at least one, a section probe or map_tuning, or knowledge with test: true"
        )
    if preset["map_tuning"]:
        _check_map_tuning(preset, preset["map_tuning"])
    for kind, options in preset["tuning"].items():
        values.check(TUNINGS[kind], options, at=f"tuning.{kind}")
    if catalog.RETRIEVAL in preset["models"]:
        _check_retrieval(preset)
    if preset["probe"]:
        _check_probe(preset, preset["probe"])
    if preset["continual"]:
        _check_continual(preset, preset["continual"])
    for name in preset["brief"].get("tasks", []):
        _named("task", name, preset["tasks"])
    for model in preset["brief"].get("models", []):
        _check_model(model, preset["knowledge"])
    _check_options(preset)


def _check_names(section: Any, key: str, kind: str) -> None:
    for name in section if isinstance(section, Mapping) else ():
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", str(name)) or name in catalog.ROWS:
            raise KAdapterError(
                f"{key}: {values.said(name)} is no name for a {kind}: expected letters, digits, _, -; "
                f"not {' or '.join(catalog.ROWS)}"
            )


def _check_options(preset: Mapping[str, Any]) -> None:
    """Options are those of a task's class, which brings torch: last, so that a misspelt key is refused at once."""
    for name, entry in preset["knowledge"].items():
        if entry["examples"]:
            catalog.check_examples(entry["knowledge"], entry["examples"], f"knowledge.{name}.examples")
    entries = [(f"knowledge.{n}", catalog.KNOWLEDGE[e["knowledge"]].task, e) for n, e in preset["knowledge"].items()]
    entries += [(f"tasks.{n}", e["task"], e) for n, e in preset["tasks"].items()]
    for where, task, entry in entries:
        if entry["task_options"]:
            place = f"{where}.task_options"
            values.check(catalog.task_class(task), entry["task_options"], at=place, leave_out=catalog.NO_OPTIONS)


def _once(where: str, found: list) -> None:
    if len(set(found)) < len(found):
        raise KAdapterError(f"{where}: found {found!r}; expected at least one, none twice")


def _check_pretraining_seeds(preset: Mapping[str, Any]) -> None:
    found, seeds = preset["pretraining_seeds"], preset["seeds"]
    _once("pretraining_seeds", found)
    if len(seeds) % len(found) and preset["tasks"]:
        raise KAdapterError(
            f"pretraining_seeds: found {len(found)} for {len(seeds)} seeds; expected seeds to be a multiple of them, "
            "as the fine-tunings stand on the pre-trainings in turn"
        )
    if len(found) > 1 and preset["probe"].get("datasets"):
        raise KAdapterError("pretraining_seeds: the pre-trainings that are probed are those of probe.seeds: set these")


def _check_sizes(sizes: Mapping[str, Any], where: str) -> None:
    """Sizes that go together, as far as the preset gives them; the backbone gives the rest."""
    stand_in = {"hidden_size": 1} | ({} if "heads" in sizes else {"heads": 1})
    try:
        AdapterConfig.from_dict(stand_in | dict(sizes))
    except KAdapterError as error:
        raise KAdapterError(f"{where}: {error}") from None


def _check_probe(preset: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    if not entry.get("datasets") and not entry.get("lama"):
        raise KAdapterError("probe: the key 'datasets' is missing (or 'lama')")
    _once("probe.datasets", entry.get("datasets", []))
    _once("probe.seeds", entry.get("seeds", [0]))
    for name in entry.get("datasets", []):
        _uses(preset, name, "probe.datasets", ("test",))
    if heads := (lama := entry.get("lama") or {}).get("heads"):
        _named("task", heads, preset["tasks"])
        if (task := preset["tasks"][heads])["task"] != "text" or task["regimes"] != ["frozen"]:
            raise KAdapterError(
                f"probe.lama.heads: {heads!r} is of task {task['task']!r}; expected task 'text', regimes: [frozen]"
            )
    if lama:
        _once("probe.lama.probes", lama["probes"])
    if not preset["knowledge"]:
        raise KAdapterError("probe: there is no knowledge: expected an adapter whose text says what is asked")
    if "multitask" in preset["models"] and entry.get("datasets"):
        raise KAdapterError("probe: a row multitask has no language head that speaks: take it out of models")


def _check_continual(preset: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    for key in ("orders", "task"):
        if not entry.get(key):
            raise KAdapterError(f"continual: the key {key!r} is missing")
    _named("task", entry["task"], preset["tasks"])
    for key in ("rows", "seeds"):
        _once(f"continual.{key}", entry.get(key, []))
    kinds = sorted(entry["orders"][0])
    for number, order in enumerate(entry["orders"]):
        for name in order:
            _named("knowledge entry", name, preset["knowledge"])
            _uses(preset, preset["knowledge"][name]["dataset"], f"continual.orders: {name}", ("train", "test"))
            if "-" in name:
                raise KAdapterError(f"continual.orders: {name!r} has a -, which joins the names of an order")
        if sorted(order) != kinds or len(set(order)) < len(order):
            raise KAdapterError(f"continual.orders.{number}: found {order}; expected each of {', '.join(kinds)} once")
    if entry["task"] in kinds:
        raise KAdapterError(f"continual.task: {entry['task']!r} is the name of a kind of knowledge, too: rename one")


def _check_map_tuning(preset: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    where = "map_tuning"
    general = entry.get("domains") or set(GENERAL_ROWS) & set(entry.get("models", MAP_ROWS))
    for key in ("corpus", "tasks", "tunings") if general else ("tasks", "tunings"):
        if not entry.get(key):
            raise KAdapterError(f"{where}: the key {key!r} is missing")
    if entry.get("corpus"):
        _uses(preset, entry["corpus"], f"{where}.corpus", ("train", "dev"))
    if not entry.get("embeddings", {}).get("path"):
        if not entry.get("graph"):
            raise KAdapterError(f"{where}: expected graph, a dataset of triples, or embeddings.path")
        _uses(preset, entry["graph"], f"{where}.graph", ("train",))
    if entry.get("facts"):
        _uses(preset, entry["facts"], f"{where}.facts", ("train",))
    if entry.get("spoken"):
        _uses(preset, entry["spoken"], f"{where}.spoken", ("train", "dev"))
    if domains := entry.get("domains"):
        _uses(preset, domains["dataset"], f"{where}.domains", ("train", "dev"))
        for name, domain in domains["of"].items():
            for key, splits in (("graph", ("train",)), ("corpus", ("train", "dev")), ("test", ("test",))):
                _uses(preset, domain[key], f"{where}.domains.of.{name}.{key}", splits)
    for name, task in entry["tasks"].items():
        _uses(preset, task["dataset"], f"{where}.tasks.{name}", SPLITS)
        if task.get("oracle"):
            _uses(preset, task["oracle"], f"{where}.tasks.{name}.oracle", ("test",))
    if not preset["knowledge"] and {"F", "F+mapping"} & set(entry.get("models", ())):
        raise KAdapterError(f"{where}.models: a row F plugs the adapters of knowledge, and there is none")


def _check_multitask(preset: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    for key in ("knowledge", "training"):
        if key not in entry:
            raise KAdapterError(f"multitask: the key {key!r} is missing")
    for name in entry["knowledge"]:
        _named("knowledge entry", name, preset["knowledge"])
    _once("multitask.knowledge", entry["knowledge"])


def _check_retrieval(preset: Mapping[str, Any]) -> None:
    if facts_of(preset) is None:
        raise KAdapterError(
            "models: 'retrieval' reads the facts of a knowledge entry whose task is relation classification, as "
            "factual, and there is none"
        )


def facts_of(preset: Mapping[str, Any]) -> str | None:
    """The dataset whose facts the row retrieval reads: that of the first knowledge entry about relations."""
    entries = preset["knowledge"].values()
    kinds = [(entry["dataset"], catalog.knowledge(entry["knowledge"])) for entry in entries]
    return next((dataset for dataset, kind in kinds if kind.task == "relation" and not kind.maker), None)


def _check_task(preset: Mapping[str, Any], task: Mapping[str, Any], where: str) -> None:
    _uses(preset, task["dataset"], where, SPLITS)
    _once(f"{where}.regimes", task["regimes"])
    for regime, models in task["models"].items():
        _named("regime", regime, REGIMES)
        for model in models:
            _check_model(model, preset["knowledge"])
    for regime in FULL_REGIMES:
        if twice := task["training"].get(regime, {}).keys() & task["training"]:  # which holds is anybody's guess
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


def _check_data(data: Mapping[str, Any]) -> None:
    if len(data) > 1:
        raise KAdapterError(
            f"data: found both {' and '.join(data)}; expected one: the embedded corpus, or a folder of files"
        )
    if data.get("facts"):
        from kadapter.knowledge import pararel_facts

        values.check(pararel_facts.build, data["facts"], at="data.facts", leave_out=("out",))
    if data.get("world"):
        from kadapter.world import World

        values.check(World, data["world"], at="data.world")


def _check_dataset(dataset: Mapping[str, Any], where: str) -> None:
    split = dataset.get("split")
    if split is None:
        return
    if abs(sum(split["parts"].values()) - 1) > 1e-6:
        raise KAdapterError(f"{where}.split.parts: found {split['parts']}; expected shares above 0 that sum to 1")
    if twice := dataset.keys() & split["parts"]:
        raise KAdapterError(f"{where}: {min(twice)} is both a file and a part of the split; expected one of them")


def _uses(preset: Mapping[str, Any], name: Any, where: str, splits: Iterable[str]) -> None:
    _named("dataset", name, preset["datasets"])
    dataset = preset["datasets"][name]
    there = {*dataset, *dataset.get("split", {}).get("parts", ())}
    for split in splits:
        if split not in there:
            raise KAdapterError(f"{where} needs the split {split} of dataset '{name}': add datasets.{name}.{split}")


def _named(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise unknown(kind, name, known)
