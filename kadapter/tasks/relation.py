"""Relation classification: which relation holds between a marked subject and object. The factual pre-training task
(Section 3.2), TACRED (Section 4.3), Wiki80 and SemEval-2010 Task 8."""

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kadapter import metrics
from kadapter.errors import unknown
from kadapter.tasks.base import POOLING, Batch, SpanClassifier, Task, chosen_spans, encode_marked


class RelationTask(Task):
    """One label for a pair of mentions: `@` around the subject, `#` around the object, the two vectors concatenated.

    Args:
        pooling: `marker` reads the first `@` and the first `#` (the official code); `mean` averages each mention (the
            paper).
        negative: a label that stands for "no relation" and does not count in F1 (TACRED `no_relation`, SemEval
            `Other`); ignored where the label list lacks it.
    """

    name, schema = "relation", "relation"

    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: int = 64,
        pooling: str = "marker",
        negative: str | None = "no_relation",
    ) -> None:
        super().__init__(labels, max_length)
        if pooling not in POOLING:
            raise unknown("pooling", pooling, POOLING)
        self.pooling, self.negative = pooling, negative

    def options(self) -> dict:
        return super().options() | {"pooling": self.pooling, "negative": self.negative}

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        spans = zip(
            examples["subj_start"], examples["subj_end"], examples["obj_start"], examples["obj_end"], strict=True
        )
        mentions = [[(s0, s1, "@", "@"), (o0, o1, "#", "#")] for s0, s1, o0, o1 in spans]
        input_ids, found = encode_marked(tokenizer, examples["text"], mentions, self.max_length)
        return {
            "input_ids": input_ids,
            "spans": chosen_spans(found, self.pooling),
            "labels": [
                self.label_id(label, f"record {i}") for label, i in zip(examples["label"], examples["id"], strict=True)
            ],
        }

    def head(self, width: int, hidden: int) -> nn.Module:
        return SpanClassifier(width, hidden, mentions=2, labels=len(self.labels))

    def loss(self, logits: Float[Tensor, "batch labels"], batch: Batch) -> Float[Tensor, ""]:
        return F.cross_entropy(logits.float(), batch["labels"])

    def decide(self, outputs: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        return np.asarray(outputs).argmax(-1)

    def references(self, encoded) -> np.ndarray:
        return encoded.columns["labels"]

    @property
    def metric(self) -> metrics.Metric:
        return metrics.get("micro_f1", negative=self.index.get(self.negative))
