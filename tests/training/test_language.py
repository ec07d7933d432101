"""What a model is asked for is what plain transformers compute, one text and one piece at a time."""

import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from kadapter.errors import KAdapterError
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.training.language import (
    answer_log_likelihoods,
    language_model,
    perplexity,
    token_log_probabilities,
    word_ids,
)
from tests import speaking

TEXTS = [
    "They saw Arbon @ [MASK] .",
    "Person knows [MASK]",
    "Dunes hates a [MASK] near the old river .",
    "Person knows [MASK]",
]
ANSWERS = [["there", "Zürich"], ["Thing", "river", "Brill left"], ["café"], ["dog"]]


@pytest.fixture(scope="module", params=["roberta", "bert", "xlm-roberta", "llama", "gpt2"])
def speaker(request, tmp_path_factory):
    """(plain model, our model, tokenizer)."""
    folder = speaking.make(request.param, tmp_path_factory.mktemp(request.param))
    loader = AutoModelForMaskedLM if request.param in speaking.MASKED else AutoModelForCausalLM
    return loader.from_pretrained(folder).eval(), language_model(Backbone(folder)), load_tokenizer(folder)


@torch.no_grad()
def log_of(model, ids: list[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)


def next_token(model, tokenizer, text: str) -> torch.Tensor:
    """Log-probabilities where a text has [MASK]."""
    if tokenizer.mask_token:
        ids = tokenizer(text.replace("[MASK]", tokenizer.mask_token))["input_ids"]
        return log_of(model, ids)[ids.index(tokenizer.mask_token_id)]
    return log_of(model, tokenizer(text.split("[MASK]")[0].rstrip())["input_ids"])[-1]


def likelihood(model, tokenizer, text: str, answer: str) -> float:
    """The mean log-probability of an answer's pieces."""
    pieces = tokenizer(f" {answer}", add_special_tokens=False)["input_ids"]
    if not tokenizer.decode(pieces[:1]).strip():
        pieces = tokenizer(answer, add_special_tokens=False)["input_ids"]
    if tokenizer.mask_token:
        ids = tokenizer(text.replace("[MASK]", tokenizer.mask_token))["input_ids"]
        at = ids.index(tokenizer.mask_token_id)
        ids = ids[:at] + [tokenizer.mask_token_id] * len(pieces) + ids[at + 1 :]
        return float(np.mean([log_of(model, ids)[at + k, piece] for k, piece in enumerate(pieces)]))
    ids = tokenizer(text.split("[MASK]")[0].rstrip())["input_ids"]
    return float(np.mean([log_of(model, ids + pieces[:k])[-1, piece] for k, piece in enumerate(pieces)]))


def test_token_log_probabilities(speaker):
    plain, model, tokenizer = speaker
    found = token_log_probabilities(model, tokenizer, TEXTS, batch_tokens=24)
    for text, row in zip(TEXTS, found, strict=True):
        np.testing.assert_allclose(row, next_token(plain, tokenizer, text), rtol=1e-4, atol=1e-4)
    some = token_log_probabilities(model, tokenizer, TEXTS, ids=[9, 4])
    np.testing.assert_allclose(some, found[:, [9, 4]], rtol=1e-5, atol=1e-5)


def test_answers_of_any_length(speaker):
    plain, model, tokenizer = speaker
    found = answer_log_likelihoods(model, tokenizer, TEXTS, ANSWERS, batch_tokens=40)
    for text, answers, row in zip(TEXTS, ANSWERS, found, strict=True):
        expected = [likelihood(plain, tokenizer, text, answer) for answer in answers]
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)


def test_perplexity(speaker):
    plain, model, tokenizer = speaker
    texts, logs = ["They saw Arbon there .", "The naïve dog barked loudly"], []
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        special = tokenizer.get_special_tokens_mask(ids, already_has_special_tokens=True)
        for at, token in enumerate(ids):
            if tokenizer.mask_token and not special[at]:
                hidden = [tokenizer.mask_token_id if i == at else t for i, t in enumerate(ids)]
                logs.append(float(log_of(plain, hidden)[at, token]))
            elif not tokenizer.mask_token and at:
                logs.append(float(log_of(plain, ids[:at])[-1, token]))
    assert perplexity(model, tokenizer, texts) == pytest.approx(math.exp(-np.mean(logs)), rel=1e-4)


def test_words_that_are_one_token_and_come_back(speaker):
    _, _, tokenizer = speaker
    words = ["there", "river", "unheardof", "1,234", "dog", "a", "@"]
    found = word_ids(tokenizer, words)
    assert "unheardof" not in found and list(found) == [w for w in words if w in found] and found
    for word, token in found.items():
        assert tokenizer.decode([token]).strip() == word


def test_bad_questions_are_one_sentence(speaker):
    _, model, tokenizer = speaker
    with pytest.raises(KAdapterError, match=r"nothing is asked in 'plain': expected one \[MASK\]"):
        token_log_probabilities(model, tokenizer, ["plain"])
    with pytest.raises(KAdapterError, match=r"found 2 \[MASK\]; expected one"):
        token_log_probabilities(model, tokenizer, ["a [MASK] and [MASK]"])
    with pytest.raises(KAdapterError, match="no answers to choose from in"):
        answer_log_likelihoods(model, tokenizer, ["a [MASK]"], [[]])
    if not tokenizer.mask_token:
        with pytest.raises(KAdapterError, match=r"nothing stands before \[MASK\], where a causal model reads"):
            token_log_probabilities(model, tokenizer, ["[MASK] is here"])
    model.task, former = None, model.task
    with pytest.raises(KAdapterError, match="answers the task 'none' and does not speak"):
        perplexity(model, tokenizer, ["a b c"])
    model.task = former
