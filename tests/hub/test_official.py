"""Official checkpoints: the published computation at the released sizes, the file's layout there and back, and what is
refused."""

import json
import re

import pytest
import torch
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertAttention, BertEncoder
from typer.testing import CliRunner

from kadapter.cli.main import app
from kadapter.errors import KAdapterError
from kadapter.hub import adapter_folder, official
from kadapter.model.adapter import AdapterConfig, build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import encode
from kadapter.training.predict import predict
from tests import reference, tiny

SMALL = {"hidden": tiny.HIDDEN, "width": 16, "inner": 24, "layers": 2, "blocks": 3}
PLUGS = [0, 2, 3]


def write(state, folder):
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def load(path, **more):
    return official.import_checkpoint(path, more.pop("plug_layers", PLUGS), more.pop("attention_heads", 2), **more)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A random checkpoint of the released size, and its file (189 MB)."""
    state = reference.checkpoint(seed=3)
    return state, write(state, tmp_path_factory.mktemp("fac-adapter"))


def test_the_reference_has_the_released_size():
    def count(**sizes):
        return sum(torch.Size(shape).numel() for shape in reference.shapes(**sizes).values())

    assert count() == 47_251_200  # ledger row 5
    assert count(head="relation", outputs=430) == 51_888_302
    assert count(head="dependency", outputs=64) == 54_665_024


@pytest.mark.parametrize("mask_padding", [False, True])
def test_forward_and_gradients_at_the_released_sizes(large, mask_padding):
    """roberta-large: hidden 1024, width 768, 3 x 2 layers, inner 3072, 12 heads; float32, 1e-5."""
    state, path = large
    adapter = official.import_checkpoint(path, [0, 11, 22], mask_padding=mask_padding).adapter
    assert adapter.config == AdapterConfig(1024, combine="add", mask_padding=mask_padding)
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(3, 2, 12, 1024, generator=generator)
    padded = torch.tensor([[1] * 12, [1] * 7 + [0] * 5])
    w = {name: tensor.clone().requires_grad_() for name, tensor in state.items()}
    for mask in (None, padded):
        expected = reference.adapter(w, list(states), 12, mask if mask_padding else None)
        with torch.no_grad():
            torch.testing.assert_close(adapter(states, mask), expected.detach(), rtol=1e-5, atol=1e-5)
    # the graph of training, without dropout
    without = AdapterConfig.from_dict(adapter.config.to_dict() | {"dropout": 0.0})
    training = build_adapter(without).train()
    adapter_folder.fill(training, adapter.state_dict(), path)
    weight = torch.randn(2, 12, 1024, generator=generator) / 100
    output = training(states, padded)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    (output * weight).sum().backward()
    (expected * weight).sum().backward()
    own = reference.official_view({n: p.grad for n, p in training.named_parameters()}, without)
    assert own.keys() == w.keys()
    for name, tensor in w.items():
        torch.testing.assert_close(own[name], tensor.grad, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def part(state, name):
    return {n.removeprefix(f"{name}."): t for n, t in state.items() if n.startswith(f"{name}.")}


@pytest.mark.parametrize("mask_padding", [False, True])
def test_the_layers_are_those_of_a_bert_encoder(tmp_path, mask_padding):
    """The official adapter layer is a BertEncoder: Hugging Face's takes the file's leaves by name, and computes the
    same."""
    state = reference.checkpoint(**SMALL, head="dependency", outputs=9)
    adapter = load(write(state, tmp_path), mask_padding=mask_padding).adapter
    config = BertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        layer_norm_eps=1e-5,
        attn_implementation="eager",
    )
    states = torch.randn(3, 2, 6, tiny.HIDDEN)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
    extended = torch.where(mask[:, None, None, :].bool() | (not mask_padding), 0.0, -10000.0)
    last = torch.zeros_like(states[0])
    with torch.no_grad():
        for k in range(3):
            encoder = BertEncoder(config).eval()
            encoder.load_state_dict(part(state, f"adapter.{k}.encoder"))  # strict
            fused = states[k] + last
            x = reference.linear(state, fused, f"adapter.{k}.down_project")
            x = encoder(x, attention_mask=extended).last_hidden_state
            last = fused + reference.linear(state, x, f"adapter.{k}.up_project")
        torch.testing.assert_close(adapter(states, mask), last, rtol=1e-5, atol=1e-5)
        # and the linguistic head's own attention layer, of one head
        config.hidden_size, config.num_attention_heads = tiny.HIDDEN, 1
        attention = BertAttention(config).eval()
        attention.load_state_dict(part(state, "self_attention"))
        found = reference.attention(state, last, "self_attention", 1, None)
        torch.testing.assert_close(
            attention(last, attention_mask=torch.zeros(2, 1, 1, 6))[0], found, rtol=1e-5, atol=1e-5
        )


def test_padding_reaches_the_official_result():
    """Without a mask the result depends on how far a batch is padded; with one it does not (ledger row 3)."""
    state = reference.checkpoint(**SMALL)
    states = list(torch.randn(3, 1, 6, tiny.HIDDEN))
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    whole, alone = reference.adapter(state, states, 2)[:, :4], reference.adapter(state, [s[:, :4] for s in states], 2)
    assert not torch.allclose(whole, alone, atol=1e-3)
    torch.testing.assert_close(reference.adapter(state, states, 2, mask)[:, :4], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", [None, "relation", "dependency"])
def test_round_trip_is_equal_to_the_bit(tmp_path, head):
    state = reference.checkpoint(**SMALL, head=head, outputs=9)
    path = write(state, tmp_path / "fac-adapter")
    imported = load(path, head=head is not None)
    assert imported.used == list(state) and not imported.left_over
    made_for = {"name": "x", "revision": None, "fingerprint": None}
    folder = adapter_folder.save_adapter(imported.adapter, tmp_path / "ours", made_for)
    official.export_checkpoint(adapter_folder.load_adapter(folder), tmp_path / "back.bin")
    back = torch.load(tmp_path / "back.bin", weights_only=True)
    assert back.keys() == state.keys()
    for name, tensor in state.items():
        assert back[name].dtype == tensor.dtype and torch.equal(back[name], tensor), name
    assert not list(tmp_path.glob("*.partial*"))


def test_our_own_adapter_exports_under_official_names(tmp_path):
    adapter = build_adapter(tiny.sizes(combine="add"), seed=5)
    official.export_checkpoint(adapter, tmp_path / "new" / "pytorch_model.bin")
    written = torch.load(tmp_path / "new" / "pytorch_model.bin", weights_only=True)
    expected = reference.official_view(adapter.state_dict(), adapter.config)
    assert written.keys() == expected.keys() == reference.shapes(**SMALL).keys()
    assert all(torch.equal(written[n], t) for n, t in expected.items())
    with pytest.raises(KAdapterError, match="the official layout has no combine='concat'; expected 'add'"):
        official.export_checkpoint(build_adapter(tiny.sizes()), tmp_path / "x.bin")
    assert not (tmp_path / "x.bin").exists()


def test_a_released_factual_adapter_is_scored_on_its_own_task(tiny_folder, tmp_path):
    state = reference.checkpoint(**SMALL, head="relation", outputs=4)
    labels = ["hates", "knows", "leads", "likes"]
    imported = load(write(state, tmp_path / "fac"), head=True, labels=labels, mask_padding=True)
    backbone = Backbone(tiny_folder)
    model = KnowledgeModel.from_adapter(imported.adapter.save_pretrained(tmp_path / "ours", backbone), backbone)
    assert model.fusion.kind == "project" and model.task.labels == labels and list(model.adapters) == ["factual"]
    encoded = encode(model.task, load_tokenizer(tiny_folder), tiny.relations(20))
    batch = encoded.__getitems__(range(6))
    states = backbone.hidden_states(batch["input_ids"], batch["attention_mask"], state_indices=[*PLUGS, tiny.DEPTH])
    adapted = reference.adapter(state, list(states[:3]), 2, batch["attention_mask"])
    spans = batch["spans"]  # (batch, 2 mentions, start and end): one marker each
    assert (spans[..., 1] - spans[..., 0]).eq(1).all()
    expected = reference.relation_logits(state, states[3], adapted, *(spans[:, m, 0].tolist() for m in (0, 1)))
    torch.testing.assert_close(model(**batch).logits, expected, rtol=1e-4, atol=1e-4)
    assert 0 <= predict(model, encoded).scores["f1"] <= 1


def test_a_released_linguistic_adapter_is_scored_on_its_own_task(tiny_folder, tmp_path):
    state = reference.checkpoint(**SMALL, head="dependency", outputs=16)
    imported = load(write(state, tmp_path / "lin"), head=True, mask_padding=True)
    backbone = Backbone(tiny_folder)
    model = KnowledgeModel.from_adapter(imported.adapter.save_pretrained(tmp_path / "ours", backbone), backbone)
    assert model.task.options()["max_length"] == 16 and model.task.head_type == "position"
    encoded = encode(model.task, load_tokenizer(tiny_folder), tiny.trees(8))
    batch = encoded.__getitems__(range(8))
    states = backbone.hidden_states(batch["input_ids"], batch["attention_mask"], state_indices=[*PLUGS, tiny.DEPTH])
    adapted = reference.adapter(state, list(states[:3]), 2, batch["attention_mask"])
    logits = reference.dependency_logits(state, states[3], adapted, batch["attention_mask"])
    expected = torch.stack([row[words] for row, words in zip(logits, batch["words"], strict=True)])
    torch.testing.assert_close(model(**batch).logits, expected, rtol=1e-4, atol=1e-4)
    assert 0 <= predict(model, encoded).scores["uas"] <= 1


def without(state, name):
    return {n: t for n, t in state.items() if n != name}


D = "adapter.0.down_project.weight"
Q = "adapter.1.encoder.layer.1.attention.self.query.weight"


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (lambda s: without(s, Q), {}, f"no leaf '{Q}'; expected shape [16, 16]"),
        (lambda s: s | {Q: s[Q][:3]}, {}, f"leaf '{Q}' has shape [3, 16]; expected [16, 16]"),
        (lambda s: s | {Q: s[Q].long()}, {}, f"leaf '{Q}' holds torch.int64; expected floating-point numbers"),
        (
            lambda s: {f"module.{n}": t for n, t in s.items()},
            {},
            "every leaf's name begins with 'module.', as torch's DataParallel writes them",
        ),
        (lambda s: {"x": s[Q]}, {}, "no leaf 'adapter.0.down_project.weight'; expected the layout"),
        (lambda s: s | {Q: torch.full((16, 16), torch.nan)}, {}, f"leaf '{Q}' holds numbers that are not finite"),
        (lambda s: s | {Q: s[Q].to("meta")}, {}, f"leaf '{Q}' holds no numbers (meta, torch.strided)"),
        (lambda s: s | {Q: s[Q].to_sparse()}, {}, f"leaf '{Q}' holds no numbers (cpu, torch.sparse_coo)"),
        (lambda s: s | {D: torch.zeros(0, 32)}, {}, "adapter setting width: found 0; expected a whole number from 1"),
        (
            lambda s: s | {"adapter.0.encoder.layer.2000000.x": s[Q]},
            {},
            "leaf 'adapter.0.encoder.layer.2000000.x' is number 2000000, and there is no number 2",
        ),
        (
            lambda s: s | {f"adapter.0.encoder.layer.{i}.x": s[Q] for i in range(200)},
            {},
            "adapter setting layers: found 200; expected a whole number from 1 to 128",
        ),
        (lambda s: s | {"adapter.7.x": s[Q]}, {}, "leaf 'adapter.7.x' is number 7, and there is no number 3"),
        (lambda s: s | {f"adapter.{'9' * 5000}.x": s[Q]}, {"attention_heads": 3}, "width 16 is not a multiple"),
        (lambda s: s, {"attention_heads": 0}, "adapter setting heads: found 0; expected a whole number from 1"),
        (lambda s: s, {"plug_layers": [-1, 0, 1]}, "plug_layers[0]: found -1; expected a whole number from 0"),
        (lambda s: s | {"out_proj.bias": torch.tensor(1.0)}, {"head": True}, "this file keeps no pre-training head"),
        (lambda s: s, {"plug_layers": [0, 2]}, "holds 3 adapter layers, but 2 plug layers were given: [0, 2]"),
        (lambda s: s, {"plug_layers": [3, 2, 0]}, "plug_layers [3, 2, 0]: expected at least one index, ascending"),
        (
            lambda s: s,
            {"attention_heads": None},
            "adapter width 16 is not the published 768, and the file does not tell its number",
        ),
        (lambda s: s, {"attention_heads": 3}, "width 16 is not a multiple of its 3 attention heads"),
        (lambda s: s, {"head": True}, "no leaf 'out_proj.bias': this file keeps no pre-training head"),
        (lambda s: s, {"labels": ["a"]}, "labels belong to the relation head"),
        (lambda s: s | {"epoch": 3}, {}, "expected a dict of name -> tensor"),
        (lambda s: list(s.values()), {}, "found a list of other things; expected a dict of name -> tensor"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path, change, more, message):
    path = write(change(reference.checkpoint(**SMALL)), tmp_path)
    with pytest.raises(KAdapterError, match=re.escape(message)):
        load(path, **more)


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        ("com_dense.weight", "no leaf 'com_dense.weight'; expected shape [32, 64]"),
        ("self_attention.output.LayerNorm.bias", "no leaf 'self_attention.output.LayerNorm.bias'; expected shape [32]"),
    ],
)
def test_a_torn_head_is_refused_by_name(tmp_path, leaf, message):
    state = reference.checkpoint(**SMALL, head="dependency", outputs=16)
    with pytest.raises(KAdapterError, match=re.escape(message)):
        load(write(without(state, leaf), tmp_path), head=True)


def test_labels_must_be_as_many_as_the_head_has(tmp_path):
    path = write(reference.checkpoint(**SMALL, head="relation", outputs=4), tmp_path)
    with pytest.raises(KAdapterError, match="tells 4 relations apart, but 2 labels were given"):
        load(path, head=True, labels=["a", "b"])


class _Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_nothing_is_executed_and_damage_is_one_sentence(tmp_path, capsys):
    path = write({"adapter.0.down_project.weight": _Evil()}, tmp_path)
    with pytest.raises(KAdapterError, match=r"damaged \(it holds (builtins.)?print, which is no tensor\)$") as error:
        load(path)
    assert "executed" not in capsys.readouterr().out
    assert "weights_only" not in str(error.value), "torch advises to load it unsafely"
    whole = write(reference.checkpoint(**SMALL), tmp_path).read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2 :: 97] = bytes(len(changed[len(whole) // 2 :: 97]))
    for damaged in (*(whole[:n] for n in (0, 1, 1000, 5000, len(whole) - 100)), b"PK\x03\x04", b"\x80\x02.", changed):
        path.write_bytes(damaged)
        with pytest.raises(KAdapterError, match="or is damaged|holds|no leaf|expected") as error:
            load(path)
        assert "\n" not in str(error.value) and "weights_only" not in str(error.value)
    with pytest.raises(KAdapterError, match="is no file: expected the pytorch_model.bin"):
        load(tmp_path / "nothing.bin")


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(result.exception, Exception):
        raise result.exception
    return result


def test_command_line_there_and_back(tiny_folder, tmp_path):
    state = reference.checkpoint(**SMALL, head="relation", outputs=4)
    path = write(state, tmp_path / "fac-adapter")
    common = ["import", path, "--backbone", tiny_folder, "--plug-layers", "0,2,3", "--attention-heads", 2]
    result = run(*common, "--out", tmp_path / "ours")
    assert "used 108 leaves" in result.stdout and "left 6 leaves" in result.stdout
    assert "adapter.{0..2}.encoder.layer.{0..1}.attention.self.query.weight" in result.stdout
    assert "com_dense.weight" in result.stdout and not result.stderr
    model = KnowledgeModel(Backbone(tiny_folder)).plug(
        "factual", tmp_path / "ours"
    )  # no warning: the fingerprint is there
    config = model.adapters["factual"].config
    assert (config.combine, config.mask_padding, config.heads) == ("add", False, 2)
    assert model.adapters["factual"].provenance["name"] == "fac-adapter"

    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(["P1", "P2", "P3", "P4"]))
    result = run(*common, "--heads", "--labels", labels, "--mask-padding", "--name", "F", "--out", tmp_path / "whole")
    assert "left 0 leaves" in result.stdout
    assert KnowledgeModel.from_adapter(tmp_path / "whole").task.labels == ["P1", "P2", "P3", "P4"]
    assert "--heads" not in run("export", tmp_path / "whole", "--out", tmp_path / "back.bin").stdout
    back = torch.load(tmp_path / "back.bin", weights_only=True)
    assert back.keys() == state.keys() and all(torch.equal(back[n], t) for n, t in state.items())
    with pytest.raises(
        KAdapterError, match="keeps no pre-training head: plug it into a model instead, or import it again"
    ):
        KnowledgeModel.from_adapter(tmp_path / "ours")


def test_command_line_mistakes(tiny_folder, tmp_path):
    path = write(reference.checkpoint(**SMALL), tmp_path / "fac")
    common = ["import", path, "--out", tmp_path / "ours", "--attention-heads", 2]
    for points, message in (
        ("0,two,3", "plug layers '0,two,3': expected numbers"),
        ("0,2,9", "plug layer 9 is out of range"),
    ):
        with pytest.raises(KAdapterError, match=message):
            run(*common, "--backbone", tiny_folder, "--plug-layers", points)
    with pytest.raises(KAdapterError, match="reads states of width 32, but minilm has 384"):
        run(*common, "--backbone", "minilm", "--plug-layers", "0,2,3")
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    with pytest.raises(KAdapterError, match="found no list of names"):
        run(*common, "--backbone", tiny_folder, "--plug-layers", "0,2,3", "--heads", "--labels", empty)
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--name", "../../x"], "--name: found '../../x'; expected a name of at most 100 letters"),
        (["--name", "/tmp/x"], "--name: found '/tmp/x'; expected a name"),
        (["--name", ""], "--name: found ''; expected a name"),
        (["--plug-layers", "0,2,x"], "plug layers '0,2,x': expected numbers between commas"),
        (["--out", "fac/pytorch_model.bin/below"], "below cannot be written: what should be its folder is a file"),
        (["--heads", "--labels", "latin.txt"], "latin.txt is no UTF-8 text (invalid continuation byte at byte 1)"),
    ],
)
def test_a_wrong_option_of_import_is_one_sentence(tiny_folder, tmp_path, monkeypatch, more, message):
    monkeypatch.chdir(tmp_path)
    write(reference.checkpoint(**SMALL, head="relation", outputs=4), tmp_path / "fac")
    (tmp_path / "latin.txt").write_bytes("déjà\n".encode("latin-1"))
    before = sorted(tmp_path.rglob("*"))
    common = ["import", "fac/pytorch_model.bin", "--backbone", tiny_folder, "--attention-heads", 2]
    with pytest.raises(KAdapterError, match=re.escape(message)) as error:
        run(*common, "--plug-layers", "0,2,3", *more)
    assert "\n" not in str(error.value) and sorted(tmp_path.rglob("*")) == before
    result = run(*common, "--plug-layers", "0,2,3", "--attention-heads", 0)
    assert result.exit_code == 2 and "attention-heads" in result.output


def test_an_export_is_a_file_and_no_folder(tiny_folder, tmp_path):
    adapter = build_adapter(tiny.sizes(combine="add"))
    folder = adapter.save_pretrained(tmp_path / "F", Backbone(tiny_folder))
    for out, message in (
        (tmp_path, "is a folder: expected the name of a file"),
        (folder / "README.md/x", "should be its folder is a file"),
    ):
        with pytest.raises(KAdapterError, match=message):
            run("export", folder, "--out", out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["F"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_file_comes_back_in_its_own_precision(tiny_folder, tmp_path, dtype):
    """Equal to the bit, as docs/released_checkpoints.md says, through the folder that an import writes."""
    state = {n: t.to(dtype) for n, t in reference.checkpoint(**SMALL, head="relation", outputs=4).items()}
    path = write(state, tmp_path / "fac")
    more = ["--attention-heads", 2, "--heads", "--out", tmp_path / "ours"]
    run("import", path, "--backbone", tiny_folder, "--plug-layers", "0,2,3", *more)
    run("export", tmp_path / "ours", "--out", tmp_path / "back.bin")
    back = torch.load(tmp_path / "back.bin", weights_only=True)
    assert back.keys() == state.keys()
    assert all(back[n].dtype == dtype and torch.equal(back[n], t) for n, t in state.items())
    adapter = adapter_folder.load_adapter(tmp_path / "ours")
    assert {p.dtype for p in adapter.parameters()} == {torch.float32}
    with torch.no_grad():
        next(adapter.parameters()).add_(1e-6)  # trained further: what float16 cannot hold is not thrown away
    assert {t.dtype for t in official.state_of(adapter).values()} == {torch.float32}


def test_without_the_backbone_there_is_no_fingerprint_and_it_is_told(tiny_folder, tmp_path):
    path = write(reference.checkpoint(**SMALL), tmp_path / "fac")
    result = run(
        "import",
        path,
        "--backbone",
        "roberta-nowhere",
        "--plug-layers",
        "0,2,3",
        "--attention-heads",
        2,
        "--out",
        tmp_path / "ours",
    )
    assert "backbone 'roberta-nowhere' cannot be loaded here, so no fingerprint" in result.stderr
    backbone = Backbone(tiny_folder)
    with pytest.warns(UserWarning, match="records no backbone fingerprint"):
        adapter = adapter_folder.load_adapter(tmp_path / "ours", backbone)
    adapter.save_pretrained(tmp_path / "again", backbone)
    assert adapter_folder.load_adapter(tmp_path / "again", backbone).made_for["fingerprint"] == backbone.fingerprint


def test_an_import_never_replaces_what_is_not_ours(tiny_folder, tmp_path):
    path = write(reference.checkpoint(**SMALL), tmp_path / "fac")
    common = ["import", path, "--backbone", tiny_folder, "--plug-layers", "0,2,3", "--attention-heads", 2, "--out"]
    with pytest.raises(
        KAdapterError, match="fac would be replaced, but it holds 'pytorch_model.bin', which is not ours"
    ):
        run(*common, path.parent)
    with pytest.raises(KAdapterError, match="pytorch_model.bin would be replaced, but it is a file"):
        run(*common, path)
    assert [p.name for p in path.parent.iterdir()] == ["pytorch_model.bin"]
    run(*common, tmp_path / "ours")
    run(*common, tmp_path / "ours")  # our own folder is


def test_a_configuration_alone_still_checks_sizes(tiny_folder, tmp_path):
    folder = tmp_path / "config-only"
    Backbone(tiny_folder).config.save_pretrained(folder)
    config = tiny.sizes(combine="add")
    assert official.made_for(str(folder), config)["fingerprint"] is None
    with pytest.raises(KAdapterError, match="plug layer 9 is out of range: .*config-only has hidden_states 0..4"):
        official.made_for(str(folder), tiny.sizes(plug_layers=[0, 2, 9]))
    with pytest.raises(KAdapterError, match="reads states of width 48"):
        official.made_for(str(folder), tiny.sizes(hidden_size=48))
