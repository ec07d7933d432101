"""Stages on two local Ray nodes: the tables of the plain run, with a worker killed in the middle of pre-training; what
fails; what is interrupted. Skipped where Ray is not installed."""

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment import pipeline, preset
from kadapter.experiment.graph import Stage
from kadapter.experiment.pipeline import Pipeline
from kadapter.report import report
from tests.toys import LEAVE, write_notebook

pytest.importorskip("ray", reason="the extra cluster is not installed")

from kadapter.experiment.ray_cluster import RayCluster  # noqa: E402

FORMER = Path(__file__).resolve().parents[1] / "former"


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each, started once for all tests, and what connects to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kadapter.machine.threads.available", lambda: 2)  # whatever the machine has
        patch.setenv("KADAPTER_THREADS", "1")
        with RayCluster(workers=2) as started:
            yield started


class Kept(RayCluster):
    """A cluster that is up already, and stays."""

    def __init__(self, started: RayCluster) -> None:
        vars(self).update(vars(started))

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def appears(folder: Path, pattern: str) -> Path:
    """What a pattern finds, as soon as it does."""
    until = time.monotonic() + 200
    while not (found := list(folder.glob(pattern))):
        assert time.monotonic() < until, f"no {pattern} in {folder}"
        time.sleep(0.02)
    return found[0]


def half_made(base: Path) -> list[str]:
    return [path.name for path in base.rglob("*") if ".partial-" in path.name]


def test_two_nodes_give_the_plain_tables_though_a_worker_is_killed(tmp_path, cluster):
    for name in ("tiny.yaml", "raw", "backbone"):
        source = FORMER / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    sets = [f"data.path={tmp_path / 'raw'}", f"backbone={tmp_path / 'backbone'}", "tasks.typing.regimes=[frozen]"]
    p = preset.load(str(tmp_path / "tiny.yaml"), [*sets, "models=[F]"])
    Pipeline(p, tmp_path / "plain", jobs=2, tell=lambda line: None).run()
    killed: list[str] = []

    def kill() -> None:
        """SIGKILL to the Ray worker whose notebook has begun its run."""
        begun = appears(tmp_path / "ray" / "tiny" / "pretrain", "F.partial-*/*/tiny/pretrain/F.partial-*")
        attempt = begun.parents[2].name
        os.kill(int(attempt.split("-")[-2]), signal.SIGKILL)
        killed.append(attempt)

    said: list[str] = []
    killer = threading.Thread(target=kill)
    killer.start()
    Pipeline(p, tmp_path / "ray", tell=said.append, executor=Kept(cluster)).run()
    killer.join()
    assert len(killed) == 1 and any("pretrain/F" in line and "... again on node" in line for line in said)
    assert any("report/all" in line and "on node " in line for line in said)
    assert report.rows(tmp_path / "ray", "tiny") == report.rows(tmp_path / "plain", "tiny")
    weights = "tiny/pretrain/F/adapter/adapter.safetensors"
    assert (tmp_path / "ray" / weights).read_bytes() == (tmp_path / "plain" / weights).read_bytes()
    assert half_made(tmp_path / "ray") == []


def test_a_failure_is_said_where_it_happened_and_an_interrupt_leaves_nothing(tmp_path, cluster, monkeypatch):
    wait = "import os, pathlib, time\npathlib.Path(here, 'pid').write_text(str(os.getpid()))\ntime.sleep(300)"
    write_notebook(tmp_path / "wait.ipynb", "out = here = None", wait)
    write_notebook(tmp_path / "fail.ipynb", "out = name = None", LEAVE.format(stage="cases", names=[]), "1 / 0")
    waits = Stage("wait.ipynb", "data", "a", {"here": str(tmp_path)})
    monkeypatch.setattr(pipeline, "graph", lambda p: [waits, Stage("fail.ipynb", "cases", "b", {"name": "b"})])
    line = {"notebooks": tmp_path, "tell": lambda line: None, "executor": Kept(cluster)}
    with pytest.raises(KAdapterError, match="stage cases/b failed: ZeroDivisionError: division by zero\n"):
        Pipeline({"name": "toy"}, tmp_path / "runs", **line).run()
    base = tmp_path / "runs" / "toy"
    assert (base / "cases" / "b.failed.ipynb").is_file() and half_made(base) == []

    monkeypatch.setattr(pipeline, "graph", lambda p: [waits])
    (tmp_path / "pid").unlink(missing_ok=True)

    def interrupt() -> None:
        appears(tmp_path, "pid")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        Pipeline({"name": "toy"}, tmp_path / "runs", **line).run()
    assert half_made(base) == [] and runs.find(tmp_path / "runs", "toy") == []
    kernel = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 10
    while psutil.pid_exists(kernel) and psutil.Process(kernel).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "the kernel outlives the interrupt"
        time.sleep(0.05)


def test_more_than_a_node_has_is_refused_before_anything_runs(cluster):
    from kadapter.experiment import shares
    from kadapter.experiment.shares import Share

    with pytest.raises(KAdapterError, match=r"resources\.pretrain: found 3 cpus; expected what a node of the cluster "):
        shares.of_kinds({"pretrain": {"cpus": 3}}, [Share(1), Share(1)])
    with pytest.raises(KAdapterError, match="workers: found 3; expected 1 to 2, a core of this machine for each"):
        RayCluster(workers=3)
