"""Representations of many cases before and after an adapter, as points of a plane: what an adapter brings together."""

import importlib.util
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from transformers import PreTrainedTokenizerBase

from kadapter.cases import inference
from kadapter.errors import KAdapterError, unknown
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.tasks.base import pool_spans

METHODS = ("pca", "umap")
BATCH = 64  # sentences in one pass


@torch.no_grad()
def representations(
    model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str]
) -> dict[str, Float[np.ndarray, "sentences mentions_x_hidden"]]:
    """What the head reads of the mentions of marked sentences, pooled as the task pools: under `backbone` the last
    state, and under each plugged adapter's name its output.

    Raises KAdapterError for fewer than 3 sentences and as `inference.to_examples` does.
    """
    _enough(len(sentences))
    model.eval()
    places = {"backbone": 0} | {
        name: place for place, name in enumerate(model.adapter_names, start=1) if name in model.adapters
    }
    found: dict[str, list[np.ndarray]] = {name: [] for name in places}
    for start in range(0, len(sentences), BATCH):
        batch = inference.batch(model, tokenizer, sentences[start : start + BATCH])
        states = model.backbone.hidden_states(
            batch["input_ids"], batch["attention_mask"], state_indices=model.state_indices
        )
        features = model.represent(states.to(model.backbone.dtype), batch["attention_mask"])
        for name, place in places.items():
            found[name].append(pool_spans(features[place], batch["spans"]).float().cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def project(vectors: Float[np.ndarray, "points size"], method: str = "pca") -> Float[np.ndarray, "points 2"]:
    """Vectors as points of a plane: `pca` (the two directions of most variance) or `umap` (McInnes et al., 2018; the
    extra `umap`), both from one fixed seed.

    Raises KAdapterError for fewer than 3 vectors, an unknown method, and where `umap` is not installed.
    """
    if method not in METHODS:
        raise unknown("projection", method, METHODS)
    _enough(len(vectors))
    if method == "pca":
        from sklearn.decomposition import PCA

        return PCA(2, random_state=0).fit_transform(vectors)
    if not umap_installed():
        raise KAdapterError("umap is not installed: pip install 'kadapter[umap]', or choose pca")
    with warnings.catch_warnings():  # of a part of it that is not used here, and needs Tensorflow
        warnings.simplefilter("ignore", ImportWarning)
        from umap import UMAP

    neighbours = min(15, len(vectors) - 1)
    return UMAP(n_neighbors=neighbours, random_state=0, n_jobs=1, init="random").fit_transform(vectors)


def umap_installed() -> bool:
    """Whether the extra `umap` is there."""
    return importlib.util.find_spec("umap") is not None


def _enough(cases: int) -> None:
    if cases < 3:
        raise KAdapterError(f"{cases} cases are too few for a picture: expected at least 3; choose a wider filter")
