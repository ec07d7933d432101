"""The bench: FLOPs as counted by hand and by torch, the shape of what is printed, loops that do the same work."""

import json
import sys

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from kadapter.bench import adapter, examples, finetune, flops, growth, lora, naive, reading, rows
from kadapter.bench.machine import matmul_rate, peak_memory
from kadapter.cli.main import app
from kadapter.machine.device import has_bf16
from kadapter.model import adapter as adapters
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone
from kadapter.model.knowledge_model import KnowledgeModel
from tests import tiny

CPU = torch.device("cpu")


def test_flops_of_roberta_large_by_hand():
    # 24 layers of 12 h h weights (h = 1024), two operations each, and 4 T h for attention over T = 10
    assert flops.transformer(1024, 4096, 10) == 2 * 12 * 1024**2 + 4 * 10 * 1024
    config = adapters.AdapterConfig(hidden_size=1024, combine="add")
    # three layers: down and up 2 * 1024 * 768 each, two transformer layers of 12 w w weights
    weights = 3 * (2 * 1024 * 768 + 2 * 12 * 768**2)
    attention = 3 * 2 * 4 * 10 * 768
    assert flops.adapter_forward(config, 10) == 2 * weights + attention
    # the first down-projection reads a state that needs no gradient
    assert flops.adapter_training(config, 10) == 3 * (2 * weights + attention) - 2 * 1024 * 768


def test_flops_are_those_that_torch_counts(tiny_folder):
    # attention written out: torch counts no operations of its fused kernels on a processor
    backbone, tokens = Backbone(tiny_folder, attn_implementation="eager"), 9
    ids = torch.randint(1000, 2000, (2, tokens))
    mask = torch.ones_like(ids)
    with FlopCounterMode(display=False) as counter:
        states = backbone.hidden_states(ids, mask, state_indices=[0, 2, 3])
    assert counter.get_total_flops() == 2 * tokens * flops.backbone_forward(backbone, tokens)
    for combine, unneeded in (("add", 0), ("concat", 2)):
        config = tiny.sizes(combine=combine)
        adapter = build_adapter(config).train()  # with dropout our attention is written out, too
        with FlopCounterMode(display=False) as counter:
            adapter(list(states), mask).sum().backward()
        # torch computes the gradient of a concatenated input whole, though its half from the backbone is not needed
        more = unneeded * 2 * config.hidden_size * config.width
        expected = 2 * tokens * (flops.adapter_training(config, tokens) + more)
        assert counter.get_total_flops() == expected


def test_sentences_are_as_long_as_told_and_their_spans_lie_inside():
    encoded = examples.make_sentences(500, 30_000)
    assert abs(encoded.lengths.mean() - 35) < 2 and encoded.lengths.max() <= 64 and encoded.lengths.min() >= 8
    spans = encoded.columns["spans"]
    assert (spans[..., 0] >= 1).all() and (spans[..., 1] <= encoded.lengths[:, None]).all()
    assert (spans[:, 0, 1] <= spans[:, 1, 0]).all()
    assert np.array_equal(encoded.columns["labels"], examples.make_sentences(500, 30_000).columns["labels"])


def test_the_naive_model_computes_what_ours_computes(tiny_folder):
    """With the same weights and all sentences of one length, the plain loop and the workbench agree."""
    backbone = Backbone(tiny_folder)
    task, encoded = examples.make_task(), examples.make_sentences(4, 2000)
    batch = naive.padded(encoded, np.arange(4))
    for combine in ("add", "concat"):
        config = tiny.sizes(combine=combine, init_std=0.2)
        ours = KnowledgeModel(backbone, "concat", {"F": build_adapter(config)}, task).eval()
        plain = naive.Model(backbone, config, task, "concat").eval()
        plain.head.load_state_dict(ours.head.state_dict())
        for k, layer in enumerate(ours.adapters["F"].layers):
            plain.adapter.down[k].load_state_dict(layer.down.state_dict())
            plain.adapter.up[k].load_state_dict(layer.up.state_dict())
            for mine, theirs in zip(layer.transformer, plain.adapter.layers[k], strict=True):
                pairs = (
                    ("query", "query"),
                    ("key", "key"),
                    ("value", "value"),
                    ("attention_output", "out"),
                    ("intermediate", "up"),
                    ("output", "down"),
                    ("attention_norm", "norm1"),
                    ("output_norm", "norm2"),
                )
                for a, b in pairs:
                    getattr(theirs, b).load_state_dict(getattr(mine, a).state_dict())
        with torch.no_grad():
            torch.testing.assert_close(plain(batch), ours(**batch).logits, rtol=1e-4, atol=1e-4)
        backbone.model.set_attn_implementation("sdpa")


