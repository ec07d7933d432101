"""Cloze: predict the tokens of an object from its context, with the language head of the model (LAMA, Petroni et al.,
2019; Section 4.4 of the paper). Plain text beside the facts keeps the model speaking, or trains a new language head."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.scoring import metrics
from kadapter.tasks.base import IGNORE, Batch, MaxLength, Task
from kadapter.tasks.prompts import Prompts
from kadapter.values import OneOf, checked, value

READINGS = ("masked", "causal")
HEADS = ("own", "new", "tied")
CANDIDATES = ("vocabulary", "given")
PLAIN = -1  # the relation of plain text
Reading = Annotated[str, OneOf("reading", READINGS), value("`masked` or `causal`, as the backbone was pre-trained")]
Speaks = Annotated[
    str,
    OneOf("language_head", HEADS),
    value(
        "the backbone's `own`; or, trained: a `new` linear layer (the K-Adapter authors for LAMA), or a transform "
        "`tied` to the backbone's input embeddings (BERT's head)"
    ),
]


class ClozeTask(Task):
    """The answer that stood where a text has [MASK].

    `masked` reads the whole text, with a mask token for each piece of the answer; `causal` reads what stands left of
    [MASK], and the answer's pieces one after the other. An answer's score is the mean log-probability of its pieces.
    A text without [MASK] is plain: with `causal` each of its tokens is predicted from those before it, with `masked`
    those at a fixed 15 per cent of its places.

    Args:
        labels: the relations, whose scores are averaged; [] counts every fact alike.
        reading, language_head, candidates, keep, sampled: see their annotations.
    """

    name, schema, speaks = "cloze", "cloze", True
    pads = {"asked": -1, "labels": IGNORE, "pieces": 0, "order": -1}
    aside: tuple[str, ...] = ("relation",)
    apart = "plain"
    batch_tokens = 1024  # each token of plain text has as many scores as there are tokens in the vocabulary

    @checked("task option", leave_out=("labels",))
    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: MaxLength = 64,
        reading: Reading = "masked",
        language_head: Speaks = "own",
        candidates: Annotated[
            str,
            OneOf("candidates", CANDIDATES),
            value(
                "an answer's rank is that in the whole `vocabulary` (of several pieces: the worst, each given those "
                "before it, so that the first rank is greedy decoding), or among the candidates `given` in the data"
            ),
        ] = "vocabulary",
        keep: Annotated[
            float,
            value(
                "weight of the divergence from the backbone's own predictions of plain text; 0 predicts the text "
                "itself instead",
                0.0,
                1e6,
            ),
        ] = 0.0,
        sampled: Annotated[
            int,
            value(
                "tokens drawn in each step, against which (with the answers of training and the backbone's most "
                "probable tokens) the loss is computed, after `kadapter.training.recall`; 0: the whole vocabulary",
                0,
                1_000_000,
            ),
        ] = 0,
    ) -> None:
        super().__init__(labels, max_length)
        self.reading, self.language_head, self.candidates = reading, language_head, candidates
        self.keep, self.sampled = keep, sampled

    def options(self) -> dict:
        names = ("reading", "language_head", "candidates", "keep", "sampled")
        return super().options() | {name: getattr(self, name) for name in names}

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        """Raises KAdapterError for a text with several [MASK], a candidate or answer without pieces, and an answer that
        is not among the given candidates."""
        prompts = Prompts(tokenizer, self.reading, self.max_length)
        given = self.candidates == "given"
        names = ("input_ids", "asked", "labels", "plain", *(("pieces", "order", "right", "sequences") if given else ()))
        columns: dict[str, list] = {name: [] for name in (*names, "relation")}
        rows = (examples[name] for name in ("id", "relation", "text", "answer", "candidates"))
        texts = prompts.read(examples["text"], examples["id"])
        for prompt, id, relation, _, answer, candidates in zip(texts, *rows, strict=True):
            plain = prompt.mask is None
            columns["relation"].append(PLAIN if plain else self._relation(relation, id))
            known = candidates if given and not plain else [answer]
            if answer not in known:
                raise KAdapterError(f"record {id}: the answer {answer!r} is not among its {len(known)} candidates")
            if plain and given:
                raise KAdapterError(
                    f"record {id}: found plain text; expected [MASK] and candidates: its score is that "
                    "of a task with candidates='vocabulary'"
                )
            read = [prompts.plain(prompt)] if plain else prompts.asked(prompt, known, known.index(answer))
            for one in read:
                columns["input_ids"].append(one.ids)
                columns["asked"].append(one.asked)
                columns["labels"].append(one.labels)
                columns["plain"].append(int(plain))
                if given:
                    columns["pieces"].append(one.pieces)
                    columns["order"].append(one.order)
            if given:
                columns["sequences"].append(len(read))
                columns["right"].append(known.index(answer))
        return columns

    def _relation(self, relation: str, id: str) -> int:
        return self.label_id(relation, f"record {id}") if self.labels else 0

    def head(self, width: int, hidden: int, language: nn.Module | None = None) -> nn.Module:
        if language is None:
            raise KAdapterError("task cloze needs a model with a language head: set it with KnowledgeModel.set_task")
        return ClozeHead(language, own=self.language_head == "own", keep=self.keep, sampled=self.sampled)

    def loss(self, logits: Float[Tensor, "asked candidates"], batch: Batch) -> Float[Tensor, ""]:
        """Cross entropy of the answers, and `keep` times the divergence from the backbone's predictions of plain text;
        without `keep` plain text is predicted, too. Means over the asked positions; a part that a batch lacks is 0."""
        log = logits.float().log_softmax(-1)
        plain = flat_plain(batch) if self.keep else torch.zeros(len(log), dtype=torch.bool, device=log.device)
        where = torch.where(plain, IGNORE, batch["where"])
        loss = F.nll_loss(log, where, ignore_index=IGNORE, reduction="sum") / (where != IGNORE).sum().clamp(min=1)
        if self.keep and bool(plain.any()):
            before = batch["before"].float().log_softmax(-1)
            loss = loss + self.keep * (before.exp() * (before - log[plain])).sum() / plain.sum()
        return loss

    def outputs(self, logits: Float[Tensor, "asked vocabulary"], batch: Batch) -> list[np.ndarray]:
        """Per example its answer's rank, the log-probability of all its pieces, and their number; of given candidates
        the mean log-probability of each one's pieces."""
        log = logits.float().log_softmax(-1)
        asked = batch["asked"] >= 0
        if "order" in batch:
            return candidate_scores(log, asked, batch)
        labels = batch["labels"][asked]
        right = log.gather(1, labels.clamp(min=0)[:, None])[:, 0]
        rank = (1.0 + (log > right[:, None]).sum(-1)).masked_fill(labels == IGNORE, math.inf)
        found = torch.zeros(*asked.shape, 3, device=log.device)
        found[asked] = torch.stack([rank, right.masked_fill(labels == IGNORE, 0.0), (labels != IGNORE).float()], -1)
        return list(torch.cat([found[..., :1].amax(1), found[..., 1:].sum(1)], -1).cpu().numpy())

    def decide(self, outputs: Sequence[np.ndarray] | np.ndarray, encoded=None) -> np.ndarray:
        """(examples, 3): the answer's rank, its log-probability, and its number of pieces."""
        if self.candidates == "vocabulary":
            return np.asarray(outputs)
        right = encoded.columns["right"]
        return np.array(
            [[1 + (scores > scores[k]).sum(), scores[k], 1] for scores, k in zip(outputs, right, strict=True)], float
        )

    def references(self, encoded) -> np.ndarray:
        """(examples,) each one's relation, -1 for plain text."""
        return np.asarray(encoded.aside["relation"])

    @property
    def metric(self) -> metrics.Metric:
        return metrics.get("cloze", relations=max(1, len(self.labels)))


