"""Multiple choice: which of a question's answers fits its context (Section 4.2 and Table 3 of the paper: CosmosQA)."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.scoring import metrics
from kadapter.tasks.base import Batch, BestOfTask, Read, by_group, pair_template, read_sequences
from kadapter.values import MaxLength, checked

ABSENT = -1  # the label of a question whose right answer is not given


class ChoiceTask(BestOfTask):
    """One score for each answer of a question; the highest is chosen.

    An answer is one sequence: `<s> context </s></s> question </s></s> answer </s>` with RoBERTa's special tokens, and
    what stands around and between the texts of a pair with any other's. What is over `max_length` is cut from the end
    of the context. Only where question and answer alone are too long, the longer of the two is cut at its end, down to
    half of the room.

    Args:
        pooling: `first` reads the first token (the official code); `mean` averages the sequence, for backbones whose
            first token has seen nothing (decoders) or stands for nothing.
    """

    name, schema = "choice", "choice"

    @checked("task option", leave_out=("labels",))
    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: MaxLength = 64,
        pooling: Read = "first",
    ) -> None:
        super().__init__(labels, max_length)
        self.pooling = pooling

    def options(self) -> dict:
        return super().options() | {"pooling": self.pooling}

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        """A row of `input_ids` per answer, a row of `labels` per question. Raises KAdapterError for a question without
        answers, or one whose label is none of them."""
        for record, answers, label in zip(examples["id"], examples["answers"], examples["label"], strict=True):
            if not answers or not ABSENT <= label < len(answers):
                raise KAdapterError(
                    f"record {record}: found {len(answers)} answers and label {label}; "
                    f"expected answers and the number of one of them, from 0, or {ABSENT} where it is not given"
                )
        contexts, questions, answers = (
            tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
            for texts in (
                examples["context"],
                examples["question"],
                [answer for answers in examples["answers"] for answer in answers],
            )
        )
        before, between, after = pair_template(tokenizer)
        room = self.max_length - len(before) - 2 * len(between) - len(after)
        counts = [len(answers) for answers in examples["answers"]]
        rows, answer = [], iter(answers)
        for context, question, count in zip(contexts, questions, counts, strict=True):
            for _ in range(count):
                asked, said = fit_pair(question, next(answer), room)
                left = room - len(asked) - len(said)
                rows.append(before + context[:left] + between + asked + between + said + after)
        return {"input_ids": rows, "sequences": counts, "labels": examples["label"]}

    def head(self, width: int, hidden: int) -> nn.Module:
        return ChoiceHead(width, self.pooling)

    def loss(self, logits: Float[Tensor, "batch choices"], batch: Batch) -> Float[Tensor, ""]:
        """Cross-entropy over each question's answers; questions without a label do not count."""
        total = F.cross_entropy(logits.float(), batch["labels"], ignore_index=ABSENT, reduction="sum")
        return total / (batch["labels"] != ABSENT).sum().clamp(min=1)

    def outputs(self, logits: Float[Tensor, "batch choices"], batch: Batch) -> list[np.ndarray]:
        counts = torch.bincount(batch["group"]).tolist()
        return [row[:count] for row, count in zip(logits.float().cpu().numpy(), counts, strict=True)]

    def references(self, encoded) -> np.ndarray:
        """(questions,) the right answer's number, -1 where it is not given; the metric refuses those."""
        return encoded.columns["labels"]

    def counts(self, encoded) -> dict[str, int]:
        return {"without a label": int((encoded.columns["labels"] == ABSENT).sum())}

    def constant(self, train, test) -> np.ndarray:
        """The place at which the right answer stands most often; the first where a question has no such place."""
        labels = train.columns["labels"]
        place = np.bincount(labels[labels != ABSENT]).argmax()
        return np.where(np.diff(test.groups) > place, place, 0)

    @property
    def metric(self) -> metrics.Metric:
        return metrics.get("accuracy")


def fit_pair(question: list[int], answer: list[int], room: int) -> tuple[list[int], list[int]]:
    """Both cut at their ends so that together they take at most `room`: first the longer, down to half of the room."""
    if len(question) + len(answer) <= room:
        return question, answer
    kept = min(len(question), max(room - len(answer), room // 2))
    return question[:kept], answer[: room - kept]


class ChoiceHead(nn.Module):
    """Dropout and a linear layer to one score per sequence, the scores of a question's answers side by side."""

    def __init__(self, width: int, pooling: str, dropout: float = 0.1) -> None:
        super().__init__()
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, 1)

    def forward(self, fused: Float[Tensor, "sequences tokens width"], batch: Batch) -> Float[Tensor, "batch choices"]:
        read = read_sequences(fused, batch, self.pooling)
        # -inf where another question of the batch has more answers
        return by_group(self.out(self.dropout(read)).squeeze(-1), batch["group"], float("-inf"))
