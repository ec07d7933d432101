"""Fusions that choose among adapters: against written-out references, plugged and unplugged, trained, saved."""

import pytest
import torch

from kadapter import catalog
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.fusion import Fusion
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import encode
from kadapter.training.fit import Settings, fit
from tests import tiny

CHOOSING = ("gate", "attention")


@pytest.fixture(scope="module")
def backbone(tiny_folder):
    return Backbone(tiny_folder)


@pytest.fixture(scope="module")
def encoded(tiny_folder):
    return encode(task(), load_tokenizer(tiny_folder), tiny.relations(24))


def task():
    return catalog.task("relation", labels=["hates", "knows", "leads", "likes"], max_length=32)


def adapters(*names):
    return {name: build_adapter(tiny.sizes(), seed) for seed, name in enumerate(names)}


def inputs(adapters=3, batch=2, tokens=4, hidden=6):
    torch.manual_seed(0)
    last, *outputs = torch.randn(1 + adapters, batch, tokens, hidden)
    return last, outputs


def spread(fusion, std=0.7):
    """Weights that choose: the untrained ones weigh all alike."""
    for p in fusion.parameters():
        torch.nn.init.normal_(p, std=std)
    return fusion.eval()


def test_gate_is_a_softmax_over_adapters_at_each_token():
    last, outputs = inputs()
    fusion = Fusion("gate", 6, 3)
    assert torch.allclose(fusion(last, outputs), torch.cat([last, sum(outputs) / 3], -1), atol=1e-6)  # before training
    spread(fusion, 0.1)
    gate = fusion.choice
    expected = torch.empty(2, 4, 12)
    for b in range(2):
        for t in range(4):
            scores = [(gate.linear.weight[i] @ last[b, t] + 30 * gate.bias[i]) for i in range(3)]
            powers = [s.exp() for s in scores]
            chosen = sum(p / sum(powers) * a[b, t] for p, a in zip(powers, outputs, strict=True))
            expected[b, t] = torch.cat([last[b, t], chosen])
    torch.testing.assert_close(fusion(last, outputs), expected, rtol=1e-5, atol=1e-5)


