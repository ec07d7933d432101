"""The pipeline on notebooks of a few lines: the graph, its keys, what is kept, what runs side by side, how it fails."""

import ast
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from filelock import FileLock

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment import executors, pipeline, preset, progress, stage_process
from kadapter.experiment import graph as graphs
from kadapter.experiment.executors import Processes
from kadapter.experiment.graph import Stage
from kadapter.experiment.pipeline import Pipeline
from kadapter.machine.threads import available
from tests.toys import LEAVE, write_notebook


def toy_notebooks(folder: Path) -> Path:
    """A notebook for every stage, taking what the graph gives and leaving a run with nothing but that."""
    common = ["backbone", "data", "dataset", "fusion", "name", "out", "task_options", "training"]
    takes = {
        "01_build_data": ("data", ["data", "datasets", "out", "overlap", "roles"]),
        "02_pretrain_adapter": (
            "pretrain",
            [*common, "adapter", "examples", "knowledge", "more_seeds", "seed", "test"],
        ),
        "03_finetune": (
            "finetune",
            [
                *common,
                "adapters",
                "facts",
                "known",
                "model",
                "none_adapter",
                "pretrainings",
                "regime",
                "seeds",
                "task",
                "task_name",
                "tuning",
            ],
        ),
        "04_case_study": ("cases", ["name", "out", "runs"]),
        "07_report": ("report", ["out", "preset", "root"]),
    }
    for book, (stage, names) in takes.items():
        assignments = "\n".join(f"{name} = None" for name in names)
        alone = "" if "name" in names else 'name = "all"\n'
        given = LEAVE.replace("from kadapter import runs\nrun = runs", "import kadapter.runs as kruns\nrun = kruns")
        write_notebook(folder / f"{book}.ipynb", assignments, alone + given.format(stage=stage, names=names))
    return folder


def toy_preset(folder: Path, **changes) -> dict:
    """Two models on one task: six stages. Written to a file and read again, as a user's would be."""
    content = preset.read("embedded") | {"name": "toy", "models": ["backbone", "F"], "seeds": [0]} | changes
    del content["brief"], content["multitask"], content["probe"]
    content["tasks"] = {"typing": content["tasks"]["typing"] | {"regimes": ["frozen"]}}
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(content))
    return preset.load(str(path))


def names_under(folder: Path) -> list[str]:
    """Everything in a folder of runs that is no finished run: names of half-written things, and of failed notebooks."""
    return sorted(
        entry.name for stage in folder.iterdir() if stage.is_dir() for entry in stage.iterdir()
        if not (entry / "result.json").is_file()
    )  # fmt: skip


@pytest.fixture
def stages(monkeypatch):
    """Run these stages instead of a preset's graph."""

    def use(*given: Stage) -> None:
        monkeypatch.setattr(pipeline, "graph", lambda p: list(given))

    return use


# The graph


def test_graph_of_the_embedded_preset():
    stages = {stage.id: stage for stage in graphs.graph(preset.load("embedded"))}
    models = ("backbone", "none", "F", "L", "F+L")
    fewer = {"typing-paper": ("backbone", "none", "F")}  # the preset names which rows this regime has
    parts = ("typing-frozen", "typing-paper", "relation-frozen")
    rows = {part: [f"finetune/{part}-{model}" for model in fewer.get(part, models)] for part in parts}
    assert set(stages) == {
        *("data/all", "pretrain/F", "pretrain/L", "report/all"),
        *(f"cases/{part}" for part in parts),
        *(row for part in parts for row in rows[part]),
    }
    seen = set()
    for stage in stages.values():  # in an order in which they can be executed
        assert seen.issuperset(stage.needs), stage.id
        seen.add(stage.id)
    assert stages["pretrain/F"].needs == ("data/all",) == stages["pretrain/L"].needs
    both = stages["finetune/typing-frozen-F+L"]
    assert both.inputs == {"data": "data/all", "adapters": {"F": "pretrain/F", "L": "pretrain/L"}}
    assert set(both.needs) == {"data/all", "pretrain/F", "pretrain/L"}
    assert both.parameters["task"] == "typing" and both.parameters["regime"] == "frozen"
    frozen, paper = (stages[f"finetune/typing-{r}-F"].parameters["training"] for r in ("frozen", "paper"))
    assert frozen.keys() | {"head_rate"} == paper.keys() and frozen["learning_rate"] > paper["learning_rate"]
    none = stages["finetune/typing-frozen-none"]
    assert none.inputs["adapters"] == {} and none.needs == ("data/all",)
    assert none.parameters["none_adapter"] == stages["pretrain/F"].parameters["adapter"]
    assert stages["cases/typing-paper"].inputs == {"runs": rows["typing-paper"]}
    assert set(stages["report/all"].needs) == set(stages) - {"report/all"}


