"""Entity typing: which types a marked mention has, several at a time (Section 4.1: OpenEntity and FIGER)."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kadapter.scoring import metrics
from kadapter.tasks.base import Batch, Pooling, SpanClassifier, Task, chosen_spans, encode_marked
from kadapter.values import MaxLength, OneOf, checked, value

SCORERS = ("multilabel", "figer")
HIDDEN = "_"  # where a tokenizer has no mask token


class TypingTask(Task):
    """A set of labels for one mention: `@` around it, its vector, a label where its logit is above 0.

    Args:
        pooling: `marker` reads the first `@` (the official code); `mean` averages the mention.
        scorer: `multilabel` (OpenEntity: micro P, R, F1) or `figer` (strict accuracy, loose macro and micro F1; the
            arg-max counts too, so every mention gets a type).
        at_least_one: the label with the highest logit is answered, too, where none is above 0: a head that has had few
            steps to learn does not count as one that knows nothing.
        masked: the mention itself is hidden behind a mask token, and known by its context alone.
    """

    name, schema = "typing", "typing"

    @checked("task option", leave_out=("labels",))
    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: MaxLength = 64,
        pooling: Pooling = "marker",
        scorer: Annotated[
            str,
            OneOf("scorer", SCORERS),
            value("`multilabel` (micro F1, OpenEntity) or `figer` (accuracy, loose macro and micro F1, FIGER)"),
        ] = "multilabel",
        at_least_one: Annotated[
            bool, value("answer the label with the highest logit, too (`figer` always does)")
        ] = False,
        masked: Annotated[bool, value("hide the mention behind a mask token")] = False,
    ) -> None:
        super().__init__(labels, max_length)
        self.pooling, self.scorer, self.at_least_one = pooling, scorer, at_least_one or scorer == "figer"
        self.masked = masked

    @property
    def rule(self) -> str:
        always = ", and the one with the highest logit always" if self.at_least_one else "; there may be none"
        return f"A label is answered where its logit is above 0 (a probability above 50%){always}."

    def options(self) -> dict:
        names = ("pooling", "scorer", "at_least_one", *(("masked",) if self.masked else ()))  # as it was saved before
        return super().options() | {name: getattr(self, name) for name in names}

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        texts, spans = examples["text"], list(zip(examples["start"], examples["end"], strict=True))
        if self.masked:
            mask = tokenizer.mask_token or HIDDEN
            texts = [text[:s] + mask + text[e:] for text, (s, e) in zip(texts, spans, strict=True)]
            spans = [(s, s + len(mask)) for s, _ in spans]
        mentions = [[(s, e, "@", "@")] for s, e in spans]
        input_ids, found = encode_marked(tokenizer, texts, mentions, self.max_length)
        targets = np.zeros((len(input_ids), len(self.labels)), dtype=np.float32)
        for row, (labels, record) in enumerate(zip(examples["labels"], examples["id"], strict=True)):
            targets[row, [self.label_id(label, f"record {record}") for label in labels]] = 1.0
        return {"input_ids": input_ids, "spans": chosen_spans(found, self.pooling), "labels": list(targets)}

    def head(self, width: int, hidden: int) -> nn.Module:
        return SpanClassifier(width, hidden, mentions=1, labels=len(self.labels))

    def loss(self, logits: Float[Tensor, "batch labels"], batch: Batch) -> Float[Tensor, ""]:
        return F.binary_cross_entropy_with_logits(logits.float(), batch["labels"])

    def decide(self, outputs: Sequence[np.ndarray] | np.ndarray, encoded=None) -> np.ndarray:
        logits = np.asarray(outputs)
        chosen = logits > 0
        if self.at_least_one:
            chosen[np.arange(len(logits)), logits.argmax(-1)] = True
        return chosen.astype(np.int64)

    def references(self, encoded) -> np.ndarray:
        return encoded.columns["labels"].astype(np.int64)

    def constant(self, train, test) -> np.ndarray:
        """The most frequent label, of every mention."""
        return np.tile(np.arange(len(self.labels)) == train.columns["labels"].sum(0).argmax(), (len(test), 1)) * 1

    @property
    def metric(self) -> metrics.Metric:
        return metrics.get(self.scorer)
