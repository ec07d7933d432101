"""A tiny random BERT with MiniLM's tokenizer, saved as a folder, and small datasets: for tests of everything but
quality."""

from pathlib import Path

import torch
from datasets import Dataset
from transformers import BertConfig, BertModel

from kadapter.formats.schemas import DEPENDENCY, RELATION, TYPING
from kadapter.model.adapter import AdapterConfig
from kadapter.model.backbone import load_tokenizer

HIDDEN, DEPTH = 32, 4
SIZES = {"plug_layers": [0, 2, 3], "width": 16, "layers": 2, "heads": 2, "inner": 24, "init_std": 0.05}


def make_backbone(folder: Path, seed: int = 0) -> Path:
    """Save a random BERT of 4 layers and width 32 with a tokenizer."""
    torch.manual_seed(seed)
    tokenizer = load_tokenizer("minilm")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        num_hidden_layers=DEPTH,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=128,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sizes(**more) -> AdapterConfig:
    """A small adapter for the tiny backbone."""
    return AdapterConfig.from_dict({"hidden_size": HIDDEN, **SIZES, **more})


def relations(n: int = 40) -> Dataset:
    """Sentences whose verb is the label, of different lengths."""
    verbs = ("likes", "hates", "knows", "leads")
    rows = []
    for i in range(n):
        verb, subject, thing = verbs[i % 4], f"Person{i % 7}", f"Thing{i % 5}"
        text = f"{subject} {verb} {thing}" + " very" * (i % 6) + " much ."
        begin = len(subject) + len(verb) + 2
        rows.append(
            {
                "id": str(i),
                "text": text,
                "subj_start": 0,
                "subj_end": len(subject),
                "obj_start": begin,
                "obj_end": begin + len(thing),
                "label": verb,
                "subj_id": "",
                "obj_id": "",
                "subj_type": "",
                "obj_type": "",
                "tokens": text.split(),
            }
        )
    return Dataset.from_list(rows, features=RELATION)


def typings(n: int = 40) -> Dataset:
    """Mentions whose first letter decides the labels; some have two, some none."""
    names = (("Arbon", ["person"]), ("Brill", ["place"]), ("Coxon", ["person", "artist"]), ("Dunes", []))
    rows = []
    for i in range(n):
        name, labels = names[i % 4]
        text = "They" + " often" * (i % 5) + f" saw {name} there ."
        start = text.index(name)
        rows.append(
            {"id": str(i), "text": text, "start": start, "end": start + len(name), "labels": labels, "ents": []}
        )
    return Dataset.from_dict({c: [r[c] for r in rows] for c in TYPING}, features=TYPING)


def trees(n: int = 30) -> Dataset:
    """Sentences of two shapes with their heads."""
    rows = []
    for i in range(n):
        words, heads = (
            (["The", "dog", "barked", "."], [2, 3, 0, 3]) if i % 2 else (["Dogs", "bark", "loudly"], [2, 0, 2])
        )
        rows.append(
            {"id": str(i), "words": words, "heads": heads, "deprels": ["x"] * len(words), "upos": ["X"] * len(words)}
        )
    return Dataset.from_list(rows, features=DEPENDENCY)


def in_part(name: str, parts: frozenset[str]) -> bool:
    """Whether a parameter of a KnowledgeModel, by its name, is in one of the parts that a regime names."""
    part = name.split(".")[0]
    if part != "backbone" or "backbone" in parts:
        return part in parts
    put_in = "lora" if ".lora_" in name else "houlsby" if ".bottleneck." in name else ""
    return put_in in parts if put_in else "bitfit" in parts and name.endswith(".bias")
