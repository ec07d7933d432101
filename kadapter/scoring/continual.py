"""What is kept and what is lost when kinds of knowledge are learned one after another: the definitions of Lopez-Paz and
Ranzato (2017, Gradient Episodic Memory, Section 2) and Chaudhry et al. (2018, Riemannian Walk, Section 3).

All are of one matrix, its columns in the order of learning: entry (i, j) is the score on the test of kind j after stage
i. Leading axes (orders, seeds) stay.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from kadapter.errors import KAdapterError

Matrix = Float[np.ndarray, "*more stages kinds"]
Values = Float[np.ndarray, "*more"]


def average_accuracy(matrix: Matrix) -> Values:
    """The mean over kinds after the last stage: ACC = 1/T sum_i R(T, i) (Lopez-Paz and Ranzato)."""
    return np.asarray(_square(matrix)[..., -1, :].mean(-1))


def learning_accuracy(matrix: Matrix) -> Values:
    """The mean score of a kind just after its own stage, 1/T sum_i R(i, i): what is learned at all, before anything can
    be lost."""
    return np.asarray(np.diagonal(_square(matrix), axis1=-2, axis2=-1).mean(-1))


def backward_transfer(matrix: Matrix) -> Values:
    """BWT = 1/(T - 1) sum_{i < T} R(T, i) - R(i, i): what later stages did to earlier kinds, below 0 where they lost
    (Lopez-Paz and Ranzato). 0.0 for one stage."""
    return _lost(_square(matrix), lambda m: m[..., -1, :] - np.diagonal(m, axis1=-2, axis2=-1))


def forgetting(matrix: Matrix) -> Values:
    """F = 1/(T - 1) sum_{j < T} max_{l < T} R(l, j) - R(T, j): the best score that a kind had before the last stage,
    less its last (Chaudhry et al.). Below 0 where the last stage made them better. 0.0 for one stage."""
    return _lost(_square(matrix), lambda m: m[..., :-1, :].max(-2) - m[..., -1, :])


def forward_transfer(matrix: Matrix, before: Float[np.ndarray, "*more kinds"]) -> Values:
    """FWT = 1/(T - 1) sum_{i > 1} R(i - 1, i) - b(i): what earlier stages did for a kind that was not yet learned;
    `before` holds b, the scores before the first stage (Lopez-Paz and Ranzato). 0.0 for one stage."""
    matrix = _square(matrix)
    stages = matrix.shape[-1]
    if stages == 1:
        return np.zeros(matrix.shape[:-2])
    ahead = np.diagonal(matrix, offset=1, axis1=-2, axis2=-1)  # R(i - 1, i)
    return np.asarray((ahead - np.asarray(before, float)[..., 1:]).mean(-1))


def matrix(rows: pd.DataFrame, kinds: Sequence[str]) -> Float[np.ndarray, "stages_and_before kinds"]:
    """The scores of one row, order and seed as a matrix: a line for each stage, that before the first on top, and a
    column for each kind.

    Args:
        rows: stage, kind and score of each.
    """
    return rows.pivot(index="stage", columns="kind", values="score")[list(kinds)].to_numpy(float)


def summary(rows: pd.DataFrame, downstream: str) -> pd.DataFrame:
    """What every row, order and seed kept: row, order, seed, average_accuracy, learning_accuracy, forgetting,
    backward_transfer, forward_transfer, unchanged (the smallest share of answers that are as they were just after their
    own stage, bit by bit) and downstream (the score after the last stage). Fractions.

    Args:
        rows: row, order (names joined by -), seed, stage, kind, score and unchanged of each.
        downstream: the name that the downstream task has among the kinds.
    """
    found = []
    for (row, order, seed), group in rows.groupby(["row", "order", "seed"], sort=False):
        own = group[group["kind"] != downstream]
        before, square = np.split(matrix(own, str(order).split("-")), [1])
        last = group[(group["kind"] == downstream) & (group["stage"] == group["stage"].max())]
        values = {
            "average_accuracy": average_accuracy(square),
            "learning_accuracy": learning_accuracy(square),
            "forgetting": forgetting(square),
            "backward_transfer": backward_transfer(square),
            "forward_transfer": forward_transfer(square, before[0]),
            "unchanged": own["unchanged"].astype(float).min(),
            "downstream": last["score"].mean(),
        }
        found.append({"row": row, "order": order, "seed": seed} | {name: float(v) for name, v in values.items()})
    return pd.DataFrame(found)


def _lost(matrix: Matrix, change: Callable[[np.ndarray], np.ndarray]) -> Values:
    """The mean of a change over all kinds but the last."""
    if matrix.shape[-1] == 1:
        return np.zeros(matrix.shape[:-2])
    return np.asarray(change(matrix)[..., :-1].mean(-1))


def _square(matrix: Matrix) -> Matrix:
    matrix = np.asarray(matrix, float)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or not matrix.shape[-1]:
        raise KAdapterError(
            f"a matrix of stages and kinds has shape {matrix.shape}; expected as many stages as kinds, and at least one"
        )
    return matrix
