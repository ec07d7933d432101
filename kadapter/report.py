"""The paper's Tables 2 to 4 for the finished runs of a preset, with the statistics that the paper lacks and the rows
that the paper prints. Values are fractions in data and CSV, percent where people read (terminal, LaTeX, HTML).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from kadapter import rendering, runs, statistics
from kadapter.errors import KAdapterError, unknown
from kadapter.metrics import Metric, get
from kadapter.rendering import by_model, latex
from kadapter.rendering import pretty as pretty

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

REGIMES = ("frozen", "paper", "full")  # in this order in every table


@dataclass(frozen=True)
class Scored:
    """A finished fine-tuning run: which row it is, and what each test example counts, (seeds, n, k)."""

    task: str
    dataset: str
    regime: str
    model: str
    metric: Metric
    seeds: tuple[int, ...]
    counts: np.ndarray
    run: runs.Result

    @property
    def values(self) -> np.ndarray:
        """The headline value of every seed, (seeds,)."""
        return self.metric.reduce(self.counts.sum(axis=1))[self.metric.primary]


def scored(root: str | Path, preset: str) -> list[Scored]:
    """The finished fine-tuning runs of a preset, by task, regime and model. [] if there are none.

    Raises KAdapterError for a run whose files do not say what the report needs.
    """
    found = [_read(run) for run in runs.find(root, preset) if run.path.parent.name == "finetune"]
    return sorted(found, key=lambda run: (run.task, REGIMES.index(run.regime), by_model(run.model)))


def rows(root: str | Path, preset: str) -> list[dict[str, Any]]:
    """One row for each task, model and regime: task, model, regime, metric, mean, std, ci_low, ci_high, seeds, n.

    Mean, spread and interval (`statistics.interval`) of the headline value, whose key `metric` is, as fractions;
    `seeds` is their number.
    """
    return [_row(run) for run in scored(root, preset)]


def comparisons(root: str | Path, preset: str) -> pd.DataFrame:
    """Every model against `backbone`, and `F` against `none`, on the same task and regime (`statistics.compare`).

    Columns: task, regime, metric, model, against, difference, ci_low, ci_high, p, p_holm, seeds, n. `p_holm` is
    corrected (Holm) for all comparisons of this table. Where two models have not the same seeds, those of both count.
    """
    return _comparisons(scored(root, preset))


def table(root: str | Path, preset: str) -> pd.DataFrame:
    """The rows of `rows` with their difference to `backbone`: difference, difference_low, difference_high, p_holm.

    The order is fixed: by task, regime, and model as in `rendering.ORDER`. `metric` is the name for people ("micro
    F1"). Fractions; NaN where there is no comparison.
    """
    found = scored(root, preset)
    return _table(found, _comparisons(found))


def seed_scores(root: str | Path, preset: str) -> pd.DataFrame:
    """The headline value of every seed: task, regime, model, seed, score (a fraction)."""
    return _seed_scores(scored(root, preset))


def styled(root: str | Path, preset: str) -> "Styler":
    """What `table` returns as a notebook shows it, in percent."""
    return rendering.styled(table(root, preset))


def nothing(root: str | Path, preset: str) -> KAdapterError:
    """The error to raise where a preset has no finished fine-tuning run."""
    where = runs.resolve(root)
    return KAdapterError(f"preset '{preset}' has no finished fine-tuning run under {where}: `kadapter run {preset}`")


def published(dataset: str) -> pd.DataFrame:
    """What the paper prints for a dataset: table, dataset, model, ours, metric, value, note.

    `value` is in percent, `ours` the model row that it stands beside ("" for none). Raises KAdapterError for a dataset
    that the paper does not report.
    """
    if dataset not in _published():
        raise unknown("published dataset", dataset, _published())
    entry = _published()[dataset]
    return pd.DataFrame(
        [
            {
                "table": entry["table"],
                "dataset": dataset,
                "model": row["model"],
                "ours": row.get("ours", ""),
                "metric": metric,
                "value": value,
                "note": entry.get("note", ""),
            }
            for row in entry["rows"]
            for metric, value in zip(entry["metrics"], row["scores"], strict=True)
            if value is not None
        ]
    )


def beside_published(root: str | Path, preset: str) -> pd.DataFrame:
    """The published rows beside ours, where a dataset (or a task on real data) has the name of one of the paper's.

    Columns: table, dataset, regime, metric, model, published, ours, ci_low, ci_high, difference, inside. Values are in
    percent; `difference` is ours less published, `inside` whether the published number lies in our interval.
    """
    return _beside_published(scored(root, preset))


def export(root: str | Path, preset: str, folder: str | Path) -> dict[str, Path]:
    """Write the tables of a preset into `folder`: scores, comparisons and published as CSV (fractions; published in
    percent) and scores as LaTeX. Returns name -> path."""
    found = scored(root, preset)
    compared = _comparisons(found)
    frame = _table(found, compared)
    texts = {
        "scores.csv": frame.to_csv(index=False),
        "scores.tex": latex(frame),
        "comparisons.csv": compared.to_csv(index=False),
        "published.csv": _beside_published(found).to_csv(index=False),
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {name: folder / name for name in texts}


def write_html(root: str | Path, preset: str, path: str | Path) -> Path:
    """Write the whole report of a preset as one HTML file that needs no network; returns its path.

    Raises KAdapterError when the preset has no finished fine-tuning run.
    """
    from kadapter.page import page  # plotly is slow to import, and only this needs it

    found = scored(root, preset)
    if not found:
        raise nothing(root, preset)
    compared = _comparisons(found)
    beside = _beside_published(found)
    text = page(
        preset,
        _table(found, compared),
        compared,
        _seed_scores(found),
        beside,
        {name: published(name) for name in _published()},
        runs.find(root, preset),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _read(run: runs.Result) -> Scored:
    needed = ("task", "regime", "model", "metric", "seeds")
    missing = [key for key in needed if key not in run.data]
    if missing:
        raise KAdapterError(f"{run.path / runs.RESULT} has no {missing[0]!r}: expected {', '.join(needed)}")
    path = run.path / "counts.npz"
    try:
        with np.load(path) as file:
            counts = file["counts"].astype(float)
    except (OSError, ValueError, KeyError) as error:
        raise KAdapterError(f"{path} is missing or damaged ({error}): remove the folder, run its stage again") from None
    if run.regime not in REGIMES:
        raise unknown(f"regime in {run.id}", run.regime, REGIMES)
    seeds = tuple(run.seeds)
    if counts.ndim != 3 or len(counts) != len(seeds):
        raise KAdapterError(
            f"{path} has counts of shape {counts.shape}; expected (seeds, n, k) with the {len(seeds)} seeds of the run"
        )
    metric = get(run.metric["name"], **run.metric.get("options", {}))
    return Scored(run.task, run.data.get("dataset", ""), run.regime, run.model, metric, seeds, counts, run)


def _row(run: Scored) -> dict[str, Any]:
    named = {"task": run.task, "model": run.model, "regime": run.regime, "metric": run.metric.primary}
    return named | statistics.interval(run.counts, run.metric)


def _comparisons(found: Iterable[Scored]) -> pd.DataFrame:
    columns = "task regime metric model against difference ci_low ci_high p p_holm seeds n".split()
    by_row = {(run.task, run.regime, run.model): run for run in found}
    pairs = [
        (run, by_row[task, regime, other])
        for (task, regime, model), run in by_row.items()
        for other in ("backbone", "none")
        if (task, regime, other) in by_row and model != other and (other == "backbone" or model == "F")
    ]
    compared = pd.DataFrame([_compare(run, other) for run, other in pairs], columns=columns)
    compared["p_holm"] = statistics.holm(compared["p"].tolist())
    return compared


def _compare(run: Scored, other: Scored) -> dict[str, Any]:
    common = [seed for seed in run.seeds if seed in other.seeds]
    if not common or run.counts.shape[1:] != other.counts.shape[1:]:
        raise KAdapterError(
            f"{run.run.id} and {other.run.id} cannot be compared: seeds {run.seeds} and {other.seeds}, examples "
            f"{run.counts.shape[1]} and {other.counts.shape[1]}; expected a common seed and the same test examples"
        )
    a, b = (which.counts[[which.seeds.index(seed) for seed in common]] for which in (run, other))
    named = {"task": run.task, "regime": run.regime, "metric": run.metric.title, "model": run.model}
    result = statistics.compare(a, b, run.metric)
    return named | {"against": other.model} | result | {"seeds": len(common), "n": a.shape[1]}


def _table(found: list[Scored], compared: pd.DataFrame) -> pd.DataFrame:
    columns = "task regime metric model mean std ci_low ci_high seeds n".split()
    frame = pd.DataFrame([_row(run) | {"metric": run.metric.title} for run in found], columns=columns)
    against = compared[compared["against"] == "backbone"].rename(
        columns={"ci_low": "difference_low", "ci_high": "difference_high"}
    )
    added = ["difference", "difference_low", "difference_high", "p_holm"]
    return frame.merge(against[["task", "regime", "model", *added]], on=["task", "regime", "model"], how="left")


def _seed_scores(found: Iterable[Scored]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"task": run.task, "regime": run.regime, "model": run.model, "seed": seed, "score": float(value)}
            for run in found
            for seed, value in zip(run.seeds, run.values, strict=True)
        ],
        columns=["task", "regime", "model", "seed", "score"],
    )


def _beside_published(found: Iterable[Scored]) -> pd.DataFrame:
    columns = "table dataset regime metric model published ours ci_low ci_high difference inside".split()
    lines = []
    for run in found:
        real_task = run.task if not run.dataset.startswith("world") else ""  # fiction has no published numbers
        name = next((name for name in (run.dataset, real_task) if name in _published()), None)
        if name is None:
            continue
        keys = run.metric.reduce(run.counts.sum(axis=1))
        ours = {key: statistics.interval(run.counts, run.metric, key) for key in keys}
        for row in published(name).to_dict("records"):
            if row["ours"] != run.model or row["metric"] not in ours:
                continue
            mean, low, high = (100 * ours[row["metric"]][key] for key in ("mean", "ci_low", "ci_high"))
            values = [row["value"], mean, low, high, mean - row["value"], low <= row["value"] <= high]
            named = [row["table"], name, run.regime, row["metric"], run.model]
            lines.append(dict(zip(columns, named + values, strict=True)))
    datasets = list(_published())
    metrics = {name: entry["metrics"].index for name, entry in _published().items()}
    lines.sort(  # by model last, as they are
        key=lambda line: (
            datasets.index(line["dataset"]),
            REGIMES.index(line["regime"]),
            metrics[line["dataset"]](line["metric"]),
        )
    )
    return pd.DataFrame(lines, columns=columns)


@cache
def _published() -> dict[str, Any]:
    return yaml.safe_load(files("kadapter").joinpath("published.yaml").read_text(encoding="utf-8"))
