"""The package that people pass on: model card, Hub repository, versions of its configuration; and the model under
Trainer."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import RepositoryNotFoundError
from torch.utils.data import Dataset
from transformers import AutoModel, Trainer, TrainingArguments

from kadapter import KnowledgeAdapter, catalog
from kadapter.errors import KAdapterError
from kadapter.hub import adapter_folder, card
from kadapter.hub.adapter_folder import PretrainingHead
from kadapter.model.adapter import AdapterConfig, build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import encode
from tests import tiny

TRAINED = {
    "name": "F",
    "knowledge": "factual",
    "dataset": "world_factual",
    "data_hash": "0123abcd" * 8,
    "examples": 3200,
    "training": {"epochs": 5, "learning_rate": 0.001, "bf16": "auto"},
    "dev_scores": {
        "f1": {"mean": 0.8125, "std": 0.01, "ci_low": 0.79, "ci_high": 0.83, "seeds": 1, "n": 400},
        "precision": 0.5,
    },
}


@pytest.fixture(scope="module")
def backbone(tiny_folder):
    return Backbone(tiny_folder)


@pytest.fixture
def adapter():
    made = build_adapter(tiny.sizes(), seed=3)
    made.provenance = dict(TRAINED)
    return made


def test_the_card_is_valid_and_tells_everything(adapter, backbone, tmp_path):
    folder = adapter.save_pretrained(tmp_path / "F", backbone)
    read = ModelCard.load(folder / "README.md")
    data = read.data
    assert (data.license, data.library_name, data.model_name) == ("mit", "kadapter", "F")
    assert data.tags == ["k-adapter", "adapter", "knowledge-factual"]
    assert data.datasets == ["world_factual"] and data.metrics == ["f1", "precision"]
    assert data.base_model is None  # a folder of this machine
    f1 = next(r for r in data.eval_results if r.metric_type == "f1")
    assert (f1.metric_value, f1.task_type, f1.dataset_name, f1.dataset_split) == (
        0.8125,
        "text-classification",
        "world_factual",
        "dev",
    )
    text = read.text
    parameters = sum(p.numel() for p in adapter.parameters())
    for said in (
        f"{parameters:,} parameters",
        backbone.fingerprint,
        "hidden states [0, 2, 3]",
        "- data hash: " + "0123abcd" * 8,
        "- examples: 3200",
        "  - learning rate: 0.001",
        "| dev | f1 | 0.8125 | 0.7900 .. 0.8300 |",
        "| dev | precision | 0.5000 | - |",
        "padding masked",
        "@inproceedings{wang2021kadapter",
    ):
        assert said in text, said
    # the same metadata again after a round through YAML, which is what the Hub validates
    assert ModelCard(str(read)).data.to_dict() == data.to_dict()


def test_the_card_names_a_base_model_that_the_hub_knows():
    def base(name):
        config = {"backbone": {"name": name, "revision": None, "fingerprint": None}, "trained_on": {}}
        return card.metadata(config).to_dict().get("base_model")

    assert base("minilm") == "sentence-transformers/all-MiniLM-L6-v2"
    assert base("roberta-large") == "roberta-large"
    assert base("FacebookAI/roberta-large") == "FacebookAI/roberta-large"
    assert base("/models/mine") is None and base("../mine/model") is None


def test_a_card_without_training_says_so(backbone, tmp_path):
    folder = build_adapter(tiny.sizes()).save_pretrained(tmp_path / "none", backbone)
    read = ModelCard.load(folder / "README.md")
    assert "Nothing: its weights are the initial ones." in read.text
    assert read.data.eval_results is None and read.data.tags == ["k-adapter", "adapter"]


def test_the_code_on_the_card_runs(adapter, backbone, tmp_path):
    folder = adapter.save_pretrained(tmp_path / "F", backbone)
    text = (folder / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0].replace("path/to/this/folder", str(folder))
    names: dict = {}
    exec(code, names)
    assert list(names["model"].adapters) == ["F"]


def test_save_and_load_by_the_usual_names(adapter, backbone, tmp_path):
    with pytest.raises(KAdapterError, match="this adapter has no backbone yet: give the one that it was trained with"):
        adapter.save_pretrained(tmp_path / "F")
    adapter.save_pretrained(tmp_path / "F", backbone)
    again = KnowledgeAdapter.from_pretrained(tmp_path / "F", backbone)
    again.save_pretrained(tmp_path / "again")  # it knows its backbone by now
    for name in ("adapter_config.json", "adapter.safetensors", "README.md"):
        assert (tmp_path / "F" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    with pytest.raises(KAdapterError, match="revision 'v1' was asked of the folder"):
        KnowledgeAdapter.from_pretrained(tmp_path / "F", revision="v1")


def test_what_a_newer_version_wrote_is_kept_and_written_back(adapter, backbone, tmp_path):
    folder = adapter.save_pretrained(tmp_path / "F", backbone)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config |= {"format_version": 7, "colour": {"hue": 3}}
    config["adapter"]["gating"] = "soft"
    path.write_text(json.dumps(config))
    with pytest.warns(UserWarning, match=r"format version 7; this is version 1.*: \['adapter.gating', 'colour'\]"):
        loaded = adapter_folder.load_adapter(folder, backbone)
    loaded.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "adapter_config.json").read_text()) == config
    # in a file of our own version an unknown size is a mistake
    path.write_text(json.dumps(config | {"format_version": 1}))
    with (
        pytest.warns(UserWarning, match="colour"),
        pytest.raises(KAdapterError, match="adapter_config.json: unknown adapter key 'gating'"),
    ):
        adapter_folder.load_adapter(folder)


@pytest.mark.parametrize("version", [None, "1", 0, True])
def test_what_is_no_version_is_refused(version, adapter, backbone, tmp_path):
    model = KnowledgeModel(backbone, adapters={"F": adapter})
    for path, load in (
        (adapter.save_pretrained(tmp_path / "F", backbone) / "adapter_config.json", KnowledgeAdapter.from_pretrained),
        (model.save_pretrained(tmp_path / "model") / "model_config.json", KnowledgeModel.from_pretrained),
    ):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": version}))
        with pytest.raises(KAdapterError, match=f"format_version: found {version!r}; expected a whole number from 1"):
            load(path.parent)


def test_a_model_of_a_newer_version_is_refused(adapter, backbone, tmp_path):
    path = KnowledgeModel(backbone, adapters={"F": adapter}).save_pretrained(tmp_path / "model") / "model_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": adapter_folder.FORMAT_VERSION + 1}))
    with pytest.raises(KAdapterError, match="reads models up to version .*: update kadapter"):
        KnowledgeModel.from_pretrained(path.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": "9"}, "format_version: found '9'; expected a whole number from 1"),
        ({"format_version": -1}, "format_version: found -1; expected a whole number from 1"),
        ({"adapter": 3}, "adapter: found 3; expected a mapping"),
        ({"adapter": {}}, "adapter: the key 'hidden_size' is missing"),
        ({"adapter.width": "abc"}, "adapter.width: found 'abc'; expected a whole number from 1 to 65,536"),
        ({"adapter.width": 10**9}, "adapter.width: found 1000000000; expected a whole number from 1 to 65,536"),
        ({"adapter.width": 8_192}, "leaf 'layers.0.down.weight' has shape"),
        (
            {"adapter.width": 65_536},
            "of 6 transformer layers and 103,110,672,384 parameters: expected at most",
        ),
        ({"adapter.plug_layers": 3}, "adapter.plug_layers: found 3; expected a list of at least 1"),
        ({"adapter.plug_layers": [True]}, r"adapter.plug_layers\[0\]: found True; expected a whole number"),
        ({"adapter.heads": 0}, "adapter.heads: found 0; expected a whole number from 1"),
        ({"adapter.layers": 10_000_000}, "adapter.layers: found 10000000; expected a whole number from 1 to 128"),
        ({"adapter.layers": 128}, r"no leaf 'layers.0.transformer.\d+"),
        ({"adapter.combine": [1]}, r"adapter.combine: found \[1\]; expected one of add, concat"),
        ({"backbone": None}, "backbone: found None; expected a mapping"),
        ({"backbone": {}}, "backbone: the key 'name' is missing"),
        ({"backbone.fingerprint": 3}, "backbone.fingerprint: found 3; expected text"),
        ({"trained_on": 3}, "trained_on: found 3; expected a mapping"),
        ({"head": {"task": "relatoin", "options": {}, "fusion": "project"}}, "head.task: unknown task 'relatoin'"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(adapter, backbone, tmp_path, change, message):
    folder = adapter.save_pretrained(tmp_path / "F", backbone)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    for key, value in change.items():
        *parents, last = key.split(".")
        (config[parents[0]] if parents else config)[last] = value
    path.write_text(json.dumps(config))
    with pytest.raises(KAdapterError, match=message) as error:
        adapter_folder.load_adapter(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def test_a_hostile_configuration_is_one_sentence(adapter, backbone, tmp_path):
    folder = adapter.save_pretrained(tmp_path / "F", backbone)
    for content, message in (
        ("[" * 100_000, "stand too deep in each other"),
        ('{"a": ' * 100_000, "stand too deep in each other"),
        ("[]", "found a list; expected a JSON object"),
        ('{"format_version": 1' + "0" * 5000 + "}", "is not JSON"),
    ):
        (folder / "adapter_config.json").write_text(content)
        with pytest.raises(KAdapterError, match=message) as error:
            adapter_folder.load_adapter(folder)
        assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_weights_that_are_not_finite_are_refused(adapter, backbone, tmp_path):
    with torch.no_grad():
        adapter.layers[1].up.bias[0] = float("nan")
    folder = adapter.save_pretrained(tmp_path / "F", backbone)
    with pytest.raises(KAdapterError, match="adapter.safetensors: leaf 'layers.1.up.bias' holds numbers that are"):
        adapter_folder.load_adapter(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slots": ["../../F"]}, r"slots\[0\]: found '../../F'; expected a name of at most 100"),
        ({"adapters": {"../F": {}}}, "adapters: found '../F'; expected a name"),
        ({"fusion": "sum"}, "unknown fusion 'sum'"),
        ({"regime": "frosen"}, "unknown regime 'frosen': did you mean 'frozen'"),
        ({"holds_backbone": "no"}, "holds_backbone: found 'no'; expected yes or no"),
        ({"task": {"name": "x", "options": {}}}, "task.name: unknown task 'x'"),
        ({"backbone": 3}, "backbone: found 3; expected a mapping"),
    ],
)
def test_a_wrong_model_configuration_is_one_sentence(adapter, backbone, tmp_path, change, message):
    folder = KnowledgeModel(backbone, adapters={"F": adapter}).save_pretrained(tmp_path / "model")
    path = folder / "model_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(KAdapterError, match=f"model_config.json: {message}"):
        KnowledgeModel.from_pretrained(folder, backbone)


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "", "a\x00b", "x" * 101])
def test_an_adapter_is_not_named_out_of_its_folder(adapter, backbone, name):
    with pytest.raises(KAdapterError, match="adapter name"):
        KnowledgeModel(backbone).plug(name, adapter)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read(adapter, backbone, tmp_path, umask, mode):
    former = os.umask(umask)
    try:
        folder = KnowledgeModel(backbone, adapters={"F": adapter}).save_pretrained(tmp_path / "model")
    finally:
        os.umask(former)
    modes = {p.relative_to(folder): oct(p.stat().st_mode & 0o777) for p in folder.rglob("*") if p.is_file()}
    assert len(modes) == 5 and set(modes.values()) == {oct(mode)}, modes


def test_a_kept_head_travels(adapter, backbone, tmp_path):
    task = catalog.task("relation", labels=["a", "b"])
    model = KnowledgeModel(backbone, "project", {"F": adapter}, task)
    weights = {f"{part}.{n}": t for part in ("fusion", "head") for n, t in getattr(model, part).state_dict().items()}
    adapter.pretraining_head = PretrainingHead("relation", task.options(), "project", weights)
    folder = adapter.save_pretrained(tmp_path / "F", backbone)
    assert "from_adapter" in (folder / "README.md").read_text()
    again = adapter_folder.load_adapter(folder)
    adapter_folder.save_adapter(again, tmp_path / "again")
    model2 = KnowledgeModel.from_adapter(tmp_path / "again")  # finds its backbone by name
    for name, tensor in weights.items():
        assert torch.equal(model2.state_dict()[name], tensor)
    (folder / "head.safetensors").unlink()
    with pytest.raises(KAdapterError, match="holds no head.safetensors"):
        adapter_folder.load_adapter(folder)


def test_a_hub_repository_is_fetched_at_its_revision(adapter, backbone, tmp_path, monkeypatch):
    adapter.save_pretrained(tmp_path / "remote", backbone)
    asked = []

    def download(repo, revision=None, allow_patterns=None):
        asked.append((repo, revision, allow_patterns))
        shutil.copytree(tmp_path / "remote", tmp_path / f"cache-{len(asked)}")
        return str(tmp_path / f"cache-{len(asked)}")

    monkeypatch.setattr(adapter_folder.huggingface_hub, "snapshot_download", download)
    loaded = KnowledgeAdapter.from_pretrained("someone/fac-adapter", backbone, revision="v2")
    assert asked[0][:2] == ("someone/fac-adapter", "v2") and "*.bin" not in asked[0][2]
    assert torch.equal(loaded.layers[0].down.weight, adapter.layers[0].down.weight)
    model = KnowledgeModel(backbone).plug("factual", "someone/fac-adapter")
    assert list(model.adapters) == ["factual"] and len(asked) == 2
    shutil.rmtree(tmp_path / "remote")
    model.save_pretrained(tmp_path / "remote")
    whole = KnowledgeModel.from_pretrained("someone/model", revision="v3")
    assert asked[2][:2] == ("someone/model", "v3") and list(whole.adapters) == ["factual"]


def test_no_such_repository_is_one_sentence(backbone, monkeypatch):
    def missing(*args, **kwargs):
        raise RepositoryNotFoundError(
            "404: no such repository\nand much more", response=SimpleNamespace(headers={}, request=None)
        )

    monkeypatch.setattr(adapter_folder.huggingface_hub, "snapshot_download", missing)
    with pytest.raises(
        KAdapterError, match="someone/nothing at revision 'x' is neither a folder nor a Hub repository.*404"
    ) as caught:
        KnowledgeAdapter.from_pretrained("someone/nothing", revision="x")
    assert "\n" not in str(caught.value)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class _Api:
    """What `huggingface_hub.HfApi` is asked to do, and the files it was given."""

    def __init__(self) -> None:
        self.created, self.uploaded, self.files = None, None, {}

    def create_repo(self, repo, **options):
        self.created = (repo, options)

    def upload_folder(self, repo_id, folder_path, **options):
        self.uploaded = (repo_id, options)
        self.files = _files(Path(folder_path))
        return SimpleNamespace(commit_url=f"https://huggingface.co/{repo_id}/commit/1")


def test_push_to_hub(adapter, backbone, tmp_path, monkeypatch):
    api = _Api()
    monkeypatch.setattr(adapter_folder.huggingface_hub, "HfApi", lambda: api)
    url = adapter.push_to_hub("someone/fac-adapter", backbone, private=True, revision="next")
    assert url == "https://huggingface.co/someone/fac-adapter/commit/1"
    assert api.created == ("someone/fac-adapter", {"private": True, "exist_ok": True})
    assert api.uploaded == ("someone/fac-adapter", {"revision": "next", "commit_message": "Upload a knowledge adapter"})
    adapter.save_pretrained(tmp_path / "F", backbone)
    assert api.files == _files(tmp_path / "F")
    with pytest.raises(KAdapterError, match="Hub repository 'fac-adapter': expected the form user/name"):
        adapter.push_to_hub("fac-adapter", backbone)


def test_a_whole_model_goes_to_the_hub_and_comes_back(adapter, backbone, tmp_path, monkeypatch):
    api = _Api()
    monkeypatch.setattr(adapter_folder.huggingface_hub, "HfApi", lambda: api)
    model = KnowledgeModel(backbone, adapters={"F": adapter}, task=catalog.task("typing", labels=["a", "b"])).eval()
    assert model.push_to_hub("someone/model").endswith("/someone/model/commit/1")
    assert api.uploaded == ("someone/model", {"commit_message": "Upload a model"})

    def download(repo, revision, allow_patterns):
        assert repo == "someone/model"
        for name, content in api.files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
        return str(tmp_path)

    monkeypatch.setattr(adapter_folder.huggingface_hub, "snapshot_download", download)
    loaded = KnowledgeModel.from_pretrained("someone/model", backbone)
    ids = torch.tensor([[5, 6, 7, 8]])
    targets = {"spans": torch.tensor([[[1, 3]]])}
    assert torch.equal(loaded(ids, **targets).logits, model(ids, **targets).logits)


@pytest.mark.parametrize(
    ("hidden", "depth", "expected"),
    [
        (1024, 24, ((0, 11, 22), 768, 12, 3072)),  # the published sizes
        (768, 12, ((0, 5, 10), 576, 9, 2304)),
        (384, 6, ((0, 2, 4), 256, 4, 1024)),
        (32, 4, ((0, 1, 2), 24, 1, 96)),
    ],
)
def test_sizes_scale_with_the_backbone(monkeypatch, backbone, hidden, depth, expected):
    monkeypatch.setattr(Backbone, "hidden_size", hidden)
    monkeypatch.setattr(Backbone, "depth", depth)
    monkeypatch.setattr(Backbone, "causal", False)  # which it would find out by reading a text
    c = AdapterConfig.for_backbone(backbone)
    assert (c.plug_layers, c.width, c.heads, c.inner) == expected
    c = AdapterConfig.for_backbone(backbone, width=128, plug_layers=[1, 3])
    assert (c.plug_layers, c.width, c.heads, c.inner) == ((1, 3), 128, 2, 512)
    with pytest.raises(KAdapterError, match="plug layer 99 is out of range"):
        AdapterConfig.for_backbone(backbone, plug_layers=[0, 99])


# --- the model as others use it ---


def relation_task():
    return catalog.task("relation", labels=["hates", "knows", "leads", "likes"], max_length=32)


@pytest.fixture(scope="module")
def encoded(tiny_folder):
    return encode(relation_task(), load_tokenizer(tiny_folder), tiny.relations(16))


class Examples(Dataset):
    """Examples one by one, as a plain Trainer wants them; all of one length."""

    def __init__(self, encoded):
        batch = encoded.__getitems__(range(len(encoded)))
        self.rows = [{k: v[i] for k, v in batch.items()} for i in range(len(encoded))]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def test_a_plain_trainer_trains_and_predicts(tiny_folder, encoded, tmp_path):
    model = KnowledgeModel(Backbone(tiny_folder), adapters={"F": build_adapter(tiny.sizes())}, task=relation_task())
    model.train_only("adapter")
    before = model.backbone.fingerprint
    arguments = TrainingArguments(
        str(tmp_path),
        num_train_epochs=8,
        per_device_train_batch_size=4,
        learning_rate=3e-3,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        label_names=["labels"],
    )
    trainer = Trainer(model, arguments, train_dataset=Examples(encoded))
    start = trainer.evaluate(Examples(encoded))["eval_loss"]
    trainer.train()
    found = trainer.predict(Examples(encoded))
    assert found.metrics["test_loss"] < start and model.backbone.fingerprint == before
    logits = found.predictions[0] if isinstance(found.predictions, tuple) else found.predictions
    batch = encoded.__getitems__(range(len(encoded)))
    torch.testing.assert_close(torch.tensor(logits), model.eval()(**batch).logits.detach(), rtol=1e-4, atol=1e-4)


def test_an_output_is_a_model_output(tiny_folder, encoded):
    model = KnowledgeModel(Backbone(tiny_folder), task=relation_task()).eval()
    output = model(**encoded.__getitems__(range(3)))
    assert output[0] is output.loss and output["logits"] is output.logits and len(output.to_tuple()) == 3
    bare = KnowledgeModel(Backbone(tiny_folder))(**{k: v for k, v in encoded.__getitems__([0]).items() if "_" in k})
    assert list(bare) == ["last_hidden_state"]


COMPILED = """
import sys, torch
from tests import tiny
from kadapter import Backbone, KnowledgeModel, catalog
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import load_tokenizer
from kadapter.training.batches import encode

