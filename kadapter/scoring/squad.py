"""Comparing two answers as SQuAD's evaluation v1.1 does (Rajpurkar et al., 2016; evaluate-v1.1.py), by which SearchQA,
Quasar-T and XQuAD are scored. v2.0 differs where an answer normalises to nothing."""

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
    """F1 of the two bags of normalised words, as v1.1: without a common word 0.0, also where both have no word left
    (v2.0, which has questions without an answer, counts these as equal)."""
    predicted, gold = normalize_answer(prediction).split(), normalize_answer(answer).split()
    common = sum((Counter(predicted) & Counter(gold)).values())
    return 2 * common / (len(predicted) + len(gold)) if common else 0.0
