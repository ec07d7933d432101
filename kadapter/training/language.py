"""Asking a model for words: log-probabilities where a text has [MASK], of candidates of any length, and how well it
speaks (perplexity). With every adapter unplugged (`model.only()`) the backbone answers, to the bit."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.formats.lama import MASK
from kadapter.formats.schemas import LINKED_CLOZE
from kadapter.model.adapter import KnowledgeAdapter
from kadapter.model.backbone import Backbone
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.language_head import language_kind
from kadapter.tasks.base import IGNORE
from kadapter.tasks.cloze import ClozeTask
from kadapter.tasks.prompts import Prompts, word_ids
from kadapter.training.batches import Encoded, Ragged, encode
from kadapter.training.predict import answered

__all__ = [
    "answer_log_likelihoods",
    "language_model",
    "perplexity",
    "read_on",
    "speaking_task",
    "token_log_probabilities",
    "word_ids",
]

Links = Sequence[Sequence[Mapping[str, Any]]]  # of each text its linked mentions: start, end (characters), entity
LONGEST = 512  # tokens of a text that are read


def language_model(
    backbone: Backbone, adapters: Mapping[str, KnowledgeAdapter | str | Path] | None = None
) -> KnowledgeModel:
    """A backbone that speaks with its own language head, and adapters beside it (`h_last + P(adapter)`): an adapter
    that was never trained to speak changes nothing by a bit.

    Raises KAdapterError for a backbone without a language head of its own.
    """
    kind = language_kind(backbone)
    if kind is None:
        raise KAdapterError(f"backbone '{backbone.name}' is no language model: expected a masked or causal one")
    model = KnowledgeModel(backbone, "residual", task=ClozeTask(reading=kind))
    for name, adapter in (adapters or {}).items():
        model.plug(name, adapter)
    return model.eval()


@torch.no_grad()
def token_log_probabilities(
    model: KnowledgeModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    ids: Sequence[int] | None = None,
    batch_tokens: int = 4096,
    bf16: bool = False,
    progress: bool = False,
    links: Links | None = None,
) -> Float[np.ndarray, "texts candidates"]:
    """The log-probability of each token where a text has [MASK], over the whole vocabulary; of the tokens `ids` alone
    where they are given.

    A masked model reads the text with its own mask token there; a causal one what stands before it. Equal texts are
    computed once. Raises KAdapterError for a model that does not speak, and for a text without exactly one [MASK], or
    for a causal model with nothing before it.

    Args:
        links: of each text the entities in it, whose vectors a plugged mapping puts before them.
    """
    task = speaking_task(model)
    for text in texts:
        if MASK not in text:
            raise KAdapterError(f"nothing is asked in {text!r}: expected one {MASK}")
    columns = None if ids is None else torch.as_tensor(list(ids), device=next(model.parameters()).device)
    head: Any = model.head
    if links is None or model.mapping is None:
        asked = list(dict.fromkeys(texts))
        prompts = Prompts(tokenizer, task.reading, _longest(model))
        read = [prompts.asked(p, [""], -1)[0] for p in prompts.read(asked, asked)]
        encoded = _encoded([one.ids for one in read], [one.asked for one in read], None, tokenizer)
        place = {text: i for i, text in enumerate(asked)}
        rows = [place[text] for text in texts]
    else:
        encoded, rows = _cloze(model, tokenizer, texts, [[""]] * len(texts), links, "vocabulary"), [*range(len(texts))]
    out = np.empty((len(encoded), head.language.vocabulary if ids is None else len(ids)), dtype=np.float32)
    for chosen, _, result in answered(model, encoded, batch_tokens, bf16, progress):
        log = result.logits.float().log_softmax(-1)
        out[chosen] = (log if columns is None else log[:, columns]).cpu().numpy()
    return out[rows]


@torch.no_grad()
def read_on(
    model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase, text: str, first: Sequence[int], most: int
) -> list[list[int]]:
    """What a causal model says after each of some first tokens that stand where a text has [MASK]: that token, and at
    most `most` more, always the most probable one, until the model ends.

    Raises KAdapterError as `token_log_probabilities`, and for a masked model.
    """
    if speaking_task(model).reading != "causal":
        raise KAdapterError("a masked model does not read on: expected a causal one")
    [prompt] = Prompts(tokenizer, "causal", _longest(model)).read([text], [text])
    said = [[int(token)] for token in first]
    going = [tokens for tokens in said if tokens[0] not in tokenizer.all_special_ids]
    for _ in range(most):
        if not going:
            break
        ids = [[*prompt.ids, *tokens][-_longest(model) :] for tokens in going]
        encoded = _encoded(ids, [[len(one) - 1] for one in ids], None, tokenizer)
        best: dict[int, int] = {}
        for chosen, _, result in answered(model, encoded, 1024):
            best |= dict(zip(chosen, result.logits.argmax(-1).tolist(), strict=True))
        for place, tokens in enumerate(going):
            tokens.append(best[place])
        going = [tokens for tokens in going if tokens[-1] not in tokenizer.all_special_ids]
    return [[token for token in tokens if token not in tokenizer.all_special_ids] for tokens in said]


@torch.no_grad()
def answer_log_likelihoods(
    model: KnowledgeModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    answers: Sequence[Sequence[str]],
    batch_tokens: int = 4096,
    bf16: bool = False,
    progress: bool = False,
    links: Links | None = None,
) -> list[Float[np.ndarray, " answers"]]:
    """Per text the mean log-probability of each candidate answer's pieces where the text has [MASK]: one mask a piece,
    or one piece after the other. `links` and what is raised are as `token_log_probabilities` has them; and a text
    without answers is refused."""
    for text, known in zip(texts, answers, strict=True):
        if not known:
            raise KAdapterError(f"no answers to choose from in {text!r}: expected at least one")
    task = ClozeTask(reading=speaking_task(model).reading, candidates="given")
    encoded = _cloze(model, tokenizer, texts, answers, links, "given", progress)
    found: list = [None] * len(encoded)
    for chosen, batch, result in answered(model, encoded, batch_tokens, bf16, progress):
        for index, scores in zip(chosen, task.outputs(result.logits, batch), strict=True):
            found[index] = scores
    return found


@torch.no_grad()
def perplexity(
    model: KnowledgeModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int = 128,
    batch_tokens: int = 1024,
    bf16: bool = False,
    progress: bool = False,
) -> float:
    """exp of the mean negative log-probability of the texts' tokens: each given those before it (causal), or given all
    others (masked: pseudo-perplexity, Salazar et al., 2020). Special tokens are not scored.

    Raises KAdapterError for a model that does not speak, and where no token can be scored.
    """
    task = speaking_task(model)
    prompts = Prompts(tokenizer, task.reading, max_length)
    ids, asked, labels = [], [], []
    for prompt in prompts.read(texts, texts):
        for one in prompts.each_token(prompt):
            ids.append(one.ids)
            asked.append(one.asked)
            labels.append(one.labels)
    encoded = _encoded(ids, asked, labels, tokenizer)
    total, count = 0.0, sum(map(len, asked))
    if not count:
        raise KAdapterError("perplexity: no text has two tokens; expected plain text")
    for _, batch, result in answered(model, encoded, batch_tokens, bf16, progress):
        right = batch["labels"][batch["asked"] >= 0]
        total += float(_log_of(result.logits, right).sum())
    return math.exp(-total / count)


def _log_of(logits: Float[Tensor, "asked vocabulary"], right: Tensor) -> Float[Tensor, " asked"]:
    return -torch.nn.functional.cross_entropy(logits.float(), right, reduction="none")


def speaking_task(model: KnowledgeModel) -> ClozeTask:
    """The task of a model that speaks. Raises KAdapterError for one that does not."""
    if not isinstance(model.task, ClozeTask):
        raise KAdapterError(
            f"this model answers the task {model.task.name if model.task else 'none'!r} and does not speak: "
            "expected one of kadapter.training.language.language_model, or of a cloze run"
        )
    return model.task


def _longest(model: KnowledgeModel) -> int:
    return min(LONGEST, getattr(model.backbone.config, "max_position_embeddings", LONGEST) - 2)  # RoBERTa counts from 2


def _cloze(
    model: KnowledgeModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    answers: Sequence[Sequence[str]],
    links: Links | None,
    candidates: str,
    progress: bool = False,
) -> Encoded:
    """Texts with [MASK] and their candidates, with places for the vectors of a plugged mapping."""
    rows = [
        {"id": str(number), "relation": "", "text": text, "answer": known[0], "candidates": list(known)}
        | {"links": list(links[number]) if links else []}
        for number, (text, known) in enumerate(zip(texts, answers, strict=True))
    ]
    task = ClozeTask(reading=speaking_task(model).reading, max_length=_longest(model), candidates=candidates)
    return encode(task, tokenizer, Dataset.from_list(rows, features=LINKED_CLOZE), progress, model.mapping)


def _encoded(
    ids: list[list[int]], asked: list[list[int]], labels: list[list[int]] | None, tokenizer: PreTrainedTokenizerBase
) -> Encoded:
    """Sequences as facts, so that nothing is computed beside their scores."""
    columns: dict[str, Ragged | np.ndarray] = {
        "input_ids": Ragged.of(ids),
        "asked": Ragged.of(asked),
        "labels": Ragged.of(labels or [[IGNORE] * len(one) for one in asked]),
        "plain": np.zeros(len(ids), dtype=np.int64),
    }
    return Encoded(columns, {"input_ids": tokenizer.pad_token_id, **ClozeTask.pads})
