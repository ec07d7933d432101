"""KnowledgeModel: plugging, freezing, regimes, saving; what must stay bit-identical does."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.hub import adapter_folder
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.fusion import Fusion
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.regimes import REGIMES
from kadapter.training.batches import encode
from kadapter.training.fit import Settings, fit
from tests import tiny


@pytest.fixture(scope="module")
def backbone(tiny_folder):
    return Backbone(tiny_folder)


@pytest.fixture(scope="module")
def encoded(tiny_folder):
    return encode(relation_task(), load_tokenizer(tiny_folder), tiny.relations())


def relation_task():
    return catalog.task("relation", labels=["hates", "knows", "leads", "likes"], max_length=32)


def batch_of(encoded, n=5):
    return encoded.__getitems__(list(range(n)))


def inputs_of(encoded):
    batch = batch_of(encoded)
    return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}


def test_without_adapters_the_model_is_the_backbone(backbone, encoded):
    inputs = inputs_of(encoded)
    last = backbone.hidden_states(**inputs)[0]
    for kind in ("concat", "project", "add"):
        model = KnowledgeModel(backbone, kind)
        assert torch.equal(model(**inputs).last_hidden_state, last)
        model.plug("F", build_adapter(tiny.sizes()))
        assert not torch.equal(model(**inputs).last_hidden_state[..., -tiny.HIDDEN :], last)
        model.unplug("F")
        assert torch.equal(model(**inputs).last_hidden_state, last)


def test_fusion_is_what_the_ledger_says():
    torch.manual_seed(0)
    last, a, b = torch.randn(3, 2, 4, 6)
    assert torch.equal(Fusion("concat", 6, 2)(last, [a, b]), torch.cat([last, a, b], -1))
    assert torch.equal(Fusion("add", 6, 2)(last, [a, b]), last + (a + b))
    one = Fusion("project", 6, 1)
    expected = torch.cat([last, a], -1) @ one.pair[0].weight.T + one.pair[0].bias
    torch.testing.assert_close(one(last, [a]), expected)
    two = Fusion("project", 6, 2)
    pairs = [torch.cat([last, x], -1) @ p.weight.T + p.bias for x, p in zip((a, b), two.pair, strict=True)]
    torch.testing.assert_close(two(last, [a, b]), torch.cat(pairs, -1) @ two.join.weight.T + two.join.bias)
    three = Fusion("concat", 6, 3)
    assert three.width == 24 and three(last, [a, None, b])[..., 12:18].eq(0).all()


@pytest.mark.parametrize("regime", sorted(REGIMES.keys() - {"mapping"}))
@pytest.mark.parametrize("fusion", ["concat", "project"])
def test_gradients_exist_exactly_where_the_regime_says(tiny_folder, encoded, regime, fusion):
    adapters = {"F": build_adapter(tiny.sizes()), "L": build_adapter(tiny.sizes(combine="add"), 1)}
    model = KnowledgeModel(Backbone(tiny_folder), fusion, adapters, relation_task()).train_only(regime).train()
    model(**batch_of(encoded)).loss.backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    expected = {name for name, _ in model.named_parameters() if tiny.in_part(name, REGIMES[regime])}
    # Word vectors of unread words and the key biases, which softmax cancels, have a gradient of zero.
    assert with_gradient <= expected
    cancelled = {n for n in expected if n.endswith("key.bias") or "lora_A" in n}  # lora_B is zero at first
    assert expected - with_gradient <= cancelled
    assert model.adapters.training == ("adapters" in REGIMES[regime])  # frozen parts do not drop out
    assert model.backbone.training == any(n.startswith("backbone.") for n in expected)


def test_unknown_regime_is_refused(backbone):
    with pytest.raises(KAdapterError, match="unknown regime 'frosen': did you mean 'frozen'"):
        KnowledgeModel(backbone).train_only("frosen")


def test_plugging_mistakes_are_one_sentence(backbone, tmp_path):
    model = KnowledgeModel(backbone, adapters={"F": build_adapter(tiny.sizes())})
    with pytest.raises(KAdapterError, match="an adapter named 'F' is already plugged"):
        model.plug("F", build_adapter(tiny.sizes()))
    with pytest.raises(KAdapterError, match="plug layer 9 is out of range"):
        model.plug("G", build_adapter(tiny.sizes(plug_layers=[0, 9])))
    with pytest.raises(KAdapterError, match="unknown plugged adapter 'f'"):
        model.unplug("f")
    with pytest.raises(KAdapterError, match="holds no adapter_config.json"):
        model.plug("G", tmp_path)
    with pytest.raises(KAdapterError, match="width"):
        model.plug("G", build_adapter(tiny.sizes(hidden_size=48)))
    model.set_task(relation_task())
    with pytest.raises(KAdapterError, match=r"built for adapters \['F'\] and cannot read 'G': call set_task"):
        model.plug("G", build_adapter(tiny.sizes()))


def test_a_head_reads_zeros_for_an_unplugged_adapter(backbone, encoded):
    batch = batch_of(encoded)
    model = KnowledgeModel(backbone, adapters={"F": build_adapter(tiny.sizes())}, task=relation_task()).eval()
    whole = model(**batch).logits
    adapter = model.unplug("F")
    fused = torch.cat(
        [backbone.hidden_states(batch["input_ids"], batch["attention_mask"])[0]] + [torch.zeros(5, 1, 1)] * 0, -1
    )
    empty = torch.cat([fused, torch.zeros_like(fused)], -1)
    assert torch.equal(model(**batch).logits, model.head(empty, batch))
    model.plug("F", adapter)
    assert torch.equal(model(**batch).logits, whole)


@settings(max_examples=15, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(["plug", "unplug", "train"]), st.sampled_from("ABC")), max_size=8))
def test_old_adapters_are_bit_identical_whatever_happens_to_others(backbone, encoded, steps):
    inputs = inputs_of(encoded)
    fingerprint = backbone.fingerprint
    adapters = {name: build_adapter(tiny.sizes(), seed) for seed, name in enumerate("ABC")}
    outputs = {}

    def output(name):
        adapter = adapters[name].eval()
        with torch.no_grad():
            return adapter(
                backbone.hidden_states(**inputs, state_indices=adapter.config.plug_layers), inputs["attention_mask"]
            )

    outputs = {name: output(name) for name in "ABC"}
    model = KnowledgeModel(backbone)
    for action, name in steps:
        if action == "plug" and name not in model.adapters:
            model.plug(name, adapters[name])
        elif action == "unplug" and name in model.adapters:
            model.unplug(name)
        elif action == "train":
            trained = KnowledgeModel(backbone, adapters={name: adapters[name]}, task=relation_task()).train_only(
                "adapter"
            )
            trained(**batch_of(encoded)).loss.backward()
            with torch.no_grad():
                for p in adapters[name].parameters():
                    p -= 0.1 * p.grad if p.grad is not None else 0.0
                    p.grad = None
            outputs[name] = output(name)
    assert backbone.fingerprint == fingerprint
    for name in "ABC":
        assert torch.equal(output(name), outputs[name])
    plugged = list(model.adapters)
    fused = model.eval()(**inputs).last_hidden_state
    parts = [backbone.hidden_states(**inputs)[0], *(outputs[n] for n in plugged)]
    torch.testing.assert_close(fused, torch.cat(parts, -1), rtol=0, atol=0)


def test_training_one_adapter_leaves_backbone_and_the_other_alone(backbone, encoded, tmp_path):
    inputs = inputs_of(encoded)
    factual = build_adapter(tiny.sizes())
    model = KnowledgeModel(backbone, adapters={"F": factual}, task=relation_task())
    settings_ = Settings(epochs=1, batch_size=8, learning_rate=1e-2, bf16=False, store=False)
    before = backbone.fingerprint
    fit(model, encoded, None, settings_, tmp_path, progress=False)
    first = KnowledgeModel(backbone, adapters={"F": factual}).eval()(**inputs).last_hidden_state
    linguistic = build_adapter(tiny.sizes(), seed=1)
    fit(
        KnowledgeModel(backbone, adapters={"L": linguistic}, task=relation_task()),
        encoded,
        None,
        settings_,
        tmp_path,
        progress=False,
    )
    both = KnowledgeModel(backbone, adapters={"F": factual, "L": linguistic}).eval()(**inputs).last_hidden_state
    assert torch.equal(both[..., : 2 * tiny.HIDDEN], first)
    assert backbone.fingerprint == before


@pytest.mark.parametrize("regime", ["frozen", "full"])
@pytest.mark.parametrize("fusion", ["concat", "project", "add"])
def test_save_and_load_are_equal_to_the_bit(tiny_folder, encoded, tmp_path, regime, fusion):
    adapters = {"F": build_adapter(tiny.sizes()), "L": build_adapter(tiny.sizes(), 1)}
    model = KnowledgeModel(Backbone(tiny_folder), fusion, adapters, relation_task())
    fit(
        model,
        encoded,
        None,
        Settings(regime=regime, epochs=1, bf16=False, store=False),
        tmp_path / "fit",
        progress=False,
    )
    model.save_pretrained(tmp_path / "saved")
    again = KnowledgeModel.from_pretrained(tmp_path / "saved")
    batch = batch_of(encoded)
    assert torch.equal(again(**batch).logits, model.eval()(**batch).logits)
    assert again.task.options() == model.task.options() and again.regime == regime
    assert not list((tmp_path).glob("**/*.bin")) and not list(tmp_path.glob("**/*.pt"))
    model.unplug("L")
    model.save_pretrained(tmp_path / "saved")  # over the former one
    assert torch.equal(KnowledgeModel.from_pretrained(tmp_path / "saved")(**batch).logits, model(**batch).logits)


def test_an_adapter_folder_holds_all_and_is_checked(backbone, tiny_folder, tmp_path):
    adapter = build_adapter(tiny.sizes())
    adapter.provenance = {"name": "F", "knowledge": "factual", "dev_scores": {"f1": 0.5}}
    folder = adapter_folder.save_adapter(adapter, tmp_path / "F", backbone)
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "adapter.safetensors", "adapter_config.json"]
    loaded = adapter_folder.load_adapter(folder, backbone)
    for (name, a), (_, b) in zip(adapter.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    assert loaded.provenance == adapter.provenance
    card = (folder / "README.md").read_text()
    assert (
        "factual" in card
        and backbone.fingerprint in card
        and f"{sum(p.numel() for p in adapter.parameters()):,}" in card
    )

    other = Backbone(tiny.make_backbone(tmp_path / "other", seed=1))
    with pytest.raises(
        KAdapterError,
        match=f"made for a backbone with fingerprint {backbone.fingerprint[:16]}.*{other.fingerprint[:16]}",
    ):
        KnowledgeModel(other).plug("F", folder)
    with pytest.warns(UserWarning, match="was made for a backbone with fingerprint"):
        KnowledgeModel(other).plug("F", folder, force=True)

    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"format_version": 2, "colour": "blue"}))
    with pytest.warns(UserWarning, match=r"unknown keys kept: \['colour'\]"):
        assert adapter_folder.load_adapter(folder).newer["top"] == {"colour": "blue"}

    config["adapter"]["inner"] = 20
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(
        KAdapterError,
        match=r"leaf 'layers.0.transformer.0.intermediate.weight' has shape \[24, 16\]; expected \[20, 16\]",
    ):
        adapter_folder.load_adapter(folder)
    config["adapter"] |= {"inner": 24, "layers": 3}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(KAdapterError, match="no leaf 'layers.0.transformer.2.query.weight'"):
        adapter_folder.load_adapter(folder)
    config["adapter"]["layers"] = 1
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(KAdapterError, match="leaf 'layers.0.transformer.1.* is not part of the configured model"):
        adapter_folder.load_adapter(folder)


def test_a_truncated_file_is_one_sentence(backbone, tmp_path):
    folder = adapter_folder.save_adapter(build_adapter(tiny.sizes()), tmp_path / "F", backbone)
    weights = folder / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(KAdapterError, match="adapter.safetensors is truncated or damaged"):
        KnowledgeModel(backbone).plug("F", folder)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(KAdapterError, match="adapter_config.json is not JSON"):
        adapter_folder.load_adapter(folder)


def test_a_failed_save_leaves_the_former_folder(backbone, tmp_path, monkeypatch):
    folder = adapter_folder.save_adapter(build_adapter(tiny.sizes()), tmp_path / "F", backbone)
    before = (folder / "adapter.safetensors").read_bytes()

    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(adapter_folder, "write_weights", full)
    with pytest.raises(OSError, match="No space"):
        adapter_folder.save_adapter(build_adapter(tiny.sizes(), seed=9), folder, backbone)
    assert (folder / "adapter.safetensors").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["F"]


def test_only_plugs_some_for_a_while(backbone, encoded):
    inputs = inputs_of(encoded)
    model = KnowledgeModel(backbone, adapters={n: build_adapter(tiny.sizes(), i) for i, n in enumerate("FL")}).eval()
    both = model(**inputs).last_hidden_state
    with model.only("L"):
        assert list(model.adapters) == ["L"]
        assert torch.equal(model(**inputs).last_hidden_state, torch.cat([both[..., :32], both[..., 64:]], -1))
    assert list(model.adapters) == ["F", "L"] and torch.equal(model(**inputs).last_hidden_state, both)
    with pytest.raises(KAdapterError, match="unknown plugged adapter 'X'"), model.only("X"):
        pass


def test_print_tells_the_structure(backbone):
    model = KnowledgeModel(backbone, adapters={"F": build_adapter(tiny.sizes())}, task=relation_task()).train_only(
        "adapter"
    )
    text = repr(model)
    adapter = sum(p.numel() for p in model.adapters["F"].parameters())
    assert f"adapter F{adapter:>29,} parameters  trains  hidden_states [0, 2, 3]" in text
    assert "frozen  4 layers, width 32" in text and "4 labels" in text
