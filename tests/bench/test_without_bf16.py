"""Every command on a processor without bfloat16, simulated: nothing may multiply in it, whatever processor tests run on
(`tests/without_bf16/sitecustomize.py`)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from kadapter.errors import KAdapterError
from kadapter.experiment import preset
from kadapter.formats.lama import MASK
from kadapter.machine.device import BF16, has_bf16, told_precision
from kadapter.world import World
from kadapter.world.documents import write_documents
from kadapter.world.probes import write_probes
from tests import speaking, tiny

ROOT = Path(__file__).resolve().parents[2]
SIMULATED = ROOT / "tests" / "without_bf16"
CALLS = """
import json, sys, traceback
from typer.testing import CliRunner
from kadapter.cli.main import app
for arguments in json.loads(sys.argv[1]):
    ran = CliRunner().invoke(app, arguments)
    failed = "" if ran.exception is None else "".join(traceback.format_exception(ran.exception))
    print(json.dumps({"arguments": arguments, "code": ran.exit_code, "output": ran.output, "failed": failed}))
"""


def python(code: str, *arguments: str, modules: str = "", **variables: str) -> subprocess.CompletedProcess:
    """Run code in a process that believes itself on such a processor; `modules` is a folder to import from first."""
    path = os.pathsep.join(filter(None, [str(SIMULATED), modules, str(ROOT)]))
    environment = os.environ | {"PYTHONPATH": path, BF16: "auto"} | variables
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment)


def outputs(calls: list[list[str]], cache: Path, modules: str = "") -> list[str]:
    """What these calls of `kadapter` print on such a processor; each must end well."""
    ran = python(CALLS, json.dumps(calls), modules=modules, KADAPTER_CACHE=str(cache))
    results = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [r["arguments"] for r in results] == calls, ran.stderr
    for result in results:
        assert result["code"] == 0, f"{result['arguments']}: {result['output']}{result['failed']}"
    return [result["output"] for result in results]


@pytest.fixture(scope="module")
def tiny_preset(tiny_folder, tmp_path_factory) -> Path:
    """A preset with every kind of stage: adapter, multitask, both regimes, cases, report."""
    content = preset.read("embedded") | {
        "name": "small",
        "backbone": str(tiny_folder),
        "seeds": [0],
        "fusion": "project",
    }
    del content["brief"], content["probe"]
    content["data"] = {"world": {"seed": 0, "entities": 60}}
    content["datasets"]["world_relation"]["labels"] = "all"  # so small a world has labels that only dev has
    content["models"] = ["multitask", "F"]
    content["knowledge"] = {"F": content["knowledge"]["F"] | {"adapter": tiny.SIZES | {"combine": "add"}}}
    content["knowledge"]["F"]["training"] |= {"epochs": 2}
    content["multitask"] = {"knowledge": ["F"], "training": content["multitask"]["training"] | {"epochs": 1}}
    typing = content["tasks"]["typing"] | {"models": {}}
    typing["training"] = typing["training"] | {"frozen": {"epochs": 2}, "paper": {"epochs": 1}}
    content["tasks"] = {"typing": typing}
    path = tmp_path_factory.mktemp("preset") / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_simulation_refuses_a_product_and_allows_the_rest():
    code = """
import torch
from kadapter.machine.device import has_bf16
linear, kept = torch.nn.Linear(4, 4), torch.ones(4, 4).bfloat16()
linear(torch.ones(2, 4)).sum().backward()
assert not has_bf16(torch.device("cpu")) and (kept + kept).float().sum() == 32
refused = 0
for given in (kept, torch.ones(4, 4)):
    try:
        with torch.autocast("cpu", torch.bfloat16):
            linear(given)
    except RuntimeError as error:
        refused += "did not ask first" in str(error)
