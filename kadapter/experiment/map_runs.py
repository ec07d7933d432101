"""The runs that notebook 06 shows when it is opened by hand: those of a small `map_tuning`, made when they are
missing."""

from pathlib import Path
from typing import Any

from kadapter.experiment import preset, small_runs

ROOT = "runs/notebook-map-tuning"
SMALL = (  # few entities, one task, one domain, one way of tuning, one seed
    "data.world.entities=120",
    "map_tuning.embeddings.epochs=40",
    "map_tuning.language.epochs=2",
    "map_tuning.general.epochs=2",
    "seeds=[0]",
    "models=[backbone]",
    "map_tuning.models=[chance, plain, mapping, mapping_task, retrieval, oracle]",
    "map_tuning.tasks.typing.training.epochs=10",
    "map_tuning.tasks.typing.training.learning_rate=3.0e-4",
    "map_tuning.tasks.typing.mapping.epochs=10",
    "map_tuning.tasks.typing.mapping.learning_rate=1.0e-2",
    "map_tuning.tunings={full: {}}",
)


def load() -> dict[str, Any]:
    """The preset `map_tuning` in small."""
    found = preset.load("map_tuning", SMALL)
    section = {name: value for name, value in found["map_tuning"].items() if name != "domains"}
    return found | {"map_tuning": section | {"tasks": {"typing": section["tasks"]["typing"]}}}


def folder(path: str, progress: bool = True) -> Path:
    """The folder that a parameter of notebook 06 names; one under `runs/notebook-map-tuning` is made if it is missing.

    Raises KAdapterError for an unknown run there.
    """
    return small_runs.folder(path, ROOT, load(), progress)
