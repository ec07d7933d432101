"""What a model answered on every test example, as a table that case studies and the report read (Table 7)."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from kadapter.cases.cases import mentions
from kadapter.tasks.base import Task
from kadapter.training.batches import Encoded
from kadapter.training.predict import Predictions


def table(
    task: Task, examples: Dataset, encoded: Encoded, seeds: Sequence[int], predictions: Sequence[Predictions]
) -> pd.DataFrame:
    """One row per seed and example: seed, index, example_id, text, mentions and reference (both JSON) and logits; the
    answers to choose from (JSON) where there are some; the answer found and its probability in place of logits where
    it is quoted from a paragraph.

    Args:
        examples, encoded: the test split as it was read, and as it was encoded.
        predictions: of each seed.
    """
    texts, places = _texts(examples), [json.dumps(found) for found in mentions(examples)]
    frames = [
        pd.DataFrame(
            {
                "seed": seed,
                "index": np.arange(len(examples)),
                "example_id": examples["id"],
                "text": texts,
                "mentions": places,
                "reference": [json.dumps(np.asarray(r).tolist()) for r in predicted.references],
                **_found(task, examples, encoded, predicted),
            }
        )
        for seed, predicted in zip(seeds, predictions, strict=True)
    ]
    return pd.concat(frames, ignore_index=True)


def _found(task: Task, examples: Dataset, encoded: Encoded, predicted: Predictions) -> dict[str, list]:
    """The columns that say what the model answered."""
    if task.schema == "openqa":
        reading: Any = task  # the one whose answers are quoted
        candidates = reading.answers(predicted.outputs, encoded)
        return {
            "answer": list(predicted.decided),
            "probability": [best[0][1] if best else 0.0 for best in candidates],
        }
    columns: dict[str, list] = {"logits": [np.asarray(o, dtype=np.float32) for o in predicted.outputs]}
    if "answers" in examples.column_names:
        columns["answers"] = [json.dumps(answers) for answers in examples["answers"]]
    return columns


def _texts(examples: Dataset) -> list[str]:
    """Per example what a person reads: the text or sentence, or the question after its context where it has one."""
    if "text" in examples.column_names:
        return list(examples["text"])
    if "words" in examples.column_names:
        return [" ".join(words) for words in examples["words"]]
    if "context" in examples.column_names:
        return [f"{c} {q}".strip() for c, q in zip(examples["context"], examples["question"], strict=True)]
    return list(examples["question"])