def test_an_adapter_that_no_model_plugs_in_is_not_trained():
    p = preset.load("embedded", ["models=[backbone, L]"])
    assert [s.name for s in graphs.graph(p) if s.stage == "pretrain"] == ["L"]
    alone = graphs.graph(preset.load("embedded", ["models=[F]", "tasks.typing.regimes=[frozen]"]))
    assert not [s for s in alone if s.stage == "cases"], "one model cannot be compared"


@pytest.mark.parametrize("name", preset.names())
def test_the_projects_notebooks_take_what_the_graph_gives(name, monkeypatch):
    monkeypatch.setattr(preset, "data_files", lambda p: [])
    monkeypatch.setattr(preset, "data_folder", lambda p: Path("/data"))
    stages = graphs.graph(preset.load(name))
    assert len(set(graphs.keys(stages, runs.notebooks_folder()).values())) == len(stages)


def test_a_parameter_that_a_notebook_does_not_take_is_refused(tmp_path):
    write_notebook(tmp_path / "a.ipynb", "out = 1\nepochs: int = 3", "epoch = 4")
    assert graphs.keys([Stage("a.ipynb", "a", "a", {"epochs": 1})], tmp_path)
    with pytest.raises(KAdapterError, match=r"unknown parameter of a\.ipynb 'epoch': did you mean 'epochs'"):
        graphs.keys([Stage("a.ipynb", "a", "a", {"epoch": 1})], tmp_path)
    with pytest.raises(KAdapterError, match=r"there is no notebook .*b\.ipynb: run kadapter from a checkout"):
        graphs.keys([Stage("b.ipynb", "a", "a")], tmp_path)


