"""Few-shot relation classification: which of N classes, known by K examples each, does a query belong to (FewRel, Han
et al., 2018). A pair matcher, as in Zhang et al., 2023: query and support are read together."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.scoring.metric import Metric
from kadapter.scoring.metrics import EpisodicAccuracy
from kadapter.tasks.base import Batch, BestOfTask, Read, encode_marked, pair_template, read_sequences
from kadapter.values import MaxLength, checked

HEAD, TAIL = "#", "$"  # around the subject and the object, as in the official code


class FewShotTask(BestOfTask):
    """A score for each pair of the query and a support, `[CLS] query [SEP] support [SEP]`; a class has the mean of its
    supports, and the highest is chosen.

    Query and support each have half of the length, cropped around their mentions where they are longer. A model is
    trained on episodes of one size and may be asked those of another (`kadapter.data.episodes`).

    Args:
        pooling: `first` reads the first token; `mean` averages the pair, for backbones whose first token has seen
            nothing (decoders).
    """

    name, schema = "fewshot", "episode"
    pads = {"segments": 0}

    @checked("task option", leave_out=("labels",))
    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: MaxLength = 512,
        pooling: Read = "first",
    ) -> None:
        super().__init__(labels, max_length)
        self.pooling = pooling

    def options(self) -> dict:
        return super().options() | {"pooling": self.pooling}

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        """A row of `input_ids`, `segments` and `way` (the class of its support) per pair; a row of `labels` and
        `episode` per query. Raises KAdapterError for examples that are no episodes."""
        if "supports" not in examples:
            raise KAdapterError(
                f"task fewshot: found examples with {', '.join(examples)}; expected episodes, as "
                "kadapter.data.episodes draws them from a relation dataset"
            )
        queries = [{name: examples[name][i] for name in _MARKED} for i in range(len(examples["text"]))]
        pieces = self._pieces(tokenizer, [*queries, *(s for supports in examples["supports"] for s in supports)])
        before, between, after = pair_template(tokenizer)
        asked, known = pieces[: len(queries)], iter(pieces[len(queries) :])
        rows: list[list[int]] = []
        segments: list[list[int]] = []
        ways: list[int] = []
        for query, supports, count in zip(asked, examples["supports"], examples["ways"], strict=True):
            first = before + query + between
            for number in range(len(supports)):
                second = next(known) + after
                rows.append(first + second)
                segments.append([0] * len(first) + [1] * len(second))
                ways.append(number * count // len(supports))
        counts = [len(supports) for supports in examples["supports"]]
        return {
            "input_ids": rows, "segments": segments, "way": ways, "sequences": counts,
            "labels": examples["label"], "episode": examples["episode"],
        }  # fmt: skip

    def _pieces(self, tokenizer: PreTrainedTokenizerBase, examples: Sequence[dict]) -> list[list[int]]:
        """Each text between its markers, without special tokens; equal texts are cut once."""
        index: dict[tuple, int] = {}
        places = [index.setdefault(tuple(example[name] for name in _MARKED), len(index)) for example in examples]
        marks = [[(s, e, HEAD, HEAD), (o, t, TAIL, TAIL)] for _, s, e, o, t in index]
        special = np.asarray(tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"])
        lead, trail = int(special.argmin()), int(special[::-1].argmin())
        room = (self.max_length - sum(map(len, pair_template(tokenizer)))) // 2
        ids, _ = encode_marked(tokenizer, [text for text, *_ in index], marks, room + lead + trail)
        return [ids[place][lead : len(ids[place]) - trail] for place in places]

    def head(self, width: int, hidden: int) -> nn.Module:
        return PairHead(width, hidden, self.pooling)

    def outputs(self, logits: Float[Tensor, "batch ways"], batch: Batch) -> list[np.ndarray]:
        return [row[np.isfinite(row)] for row in logits.float().cpu().numpy()]

    def references(self, encoded) -> np.ndarray:
        """(queries, 2): the right class of each, and its episode."""
        return np.stack([encoded.columns["labels"], encoded.columns["episode"]], axis=1)

    def constant(self, train, test) -> np.ndarray:
        return np.zeros(len(test), dtype=np.int64)

    @property
    def metric(self) -> Metric:
        return EpisodicAccuracy()


_MARKED = ("text", "subj_start", "subj_end", "obj_start", "obj_end")


class PairHead(nn.Module):
    """BERT's pooler (dense, tanh; here from fresh weights), dropout and a linear layer to one score per pair; a class
    has the mean over its supports."""

    def __init__(self, width: int, hidden: int, pooling: str, dropout: float = 0.1) -> None:
        super().__init__()
        self.pooling = pooling
        self.dense = nn.Linear(width, hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, 1)

    def forward(self, fused: Float[Tensor, "pairs tokens width"], batch: Batch) -> Float[Tensor, "batch ways"]:
        read = read_sequences(fused, batch, self.pooling)
        scores = self.out(self.dropout(torch.tanh(self.dense(read)))).squeeze(-1)
        return mean_of_ways(scores, batch["group"], batch["way"])


def mean_of_ways(
    scores: Float[Tensor, " pairs"], group: Int[Tensor, " pairs"], way: Int[Tensor, " pairs"]
) -> Float[Tensor, "batch ways"]:
    """The mean score of each query's classes; -inf where another query of the batch has more classes."""
    ways = int(way.max()) + 1
    place = group * ways + way
    cells = (int(group.max()) + 1) * ways
    total = scores.new_zeros(cells).index_add(0, place, scores)
    count = torch.bincount(place, minlength=cells).to(scores.dtype)
    return torch.where(count > 0, total / count.clamp(min=1), float("-inf")).view(-1, ways)
