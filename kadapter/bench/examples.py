"""What is measured on: backbones of the published sizes, a factual relation task of 430 relations, and sentences."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import RobertaConfig, RobertaModel

from kadapter.model.adapter import AdapterConfig
from kadapter.model.backbone import Backbone
from kadapter.tasks.relation import RelationTask
from kadapter.training.batches import Encoded, Ragged

RELATIONS = 430  # in the paper's T-REx-rc
MEAN_TOKENS, SPREAD, SHORTEST, LONGEST = 35, 10, 8, 64  # sentences of T-REx with markers, in sub-words
ROBERTA = {  # Liu et al. (2019), Table 9
    "roberta-base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "roberta-large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
}


def make_backbone(name: str, seed: int = 0) -> Backbone:
    """A backbone by name: `roberta-base` and `roberta-large` in their sizes with random weights, others loaded."""
    if name not in ROBERTA:
        return Backbone(name)
    sizes: dict[str, Any] = dict(ROBERTA[name])
    config = RobertaConfig(
        vocab_size=50265,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=1,
        intermediate_size=4 * sizes["hidden_size"],
        **sizes,
    )
    torch.manual_seed(seed)
    return Backbone(name, model=RobertaModel(config, add_pooling_layer=False))


def make_config(backbone: Backbone, **sizes) -> AdapterConfig:
    """The official code's adapter, scaled to the backbone: three layers of two transformer layers, states added up."""
    return AdapterConfig.for_backbone(backbone, combine="add", **sizes)


def make_task(pooling: str = "marker") -> RelationTask:
    """Relation classification with as many labels as T-REx-rc has."""
    return RelationTask([f"P{i}" for i in range(RELATIONS)], max_length=LONGEST, negative=None, pooling=pooling)


def make_sentences(n: int, vocabulary: int, seed: int = 0, longest: int = LONGEST) -> Encoded:
    """`n` sentences of random tokens, at most `longest` each, with two mentions and a relation, as the relation task
    encodes them."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.normal(MEAN_TOKENS, SPREAD, n).round(), SHORTEST, longest).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = Ragged(rng.integers(min(1000, vocabulary // 2), vocabulary, offsets[-1]), offsets)
    starts = np.stack([rng.integers(1, lengths // 2), rng.integers(lengths // 2, lengths - 1)], axis=1)
    spans = np.stack([starts, starts + 1], axis=2)  # (sentences, mentions, start and end)
    return Encoded({"input_ids": tokens, "spans": spans, "labels": rng.integers(0, RELATIONS, n)}, {"input_ids": 1})


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