task = catalog.task("relation", labels=["hates", "knows", "leads", "likes"], max_length=32)
adapters = {"F": build_adapter(tiny.sizes(dropout=0.0))}
model = KnowledgeModel(Backbone(sys.argv[1]), "concat", adapters, task).train_only("adapter").train()
for module in model.modules():
    if isinstance(module, torch.nn.Dropout):
        module.p = 0.0
batch = encode(task, load_tokenizer(sys.argv[1]), tiny.relations(16)).__getitems__(range(4))
gradients = []
for run in (model, torch.compile(model, backend="aot_eager", fullgraph=True)):
    model.zero_grad()
    run(**batch).loss.backward()
    gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad})
for name, gradient in gradients[0].items():
    torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)
print(len(gradients[0]), "gradients are the same")
"""


def test_torch_compile_takes_the_whole_graph(tiny_folder):
    """In a process of its own: the shape checks of these tests cannot be traced."""
    command = [sys.executable, "-c", COMPILED, str(tiny_folder)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert "gradients are the same" in done.stdout, done.stderr[-2000:]


# --- hashes ---


@pytest.fixture(scope="module")
def saved(backbone, tmp_path_factory):
    """A model with an adapter, and an adapter with a pre-training head."""
    folder = tmp_path_factory.mktemp("hashed")
    made = build_adapter(tiny.sizes(), seed=3)
    made.pretraining_head = PretrainingHead("relation", {"labels": ["a", "b"]}, "concat", {"head.w": torch.ones(3)})
    made.save_pretrained(folder / "F", backbone)
    KnowledgeModel(backbone, adapters={"F": made}, task=relation_task()).save_pretrained(folder / "model")
    return folder


@pytest.mark.parametrize(
    ("file", "load"),
    [
        ("F/adapter.safetensors", lambda folder, b: KnowledgeAdapter.from_pretrained(folder / "F", b)),
        ("F/head.safetensors", lambda folder, b: KnowledgeAdapter.from_pretrained(folder / "F", b)),
        ("model/model.safetensors", lambda folder, b: KnowledgeModel.from_pretrained(folder / "model", b)),
        ("model/adapters/F/adapter.safetensors", lambda folder, b: KnowledgeModel.from_pretrained(folder / "model", b)),
    ],
)
def test_one_flipped_bit_of_saved_weights_is_found(saved, backbone, tmp_path, file, load):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    load(tmp_path, backbone)
    content = bytearray((tmp_path / file).read_bytes())
    content[-3] ^= 1  # of a number's mantissa
    (tmp_path / file).write_bytes(content)
    with pytest.raises(KAdapterError, match=f"{file.split('/')[-1]} is another file than was saved"):
        load(tmp_path, backbone)


def test_a_folder_of_before_hashes_is_read(saved, backbone, tmp_path):
    shutil.copytree(saved / "F", tmp_path / "F")
    config = json.loads((tmp_path / "F/adapter_config.json").read_text())
    del config["sha256"]
    (tmp_path / "F/adapter_config.json").write_text(json.dumps(config))
    KnowledgeAdapter.from_pretrained(tmp_path / "F", backbone)


def test_what_came_from_the_hub_is_pinned_to_the_commit_that_came(tiny_folder, monkeypatch):
    load = AutoModel.from_pretrained

    def from_hub(*named, revision=None, **more):
        model = load(*named, **more)
        model.config._commit_hash = "0123abcd"
        return model

    monkeypatch.setattr("kadapter.model.backbone.AutoModel.from_pretrained", from_hub)
    assert adapter_folder.describe(Backbone(tiny_folder, "main"))["revision"] == "0123abcd"
