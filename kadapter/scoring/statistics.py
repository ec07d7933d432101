"""What a score is worth: bootstrap intervals, paired tests, correction for many comparisons, scores of slices.

The paper's Tables 2 to 4 are single numbers; these say how far pre-trainings, fine-tuning seeds and test examples
could have moved them.
Everything works on counts per example (`kadapter.scoring.metrics`), all resamples at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from kadapter.errors import KAdapterError
from kadapter.scoring import bootstrap
from kadapter.scoring.metric import Metric

_INTERVAL = ("mean", "std", "ci_low", "ci_high", "seeds", "n")
_DIFFERENCE = ("difference", "difference_low", "difference_high")


def interval(
    counts: Float[np.ndarray, "seeds n k"],
    metric: Metric,
    key: str | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    pretrainings: Sequence[int] | None = None,
) -> dict[str, float | int]:
    """Mean over seeds of one value of `metric` (default: its primary), with spread and bootstrap interval.

    The interval covers test examples, fine-tuning seeds and, where `pretrainings` names the pre-training that each
    fine-tuning stands on, pre-training seeds (`kadapter.scoring.bootstrap`). With one seed it covers examples alone. In
    simulation a nominal 95% is 93 to 97% with three units or more, whichever of the three varies most.

    Returns mean, std (over seeds, n - 1 in the denominator, 0.0 for one seed), ci_low, ci_high, seeds, n; values are
    fractions. Raises KAdapterError when there is nothing to score.
    """
    values, drawn = bootstrap.resampled(counts, metric, key, resamples, seed)
    return _summary(values, bootstrap.grouped(values, drawn, pretrainings), counts.shape[1], confidence, seed, metric)


def compare(
    counts_a: Float[np.ndarray, "seeds n k"],
    counts_b: Float[np.ndarray, "seeds_b n_b k_b"],
    metric: Metric,
    confidence: float = 0.95,
    resamples: int = 2000,
    rounds: int = 10000,
    seed: int = 0,
    pretrainings_a: Sequence[int] | None = None,
    pretrainings_b: Sequence[int] | None = None,
) -> dict[str, float]:
    """Score of a less score of b on the same examples: interval and paired test.

    The interval is that of `interval`, with the same resampled examples for a and b and seeds drawn for each by
    itself (a seed of one model has nothing in common with the same number in another).

    p is two-sided and asks for both: would other seeds and examples have said the same, and do these trained models
    differ on such examples? It is the larger of two: the share of the interval's own draws that lie as far from their
    centre as the difference is from zero, and `p_examples`, by approximate randomisation (Noreen, 1989): in each of R
    `rounds` every example's outputs, of all seeds, are swapped between a and b by the toss of a coin; with r rounds
    whose difference is at least the observed one in size, p = (r + 1) / (R + 1), so never below 1 / (R + 1): the
    default leaves room for correcting a hundred comparisons.

    Returns difference, ci_low, ci_high, p, p_examples. Raises KAdapterError when the two have not the same seeds, n
    and k.
    """
    if counts_a.shape != counts_b.shape:
        raise KAdapterError(
            f"a paired comparison needs the same seeds and examples: found counts (seeds, n, k) of shape "
            f"{counts_a.shape} and {counts_b.shape}"
        )
    a = bootstrap.units(counts_a, metric, None, resamples, seed, pretrainings_a)
    b = bootstrap.units(counts_b, metric, None, resamples, seed, pretrainings_b)  # same seed: the same examples
    rng = np.random.default_rng([seed, 2])
    difference = float(a.values.mean() - b.values.mean())
    moved = bootstrap.deviations(a, b, rng=rng)
    low, high = _percentiles(difference + moved, confidence)
    p_examples = _randomisation_p(counts_a, counts_b, metric, abs(difference), rounds, rng)
    p_draws = (float((np.abs(moved) >= abs(difference) - 1e-12).sum()) + 1) / (len(moved) + 1)
    found = {"difference": difference, "ci_low": low, "ci_high": high}
    return found | {"p": max(p_draws, p_examples), "p_examples": p_examples}


def components(
    counts: Float[np.ndarray, "seeds n k"],
    metric: Metric,
    resamples: int = 2000,
    seed: int = 0,
    pretrainings: Sequence[int] | None = None,
) -> dict[str, float]:
    """How far a row's headline value moves with each of what it hangs on, as standard deviations: `examples` (another
    test set of this size), `finetuning` (another seed of it, on the same pre-training), `pretraining`.

    With one fine-tuning for each pre-training the two cannot be told apart: `pretraining` is both together and
    `finetuning` NaN. NaN, too, for what was not varied.
    """
    values, drawn = bootstrap.resampled(counts, metric, None, resamples, seed)
    units = bootstrap.grouped(values, drawn, pretrainings)
    found = {"examples": float(np.sqrt(bootstrap.shared(units))), "finetuning": np.nan, "pretraining": np.nan}
    names = sorted(set(pretrainings or ()))
    if len(names) < 2:
        return found | ({"finetuning": float(values.std(ddof=1))} if len(values) > 1 else {})
    groups = [values[np.asarray(pretrainings) == name] for name in names]
    between = float(units.values.var(ddof=1))
    if len(values) == len(groups):
        return found | {"pretraining": float(np.sqrt(between))}
    within = sum(float(((g - g.mean()) ** 2).sum()) for g in groups) / (len(values) - len(groups))
    alone = between - within * float(np.mean([1 / len(g) for g in groups]))
    return found | {"finetuning": float(np.sqrt(within)), "pretraining": float(np.sqrt(max(0.0, alone)))}


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p values, in the order given: the chance of any false alarm among all m stays bounded.

    The i-th smallest (from 1) becomes the largest of (m - j + 1) p_j over j <= i, at most 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted.tolist()


def slices(
    counts: Mapping[str, Float[np.ndarray, "_ _ _"]],
    metric: Metric,
    masks: Mapping[Any, Bool[np.ndarray, " marks"]],
    against: str = "backbone",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    pretrainings: Mapping[str, Sequence[int]] | None = None,
) -> pd.DataFrame:
    """Scores of parts of the examples, for several models at once: a row for each mask (n,) and model.

    Columns: slice (the key of the mask), model, what `interval` returns, and the difference to the model `against` with
    its paired interval: difference, difference_low, difference_high (NaN for that model itself, and without it). The
    mean is what the model scores on the part alone; many parts are looked at, and nothing is corrected for that.

    A part without examples has n 0 and no values (NaN). Slices may overlap; they need not cover everything.
    Raises KAdapterError for a mask of another length, and for models that differ in n or k.
    """
    shapes = {array.shape[1:] for array in counts.values()}
    if len(shapes) > 1:
        raise KAdapterError(f"slices need the same examples for every model: found counts (n, k) of {sorted(shapes)}")
    rows = []
    for name, mask in masks.items():
        mask = np.asarray(mask, bool)
        if mask.shape != next(iter(shapes))[:1]:
            raise KAdapterError(f"slice {name!r} has {mask.size} marks for {next(iter(shapes))[0]} examples")
        if mask.any():
            inside = {model: array[:, mask] for model, array in counts.items()}
            part = _slice(inside, metric, against, confidence, resamples, seed, pretrainings or {})
        else:
            part = [{"model": model, "seeds": len(array), "n": 0} for model, array in counts.items()]
        rows += [{"slice": name, **row} for row in part]
    return pd.DataFrame(rows, columns=["slice", "model", *_INTERVAL, *_DIFFERENCE])


def _slice(
    counts: Mapping[str, Float[np.ndarray, "_ _ _"]],
    metric: Metric,
    against: str,
    confidence: float,
    resamples: int,
    seed: int,
    pretrainings: Mapping[str, Sequence[int]],
) -> list[dict[str, Any]]:
    """A row for each model on these examples; the same draws of examples serve all models and their differences."""
    ends = np.cumsum([len(array) for array in counts.values()])[:-1]
    of_all, drawn = bootstrap.resampled(np.concatenate(list(counts.values())), metric, None, resamples, seed)
    values = dict(zip(counts, np.split(of_all, ends), strict=True))
    resampled = dict(zip(counts, np.split(drawn, ends, axis=1), strict=True))
    units = {model: bootstrap.grouped(values[model], resampled[model], pretrainings.get(model)) for model in counts}
    rows = []
    for model, array in counts.items():
        row = {"model": model, **_summary(values[model], units[model], array.shape[1], confidence, seed, metric)}
        if against in counts and model != against:
            moved = bootstrap.deviations(units[model], units[against], rng=np.random.default_rng([seed, 2]))
            row["difference"] = float(units[model].values.mean() - units[against].values.mean())
            row["difference_low"], row["difference_high"] = _percentiles(row["difference"] + moved, confidence)
        rows.append(row)
    return rows


def _summary(
    values: Float[np.ndarray, " seeds"],
    units: bootstrap.Units,
    n: int,
    confidence: float,
    seed: int,
    metric: Metric,
) -> dict[str, float | int]:
    mean = float(units.values.mean())
    moved = bootstrap.deviations(units, rng=np.random.default_rng([seed, 1]))
    low, high = _percentiles(mean + moved, confidence)
    return {
        "mean": mean,
        "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "ci_low": max(low, 0.0),
        "ci_high": min(high, 1.0) if metric.share else high,
        "seeds": len(values),
        "n": n,
    }


def _percentiles(values: Float[np.ndarray, " draws"], confidence: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _randomisation_p(
    counts_a: Float[np.ndarray, "seeds n k"],
    counts_b: Float[np.ndarray, "seeds n k"],
    metric: Metric,
    observed: float,
    rounds: int,
    rng: np.random.Generator,
) -> float:
    differ = (counts_a != counts_b).any(axis=(0, 2))  # swapping the others changes nothing
    change = (counts_b - counts_a)[:, differ]
    seeds, n, k = change.shape
    flat = change.transpose(1, 0, 2).reshape(n, seeds * k)
    total_a, total_b = counts_a.sum(axis=1), counts_b.sum(axis=1)
    as_large = 0
    for size in bootstrap.chunks(rounds, n):
        swapped = rng.integers(2, size=(size, n), dtype=np.int8).astype(float)
        moved = (swapped @ flat).reshape(size, seeds, k)
        a, b = bootstrap.value(total_a + moved, metric), bootstrap.value(total_b - moved, metric)
        as_large += int((np.abs(a.mean(axis=1) - b.mean(axis=1)) >= observed - 1e-12).sum())
    return (as_large + 1) / (rounds + 1)