def test_the_naive_loop_and_lora_learn(tiny_folder):
    backbone, task, encoded = Backbone(tiny_folder), examples.make_task(), examples.make_sentences(8, 2000)
    model = naive.Model(backbone, tiny.sizes(), task, "project")
    batch = naive.padded(encoded, np.arange(8))
    before = task.loss(model(batch), batch).item()
    assert list(naive.train(model, encoded, 8, 30, 1e-2, CPU)) == [8] * 30
    assert task.loss(model(batch), batch).item() < 0.7 * before
    assert 0 <= naive.score(model, encoded, CPU) <= 1
    fresh = Backbone(tiny_folder)
    before = fresh.fingerprint
    other = lora.build(fresh, task)
    trained = {n for n, p in other.named_parameters() if p.requires_grad}
    # two matrices for each of three projections in every layer, and the head's two linear layers
    assert len(trained) == tiny.DEPTH * 3 * 2 + 4 and all("lora_" in n or n.startswith("head.") for n in trained)
    assert list(lora.train(other, encoded, 8, 2, 1e-2, CPU, has_bf16(CPU))) == [8, 8]
    assert fresh.fingerprint == before  # the row that is measured next stands on the same backbone


def test_json_of_every_row(tiny_folder):
    ran = CliRunner().invoke(
        app,
        ["bench", "adapter", "--backbone", str(tiny_folder), "--sentences", "70", "--steps", "2", "--quick", "--json"],
        catch_exceptions=False,
    )
    answer = json.loads(ran.stdout)
    assert set(answer) == {"machine", "backbone", "rows", "ratios"} and answer["backbone"] == str(tiny_folder)
    assert answer["machine"]["matmul_flops"] > 1e9
    bf16 = has_bf16(CPU)
    assert bf16 or answer["machine"]["matmul_precision"] == "float32"
    named = {row["name"]: row for row in answer["rows"]}
    assert list(named) == ["naive", "lora", "stream", "stream_3_models", "store", "store_with_writing"]
    for row in named.values():
        assert row["sentences_per_second"] > 0 and row["peak_memory_bytes"] > 1e8
        assert row["tokens_per_second"] / row["sentences_per_second"] == pytest.approx(35, rel=0.35)
    for name in ("naive", "stream", "store", "store_with_writing"):
        assert 0 < named[name]["matmul_share"] < 1
    for pair in ("store/naive", "stream/naive", "store/lora", "store_with_writing/naive"):
        one, other = pair.split("/")
        expected = named[one]["sentences_per_second"] / named[other]["sentences_per_second"]
        assert answer["ratios"][pair] == pytest.approx(expected)
    encoded = examples.make_sentences(70, len(Backbone(tiny_folder).model.embeddings.word_embeddings.weight))
    states = int(encoded.lengths.sum()) * 4 * tiny.HIDDEN * (2 if bf16 else 4)  # three plug layers and the last
    assert states < named["store"]["store_bytes"] < states + 5000


