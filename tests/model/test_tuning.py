"""Tuning of the backbone itself: against written-out references, what trains, folders that come back bit for bit."""

import json

import pytest
import torch
from safetensors.torch import load_file

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.hub.adapter_folder import save_adapter
from kadapter.model import tuning
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.tuning_config import TUNINGS, Houlsby
from kadapter.training.batches import encode
from kadapter.training.fit import Settings, fit
from tests import tiny

LABELS = ["hates", "knows", "leads", "likes"]
REGIME = {"full": "paper"}  # the others have their own


def task():
    return catalog.task("relation", labels=LABELS, max_length=32)


@pytest.fixture(scope="module")
def encoded(tiny_folder):
    return encode(task(), load_tokenizer(tiny_folder), tiny.relations(16))


def states(backbone, encoded):
    batch = encoded.__getitems__(range(4))
    with torch.no_grad():
        return backbone.hidden_states(batch["input_ids"], batch["attention_mask"])[0]


def trained(folder, encoded, kind, out, **options):
    """A downstream model without any knowledge, tuned by two steps, with a fusion that takes adapters later."""
    model = KnowledgeModel(Backbone(folder), "residual", task=task()).tune(kind, **options)
    settings = Settings(regime=model.regime, epochs=1, batch_size=8, learning_rate=1e-2, bf16=False)
    fit(model, encoded, None, settings, out, progress=False)
    return model


