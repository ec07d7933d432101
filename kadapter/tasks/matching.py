"""Which of several texts fits a first one: descriptions of head and tail under a relation, by TransE's loss (KEPLER,
Wang et al., 2021), or sentences about the same pair, by the product of their vectors (Matching the Blanks, Baldini
Soares et al., 2019)."""

import zlib
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kadapter.scoring import metrics
from kadapter.tasks.base import Batch, BestOfTask, by_group, crop, pool_spans
from kadapter.values import MaxLength, OneOf, checked, value

SCORERS = ("product", "translation")


class MatchingTask(BestOfTask):
    """One score for each text beside the first, which is encoded apart from them; the highest is chosen.

    What is read of a text is the mean of each of its spans, or of all its tokens; one linear layer makes the vector of
    either side. `product`: the cosine of the two, scaled. `translation`: the margin less the distance of head plus
    relation from tail (TransE). The loss is that of KEPLER with either score: the right text is to score above 0, the
    wrong ones below, `-log s(right) - mean log s(-wrong)`.

    Args:
        labels: the relations, each with a vector for `translation`.
        scorer, in_batch: see their annotations.
    """

    name, schema = "matching", "match"

    @checked("task option", leave_out=("labels",))
    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: MaxLength = 64,
        scorer: Annotated[
            str,
            OneOf("scorer", SCORERS),
            value("`product` of two vectors, or their distance after a `translation` by the relation's vector"),
        ] = "product",
        in_batch: Annotated[bool, value("the right texts of a batch are wrong ones for each other in training")] = True,
    ) -> None:
        super().__init__(labels, max_length)
        self.scorer, self.in_batch = scorer, in_batch

    def options(self) -> dict:
        return super().options() | {"scorer": self.scorer, "in_batch": self.in_batch}

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        """A row of `input_ids` and `spans` per text, the first before those that may fit it; what is over `max_length`
        is cut around the spans, or from the end."""
        texts = [text for each in examples["texts"] for text in each]
        encoding = tokenizer(
            [text["text"] for text in texts],
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            verbose=False,
        )
        columns: dict[str, list] = {
            "input_ids": [], "spans": [], "sequences": [len(each) for each in examples["texts"]],
            "labels": examples["answer"],
            "keys": [  # of the right texts: the same one is no wrong one for another example of a batch
                zlib.crc32(texts[1 + answer]["text"].encode())
                for texts, answer in zip(examples["texts"], examples["answer"], strict=True)
            ],
            "relations": [
                self.label_id(label, f"record {id}")
                for label, id in zip(examples["label"], examples["id"], strict=True)
            ],
        }  # fmt: skip
        for row, text in enumerate(texts):
            special = np.asarray(encoding["special_tokens_mask"][row], dtype=bool)
            starts, ends = np.asarray(encoding["offset_mapping"][row]).reshape(-1, 2).T
            body = np.flatnonzero(~special)
            found = [_tokens(starts[body], ends[body], span["start"], span["end"]) for span in text["spans"]]
            room = self.max_length - int(special.sum())
            kept = crop(len(body), found, room) if found else np.arange(min(len(body), room))
            positions = np.sort(np.concatenate([np.flatnonzero(special), body[kept]]))
            columns["input_ids"].append(np.asarray(encoding["input_ids"][row])[positions].tolist())
            place = np.full(len(body), -1)
            place[kept] = np.searchsorted(positions, body[kept])
            spans = [_moved(place, start, end) for start, end in found]
            columns["spans"].append(spans or [(0, len(positions))])
        return columns

    def head(self, width: int, hidden: int) -> nn.Module:
        return MatchingHead(width, hidden, max(1, len(self.labels)), self.scorer, self.in_batch)

    def loss(self, logits: Float[Tensor, "batch texts"], batch: Batch) -> Float[Tensor, ""]:
        """Mean over examples; what scores -inf is no text of an example."""
        right = F.one_hot(batch["labels"], logits.shape[1]).bool()
        real = torch.isfinite(logits)
        wrong = real & ~right
        scores = logits.float().masked_fill(~real, 0.0)
        loss = -F.logsigmoid(scores[right])
        below = -(F.logsigmoid(-scores) * wrong).sum(1) / wrong.sum(1).clamp(min=1)
        return (loss + below).mean()

    def outputs(self, logits: Float[Tensor, "batch texts"], batch: Batch) -> list[np.ndarray]:
        counts = (torch.bincount(batch["group"]) - 1).tolist()
        return [row[:count] for row, count in zip(logits.float().cpu().numpy(), counts, strict=True)]

    def constant(self, train, test) -> np.ndarray:
        """The place at which the right text stands most often."""
        return np.full(len(test), np.bincount(train.columns["labels"]).argmax())

    @property
    def metric(self) -> metrics.Metric:
        return metrics.get("accuracy")


