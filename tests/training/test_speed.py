"""What makes it fast must not change what comes out: models trained together, token budgets, dropout, bfloat16 weights,
kept memory, stores on disk."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from kadapter import catalog
from kadapter.cli.main import app
from kadapter.errors import KAdapterError
from kadapter.model.adapter import Dropout, TransformerLayer, build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training import features
from kadapter.training.batches import LengthBatches, encode
from kadapter.training.fit import Settings, fit, fit_together
from kadapter.training.trainer import ModelGroup
from tests import tiny

LABELS = ["hates", "knows", "leads", "likes"]
FAST = {"bf16": False, "batch_size": 8, "learning_rate": 5e-3, "epochs": 2}
SIZES = {"a": {}, "b": {"plug_layers": [1, 3], "width": 8}}  # of the adapters trained together


@pytest.fixture(scope="module")
def backbone(tiny_folder):
    return Backbone(tiny_folder)


@pytest.fixture(scope="module")
def encoded(tiny_folder):
    return encode(task(), load_tokenizer(tiny_folder), tiny.relations())


def task():
    return catalog.task("relation", labels=LABELS, max_length=32)


def build(backbone, seed, **sizes):
    """A model without dropout: its masks are drawn in another order when several models draw them."""
    adapter = build_adapter(tiny.sizes(dropout=0.0, **sizes), seed)
    model = KnowledgeModel(backbone, adapters={"F": adapter}, task=task(), seed=seed)
    model.head.dropout.p = 0.0
    return model


# --- several models at once ---


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("regime", ["adapter", "frozen"])
def test_models_trained_together_end_as_if_trained_alone(backbone, encoded, tmp_path, regime, store):
    chosen = Settings(regime=regime, store=store, weight_decay=0.01, max_grad_norm=0.05, warmup_ratio=0.2, **FAST)
    alone, fits = {}, {}
    for seed, (name, sizes) in enumerate(SIZES.items()):
        alone[name] = build(backbone, seed, **sizes)
        fits[name] = fit(alone[name], encoded, encoded, chosen, tmp_path / name, progress=False, cache=tmp_path)
    both = {name: build(backbone, seed, **sizes) for seed, (name, sizes) in enumerate(SIZES.items())}
    together = fit_together(both, encoded, encoded, chosen, tmp_path / "both", progress=False, cache=tmp_path)
    for name in SIZES:
        for (key, mine), (_, theirs) in zip(both[name].named_parameters(), alone[name].named_parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6, msg=f"{name} {key}")
        assert together[name].best == pytest.approx(fits[name].best, rel=1e-4)
        assert together[name].best_epoch == fits[name].best_epoch
        for mine, theirs in zip(together[name].history, fits[name].history, strict=True):
            for key in ("loss", "grad_norm", "eval_f1", "eval_loss", "learning_rate"):
                assert (key in mine) == (key in theirs)
                assert mine.get(key, 0) == pytest.approx(theirs.get(key, 0), rel=1e-4)


def test_one_pass_of_the_backbone_serves_all_models(backbone, encoded, tmp_path, monkeypatch):
    passes = []
    original = Backbone.hidden_states
    monkeypatch.setattr(Backbone, "hidden_states", lambda *a, **k: (passes.append(1), original(*a, **k))[1])
    models = {str(seed): build(backbone, seed) for seed in range(3)}
    fit_together(models, encoded, None, Settings(store=False, **FAST), tmp_path, progress=False)
    assert len(passes) == 2 * 5  # two epochs of 40 examples in batches of 8


def test_resuming_together(backbone, encoded, tmp_path):
    chosen = Settings(checkpoints=True, store=False, **FAST | {"epochs": 3})
    whole = {name: build(backbone, 0, **sizes) for name, sizes in SIZES.items()}
    first = fit_together(whole, encoded, encoded, chosen, tmp_path, progress=False)
    again = {name: build(backbone, 7, **sizes) for name, sizes in SIZES.items()}  # the checkpoint has other weights
    resumed = fit_together(again, encoded, encoded, chosen, tmp_path, resume=True, progress=False)
    for name in SIZES:
        assert resumed[name].best == pytest.approx(first[name].best)
        for mine, theirs in zip(again[name].parameters(), whole[name].parameters(), strict=True):
            assert torch.equal(mine, theirs)


def test_what_cannot_be_trained_together_is_refused(backbone, encoded, tiny_folder, tmp_path):
    pair = {"a": build(backbone, 0), "b": build(backbone, 1)}
    with pytest.raises(KAdapterError, match="regime 'paper' trains the backbone, which several models cannot share"):
        fit_together(pair, encoded, None, Settings(regime="paper"), tmp_path)
    with pytest.raises(KAdapterError, match="models a, b stand on different backbones"):
        ModelGroup({"a": pair["a"], "b": build(Backbone(tiny_folder), 1)})
    with pytest.raises(KAdapterError, match="the model 'b' has no head to train"):
        fit_together({"a": pair["a"], "b": KnowledgeModel(backbone)}, encoded, None, Settings(), tmp_path)


def test_accumulated_batches_are_one_large_batch(backbone, encoded, tmp_path):
    """Losses are means over batches of equal size: two batches of 20 give the gradient of one of 40."""
    ended = []
    for size, times in ((40, 1), (20, 2)):
        model = build(backbone, 0)
        chosen = Settings(store=False, gradient_accumulation=times, **FAST | {"batch_size": size, "epochs": 3})
        fit(model, encoded, None, chosen, tmp_path, progress=False)
        ended.append([p.detach().clone() for p in model.adapters.parameters()])
    for one, two in zip(*ended, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


# --- batches by token budget ---


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=200),
    budget=st.integers(1, 400),
    seed=st.integers(0, 5),
)
def test_token_budgets_hold_in_every_epoch(lengths, budget, seed):
    lengths = np.array(lengths)
    sampler = LengthBatches(lengths, 32, seed, tokens=budget)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        orders.append(batches)
        assert len(batches) == len(sampler)
        assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
        assert all(len(b) == 1 or lengths[b].max() * len(b) <= budget for b in batches)
    assert orders[0] == orders[2]
    # no two neighbours in length would fit into one batch: the budget is used
    in_order = sorted((sorted(lengths[b]) for b in orders[0]), key=lambda b: (b[0], b[-1]))
    for one, two in zip(in_order, in_order[1:], strict=False):
        assert two[0] * (len(one) + 1) > budget


def test_training_by_tokens(backbone, encoded, tmp_path):
    chosen = Settings(store=False, batch_tokens=100, **FAST | {"epochs": 1})
    fitted = fit(build(backbone, 0), encoded, None, chosen, tmp_path, progress=False)
    assert fitted.history[-1]["step"] == len(encoded.batches(8, 0, 100)) > len(encoded) * 8 // 100


# --- dropout, attention, bfloat16, memory ---


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_dropout_drops_its_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    x = torch.ones(401, 1003, requires_grad=True)
    layer = Dropout(p).train()
    y = layer(x)
    dropped = (y == 0).float()
    assert dropped.mean().item() == pytest.approx(p, abs=0.005)  # 400,000 draws: six standard errors
    assert dropped.mean(0).std().item() == pytest.approx((p * (1 - p) / 401) ** 0.5, rel=0.1, abs=1e-9)  # independent
    pairs = (dropped[:, 1:] * dropped[:, :-1]).mean().item()
    assert pairs == pytest.approx(p * p, abs=0.005)  # of neighbours, too
    if p < 1:
        assert y.mean().item() == pytest.approx(1, abs=0.01)
        assert torch.allclose(y[y != 0], torch.tensor(1 / (1 - p)), rtol=1e-4)
    y.sum().backward()
    assert torch.equal(x.grad, y)  # at ones, the gradient is the mask itself
    assert torch.equal(layer.eval()(x), x)
    torch.manual_seed(0)
    assert torch.equal(layer.train()(x), y)


def test_written_out_attention_is_the_fused_one():
    torch.manual_seed(0)
    layer = TransformerLayer(16, 2, 24, "gelu", dropout=1e-9, eps=1e-5).train()  # drops nothing, is written out
    q, k, v = torch.randn(3, 4, 2, 7, 8)
    mask = (torch.arange(7) < torch.tensor([7, 5, 3, 1])[:, None])[:, None, None, :]
    for m in (mask, None):
        torch.testing.assert_close(layer.attend(q, k, v, m), F.scaled_dot_product_attention(q, k, v, attn_mask=m))


def test_bfloat16_weights_compute_what_autocast_computes(tiny_folder, encoded):
    backbone = Backbone(tiny_folder)
    before = backbone.fingerprint
    batch = encoded.__getitems__([0, 1, 2])
    ids, mask = batch["input_ids"], batch["attention_mask"]
    with torch.autocast("cpu", torch.bfloat16):
        expected = backbone.hidden_states(ids, mask, state_indices=[0, 2, 4])
        with backbone.in_bf16():
            assert {p.dtype for p in backbone.parameters()} == {torch.bfloat16, torch.float32}
            found = backbone.hidden_states(ids, mask, state_indices=[0, 2, 4])
    assert torch.equal(found, expected) and backbone.fingerprint == before
    with pytest.raises(KeyError), backbone.in_bf16():
        raise KeyError
    assert backbone.fingerprint == before
    backbone.requires_grad_(True)
    with backbone.in_bf16():  # what trains is left alone
        assert {p.dtype for p in backbone.parameters()} == {torch.float32}


KEEPING = """
import os
import torch
from kadapter.training.memory import kept_memory

