"""LAMA-UHN (Poerner et al., 2020): facts that the surface of a name does not give away.

A fact is dropped when its object is part of its subject ("Apple Watch" is made by Apple), and, where a person's name is
asked about, when a masked model guesses the object from one of the name's words alone.
"""

from collections import Counter
from collections.abc import Iterable

import pandas as pd
import torch
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.formats.lama import MASK
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.probing.questions import Questions
from kadapter.training.language import speaking_task, token_log_probabilities

STRING, NAME = "object is part of the subject", "a word of the name tells the object"
PROMPT = "{} is a common name in the following {} : " + MASK + " ."
KINDS = {  # relations about persons -> what is asked of their names
    "P19": "city", "P20": "city", "P27": "country", "P103": "language", "P1412": "language",
    "place_of_birth": "city", "place_of_death": "city",
}  # fmt: skip
GUESSES = 3  # the model's first so many tokens count as guessed


def told_by_string(subject: str, object: str) -> bool:
    """Whether the lower-cased object is a substring of the subject."""
    return object.lower() in subject.lower()


def filtered(
    questions: Questions,
    model: KnowledgeModel | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    progress: bool = False,
) -> Questions:
    """The questions that neither filter drops; what each drops is counted.

    Args:
        model, tokenizer: a masked language model for the filter of names (the paper's is bert-base-cased); without one
            the first filter works alone.

    Raises KAdapterError for a model that is not masked: it would be asked what comes next, not what is missing.
    """
    table = questions.table
    dropped = Counter(questions.dropped)
    told = pd.Series([told_by_string(s, o) for s, o in zip(table["subject"], table["object"], strict=True)], dtype=bool)
    dropped[STRING] += int(told.sum())
    table = table[~told.to_numpy()]
    if model is not None and tokenizer is not None:
        if speaking_task(model).reading != "masked":
            raise KAdapterError(
                f"LAMA-UHN's filter of names: found {model.backbone.name}, a causal model; expected a masked one, as "
                "bert-base-cased, or none"
            )
        asked = {
            (word, kind)
            for relation, kind in KINDS.items()
            for subject in table["subject"][table["relation"] == relation]
            for word in subject.split()
        }
        guessed = guesses(model, tokenizer, sorted(asked), progress)
        named = [
            relation in KINDS and any(object.lower() in guessed[word, KINDS[relation]] for word in subject.split())
            for relation, subject, object in zip(table["relation"], table["subject"], table["object"], strict=True)
        ]
        dropped[NAME] += sum(named)
        table = table[[not n for n in named]]
    return Questions(table.reset_index(drop=True), dropped)


def guesses(
    model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase, asked: Iterable[tuple[str, str]], progress: bool = False
) -> dict[tuple[str, str], set[str]]:
    """What the model says of each (word, kind): its most probable tokens, lower-cased."""
    found: dict[tuple[str, str], set[str]] = {}
    asked = list(asked)
    size = 256
    for start in tqdm(range(0, len(asked), size), desc="names", unit="batch", leave=False, disable=not progress):
        some = asked[start : start + size]
        log = token_log_probabilities(model, tokenizer, [PROMPT.format(*pair) for pair in some])
        best = torch.from_numpy(log).topk(min(GUESSES, log.shape[1])).indices.tolist()
        for pair, ids in zip(some, best, strict=True):
            found[pair] = {str(tokenizer.decode([i])).strip().lower() for i in ids}
    return found
