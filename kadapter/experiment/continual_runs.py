"""What notebook 08 teaches when it is opened by hand: the preset `continual` in small, its data made when it is
missing."""

from pathlib import Path
from typing import Any

from kadapter import runs
from kadapter.errors import unknown
from kadapter.experiment import prepared, preset
from kadapter.experiment.graph import graph

ROOT = "runs/notebook-continual"
SMALL = (  # few entities, three kinds, one order
    "data.world={seed: 0, entities: 96, groups: 2, facts_per_entity: 2}",
    "continual.orders=[[A, L, B]]",
    "continual.seeds=[0]",
)


def parameters(rows: list[str], given: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the stage with these rows, those of the small preset where `given` has None."""
    stages = [stage.parameters for stage in _stages() if stage.stage == "continual"]
    small = {key: value for key, value in stages[0].items() if key != "name"}
    small["training"] = {row: each for stage in stages for row, each in stage["training"].items()}
    small["elastic"] = next(stage["elastic"] for stage in stages if stage["elastic"])
    named = {key: value for key, value in given.items() if value is not None}
    return small | named | {"rows": rows}


def folder(path: str) -> Path:
    """The data folder that a parameter of notebook 08 names; that under `runs/notebook-continual` is made if it is
    missing.

    Raises KAdapterError for another run there.
    """
    stage = Path(path).as_posix().removeprefix(f"{ROOT}/")
    if stage == Path(path).as_posix():
        return runs.resolve(path)
    wanted = {s.id: s for s in _stages() if s.stage == "data"}
    if stage not in wanted:
        raise unknown("run of the small preset 'continual'", stage, wanted)
    out, made_from = runs.resolve(path), dict(wanted[stage].parameters)
    if (out / runs.RESULT).is_file() and runs.load(out).parameters.get("made_from") == made_from:
        return out
    left = runs.begin(out, stage="data", name="all", parameters={"made_from": made_from})
    keys = ("datasets", "data", "roles", "overlap")
    manifest = prepared.prepare(left.folder, *(made_from[key] for key in keys))
    return left.finish(metrics={"datasets": len(manifest["datasets"])})


def _stages() -> list:
    return graph(preset.load("continual", SMALL))
