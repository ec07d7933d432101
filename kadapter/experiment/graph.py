"""A preset as a graph of stages: which notebook is executed with which parameters, and after which others.

The stages are the paper's: knowledge is infused into each adapter on its own (Section 3), adapters are plugged in for
every downstream task (Section 4), and cases are looked at side by side (Table 7).
"""

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kadapter
from kadapter import values
from kadapter.catalog import LABELLED, RETRIEVAL, adapters_of
from kadapter.errors import KAdapterError, unknown
from kadapter.experiment import preset, preset_check
from kadapter.experiment.preset_values import Continual, Elastic


@dataclass(frozen=True)
class Stage:
    """One execution of a notebook.

    Attributes:
        notebook: file name in the folder of notebooks.
        stage, name: the run is left in `<root>/<preset>/<stage>/<name>`.
        parameters: given to the notebook as they are.
        inputs: more parameters: ids (`stage/name`) of runs, alone or in lists and mappings, given as their folders.
        needs: ids of the runs that must be finished before.
        files: data files that the run depends on.
    """

    notebook: str
    stage: str
    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    needs: Sequence[str] = ()
    files: Sequence[Path] = ()

    @property
    def id(self) -> str:
        """`stage/name`."""
        return f"{self.stage}/{self.name}"


def graph(p: Mapping[str, Any]) -> list[Stage]:
    """The stages of a preset (as `preset.load` returns it), every one after those it needs.

    Tasks on optional datasets that are not there are left out. Raises KAdapterError if other data files that the preset
    names are missing.
    """
    p = preset.present(p)
    files = preset.data_files(p)
    source = p["data"] if preset.made(p) else {"path": str(preset.data_folder(p))}
    parameters = {"data": source, "datasets": p["datasets"], "roles": preset.roles(p), "overlap": p["overlap"]}
    data = Stage("01_build_data.ipynb", "data", "all", parameters, files=files)
    stages = [data]
    models = preset.all_models(p)
    plugged = {name for model in models for name in adapters_of(model)}
    for name, entry in [(n, e) for n, e in p["knowledge"].items() if n in plugged or e["test"]]:
        keys = ("dataset", "knowledge", "task_options", "examples", "adapter", "fusion", "training", "seed", "test")
        for run, seed in pretrainings(p, name).items():
            parameters = {"name": run, "backbone": p["backbone"]} | {key: entry[key] for key in keys}
            parameters |= {"seed": seed, "more_seeds": [seed + more for more in p["pretraining_seeds"][1:]]}
            stages.append(
                Stage("02_pretrain_adapter.ipynb", "pretrain", run, parameters, {"data": data.id}, (data.id,))
            )
    if "multitask" in models:
        stages.append(_multitask(p, data.id))
    for name, task in p["tasks"].items():
        for regime in task["regimes"]:
            rows = [_finetune(p, name, task, regime, model, data.id) for model in preset.models_of(p, task, regime)]
            stages += rows
            if len(rows) > 1 and task["task"] in LABELLED:
                ids = [row.id for row in rows]
                case = {"name": f"{name}-{regime}"}
                stages.append(Stage("04_case_study.ipynb", "cases", case["name"], case, {"runs": ids}, ids))
    if p["probe"].get("datasets"):
        stages.append(_probe(p, data.id))
        ids = [stages[-1].id]
        stages.append(Stage("04_case_study.ipynb", "cases", "probe", {"name": "probe"}, {"runs": ids}, ids))
    if p["probe"].get("lama"):
        stages += _lama(p, data.id)
    if p["continual"]:
        stages += _continual(p, data.id)
    if p["map_tuning"]:
        stages.append(_map_tuning(p, data.id))
    # The report reads whatever stands in the folder of this preset's runs: its parent, "..", is the root.
    ends = [stage.id for stage in stages]
    return [*stages, Stage("07_report.ipynb", "report", "all", {"preset": p["name"]}, {"root": ".."}, ends)]


