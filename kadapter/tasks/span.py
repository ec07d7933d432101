"""Extractive reading: the answer to a question is a stretch of one of its many paragraphs (Section 4.2 and Table 3 of
the paper: SearchQA and Quasar-T)."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kadapter.scoring import metrics
from kadapter.scoring.squad import normalize_answer
from kadapter.tasks.base import Batch, Task, by_group, pair_template
from kadapter.values import MaxLength, checked, value

NOWHERE = -1e30  # logit of a token that is in no paragraph; finite, so that two of them add up and nothing is nan
ARTICLES = frozenset(("a", "an", "the"))


class SpanTask(Task):
    """First and last token of the answer, among all paragraphs of a question.

    A paragraph is one sequence: the question and the paragraph as the tokenizer's pair. A question is cut to half of
    `max_length`, a paragraph at its end or into windows.

    Training is distantly supervised: every place where an answer's words stand is taken for right. The loss is the
    marginal log-likelihood of those places, normalised over all paragraphs of the question (the shared norm of Clark &
    Gardner, 2018). A question whose paragraphs hold no answer adds nothing; `counts` says how many there are.

    An answer is found by adding up the probabilities of all candidates with the same text (as the metric normalises
    it), over all paragraphs.

    Args:
        max_paragraphs: of a question; those after are not read.
        stride: 0 cuts a paragraph where `max_length` is reached; above 0 it is read in windows that begin this many
            tokens apart.
        max_answer_tokens: longest answer in sub-word tokens.
        candidates: spans kept of each sequence.
    """

    name, schema = "span", "openqa"
    pads = {"labels": -1}
    aside = ("texts", "places", "answers")

    @checked("task option", leave_out=("labels",))
    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: MaxLength = 64,
        max_paragraphs: Annotated[int, value("paragraphs read for a question, the first ones", 1, 10_000)] = 50,
        stride: Annotated[
            int, value("tokens between the starts of a paragraph's windows; 0: one window", 0, 16_384)
        ] = 0,
        max_answer_tokens: Annotated[int, value("longest answer in sub-word tokens", 1, 16_384)] = 16,
        candidates: Annotated[int, value("best spans kept of each paragraph", 1, 1_000)] = 5,
    ) -> None:
        super().__init__(labels, max_length)
        self.max_paragraphs, self.stride = max_paragraphs, stride
        self.max_answer_tokens, self.candidates = max_answer_tokens, candidates

    def options(self) -> dict:
        return super().options() | {
            "max_paragraphs": self.max_paragraphs,
            "stride": self.stride,
            "max_answer_tokens": self.max_answer_tokens,
            "candidates": self.candidates,
        }

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        """Per sequence `input_ids`, `inside` (first token of the paragraph, and the one after its last) and `labels`
        (each place of an answer as first * max_length + last token); aside, per question, its accepted `answers`, each
        sequence's paragraph (`texts`) and the characters that each of its tokens stands for (`places`). A question
        without paragraphs gets an empty one."""
        before, between, after = pair_template(tokenizer)
        special = len(before) + len(between) + len(after)
        paragraphs = [found[: self.max_paragraphs] or [""] for found in examples["paragraphs"]]
        plain = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
        questions = tokenizer(examples["question"], **plain)["input_ids"]
        read = tokenizer([p for found in paragraphs for p in found], return_offsets_mapping=True, **plain)
        columns: dict[str, list] = {
            n: [] for n in ("input_ids", "inside", "labels", "sequences", "texts", "places", "answers")
        }
        number = 0
        for question, answers, found in zip(questions, examples["answers"], paragraphs, strict=True):
            start = before + question[: max(0, self.max_length // 2 - special)] + between
            room = self.max_length - len(start) - len(after)
            patterns = answer_patterns(answers)
            texts, places = [], []
            for text in found:
                ids, offsets = read["input_ids"][number], np.array(read["offset_mapping"][number]).reshape(-1, 2)
                number += 1
                spans = list(find_answers(text, offsets, patterns))
                for low in self._windows(len(ids), room):
                    window = ids[low : low + room]
                    high, shift = low + len(window), len(start) - low
                    columns["input_ids"].append(start + window + after)
                    columns["inside"].append((len(start), len(start) + len(window)))
                    columns["labels"].append(
                        [(s + shift) * self.max_length + e + shift for s, e in spans if low <= s and e < high]
                    )
                    texts.append(text)
                    places.append(offsets[low:high].astype(np.uint16 if len(text) < 2**16 else np.uint32))
            columns["sequences"].append(len(texts))
            columns["texts"].append(texts)
            columns["places"].append(places)
            columns["answers"].append(answers)
        return columns

    def _windows(self, tokens: int, room: int) -> range:
        """Where the windows of a paragraph begin."""
        step = min(self.stride, room) or tokens or 1
        return range(0, max(tokens - room, 0) + step if self.stride else 1, step)

    def head(self, width: int, hidden: int) -> nn.Module:
        return SpanHead(width)

    def loss(self, logits: Float[Tensor, "sequences tokens 2"], batch: Batch) -> Float[Tensor, ""]:
        """Mean over the questions of -log P(any place of an answer), P over all spans of all their paragraphs; 0 for a
        question without such a place."""
        start, end = logits.float().unbind(-1)  # (sequences, tokens)
        real = batch["labels"] >= 0  # (sequences, places)
        first, last = (
            t.masked_fill(~real, 0) for t in (batch["labels"] // self.max_length, batch["labels"] % self.max_length)
        )
        scores = (start.gather(1, first) + end.gather(1, last)).masked_fill(~real, NOWHERE)
        right = over_groups(scores, batch["group"])
        answerable = by_group(real.any(-1), batch["group"], False).any(-1)
        losses = over_groups(start, batch["group"]) + over_groups(end, batch["group"]) - right
        return torch.where(answerable, losses, 0.0).mean()

    def outputs(self, logits: Float[Tensor, "sequences tokens 2"], batch: Batch) -> list[np.ndarray]:
        """Per question its candidates (candidates, 4): sequence, first and last token of the paragraph's own, all from
        0, and log-probability; the best of each sequence."""
        start, end = logits.float().unbind(-1)
        longest = min(self.max_answer_tokens, start.shape[1])
        later = nn.functional.pad(end, (0, longest - 1), value=NOWHERE).unfold(1, longest, 1)
        scores = (start[..., None] + later).flatten(1)  # (sequences, tokens * longest): first token, tokens after it
        highest, at = scores.topk(min(self.candidates, scores.shape[1]), dim=1)
        best = highest.cpu().numpy().astype(np.float64)
        first, more = np.divmod(at.cpu().numpy(), longest)
        first = first - batch["inside"][:, :1].cpu().numpy()
        whole = (over_groups(start, batch["group"]) + over_groups(end, batch["group"])).cpu().numpy()
        counts = torch.bincount(batch["group"]).cpu().numpy()
        found = []
        for chances, firsts, lasts, total in zip(
            *(np.split(a, np.cumsum(counts)[:-1]) for a in (best, first, first + more)), whole, strict=True
        ):
            sequence, column = np.nonzero(chances > NOWHERE / 2)
            pick = (sequence, column)
            found.append(np.stack([sequence, firsts[pick], lasts[pick], chances[pick] - total], axis=1))
        return found

    def answers(self, outputs: Sequence[np.ndarray] | np.ndarray, encoded) -> list[list[tuple[str, float]]]:
        """Per question its candidate answers and their probabilities, the most probable first. An answer's text is the
        paragraph's own characters, of the most probable candidate among those that are the same to the metric."""
        answered = []
        for candidates, texts, places in zip(outputs, encoded.aside["texts"], encoded.aside["places"], strict=True):
            total: dict[str, float] = defaultdict(float)
            shown: dict[str, str] = {}
            for sequence, first, last, score in sorted(candidates.tolist(), key=lambda row: -row[3]):
                place = places[int(sequence)]
                text = texts[int(sequence)][place[int(first)][0] : place[int(last)][1]].strip()
                same = normalize_answer(text)
                if same:
                    shown.setdefault(same, text)
                    total[same] += float(np.exp(score))
            answered.append([(shown[s], total[s]) for s in sorted(total, key=lambda s: -total[s])])
        return answered

    def decide(self, outputs: Sequence[np.ndarray] | np.ndarray, encoded=None) -> list[str]:
        """The most probable answer of each question; "" where there is nothing to read."""
        return [found[0][0] if found else "" for found in self.answers(outputs, encoded)]

    def references(self, encoded) -> list[list[str]]:
        return encoded.aside["answers"]

    def counts(self, encoded) -> dict[str, int]:
        places = np.add.reduceat(encoded.columns["labels"].lengths, encoded.groups[:-1])
        return {"without an answer in their paragraphs": int((places == 0).sum())}

    @property
    def metric(self) -> metrics.Metric:
        return metrics.get("squad")


