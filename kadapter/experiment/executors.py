"""Who executes the stages that are ready: processes of this machine here, the nodes of a cluster in `ray_cluster` and
`slurm`."""

import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol, runtime_checkable

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment import stage_process
from kadapter.experiment.work import AT_WORK, Outcome, Work, environment
from kadapter.machine import threads


@dataclass(frozen=True)
class Running:
    """A stage at work: for how many seconds, and where; "" for this machine."""

    seconds: float
    node: str = ""


@runtime_checkable
class Executor(Protocol):
    """Who executes stages; used as a context, at whose end nothing of it is left.

    Attributes:
        jobs: how many stages are executed side by side.
        ahead: whether it takes stages before those that they need are finished, and waits for these by itself.
        remote: whether they are executed elsewhere.
    """

    jobs: int
    ahead: bool
    remote: bool

    def __enter__(self) -> "Executor": ...

    def __exit__(self, *exception: object) -> None: ...

    def room(self) -> int:
        """How many more stages it takes at this moment."""
        ...

    def start(self, work: Work, needs: list[str], alone: bool) -> None:
        """Execute a stage.

        Args:
            needs: ids of the stages started before that must be finished first (only where it works `ahead`).
            alone: whether nothing can run beside it.
        """
        ...

    def ended(self) -> list[tuple[Work, Outcome]]:
        """The stages that have ended since this was last asked."""
        ...

    def running(self) -> dict[str, Running]:
        """Those at work now, by id; a stage that waits for a node is not among them."""
        ...

    def stop(self) -> None:
        """End what is at work and remove what it wrote."""
        ...


@dataclass
class _Child:
    """A papermill process at work on a stage."""

    work: Work
    process: BaseProcess
    started: float


class Processes:
    """Stages in processes of this machine, `jobs` at once; one has all cores where nothing can run beside it.

    Raises KAdapterError for fewer than one at once.
    """

    ahead, remote = False, False

    def __init__(self, jobs: int | None = None) -> None:
        self.jobs = default_jobs() if jobs is None else jobs
        if self.jobs < 1:
            raise KAdapterError(f"jobs: found {jobs}; expected 1 or more")
        self.children: list[_Child] = []

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def room(self) -> int:
        """Jobs less children."""
        return self.jobs - len(self.children)

    def start(self, work: Work, needs: list[str], alone: bool) -> None:
        """Fork one."""
        process = work.begin(environment(threads.share(1 if alone else self.jobs)))
        self.children.append(_Child(work, process, time.monotonic()))

    def ended(self) -> list[tuple[Work, Outcome]]:
        """Those whose process has ended."""
        found = []
        for child in [c for c in self.children if c.process.exitcode is not None]:
            self.children.remove(child)
            found.append((child.work, child.work.finish(child.process.exitcode, time.monotonic() - child.started)))
        return found

    def running(self) -> dict[str, Running]:
        """All children."""
        return {child.work.id: Running(time.monotonic() - child.started) for child in self.children}

    def stop(self) -> None:
        """End the papermill processes still at work, their kernels with them."""
        stage_process.end([child.process for child in self.children])
        for child in self.children:
            child.work.remove()
        self.children.clear()


def latest(folder: Path) -> Running | None:
    """What a cluster's node says of a stage in the folder where it is made; of several attempts the last one. None if
    no node has begun."""
    told = [found for path in folder.glob(f"*/{AT_WORK}") if (found := runs.read_json(path))]
    if not told:
        return None
    last = max(told, key=lambda each: each["since"])
    return Running(max(0.0, time.time() - last["since"]), last["node"])


def default_jobs() -> int:
    """Notebooks at once: one where a GPU is shared, else two on two cores or more."""
    import torch

    return 1 if torch.cuda.is_available() else min(2, runs.cores())
