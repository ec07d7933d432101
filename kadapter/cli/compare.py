"""`kadapter compare`: two fine-tuning runs, what they were made with and whether their scores differ."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from kadapter.errors import KAdapterError

Folder = Annotated[Path, typer.Argument(help="A run's folder, as runs/embedded/finetune/typing-frozen-F.")]


def compare(run: Folder, other: Folder) -> None:
    """Compare two fine-tuning runs: parameters that differ, scores, and a paired test on the same test examples."""
    from kadapter.report.scores import of_run, of_seeds
    from kadapter.scoring.statistics import compare as paired
    from kadapter.scoring.statistics import interval

    ours, theirs = of_run(run), of_run(other)
    typer.echo(f"A  {ours.run.path}\nB  {theirs.run.path}\n")
    for key, (a, b) in differing(ours.run.parameters, theirs.run.parameters).items():
        typer.echo(f"{key}: {a!r} in A, {b!r} in B")
    if ours.metric != theirs.metric:
        raise KAdapterError(f"A is scored by {ours.metric.title}, B by {theirs.metric.title}: expected one metric")
    for name, each in (("A", ours), ("B", theirs)):
        found = interval(each.counts, each.metric, pretrainings=each.pretrainings)
        span = f"{100 * found['ci_low']:.1f} .. {100 * found['ci_high']:.1f}"
        typer.echo(
            f"{name}  {each.metric.title} {100 * found['mean']:.1f}, 95% interval {span}, {len(each.seeds)} seeds, "
            f"{found['n']:,} test examples"
        )
    common = [seed for seed in ours.seeds if seed in theirs.seeds]
    hashes = {each.run.data.get("data_hash") for each in (ours, theirs)}
    if not common or len(hashes) > 1 or ours.counts.shape[1:] != theirs.counts.shape[1:]:
        typer.echo("no paired test: it needs a common seed and the same data")
        return
    (a, of_a), (b, of_b) = (of_seeds(each, common) for each in (ours, theirs))
    test = paired(a, b, ours.metric, pretrainings_a=of_a, pretrainings_b=of_b)
    typer.echo(
        f"A less B: {100 * test['difference']:+.1f}, 95% interval {100 * test['ci_low']:+.1f} .. "
        f"{100 * test['ci_high']:+.1f}, p = {test['p']:.4f} (paired, {len(common)} seeds)"
    )


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The parameters of two runs that are not the same, by their dotted names; None where one lacks it.

    >>> differing({"model": "F", "training": {"epochs": 2}}, {"model": "L", "training": {"epochs": 2}})
    {'model': ('F', 'L')}
    """
    a, b = _flat(one), _flat(other)
    return {key: (a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)}


def _flat(values: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{at}{key}.") if isinstance(value, Mapping) else {f"{at}{key}": value}
    return found
