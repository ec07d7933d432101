"""The execution of a preset's graph: each stage is a notebook that papermill executes in a process of its own.

A stage whose finished run was made from the same notebook, parameters and inputs is kept; the others are executed, side
by side where none waits for the other.
"""

import json
import os
import platform
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from kadapter import errors, runs, threads
from kadapter.errors import KAdapterError
from kadapter.experiment import progress, seal, stage_process
from kadapter.experiment.graph import Stage, graph, keys
from kadapter.experiment.progress import Forecast

BAR = "{postfix}"


@dataclass
class _Child:
    """A papermill process at work on a stage, in a folder that nobody takes for a run."""

    stage: Stage
    folder: Path
    process: BaseProcess
    started: float


class Pipeline:
    """The execution of a preset's graph under `root`.

    Args:
        p: the preset, as `preset.load` returns it.
        root: the folder of runs; this preset's are in `root/<name>`.
        jobs: how many notebooks are executed at once; None: 2 on a processor with two cores or more, else 1.
        force: execute every stage, whatever is finished.
        notebooks: the folder of the notebooks.
        tell: called with one line of text at the start and the end of each stage.
        command: what a person would type to make these runs; the report shows it.
    """

    def __init__(
        self,
        p: Mapping[str, Any],
        root: str | Path = "runs",
        jobs: int | None = None,
        force: bool = False,
        notebooks: Path | None = None,
        tell: Callable[[str], object] = print,
        command: str = "",
    ) -> None:
        self.preset, self.root, self.force, self.tell = p, runs.resolve(root), force, tell
        self.notebooks = notebooks or runs.notebooks_folder()
        self.base = self.root / p["name"]
        self.command = command or f"kadapter run {p['name']}"
        self.stages = graph(p)
        self.keys = keys(self.stages, self.notebooks)
        self.jobs = default_jobs() if jobs is None else jobs
        if self.jobs < 1:
            raise KAdapterError(f"jobs: found {jobs}; expected 1 or more")
        self.children: list[_Child] = []
        self.forecast = Forecast(self.stages, self.base)
        self.bar: tqdm | None = None
        self._finished: dict[str, bool] = {}  # by stage, before this execution

    def run(self) -> Path:
        """Execute what is not finished; the folder of the last stage's run.

        Raises KAdapterError with the reason and the executed notebook's path when a notebook fails, and for a second
        pipeline at work on the same runs. On any exception, KeyboardInterrupt too, what runs is stopped and removed.
        """
        self.base.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.base / ".lock", timeout=0):
                return self._run()
        except Timeout:
            raise KAdapterError(
                f"another kadapter is at work in {self.base}: wait for it, or name another folder with --root"
            ) from None

    def _run(self) -> Path:
        graph_file = {"command": self.command, "preset": self.preset, "keys": self.keys}
        _write(self.base / runs.GRAPH, json.dumps(graph_file, indent=1, default=str))
        done: set[str] = set()
        waiting = list(self.stages)
        self.bar = tqdm(total=100, bar_format=BAR, leave=False, disable=None)  # none where nobody watches a terminal
        try:
            while waiting or self.children:
                for stage in list(waiting):  # every one stands after those it needs
                    if done.issuperset(stage.needs) and self.is_finished(stage):
                        self.forecast.kept.add(stage.id)
                        self._say(stage, "kept")
                        done.add(stage.id)
                        waiting.remove(stage)
                # What the longest chain of others waits for comes first.
                ready = sorted((s for s in waiting if done.issuperset(s.needs)), key=self.forecast.chain, reverse=True)
                alone = len(ready) == 1 and not self.children
                for stage in ready[: self.jobs - len(self.children)]:
                    with _uninterrupted():
                        self.children.append(self._start(stage, alone))
                    waiting.remove(stage)
                for child in [c for c in self.children if c.process.exitcode is not None]:
                    self.children.remove(child)
                    self._finish(child)
                    done.add(child.stage.id)
                self._show()
                if self.children:
                    time.sleep(0.05)
        finally:
            self.bar.close()
            self._stop()
        return self.base / self.stages[-1].id

    def is_finished(self, stage: Stage) -> bool:
        """Whether a stage's run was made from what the preset names now, and its files are as it left them; looked at
        once. Says which file is not."""
        if stage.id not in self._finished:
            current = not self.force and runs.key_of(self.base / stage.id) == self.keys[stage.id]
            damage = seal.broken(self.base / stage.id) if current else ""
            if damage:
                self._say(stage, f"damaged: {damage}")
            self._finished[stage.id] = current and not damage
        return self._finished[stage.id]

    def _show(self) -> None:
        """Percent and time left, and what is at work, in the last line of a terminal."""
        if self.bar is not None and not self.bar.disable:
            self.bar.n = round(100 * self.forecast.share(self._running()))
            names = ", ".join(child.stage.id for child in self.children)
            self.bar.set_postfix_str(f"{self._forecast()}  {names}", refresh=False)
            self.bar.update(0)

    def _running(self) -> dict[str, float]:
        now = time.monotonic()
        return {child.stage.id: now - child.started for child in self.children}

    def _forecast(self) -> str:
        running = self._running()
        return progress.told(self.forecast.share(running), self.forecast.left(running, self.jobs))

    def _start(self, stage: Stage, alone: bool) -> _Child:
        final = self.base / stage.id
        runs.remove_stale(final)
        folder = final.with_name(f"{final.name}.partial-{platform.node()}-{os.getpid()}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        parameters = {
            **stage.parameters,
            **{name: self._folders(ids) for name, ids in stage.inputs.items()},
            "out": str(self._staged(folder, stage)),
        }
        process = stage_process.start(
            self.notebooks / stage.notebook,
            folder / "notebook.ipynb",
            parameters,
            folder / "log",
            self._environment(alone=alone),
        )
        self._say(stage, "...")
        return _Child(stage, folder, process, time.monotonic())

    def _environment(self, alone: bool) -> dict[str, str]:
        """Of a stage: it has all cores where nothing can run beside it."""
        shared = threads.share(1 if alone else self.jobs)
        return os.environ | shared | {
            "TOKENIZERS_PARALLELISM": "false",
            "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not one that the user installed elsewhere
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }  # fmt: skip

    def _folders(self, ids: Any) -> Any:
        if isinstance(ids, str):
            return os.path.normpath(self.base / ids)
        if isinstance(ids, Mapping):
            return {name: self._folders(value) for name, value in ids.items()}
        return [self._folders(value) for value in ids]

    def _staged(self, folder: Path, stage: Stage) -> Path:
        """Where the notebook leaves its run: under the names it will have, so that it knows its preset."""
        return folder / self.base.name / stage.id

    def _finish(self, child: _Child) -> None:
        """Put the executed notebook and the key into the run, and the run in its place."""
        stage, final = child.stage, self.base / child.stage.id
        run = self._staged(child.folder, stage)
        failed = final.with_name(f"{final.name}.failed.ipynb")
        notebook = child.folder / "notebook.ipynb"
        reason = None if child.process.exitcode == 0 else _reason(notebook, child.folder / "log")
        if reason is None and not (run / runs.RESULT).is_file():
            reason = f"{stage.notebook} left no run in `out`: it ends with kadapter.runs' finish()"
        seconds = time.monotonic() - child.started
        if reason is not None:
            where = ""
            if notebook.is_file():
                notebook.replace(failed)
                where = f"\nThe executed notebook: {failed}"
            shutil.rmtree(child.folder, ignore_errors=True)
            self._say(stage, f"failed {seconds:6.1f} s")
            raise KAdapterError(f"stage {stage.id} failed: {reason}{where}")
        notebook.rename(run / "notebook.ipynb")
        made = {"key": self.keys[stage.id], "notebook": stage.notebook, progress.SECONDS: round(seconds, 1)}
        _write(run / runs.KEY, json.dumps(made | {seal.FILES: seal.of(run)}))
        runs.replace(run, final)
        failed.unlink(missing_ok=True)
        shutil.rmtree(child.folder, ignore_errors=True)
        self.forecast.took[stage.id] = seconds
        self._say(stage, f"{seconds:6.1f} s  {headline(runs.load(final).metrics)}  ({self._forecast()})")

    def _stop(self) -> None:
        """End the papermill processes still at work, their kernels with them, and remove what they wrote."""
        if not self.children:
            return
        in_main = threading.current_thread() is threading.main_thread()  # only there may signals be set
        former = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main else None  # a second Ctrl-C changes nothing
        try:
            self._end_children()
        finally:
            if in_main:
                signal.signal(signal.SIGINT, former)

    def _end_children(self) -> None:
        # One that ends at once leaves no trace of its kernel: who belongs to it is asked before.
        trees = [_descendants(child) for child in self.children]
        for child in self.children:
            child.process.terminate()  # papermill shuts its kernel down
        for child, tree in zip(self.children, trees, strict=True):
            tree |= _descendants(child)
            child.process.join(timeout=10)
            if child.process.exitcode is None:
                child.process.kill()
                child.process.join()
            for process in tree:
                with suppress(psutil.NoSuchProcess):
                    process.kill()  # psutil knows when its number is another's by now
            shutil.rmtree(child.folder, ignore_errors=True)
        self.children.clear()

    def _say(self, stage: Stage, text: str) -> None:
        place = self.stages.index(stage) + 1
        width = max(len(s.id) for s in self.stages)
        with tqdm.external_write_mode():  # the bar makes room
            self.tell(f"[{place:{len(str(len(self.stages)))}}/{len(self.stages)}] {stage.id:{width}}  {text}".rstrip())


