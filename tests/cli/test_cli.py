"""The command line: one sentence for a mistake, JSON and nothing else on standard output, a quick start."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from kadapter import runs
from kadapter.cli import doctor, main
from kadapter.errors import KAdapterError
from kadapter.experiment import preset
from kadapter.report import report

ROWS = [
    {
        "task": "typing", "model": "backbone", "regime": "frozen", "metric": "f1", "mean": 0.15, "std": 0.01,
        "ci_low": 0.12, "ci_high": 0.18, "seeds": 3, "n": 1234,
    },
    {
        "task": "typing", "model": "F", "regime": "frozen", "metric": "f1", "mean": 0.75, "std": None,
        "ci_low": None, "ci_high": None, "seeds": 1, "n": 1234,
    },
]  # fmt: skip


def shell(*arguments: str, **kwargs) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).with_name("kadapter")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **kwargs)


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kadapter", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.main()
        shown = capsys.readouterr()
        code = ended.value.code
        if isinstance(code, str):  # as the interpreter does with sys.exit("text")
            return 1, shown.out, shown.err + code + "\n"
        return code or 0, shown.out, shown.err

    return run


def test_help_is_quick_and_brings_no_torch():
    seconds = []
    for _ in range(3):  # the quickest counts: the first may wait for the disk
        started = time.perf_counter()
        shown = shell("--help")
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 1.5
    assert shown.returncode == 0 and all(word in shown.stdout for word in ("run", "results", "doctor", "presets"))
    code = "import sys; from kadapter import cli; print('torch' in sys.modules, 'pandas' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "False False\n"


def test_version(call):
    import kadapter

    assert call("--version") == (0, kadapter.__version__ + "\n", "")


@pytest.mark.parametrize(
    ("arguments", "count", "note"),
    [((), 24, "It speaks as before: perplexity"), (("--world",), 48, "By chance: naming one of the 12 types")],
)
def test_demo_shows_that_an_adapter_knows(call, arguments, count, note):
    code, out, _ = call("demo", "--shown", "3", *arguments)
    said = [line.split(":")[0] for line in out.splitlines() if f" of {count} right" in line]
    assert (code, said) == (0, ["frozen model", "F plugged in", "F unplugged"])
    assert out.count("✓") + out.count("✗") == 9 and "✓" in out
    assert note in out and "Next:" in out


def test_presets_are_listed(call):
    code, out, _ = call("presets")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == preset.names()
    assert {"embedded", "miniature", "wang2021_kadapter_roberta_large", "wang2021_official_roberta_large"} <= {
        line.split()[0] for line in out.splitlines()
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "embeded"], "unknown preset 'embeded': did you mean 'embedded'? known: "),
        (["run", "embedded", "--set", "sees=[1]"], "unknown key 'sees': did you mean 'seeds' or 'datasets'? known: "),
        (["run", "embedded", "--set", "models=[G]"], "unknown model 'G': "),
        (
            ["run", "embedded", "--set", "tasks.typing.task=typin"],
            "tasks.typing.task: unknown task 'typin': did you mean 'typing'?",
        ),
        (["run", "miniature", "--set", "data.path=/nowhere"], "the data folder of preset 'miniature', /nowhere, is "),
        (
            ["results", "minature", "--json"],
            "unknown preset 'minature': did you mean 'miniature' or 'map_tuning_miniature'?",
        ),
        (["results", "embedded"], "preset 'embedded' has no finished fine-tuning run under runs: "),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(call, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"kadapter: {sentence}") and err.count("\n") == 1, err
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_a_shell(tmp_path):
    ended = shell("results", "embeded", cwd=tmp_path)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith("kadapter: unknown preset 'embeded': did you mean 'embedded'?")
    unknown = shell("rum", cwd=tmp_path)
    assert unknown.returncode == 2 and "No such command 'rum'" in unknown.stderr


def test_results_as_json_are_the_rows_and_nothing_else(call, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(report, "rows", lambda root, name: asked.append((root, name)) or ROWS)
    code, out, err = call("results", "embedded", "--json", "--root", str(tmp_path))
    assert (code, json.loads(out), err) == (0, ROWS, "")
    assert asked == [(tmp_path, "embedded")]


def test_results_as_a_table(call, monkeypatch):
    monkeypatch.setattr(report, "rows", lambda root, name: ROWS)
    code, out, _ = call("results", "embedded")
    assert code == 0
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]
    assert cells == [
        ["typing", "frozen", "backbone", "f1", "15.0", "1.0", "12.0 .. 18.0", "3", "1,234"],
        ["typing", "frozen", "F", "f1", "75.0", "-", "- .. -", "1", "1,234"],
    ]


def test_results_to_paste_and_of_several_presets(call, monkeypatch):
    monkeypatch.setattr(report, "rows", lambda root, name: [row | {"task": f"{name}_task"} for row in ROWS])
    code, out, _ = call("results", "embedded", "notebook", "--task", "embedded_task", "--format", "md")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 4 and lines[0].startswith("| preset | task | regime | model | metric | mean |")
    assert lines[2] == "| embedded | embedded_task | frozen | backbone | f1 | 15.0 | 1.0 | 12.0 .. 18.0 | 1234 |"
    rows = list(csv.DictReader(call("results", "embedded", "notebook", "--format", "csv")[1].splitlines()))
    assert [(row["preset"], row["model"], row["mean"]) for row in rows] == [
        ("embedded", "backbone", "0.15"), ("embedded", "F", "0.75"),
        ("notebook", "backbone", "0.15"), ("notebook", "F", "0.75"),
    ]  # fmt: skip
    latex = call("results", "embedded", "--format", "latex")[1]
    assert r"\toprule" in latex and r"embedded\_task" in latex and r"95\% interval" in latex
    assert call("results", "embedded", "--format", "cvs")[2].startswith("kadapter: unknown format 'cvs': did you mean")
    assert "unknown task with a finished run 'x'" in call("results", "embedded", "--task", "x")[2]


def test_a_preset_is_shown_and_copied(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = yaml.safe_load(call("presets", "show", "embedded", "--set", "seeds=[7]")[1])
    assert shown == preset.load("embedded", ["seeds=[7]"])
    code, out, _ = call("presets", "copy", "embedded")
    assert (code, out) == (0, "my_embedded.yaml: kadapter run my_embedded.yaml\n")
    assert preset.load("my_embedded.yaml") == preset.load("embedded") | {"name": "my_embedded"}
    assert "is there already" in call("presets", "copy", "embedded")[2]


def test_two_runs_are_compared(call):
    """Runs that an earlier version left."""
    root = Path(__file__).resolve().parents[1] / "former" / "runs" / "tiny" / "finetune"
    plain, knowing = (str(root / f"typing-frozen-{name}") for name in ("backbone", "F"))
    code, out, _ = call("compare", knowing, plain)
    lines = out.splitlines()
    assert code == 0 and lines[0] == f"A  {knowing}" and "model: 'F' in A, 'backbone' in B" in lines
    scores = {name: 100 * runs.load(path).metrics["f1"] for name, path in (("A", knowing), ("B", plain))}
    for name, score in scores.items():
        assert any(line.startswith(f"{name}  micro F1 {score:.1f}, 95% interval ") for line in lines)
    assert lines[-1].startswith("A less B: ") and " p = " in lines[-1]
    same = call("compare", plain, plain)[1].splitlines()
    assert same[-1].startswith("A less B: +0.0, 95% interval") and not [line for line in same if " in A, " in line]
    assert call("compare", plain, str(root))[2].startswith(f"kadapter: {root} holds no run")


def test_a_dry_run_tells_the_stages_and_writes_nothing(call, tmp_path):
    code, out, _ = call("run", "notebook", "--dry-run", "--root", str(tmp_path), "--jobs", "1")
    lines = out.splitlines()
    assert code == 0 and list(tmp_path.iterdir()) == []
    assert lines[0].split()[:3] == ["run", "data/all", "about"]
    n = len(lines) - 1
    assert re.fullmatch(rf"{n} of {n} stages to run, in about [0-9.]+ min", lines[-1])


def test_run_ends_with_one_table_and_the_report(call, tmp_path, monkeypatch):
    made = {}

    class Fake:
        def __init__(self, loaded, root, force, tell, command, executor):
            made.update(name=loaded["name"], seeds=loaded["seeds"], root=root, jobs=executor.jobs, force=force)
            tell("[1/1] data/all  kept")
            self.stages = ["data/all"]

        def run(self):
            return tmp_path / "report" / "all"

    monkeypatch.setattr("kadapter.experiment.pipeline.Pipeline", Fake)
    monkeypatch.setattr(report, "rows", lambda root, name: ROWS)
    code, out, err = call("run", "embedded", "--set", "seeds=[5]", "--root", str(tmp_path), "--jobs", "3", "--force")
    assert (code, err) == (0, "")
    assert made == {"name": "embedded", "seeds": [5], "root": tmp_path, "jobs": 3, "force": True}
    lines = out.splitlines()
    assert lines[:2] == ["[1/1] data/all  kept", "1 stages in 0 min 0 s"]
    assert lines[-1] == f"Report: {tmp_path}/report/all/report.html"
    assert sum("┏" in line for line in lines) == 1, "one table"


def test_doctor_finds_this_environment_in_order(call):
    code, out, _ = call("doctor")
    lines = out.splitlines()
    assert (code, [line for line in lines if line.startswith("BROKEN")]) == (0, [])
    names = [
        "python",
        "packages",
        "torch",
        "precision",
        "threads",
        "minilm",
        "smollm2",
        "jupyter kernel",
        "notebooks",
        "machine",
        "feature stores",
        "KADAPTER_DATA",
        "browser",
    ]
    assert [line[9:25].strip() for line in lines] == names


def test_doctor_ends_with_1_only_for_what_is_needed(call, monkeypatch):
    checks = [doctor.Check("a", True, "fine"), doctor.Check("b", False, "not there", needed=False)]
    monkeypatch.setattr(doctor, "checks", lambda: iter(checks))
    assert call("doctor")[0] == 0
    checks.append(doctor.Check("c", False, "torn"))
    code, out, _ = call("doctor")
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()] == ["ok", "missing", "BROKEN"]


def test_doctor_names_what_is_broken(monkeypatch, tmp_path):
    def fail():
        raise KAdapterError("model.safetensors is not the published MiniLM")

    from kadapter.model import packaged

    monkeypatch.setitem(packaged.PACKAGED, "minilm", SimpleNamespace(find=fail))
    monkeypatch.setattr(runs, "notebooks_folder", lambda: tmp_path)
    monkeypatch.setenv("KADAPTER_DATA", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(
        "importlib.metadata.requires", lambda name: ["torch>=99", "no-such-package", "also-none; extra == 'test'"]
    )
    found = {check.name: check for check in doctor.checks()}
    broken = {name for name, check in found.items() if not check.good}
    assert broken == {"packages", "minilm", "notebooks", "KADAPTER_DATA", "browser"}
    assert "no-such-package is not installed" in found["packages"].found
    assert "expected >=99" in found["packages"].found and "also-none" not in found["packages"].found
    assert found["minilm"].found == "model.safetensors is not the published MiniLM"
    assert {name for name in broken if found[name].needed} == {"packages", "minilm", "notebooks"}


def test_doctor_sees_a_kernel_of_another_python(monkeypatch, tmp_path):
    kernel = tmp_path / "kernels" / "python3"
    kernel.mkdir(parents=True)
    spec = {"argv": ["/opt/other/bin/python", "-m", "ipykernel_launcher"], "display_name": "x", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    found = {check.name: check for check in doctor.checks()}["jupyter kernel"]
    assert not found.good and found.found == "python3 is /opt/other/bin/python, not this Python"
    assert os.environ["JUPYTER_PREFER_ENV_PATH"] == "1"
