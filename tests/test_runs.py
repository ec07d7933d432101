"""Runs: whole or not there, found again, tabulated."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from kadapter import runs
from kadapter.errors import KAdapterError


def leave(root: Path, name: str, rows=(), stage="finetune", **metrics) -> Path:
    run = runs.begin(root / "toy" / stage / name, stage=stage, name=name, parameters={"name": name})
    run.path("labels.json").write_text("[]")
    return run.finish(metrics=metrics, rows=rows)


def test_a_run_is_not_there_until_it_is_whole(tmp_path):
    out = tmp_path / "toy" / "pretrain" / "F"
    run = runs.begin(out, stage="pretrain", name="F", parameters={"epochs": 2})
    run.path("adapter/weights").write_bytes(b"12")
    assert not out.exists()
    assert runs.find(tmp_path, "toy") == []
    assert run.finish(metrics={"f1": np.float32(0.5)}, n=np.int64(7), seeds=[0], data_hash="d") == out
    assert sorted(p.name for p in out.iterdir()) == ["adapter", "result.json"]
    assert [p.name for p in out.parent.iterdir()] == ["F"]
    result = json.loads((out / "result.json").read_text())
    assert result["metrics"] == {"f1": 0.5}
    assert (result["preset"], result["stage"], result["name"]) == ("toy", "pretrain", "F")
    assert (result["n"], result["seeds"], result["data_hash"]) == (7, [0], "d")
    assert set(result) == {
        *("preset", "stage", "name", "parameters", "metrics", "n", "seeds", "wall_seconds", "versions", "machine"),
        *("finished", "commit", "data_hash", "backbone_fingerprint", "rows", "processor_seconds", "peak_memory_gib"),
    }  # fmt: skip
    assert result["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert abs(datetime.now(UTC) - datetime.fromisoformat(result["finished"])).total_seconds() < 60
    assert result["machine"]["cores"] == len(os.sched_getaffinity(0))
    with pytest.raises(KAdapterError, match="finished already"):
        run.finish(metrics={})


def test_a_newer_run_replaces_the_older_one_as_a_whole(tmp_path):
    out = leave(tmp_path, "a", f1=0.1)
    (out / "only in the first").touch()
    leave(tmp_path, "a", f1=0.2)
    assert runs.load(out).metrics == {"f1": 0.2}
    assert sorted(p.name for p in out.iterdir()) == ["labels.json", "result.json"]
    assert [p.name for p in out.parent.iterdir()] == ["a"]


def test_a_failed_replacement_leaves_the_older_run(tmp_path, monkeypatch):
    out = leave(tmp_path, "a", f1=0.1)
    rename = Path.rename
    aside = lambda self: self == out or self.name.endswith("-old")  # noqa: E731
    monkeypatch.setattr(Path, "rename", lambda self, to: rename(self, to) if aside(self) else _full())
    run = runs.begin(out, stage="finetune", name="a", parameters={})
    with pytest.raises(OSError, match="disk full"):
        run.finish(metrics={})
    run.abort()
    assert runs.load(out).metrics == {"f1": 0.1}
    assert [p.name for p in out.parent.iterdir()] == ["a"]


def _full():
    raise OSError("disk full")


def test_values_that_json_cannot_hold_leave_nothing(tmp_path):
    run = runs.begin(tmp_path / "toy" / "data" / "all", stage="data", name="all", parameters={})
    with pytest.raises(KAdapterError, match=r"run data/all cannot be written as JSON: a object"):
        run.finish(metrics={"f1": object()})
    run.abort()
    assert list((tmp_path / "toy" / "data").iterdir()) == []


@pytest.mark.parametrize("end", ["raise ValueError", "run = None", "raise SystemExit"])
def test_an_unfinished_run_disappears_with_its_process(tmp_path, end):
    code = (
        "from kadapter import runs; run = runs.begin('toy/pretrain/F', stage='pretrain', name='F', parameters={}); "
        f"run.path('big').touch(); assert run.folder.is_dir(); {end}"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert list((tmp_path / "toy" / "pretrain").iterdir()) == []


def test_a_forked_worker_leaves_its_parents_run_alone(tmp_path):
    code = (
        "import os, sys; from kadapter import runs; "
        "run = runs.begin('toy/pretrain/F', stage='pretrain', name='F', parameters={}); pid = os.fork();\n"
        "if pid == 0: sys.exit()\n"
        "os.waitpid(pid, 0); run.finish(metrics={})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
    assert runs.load(tmp_path / "toy/pretrain/F").metrics == {}


def test_what_a_dead_process_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    out = tmp_path / "toy" / "pretrain" / "F"
    prefix = f"F.partial-{os.uname().nodename}-"
    names = (f"{prefix}{dead.pid}", f"F.partial-elsewhere-{dead.pid}", f"{prefix}1")
    left, other, live = (out.with_name(name) for name in names)
    for folder in (left, other, live):
        folder.mkdir(parents=True)
    run = runs.begin(out, stage="pretrain", name="F", parameters={})
    assert not left.exists() and other.exists() and live.exists()
    run.abort()


def test_of_a_star_what_dead_processes_left_of_anything_is_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mark = f".partial-{os.uname().nodename}-"
    (tmp_path / f"store{mark}{dead.pid}").mkdir()
    (tmp_path / f"file{mark}{dead.pid}-old").touch()
    kept = [tmp_path / "store", runs.partial(tmp_path / "live"), tmp_path / f"x.partial-elsewhere-{dead.pid}"]
    for folder in kept:
        folder.mkdir()
    runs.remove_stale(tmp_path / "*")
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_load_says_what_is_wrong(tmp_path):
    with pytest.raises(KAdapterError, match=r"toy/a holds no run: expected a folder with result\.json"):
        runs.load(tmp_path / "toy" / "a")
    out = leave(tmp_path, "b")
    (out / "result.json").write_text('{"preset": ')
    with pytest.raises(KAdapterError, match=r"result\.json is damaged"):
        runs.load(out)
    (out / "result.json").write_text("[]")
    with pytest.raises(KAdapterError, match="found list, expected an object"):
        runs.load(out)


def test_table_has_the_rows_of_every_run(tmp_path):
    leave(tmp_path, "a-F", rows=[{"model": "F", "seed": s, "f1": s / 10} for s in (0, 1)])
    leave(tmp_path, "a-L", rows=[{"model": "L", "seed": 0, "f1": 0.5}])
    leave(tmp_path, "F", stage="pretrain", rows=[{"model": "F", "seed": 0, "f1": 1.0}])
    table = runs.table(tmp_path, "toy")
    assert table.columns.tolist() == ["run", "model", "seed", "f1"]
    assert table["run"].tolist() == ["finetune/a-F", "finetune/a-F", "finetune/a-L"]
    assert table["f1"].tolist() == [0.0, 0.1, 0.5]
    with pytest.raises(KAdapterError, match="no finished finetune run of preset 'other' .*`kadapter run other`"):
        runs.table(tmp_path, "other")


def test_find_leaves_out_what_the_graph_does_not_name(tmp_path):
    kept, changed, gone = (leave(tmp_path, name) for name in ("kept", "changed", "gone"))
    for folder, key in ((kept, "1"), (changed, "old"), (gone, "3")):
        (folder / runs.KEY).write_text(json.dumps({"key": key}))
    assert [run.id for run in runs.find(tmp_path, "toy")] == ["finetune/changed", "finetune/gone", "finetune/kept"]
    graph = {"keys": {"finetune/kept": "1", "finetune/changed": "2", "finetune/not yet": "4"}}
    (tmp_path / "toy" / runs.GRAPH).write_text(json.dumps(graph))
    assert [run.path for run in runs.find(tmp_path, "toy")] == [kept]


def test_relative_folders_start_at_the_checkout_in_notebooks_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runs.resolve("runs/x") == tmp_path / "runs" / "x"
    assert runs.resolve(tmp_path / "y") == tmp_path / "y"
    monkeypatch.setattr(runs, "notebooks_folder", lambda: tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert runs.resolve("runs/x") == tmp_path / "runs" / "x"
