"""Nothing that a file holds is executed: what the code may call, and files that would run a program if they were
unpickled."""

import ast
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from kadapter.errors import KAdapterError
from kadapter.experiment import preset
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.hub import adapter_folder, official
from kadapter.report import scores

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


def test_the_traps_are_armed(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "a")))
    np.load(io.BytesIO(object_array(Trap(tmp_path / "b"))), allow_pickle=True)
    torch.load(io.BytesIO(torch_zip(pickle.dumps(Trap(tmp_path / "c")))), weights_only=False)
    yaml.unsafe_load(f"!!python/object/apply:os.mkdir ['{tmp_path / 'd'}']")
    assert all((tmp_path / name).is_dir() for name in "abcd")
