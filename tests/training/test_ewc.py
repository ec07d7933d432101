"""Elastic weight consolidation: the Fisher information and the penalty written out, and what it does to a weight."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kadapter import catalog
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import encode
from kadapter.training.ewc import ElasticWeights, fisher
from kadapter.training.fit import fit
from kadapter.training.settings import Settings
from tests import tiny


@pytest.fixture
def model(tiny_folder):
    task = catalog.task("relation", labels=["hates", "knows", "leads", "likes"], max_length=32, pooling="mean")
    return KnowledgeModel(Backbone(tiny_folder), task=task).train_only("full")


@pytest.fixture
def encoded(model, tiny_folder):
    return encode(model.task, load_tokenizer(tiny_folder), tiny.relations(12))


def moved(model, seed):
    """A copy whose backbone went somewhere else."""
    other = copy.deepcopy(model)
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in other.backbone.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return other


def test_fisher_is_the_mean_of_squared_gradients_of_single_examples(model, encoded):
    expected = {name: torch.zeros_like(p) for name, p in model.backbone.named_parameters()}
    reference = copy.deepcopy(model).eval()
    for index in range(len(encoded)):
        reference.zero_grad()
        batch = encoded.__getitems__([index])
        logits = reference(**batch).logits
        F.nll_loss(logits.log_softmax(-1), batch["labels"]).backward()
        for name, p in reference.backbone.named_parameters():
            expected[name] += p.grad**2 / len(encoded)
    model.train()
    found = fisher(model, encoded, samples=100)
    assert found.keys() == expected.keys()
    for name, information in found.items():
        torch.testing.assert_close(information, expected[name])
    assert model.training and all(p.grad is None for p in model.parameters())
    few = fisher(model, encoded, samples=3)
    assert any(not torch.equal(few[name], found[name]) for name in few)


def test_the_penalty_is_the_sum_over_kinds_and_weights(model, encoded, tiny_folder):
    """One parabola a weight stands for all kinds: its differences and gradients are those of the sum written out."""
    first, second = moved(model, 1), moved(model, 2)
    elastic = ElasticWeights(strength=7.0, samples=100)
    assert float(elastic(model)) == 0.0
    kinds = []
    for learned in (first, second):
        elastic.remember(learned, encoded)
        values = {n: p.detach().clone() for n, p in learned.backbone.named_parameters()}
        kinds.append((fisher(learned, encoded, 100), values))

    def written_out(of):
        return sum(
            3.5 * (information[n] * (p - values[n]) ** 2).sum()
            for information, values in kinds
            for n, p in of.backbone.named_parameters()
        )

    one, other = moved(model, 3), moved(model, 4)
    difference = (elastic(one) - elastic(other)).item()
    assert difference == pytest.approx((written_out(one) - written_out(other)).item(), rel=1e-3)
    weights = list(one.backbone.parameters())
    found, expected = (torch.autograd.grad(f(one), weights) for f in (elastic, written_out))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    assert elastic.parameters == 2 * sum(p.numel() for p in weights)


def test_fit_stays_near_what_is_held(model, encoded, tmp_path):
    settings = Settings(regime="full", epochs=3, batch_size=8, learning_rate=2e-3, bf16=False, select="last")
    start = {n: p.detach().clone() for n, p in model.backbone.named_parameters()}
    elastic = ElasticWeights(strength=1e6)
    elastic.remember(model, encoded)
    ways = {}
    for name, penalty in (("free", None), ("held", elastic)):
        learner = copy.deepcopy(model)
        fitted = fit(learner, encoded, None, settings, tmp_path, progress=False, penalty=penalty)
        assert np.isfinite([entry["loss"] for entry in fitted.history if "loss" in entry]).all()
        ways[name] = sum(
            (elastic.fisher[n] * (p - start[n]) ** 2).sum().item() for n, p in learner.backbone.named_parameters()
        )
    assert ways["held"] < 0.2 * ways["free"]
