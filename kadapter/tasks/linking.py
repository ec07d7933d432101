"""Entity linking: which entity a marked mention is, among candidates (ERNIE's entity alignment, Zhang et al., 2019;
KnowBERT, Peters et al., 2019)."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kadapter.scoring import metrics
from kadapter.tasks.base import Batch, BestOfTask, Pooling, SpanClassifier, chosen_spans, encode_marked
from kadapter.values import MaxLength, checked, value

NONE = -1  # no candidate


class LinkingTask(BestOfTask):
    """A score for each entity of training, of which the candidates of a mention count: `@` around it, its vector, and
    an embedding of each entity that learns with the head.

    Args:
        labels: the entities.
        pooling: `marker` reads the first `@`, `mean` averages the mention.
        in_batch: in training the entities of a batch are candidates of each of its mentions, too.
    """

    name, schema = "linking", "entity"
    pads = {"candidates": NONE}
    rule = "The candidate with the highest logit is the answer."

    @checked("task option", leave_out=("labels",))
    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: MaxLength = 64,
        pooling: Pooling = "marker",
        in_batch: Annotated[
            bool, value("in training the entities of a batch are candidates of all its mentions")
        ] = True,
    ) -> None:
        super().__init__(labels, max_length)
        self.pooling, self.in_batch = pooling, in_batch

    def options(self) -> dict:
        return super().options() | {"pooling": self.pooling, "in_batch": self.in_batch}

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        mentions = [[(s, e, "@", "@")] for s, e in zip(examples["start"], examples["end"], strict=True)]
        input_ids, found = encode_marked(tokenizer, examples["text"], mentions, self.max_length)
        where = [f"record {id}" for id in examples["id"]]
        return {
            "input_ids": input_ids,
            "spans": chosen_spans(found, self.pooling),
            "labels": [self.label_id(label, place) for label, place in zip(examples["label"], where, strict=True)],
            "candidates": [
                [self.label_id(name, place) for name in names]
                for names, place in zip(examples["candidates"], where, strict=True)
            ],
        }

    def head(self, width: int, hidden: int) -> nn.Module:
        return LinkingHead(width, hidden, len(self.labels), self.in_batch)

    def constant(self, train, test) -> np.ndarray:
        """Of each mention's candidates the one that training names most often."""
        counts = np.bincount(train.columns["labels"], minlength=len(self.labels))
        return np.array([row[counts[row].argmax()] for row in test.columns["candidates"].rows()])

    @property
    def metric(self) -> metrics.Metric:
        return metrics.get("accuracy")


class LinkingHead(SpanClassifier):
    """The logits of all entities, those that are no candidates at the least number there is."""

    def __init__(self, width: int, hidden: int, entities: int, in_batch: bool) -> None:
        super().__init__(width, hidden, mentions=1, labels=entities)
        self.in_batch = in_batch

    def forward(self, fused: Float[Tensor, "batch tokens width"], batch: Batch) -> Float[Tensor, "batch entities"]:
        logits = super().forward(fused, batch)
        allowed: Bool[Tensor, "batch entities"] = torch.zeros_like(logits, dtype=torch.bool)
        candidates = batch["candidates"]
        allowed.scatter_(1, candidates.clamp(min=0), candidates != NONE)
        # padding points at entity 0: a candidate that is real stays one
        allowed[:, 0] = (candidates == 0).any(1)
        if self.training and self.in_batch:
            allowed[:, batch["labels"]] = True
        return logits.masked_fill(~allowed, torch.finfo(logits.dtype).min)
