"""Nothing that a file holds is executed: what the code may call, and files that would run a program if they were
unpickled."""

import ast
import io
import json
import os
import pickle
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from kadapter import KnowledgeAdapter, catalog, runs
from kadapter.errors import KAdapterError
from kadapter.experiment import preset
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.hub import adapter_folder, official
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.report import scores
from kadapter.training import features
from kadapter.training.batches import encode
from tests import tiny

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("kadapter/**/*.py"), *ROOT.glob("widgets/**/*.py")])
UNPICKLE = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
EXECUTE = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.hub.load"}


def calls(tree: ast.AST):
    """Every call's dotted name and its keyword arguments in source form."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}


def unsafe(source: str) -> list[str]:
    """What in a program could run what a file holds."""
    tree, found = ast.parse(source), []
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [f"import {name}" for name in names if name.split(".")[0] in UNPICKLE]
    for name, given in calls(tree):
        wrong = (
            name in EXECUTE
            or (name == "torch.load" and given.get("weights_only") != "True")
            or (name == "yaml.load" and "Loader" not in given)
            or (name in ("yaml.unsafe_load", "yaml.full_load"))
            or given.get("allow_pickle", "False") != "False"
            or given.get("trust_remote_code", "False") != "False"
            or given.get("shell", "False") != "False"
            or (name.endswith(".extractall") and given.get("filter") != "'data'")  # what leaves the folder
        )
        found += [f"{name}({given})"] if wrong else []
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_unpickles_or_executes(path):
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "yaml.load(t)",
        "np.load(f, allow_pickle=True)",
        "AutoModel.from_pretrained(n, trust_remote_code=True)",
        "subprocess.run(c, shell=True)",
        "eval(text)",
        "archive.extractall(folder)",
    ],
)
def test_the_scan_finds_what_it_is_for(source):
    assert unsafe(source)


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def torch_zip(content: bytes) -> bytes:
    """A file in torch's zip layout with a pickle of its own."""
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, buffer)
    out = io.BytesIO()
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(out, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, content if name.endswith("data.pkl") else source.read(name))
    return out.getvalue()


def object_array(trap: Trap) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([trap], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def read_counts(path: Path):
    folder = path.parent
    run = {"task": "t", "regime": "frozen", "model": "F", "metric": {"name": "micro_f1"}, "seeds": [0], "rows": []}
    (folder / "result.json").write_text(json.dumps(run))
    return scores._read(folder, ())


READERS = {
    "adapter.safetensors": adapter_folder.read_weights,
    "pytorch_model.bin": official.read,
    "entities.npy": EntityEmbeddings.open,
    "counts.npz": read_counts,
    "mine.yaml": lambda path: preset.load(str(path)),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("layout", ["pickle", "torch", "numpy", "npz", "yaml"])
def test_a_trap_never_springs(name, layout, tmp_path):
    trap = Trap(tmp_path / "sprung")
    plain = pickle.dumps(trap)
    if layout == "npz":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("counts.npy", object_array(trap))
        content = buffer.getvalue()
    else:
        content = {
            "pickle": plain,
            "torch": torch_zip(plain),
            "numpy": object_array(trap),
            "yaml": f"!!python/object/apply:os.mkdir ['{trap.marker}']".encode(),
        }[layout]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(KAdapterError):
        READERS[name](path)
    assert not trap.marker.exists()


@pytest.mark.parametrize("name", READERS)
def test_a_cut_file_is_refused_in_one_sentence(name, tmp_path):
    path, buffer = tmp_path / name, io.BytesIO()
    np.savez(buffer, counts=np.zeros((1, 2, 2)))
    for content in (b"", buffer.getvalue()[:60], buffer.getvalue()[:-30], torch_zip(b"")[:500], b"\x80" * 40):
        path.write_bytes(content)
        with pytest.raises(KAdapterError) as raised:
            READERS[name](path)
        assert name in str(raised.value) and "\n" not in str(raised.value)


# --- what was saved by us is read without a pickle, too ---

UNPICKLED: list[str] = []  # names that any unpickler of this process asked for while it was watched
WATCHED = False


def _watch(event: str, arguments: tuple) -> None:
    if WATCHED and event == "pickle.find_class":
        UNPICKLED.append(".".join(map(str, arguments)))


sys.addaudithook(_watch)


@contextmanager
def watched():
    global WATCHED
    UNPICKLED.clear()
    WATCHED = True
    try:
        yield UNPICKLED
    finally:
        WATCHED = False


def test_nothing_is_unpickled_when_adapters_models_runs_and_stores_are_read(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("KADAPTER_CACHE", str(tmp_path / "cache"))
    backbone = Backbone(tiny_folder)
    task = catalog.task("relation", labels=["hates", "knows", "leads", "likes"], max_length=32)
    adapter = build_adapter(tiny.sizes())
    model = KnowledgeModel(backbone, adapters={"F": adapter}, task=task)
    encoded = encode(task, load_tokenizer(tiny_folder), tiny.relations(8))
    features.open_store(model, encoded, progress=False)
    adapter.save_pretrained(tmp_path / "F", backbone)
    model.save_pretrained(tmp_path / "model")
    run = runs.begin(tmp_path / "runs/p/finetune/x", stage="finetune", name="x", parameters={})
    np.savez_compressed(run.path("counts.npz"), counts=np.zeros((1, 2, 2)))
    tiny.relations(3).to_pandas().to_parquet(run.path("predictions.parquet"))
    run.finish(metrics={"f1": 0.5})
    with watched() as unpickled:
        KnowledgeModel.from_pretrained(tmp_path / "model")
        KnowledgeAdapter.from_pretrained(tmp_path / "F", Backbone(tiny_folder))
        features.open_store(model, encoded, progress=False)
        [found] = runs.find(tmp_path / "runs", "p")
        pd.read_parquet(found.path / "predictions.parquet")
        np.load(found.path / "counts.npz")["counts"]
        preset.load("embedded")
    assert unpickled == []


def test_the_watch_sees_a_pickle(tmp_path):
    with watched() as unpickled:
        pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert unpickled == ["posix.mkdir"]


@pytest.mark.parametrize(
    "content",
    [
        (2**63).to_bytes(8, "little") + b"{}",
        (90_000_000).to_bytes(8, "little") + b"{}",
        (64).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,4]}}'.ljust(68),
        (90).to_bytes(8, "little")
        + b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'.ljust(90),
        (60_000).to_bytes(8, "little") + b"[" * 60_000,
    ],
    ids=["length", "longer than the file", "shape", "overflow", "deep"],
)
def test_a_header_of_safetensors_says_nothing_that_is_built(content, tmp_path):
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(content)
    begun = time.monotonic()
    with pytest.raises(KAdapterError, match="adapter.safetensors is truncated or damaged") as raised:
        adapter_folder.read_weights(path)
    assert time.monotonic() - begun < 5 and "\n" not in str(raised.value)


def test_the_traps_are_armed(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "a")))
    np.load(io.BytesIO(object_array(Trap(tmp_path / "b"))), allow_pickle=True)
    torch.load(io.BytesIO(torch_zip(pickle.dumps(Trap(tmp_path / "c")))), weights_only=False)
    yaml.unsafe_load(f"!!python/object/apply:os.mkdir ['{tmp_path / 'd'}']")
    assert all((tmp_path / name).is_dir() for name in "abcd")
