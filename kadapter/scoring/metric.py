"""What a metric is: a sum of counts per example, followed by a formula on the totals.

So a whole set, a part of it, a bootstrap resample and a permutation are scored by the same formula, and many of them at
once.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from kadapter.errors import KAdapterError


def divide(numerator: Any, denominator: Any) -> np.ndarray:
    """Elementwise quotient; 0.0 wherever the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator != 0)


Values = Float[np.ndarray, "..."]


def with_f1(precision: Any, recall: Any) -> dict[str, Any]:
    """Precision, recall and their harmonic mean."""
    return {"precision": precision, "recall": recall, "f1": divide(2 * precision * recall, precision + recall)}


def precision_recall_f1(correct: Any, predicted: Any, gold: Any) -> dict[str, Any]:
    """The three from counts; 0.0 where nothing is predicted, or nothing gold."""
    return with_f1(divide(correct, predicted), divide(correct, gold))


@dataclass(frozen=True)
class Metric:
    """A score that decomposes into counts per example. Values are fractions from 0 to 1 (unless `share` says no).

    `primary` is the key of the headline value, `title` its name for people.
    """

    name: ClassVar[str]
    primary: ClassVar[str]
    title: ClassVar[str]
    share: ClassVar[bool] = True  # values are fractions, which people read in percent

    @property
    def options(self) -> dict[str, Any]:
        """What `get` needs beside the name to make this metric again, as plain values."""
        return asdict(self)

    def per_example(self, predictions: Any, references: Any) -> Float[np.ndarray, "n k"]:
        """The counts of each of n examples, (n, k) float64; column sums are what `reduce` takes."""
        raise NotImplementedError

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        """The values of summed counts (..., k), each (...); 0.0 where a denominator is 0."""
        raise NotImplementedError

    def __call__(self, predictions: Any, references: Any) -> dict[str, float]:
        """The values over all n examples. Raises KAdapterError when the two differ in length or shape."""
        totals = self.per_example(predictions, references).sum(axis=0)
        return {key: float(value) for key, value in self.reduce(totals).items()}

    def arrays(self, predictions: Any, references: Any, ndim: int) -> tuple[np.ndarray, np.ndarray]:
        """Both as arrays. Raises KAdapterError when they differ in shape or have not `ndim` axes."""
        predictions, references = np.asarray(predictions), np.asarray(references)
        if predictions.size == 0 == references.size and predictions.shape[0] == references.shape[0] == 0:
            shape = (0,) * ndim
            return predictions.reshape(shape), references.reshape(shape)
        if predictions.shape != references.shape or predictions.ndim != ndim:
            raise KAdapterError(
                f"{self.name}: predictions have shape {predictions.shape} and references {references.shape}; "
                f"expected the same shape with {ndim} axes"
            )
        return predictions, references

    def same_length(self, predictions: Sequence, references: Sequence) -> None:
        """Raises KAdapterError when the two differ in length."""
        if len(predictions) != len(references):
            raise KAdapterError(
                f"{self.name}: {len(predictions)} predictions for {len(references)} references; expected one for each"
            )
