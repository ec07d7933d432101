"""The paper's Tables 2 to 4 for the finished runs of a preset, with what the paper lacks: intervals and tests, the rows
that it prints beside ours, and scores of parts of each test set and of each label. Values are fractions in data and
CSV, percent where people read (terminal, LaTeX, HTML).
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kadapter import runs
from kadapter.catalog import REGIMES
from kadapter.errors import KAdapterError
from kadapter.report import continual, facts, labels, published, rendering
from kadapter.report.rendering import latex
from kadapter.report.rendering import pretty as pretty
from kadapter.report.scores import RunScores, of_seeds, run_scores
from kadapter.scoring import slices, statistics

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

KEPT = 8  # presets whose tables are kept: a notebook asks for them several times, and they take seconds


def rows(root: str | Path, preset: str) -> list[dict[str, Any]]:
    """One row for each task, model and regime: task, model, regime, metric, mean, std, ci_low, ci_high, seeds, n,
    trained_parameters (None for a run of a former version, and in a probe).

    Mean, spread and interval (`statistics.interval`) of the headline value, whose key `metric` is, as fractions;
    `seeds` is their number. After them what is kept of kinds of knowledge learned one after another
    (`continual.rows`).
    """
    found = continual.measured(root, preset)
    taught = [] if found is None else continual.rows(found)
    return [*(dict(_row(run)) for run in run_scores(root, preset)), *taught]


def comparisons(root: str | Path, preset: str) -> pd.DataFrame:
    """Every model against `backbone`, and every adapter alone against `none` and `shuffled`, on the same task and
    regime (`statistics.compare`).

    Columns: task, regime, metric, model, against, difference, ci_low, ci_high, p, p_holm, seeds, n. `p_holm` is
    corrected (Holm) for all comparisons of this table. Where two models have not the same seeds, those of both count.
    """
    return _comparisons(run_scores(root, preset)).copy()


def table(root: str | Path, preset: str) -> pd.DataFrame:
    """The rows of `rows` with their difference to `backbone`: difference, difference_low, difference_high, p_holm.

    The order is fixed: by task, regime, and model as in `rendering.ORDER`. `metric` is the name for people ("micro
    F1"). Fractions; NaN where there is no comparison.
    """
    found = run_scores(root, preset)
    return _table(found, _comparisons(found))


def seed_scores(root: str | Path, preset: str) -> pd.DataFrame:
    """The headline value of every seed: task, regime, model, seed, score (a fraction)."""
    return _seed_scores(run_scores(root, preset))


def styled(root: str | Path, preset: str) -> "Styler":
    """What `table` returns as a notebook shows it, in percent."""
    return rendering.styled(table(root, preset))


def nothing(root: str | Path, preset: str) -> KAdapterError:
    """The error to raise where a preset has no finished fine-tuning run."""
    where = runs.resolve(root)
    return KAdapterError(f"preset '{preset}' has no finished fine-tuning run under {where}: `kadapter run {preset}`")


def beside_published(root: str | Path, preset: str) -> pd.DataFrame:
    """The published rows beside ours, where a dataset (or a task on real data) has the name of one of the paper's.

    Columns: table, dataset, regime, metric, model, published, ours, ci_low, ci_high, difference, inside. Values are in
    percent; `difference` is ours less published, `inside` whether the published number lies in our interval.
    """
    return _beside_published(run_scores(root, preset))


def published_rows(root: str | Path, preset: str) -> pd.DataFrame:
    """What the paper prints for the tasks of a preset: its own datasets, and those that the embedded world imitates.

    Columns: task, comparable, table, dataset, model, ours, metric, value, note. `value` is in percent, `ours` the model
    row that it stands beside ("" for none); `comparable` is False beside a fictional world, whose numbers say nothing
    about the published ones.
    """
    return _published_rows(run_scores(root, preset))


def by_slice(root: str | Path, preset: str) -> pd.DataFrame:
    """Every model's headline value on parts of the test set (`kadapter.scoring.slices`), and its difference to
    `backbone` there.

    Columns: task, regime, metric, kind, slice, model, mean, std, ci_low, ci_high, seeds, n, difference, difference_low,
    difference_high. Fractions; NaN where there is no backbone. Runs that left no slices are not in it.
    """
    return _slices(run_scores(root, preset)).copy()


def components(root: str | Path, preset: str) -> pd.DataFrame:
    """How far every row's score moves with what it hangs on, as standard deviations (`statistics.components`).

    Columns: task, regime, metric, model, examples, finetuning, pretraining, pretrainings (how many there are). Where
    each pre-training has one fine-tuning, `pretraining` is both together and `finetuning` NaN. Fractions.
    """
    return _components(run_scores(root, preset))


def by_label(root: str | Path, preset: str) -> pd.DataFrame:
    """Every model's precision, recall and F1 of each label (`labels`), and its F1 less that of `backbone`.

    Columns: task, regime, label, n, model, precision, recall, f1, std, difference. Fractions. Tasks without labels are
    not in it.
    """
    return _labels(run_scores(root, preset)).copy()


def export(root: str | Path, preset: str, folder: str | Path) -> dict[str, Path]:
    """Write the tables of a preset into `folder`: scores, comparisons, components, slices, labels and published as CSV
    (fractions; published in percent), scores as LaTeX, and Tables 5 and 6 as both where facts were asked for. Returns
    name -> path.
    """
    found = run_scores(root, preset)
    compared = _comparisons(found)
    frame = _table(found, compared)
    texts = {
        "scores.csv": frame.to_csv(index=False),
        "scores.tex": latex(frame),
        "comparisons.csv": compared.to_csv(index=False),
        "slices.csv": _slices(found).to_csv(index=False),
        "components.csv": _components(found).to_csv(index=False),
        "labels.csv": _labels(found).to_csv(index=False),
        "published.csv": _beside_published(found).to_csv(index=False),
    } | facts.export(facts.of_runs(runs.find(root, preset)))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {name: folder / name for name in texts}


def write_html(root: str | Path, preset: str, path: str | Path) -> Path:
    """Write the whole report of a preset as one HTML file that needs no network; returns its path.

    Raises KAdapterError when the preset has no finished fine-tuning run.
    """
    from kadapter.report import explain
    from kadapter.report.examples import examples
    from kadapter.report.page import page  # plotly is slow to import, and only this needs it

    found = run_scores(root, preset)
    if not found:
        raise nothing(root, preset)
    compared = _comparisons(found)
    path = Path(path)
    everything = runs.find(root, preset)
    text = page(
        preset,
        table=_table(found, compared),
        comparisons=compared,
        seed_scores=_seed_scores(found),
        components=_components(found),
        by_slice=_slices(found),
        by_label=_labels(found),
        changed=examples(found),
        beside_published=_beside_published(found),
        published_rows=_published_rows(found),
        probed=facts.of_runs(everything),
        found=everything,
        taught=continual.measured(root, preset),
        graph=runs.read_json(runs.resolve(root) / preset / runs.GRAPH) or {},
        notebooks=explain.notebooks(everything, preset, path),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@lru_cache(1000)
def _row(run: RunScores) -> dict[str, Any]:
    named = {"task": run.task, "model": run.model, "regime": run.regime, "metric": run.metric.primary}
    found = statistics.interval(run.counts, run.metric, pretrainings=run.pretrainings)
    return named | found | {"trained_parameters": run.trained_parameters}


@lru_cache(KEPT)
def _comparisons(found: tuple[RunScores, ...]) -> pd.DataFrame:
    columns = "task regime metric model against difference ci_low ci_high p p_holm seeds n".split()
    by_row = {(run.task, run.regime, run.model): run for run in found}
    pairs = [
        (run, by_row[task, regime, other])
        for (task, regime, model), run in by_row.items()
        for other in ("backbone", "none", "shuffled")
        if (task, regime, other) in by_row
        and model not in (other, "majority")
        and (other == "backbone" or (model not in rendering.PLAIN and "+" not in model))
    ]
    compared = pd.DataFrame([_compare(run, other) for run, other in pairs], columns=columns)
    compared["p_holm"] = statistics.holm(compared["p"].tolist())
    return compared


def _compare(run: RunScores, other: RunScores) -> dict[str, Any]:
    common = [seed for seed in run.seeds if seed in other.seeds]
    if not common or run.counts.shape[1:] != other.counts.shape[1:]:
        raise KAdapterError(
            f"{run.run.id} and {other.run.id} cannot be compared: seeds {run.seeds} and {other.seeds}, examples "
            f"{run.counts.shape[1]} and {other.counts.shape[1]}; expected a common seed and the same test examples"
        )
    (a, of_a), (b, of_b) = (of_seeds(which, common) for which in (run, other))
    named = {"task": run.task, "regime": run.regime, "metric": run.metric.title, "model": run.model}
    result = statistics.compare(a, b, run.metric, pretrainings_a=of_a, pretrainings_b=of_b)
    return named | {"against": other.model} | result | {"seeds": len(common), "n": a.shape[1]}


@lru_cache(KEPT)
def _components(found: tuple[RunScores, ...]) -> pd.DataFrame:
    columns = "task regime metric model examples finetuning pretraining pretrainings".split()
    lines = []
    for run in found:
        named = {"task": run.task, "regime": run.regime, "metric": run.metric.title, "model": run.model}
        parts = statistics.components(run.counts, run.metric, pretrainings=run.pretrainings)
        lines.append(named | parts | {"pretrainings": len(set(run.pretrainings or ()))})
    return pd.DataFrame(lines, columns=columns)


def _table(found: Iterable[RunScores], compared: pd.DataFrame) -> pd.DataFrame:
    columns = "task regime metric model mean std ci_low ci_high seeds n trained_parameters".split()
    frame = pd.DataFrame([_row(run) | {"metric": run.metric.title} for run in found], columns=columns)
    frame["trained_parameters"] = frame["trained_parameters"].astype("Int64")
    against = compared[compared["against"] == "backbone"].rename(
        columns={"ci_low": "difference_low", "ci_high": "difference_high"}
    )
    added = ["difference", "difference_low", "difference_high", "p_holm"]
    return frame.merge(against[["task", "regime", "model", *added]], on=["task", "regime", "model"], how="left")


def _seed_scores(found: Iterable[RunScores]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"task": run.task, "regime": run.regime, "model": run.model, "seed": seed, "score": float(value)}
            for run in found
            for seed, value in zip(run.seeds, run.values, strict=True)
        ],
        columns=["task", "regime", "model", "seed", "score"],
    )


def _beside_published(found: Iterable[RunScores]) -> pd.DataFrame:
    lines: list[dict[str, Any]] = []
    for run in found:
        name = published.name_of(run.dataset, run.task)
        if name is not None:
            keys = run.metric.reduce(run.counts.sum(axis=1))
            ours = {
                key: statistics.interval(run.counts, run.metric, key, pretrainings=run.pretrainings) for key in keys
            }
            lines += published.beside(name, run.model, run.regime, ours)
    datasets = list(published.datasets())
    metrics = {name: entry["metrics"].index for name, entry in published.datasets().items()}
    lines.sort(  # by model last, as they are
        key=lambda line: (
            datasets.index(line["dataset"]),
            REGIMES.index(line["regime"]),
            metrics[line["dataset"]](line["metric"]),
        )
    )
    return pd.DataFrame(lines, columns=published.COLUMNS)


def _published_rows(found: Iterable[RunScores]) -> pd.DataFrame:
    own: dict[tuple[str, str], bool] = {}
    for run in found:
        real = published.name_of(run.dataset, run.task)
        name = real or published.imitated(run.dataset)
        if name is not None:
            own[run.task, name] = real is not None
    parts = [published.rows(name).assign(task=task, comparable=comparable) for (task, name), comparable in own.items()]
    columns = "task comparable table dataset model ours metric value note".split()
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


@lru_cache(KEPT)
def _slices(found: tuple[RunScores, ...]) -> pd.DataFrame:
    columns = "task regime metric kind slice model mean std ci_low ci_high seeds n".split()
    parts = []
    for runs_of in _groups(found):
        marked = [
            (run, frame) for run in runs_of if (frame := slices.read(run.run.path, run.counts.shape[1])) is not None
        ]
        if not marked:
            continue
        first, marks = marked[0]
        other = next((run for run, frame in marked if not frame.equals(marks)), None)
        if other is not None:
            raise KAdapterError(
                f"{other.run.id} and {first.run.id} have not the same slices: expected the same data for both"
            )
        counts = {run.model: run.counts for run, _ in marked}
        of = {run.model: run.pretrainings for run, _ in marked if run.pretrainings is not None}
        part = statistics.slices(counts, first.metric, slices.masks(marks), pretrainings=of)
        kind, name = zip(*part["slice"], strict=True)
        named = {"task": first.task, "regime": first.regime, "metric": first.metric.title, "kind": kind}
        parts.append(part.assign(**named, slice=name))
    added = ["difference", "difference_low", "difference_high"]
    return (
        pd.concat(parts)[[*columns, *added]].reset_index(drop=True)
        if parts
        else pd.DataFrame(columns=[*columns, *added])
    )


@lru_cache(KEPT)
def _labels(found: tuple[RunScores, ...]) -> pd.DataFrame:
    columns = ["task", "regime", "label", "n", "model", "precision", "recall", "f1", "std", "difference"]
    parts = []
    for runs_of in _groups(found):
        scores = {run.model: frame for run in runs_of if (frame := labels.scores(run.run.path)) is not None}
        for model, frame in scores.items():
            frame = frame.assign(task=runs_of[0].task, regime=runs_of[0].regime, model=model, difference=np.nan)
            if model != "backbone" and "backbone" in scores:
                against = scores["backbone"].set_index("label")["f1"].reindex(frame["label"], fill_value=0.0)
                frame["difference"] = frame["f1"].to_numpy() - against.to_numpy()  # absent: no example, never predicted
            parts.append(frame[columns])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _groups(found: Iterable[RunScores]) -> Iterable[list[RunScores]]:
    """The runs of one task and regime together, in the order of `found`."""
    return [list(runs_of) for _, runs_of in groupby(found, key=lambda run: (run.task, run.regime))]