print(refused)
"""
    ran = python(code)
    assert ran.stdout == "2\n", ran.stderr


@pytest.mark.timeout(600)
def test_a_preset_and_what_reads_its_runs(tiny_preset, tiny_folder, tmp_path):
    runs, adapter = str(tmp_path / "runs"), tmp_path / "runs" / "small" / "pretrain" / "F" / "adapter"
    file, sizes = tmp_path / "pytorch_model.bin", ["--plug-layers", "0,2,3", "--attention-heads", "2"]
    calls = [
        ["doctor"],
        ["presets"],
        ["data"],
        ["demo", "--world"],
        ["run", str(tiny_preset), "--root", runs],
        ["results", str(tiny_preset), "--root", runs],
        ["export", str(adapter), "--out", str(file)],
        ["import", str(file), "--backbone", str(tiny_folder), *sizes, "--out", str(tmp_path / "imported")],
        ["features", "list"],
        ["features", "clear"],
    ]
    told = outputs(calls, tmp_path / "cache")
    assert "float32 (as the cpu can)" in told[0] and "10 stages" in told[4] and "float32" in told[-2]


PARSER = """
from types import SimpleNamespace as S
class Pipeline:  # as stanza's
    def __init__(self, *arguments, **options): pass
    def __call__(self, text):
        words = [S(text=w, head=h, deprel="dep" if h else "root", upos="X") for h, w in enumerate(text.split())]
        return S(sentences=[S(words=words)])
"""


@pytest.mark.timeout(600)
def test_language_models_and_the_builders_of_data(tmp_path):
    """A masked and a causal model are asked; T-REx-rc from documents and from LAMA; text through a parser."""
    world, data, out = World(entities=60), tmp_path / "world", tmp_path / "out"
    write_probes(world, data)
    write_documents(world, data / "documents")
    (data / "words.txt").write_text("\n".join(["river", "dog", "names", "near"]))
    known = {"obj_uri": "", "sub_uri": "", "predicate_id": "P19", "evidences": []}
    facts = [known | {"uuid": s, "obj_label": o, "sub_label": s} for s, o in (("Person", "river"), ("Dunes", "dog"))]
    (data / "lama" / "TREx" / "P19.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    (tmp_path / "stanza.py").write_text(PARSER)
    (tmp_path / "text.txt").write_text("Ada left .\n")
    every = ["--minimum", "1", "--jobs", "1"]
    calls = [["data", kind, str(data / source), str(out / kind), *every]
             for kind, source in (("trex", "documents"), ("lama", "lama"))]  # fmt: skip
    calls += [["data", "parse", str(tmp_path / "text.txt"), str(out / "text.conllu"), "--parser", "stanza"]]
    for family in ("bert", "llama"):
        model = str(speaking.make(family, tmp_path / family))
        calls += [["probe", model, "--data", str(data), "--words", str(data / "words.txt")]]
        calls += [["ask", model, f"Person knows {MASK}", "--top", "2"]]
    told = outputs(calls, tmp_path / "cache", str(tmp_path))
    assert "triples in" in told[0] and "triples in" in told[1] and "1 sentences" in told[2]
    assert all("majority" in each for each in told[3::2])


@pytest.mark.timeout(600)
def test_every_measurement(tiny_folder, tmp_path):
    quick = ["--backbone", str(tiny_folder), "--quick", "--json"]
    calls = [["bench", name, *quick] for name in ("adapter", "finetune", "predict")]
    calls += [["bench", "growth", *quick, "--sizes", "20"]]
    calls += [["bench", "data", "--quick", "--json", "--records", "100"]]
    for told in outputs(calls, tmp_path / "cache"):
        machine = json.loads(told[told.index("{") :])["machine"]
        assert machine["matmul_precision"] == "float32" and machine["matmul_flops"] > 1e9


def test_one_variable_answers_for_every_device(monkeypatch):
    for forced, answer in (("0", False), ("1", True)):
        monkeypatch.setenv(BF16, forced)
        assert has_bf16(torch.device("cpu")) is has_bf16(torch.device("cuda")) is answer
        assert told_precision(torch.device("cpu")).endswith(f"(KADAPTER_BF16={forced})")
    monkeypatch.setenv(BF16, "yes")
    with pytest.raises(KAdapterError, match="KADAPTER_BF16: found 'yes'; expected 0, 1 or auto"):
        has_bf16(torch.device("cpu"))
