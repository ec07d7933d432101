"""The feature store: the same states as computing them, never a wrong or torn one, built once for two processes."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training import features
from kadapter.training.batches import LengthBatches, encode
from kadapter.training.fit import Settings, fit
from tests import tiny

LABELS = ["hates", "knows", "leads", "likes"]


@pytest.fixture
def model(tiny_folder):
    task = catalog.task("relation", labels=LABELS, max_length=32)
    return KnowledgeModel(Backbone(tiny_folder), adapters={"F": build_adapter(tiny.sizes())}, task=task)


@pytest.fixture
def encoded(model, tiny_folder):
    return encode(model.task, load_tokenizer(tiny_folder), tiny.relations())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_stored_states_are_the_computed_ones(model, encoded, tmp_path, dtype):
    store = features.open_store(model, encoded, "states", dtype, tmp_path, batch_tokens=64, progress=False)
    chosen = np.array([7, 0, 33])
    batch = encoded.__getitems__(chosen)
    expected = model.backbone.hidden_states(
        batch["input_ids"], batch["attention_mask"], state_indices=model.state_indices
    )
    real = batch["attention_mask"].bool()
    found = store(chosen)["states"]
    assert found.shape == expected.shape and found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(found.float()[:, real], expected[:, real], rtol=tolerance, atol=tolerance)
    assert (
        store.nbytes
        == features.size_of(model, encoded, "states", dtype)
        == (store.folder / "states.bin").stat().st_size
    )


def test_stored_features_are_the_adapters_outputs(model, encoded, tmp_path):
    model.eval()
    store = features.open_store(model, encoded, "features", torch.float32, tmp_path, progress=False)
    batch = encoded.__getitems__([3, 8])
    states = model.backbone.hidden_states(
        batch["input_ids"], batch["attention_mask"], state_indices=model.state_indices
    )
    expected = model.represent(states, batch["attention_mask"])
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(store(np.array([3, 8]))["features"][:, real], expected[:, real], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("regime", ["adapter", "frozen"])
def test_training_from_the_store_is_training_on_the_fly(tiny_folder, encoded, tmp_path, regime):
    results = []
    for store in (False, True):
        task = catalog.task("relation", labels=LABELS, max_length=32)
        # Without dropout: its random numbers are drawn in another order for another memory layout.
        model = KnowledgeModel(Backbone(tiny_folder), adapters={"F": build_adapter(tiny.sizes(dropout=0.0))}, task=task)
        model.head.dropout.p = 0.0
        settings = Settings(regime=regime, epochs=3, batch_size=8, learning_rate=5e-3, bf16=False, store=store)
        fitted = fit(model, encoded, encoded, settings, tmp_path / "fit", progress=False, cache=tmp_path / "cache")
        results.append((fitted, {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}))
    (fly, weights), (stored, stored_weights) = results
    assert [h["loss"] for h in fly.history if "loss" in h] == pytest.approx(
        [h["loss"] for h in stored.history if "loss" in h], rel=1e-3
    )
    assert fly.best == pytest.approx(stored.best, rel=1e-3)
    for name, weight in weights.items():
        torch.testing.assert_close(stored_weights[name], weight, rtol=1e-2, atol=1e-3)


def test_a_store_belongs_to_backbone_tokens_states_and_adapters(model, encoded, tiny_folder, tmp_path):
    def folder(m=model, e=encoded, kind="states", dtype=torch.float32):
        return features.open_store(m, e, kind, dtype, tmp_path, progress=False).folder

    first = folder()
    assert folder() == first  # found again
    other = encode(model.task, load_tokenizer(tiny_folder), tiny.relations(20))
    distinct = {first, folder(e=other), folder(dtype=torch.bfloat16), folder(kind="features")}
    changed = KnowledgeModel(
        Backbone(tiny.make_backbone(tmp_path / "b", seed=3)), adapters={"F": build_adapter(tiny.sizes())}
    )
    distinct |= {folder(m=changed)}
    moved = KnowledgeModel(model.backbone, adapters={"F": build_adapter(tiny.sizes(plug_layers=[0, 1, 3]))})
    distinct |= {folder(m=moved)}
    trained = KnowledgeModel(model.backbone, adapters={"F": build_adapter(tiny.sizes(), seed=5)})
    assert folder(m=trained) == first  # the backbone's states do not depend on the adapter's weights
    distinct |= {folder(m=trained, kind="features")}
    assert len(distinct) == 7


@pytest.mark.parametrize("damage", ["states.bin", "meta.json", "offsets.npy"])
def test_a_torn_store_is_never_read(model, encoded, tmp_path, damage):
    store = features.open_store(model, encoded, "states", torch.float32, tmp_path, progress=False)
    expected = store(np.array([1]))["states"].clone()
    file = store.folder / damage
    file.write_bytes(file.read_bytes()[:-7])
    if damage == "states.bin":
        with pytest.raises(KAdapterError, match=r"states.bin has \d+ bytes; expected \d+"):
            features.FeatureStore(store.folder)
    again = features.open_store(model, encoded, "states", torch.float32, tmp_path, progress=False)
    assert torch.equal(again(np.array([1]))["states"], expected)


@pytest.mark.parametrize("damage", ["states.bin", "offsets.npy"])
def test_a_store_with_one_flipped_bit_is_never_read(model, encoded, tmp_path, damage):
    store = features.open_store(model, encoded, "states", torch.float32, tmp_path, progress=False)
    expected = store(np.array([1]))["states"].clone()
    content = bytearray((store.folder / damage).read_bytes())
    content[-5] ^= 1
    (store.folder / damage).write_bytes(content)
    with pytest.raises(KAdapterError, match=f"{damage} is not as it was written"):
        features.FeatureStore(store.folder)
    again = features.open_store(model, encoded, "states", torch.float32, tmp_path, progress=False)
    assert torch.equal(again(np.array([1]))["states"], expected)


def test_a_damaged_store_is_listed_and_cleared(model, encoded, tmp_path):
    store = features.open_store(model, encoded, "states", torch.float32, tmp_path, progress=False)
    for content in (b"", b"{", b"[]", b'{"shape": 3}', b'{"shape": [1]}', b"\xff"):
        (store.folder / "meta.json").write_bytes(content)
        [row] = features.stores(tmp_path)
        assert (row["folder"], row["tokens"], row["backbone"]) == (store.folder, 0, None) and row["bytes"] > 0
    assert features.clear(tmp_path)[0] == 1 and not store.folder.exists()


def test_what_a_killed_build_left_goes_with_the_next(model, encoded, tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f"0123.partial-{os.uname().nodename}-{dead.pid}"
    left.mkdir()
    (left / "states.bin").write_bytes(bytes(100))
    features.open_store(model, encoded, "states", torch.float32, tmp_path, progress=False)
    assert not left.exists()


def test_a_failed_build_leaves_nothing(model, encoded, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(model.backbone, "hidden_states", broken)
    with pytest.raises(MemoryError):
        features.open_store(model, encoded, "states", torch.float32, tmp_path, progress=False)
    assert [p.suffix for p in tmp_path.iterdir()] == [".lock"]


def test_two_processes_build_it_once(model, encoded, tiny_folder, tmp_path):
    script = f"""
