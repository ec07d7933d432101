"""Stages on a Ray cluster: each is a Ray task with the resources that it names. A task whose node dies is executed
again on another one; finished runs stay, as they lie in a folder that all nodes share."""

import logging
import os
import platform
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from kadapter.errors import KAdapterError
from kadapter.experiment import shares
from kadapter.experiment.executors import Running, latest
from kadapter.experiment.shares import Share
from kadapter.experiment.work import Outcome, Work, perform
from kadapter.machine import threads

RETRIES = 5  # executions of a stage whose node or worker died
LOOK = 0.3  # seconds between looks at what is at work: a shared folder is asked
GRACE = 15.0  # seconds for stages to clear up after Ctrl-C
GIB = 2**30


class RayCluster:
    """The nodes of a Ray cluster.

    Args:
        address: `ray://HOST:PORT` of one that runs, `HOST:PORT` of its head, or "" to start and stop one here.
        workers: nodes of a cluster that is started here; the cores are shared among them.
        resources: what stages take, by kind: the preset's section.

    Raises KAdapterError where Ray is not installed.
    """

    ahead, remote = False, True

    def __init__(
        self, address: str = "", workers: int = 1, resources: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray = import_module("ray")  # by its name: a type checker would read half a million lines
        except ImportError:
            raise KAdapterError("stages on Ray need the package ray: pip install 'kadapter[cluster]'") from None
        if not address and not 1 <= workers <= threads.available():
            raise KAdapterError(
                f"workers: found {workers}; expected 1 to {threads.available()}, a core of this machine for each"
            )
        self.ray, self.address, self.workers, self.resources = ray, address, workers, resources or {}
        self.jobs = max(1, workers)  # until the nodes are known
        self.names: dict[str, str] = {}  # id of a node -> name
        self.shares: dict[str, Share] = {}
        self._refs: dict[Any, Work] = {}
        self._running: dict[str, Running] = {}
        self._looked = 0.0
        self._cluster: Any = None
        self._folder: Path | None = None

    def __enter__(self) -> "RayCluster":
        try:
            with _own_signals():
                self._connect()
            alive = [node for node in self.ray.nodes() if node["Alive"]]
            self.names = {node["NodeID"]: _name(node) for node in alive}
            nodes = [_share(node["Resources"]) for node in alive]
            nodes = [node for node in nodes if node.cpus]
            if not nodes:
                raise KAdapterError(f"the Ray cluster {self.address} has no node with a core: found {len(alive)} nodes")
            self.shares = shares.of_kinds(self.resources, nodes)
            self.jobs = max(1, sum(node.holds(self.shares["finetune"]) for node in nodes))
        except BaseException:
            self.__exit__()
            raise
        return self

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if self.address:
            try:
                self.ray.init(self.address, **quiet)
            except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
                reason = str(error).strip().split("\n")[0]
                raise KAdapterError(f"no Ray cluster answers at {self.address}: {reason}") from None
            return
        self._folder = Path(tempfile.mkdtemp(prefix="kadapter-ray-"))
        each = {"num_cpus": max(1, threads.available() // self.workers), "num_gpus": _gpus() // self.workers}
        first = {"include_dashboard": False, "no_monitor": True, "include_log_monitor": False, "node_name": "node 1"}
        with _named_folder(self._folder):
            self._cluster = import_module("ray.cluster_utils").Cluster(shutdown_at_exit=False)
            self._cluster.add_node(**each, **first)
            for number in range(1, self.workers):
                self._cluster.add_node(**each, node_name=f"node {number + 1}")
            self.ray.init(self._cluster.address, **quiet)

    def __exit__(self, *exception: object) -> None:
        self.stop()
        with _own_signals():
            self.ray.shutdown()
        if self._cluster is not None and self._folder is not None:
            with _named_folder(self._folder):
                self._cluster.shutdown()
        if self._folder is not None:
            _end_of(self._folder)
            shutil.rmtree(self._folder, ignore_errors=True)

    def room(self) -> int:
        """Any number: Ray lets them wait."""
        return 10**6

    def start(self, work: Work, needs: list[str], alone: bool) -> None:
        """Hand it to Ray."""
        share = self.shares[work.id.split("/")[0]]
        task = self.ray.remote(_on_node).options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            memory=int(share.memory * GIB) or None,
            max_retries=RETRIES,
            scheduling_strategy="SPREAD",
            name=work.id,
        )
        own = {name: value for name, value in os.environ.items() if name.startswith("KADAPTER_")}
        self._refs[task.remote(work, share.cpus, own, self.names)] = work

    def ended(self) -> list[tuple[Work, Outcome]]:
        """Those whose task has ended."""
        refs = list(self._refs)
        done = self.ray.wait(refs, num_returns=len(refs), timeout=0)[0] if refs else []
        found = []
        for ref in done:
            work = self._refs.pop(ref)
            try:
                outcome = self.ray.get(ref)
            except self.ray.exceptions.RayError as error:
                reason = str(error).strip().split("\n")[0]
                outcome = Outcome(0.0, f"Ray could not execute it, tried {RETRIES + 1} times at most: {reason}")
            work.remove()
            self._running.pop(work.id, None)
            found.append((work, outcome))
        return found

    def running(self) -> dict[str, Running]:
        """Those that a node has begun, as it says in the folder where it works."""
        if time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            for work in self._refs.values():
                if told := latest(work.folder):
                    self._running[work.id] = told
        return dict(self._running)

    def stop(self) -> None:
        """Interrupt what is at work; a node that does not answer is not waited for."""
        if not self._refs:
            return
        for force, seconds in ((False, GRACE), (True, 1.0)):
            for ref in self._refs:
                with suppress(self.ray.exceptions.RayError, ConnectionError):
                    self.ray.cancel(ref, force=force)
            with suppress(self.ray.exceptions.RayError, ConnectionError):
                done, left = self.ray.wait(list(self._refs), num_returns=len(self._refs), timeout=seconds)
                if not left:
                    break
        for work in self._refs.values():
            work.remove()
        self._refs.clear()
        self._running.clear()


def _on_node(work: Work, cpus: int, variables: Mapping[str, str], names: Mapping[str, str]) -> Outcome:
    """The task, in a Ray worker."""
    node = import_module("ray").get_runtime_context().get_node_id()
    return perform(work, cpus, variables, names.get(node, platform.node()))


def _end_of(folder: Path) -> None:
    """End the processes of Ray that this one started with a folder: a node that did not start leaves some."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(str(folder) in word for word in process.cmdline()):
                process.kill()


def _share(resources: Mapping[str, float]) -> Share:
    return Share(int(resources.get("CPU", 0)), resources.get("GPU", 0.0), resources.get("memory", 0.0) / GIB)


def _name(node: Mapping[str, Any]) -> str:
    """Of a node: what it was named, else its machine."""
    named = node.get("NodeName", "")
    return named if named and named != node["NodeManagerAddress"] else node["NodeManagerHostname"]


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


@contextmanager
def _named_folder(folder: Path) -> Iterator[None]:
    """Ray writes all that it writes on this machine into a folder, the address of its last cluster, too."""
    former = os.environ.get("RAY_TMPDIR")
    os.environ["RAY_TMPDIR"] = str(folder)
    (folder / "ray").mkdir(exist_ok=True)
    try:
        yield
    finally:
        del os.environ["RAY_TMPDIR"]
        if former is not None:
            os.environ["RAY_TMPDIR"] = former


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself: what it meant before stands again afterwards."""
    in_main = threading.current_thread() is threading.main_thread()
    former = signal.getsignal(signal.SIGTERM) if in_main else None
    try:
        yield
    finally:
        if in_main and former is not None:
            signal.signal(signal.SIGTERM, former)