def test_houlsby_is_what_the_paper_draws(tiny_folder, encoded):
    """The same as bottlenecks written out around a BERT's layers, before each sum and norm."""
    plain, backbone = Backbone(tiny_folder), Backbone(tiny_folder)
    tuning.tune(backbone, "houlsby", bottleneck=5, init_std=0.5)
    batch = encoded.__getitems__(range(4))
    x = plain.hidden_states(batch["input_ids"], batch["attention_mask"], state_indices=[0])[0]
    mask = torch.zeros(x.shape[:2]).masked_fill(batch["attention_mask"] == 0, -torch.inf)[:, None, None, :]
    own = backbone.state_dict()

    def adapted(y, name):
        down, up = ([own[f"{name}.bottleneck.{part}.{leaf}"] for leaf in ("weight", "bias")] for part in ("down", "up"))
        inner = torch.nn.functional.linear(y, *down)
        return y + torch.nn.functional.linear(inner * inner.sigmoid(), *up)

    with torch.no_grad():
        for number, layer in enumerate(plain.model.encoder.layer):
            prefix, a = f"model.encoder.layer.{number}", layer.attention
            q, k, v = (
                part(x).unflatten(-1, (4, -1)).transpose(1, 2) for part in (a.self.query, a.self.key, a.self.value)
            )
            heads = ((q @ k.mT) / q.shape[-1] ** 0.5 + mask).softmax(-1) @ v
            out = adapted(a.output.dense(heads.transpose(1, 2).flatten(-2)), f"{prefix}.attention.output.dropout")
            x = a.output.LayerNorm(x + out)
            inner = layer.output.dense(layer.intermediate(x))
            x = layer.output.LayerNorm(x + adapted(inner, f"{prefix}.output.dropout"))
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(states(backbone, encoded)[real], x[real], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(states(plain, encoded)[real], x[real], atol=1e-2)
    # 2 places a layer of down (32 x 5 + 5) and up (5 x 32 + 32)
    assert sum(p.numel() for p in tuning.leaves(backbone, "houlsby").values()) == tiny.DEPTH * 2 * (165 + 192)


def test_lora_is_the_weights_and_a_product(tiny_folder, encoded):
    """LoRA computes as a backbone whose weights are W + alpha / r B A, and nothing at first."""
    plain, backbone = Backbone(tiny_folder), Backbone(tiny_folder)
    tuning.tune(backbone, "lora", r=3, alpha=6, targets=["query", "inner"])
    assert torch.equal(states(backbone, encoded), states(plain, encoded))
    leaves = tuning.leaves(backbone, "lora")
    with torch.no_grad():
        for name in [n for n in leaves if "lora_B" in n]:
            torch.nn.init.normal_(leaves[name], std=0.3)
            a = leaves[name.replace("lora_B", "lora_A")]
            target = plain.get_submodule(name.removesuffix(".lora_B.default.weight"))
            target.weight += 6.0 / 3 * leaves[name] @ a
    torch.testing.assert_close(states(backbone, encoded), states(plain, encoded), rtol=1e-4, atol=1e-5)
    # query 32 -> 32 and inner 32 -> 48, in each layer
    assert sum(p.numel() for p in leaves.values()) == tiny.DEPTH * 3 * (64 + 80)


def test_bitfit_trains_every_bias_of_the_backbone(tiny_folder):
    backbone = Backbone(tiny_folder)
    tuning.tune(backbone, "lora")
    tuning.tune(backbone, "houlsby")
    own = {name for name, _ in Backbone(tiny_folder).named_parameters() if name.endswith("bias")}
    named = {name.replace(".base_layer", "").replace(".inner", "") for name in tuning.leaves(backbone, "bitfit")}
    assert named == own


@pytest.mark.parametrize("kind", TUNINGS)
def test_a_downstream_model_is_trained_frozen_saved_and_plugged(tiny_folder, encoded, tmp_path, kind):
    original = Backbone(tiny_folder)
    model = trained(tiny_folder, encoded, kind, tmp_path / "fit").train_only("frozen")
    assert model.backbone.origin == original.fingerprint != model.backbone.fingerprint
    assert not any(p.requires_grad for p in model.backbone.parameters()) and not model.backbone.training
    allowed, before = set(tuning.leaves(model.backbone, kind)), original.state_dict()
    for name, p in model.backbone.named_parameters():
        former = before.get(name.replace(".base_layer", "").replace(".inner", ""))
        assert name in allowed or torch.equal(p, former)
    batch = encoded.__getitems__(range(4))
    folder = model.save_pretrained(tmp_path / "model")
    held = {n for n in load_file(folder / "model.safetensors") if n.startswith("backbone.")}
    assert held == {f"backbone.{n}" for n in allowed}
    again = KnowledgeModel.from_pretrained(folder)
    assert again.backbone.fingerprint == model.backbone.fingerprint and again.backbone.tuned == model.backbone.tuned
    assert torch.equal(again(**batch).logits, model(**batch).logits)
    if kind != "full":  # a folder of what was added: beside a backbone that is there already, and stays as it is
        shared = KnowledgeModel.from_pretrained(folder, original)
        assert torch.equal(shared(**batch).logits, model(**batch).logits) and not original.tuned
    # knowledge that was made for the backbone before anybody tuned it
    adapter = save_adapter(build_adapter(tiny.sizes()), tmp_path / "F", original)
    logits, fingerprint = again(**batch).logits, again.backbone.fingerprint
    again.plug("F", adapter)
    assert torch.equal(again(**batch).logits, logits)  # an untrained projection: nothing yet
    settings = Settings(regime="adapter", epochs=1, batch_size=8, learning_rate=1e-2, bf16=False)
    fit(again, encoded, None, settings, tmp_path / "knowledge", progress=False)
    assert again.backbone.fingerprint == fingerprint
    assert not torch.equal(again(**batch).logits, logits)
    both = again.train_only("frozen").save_pretrained(tmp_path / "both")
    assert torch.equal(KnowledgeModel.from_pretrained(both)(**batch).logits, again(**batch).logits)
    with pytest.raises(KAdapterError, match="another fingerprint|was made for a backbone with fingerprint"):
        Backbone(tiny_folder).requires_grad_(False)
        KnowledgeModel(Backbone(tiny_folder)).plug("F", both / "adapters" / "F")


@pytest.mark.parametrize("kind", TUNINGS)
def test_another_seed_or_the_same(tiny_folder, kind):
    def weights(seed):
        backbone = Backbone(tiny_folder)
        tuning.tune(backbone, kind, seed)
        return backbone.fingerprint

    assert weights(0) == weights(0)
    assert (weights(0) == weights(1)) == (kind in ("full", "bitfit"))


def test_mistakes_are_one_sentence(tiny_folder, tmp_path):
    model = KnowledgeModel(Backbone(tiny_folder), task=task())
    with pytest.raises(KAdapterError, match="unknown tuning 'lorra': did you mean 'lora'"):
        model.tune("lorra")
    with pytest.raises(KAdapterError, match="unknown option of tuning 'lora' 'rank'"):
        model.tune("lora", rank=3)
    with pytest.raises(KAdapterError, match="r: found 0; expected"):
        model.tune("lora", r=0)
    with pytest.raises(KAdapterError, match="unknown target 'querry': did you mean 'query'"):
        model.tune("lora", targets=["querry"])
    model.tune("houlsby", bottleneck=8)
    assert model.backbone.tuned == {"houlsby": Houlsby(bottleneck=8)}
    model.train_only("houlsby")  # as it is
    with pytest.raises(KAdapterError, match="is tuned by houlsby with .*bottleneck=8.* already"):
        model.tune("houlsby", bottleneck=9)
    folder = model.save_pretrained(tmp_path / "model")
    config = json.loads((folder / "model_config.json").read_text())
    assert config["tuning"] == {"houlsby": {"bottleneck": 8, "activation": "swish", "init_std": 0.01}}
    config["tuning"]["houlsby"]["bottleneck"] = 9
    (folder / "model_config.json").write_text(json.dumps(config))
    with pytest.raises(KAdapterError, match=r"leaf .*bottleneck.* has shape \[8, 32\]; expected \[9, 32\]"):
        KnowledgeModel.from_pretrained(folder)
    config["tuning"] = {"houlsby": {"bottleneck": -1}}
    (folder / "model_config.json").write_text(json.dumps(config))
    with pytest.raises(KAdapterError, match=r"model_config.json: .*bottleneck.*-1"):
        KnowledgeModel.from_pretrained(folder)


def test_parts_tell_what_was_put_in(tiny_folder):
    model = KnowledgeModel(Backbone(tiny_folder), task=task()).tune("lora", r=4)
    backbone, lora, *_ = model.parts()
    assert not backbone["trains"] and lora["trains"] and lora["part"] == "backbone's lora"
    assert backbone["parameters"] == sum(p.numel() for p in Backbone(tiny_folder).parameters())
    assert lora["parameters"] == tiny.DEPTH * 4 * (64 + 64 + 80)
