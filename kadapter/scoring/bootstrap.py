"""A hierarchical bootstrap of scores: test examples are resampled, trained models are drawn from a distribution.

A score moves with the choice of test examples, with the seed of the fine-tuning and, where something was pre-trained,
with the seed of the pre-training. Fine-tunings of one pre-training are nested in it: the independent *units* of a row
are its pre-trainings, or its fine-tunings where nothing, or only one thing, was pre-trained. Test examples are many and
are resampled as they are. Units are three or five, of which no resampling finds the tails (percentile intervals cover
82 to 88% there): each resample adds a draw of Student's t, scaled by the units' standard error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from kadapter.errors import KAdapterError
from kadapter.scoring.metric import Metric

WEIGHTS_AT_ONCE = 2**22  # 32 MiB of float64 weights: bounds the memory, whatever the number of examples
DRAWS = 5  # of units for each resample of examples: cheap, and the tails get smoother


@dataclass(frozen=True)
class Units:
    """A row's independent units: their values on all test examples, (units,), and on each resample of them."""

    values: Float[np.ndarray, " units"]
    drawn: Float[np.ndarray, "resamples units"]

    @property
    def own(self) -> float:
        """Variance of the mean that comes from the units being these: s² / units; 0.0 for one unit, which says
        nothing of others."""
        return float(self.values.var(ddof=1) / len(self.values)) if len(self.values) > 1 else 0.0


def units(
    counts: Float[np.ndarray, "seeds n k"],
    metric: Metric,
    key: str | None,
    resamples: int,
    seed: int,
    pretrainings: Sequence[int] | None = None,
) -> Units:
    """The units of one row. The same `seed` draws the same examples for every row of as many.

    Args:
        pretrainings: of each fine-tuning, the seed of the pre-training that it stands on; None where there is none.
    """
    return grouped(*resampled(counts, metric, key, resamples, seed), pretrainings)


def grouped(
    values: Float[np.ndarray, " seeds"],
    drawn: Float[np.ndarray, "resamples seeds"],
    pretrainings: Sequence[int] | None = None,
) -> Units:
    """Fine-tunings of one pre-training become one unit, their mean; where there is one pre-training, each fine-tuning
    is a unit. Raises KAdapterError for a number of pre-trainings that is not that of the fine-tunings."""
    if pretrainings is None:
        return Units(values, drawn)
    if len(pretrainings) != len(values):
        raise KAdapterError(
            f"pretrainings: found {len(pretrainings)} for {len(values)} fine-tunings; expected one for each"
        )
    names, which = np.unique(np.asarray(pretrainings), return_inverse=True)
    if len(names) == 1:
        return Units(values, drawn)
    share = np.eye(len(names))[which]  # (seeds, units)
    share /= share.sum(axis=0)
    return Units(values @ share, drawn @ share)


def shared(one: Units, other: Units | None = None) -> float:
    """Variance, under resampling of test examples, of what the units of a row (or of the difference of two) have in
    common: the mean of the covariances between different units. What is a unit's alone is in the spread of units."""
    if other is None:
        return max(0.0, _between(one.drawn))
    centred = [each.drawn - each.drawn.mean(axis=0) for each in (one, other)]
    across = float((centred[0].mean(axis=1) * centred[1].mean(axis=1)).mean())
    return max(0.0, _between(one.drawn) + _between(other.drawn) - 2 * across)


def _between(drawn: Float[np.ndarray, "resamples units"]) -> float:
    count = drawn.shape[1]
    covariance = np.cov(drawn.T, ddof=0).reshape(count, count)
    if count == 1:
        return float(covariance[0, 0])
    return float((covariance.sum() - np.trace(covariance)) / (count * (count - 1)))


def deviations(one: Units, other: Units | None = None, *, rng: np.random.Generator) -> Float[np.ndarray, " draws"]:
    """How far another set of test examples and other units could have moved a row's mean (or its difference to that of
    another row, whose units are drawn by themselves), in `DRAWS` draws for each resample.

    The degrees of freedom of Student's t lie between G - 1, which is exact where G units are all that varies and too
    wide elsewhere (Behrens-Fisher: 97 to 98%), and those of Satterthwaite, which are too narrow for three units (92%):
    (G - 1) sqrt(whole variance / that of the units).
    """
    moved = one.drawn.mean(axis=1) - (0.0 if other is None else other.drawn.mean(axis=1))
    moved = np.tile(moved - moved.mean(), DRAWS)
    common, found = shared(one, other), float(moved.var())
    moved *= np.sqrt(common / found) if found > 0 else 0.0
    rows = [row for row in (one, other) if row is not None and row.own > 0]
    whole = common + sum(row.own for row in rows)
    for row in rows:
        freedom = (len(row.values) - 1) * np.sqrt(whole / row.own)
        moved += np.sqrt(row.own) * rng.standard_t(freedom, size=len(moved))
    return moved


def resampled(
    counts: Float[np.ndarray, "seeds n k"], metric: Metric, key: str | None, resamples: int, seed: int
) -> tuple[Float[np.ndarray, " seeds"], Float[np.ndarray, "resamples seeds"]]:
    """Each fine-tuning's value on all examples, and on every resample of them. Raises KAdapterError when there is
    nothing to score."""
    seeds, n, k = counts.shape
    if seeds == 0 or n == 0:
        raise KAdapterError(f"{metric.name}: nothing to score: {seeds} seeds with {n} examples")
    flat = counts.transpose(1, 0, 2).reshape(n, seeds * k)
    rng = np.random.default_rng([seed, 0])
    found = []
    for size in chunks(resamples, n):
        drawn = rng.integers(n, size=(size, n)) + np.arange(size)[:, None] * n
        weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(float)  # times drawn
        found.append(value((weights @ flat).reshape(size, seeds, k), metric, key))
    return value(counts.sum(axis=1), metric, key), np.concatenate(found)


def value(totals: Float[np.ndarray, "... k"], metric: Metric, key: str | None = None) -> Float[np.ndarray, "..."]:
    """One value of a metric (default: its primary) from summed counts."""
    return metric.reduce(totals)[key or metric.primary]


def chunks(total: int, n: int) -> Iterator[int]:
    """Sizes that sum to `total`, each for weights (size, n) that fit in the memory."""
    at_once = max(1, WEIGHTS_AT_ONCE // max(n, 1))
    for start in range(0, total, at_once):
        yield min(at_once, total - start)
