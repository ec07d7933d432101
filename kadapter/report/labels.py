"""Scores of every label by itself, from the decisions that a fine-tuning run left: which types and relations an adapter
helps (the paper's Tables 2 and 4 sum over all labels)."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.scoring.metric import divide

SCHEMAS = ("relation", "typing")  # of the tasks that give an example labels of one list
COLUMNS = ("label", "n", "precision", "recall", "f1", "std")


def scores(folder: Path) -> pd.DataFrame | None:
    """Precision, recall and F1 of each label, means over the seeds of the run in `folder`; None for another task.

    Columns: label, n (test examples that have it), precision, recall, f1, std (of F1 over seeds, 0.0 for one).
    Fractions, 0.0 where a denominator is 0. Labels that no test example has and no seed predicts are left out; a
    label that does not count in the score (`no_relation`) is among the others.

    Raises KAdapterError for predictions or a task that cannot be read.
    """
    found = decided(folder)
    if found is None:
        return None
    labels, references, predictions = found
    correct = (predictions & references).sum(axis=1)  # (seeds, labels)
    predicted, gold = predictions.sum(axis=1), references.sum(axis=0)
    precision, recall = divide(correct, predicted), divide(correct, gold)
    f1 = divide(2 * correct, predicted + gold)
    frame = pd.DataFrame(
        {
            "label": labels,
            "n": gold,
            "precision": precision.mean(axis=0),
            "recall": recall.mean(axis=0),
            "f1": f1.mean(axis=0),
            "std": f1.std(axis=0, ddof=1) if len(f1) > 1 else 0.0,
        },
        columns=list(COLUMNS),
    )
    return frame[(gold > 0) | (predicted.sum(axis=0) > 0)].reset_index(drop=True)


class Decided(NamedTuple):
    """The labels, and which of them are right (n, labels) and decided (seeds, n, labels), as booleans."""

    labels: list[str]
    references: np.ndarray
    decided: np.ndarray


def decided(folder: Path) -> Decided | None:
    """What the run in `folder` decided, as its score does; None for a task without labels or a run without predictions.

    Raises KAdapterError for predictions or a task that cannot be read.
    """
    try:
        spec = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        task = catalog.task(spec["name"], **spec["options"])
        if task.schema not in SCHEMAS:
            return None
        table = pyarrow.parquet.read_table(folder / "predictions.parquet", columns=["seed", "reference", "logits"])
    except FileNotFoundError:
        return None  # a run that kept its counts alone
    except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
        raise KAdapterError(f"{folder} has damaged predictions ({error}): remove it, run its stage again") from None
    width = len(task.labels)
    seed = table["seed"].to_numpy()
    found = table["logits"].combine_chunks().flatten()
    logits = found.to_numpy(zero_copy_only=False).reshape(-1, width)  # pandas writes nan as null
    starts = np.unique(seed, return_index=True)[1]
    first = table.filter(pyarrow.array(seed == seed[0]))["reference"].to_pylist()
    references = np.array([json.loads(text) for text in first])
    if len(logits) != len(first) * len(starts):
        raise KAdapterError(
            f"{folder} has {len(logits)} predictions for {len(starts)} seeds with {len(first)} examples"
        )
    made = np.stack([_one_hot(np.asarray(task.decide(part)), width) for part in np.split(logits, len(starts))])
    return Decided(task.labels, _one_hot(references, width), made)


def _one_hot(labels: np.ndarray, width: int) -> np.ndarray:
    """Label numbers (n,) as (n, labels) booleans; label sets as they are."""
    return labels[:, None] == np.arange(width) if labels.ndim == 1 else labels.astype(bool)