def _descendants(child: _Child) -> set[psutil.Process]:
    """The processes that a stage has started; none if it has ended."""
    try:
        return set(psutil.Process(child.process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A Ctrl-C or SIGTERM within the block takes effect at its end: no process that is being started is lost."""
    if threading.current_thread() is not threading.main_thread():  # signals go to that one
        yield
        return
    caught: list[int] = []
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not None]
    former = {n: signal.signal(n, lambda number, frame: caught.append(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    if caught:
        os.kill(os.getpid(), caught[0])


def default_jobs() -> int:
    """Notebooks at once: one where a GPU is shared, else two on two cores or more."""
    import torch

    return 1 if torch.cuda.is_available() else min(2, runs.cores())


def headline(metrics: Mapping[str, Any]) -> str:
    """The first number of a run's metrics, in words; "" if there is none.

    >>> headline({"f1": 0.81234, "precision": 0.9})
    'f1 0.812'
    """
    for name, value in metrics.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value:,}"
    return ""


def _reason(notebook: Path, log: Path) -> str:
    """Why a notebook failed, in one sentence: the message of the exception in it, or papermill's last line."""
    executed = runs.read_json(notebook) or {"cells": []}
    for cell in executed["cells"]:
        for output in cell.get("outputs", ()):
            if output.get("output_type") == "error":
                message = output["evalue"].strip().split("\n")[0]
                ours = issubclass(getattr(errors, output["ename"], Exception), KAdapterError)
                return message if ours and message else f"{output['ename']}: {message}"
    printed = log.read_text(errors="replace") if log.is_file() else ""  # it may have ended before it opened one
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return f"the notebook's process ended before it was done ({lines[-1] if lines else 'it left no message'})"


def _write(path: Path, text: str) -> None:
    """Write a file under another name and rename it: a reader sees the old or the new one."""
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)
