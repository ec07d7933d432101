"""Asking where no word list can be: answers of any number of tokens, among all objects of their relation (ParaRel's
candidates; the generated world, whose names no vocabulary has)."""

from collections import Counter

import numpy as np
import pandas as pd
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.formats.lama import MASK
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.probing.consistency import WORDS
from kadapter.probing.probe import NOT_ASKABLE, Answers, answered
from kadapter.probing.questions import Questions, neutral
from kadapter.probing.words import WordList
from kadapter.training.language import answer_log_likelihoods, speaking_task

FEW = "relation of a single object"


def ask(
    model: KnowledgeModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Questions,
    limit: int | None = None,
    bf16: bool = False,
    progress: bool = False,
) -> Answers:
    """Ask a model which of its relation's objects each fact has, by the mean log-probability of their pieces.

    Args:
        limit: at most so many facts of a relation, the first; the candidates are the objects of all of them.

    Raises KAdapterError where nothing can be asked.
    """
    table, dropped = questions.table, Counter(questions.dropped)
    if speaking_task(model).reading == "causal":
        named = zip(table["text"], table["subject"], strict=True)
        asked = np.array([subject in text.split(MASK)[0] for text, subject in named], dtype=np.bool_)
        dropped[NOT_ASKABLE] += int((~asked).sum())
        table = table[asked]
    found, candidates = [], set()
    for _, part in tqdm(
        table.groupby("relation", sort=False), desc="probe", unit="relation", leave=False, disable=not progress
    ):
        names = list(dict.fromkeys(part["object"]))
        if len(names) < 2:
            dropped[FEW] += len(part)
            continue
        candidates.update(names)
        part = part.head(len(part) if limit is None else limit)
        texts = [*part["text"], *([neutral(part["template"].iloc[0])] if part["template"].iloc[0] else [])]
        if speaking_task(model).reading == "causal" and not texts[-1].split(MASK)[0].strip():
            texts.pop()
        said = np.stack(answer_log_likelihoods(model, tokenizer, texts, [names] * len(texts), bf16=bf16))
        alone = said[len(part)] if len(texts) > len(part) else None
        found.append(answered(part, said[: len(part)], alone, names, {name: k for k, name in enumerate(names)}))
    if not found:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in (+dropped).items())
        raise KAdapterError(f"none of {len(questions.table)} facts can be asked ({reasons})")
    words = WordList(WORDS, {name: k for k, name in enumerate(sorted(candidates))}, len(candidates))
    return Answers(pd.concat(found, ignore_index=True), +dropped, words)