def test_attention_is_adapter_fusion():
    last, outputs = inputs()
    fusion = Fusion("attention", 6, 3)
    assert torch.equal(fusion.choice.value.weight, torch.eye(6))
    spread(fusion)
    query, key, value = fusion.choice.query, fusion.choice.key, fusion.choice.value
    expected = torch.empty(2, 4, 12)
    for b in range(2):
        for t in range(4):
            asked = query.weight @ last[b, t] + query.bias
            scores = torch.stack([asked @ (key.weight @ a[b, t] + key.bias) for a in outputs])
            chosen = sum(w * (value.weight @ a[b, t]) for w, a in zip(scores.softmax(0), outputs, strict=True))
            expected[b, t] = torch.cat([last[b, t], chosen])
    torch.testing.assert_close(fusion(last, outputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", CHOOSING)
def test_what_is_unplugged_is_not_chosen(kind):
    last, outputs = inputs()
    fusion = spread(Fusion(kind, 6, 3))
    smaller = spread(Fusion(kind, 6, 2))
    smaller.load_state_dict(
        {n: p[[0, 2]] if kind == "gate" else p for n, p in fusion.state_dict().items()}  # the same for those that stay
    )
    torch.testing.assert_close(fusion(last, [outputs[0], None, outputs[2]]), smaller(last, [outputs[0], outputs[2]]))
    assert torch.equal(fusion(last, [None] * 3), torch.cat([last, torch.zeros_like(last)], -1))
    assert torch.equal(fusion(last, []), last) and Fusion(kind, 6, 0).width == 6
    # one alone is given as it is, or by attention's value map
    one = Fusion(kind, 6, 1)
    torch.testing.assert_close(one(last, outputs[:1]), torch.cat([last, outputs[0]], -1))


@pytest.mark.parametrize("kind", catalog.FUSIONS)
def test_adapter_dropout_unplugs_by_example_and_never_all(kind):
    last, outputs = inputs(batch=200)
    fusion = Fusion(kind, 6, 3)
    for p in fusion.parameters():
        torch.nn.init.normal_(p, std=0.5)
    whole = fusion.eval()(last, outputs)
    fusion.adapter_dropout = 0.6
    assert torch.equal(fusion(last, outputs), whole)  # only while it trains
    torch.manual_seed(1)
    dropped = fusion.train()(last, outputs)
    kept = torch.rand(200, 3, generator=torch.Generator().manual_seed(1)) >= 0.6
    kept[~kept.any(1)] = True
    for example in range(200):
        own = [a[example : example + 1] if k else None for a, k in zip(outputs, kept[example], strict=True)]
        fusion.eval()
        torch.testing.assert_close(dropped[example : example + 1], fusion(last[example : example + 1], own))
    assert 0.15 < float(kept.all(1).float().mean()) < 0.4  # 0.4^3 that keep all, and 0.6^3 that would keep none
    alone = Fusion(kind, 6, 1).train()
    alone.adapter_dropout = 0.6
    assert torch.equal(alone(last, outputs[:1]), alone.eval()(last, outputs[:1]))


@pytest.mark.parametrize("kind", CHOOSING)
def test_plugging_unplugging_and_saving(backbone, encoded, kind, tmp_path):
    batch = encoded.__getitems__(range(5))
    model = KnowledgeModel(backbone, kind, adapters("F", "L"), task(), seed=3)
    spread(model.fusion, 0.03)
    model.eval()
    both = model(**batch).logits
    assert model.fusion.width == 2 * tiny.HIDDEN
    with model.only("F"):
        alone = model(**batch).logits
    assert torch.equal(model(**batch).logits, both) and not torch.equal(alone, both)
    other = model.unplug("L")
    assert torch.equal(model(**batch).logits, alone)
    saved = KnowledgeModel.from_pretrained(model.save_pretrained(tmp_path / "unplugged"), backbone)
    assert torch.equal(saved(**batch).logits, alone) and saved.adapter_names == ["F", "L"]
    model.plug("L", other)
    assert torch.equal(model(**batch).logits, both)
    saved = KnowledgeModel.from_pretrained(model.save_pretrained(tmp_path / "both"), backbone)
    assert saved.fusion.kind == kind and torch.equal(saved(**batch).logits, both)


@pytest.mark.parametrize("kind", CHOOSING)
def test_a_choice_learns_which_adapter_helps(backbone, encoded, kind, tmp_path):
    """The label is written into the output of one adapter, noise into those of the others: its weight grows."""
    model = KnowledgeModel(backbone, kind, adapters("A", "B", "C"), task(), seed=0)
    torch.manual_seed(0)
    target, noise = torch.randn(4, tiny.HIDDEN), torch.randn(2, 24, 1, tiny.HIDDEN)
    batch = encoded.__getitems__(range(24))
    last = backbone.hidden_states(batch["input_ids"], batch["attention_mask"])[0]
    told = target[batch["labels"]][:, None].expand_as(last)
    features = torch.stack([last, noise[0].expand_as(last), told, noise[1].expand_as(last)])
    model.train_only("frozen")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model(features=features, **batch).loss.backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.any() for n, p in model.fusion.named_parameters() if "key.bias" not in n)
    model.eval()
    weights = []
    for place in range(3):  # what the fusion gives when one output is ones and the others zeros, by their own scores
        with torch.no_grad():
            choice, read = model.fusion.choice, features[1:]
            if kind == "gate":
                scores = choice.linear(last) + 30 * choice.bias
            else:
                scores = torch.einsum("bth,nbth->btn", choice.query(last), choice.key(read))
            weights.append(float(scores.softmax(-1)[..., place].mean()))
    assert weights[1] > 0.5 > max(weights[0], weights[2])


def test_fit_takes_adapter_dropout(backbone, encoded, tmp_path):
    model = KnowledgeModel(backbone, "gate", adapters("F", "L"), task())
    settings = Settings(regime="frozen", epochs=1, batch_size=8, adapter_dropout=0.3, bf16=False, store=False)
    fit(model, encoded, None, settings, tmp_path, progress=False)
    assert model.fusion.adapter_dropout == 0.3 and Settings.from_dict(settings.to_dict()) == settings