def test_other_measurements_and_their_tables(tiny_folder):
    name = str(tiny_folder)
    tuned = finetune.measure(name, 40, matmul_seconds=0.01)
    assert [row.name for row in tuned.rows] == ["frozen", "paper", "full"] and tuned["frozen"].store_bytes
    predicted = finetune.measure_predict(name, 20, matmul_seconds=0.01)
    ratio = predicted["backbone"].sentences_per_second / predicted["F+L"].sentences_per_second
    assert predicted.ratios["F+L/backbone, time"] == pytest.approx(ratio)
    grown = growth.measure(name, [10, 40], matmul_seconds=0.01)
    assert [row.more["sentences"] for row in grown.rows] == [10, 40]
    command = ["bench", "predict", "--backbone", name, "--sentences", "20", "--quick"]
    ran = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "F+L/backbone, time" in ran.stdout and "<= 1.35" in ran.stdout and "GFLOP/s" in ran.stdout
    ran = CliRunner().invoke(app, ["bench", "adapter", "--rows", "naiv"])
    assert "unknown row 'naiv': did you mean 'naive'" in str(ran.exception)
    ran = CliRunner().invoke(app, ["bench", "growth", "--sizes", "10,many"])
    assert "--sizes 10,many: expected whole numbers separated by commas" in str(ran.exception)


def test_readers_are_given_as_many_records_as_asked():
    report = reading.measure(300, entities=60)
    assert [row.name for row in report.rows] == list(reading.FILES)
    assert all(row.more["records"] >= 300 and row.more["records_per_second"] > 0 for row in report.rows)
    slowest = min(row.more["records_per_second"] for row in report.rows if row.name != "conllu")
    assert report.ratios["records a second, slowest JSON format"] == slowest
    assert json.loads(reading.repeated('{"P1": [1, 2]}', ".json", 2)) == {"P1": [1, 2, 1, 2]}
    assert json.loads(reading.repeated("[1, 2]\n", ".json", 2)) == [1, 2, 1, 2]


def test_goals_are_judged_by_their_direction():
    judged = {what: met for what, _, _, met in rows.goals({"store/naive": 9.9, "further model/first": 0.39}, gpu=False)}
    assert judged == {"store/naive": False, "further model/first": True}
    assert rows.goals({"store/naive": 12.0}, gpu=True)[0][1:] == (">= 40", 12.0, False)


def test_memory_peak_is_that_of_the_block():
    with peak_memory(CPU, every=0.001) as peak:
        held = np.ones(50_000_000)  # 400 MB
        held += 1
        del held
    assert 350e6 < peak.growth < 600e6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell mapped pages apart")
def test_pages_of_a_mapped_file_are_not_counted(tmp_path):
    np.ones(50_000_000).tofile(tmp_path / "mapped")
    with peak_memory(CPU, every=0.001) as peak:
        assert np.memmap(tmp_path / "mapped").sum() > 0  # every page is read
    assert peak.growth < 200e6


def test_the_matmul_rate_is_that_of_a_processor():
    rate, precision = matmul_rate(CPU, 0.01)
    assert rate > 1e9 and precision in ("float32", "bfloat16")


def test_the_readings_of_a_step_leave_out_the_first():
    timed = rows.Timed(began=0.0, ends=[5.0, 6.0, 8.0], sentences=[4, 4, 2], tokens=[40, 44, 20], peak=7)
    row = timed.row("x", lambda n, t: n + t, rate=10.0)
    assert (row.sentences_per_second, row.tokens_per_second, row.seconds_to_first_step) == (2.0, 64 / 3, 5.0)
    assert row.matmul_share == pytest.approx((6 + 64) / 3 / 10)


def test_quality_trains_both_on_the_same_task(tiny_folder, tmp_path, monkeypatch):
    from kadapter.experiment import preset

    small = preset.load(
        "embedded", ["data.world.entities=60", "knowledge.F.training.epochs=1", f"backbone={tiny_folder}"]
    )
    small["knowledge"]["F"]["adapter"] = tiny.SIZES
    monkeypatch.setattr(preset, "load", lambda name: small)
    scores = adapter.quality(tmp_path / "data", seeds=1)
    assert set(scores) == {"naive", "store"} and all(0 <= s[0] <= 1 for s in scores.values())
