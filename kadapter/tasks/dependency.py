"""Dependency head prediction: where in the sentence is each word's head. The linguistic pre-training task (Section
3.3)."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kadapter.scoring import metrics
from kadapter.tasks.base import IGNORE, Batch, Task
from kadapter.values import MaxLength, OneOf, checked, value

HEADS = ("position", "biaffine")
HeadType = Annotated[
    str,
    OneOf("head_type", HEADS),
    value("how a head is named: its `position` (the official code), or `biaffine`, over the tokens"),
]
LOST = -1  # a word whose head was cut off: no loss, and counted wrong


class DependencyTask(Task):
    """For each word, read at its first sub-word, the token position of its head's first sub-word; a root points at
    token 0, or at itself where the tokenizer begins a sequence with no special token (GPT-2, T5).

    Args:
        head_type: `position` classifies over the `max_length` positions (the paper); `biaffine` scores pairs of tokens
            (Dozat & Manning, 2017).
    """

    name, schema = "dependency", "dependency"
    pads = {"words": 0, "heads": IGNORE}

    @checked("task option", leave_out=("labels",))
    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: MaxLength = 64,
        head_type: HeadType = "position",
    ) -> None:
        super().__init__(labels, max_length)
        self.head_type = head_type

    def options(self) -> dict:
        return super().options() | {"head_type": self.head_type}

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        """Words are joined by spaces; the first token that touches a word is its first sub-word. A sentence past
        `max_length` keeps its beginning; words and heads that fall off count as wrong."""
        texts = [" ".join(words) for words in examples["words"]]
        encoding = tokenizer(
            texts, truncation=False, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False
        )
        columns: dict[str, list] = {"input_ids": [], "words": [], "heads": []}
        for row, (words, heads) in enumerate(zip(examples["words"], examples["heads"], strict=True)):
            special = np.asarray(encoding["special_tokens_mask"][row], dtype=bool)
            starts, ends = np.asarray(encoding["offset_mapping"][row]).reshape(-1, 2).T
            lengths = np.array([len(w) for w in words])
            begin = np.concatenate([[0], np.cumsum(lengths + 1)[:-1]])
            body = np.flatnonzero(~special & (ends > starts))
            first = np.searchsorted(ends[body], begin, side="right")  # the first token that ends after the word begins
            touches = (
                (first < len(body)) & (starts[body][np.minimum(first, len(body) - 1)] < begin + lengths)
                if len(body)
                else first < 0
            )
            kept_body = np.flatnonzero(~special)[: self.max_length - int(special.sum())]
            positions = np.sort(np.concatenate([np.flatnonzero(special), kept_body]))
            place = np.full(len(special), LOST)
            place[positions] = np.arange(len(positions))
            at = np.where(touches, place[body[np.minimum(first, len(body) - 1)]] if len(body) else LOST, LOST)
            head = np.asarray(heads)
            root = 0 if special[0] else at  # where no special token begins the sequence, token 0 is a word
            target = np.where(head == 0, root, at[head - 1])
            columns["input_ids"].append(np.asarray(encoding["input_ids"][row])[positions].tolist())
            columns["words"].append(np.maximum(at, 0).tolist())
            columns["heads"].append(np.where(at == LOST, LOST, target).tolist())
        return columns

    def head(self, width: int, hidden: int) -> nn.Module:
        return (PositionHead if self.head_type == "position" else BiaffineHead)(width, hidden, self.max_length)

    def loss(self, logits: Float[Tensor, "batch words positions"], batch: Batch) -> Float[Tensor, ""]:
        targets = batch["heads"].clone()
        targets[targets == LOST] = IGNORE
        total = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum")
        return total / (targets != IGNORE).sum().clamp(min=1)

    def outputs(self, logits: Float[Tensor, "batch words positions"], batch: Batch) -> list[np.ndarray]:
        """Per sentence the predicted position of each word's head."""
        best = logits.argmax(-1).cpu().numpy()
        real = (batch["heads"] != IGNORE).cpu().numpy()
        return [row[keep] for row, keep in zip(best, real, strict=True)]

    def decide(self, outputs: Sequence[np.ndarray] | np.ndarray, encoded=None) -> Sequence[np.ndarray]:
        return list(outputs)

    def references(self, encoded) -> list[np.ndarray]:
        return encoded.columns["heads"].rows()

    @property
    def metric(self) -> metrics.Metric:
        return metrics.get("uas")


def take_words(fused: Float[Tensor, "batch tokens width"], batch: Batch) -> Float[Tensor, "batch words width"]:
    """The vectors at each word's first sub-word."""
    return fused.gather(1, batch["words"][..., None].expand(-1, -1, fused.shape[-1]))


class PositionHead(nn.Module):
    """The official linguistic head: one single-head BERT attention layer, a dense layer, and a linear layer to
    positions."""

    def __init__(self, width: int, hidden: int, max_length: int, dropout: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        # A concatenated representation is first brought to the backbone's width; a projected one has it already.
        self.reduce = nn.Identity() if width == hidden else nn.Linear(width, hidden)
        self.query, self.key, self.value, self.attention_output = (nn.Linear(hidden, hidden) for _ in range(4))
        self.norm = nn.LayerNorm(hidden, eps=eps)
        self.dense = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, max_length)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, fused: Float[Tensor, "batch tokens width"], batch: Batch
    ) -> Float[Tensor, "batch words positions"]:
        x = self.reduce(fused)
        mask: Bool[Tensor, "batch 1 tokens"] = batch["attention_mask"].bool()[:, None, :]
        # Only the words' rows are read, so only they ask.
        words = take_words(x, batch)
        attended = F.scaled_dot_product_attention(
            self.query(words),
            self.key(x),
            self.value(x),
            attn_mask=mask,
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        words = self.norm(words + self.dropout(self.attention_output(attended)))
        return self.out(self.dropout(self.dense(words)))


class BiaffineHead(nn.Module):
    """Biaffine attention between words and candidate head tokens (Dozat & Manning, 2017, eq. 6-9)."""

    def __init__(self, width: int, hidden: int, max_length: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.dependent = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout))
        self.governor = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout))
        self.pair = nn.Linear(hidden, hidden, bias=False)
        self.bias = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(self.pair.weight)

    def forward(self, fused: Float[Tensor, "batch tokens width"], batch: Batch) -> Float[Tensor, "batch words tokens"]:
        dependent, governor = self.dependent(take_words(fused, batch)), self.governor(fused)
        scores = torch.einsum("bwh,bth->bwt", self.pair(dependent), governor) + self.bias(governor).transpose(1, 2)
        return scores.masked_fill(~batch["attention_mask"].bool()[:, None, :], torch.finfo(scores.dtype).min)
