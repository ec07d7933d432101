"""The runs that notebook 05 shows when it is opened by hand: those of a small `probe`, made when they are missing."""

from pathlib import Path
from typing import Any

from kadapter.experiment import preset, small_runs

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
    return small_runs.folder(path, ROOT, load(), progress)
