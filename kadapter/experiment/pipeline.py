"""The execution of a preset's graph: each stage is a notebook that papermill executes in a process of its own.

A stage whose finished run was made from the same notebook, parameters and inputs is kept; the others are executed, side
by side where none waits for the other. Who executes them is an `Executor`: this machine, or a cluster.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment import progress, seal
from kadapter.experiment.display import Board, Line
from kadapter.experiment.executors import Executor, Processes
from kadapter.experiment.graph import Stage, graph, keys
from kadapter.experiment.progress import Forecast
from kadapter.experiment.work import Outcome, Work, write


class Pipeline:
    """The execution of a preset's graph under `root`.

    Args:
        p: the preset, as `preset.load` returns it.
        root: the folder of runs; this preset's are in `root/<name>`.
        jobs: how many notebooks are executed at once on this machine; None: 2 on a processor with two cores or more,
            else 1.
        force: execute every stage, whatever is finished.
        notebooks: the folder of the notebooks.
        tell: called with one line of text at the start and the end of each stage.
        command: what a person would type to make these runs; the report shows it.
        executor: who executes the stages; None: processes of this machine.
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
        executor: Executor | None = None,
    ) -> None:
        self.preset, self.root, self.force, self.tell = p, runs.resolve(root), force, tell
        self.notebooks = notebooks or runs.notebooks_folder()
        self.base = self.root / p["name"]
        self.command = command or f"kadapter run {p['name']}"
        self.stages = graph(p)
        self.keys = keys(self.stages, self.notebooks)
        self.executor: Executor = executor or Processes(jobs)
        self.forecast = Forecast(self.stages, self.base)
        self.display: Line | Board | None = None
        self._finished: dict[str, bool] = {}  # by stage, before this execution
        self._told: dict[str, str] = {}  # stage -> the node that it was said to be at work on

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
        write(self.base / runs.GRAPH, json.dumps(graph_file, indent=1, default=str))
        try:
            with self.executor:
                self.display = Board() if self.executor.remote else Line()
                self._execute()
        finally:
            if self.display is not None:
                self.display.close()
        return self.base / self.stages[-1].id

    def _execute(self) -> None:
        """Hand out what is ready, and take in what has ended, until all is done."""
        done: set[str] = set()
        out: dict[str, Stage] = {}  # handed to the executor
        waiting = list(self.stages)
        try:
            while waiting or out:
                for stage in list(waiting):  # every one stands after those it needs
                    if (self.executor.ahead or done.issuperset(stage.needs)) and self.is_finished(stage):
                        self.forecast.kept.add(stage.id)
                        self._say(stage, "kept")
                        done.add(stage.id)
                        waiting.remove(stage)
                # What the longest chain of others waits for comes first.
                ready = sorted((s for s in waiting if done.issuperset(s.needs)), key=self.forecast.chain, reverse=True)
                if self.executor.ahead:
                    ready = list(waiting)  # in the order of the graph: what a stage needs is handed out before it
                alone = len(ready) == 1 and not out
                for stage in ready[: self.executor.room()]:
                    with _uninterrupted():
                        self.executor.start(self._work(stage), [need for need in stage.needs if need in out], alone)
                        out[stage.id] = stage
                    waiting.remove(stage)
                self._say_started()
                for work, outcome in self.executor.ended():
                    self._finish(out.pop(work.id), outcome)
                    done.add(work.id)
                if self.display is not None:
                    self.display.show(self.forecast, self.executor.running(), self.executor.jobs)
                if out:
                    time.sleep(0.05)
        finally:
            self._stop()

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

    def _running(self) -> dict[str, float]:
        return {id_: at_work.seconds for id_, at_work in self.executor.running().items()}

    def _forecast(self) -> str:
        running = self._running()
        return progress.told(self.forecast.share(running), self.forecast.left(running, self.executor.jobs))

    def _say_started(self) -> None:
        """Tell what is at work since the last look, or at work again elsewhere."""
        for id_, at_work in self.executor.running().items():
            if self._told.get(id_) != at_work.node:
                again = "again " if id_ in self._told else ""
                self._told[id_] = at_work.node
                self._say(self.forecast.stages[id_], f"... {again}on {at_work.node}" if at_work.node else "...")

    def _work(self, stage: Stage) -> Work:
        final = self.base / stage.id
        runs.remove_stale(final)
        return Work(
            id=stage.id,
            notebook=self.notebooks / stage.notebook,
            parameters=dict(stage.parameters) | {name: self._folders(ids) for name, ids in stage.inputs.items()},
            final=final,
            key=self.keys[stage.id],
            folder=runs.partial(final),
            here=Path.cwd(),
        )

    def _folders(self, ids: Any) -> Any:
        if isinstance(ids, str):
            return os.path.normpath(self.base / ids)
        if isinstance(ids, Mapping):
            return {name: self._folders(value) for name, value in ids.items()}
        return [self._folders(value) for value in ids]

    def _finish(self, stage: Stage, outcome: Outcome) -> None:
        """Tell how a stage ended. Raises KAdapterError if it failed."""
        if outcome.reason:
            where = f"\nThe executed notebook: {outcome.notebook}" if outcome.notebook else ""
            self._say(stage, f"failed {outcome.seconds:6.1f} s")
            raise KAdapterError(f"stage {stage.id} failed: {outcome.reason}{where}")
        self.forecast.took[stage.id] = outcome.seconds
        shown = headline(runs.load(self.base / stage.id).metrics)
        where = f"  {outcome.node}" if outcome.node else ""
        self._say(stage, f"{outcome.seconds:6.1f} s{where}  {shown}  ({self._forecast()})")

    def _stop(self) -> None:
        """End what is still at work, and remove what it wrote."""
        in_main = threading.current_thread() is threading.main_thread()  # only there may signals be set
        former = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main else None  # a second Ctrl-C changes nothing
        try:
            self.executor.stop()
        finally:
            if in_main:
                signal.signal(signal.SIGINT, former)

    def _say(self, stage: Stage, text: str) -> None:
        place = self.stages.index(stage) + 1
        width = max(len(s.id) for s in self.stages)
        line = f"[{place:{len(str(len(self.stages)))}}/{len(self.stages)}] {stage.id:{width}}  {text}".rstrip()
        if self.display is None:
            self.tell(line)
        else:
            self.display.say(self.tell, line)


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


def headline(metrics: Mapping[str, Any]) -> str:
    """The first number of a run's metrics, in words; "" if there is none.

    >>> headline({"f1": 0.81234, "precision": 0.9})
    'f1 0.812'
    """
    for name, value in metrics.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value:,}"
    return ""