def _tokens(starts: np.ndarray, ends: np.ndarray, low: int, high: int) -> tuple[int, int]:
    """The tokens [start, end) that touch characters [low, high); never empty."""
    inside = np.flatnonzero((ends > low) & (starts < high) & (ends > starts))
    return (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 1)


def _moved(place: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """A token span after cropping; never empty."""
    kept = place[start:end][place[start:end] >= 0]
    return (int(kept[0]), int(kept[-1]) + 1) if len(kept) else (0, 1)


class MatchingHead(nn.Module):
    """A linear layer to the vectors of all texts, and the score of each with the first of its example.

    Args:
        relations: each has a vector, where the scorer is `translation`.
        in_batch: in training the right texts of other examples are scored, too, unless they are the same text.
    """

    margin = 6.0  # of TransE's distances; vectors have length 1 for head and tail, times `scale`

    def __init__(self, width: int, hidden: int, relations: int, scorer: str, in_batch: bool) -> None:
        super().__init__()
        self.scorer, self.in_batch = scorer, in_batch
        self.project = nn.Linear(width, hidden)
        self.scale = nn.Parameter(torch.tensor(10.0 if scorer == "product" else 6.0))
        self.bias = nn.Parameter(torch.tensor(0.0))
        self.relations = nn.Embedding(relations, hidden) if scorer == "translation" else None
        if self.relations is not None:
            nn.init.normal_(self.relations.weight, std=0.02)

    def forward(self, fused: Float[Tensor, "texts tokens width"], batch: Batch) -> Float[Tensor, "batch others"]:
        spans = batch["spans"]
        pooled = pool_spans(fused, spans).view(len(fused), spans.shape[1], -1)
        vectors = F.normalize(self.project(pooled), dim=-1).flatten(1)  # (texts, mentions x hidden)
        group = batch["group"]
        first = torch.ones_like(group, dtype=torch.bool)
        first[1:] = group[1:] != group[:-1]
        asked, others = vectors[first], vectors[~first]
        if self.relations is not None:
            asked = asked + self.relations(batch["relations"]).repeat(1, spans.shape[1])
        scores = by_group(self._score(asked[group[~first]], others), group[~first], float("-inf"))
        if not (self.training and self.in_batch):
            return scores
        starts = torch.cat([group.new_zeros(1), torch.bincount(group[~first]).cumsum(0)[:-1]])
        right = starts + batch["labels"]
        across = self._score(asked[:, None], others[right][None])  # (batch, batch)
        same = batch["keys"][:, None] == batch["keys"][None]
        return torch.cat([scores, across.masked_fill(same, float("-inf"))], 1)

    def _score(self, asked: Float[Tensor, "..."], other: Float[Tensor, "..."]) -> Tensor:
        if self.scorer == "product":
            mentions = asked.shape[-1] // self.project.out_features
            return self.scale * (asked * other).sum(-1) / mentions + self.bias
        return self.margin - self.scale * (asked - other).norm(dim=-1) + self.bias
