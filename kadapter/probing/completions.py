"""What a model says of one text: its most probable words where [MASK] stands, or after an open end, and the rank of an
expected answer (Table 6)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.formats.lama import MASK
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.probing.models import load
from kadapter.tasks.prompts import word_ids
from kadapter.training.language import answer_log_likelihoods, read_on, speaking_task, token_log_probabilities

FOLLOW = 8  # tokens that are read on after a word
ENDS = ".!?;:\n"  # where a sentence that was read on is cut


@dataclass(frozen=True)
class Completion:
    """What was said.

    Attributes:
        words: the most probable ones, best first.
        probabilities: of each, among the whole vocabulary.
        rank: of the expected answer among the candidates, from 1; None for none, or one of several tokens.
        probability: of the expected answer; of several tokens the geometric mean of theirs. None for none.
        tokens: of the words.
        continued: of a causal model that was asked to read on, each word with what it says next; () otherwise.
    """

    words: tuple[str, ...]
    probabilities: tuple[float, ...]
    rank: int | None = None
    probability: float | None = None
    tokens: tuple[int, ...] = ()
    continued: tuple[str, ...] = ()


def completed(text: str, causal: bool) -> str:
    """A text with exactly one [MASK]: an open end is asked for its next word.

    Raises KAdapterError for several, for an open end of a masked model's text, and for nothing to read.

    >>> completed("The capital of France is", causal=True)
    'The capital of France is [MASK]'
    """
    count = text.count(MASK)
    if not text.replace(MASK, "").strip():
        raise KAdapterError(f"there is nothing to read in {text!r}: type a sentence with {MASK}")
    if count > 1:
        raise KAdapterError(f"{text!r} has {count} {MASK}; expected one")
    if count == 0 and not causal:
        raise KAdapterError(f"{text!r} has no {MASK}: a masked model is asked for the word that stands there")
    return text if count else f"{text.rstrip()} {MASK}"


def complete(
    model: KnowledgeModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    candidates: Mapping[str, int] | None = None,
    answer: str = "",
    k: int = 5,
    links: Sequence[Mapping[str, Any]] = (),
) -> Completion:
    """Ask a model that speaks for one text.

    Args:
        text: with one [MASK]; a causal model also takes an open end.
        candidates: word -> token; None for the whole vocabulary.
        answer: the word that is expected, whose rank and probability are told.
        links: the entities in the text ({start, end, entity}), whose vectors a plugged mapping puts before them.

    Raises KAdapterError as `completed`, and for a model that does not speak.
    """
    text = completed(text, speaking_task(model).reading == "causal")
    log = token_log_probabilities(model, tokenizer, [text], links=[links])[0]
    columns = np.arange(len(log)) if candidates is None else np.array(list(candidates.values()))
    names = None if candidates is None else list(candidates)
    best = np.argsort(-log[columns], kind="stable")[:k]
    words = tuple(str(tokenizer.decode([int(columns[i])])).strip() if names is None else names[i] for i in best)
    tokens = tuple(int(columns[i]) for i in best)
    found = Completion(words, tuple(math.exp(log[columns[i]]) for i in best), tokens=tokens)
    if not (answer := answer.strip()):
        return found
    token = (candidates or {}).get(answer, word_ids(tokenizer, [answer]).get(answer))
    if token is None:
        mean = float(answer_log_likelihoods(model, tokenizer, [text], [[answer]], links=[links])[0][0])
        return replace(found, probability=math.exp(mean))
    rank = 1 + int((log[columns] > log[token]).sum())
    return replace(found, rank=rank, probability=math.exp(log[token]))


def ask(named: str, text: str, plug: Sequence[str | Path] = (), top: int = 5) -> Completion:
    """Ask a model by name for one text: what `kadapter ask` prints.

    Args:
        named: a backbone's name or folder, a saved model or adapter, or a run.
        text: with one [MASK]; a causal model also takes an open end.
        plug: folders of adapters to plug in.
        top: words.

    Raises KAdapterError as `completed`, for a model that does not speak, and for an adapter that changes no word.
    """
    model, tokenizer = load(named, plug)
    found = complete(model, tokenizer, text, k=top)
    if speaking_task(model).reading == "masked":
        return found
    said = read_on(model, tokenizer, completed(text, True), found.tokens, FOLLOW)
    return replace(found, continued=tuple(first_sentence(str(tokenizer.decode(tokens))) for tokens in said))


def first_sentence(said: str) -> str:
    """The beginning of a text, to the end of its first sentence, that left out.

    >>> first_sentence(" Ravensburg. It lies"), first_sentence(" : no")
    ('Ravensburg', ': no')
    """
    start = len(said) - len(said.lstrip())
    end = next((at for at in range(start + 1, len(said)) if said[at] in ENDS), len(said))
    return said[:end].strip()