def pretrainings(p: Mapping[str, Any], name: str) -> dict[str, int]:
    """The pre-training runs of an adapter, and the seed of each: its own, or with a probe one for each of its
    seeds, the first under the adapter's name (`F`, `F-1`, `F-2`)."""
    if not p["probe"].get("datasets"):
        return {name: p["knowledge"][name]["seed"] + p["pretraining_seeds"][0]}
    seeds = p["probe"].get("seeds", [0])
    return {name if seed == seeds[0] else f"{name}-{seed}": seed for seed in seeds}


def _probe(p: Mapping[str, Any], data: str) -> Stage:
    plugged = [name for name in p["knowledge"] if name in preset.all_models(p)]
    adapters = {name: [f"pretrain/{run}" for run in pretrainings(p, name)] for name in plugged}
    first = next(iter(p["knowledge"].values()))
    parameters = {
        "datasets": p["probe"]["datasets"],
        "text": first["dataset"],
        "backbone": p["backbone"],
        "models": p["models"],
        "seeds": p["probe"].get("seeds", [0]),
        "none_adapter": first["adapter"],
    }
    needs = (data, *(run for each in adapters.values() for run in each))
    return Stage("05_probe.ipynb", "probe", "all", parameters, {"data": data, "adapters": adapters}, needs)


def _lama(p: Mapping[str, Any], data: str) -> list[Stage]:
    """A stage for each probe of LAMA whose files are there; none where the task is not run that trains its heads."""
    lama = {"heads": "", "words": "common_vocab_cased.txt", "limit": 0, "names_by": ""} | p["probe"]["lama"]
    heads = lama["heads"]
    if heads and heads not in p["tasks"]:
        return []
    if heads:
        rows = preset.models_of(p, p["tasks"][heads], "frozen")
        models = {row: [f"finetune/{heads}-frozen-{row}"] for row in rows}
    else:
        models = {row: [f"pretrain/{row}"] for row in p["models"] if row in p["knowledge"]}
    named = {} if "backbone" in models else {"backbone": p["backbone"]}
    knowledge = next(iter(p["knowledge"].values()))
    stages = []
    for probe in lama["probes"]:
        folder = preset.probe_folder(p, probe, lama["words"])
        if folder is None:
            continue
        parameters = {"probe": probe, "folder": folder, "named": named, "text": knowledge["dataset"]}
        parameters |= {key: lama[key] for key in ("words", "limit", "names_by")}
        inputs = {"data": data, "models": models}
        needs = (data, *(run for runs in models.values() for run in runs))
        stages.append(Stage("05_probe_lama.ipynb", "probe", probe, parameters, inputs, needs))
    return stages


def _continual(p: Mapping[str, Any], data: str) -> list[Stage]:
    """One stage for each row and seed, all orders in it: the row kadapter trains every adapter once for all of them."""
    entry = values.defaults(Continual) | p["continual"]
    kinds = {name: p["knowledge"][name] for name in entry["orders"][0]}
    keys = ("knowledge", "dataset", "task_options", "examples", "adapter", "training")
    task = p["tasks"][entry["task"]]
    parameters = {
        "orders": entry["orders"],
        "kinds": {name: {key: kind[key] for key in keys} for name, kind in kinds.items()},
        "task": {key: task[key] for key in ("task", "dataset", "task_options")}
        | {"training": preset.training_for(task, "frozen")},
        "task_name": entry["task"],
        "backbone": p["backbone"],
        "fusion": p["fusion"],
    }
    stages = []
    for row, seed in [(row, seed) for seed in entry["seeds"] for row in entry["rows"]]:
        own: dict[str, Any] = {"name": f"{row}-{seed}", "rows": [row], "seeds": [seed]}
        own["training"] = {row: entry["training"][row]} if row in entry["training"] else {}
        own["elastic"] = values.defaults(Elastic) | entry["elastic"] if row == "ewc" else {}
        stages.append(Stage("08_continual.ipynb", "continual", own["name"], own | parameters, {"data": data}, (data,)))
    return stages


def _map_tuning(p: Mapping[str, Any], data: str) -> Stage:
    adapters = {name: f"pretrain/{name}" for name in p["knowledge"] if name in preset.all_models(p)}
    parameters = {"backbone": p["backbone"], "section": p["map_tuning"], "seeds": p["seeds"]}
    inputs = {"data": data, "adapters": adapters}
    return Stage("06_map_tuning.ipynb", "mapping", "all", parameters, inputs, (data, *adapters.values()))


