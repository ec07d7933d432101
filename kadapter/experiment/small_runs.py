"""Runs that a notebook shows when it is opened by hand: the stages before it of a small preset, made when missing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kadapter import runs
from kadapter.errors import unknown
from kadapter.experiment import prepared
from kadapter.experiment.graph import graph
from kadapter.experiment.stages import Pretraining


def folder(path: str, root: str, small: Mapping[str, Any], progress: bool = True) -> Path:
    """The folder that a parameter of a notebook names; one under `root` is made from the preset `small` if it is
    missing.

    Raises KAdapterError for an unknown run there.
    """
    stage = Path(path).as_posix().removeprefix(f"{root}/")
    if stage == Path(path).as_posix():
        return runs.resolve(path)
    stages = {s.id: s for s in graph(small) if s.stage in ("data", "pretrain")}
    if stage not in stages:
        raise unknown(f"run of the small preset '{small['name']}'", stage, stages)
    out = runs.resolve(path)
    wanted = stages[stage]
    parameters = dict(wanted.parameters)
    if (out / runs.RESULT).is_file() and runs.load(out).parameters.get("made_from") == parameters:
        return out
    left = runs.begin(out, stage=wanted.stage, name=wanted.name, parameters={"made_from": parameters})
    if wanted.stage == "data":
        manifest = prepared.prepare(
            left.folder, parameters["datasets"], parameters["data"], parameters["roles"], parameters["overlap"]
        )
        return left.finish(metrics={"datasets": len(manifest["datasets"])})
    data = prepared.Data(folder(f"{root}/data/all", root, small, progress))
    pretraining = Pretraining(**parameters | {"data": data})
    pretraining.fit(left.folder, progress=progress)
    return pretraining.finish(left, pretraining.predict())