def answer_patterns(answers: Sequence[str]) -> list[re.Pattern]:
    """What finds each answer's words, whole and in order, whatever their case and whatever punctuation, white space and
    articles stand between; an answer without words is found as it is written."""
    patterns = []
    for answer in dict.fromkeys(answer.strip().lower() for answer in answers):
        words = re.findall(r"\w+", answer)
        content = [word for word in words if word not in ARTICLES]
        if answer:
            between = r"\W+(?:(?:an?|the)\W+)*" if content else r"\W+"
            pattern = rf"(?<!\w){between.join(content or words)}(?!\w)" if words else re.escape(answer)
            patterns.append(re.compile(pattern, re.IGNORECASE))
    return patterns


def find_answers(text: str, offsets: np.ndarray, patterns: Sequence[re.Pattern]) -> Iterator[tuple[int, int]]:
    """First and last token of each place where one of the patterns stands, each place once. `offsets` (tokens, 2) are
    the characters of each token."""
    places = {match.span() for pattern in patterns for match in pattern.finditer(text)}
    tokens = {
        (
            int(np.searchsorted(offsets[:, 1], low, side="right")),  # the first that ends after the beginning
            int(np.searchsorted(offsets[:, 0], high, side="left")) - 1,  # the last that begins before the end
        )
        for low, high in places
    }
    yield from sorted((first, last) for first, last in tokens if first <= last)


def over_groups(values: Float[Tensor, "sequences items"], group: Tensor) -> Float[Tensor, " questions"]:
    """Log of the sum of exponentials over all items of all sequences of each question."""
    return by_group(values.logsumexp(-1), group, NOWHERE).logsumexp(-1)


class SpanHead(nn.Module):
    """A linear layer to the logits of an answer's first and last token, which are tokens of the paragraph."""

    def __init__(self, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, 2)

    def forward(
        self, fused: Float[Tensor, "sequences tokens width"], batch: Batch
    ) -> Float[Tensor, "sequences tokens 2"]:
        position = torch.arange(fused.shape[1], device=fused.device)
        inside: Bool[Tensor, "sequences tokens"] = (position >= batch["inside"][:, :1]) & (
            position < batch["inside"][:, 1:]
        )
        return self.out(self.dropout(fused)).float().masked_fill(~inside[..., None], NOWHERE)