def _multitask(p: Mapping[str, Any], data: str) -> Stage:
    keys = ("knowledge", "dataset", "task_options", "examples")
    parts = {name: {key: p["knowledge"][name][key] for key in keys} for name in p["multitask"]["knowledge"]}
    parameters = {"parts": parts, "training": p["multitask"]["training"]}
    first, *more = p["pretraining_seeds"]
    parameters |= {"backbone": p["backbone"], "fusion": p["fusion"], "seed": first, "more_seeds": more}
    return Stage("02_pretrain_multitask.ipynb", "pretrain", "multitask", parameters, {"data": data}, (data,))


def _finetune(p: Mapping[str, Any], name: str, task: Mapping[str, Any], regime: str, model: str, data: str) -> Stage:
    adapters = {adapter: f"pretrain/{adapter}" for adapter in adapters_of(model)}
    pretrained = adapters or model in ("none", "multitask")
    parameters = {
        "name": f"{name}-{regime}-{model}",
        "task_name": name,
        "task": task["task"],
        "task_options": task["task_options"],
        "dataset": task["dataset"],
        "model": model,
        "regime": regime,
        "training": preset.training_for(task, regime, model),
        "seeds": p["seeds"],
        "pretrainings": len(p["pretraining_seeds"]) if pretrained else 1,
        "backbone": p["backbone"],
        "fusion": p["fusion"],
        "none_adapter": next(iter(p["knowledge"].values()))["adapter"] if model == "none" else {},
        "tuning": p["tuning"].get(model, {}),
        "known": _known(p) if task["task"] in LABELLED else [],
        "facts": preset_check.facts_of(p) if model == RETRIEVAL else "",
    }
    inputs = {"data": data, "adapters": adapters}
    needs = [data, *adapters.values()]
    if model == "multitask":
        parameters.pop("backbone")
        inputs["backbone"] = "pretrain/multitask"
        needs.append("pretrain/multitask")
    return Stage("03_finetune.ipynb", "finetune", parameters["name"], parameters, inputs, tuple(needs))


def _known(p: Mapping[str, Any]) -> list[str]:
    """The datasets that the plugged adapters learned relations between entities from."""
    plugged = {adapter for model in p["models"] for adapter in adapters_of(model)}
    entries = [entry for name, entry in p["knowledge"].items() if name in plugged]
    return sorted({e["dataset"] for e in entries if e["knowledge"].startswith("factual")})


def keys(stages: Sequence[Stage], notebooks: Path) -> dict[str, str]:
    """For each stage id, a hash of all that its run is made from: notebook, parameters, data files, what it needs.

    Raises KAdapterError if a notebook is missing, or if its cell tagged `parameters` does not assign a parameter.
    """
    found: dict[str, str] = {}
    cells: dict[str, list[str]] = {}
    for stage in stages:
        if stage.notebook not in cells:
            cells[stage.notebook] = _sources(notebooks / stage.notebook, stage)
        made_from = {
            "kadapter": kadapter.__version__,
            "notebook": cells[stage.notebook],
            "parameters": stage.parameters,
            "inputs": stage.inputs,
            "needs": [found[need] for need in stage.needs],
            "files": [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in stage.files],
        }
        text = json.dumps(made_from, sort_keys=True, default=str)
        found[stage.id] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return found


def _sources(path: Path, stage: Stage) -> list[str]:
    """The cells of a notebook, after checking that it takes the parameters of a stage."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except FileNotFoundError:
        raise KAdapterError(f"there is no notebook {path}: run kadapter from a checkout of the project") from None
    sources = ["".join(cell["source"]) for cell in cells]
    tagged = [s for s, cell in zip(sources, cells, strict=True) if "parameters" in cell["metadata"].get("tags", ())]
    assigned = {
        target.id
        for source in tagged
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for name in ("out", *stage.parameters, *stage.inputs):
        if name not in assigned:
            raise unknown(f"parameter of {path.name}", name, assigned)
    return sources
