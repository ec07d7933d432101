"""Tiny random language models with their heads, masked and causal, saved as folders: of the families of `zoo`."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from tests import zoo

MASKED = ("roberta", "bert", "distilbert", "xlm-roberta", "electra", "deberta-v2", "modernbert", "albert", "mpnet")
CAUSAL = ("gpt2", "llama", "qwen2")
TIED = {"tie_word_embeddings": True}


def make(family: str, folder: Path, seed: int = 0, **config) -> Path:
    """Save a family's language model and its tokenizer. Its predictions are far from uniform."""
    torch.manual_seed(seed)
    tokenizer = zoo.FAMILIES[family].tokenizer()
    loader = AutoModelForCausalLM
    if family in MASKED:
        loader = AutoModelForMaskedLM
        tokenizer.add_special_tokens({"mask_token": "<mask>" if "<mask>" in tokenizer.get_vocab() else "[MASK]"})
    settings = zoo.FAMILIES[family].config(len(tokenizer), tokenizer.pad_token_id or 0)
    for name, value in config.items():
        setattr(settings, name, value)
    model = loader.from_config(settings)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape) * 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
