"""Relation classification: which relation holds between a marked subject and object. The factual pre-training task
(Section 3.2), TACRED (Section 4.3), Wiki80 and SemEval-2010 Task 8."""

import re
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from torch import nn
from transformers import PreTrainedTokenizerBase

from kadapter.scoring import metrics
from kadapter.tasks.base import BestOfTask, Pooling, SpanClassifier, chosen_spans, encode_marked
from kadapter.values import MaxLength, OneOf, checked, value

MARKERS = ("plain", "typed")


class RelationTask(BestOfTask):
    """One label for a pair of mentions: `@` around the subject, `#` around the object, the two vectors concatenated.

    Args:
        pooling: `marker` reads the first `@` and the first `#` (the official code); `mean` averages each mention (the
            paper).
        negative: a label that stands for "no relation" and does not count in F1 (TACRED `no_relation`, SemEval
            `Other`); ignored where the label list lacks it.
        markers: `plain`, or `typed`, which says the type of each mention in words, too, where it is known: `@ * person
            * Ada @` and `# ^ city ^ London #` (typed entity markers in punctuation, Zhou & Chen, 2021).
    """

    name, schema = "relation", "relation"
    rule = "The label with the highest logit is the answer."

    @checked("task option", leave_out=("labels",))
    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: MaxLength = 64,
        pooling: Pooling = "marker",
        negative: Annotated[str | None, value("the label that no score counts; null: all count")] = "no_relation",
        markers: Annotated[
            str,
            OneOf("markers", MARKERS),
            value("what stands around a mention: signs (`plain`), or its type, too"),
        ] = "plain",
    ) -> None:
        super().__init__(labels, max_length)
        self.pooling, self.negative, self.markers = pooling, negative, markers

    def options(self) -> dict:
        return super().options() | {"pooling": self.pooling, "negative": self.negative, "markers": self.markers}

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        sides = (self._mentions(examples, "subj", "@", "*"), self._mentions(examples, "obj", "#", "^"))
        mentions = list(zip(*sides, strict=True))
        input_ids, found = encode_marked(tokenizer, examples["text"], mentions, self.max_length)
        return {
            "input_ids": input_ids,
            "spans": chosen_spans(found, self.pooling),
            "labels": [
                self.label_id(label, f"record {i}") for label, i in zip(examples["label"], examples["id"], strict=True)
            ],
        }

    def _mentions(self, examples: dict[str, list], role: str, mark: str, inner: str) -> list[tuple[int, int, str, str]]:
        """Per example where a mention is and what is put before and after it."""
        starts, ends = examples[f"{role}_start"], examples[f"{role}_end"]
        if self.markers == "plain":
            return [(start, end, mark, mark) for start, end in zip(starts, ends, strict=True)]
        # STATE_OR_PROVINCE and /location/city are read as words
        types = [" ".join(re.findall(r"[^\W_]+", type)).lower() for type in examples[f"{role}_type"]]
        opening = [f"{mark} {inner} {words} {inner}" if words else mark for words in types]
        return [(start, end, o, mark) for start, end, o in zip(starts, ends, opening, strict=True)]

    def head(self, width: int, hidden: int) -> nn.Module:
        return SpanClassifier(width, hidden, mentions=2, labels=len(self.labels))

    def constant(self, train, test) -> np.ndarray:
        return np.full(len(test), np.bincount(train.columns["labels"]).argmax())

    @property
    def metric(self) -> metrics.Metric:
        return metrics.get("micro_f1", negative=None if self.negative is None else self.index.get(self.negative))
