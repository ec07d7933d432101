"""What every task shares: marking mentions in any tokenizer's tokens, cropping to a length, pooling spans, and the base
class."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.scoring.metric import Metric
from kadapter.values import MaxLength, OneOf, value

Batch = dict[str, Tensor]
POOLING = ("marker", "mean")
Pooling = Annotated[
    str,
    OneOf("pooling", POOLING),
    value("what stands for a mention: `marker`, the vector at its opening marker, or `mean`, over the mention"),
]
READING = ("first", "mean")
Read = Annotated[
    str,
    OneOf("pooling", READING),
    value("what stands for a sequence: `first`, the vector at its first token, or `mean`, over all"),
]
IGNORE = -100  # PyTorch's ignored class


class Task(ABC):
    """One kind of question about a text.

    Attributes:
        name: its name in the catalog.
        schema: the name of the schema it reads (`kadapter.formats.schemas`).
        labels: the label list, in the order of the logits ([] where there is none).
        max_length: longest input in sub-word tokens, special tokens included.
        pads: padding value of each ragged column beside `input_ids`.
        rule: how logits become an answer, in a sentence for people ("" where there are no labels).
        aside: the columns of `encode` that no batch holds (see `kadapter.training.batches.Encoded`).
        apart: the column of `encode` that says which examples stand in batches of their own, if any.
        batch_tokens: most padded tokens that a batch of predictions may have.
        speaks: its answers are tokens: `head` is given a language head, too, and the task says how it reads (`reading`)
            and which head it wants (`language_head`); see `kadapter.model.language_head.build_head`.
    """

    name: str
    schema: str
    apart: str = ""
    batch_tokens: int = 8192
    speaks: bool = False
    pads: dict[str, int] = {}
    aside: tuple[str, ...] = ()

    def __init__(self, labels: Sequence[str] = (), max_length: MaxLength = 64) -> None:
        self.labels, self.max_length = list(labels), max_length
        self.index = {label: i for i, label in enumerate(self.labels)}

    @property
    def rule(self) -> str:
        """How logits become an answer, in a sentence for people; "" where there are no labels."""
        return ""

    def options(self) -> dict:
        """The keyword arguments that build this task again."""
        return {"labels": self.labels, "max_length": self.max_length}

    def label_id(self, label: str, where: str) -> int:
        """Index of a label. Raises KAdapterError for one that training never saw."""
        if label not in self.index:
            raise KAdapterError(
                f"{where}: label {label!r} is not among the {len(self.labels)} labels of training "
                f"({', '.join(self.labels[:5])}{', ...' if len(self.labels) > 5 else ''}); "
                "train with a file that has it, or remove the record"
            )
        return self.index[label]

    @abstractmethod
    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        """Columns of examples (one list per schema column) to columns of model inputs and targets; `input_ids` among
        them, and `sequences`, how many each example has, where it is not one."""

    @abstractmethod
    def head(self, width: int, hidden: int) -> nn.Module:
        """A new head: called as `head(fused, batch)` on (batch, tokens, width). `hidden` is the backbone's width."""

    @abstractmethod
    def loss(self, logits: Tensor, batch: Batch) -> Float[Tensor, ""]:
        """Mean loss of a batch."""

    def outputs(self, logits: Tensor, batch: Batch) -> list[np.ndarray]:
        """What is kept of each example's logits: one array an example, without padding."""
        return list(logits.float().cpu().numpy())

    @abstractmethod
    def decide(self, outputs: Sequence[np.ndarray] | np.ndarray, encoded=None) -> Sequence | np.ndarray:
        """Predictions in the form that `metric` takes. `encoded`, the examples, is needed where an answer quotes them
        (reading)."""

    @abstractmethod
    def references(self, encoded) -> Sequence | np.ndarray:
        """Gold answers of encoded examples in the form that `metric` takes."""

    @property
    @abstractmethod
    def metric(self) -> Metric:
        """The scorer of this task."""

    def counts(self, encoded) -> dict[str, int]:
        """What is to be told of encoded examples beside their number, as how many cannot be learned from."""
        return {}

    def constant(self, train, test) -> Sequence | np.ndarray | None:
        """What who only counts the answers of encoded training examples would say of others, in the form that `metric`
        takes: a baseline. None where there is no such answer."""
        return None

    def metrics(self, predictions: Sequence | np.ndarray, references: Sequence | np.ndarray) -> dict[str, float]:
        """Scores as fractions."""
        return self.metric(predictions, references)


