"""What each adapter alone is worth to a task, and a gate that begins with it."""

import pytest
import torch

from kadapter import catalog
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.fusion import Fusion
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import encode
from kadapter.training.settings import Settings
from kadapter.training.weigh import code_lengths
from tests import tiny

ONCE = Settings(regime="frozen", epochs=5, batch_size=4, learning_rate=1e-2, adapter_dropout=0.5, bf16=False, seed=3)


@pytest.fixture(scope="module")
def backbone(tiny_folder):
    return Backbone(tiny_folder)


def test_a_length_is_what_one_pass_costs_with_an_adapter_alone(backbone, tiny_folder, tmp_path):
    task = catalog.task("relation", labels=["hates", "knows", "leads", "likes"], max_length=32)
    encoded = encode(task, load_tokenizer(tiny_folder), tiny.relations(24), progress=False)
    adapters = {name: build_adapter(tiny.sizes(), seed) for name, seed in (("A", 0), ("B", 1), ("C", 0))}
    model = KnowledgeModel(backbone, "gate", adapters, task)
    before = {name: leaf.clone() for name, leaf in model.state_dict().items()}
    found = code_lengths(model, encoded, ONCE, tmp_path)
    assert list(found) == ["A", "B", "C"]
    assert found["A"] == pytest.approx(found["C"], rel=0.1)  # the same adapter; the head's dropout differs
    assert all(10 < length < 24 * 4 for length in found.values())  # 24 examples, log 4 nats each at first
    assert all(torch.equal(leaf, before[name]) for name, leaf in model.state_dict().items())


def test_a_gate_begins_with_the_posterior():
    torch.manual_seed(0)
    last, *outputs = torch.randn(4, 2, 5, 6)
    fusion = Fusion("gate", 6, 3).eval()
    lengths = torch.tensor([31.0, 30.0, 32.5])
    fusion.prefer(lengths.tolist())
    weights = (-lengths).softmax(0)
    wanted = sum(w * a for w, a in zip(weights, outputs, strict=True))
    torch.testing.assert_close(fusion(last, outputs), torch.cat([last, wanted], -1))
    fusion.prefer([500.0, 20.0, 900.0])
    assert torch.equal(fusion(last, outputs), torch.cat([last, outputs[1]], -1))  # nothing of the others