def test_keys_change_with_what_a_run_is_made_from_and_nothing_else(tmp_path, monkeypatch):
    books = toy_notebooks(tmp_path / "notebooks")
    p = toy_preset(tmp_path)
    stages = graphs.graph(p)
    before = graphs.keys(stages, books)

    def changed(stages=stages) -> set[str]:
        after = graphs.keys(stages, books)
        return {stage for stage in before if after[stage] != before[stage]}

    book = books / "03_finetune.ipynb"
    content = json.loads(book.read_text())
    content["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    content["cells"][1]["execution_count"] = 9
    book.write_text(json.dumps(content))
    assert changed() == set(), "outputs make no difference"

    tuned = {"finetune/typing-frozen-backbone", "finetune/typing-frozen-F"}
    ends = {"cases/typing-frozen", "report/all"}
    assert changed(graphs.graph(toy_preset(tmp_path, seeds=[1]))) == tuned | ends
    content["cells"][1]["source"] += "\n"
    book.write_text(json.dumps(content))
    assert changed() == tuned | ends
    before = graphs.keys(stages, books)
    p["knowledge"]["F"]["training"]["epochs"] += 1
    assert changed(graphs.graph(p)) == {"pretrain/F", "finetune/typing-frozen-F"} | ends
    p["knowledge"]["F"]["training"]["epochs"] -= 1
    p["knowledge"]["F"]["seed"] = 1
    assert changed(graphs.graph(p)) == {"pretrain/F", "finetune/typing-frozen-F"} | ends
    monkeypatch.setattr(graphs.kadapter, "__version__", "9")
    assert changed() == set(before)


def test_keys_change_with_the_data_files(tmp_path):
    books = toy_notebooks(tmp_path / "notebooks")
    file = tmp_path / "train.json"
    file.write_text("[]")
    stage = Stage("01_build_data.ipynb", "data", "all", {"data": {}, "datasets": {}}, files=[file])
    before = graphs.keys([stage], books)
    assert graphs.keys([stage], books) == before
    file.write_text("[1]")
    assert graphs.keys([stage], books) != before


# Its execution


def test_a_preset_from_end_to_end_and_what_is_kept(tmp_path):
    books = toy_notebooks(tmp_path / "notebooks")
    said: list[str] = []
    p = toy_preset(tmp_path)
    base = tmp_path / "runs" / "toy"
    ended = Pipeline(p, tmp_path / "runs", jobs=2, notebooks=books, tell=said.append).run()
    assert ended == base / "report" / "all"
    found = {run.id: run for run in runs.find(tmp_path / "runs", "toy")}
    assert list(found) == [
        "cases/typing-frozen", "data/all", "finetune/typing-frozen-F", "finetune/typing-frozen-backbone", "pretrain/F",
        "report/all",
    ]  # fmt: skip
    for name, run in found.items():
        assert (run.preset, run.stage, run.name) == ("toy", *name.split("/"))
        files = {"artefact", "notebook.ipynb", "result.json", "stage.json"}
        assert {entry.name for entry in run.path.iterdir()} == files
        executed = json.loads((run.path / "notebook.ipynb").read_text())
        assert all(cell["execution_count"] for cell in executed["cells"])
    given = found["finetune/typing-frozen-F"].parameters
    assert given["data"] == str(base / "data" / "all")
    assert given["adapters"] == {"F": str(base / "pretrain" / "F")}
    assert given["training"]["learning_rate"] == p["tasks"]["typing"]["training"]["frozen"]["learning_rate"]
    assert found["report/all"].parameters["root"] == str(tmp_path / "runs")
    assert found["cases/typing-frozen"].parameters["runs"] == [
        str(base / "finetune" / f"typing-frozen-{model}") for model in ("backbone", "F")
    ]
    assert names_under(base) == []
    assert said[0] == "[1/6] data/all                         ..."
    assert len(said) == 12 and all(" s  f1 0.500" in line for line in said if "..." not in line)

    said.clear()
    Pipeline(p, tmp_path / "runs", jobs=2, notebooks=books, tell=said.append).run()
    assert [line.split()[1:] for line in said] == [[name, "kept"] for name in graph_order(p)]

    said.clear()
    artefact = base / "pretrain" / "F" / "artefact"
    artefact.write_text("X")  # as long as before
    (base / "cases" / "typing-frozen" / "artefact").unlink()
    book = base / "report" / "all" / "notebook.ipynb"
    book.write_text(book.read_text() + "\n")  # opened and saved by a person
    Pipeline(p, tmp_path / "runs", jobs=2, notebooks=books, tell=said.append).run()
    assert artefact.read_text() == "F" and (base / "cases" / "typing-frozen" / "artefact").is_file()
    damaged = [line.split("  ", 1)[1].strip() for line in said if "damaged" in line]
    assert damaged == ["damaged: artefact has other content than when it was written", "damaged: artefact is missing"]
    assert sum(line.endswith("kept") for line in said) == 4

    said.clear()
    changed = toy_preset(tmp_path, models=["backbone"], seeds=[3])
    Pipeline(changed, tmp_path / "runs", jobs=2, notebooks=books, tell=said.append).run()
    assert [line.split()[1] for line in said if line.endswith("kept")] == ["data/all"]
    assert runs.load(base / "finetune/typing-frozen-backbone").parameters["seeds"] == [3]
    assert (base / "finetune/typing-frozen-F").is_dir(), "what took long to compute is not thrown away"
    ids = [run.id for run in runs.find(tmp_path / "runs", "toy")]
    assert ids == ["data/all", "finetune/typing-frozen-backbone", "report/all"], "but it is no part of the preset now"


def graph_order(p: dict) -> list[str]:
    return [stage.id for stage in graphs.graph(p)]


def test_independent_stages_run_side_by_side(tmp_path, stages):
    """Each of two notebooks waits until the other has started: one after the other they would never end."""
    meet = (
        "import os, time, pathlib\n"
        "pathlib.Path(here, name).touch()\n"
        "until = time.time() + 60\n"
        "while not pathlib.Path(here, other).exists(): assert time.time() < until; time.sleep(0.02)\n"
        "threads = os.environ['OMP_NUM_THREADS']"
    )
    leave = LEAVE.format(stage="x", names=["threads"])
    write_notebook(tmp_path / "a.ipynb", "out = name = other = here = None", meet, leave)
    pair = [Stage("a.ipynb", "x", n, {"name": n, "other": o, "here": str(tmp_path)}) for n, o in ((*"ab",), (*"ba",))]
    stages(*pair)
    Pipeline({"name": "toy"}, tmp_path / "runs", jobs=2, notebooks=tmp_path, tell=lambda line: None).run()
    threads = {run.parameters["threads"] for run in runs.find(tmp_path / "runs", "toy")}
    assert threads == {str(max(1, available() // 2))}


def test_what_is_waited_for_longest_comes_first_and_has_all_cores_alone(tmp_path, stages, monkeypatch):
    monkeypatch.delenv("KADAPTER_THREADS", raising=False)
    leave = LEAVE.format(stage="x", names=["threads", "started"])
    cell = "import os, time\nthreads, started = os.environ['KADAPTER_THREADS'], time.time()"
    write_notebook(tmp_path / "a.ipynb", "out = name = None", cell, leave)
    short, long = (Stage("a.ipynb", "x", n, {"name": n}) for n in ("short", "long"))
    last = Stage("a.ipynb", "x", "end", {"name": "end"}, needs=("x/short", "x/long"))
    monkeypatch.setattr(progress, "guess", lambda stage: {"short": 1.0, "long": 9.0, "end": 5.0}[stage.name])
    stages(short, long, last)
    said: list[str] = []
    Pipeline({"name": "toy"}, tmp_path / "runs", jobs=1, notebooks=tmp_path, tell=said.append).run()
    found = {run.name: run.parameters for run in runs.find(tmp_path / "runs", "toy")}
    assert found["long"]["started"] < found["short"]["started"] < found["end"]["started"]
    assert found["end"]["threads"] == str(available())
    told = [line.rpartition("(")[2] for line in said if "..." not in line]
    assert [text.split("%")[0] for text in told] == ["60", "67", "100"]
    assert all(text.endswith(" s left)") for text in told)


def test_a_failing_notebook_stops_the_others_and_is_kept_to_look_at(tmp_path, stages):
    wait = "import os, pathlib, time\npathlib.Path(here, 'pid').write_text(str(os.getpid()))\ntime.sleep(300)"
    fail = (
        "import pathlib, time\nfrom kadapter.errors import KAdapterError\nfrom kadapter import runs\n"
        "run = runs.begin(out, stage='x', name='b', parameters={})\n"
        "until = time.time() + 60\n"
        "while not pathlib.Path(here, 'pid').exists(): assert time.time() < until; time.sleep(0.02)\n"
        "raise KAdapterError('plug layer 25 is out of range: minilm has hidden_states 0..6')"
    )
    write_notebook(tmp_path / "wait.ipynb", "out = here = None", wait)
    write_notebook(tmp_path / "fail.ipynb", "out = here = None", fail)
    here = {"here": str(tmp_path)}
    given = [Stage("wait.ipynb", "x", "a", here), Stage("fail.ipynb", "x", "b", here)]
    stages(*given, Stage("wait.ipynb", "x", "c", here, needs=("x/a", "x/b")))
    said: list[str] = []
    failed = tmp_path / "runs" / "toy" / "x" / "b.failed.ipynb"
    with pytest.raises(KAdapterError) as error:
        Pipeline({"name": "toy"}, tmp_path / "runs", jobs=2, notebooks=tmp_path, tell=said.append).run()
    assert str(error.value) == (
        "stage x/b failed: plug layer 25 is out of range: minilm has hidden_states 0..6\n"
        f"The executed notebook: {failed}"
    )
    assert names_under(tmp_path / "runs" / "toy") == ["b.failed.ipynb"]
    assert runs.find(tmp_path / "runs", "toy") == []
    assert any(cell.get("outputs") for cell in json.loads(failed.read_text())["cells"])
    assert len(said) == 3 and said[2].startswith("[2/3] x/b  failed ")
    assert gone(int((tmp_path / "pid").read_text())), "the kernel of the other notebook"

    write_notebook(tmp_path / "fail.ipynb", "out = here = None", "name = 'b'" + LEAVE.format(stage="x", names=[]))
    stages(given[1])
    Pipeline({"name": "toy"}, tmp_path / "runs", jobs=2, notebooks=tmp_path, tell=said.append).run()
    assert names_under(tmp_path / "runs" / "toy") == []


def gone(pid: int) -> bool:
    """Whether a process has ended, or ends within a few seconds."""
    until = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import os\nos._exit(3)", r"the notebook's process ended before it was done \(.*[Kk]ernel died"),
        ("pass", r"a.ipynb left no run in `out`"),
    ],
)
def test_other_ends_of_a_notebook(tmp_path, stages, cell, reason):
    write_notebook(tmp_path / "a.ipynb", "out = None", cell)
    stages(Stage("a.ipynb", "x", "a"))
    with pytest.raises(KAdapterError, match=f"^stage x/a failed: {reason}"):
        Pipeline({"name": "toy"}, tmp_path / "runs", jobs=1, notebooks=tmp_path, tell=lambda line: None).run()
    assert names_under(tmp_path / "runs" / "toy") == ["a.failed.ipynb"]


def test_a_failed_stage_leaves_its_older_run(tmp_path, stages):
    write_notebook(tmp_path / "a.ipynb", "out = None", "name = 'a'" + LEAVE.format(stage="x", names=[]))
    stages(Stage("a.ipynb", "x", "a"))
    Pipeline({"name": "toy"}, tmp_path / "runs", jobs=1, notebooks=tmp_path, tell=lambda line: None).run()
    write_notebook(tmp_path / "a.ipynb", "out = None", "1 / 0")
    with pytest.raises(KAdapterError, match="ZeroDivisionError"):
        Pipeline({"name": "toy"}, tmp_path / "runs", jobs=1, notebooks=tmp_path, tell=lambda line: None).run()
    assert runs.load(tmp_path / "runs" / "toy" / "x" / "a").metrics == {"f1": 0.5}
    assert runs.find(tmp_path / "runs", "toy") == [], "it was made from another notebook than the one there is now"


@pytest.fixture
def at_work(tmp_path):
    """A `kadapter run` in a process of its own whose first stage sleeps, and the number of that stage's kernel."""
    books = toy_notebooks(tmp_path / "notebooks")
    content = "import os, pathlib, time\npathlib.Path({!r}).write_text(str(os.getpid()))\ntime.sleep(300)"
    takes = "out = data = datasets = overlap = roles = None"
    write_notebook(books / "01_build_data.ipynb", takes, content.format(str(tmp_path / "pid")))
    toy_preset(tmp_path)
    code = (  # a shell's background job, as these tests may be, ignores Ctrl-C, and so would what it starts
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "import sys; from pathlib import Path; from kadapter import runs; from kadapter.cli.main import main; "
        "runs.notebooks_folder = lambda: Path('notebooks').absolute(); "
        "sys.argv[1:] = ['run', 'toy.yaml', '--jobs', '1']; main()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + 200
            pid = tmp_path / "pid"
            while not (pid.exists() and pid.read_text()) and process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            yield process, int(pid.read_text())
        finally:
            process.kill()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_stops_everything_and_leaves_nothing(tmp_path, at_work, sent):
    process, kernel = at_work
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "kadapter: stopped; finished stages are kept\n")
    assert gone(kernel)
    assert names_under(tmp_path / "runs" / "toy") == []


def test_no_process_outlives_a_killed_pipeline(at_work):
    process, kernel = at_work
    below = psutil.Process(process.pid).children(recursive=True)
    assert kernel in [child.pid for child in below]
    process.kill()
    assert all(gone(child.pid) for child in below)


def test_no_kernel_outlives_a_killed_papermill(tmp_path, at_work):
    process, kernel = at_work
    papermill = psutil.Process(kernel).parent()
    assert papermill is not None
    papermill.kill()
    assert gone(kernel)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the notebook's process ended before it was done" in errors
    assert names_under(tmp_path / "runs" / "toy") == ["all.failed.ipynb"], "as after any failure"


def test_what_a_stage_started_ends_with_it_however_fast_the_stage_ends(tmp_path, monkeypatch):
    process = multiprocessing.get_context("spawn").Process(
        target=os.system,
        args=(f"echo $$ > {tmp_path / 'new'}; mv {tmp_path / 'new'} {tmp_path / 'pid'}; exec sleep 300",),
    )
    process.start()
    while not (tmp_path / "pid").exists():
        time.sleep(0.02)
    terminate = type(process).terminate
    monkeypatch.setattr(type(process), "terminate", lambda self: (terminate(self), self.join()))
    stage_process.end([process])
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_second_interrupt_does_not_stop_the_clearing_up(tmp_path, stages, monkeypatch):
    write_notebook(tmp_path / "a.ipynb", "out = None", "import time; time.sleep(300)")
    stages(Stage("a.ipynb", "x", "a"))
    end, begin = Processes.stop, Processes.start

    def interrupted(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        end(self)

    def start(self, *arguments) -> None:
        begin(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Processes, "start", start)
    monkeypatch.setattr(Processes, "stop", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        Pipeline({"name": "toy"}, tmp_path / "runs", jobs=1, notebooks=tmp_path, tell=lambda line: None).run()
    assert signal.getsignal(signal.SIGINT) is before
    assert names_under(tmp_path / "runs" / "toy") == []


def test_one_pipeline_at_a_time(tmp_path, stages):
    write_notebook(tmp_path / "a.ipynb", "out = None", "pass")
    stages(Stage("a.ipynb", "x", "a"))
    (tmp_path / "toy").mkdir()
    busy = pytest.raises(KAdapterError, match="another kadapter is at work in .*toy")
    with FileLock(tmp_path / "toy" / ".lock"), busy:
        Pipeline({"name": "toy"}, tmp_path, jobs=1, notebooks=tmp_path, tell=print).run()
    with pytest.raises(KAdapterError, match="jobs: found 0; expected 1 or more"):
        Pipeline({"name": "toy"}, tmp_path, jobs=0, notebooks=tmp_path, tell=print)


def test_a_notebook_alone_leaves_its_run_and_nothing_half_written(tmp_path):
    """As a person executes it: papermill in a shell, with its own value of `out`."""
    leave = LEAVE.format(stage="x", names=["name"])
    write_notebook(tmp_path / "a.ipynb", "out = 'runs/notebook/x/a'\nname = 'a'", leave)
    command = [sys.executable, "-m", "papermill", "a.ipynb", "done.ipynb", "-p", "name", "b", "--no-progress-bar"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    run = runs.load(tmp_path / "runs/notebook/x/a")
    assert (run.preset, run.name, run.parameters) == ("notebook", "b", {"name": "b"})

    fails = leave.replace("run.finish", "1 / 0; run.finish")
    write_notebook(tmp_path / "b.ipynb", "out = 'runs/notebook/x/b'\nname = 'b'", fails)
    failed = subprocess.run([*command[:3], "b.ipynb", *command[4:]], cwd=tmp_path, capture_output=True)
    assert failed.returncode != 0
    assert [entry.name for entry in (tmp_path / "runs/notebook/x").iterdir()] == ["a"]


def test_default_jobs_leave_a_gpu_to_one(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert executors.default_jobs() == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert executors.default_jobs() == min(2, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [({"f1": 0.81234, "n": 3}, "f1 0.812"), ({"examples": 12345}, "examples 12,345"), ({"by": {}, "ok": True}, "")],
)
def test_headline_is_the_first_number(metrics, shown):
    assert pipeline.headline(metrics) == shown


def test_toy_notebooks_are_python(tmp_path):
    for book in toy_notebooks(tmp_path).glob("*.ipynb"):
        for cell in json.loads(book.read_text())["cells"]:
            ast.parse(cell["source"])