class BestOfTask(Task):
    """One of several, its number in the column `labels`: the one with the highest score is the answer."""

    def loss(self, logits: Float[Tensor, "batch choices"], batch: Batch) -> Float[Tensor, ""]:
        """Cross-entropy over what each example chooses from."""
        return F.cross_entropy(logits.float(), batch["labels"])

    def decide(self, outputs: Sequence[np.ndarray] | np.ndarray, encoded=None) -> np.ndarray:
        return np.array([np.argmax(scores) for scores in outputs], dtype=np.int64)

    def references(self, encoded) -> np.ndarray:
        return encoded.columns["labels"]


def crop(tokens: int, keep: Sequence[tuple[int, int]], budget: int) -> np.ndarray:
    """Indices of at most `budget` of `tokens` body tokens, holding the spans `keep` and as much context around them as
    fits.

    Context is taken evenly from both sides; spans further apart than the budget lose tokens from the text between them,
    and a span longer than its share is cut at its end. Indices ascend.
    """
    if tokens <= budget:
        return np.arange(tokens)
    low, high = min(s for s, _ in keep), max(e for _, e in keep)
    if high - low <= budget:
        start = min(max(0, low - (budget - (high - low)) // 2), tokens - budget)
        return np.arange(start, start + budget)
    chosen = np.zeros(tokens, dtype=bool)
    share = budget // len(keep)
    for start, end in keep:
        chosen[start : min(end, start + share)] = True
    for i in range(low, high):  # fill up from the first span on, reading order
        if chosen.sum() >= budget:
            break
        chosen[i] = True
    return np.flatnonzero(chosen)


def encode_marked(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    mentions: Sequence[Sequence[tuple[int, int, str, str]]],
    max_length: int,
) -> tuple[list[list[int]], list[list[tuple[int, int, int, int]]]]:
    """Tokenise texts with each mention between its markers.

    Args:
        mentions: per text, (start, end, opening marker, closing marker) in characters; of an opening marker of several
            words the first stands for it.

    Returns:
        `input_ids`, and per mention (marker start, marker end, span start, span end) in tokens, end exclusive: the
        opening marker, and the mention between the markers.
    """
    marked, anchors = [], []
    for text, spans in zip(texts, mentions, strict=True):
        # (position, closing before opening, outer opens first and closes last, marker, mention, kind)
        inserts: list[tuple[int, int, int, str, int, str]] = []
        for m, (start, end, opening, closing) in enumerate(spans):
            inserts.append((start, 1, -end, opening, m, "open"))
            inserts.append((end, 0, -start, closing, m, "close"))
        out, at, anchor = "", 0, [[0, 0, 0, 0] for _ in spans]
        for position, _, _, marker, m, kind in sorted(inserts, key=lambda insert: insert[:3]):
            out += text[at:position]
            at = position
            if kind == "open":
                out += "" if not out or out[-1].isspace() else " "
                anchor[m][0] = len(out)
                anchor[m][1] = len(out) + len(marker.split()[0])
                out += f"{marker} "
                anchor[m][2] = len(out)
            else:
                anchor[m][3] = len(out)
                out += " " + marker
                out += "" if at == len(text) or text[at].isspace() else " "
        marked.append(out + text[at:])
        anchors.append(anchor)
    encoding = tokenizer(
        marked,
        add_special_tokens=True,
        truncation=False,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        verbose=False,
    )
    ids_out, spans_out = [], []
    for ids, offsets, special, anchor in zip(
        encoding["input_ids"], encoding["offset_mapping"], encoding["special_tokens_mask"], anchors, strict=True
    ):
        special = np.asarray(special, dtype=bool)
        offsets = np.asarray(offsets).reshape(-1, 2)
        body = np.flatnonzero(~special)
        starts, ends = offsets[body, 0], offsets[body, 1]

        def tokens(low: int, high: int, starts=starts, ends=ends) -> tuple[int, int]:
            inside = np.flatnonzero((ends > low) & (starts < high) & (ends > starts))
            return (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 1)

        found = [(*tokens(a[0], a[1]), *tokens(a[2], a[3])) for a in anchor]
        kept = crop(len(body), [(min(s[0], s[2]), max(s[1], s[3])) for s in found], max_length - int(special.sum()))
        place = np.full(len(body) + 1, -1)
        positions = np.sort(np.concatenate([np.flatnonzero(special), body[kept]]))
        place[kept] = np.searchsorted(positions, body[kept])
        ids_out.append(np.asarray(ids)[positions].tolist())
        spans_out.append([(*_moved(place, s[0], s[1]), *_moved(place, s[2], s[3])) for s in found])
    return ids_out, spans_out


def chosen_spans(found: list[list[tuple[int, int, int, int]]], pooling: str) -> list[list[tuple[int, int]]]:
    """Of what `encode_marked` found, the spans [start, end) that a pooling reads."""
    first = 0 if pooling == "marker" else 2
    return [[(mention[first], mention[first + 1]) for mention in mentions] for mentions in found]


def _moved(place: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """A token span after cropping; never empty."""
    kept = place[start:end][place[start:end] >= 0]
    return (int(kept[0]), int(kept[-1]) + 1) if len(kept) else (0, 1)


def pool_spans(
    fused: Float[Tensor, "batch tokens width"], spans: Int[Tensor, "batch mentions 2"]
) -> Float[Tensor, "batch mentions_x_width"]:
    """Mean of the vectors in each span [start, end), the mentions concatenated. A span of one token is that token's
    vector."""
    position = torch.arange(fused.shape[1], device=fused.device)
    inside = (position >= spans[..., :1]) & (position < spans[..., 1:])  # (batch, mentions, tokens)
    weight = inside.to(fused.dtype) / inside.sum(-1, keepdim=True).clamp(min=1).to(fused.dtype)
    return torch.einsum("bmt,btw->bmw", weight, fused).flatten(1)


def read_sequences(fused: Float[Tensor, "sequences tokens width"], batch: Batch, pooling: str) -> Tensor:
    """What stands for each sequence, (sequences, width), by a pooling of `READING`."""
    if pooling == "first":
        return fused[:, 0]
    mask = batch["attention_mask"].to(fused.dtype)
    return torch.einsum("st,stw->sw", mask / mask.sum(-1, keepdim=True), fused)


def pair_template(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int], list[int]]:
    """The special tokens that a tokenizer puts before, between and after the two texts of a pair.

    RoBERTa's are <s>, </s></s> and </s>, BERT's [CLS], [SEP] and [SEP]; GPT-2 has none.
    """
    encoding = tokenizer("a", "b")
    part = np.array([-1 if s is None else s for s in encoding.sequence_ids(0)])
    first, second = np.flatnonzero(part == 0), np.flatnonzero(part == 1)
    ids = list(encoding["input_ids"])
    return ids[: first[0]], ids[first[-1] + 1 : second[0]], ids[second[-1] + 1 :]


def by_group(
    values: Shaped[Tensor, "sequences *rest"], group: Int[Tensor, " sequences"], fill: float | bool
) -> Shaped[Tensor, "examples most *rest"]:
    """The values of each example's sequences side by side, `fill` where an example has fewer than another. `group` is
    ascending (see `kadapter.training.batches.Encoded`)."""
    counts = torch.bincount(group)
    place = torch.arange(len(group), device=group.device) - (counts.cumsum(0) - counts)[group]
    out = values.new_full((len(counts), int(counts.max()), *values.shape[1:]), fill)
    out[group, place] = values
    return out


class SpanClassifier(nn.Module):
    """Dense, dropout, out over pooled spans, as the official heads: no non-linearity between (ledger row 11)."""

    def __init__(self, width: int, hidden: int, mentions: int, labels: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.dense = nn.Linear(width * mentions, hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, labels)

    def forward(self, fused: Float[Tensor, "batch tokens width"], batch: Batch) -> Float[Tensor, "batch labels"]:
        return self.out(self.dropout(self.dense(pool_spans(fused, batch["spans"]))))
