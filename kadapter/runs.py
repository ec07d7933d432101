"""What one execution left behind: a folder `runs/<preset>/<stage>/<name>/` with `result.json`, artefacts and, from the
pipeline, the executed notebook. It is written under another name and renamed when whole: a run that exists is complete.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import stat
import subprocess
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import kadapter
from kadapter.errors import KAdapterError
from kadapter.machine.threads import cores

RESULT = "result.json"
GRAPH = "graph.json"  # beside the stages: which runs the preset consists of, and the key that each must have
KEY = "stage.json"  # in a run: the key it was made with
_PACKAGES = ("torch", "transformers", "datasets", "numpy")


def resolve(folder: str | Path) -> Path:
    """The absolute path of a folder of runs.

    A relative one starts at the current folder; in the `notebooks` folder of the checkout (where JupyterLab starts
    kernels) it starts at the checkout, so that a notebook leaves its run in the same place however it is executed.
    """
    here = Path.cwd()
    return ((here.parent if here == notebooks_folder() else here) / Path(folder).expanduser()).absolute()


def notebooks_folder() -> Path:
    """`notebooks/` of the checkout that kadapter is imported from."""
    return Path(kadapter.__file__).resolve().parents[1] / "notebooks"


class Run:
    """A run being written. Made by `begin`; leave files at `path(name)`, then call `finish`.

    What is not finished disappears when the object does (`abort`, a new `begin`, or the end of the process).
    """

    def __init__(self, out: Path, stage: str, name: str, parameters: Mapping[str, Any]) -> None:
        self.out, self.stage, self.name, self.parameters = out, stage, name, dict(parameters)
        self.folder = partial(out)
        self._started, self._worked = time.perf_counter(), time.process_time()
        remove_stale(out)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._remove = weakref.finalize(self, _remove_own, self.folder, os.getpid())

    def path(self, name: str) -> Path:
        """Where to write the artefact `name` ("x" or "folder/x"); its parent folder exists."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def finish(self, metrics: Mapping[str, Any], rows: Sequence[Mapping[str, Any]] = (), **more: Any) -> Path:
        """Write result.json and put the run in its place; an older run of that name is replaced.

        Args:
            metrics: what a progress line and a table show; the first number is the headline.
            rows: one mapping per measurement (fine-tuning: per seed), the rows of `table`.
            more: further keys of result.json: `n`, `seeds`, `data_hash`, `backbone_fingerprint`, ...

        Returns the folder of the run. Raises KAdapterError for a second call and for a value that JSON cannot hold.
        """
        if not self._remove.alive:
            raise KAdapterError(f"run {self.stage}/{self.name} is finished already: begin another")
        result: dict[str, Any] = {
            "preset": self.out.parents[1].name if self.out.parent.name == self.stage else "",
            "stage": self.stage,
            "name": self.name,
            "parameters": self.parameters,
            "metrics": metrics,
            "n": None,
            "seeds": [],
            "wall_seconds": round(time.perf_counter() - self._started, 3),
            "processor_seconds": round(time.process_time() - self._worked, 3),
            "peak_memory_gib": peak_memory(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "versions": versions(),
            "machine": machine(),
            "data_hash": None,
            "backbone_fingerprint": None,
        }
        try:
            text = json.dumps(result | more | {"rows": list(rows)}, indent=1, default=_plain)
        except TypeError as error:
            raise KAdapterError(f"run {self.stage}/{self.name} cannot be written as JSON: {error}") from error
        self.path(RESULT).write_text(text + "\n", encoding="utf-8")
        replace(self.folder, self.out)
        self._remove.detach()
        return self.out

    def abort(self) -> None:
        """Remove what was written."""
        self._remove()


def begin(out: str | Path, *, stage: str, name: str, parameters: Mapping[str, Any]) -> Run:
    """Start the run that will stand at `out` (`runs/<preset>/<stage>/<name>`); nothing stands there before `finish`."""
    return Run(resolve(out), stage, name, parameters)


@dataclass(frozen=True)
class Result:
    """A finished run: its folder and its result.json."""

    path: Path
    data: Mapping[str, Any]

    def __getattr__(self, key: str) -> Any:
        """The keys of result.json as attributes: `result.metrics`, `result.rows`, `result.parameters`, ..."""
        try:
            return self.__dict__["data"][key]
        except KeyError:
            raise AttributeError(f"{RESULT} of a run has no {key!r}") from None

    @property
    def id(self) -> str:
        """`stage/name`."""
        return f"{self.path.parent.name}/{self.path.name}"


def load(folder: str | Path) -> Result:
    """The run in a folder. Raises KAdapterError if there is none, or if its result.json is no JSON object."""
    path = resolve(folder)
    try:
        data = json.loads((path / RESULT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise KAdapterError(f"{path} holds no run: expected a folder with {RESULT}, as a stage leaves it") from None
    except ValueError as error:
        raise KAdapterError(f"{path / RESULT} is damaged ({error}): remove the folder, run its stage again") from None
    if not isinstance(data, dict):
        raise KAdapterError(f"{path / RESULT} is damaged: found {type(data).__name__}, expected an object")
    return Result(path, data)


def find(root: str | Path, preset: str) -> list[Result]:
    """The finished runs of a preset under `root`, by stage and name.

    Where the pipeline has left its graph, only runs that belong to it as it is now: none of a model that the preset no
    longer names, none made from data that has changed since. [] if there are none.
    """
    base = resolve(root) / preset
    graph = read_json(base / GRAPH)
    found = [load(path.parent) for path in sorted(base.glob(f"*/*/{RESULT}")) if ".partial-" not in path.parent.name]
    if graph is None:
        return found
    return [run for run in found if run.id in graph["keys"] and key_of(run.path) == graph["keys"][run.id]]


def table(root: str | Path, preset: str, stage: str = "finetune"):
    """A pandas DataFrame of the `rows` of every run of a stage, with the column `run` (its `stage/name`) in front.

    Raises KAdapterError if no run of that stage is finished.
    """
    import pandas

    found = [run for run in find(root, preset) if run.path.parent.name == stage]
    if not found:
        raise KAdapterError(
            f"no finished {stage} run of preset '{preset}' under {resolve(root)}: `kadapter run {preset}` makes them"
        )
    return pandas.DataFrame([{"run": run.id} | row for run in found for row in run.rows])


def key_of(folder: Path) -> str | None:
    """The key that the pipeline gave to a finished run; None if there is no such run, or it was made by hand."""
    if not (folder / RESULT).is_file():
        return None
    return (read_json(folder / KEY) or {}).get("key")


def read_json(path: Path) -> Any:
    """A file's JSON; None if the file is not there or is torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def replace(new: Path, out: Path) -> None:
    """Rename folder `new` to `out`; what stood there is moved aside first and put back if the rename fails."""
    old = partial(out, "-old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    try:
        new.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def partial(out: Path, more: str = "") -> Path:
    """The name under which this process writes `out` until it is whole."""
    return out.with_name(f"{out.name}.partial-{platform.node()}-{os.getpid()}{more}")


def remove_stale(out: Path) -> None:
    """Remove what processes of this machine that died left of `out`; of a name `*`, of all that stands beside it."""
    mark = f".partial-{platform.node()}-"
    for left in out.parent.glob(f"{out.name}{mark}*") if out.parent.is_dir() else ():
        pid = left.name.rpartition(mark)[2].split("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Versions of what a result depends on, without importing any of it."""
    return {"kadapter": kadapter.__version__, "python": platform.python_version()} | {
        package: importlib.metadata.version(package) for package in _PACKAGES
    }


@cache
def commit() -> str:
    """The commit of the checkout that kadapter is imported from, with `-dirty` where files differ from it; "" where it
    is no checkout, or git is not there."""
    checkout = Path(kadapter.__file__).resolve().parents[1]
    if not (checkout / ".git").exists():
        return ""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def peak_memory() -> float | None:
    """The most memory (GiB) that this process has held so far; None where the system does not count it (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if platform.system() == "Darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, 3)


def machine() -> dict[str, Any]:
    """The machine in a few words: system, processor, cores, memory (GiB), and the GPU if torch in use sees one."""
    import sys

    import psutil

    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
    return {
        "system": platform.platform(terse=True),
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": gpu,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _alive(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid)


def _remove_own(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # a forked worker ends without taking its parent's run along
        shutil.rmtree(folder, ignore_errors=True)


def _plain(value: Any) -> Any:
    """JSON for the values that turn up in results: paths, NumPy scalars and arrays, sets."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} ({value!r})")


def as_umask_says(*files: Path) -> None:
    """Give files the mode that the umask gives to new ones: safetensors writes its own readable by nobody else."""
    for file in files:
        probe = file.with_name(f".{file.name}.{os.getpid()}")
        probe.touch()
        try:
            file.chmod(stat.S_IMODE(probe.stat().st_mode))
        finally:
            probe.unlink()
