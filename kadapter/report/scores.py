"""The finished fine-tuning runs of a preset, read for the tables of `kadapter.report.report`."""

import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from kadapter import runs
from kadapter.catalog import REGIMES
from kadapter.errors import KAdapterError, unknown
from kadapter.report.rendering import by_model
from kadapter.scoring.metric import Metric
from kadapter.scoring.metrics import get

DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)  # what numpy raises for a torn .npz


@dataclass(frozen=True, eq=False)
class RunScores:
    """A finished fine-tuning run: which row it is, and what each test example counts, (seeds, n, k)."""

    task: str
    dataset: str
    regime: str
    model: str
    metric: Metric
    seeds: tuple[int, ...]
    counts: np.ndarray
    run: runs.Result
    pretrainings: tuple[int, ...] | None = None  # of each seed, the pre-training that it stands on, where they differ

    @property
    def values(self) -> np.ndarray:
        """The headline value of every seed, (seeds,)."""
        return self.metric.reduce(self.counts.sum(axis=1))[self.metric.primary]

    @property
    def trained_parameters(self) -> int | None:
        """How many parameters trained on the task; None where the run does not say it."""
        rows = self.run.data.get("rows") or [{}]
        return rows[0].get("trained_parameters")


def run_scores(root: str | Path, preset: str) -> tuple[RunScores, ...]:
    """The finished fine-tuning runs of a preset, and the rows of its probe and of pre-trainings that were tested, by
    task, regime and model. () if there are none.

    A run whose files are as they were is the same object again. Raises KAdapterError for a run whose files do not say
    what the report needs.
    """
    folders = [run.path for run in runs.find(root, preset)]
    found = [_read(folder, _stamp(folder)) for folder in folders if folder.parent.name == "finetune"]
    asked = (folder for folder in folders if folder.parent.name in ("probe", "pretrain", "mapping"))
    found += [row for folder in asked for row in _read_probe(folder, _stamp(folder))]
    return tuple(sorted(found, key=lambda run: (run.task, REGIMES.index(run.regime), by_model(run.model))))


def of_run(folder: str | Path) -> RunScores:
    """The scores of one fine-tuning run. Raises KAdapterError if the folder holds none."""
    path = runs.load(folder).path
    return _read(path, _stamp(path))


def of_seeds(run: RunScores, seeds: list[int]) -> tuple[np.ndarray, list[int] | None]:
    """Counts of some seeds of a run, and the pre-training that each stands on."""
    places = [run.seeds.index(seed) for seed in seeds]
    return run.counts[places], None if run.pretrainings is None else [run.pretrainings[place] for place in places]


def _stamp(folder: Path) -> tuple:
    """Changes with every file of a run."""
    files = [(file.name, file.stat()) for file in folder.iterdir() if file.is_file()]
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in files))


@lru_cache(1000)
def _read(folder: Path, stamp: tuple) -> RunScores:
    run = runs.load(folder)
    needed = ("task", "regime", "model", "metric", "seeds")
    missing = [key for key in needed if key not in run.data]
    if missing:
        raise KAdapterError(f"{run.path / runs.RESULT} has no {missing[0]!r}: expected {', '.join(needed)}")
    path = run.path / "counts.npz"
    try:
        with path.open("rb") as opened, np.load(opened) as file:  # numpy leaves a torn one open
            counts = file["counts"].astype(float)
    except DAMAGE as error:
        raise KAdapterError(f"{path} is missing or damaged ({error}): remove the folder, run its stage again") from None
    if run.regime not in REGIMES:
        raise unknown(f"regime in {run.id}", run.regime, REGIMES)
    seeds = tuple(run.seeds)
    if counts.ndim != 3 or len(counts) != len(seeds):
        raise KAdapterError(
            f"{path} has counts of shape {counts.shape}; expected (seeds, n, k) with the {len(seeds)} seeds of the run"
        )
    pretrainings = run.data.get("pretrainings")
    of = tuple(pretrainings) if pretrainings else None
    metric = get(run.metric["name"], **run.metric.get("options", {}))
    return RunScores(run.task, run.data.get("dataset", ""), run.regime, run.model, metric, seeds, counts, run, of)


@lru_cache(1000)
def _read_probe(folder: Path, stamp: tuple) -> tuple[RunScores, ...]:
    """The rows of a probe's run, which asks all models all its tasks at once, or of a pre-training that was tested; ()
    of another."""
    run = runs.load(folder)
    if "scored" not in run.data:
        return ()
    path = run.path / "counts.npz"
    try:
        with path.open("rb") as opened, np.load(opened) as file:  # numpy leaves a torn one open
            return tuple(
                RunScores(
                    each["task"],
                    each["task"],
                    each.get("regime", "frozen"),
                    each["model"],
                    get(each["metric"]["name"], **each["metric"]["options"]),
                    tuple(run.seeds),
                    file["/".join(each[key] for key in ("task", "regime", "model") if key in each)].astype(float),
                    run,
                )
                for each in run.scored
            )
    except DAMAGE as error:
        raise KAdapterError(f"{path} is missing or damaged ({error}): remove the folder, run its stage again") from None
