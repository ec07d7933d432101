"""The runs that notebook 05 shows when it is opened by hand: those of a small `probe`, made when they are missing."""

from pathlib import Path
from typing import Any

from kadapter import runs
from kadapter.errors import unknown
from kadapter.experiment import prepared, preset
from kadapter.experiment.graph import graph
from kadapter.experiment.stages import Pretraining

ROOT = "runs/notebook-probe"
SMALL = (  # few facts, one pre-training
    "data.facts={seed: 0, relations: 3, per_relation: 4, keep: 40}",
    "knowledge.F.training.epochs=12",
    "knowledge.F.training.warmup_steps=4",
    "knowledge.shuffled.training.epochs=12",
    "knowledge.shuffled.training.warmup_steps=4",
    "probe.seeds=[0]",
    "probe.datasets=[facts_seen, facts_paraphrase, facts_unseen, perplexity]",
)


def load() -> dict[str, Any]:
    """The preset `probe` in small."""
    return preset.load("probe", SMALL)


def folder(path: str, progress: bool = True) -> Path:
    """The folder that a parameter of notebook 05 names; one under `runs/notebook-probe` is made if it is missing.

    Raises KAdapterError for an unknown run there.
    """
    stage = Path(path).as_posix().removeprefix(f"{ROOT}/")
    if stage == Path(path).as_posix():
        return runs.resolve(path)
    stages = {s.id: s for s in graph(load()) if s.stage in ("data", "pretrain")}
    if stage not in stages:
        raise unknown("run of the small preset 'probe'", stage, stages)
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
    pretraining = Pretraining(**parameters | {"data": prepared.Data(folder(f"{ROOT}/data/all", progress))})
    pretraining.fit(left.folder, progress=progress)
    return pretraining.finish(left, pretraining.predict())
