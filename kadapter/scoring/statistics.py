"""What a score is worth: bootstrap intervals, paired tests, correction for many comparisons, scores of slices.

The paper's Tables 2 to 4 are single numbers; these say how far seeds and test examples could have moved them.
Everything works on counts per example (`kadapter.scoring.metrics`), all resamples at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from kadapter.errors import KAdapterError
from kadapter.scoring.metric import Metric

WEIGHTS_AT_ONCE = 2**22  # 32 MiB of float64 weights: bounds the memory, whatever the number of examples
_INTERVAL = ("mean", "std", "ci_low", "ci_high", "seeds", "n")
_DIFFERENCE = ("difference", "difference_low", "difference_high")


def interval(
    counts: Float[np.ndarray, "seeds n k"],
    metric: Metric,
    key: str | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, float | int]:
    """Mean over seeds of one value of `metric` (default: its primary), with spread and percentile bootstrap interval.

    Each resample draws n examples with replacement, the same for every seed, and as many seeds as there are, with
    replacement. A seed's deviation from the mean of all is scaled by sqrt(seeds / (seeds - 1)) (Rao and Wu, 1988),
    for otherwise few seeds understate their own variance (three of them by a third). So the interval covers both
    the choice of test examples and the random seed; resampling both ways at once errs to the wide side (Owen, 2007).
    With one seed it covers examples alone. Where seeds are most of the variance, a nominal 95% is in simulation about
    82% with three seeds, 88% with five and 91% with ten: more seeds mend that, not more resamples.

    Returns mean, std (over seeds, n - 1 in the denominator, 0.0 for one seed), ci_low, ci_high, seeds, n; values are
    fractions. Raises KAdapterError when there is nothing to score.
    """
    values, resampled = _bootstrap(counts, metric, key, resamples, seed)
    return _summary(values, resampled, counts.shape[1], confidence, seed, metric.share)


def compare(
    counts_a: Float[np.ndarray, "seeds n k"],
    counts_b: Float[np.ndarray, "seeds_b n_b k_b"],
    metric: Metric,
    confidence: float = 0.95,
    resamples: int = 2000,
    rounds: int = 10000,
    seed: int = 0,
) -> dict[str, float]:
    """Score of a less score of b on the same examples: interval and paired test.

    The interval is that of `interval`, with the same resampled examples for a and b and seeds drawn for each by
    itself (a seed of one model has nothing in common with the same number in another).
    p is two-sided, by approximate randomisation (Noreen, 1989): in each of R `rounds` every example's outputs, of all
    seeds, are swapped between a and b by the toss of a coin; with r rounds whose difference is at least the observed
    one in size, p = (r + 1) / (R + 1), so never below 1 / (R + 1): the default leaves room for correcting a hundred
    comparisons. It asks whether these trained models differ on
    such examples; whether another seed would, the interval says.

    Returns difference, ci_low, ci_high, p. Raises KAdapterError when the two have not the same seeds, n and k.
    """
    if counts_a.shape != counts_b.shape:
        raise KAdapterError(
            f"a paired comparison needs the same seeds and examples: found counts (seeds, n, k) of shape "
            f"{counts_a.shape} and {counts_b.shape}"
        )
    values_a, resampled_a = _bootstrap(counts_a, metric, None, resamples, seed)
    values_b, resampled_b = _bootstrap(counts_b, metric, None, resamples, seed)  # same seed: the same examples
    rng = np.random.default_rng([seed, 2])
    low, high = _percentiles(_mean_over_seeds(resampled_a, rng) - _mean_over_seeds(resampled_b, rng), confidence)
    difference = values_a.mean() - values_b.mean()
    return {
        "difference": float(difference),
        "ci_low": low,
        "ci_high": high,
        "p": _randomisation_p(counts_a, counts_b, metric, abs(difference), rounds, rng),
    }


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
            part = _slice(
                {model: array[:, mask] for model, array in counts.items()}, metric, against, confidence, resamples, seed
            )
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
) -> list[dict[str, Any]]:
    """A row for each model on these examples; the same draws of examples serve all models and their differences."""
    ends = np.cumsum([len(array) for array in counts.values()])[:-1]
    of_all, drawn = _bootstrap(np.concatenate(list(counts.values())), metric, None, resamples, seed)
    values = dict(zip(counts, np.split(of_all, ends), strict=True))
    resampled = dict(zip(counts, np.split(drawn, ends, axis=1), strict=True))
    rows = []
    for model, array in counts.items():
        row = {
            "model": model,
            **_summary(values[model], resampled[model], array.shape[1], confidence, seed, metric.share),
        }
        if against in counts and model != against:
            rng = np.random.default_rng([seed, 2])
            moved = _mean_over_seeds(resampled[model], rng) - _mean_over_seeds(resampled[against], rng)
            row["difference"] = float(values[model].mean() - values[against].mean())
            row["difference_low"], row["difference_high"] = _percentiles(moved, confidence)
        rows.append(row)
    return rows


def _summary(
    values: Float[np.ndarray, " seeds"],
    resampled: Float[np.ndarray, "resamples seeds"],
    n: int,
    confidence: float,
    seed: int,
    share: bool,
) -> dict[str, float | int]:
    drawn = _mean_over_seeds(resampled, np.random.default_rng([seed, 1]))
    low, high = _percentiles(drawn, confidence)
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "ci_low": max(low, 0.0),
        "ci_high": min(high, 1.0) if share else high,
        "seeds": len(values),
        "n": n,
    }


def _values(totals: Float[np.ndarray, "... k"], metric: Metric, key: str | None) -> Float[np.ndarray, "..."]:
    return metric.reduce(totals)[key or metric.primary]


def _bootstrap(
    counts: Float[np.ndarray, "seeds n k"], metric: Metric, key: str | None, resamples: int, seed: int
) -> tuple[Float[np.ndarray, " seeds"], Float[np.ndarray, "resamples seeds"]]:
    """Each seed's value on all examples, and on every resample of them."""
    seeds, n, k = counts.shape
    if seeds == 0 or n == 0:
        raise KAdapterError(f"{metric.name}: nothing to score: {seeds} seeds with {n} examples")
    flat = counts.transpose(1, 0, 2).reshape(n, seeds * k)
    rng = np.random.default_rng([seed, 0])
    resampled = []
    for size in _chunks(resamples, n):
        drawn = rng.integers(n, size=(size, n)) + np.arange(size)[:, None] * n
        weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(float)  # times drawn
        resampled.append(_values((weights @ flat).reshape(size, seeds, k), metric, key))
    return _values(counts.sum(axis=1), metric, key), np.concatenate(resampled)


