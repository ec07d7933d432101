"""Comparing two answers as SQuAD's evaluation does (Rajpurkar et al., 2016)."""

import re
import string
from collections import Counter


def normalize_answer(text: str) -> str:
    """Lower case, without punctuation, articles and extra white space (SQuAD's evaluate-v1.1.py)."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(prediction: str, answer: str) -> float:
    """1.0 when the normalised texts are equal, else 0.0."""
    return float(normalize_answer(prediction) == normalize_answer(answer))


def f1(prediction: str, answer: str) -> float:
    """F1 of the two bags of normalised words (SQuAD). Two texts without words are equal: 1.0."""
    predicted, gold = normalize_answer(prediction).split(), normalize_answer(answer).split()
    if not predicted or not gold:
        return float(predicted == gold)  # as SQuAD's evaluate-v2.0.py
    common = sum((Counter(predicted) & Counter(gold)).values())
    return 2 * common / (len(predicted) + len(gold))
