"""Dependency relations: each word's head and the relation to it (Table 1 of the paper: "dependency relation"), with
Dozat & Manning's biaffine classifiers."""

import re
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.scoring import metrics
from kadapter.tasks.base import IGNORE, Batch
from kadapter.tasks.dependency import LOST, BiaffineHead, DependencyTask, HeadType, PositionHead, take_words
from kadapter.values import MaxLength, checked

RELATIONS = (
    "acl advcl advmod amod appos aux case cc ccomp clf compound conj cop csubj dep det discourse dislocated expl fixed "
    "flat goeswith iobj list mark nmod nsubj nummod obj obl orphan parataxis punct reparandum root vocative xcomp"
).split()
"""The 37 relations of Universal Dependencies; a subtype (nsubj:pass) counts as its relation."""

SUBTYPE = re.compile(r"[^a-z]")


class DependencyRelationTask(DependencyTask):
    """The head of each word, as `DependencyTask` has it, and one of 37 relations between the two. The loss is the sum
    of both; the relation is learned at the right head and predicted at the predicted one.

    Args:
        head_type: as of `DependencyTask`.
    """

    name, schema = "dependency_relation", "dependency"
    pads = DependencyTask.pads | {"relations": IGNORE}

    @checked("task option", leave_out=("labels",))
    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: MaxLength = 64,
        head_type: HeadType = "biaffine",
    ) -> None:
        super().__init__(RELATIONS, max_length, head_type)

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        """Raises KAdapterError for a relation that is none of Universal Dependencies."""
        columns = super().encode(tokenizer, examples)
        columns["relations"] = []
        for heads, deprels, id in zip(columns["heads"], examples["deprels"], examples["id"], strict=True):
            names = [SUBTYPE.split(deprel)[0] for deprel in deprels]
            if (unknown := next((name for name in names if name not in self.index), None)) is not None:
                raise KAdapterError(
                    f"record {id}: relation {unknown!r} is none of Universal Dependencies' {len(RELATIONS)}; expected "
                    "a treebank in that scheme (spaCy's English model has another, stanza's models write it)"
                )
            ids = [self.index[name] for name in names]
            columns["relations"].append([LOST if head == LOST else id for head, id in zip(heads, ids, strict=True)])
        return columns

    def head(self, width: int, hidden: int) -> nn.Module:
        inner = (PositionHead if self.head_type == "position" else BiaffineHead)(width, hidden, self.max_length)
        return LabelledHead(inner, width, hidden, len(RELATIONS))

    def loss(self, logits: Float[Tensor, "batch words scores"], batch: Batch) -> Float[Tensor, ""]:
        heads, relations = self._parts(logits)
        targets = batch["relations"].masked_fill(batch["relations"] == LOST, IGNORE)
        total = F.cross_entropy(
            relations.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum"
        )
        return super().loss(heads, batch) + total / (targets != IGNORE).sum().clamp(min=1)

    def _parts(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        return logits[..., : -len(RELATIONS)], logits[..., -len(RELATIONS) :]

    def outputs(self, logits: Float[Tensor, "batch words scores"], batch: Batch) -> list[np.ndarray]:
        """Per sentence (words, 2): the predicted position of each word's head, and the relation to it."""
        heads, relations = self._parts(logits)
        best = torch.stack([heads.argmax(-1), relations.argmax(-1)], -1).cpu().numpy()
        real = (batch["heads"] != IGNORE).cpu().numpy()
        return [row[keep] for row, keep in zip(best, real, strict=True)]

    def references(self, encoded) -> list[np.ndarray]:
        """Per sentence (words, 2)."""
        pairs = zip(encoded.columns["heads"].rows(), encoded.columns["relations"].rows(), strict=True)
        return [np.stack(pair, -1) for pair in pairs]

    def constant(self, train, test) -> list[np.ndarray]:
        """Every word hangs on the token after its own by training's most frequent relation."""
        found = train.columns["relations"].values
        relation = np.bincount(found[found >= 0]).argmax()
        return [np.stack([row + 1, np.full(len(row), relation)], -1) for row in test.columns["words"].rows()]

    @property
    def metric(self) -> metrics.Metric:
        return metrics.get("las")


class LabelledHead(nn.Module):
    """The scores of a head's positions, and after them those of the relations to one head: the right one in training,
    the best one else. A bilinear form of word and head, and a linear one of each (Dozat & Manning, 2017, eq. 12)."""

    def __init__(self, heads: nn.Module, width: int, hidden: int, relations: int, rank: int = 64) -> None:
        super().__init__()
        self.heads = heads
        self.dependent, self.governor = (
            nn.Sequential(nn.Linear(width, rank), nn.GELU(), nn.Dropout(0.1)) for _ in range(2)
        )
        self.pair = nn.Linear(rank, relations * rank, bias=False)
        self.each = nn.Linear(2 * rank, relations)

    def forward(self, fused: Float[Tensor, "batch tokens width"], batch: Batch) -> Float[Tensor, "batch words scores"]:
        scores = self.heads(fused, batch)
        at = batch["heads"].clamp(min=0) if self.training else scores.argmax(-1).clamp(max=fused.shape[1] - 1)
        dependent, governor = self.dependent(take_words(fused, batch)), self.governor(fused)
        above = governor.gather(1, at[..., None].expand(-1, -1, governor.shape[-1]))
        pair = self.pair(dependent).unflatten(-1, (-1, above.shape[-1]))  # (batch, words, relations, rank)
        relations = torch.einsum("bwri,bwi->bwr", pair, above) + self.each(torch.cat([dependent, above], -1))
        return torch.cat([scores, relations.to(scores.dtype)], -1)