import sys, torch
from pathlib import Path
from tests import tiny
from kadapter import catalog
from kadapter.training import features
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.training.batches import encode
from kadapter.model.knowledge_model import KnowledgeModel
task = catalog.task("relation", labels={LABELS!r}, max_length=32)
model = KnowledgeModel(Backbone({str(tiny_folder)!r}), adapters={{"F": build_adapter(tiny.sizes())}}, task=task)
encoded = encode(task, load_tokenizer({str(tiny_folder)!r}), tiny.relations())
built = []
original = features._build
features._build = lambda *a, **k: (built.append(1), original(*a, **k))
store = features.open_store(model, encoded, "states", torch.float32, Path({str(tmp_path)!r}), progress=False)
print(len(built), float(store([0, 1][:1] if False else __import__("numpy").array([0]))["states"].sum()))
"""
    processes = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [p.communicate(timeout=120)[0].split() for p in processes]
    assert sorted(a[0] for a in answers) == ["0", "1"]
    assert answers[0][1] == answers[1][1]


def test_attending_to_padding_cannot_be_stored(tiny_folder, encoded, tmp_path):
    model = KnowledgeModel(Backbone(tiny_folder), adapters={"F": build_adapter(tiny.sizes(mask_padding=False))})
    with pytest.raises(
        KAdapterError, match="mask_padding=False depends on each batch's padding: train it with store=False"
    ):
        features.open_store(model, encoded, "states", torch.float32, tmp_path)


def test_a_store_that_does_not_fit_is_told(model, encoded, tmp_path, monkeypatch):
    usage = features.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(features.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(KAdapterError, match=r"a store of 0.0 GB does not fit in 0.0 GB: train with store=False"):
        features.open_store(model, encoded, "states", torch.float32, tmp_path, progress=False)


def test_no_store_is_begun_on_a_disk_that_fills_up(tmp_path):
    path = tmp_path / "store" / "states.bin"
    path.parent.mkdir()
    features._reserve(path, 1 << 20)
    assert os.stat(path).st_blocks * 512 >= 1 << 20, "its place is its own"
    with pytest.raises(features.NoRoom, match=r"no room for a store of 1.2e\+09 GB \("):
        features._reserve(path, 1 << 60)


def test_the_cache_keeps_to_its_limit(model, encoded, tiny_folder, tmp_path, monkeypatch):
    def store(n):
        examples = encode(model.task, load_tokenizer(tiny_folder), tiny.relations(n))
        return features.open_store(model, examples, "states", torch.float32, tmp_path, progress=False).folder

    first, second = store(20), store(24)
    os.utime(first / "meta.json", (1, 1))
    store(20)  # opened again: now the second is the oldest
    os.utime(second / "meta.json", (2, 2))
    size = sum((f / "states.bin").stat().st_size for f in (first, second))
    monkeypatch.setenv("KADAPTER_CACHE_GB", str(1.6 * size / 1e9))
    third = store(28)
    assert first.exists() and third.exists() and not second.exists()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_umask_decides_who_may_read_a_store(model, encoded, tmp_path, umask, mode):
    former = os.umask(umask)
    try:
        folder = features.open_store(model, encoded, "states", torch.float32, tmp_path, progress=False).folder
    finally:
        os.umask(former)
    assert {oct(p.stat().st_mode & 0o777) for p in folder.iterdir()} == {oct(mode)}


def test_the_limit_is_a_share_of_the_disk_or_what_one_variable_says(model, encoded, tmp_path, monkeypatch):
    folder = tmp_path / "not" / "there"
    monkeypatch.setattr(features.shutil, "disk_usage", lambda path: SimpleNamespace(free=8e9))
    assert features.cache_limit(folder) == 2e9
    (folder / "store").mkdir(parents=True)
    (folder / "store" / "meta.json").touch()
    (folder / "store" / "states.bin").write_bytes(bytes(4000))
    assert features.cache_limit(folder) == 0.25 * (8e9 + 4000), "what stores take is theirs to keep"
    monkeypatch.setenv("KADAPTER_CACHE_GB", "1.5")
    assert features.cache_limit(folder) == 1.5e9
    monkeypatch.setenv("KADAPTER_CACHE_GB", "much")
    with pytest.raises(KAdapterError, match="KADAPTER_CACHE_GB: found 'much'; expected a number"):
        features.cache_limit(folder)


def test_the_backbone_reads_the_examples_once_for_all_models_with_its_plug_layers(tiny_folder, encoded, tmp_path):
    backbone = Backbone(tiny_folder)
    reads = []
    states = backbone.hidden_states
    backbone.hidden_states = lambda *a, **k: reads.append(1) or states(*a, **k)
    for seed in range(3):
        model = KnowledgeModel(backbone, adapters={"F": build_adapter(tiny.sizes(), seed)}, task=None).eval()
        store = features.open_store(model, encoded, "features", torch.float32, tmp_path, progress=False)
        if seed == 0:
            once = len(reads)
        batch = {k: v for k, v in encoded.__getitems__([0, 1]).items() if k in ("input_ids", "attention_mask")}
        with torch.no_grad():
            expected = model.represent(states(**batch, state_indices=model.state_indices), batch["attention_mask"])
        real = batch["attention_mask"].bool()
        torch.testing.assert_close(
            store(np.array([0, 1]))["features"][:, real], expected[:, real], rtol=1e-4, atol=1e-4
        )
    assert len(reads) == once > 0


def test_meta_says_what_is_inside(model, encoded, tmp_path):
    store = features.open_store(model, encoded, "states", torch.bfloat16, tmp_path, progress=False)
    meta = json.loads((store.folder / "meta.json").read_text())
    assert meta["kind"] == "states" and meta["dtype"] == "bfloat16"
    assert meta["shape"] == [len(model.state_indices), int(encoded.lengths.sum()), tiny.HIDDEN]


def test_batches_cover_everything_once_and_pad_little():
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 60, size=1003)
    sampler = LengthBatches(lengths, 16, seed=1)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 63
    assert sorted(i for b in batches for i in b) == list(range(1003))
    padded = sum(lengths[b].max() * len(b) for b in batches)
    assert padded < 1.1 * lengths.sum()  # a random order needs about 1.8 times the tokens
    sampler.set_epoch(1)
    assert list(sampler) != batches
    sampler.set_epoch(0)
    assert list(sampler) == batches


def test_token_batches_stay_within_the_budget():
    lengths = np.random.default_rng(1).integers(1, 50, size=500)
    batches = list(features.token_batches(lengths, 200))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert all(lengths[b].max() * len(b) <= 200 for b in batches)
