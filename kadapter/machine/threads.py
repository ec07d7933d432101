"""How many threads compute, and how they wait: decided here for the command line, notebooks opened by hand, Voila and
the pipeline's workers.

Threads of OpenMP that wait for each other keep their cores busy with waiting. As soon as another program wants one of
these cores, waiting uses up a thread's share of it, and the next piece of work waits for the thread: a training step on
two cores, one of them busy, took ten times the processor time (docs/performance.md). So waiting threads sleep, which
must be said before torch is loaded, and there are no more of them than cores are free.
"""

import math
import os
from pathlib import Path

from kadapter.errors import KAdapterError

THREADS = "KADAPTER_THREADS"  # environment variable: a number, or auto; unset is auto
_POLICY = "OMP_WAIT_POLICY"
_SPIN = "GOMP_SPINCOUNT"  # GNU's OpenMP, where it is used: some microseconds of waiting awake, then sleep
_SECONDS = 0.1  # for which the cores are watched
_used: dict[int, tuple[int, str]] = {}  # process -> what was decided in it: a forked one decides anew


def wait_asleep() -> None:
    """Have the threads of this process, and of those it starts, sleep while they wait, unless the environment says how
    they wait. In effect if it is called before torch is imported: `import kadapter` does."""
    if _POLICY not in os.environ and _SPIN not in os.environ:
        os.environ[_POLICY], os.environ[_SPIN] = "PASSIVE", "1000"


def use() -> int:
    """Let torch compute with as many threads as `decide` says; decided once in a process. Returns their number."""
    import torch

    pid = os.getpid()
    if pid not in _used:
        _used.clear()
        _used[pid] = decide()
        torch.set_num_threads(_used[pid][0])
    return _used[pid][0]


def decide() -> tuple[int, str]:
    """The number of threads, and why: `KADAPTER_THREADS`, else `OMP_NUM_THREADS`, else the cores that are free.

    Raises KAdapterError for a `KADAPTER_THREADS` that is neither auto nor a whole number above 0.
    """
    named = os.environ.get(THREADS, "auto")
    if named != "auto":
        if not named.isdecimal() or int(named) < 1:
            raise KAdapterError(f"environment variable {THREADS}: found {named!r}; expected auto, or 1 or more")
        return int(named), f"{THREADS}={named}"
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given), f"OMP_NUM_THREADS={given}"
    there, busy = available(), busy_cores()
    return max(1, there - round(busy)), f"{busy:.1f} of {there} cores busy; {THREADS} sets another number"


def share(jobs: int) -> dict[str, str]:
    """The environment of one of several processes that share the cores: an equal part for each (see `of`)."""
    return of(max(1, available() // jobs))


def of(cpus: int) -> dict[str, str]:
    """The environment of a process that has some cores to itself: `KADAPTER_THREADS` as the user set it, else one
    thread for each."""
    named = os.environ.get(THREADS, "auto")
    threads = str(cpus) if named == "auto" else named
    return {THREADS: threads, "OMP_NUM_THREADS": threads}


def available() -> int:
    """Cores to compute on: those that this process may use, and no more than a container's quota pays for."""
    quota = _quota(Path("/sys/fs/cgroup/cpu.max"))
    return cores() if quota is None else max(1, min(cores(), math.ceil(quota)))


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(file: Path) -> float | None:
    """Cores' worth of time that cgroup v2 gives; None without a limit."""
    try:
        most, period = file.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return None if most == "max" else int(most) / int(period)


def busy_cores() -> float:
    """Cores' worth of work that other programs do at this moment on the cores that this process may use."""
    import psutil

    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    percent = psutil.cpu_percent(_SECONDS, percpu=True)
    return sum(p for core, p in enumerate(percent) if mine is None or core in mine) / 100


def told() -> str:
    """What is decided in this process, in words."""
    number, why = _used.get(os.getpid()) or decide()
    asleep = os.environ.get(_POLICY, "").upper() == "PASSIVE"
    waiting = "threads that wait sleep" if asleep else f"threads wait as {_POLICY} or {_SPIN} say"
    return f"{number} ({why}); {waiting}"
