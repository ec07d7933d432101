"""Representations are what the head reads; a projection is the library's."""

import numpy as np
import pytest

from kadapter import catalog
from kadapter.cases import projection
from kadapter.cases.inference import batch
from kadapter.errors import KAdapterError
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.tasks.base import pool_spans
from tests import tiny

SENTENCES = [f"[{name}] likes {{tea}} number {i} ." for i, name in enumerate(["Ada", "Bo", "Cy", "Di", "Ed"])]


def test_representations_are_what_the_head_reads(tiny_folder, monkeypatch):
    monkeypatch.setattr(projection, "BATCH", 2)  # several passes
    task, tokenizer = catalog.task("relation", labels=["x", "y"]), load_tokenizer(tiny_folder)
    adapters = {"F": build_adapter(tiny.sizes(), seed=1), "L": build_adapter(tiny.sizes(), seed=2)}
    model = KnowledgeModel(Backbone(tiny_folder), adapters=adapters, task=task).eval()
    found = projection.representations(model, tokenizer, SENTENCES)
    assert list(found) == ["backbone", "F", "L"]
    own = batch(model, tokenizer, SENTENCES)
    fused = model.backbone.hidden_states(own["input_ids"], own["attention_mask"])[0]
    np.testing.assert_allclose(found["backbone"], pool_spans(fused, own["spans"]), atol=1e-5)
    model.unplug("L")
    assert list(projection.representations(model, tokenizer, SENTENCES)) == ["backbone", "F"]


def test_pca_is_the_singular_value_decomposition():
    vectors = np.random.default_rng(0).normal(size=(40, 6)) * [5, 3, 1, 1, 1, 1]
    found = projection.project(vectors)
    u, s, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(u[:, :2] * s[:2]), atol=1e-8)


def test_umap_keeps_clusters_apart_or_says_how_to_install_it():
    vectors = np.concatenate([np.random.default_rng(0).normal(size=(20, 5)) + shift for shift in (0, 30)])
    if not projection.umap_installed():
        with pytest.raises(KAdapterError, match=r"pip install 'kadapter\[umap\]', or choose pca"):
            projection.project(vectors, "umap")
        return
    found = projection.project(vectors, "umap")
    spread = max(found[:20].std(), found[20:].std())
    assert np.linalg.norm(found[:20].mean(0) - found[20:].mean(0)) > 2 * spread


def test_mistakes_are_one_sentence():
    with pytest.raises(KAdapterError, match="unknown projection 'pc': did you mean 'pca'"):
        projection.project(np.zeros((5, 2)), "pc")
    with pytest.raises(KAdapterError, match="2 cases are too few"):
        projection.project(np.zeros((2, 2)))