def resident():
    torch.ones(40_000_000)  # 160 MB, freed at once: glibc takes so large a block from the system and gives it back
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

print(resident())
with kept_memory():
    with kept_memory():
        resident()
    print(resident())  # an inner block has ended
print(resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_freed_memory_stays_within_the_block():
    # In a process of its own: what other tests have allocated decides which free block is taken.
    out = subprocess.run([sys.executable, "-c", KEEPING], capture_output=True, text=True, check=True).stdout
    before, within, after = map(float, out.split())
    assert within > before + 100
    assert after < before + 50


# --- stores on disk ---


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KADAPTER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def test_a_store_read_at_some_states(backbone, encoded, tmp_path):
    store = features.open_store(build(backbone, 0), encoded, "states", torch.float32, tmp_path, progress=False)
    indices = np.array([3, 1])
    assert torch.equal(store.at([0, 3])(indices)["states"], store(indices)["states"][[0, 3]])
    assert store(indices)["states"].shape[0] == 4  # the store itself still reads all


def test_features_are_listed_and_cleared(backbone, encoded, cache):
    model = build(backbone, 0)
    states = features.open_store(model, encoded, "states", torch.bfloat16, progress=False)
    outputs = features.open_store(model, encoded, "features", torch.float32, progress=False)
    os.utime(states.folder / "meta.json", (1e9, 1e9))
    listed = json.loads(CliRunner().invoke(app, ["features", "list", "--json"]).stdout)
    tokens = int(encoded.lengths.sum())
    between = listed.pop(1)  # the states in float32, which the outputs were computed from
    assert between["kind"] == "states" and between["dtype"] == "float32"
    assert [row["folder"] for row in listed] == [str(outputs.folder), str(states.folder)]  # last used first
    assert [row["tokens"] for row in listed] == [tokens, tokens]
    assert listed[1]["state_indices"] == [0, 2, 3, 4] and listed[1]["used"] == 1e9 and listed[0]["adapters"] == ["F"]
    assert all(row["bytes"] > store.nbytes for row, store in zip(listed, (outputs, states), strict=True))
    shown = CliRunner().invoke(app, ["features", "list"]).stdout
    assert "states [0, 2, 3, 4]" in shown and "features F" in shown and "2001-09-09" in shown and "3 stores" in shown
    assert "removed 3 stores" in CliRunner().invoke(app, ["features", "clear"]).stdout
    assert features.stores() == [] and not states.folder.exists()
    assert "0 stores" in CliRunner().invoke(app, ["features", "list"]).stdout


def test_a_store_being_written_is_not_cleared(backbone, encoded, cache):
    store = features.open_store(build(backbone, 0), encoded, "states", torch.bfloat16, progress=False)
    with features.FileLock(store.folder.with_name(f"{store.folder.name}.lock")):
        script = "from kadapter.training.features import clear; print(clear())"  # the lock is another process's
        found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "(0, 0)" and store.folder.exists()


@pytest.mark.parametrize("reason", ["limit", "disk"])
def test_auto_streams_what_does_not_fit_and_tells(backbone, encoded, tmp_path, monkeypatch, capsys, reason):
    from kadapter.training import fit as fitting

    if reason == "limit":
        monkeypatch.setattr(fitting, "STORE_LIMIT", 1e5)
    else:
        usage = features.shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(features.shutil, "disk_usage", lambda path: usage)
    streamed = fitting.attach_store(build(backbone, 0), encoded, Settings(), False, tmp_path)
    assert streamed.states is None
    assert "states are computed anew in every epoch" in capsys.readouterr().err
    if reason == "disk":
        with pytest.raises(KAdapterError, match="does not fit"):
            fitting.attach_store(build(backbone, 0), encoded, Settings(store=True), False, tmp_path)


def test_the_size_is_told_beforehand(backbone, encoded, tmp_path, capsys):
    features.open_store(build(backbone, 0), encoded, "states", torch.float32, tmp_path)
    size = features.size_of(build(backbone, 0), encoded, "states", torch.float32)
    assert f"states of {backbone.name}, {features.gigabytes(size)}" in capsys.readouterr().err
    assert features.gigabytes(1.26e9) == "1.3 GB" and features.gigabytes(3.4e6) == "3.4 MB"


# --- what is not loaded ---


def test_torch_comes_when_it_is_needed():
    script = (
        "import sys; import kadapter, kadapter.cli.main as cli; from typer.main import get_command as get\n"
        "get(cli.app)\n"
        "print([m for m in ('torch', 'transformers', 'pandas', 'datasets', 'plotly') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