def _mean_over_seeds(
    values: Float[np.ndarray, "resamples seeds"], rng: np.random.Generator
) -> Float[np.ndarray, " resamples"]:
    """The mean of seeds drawn with replacement, anew in every resample, their deviation scaled (see `interval`)."""
    resamples, seeds = values.shape
    mean = values.mean(axis=1)
    if seeds == 1:
        return mean
    drawn = np.take_along_axis(values, rng.integers(seeds, size=(resamples, seeds)), axis=1).mean(axis=1)
    return mean + np.sqrt(seeds / (seeds - 1)) * (drawn - mean)


def _percentiles(values: Float[np.ndarray, " resamples"], confidence: float) -> tuple[float, float]:
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
    for size in _chunks(rounds, n):
        swapped = rng.integers(2, size=(size, n), dtype=np.int8).astype(float)
        moved = (swapped @ flat).reshape(size, seeds, k)
        a, b = _values(total_a + moved, metric, None), _values(total_b - moved, metric, None)
        as_large += int((np.abs(a.mean(axis=1) - b.mean(axis=1)) >= observed - 1e-12).sum())
    return (as_large + 1) / (rounds + 1)


def _chunks(total: int, n: int) -> Iterator[int]:
    at_once = max(1, WEIGHTS_AT_ONCE // max(n, 1))
    for start in range(0, total, at_once):
        yield min(at_once, total - start)
