"""Predictions of a model on encoded examples, in their order, and their scores."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from kadapter.machine import threads
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.scoring.metric import Metric
from kadapter.training.batches import Encoded, check_links
from kadapter.training.features import token_batches
from kadapter.training.memory import kept_memory


@dataclass
class Predictions:
    """What a model answered.

    Attributes:
        outputs: per example the kept logits (classification, choice), decided positions (dependency heads) or
            candidate spans (reading).
        decided: predictions in the metric's form.
        references: gold answers in the same form.
        loss: mean loss over examples.
        metric: the task's scorer.
    """

    outputs: list[np.ndarray]
    decided: Sequence | np.ndarray
    references: Sequence | np.ndarray
    loss: float
    metric: Metric

    @property
    def scores(self) -> dict[str, float]:
        """Scores as fractions."""
        return self.metric(self.decided, self.references)

    @property
    def counts(self) -> np.ndarray:
        """(examples, k): what each example adds to the score; see `kadapter.scoring.statistics`."""
        return self.metric.per_example(self.decided, self.references)


@torch.no_grad()
def predict(
    model: KnowledgeModel, encoded: Encoded, batch_tokens: int = 8192, bf16: bool = False, progress: bool = False
) -> Predictions:
    """Answer every example once, in eval mode; the model's mode is restored.

    Args:
        batch_tokens: padded tokens in one batch, at most the task's; does not change the result.
        bf16: compute in bfloat16 where autocast does.
    """
    task = model.require_task()
    outputs: list = [None] * len(encoded)
    loss = 0.0
    for chosen, batch, result in answered(model, encoded, min(batch_tokens, task.batch_tokens), bf16, progress):
        loss += float(result.loss) * len(chosen)
        for index, output in zip(chosen, task.outputs(result.logits, batch), strict=True):
            outputs[index] = output
    return Predictions(
        outputs, task.decide(outputs, encoded), task.references(encoded), loss / len(encoded), task.metric
    )


def answered(
    model: KnowledgeModel, encoded: Encoded, batch_tokens: int, bf16: bool = False, progress: bool = False
) -> Iterator[tuple[np.ndarray, dict[str, Tensor], Any]]:
    """Per batch of examples of like length their indices, the batch, and what the model says of it, in eval mode; the
    model's mode is restored. Raises KAdapterError for examples encoded with another mapping than the model's."""
    check_links(model, encoded)
    threads.use()
    training = model.training
    model.eval()
    device = next(model.backbone.parameters()).device
    bar = tqdm(total=len(encoded), desc="predict", unit="ex", leave=False, disable=not progress)
    try:
        in_bf16 = model.backbone.in_bf16() if bf16 and encoded.states is None else nullcontext()
        with bar, in_bf16, kept_memory(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            for chosen in token_batches(encoded.lengths, batch_tokens):
                batch = {k: v.to(device) for k, v in encoded.__getitems__(chosen).items()}
                with torch.no_grad():
                    result = model(**batch)
                yield chosen, batch, result
                bar.update(len(chosen))
    finally:
        model.train(training)