class ClozeHead(nn.Module):
    """Scores tokens at the asked positions alone, with a language head.

    It also adds to the batch what the loss reads: `where`, the column of each label, and `before`, the scores of the
    backbone alone at the positions of plain text.

    Args:
        language: see `kadapter.model.language_head`.
        own: it is the backbone's: not trained, and not saved with the model.
        keep, sampled: as the task's.
    """

    def __init__(self, language: nn.Module, own: bool, keep: float, sampled: int) -> None:
        super().__init__()
        self._own = (language,) if own else ()
        self.trained = None if own else language
        self.keep, self.sampled = keep, sampled
        self.answers: Tensor | None = None  # the tokens of all answers of training, where the loss is sampled
        self.tokens: Tensor | None = None  # the tokens that are told apart while the head trains, ascending; None: all

    @property
    def language(self) -> Any:
        """The language head: the backbone's own, or a new one."""
        return self._own[0] if self._own else self.trained

    def _apply(self, fn, recurse: bool = True):
        for language in self._own:  # no submodule, but it goes where the model goes
            language._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def forward(self, fused: Float[Tensor, "batch tokens width"], batch: Batch) -> Float[Tensor, "asked candidates"]:
        asked = batch["asked"] >= 0
        rows = torch.nonzero(asked)[:, 0]
        places = batch["asked"][asked]
        now = fused[rows, places]
        if self.training and "known_ids" in batch:
            return self._sampled(now, batch["last"][rows, places], asked, batch)
        batch["where"] = batch["labels"][asked]
        if self.training and self.tokens is not None:
            where = torch.searchsorted(self.tokens, batch["where"].clamp(min=0))
            batch["where"] = where.masked_fill(batch["where"] == IGNORE, IGNORE)
            return self.language(now, self.tokens)
        if self.keep and bool((plain := flat_plain(batch)).any()):
            with torch.no_grad():
                batch["before"] = self.language(batch["last"][rows, places][plain])
        return self.language(now)

    def _sampled(
        self,
        now: Float[Tensor, "asked width"],
        last: Float[Tensor, "asked width"],
        asked: Bool[Tensor, "..."],
        batch: Batch,
    ) -> Float[Tensor, "asked candidates"]:
        """Log-probabilities, up to a constant, of [answers and drawn tokens | the backbone's most probable tokens |
        all others], the last as one, whose share is taken not to move."""
        drawn = torch.randint(self.language.vocabulary, (self.sampled,), device=now.device)
        labels = batch["labels"][asked]
        assert self.answers is not None  # set where the loss is sampled
        columns = torch.cat([self.answers, drawn, labels[labels != IGNORE]]).unique()
        known = batch["known_ids"].view(*asked.shape, -1)[asked]  # (asked, known)
        again = torch.isin(known, columns)
        with torch.no_grad():
            old = torch.cat([self.language(last, columns), self.language(last, known).masked_fill(again, -1e9)], 1)
            old = old.float() - batch["known_total"][asked][:, None]
            rest = (1 - old.exp().sum(1, keepdim=True)).clamp(min=1e-6).log()
        new = torch.cat([self.language(now, columns), self.language(now, known).masked_fill(again, -1e9)], 1)
        new = new.float() - batch["known_total"][asked][:, None]
        place = torch.searchsorted(columns, labels.clamp(min=0))
        batch["where"] = place.masked_fill(labels == IGNORE, IGNORE)
        batch["before"] = torch.cat([old, rest], 1)[flat_plain(batch)]
        return torch.cat([new, rest], 1)


def flat_plain(batch: Batch) -> Bool[Tensor, " asked"]:
    """Whether each asked position is one of plain text."""
    asked = batch["asked"] >= 0
    return batch["plain"].bool()[:, None].expand_as(asked)[asked]


def candidate_scores(
    log: Float[Tensor, "asked vocabulary"], asked: Bool[Tensor, "sequences most"], batch: Batch
) -> list[np.ndarray]:
    """Per example the mean log-probability of each candidate's pieces, in the candidates' order."""
    counts, group = asked.sum(1).tolist(), batch["group"].tolist()
    found: list[dict[int, float]] = [{} for _ in range(group[-1] + 1)]
    rows = zip(log.split(counts), batch["pieces"], batch["order"], group, counts, strict=True)
    for scores, pieces, order, example, count in rows:
        order = order[order >= 0]
        pieces = pieces[: len(order) * count].view(len(order), count)  # (candidates, pieces)
        means = scores.gather(1, pieces.T).mean(0)
        found[example] |= dict(zip(order.tolist(), means.tolist(), strict=True))
    return [np.array([scores[k] for k in range(len(scores))], dtype=np.float32) for scores in found]
