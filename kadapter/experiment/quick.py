"""The small experiment that notebooks opened by hand fall back on: any run of the preset `notebook`, made when it is
missing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kadapter import runs
from kadapter.errors import unknown
from kadapter.experiment import prepared, preset
from kadapter.experiment.graph import graph
from kadapter.experiment.stages import Finetuning, Pretraining

PRESET = "notebook"
ROOT = f"runs/{PRESET}"


def run(stage: str, progress: bool = True) -> Path:
    """The folder of a run of the preset `notebook`, made here with all it needs unless it is there with the same
    parameters.

    Args:
        stage: its id: `data/all`, `pretrain/F`, `finetune/typing-frozen-F`, ...

    Raises KAdapterError for an unknown stage.
    """
    stages = {s.id: s for s in graph(preset.load(PRESET))}
    if stage not in stages:
        raise unknown(f"run of preset {PRESET!r}", stage, stages)
    wanted = stages[stage]
    folder = runs.resolve(ROOT) / stage
    inputs = {key: _folders(value, progress) for key, value in wanted.inputs.items()}
    parameters = dict(wanted.parameters) | inputs
    plain = {
        key: str(value) if isinstance(value, Path) else value for key, value in parameters.items() if key != "adapters"
    }
    if (folder / runs.RESULT).is_file() and runs.load(folder).parameters.get("made_from") == plain:
        return folder
    left = runs.begin(folder, stage=wanted.stage, name=wanted.name, parameters={"made_from": plain})
    if wanted.stage == "data":
        keys = ("datasets", "data", "roles", "overlap")
        manifest = prepared.prepare(left.folder, *(parameters[key] for key in keys))
        left.finish(metrics={"datasets": len(manifest["datasets"])})
    elif wanted.stage == "pretrain":
        pretraining = Pretraining(**parameters | {"data": prepared.Data(parameters["data"])})
        pretraining.fit(left.folder, progress=progress)
        pretraining.finish(left, pretraining.predict())
    else:
        parameters.pop("name")
        finetuning = Finetuning(**parameters | {"data": prepared.Data(parameters["data"])})
        finetuning.run(left.folder, progress=progress)
        finetuning.finish(left)
    return folder


def folder(path: str, progress: bool = True) -> Path:
    """The folder that a notebook's parameter names; one under `runs/notebook` is made if it is missing."""
    stage = Path(path).as_posix().removeprefix(f"{ROOT}/")
    return run(stage, progress) if stage != Path(path).as_posix() else runs.resolve(path)


def _folders(value: Any, progress: bool) -> Any:
    """Run ids, alone or in lists and mappings, to the folders of these runs."""
    if isinstance(value, Mapping):
        return {key: _folders(each, progress) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_folders(each, progress) for each in value]
    return run(value, progress)
