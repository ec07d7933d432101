"""A stage at work: its notebook is executed in a folder that nobody takes for a run, and what it leaves is put in its
place. The same on this machine and on a node of a cluster: `executors`, `ray_cluster` and `slurm` say who does it.
"""

import json
import os
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from kadapter import errors, runs
from kadapter.errors import KAdapterError
from kadapter.experiment import progress, seal, stage_process
from kadapter.machine import threads

AT_WORK = "at_work.json"  # in the folder of an attempt: where it is made, and since when
NOTEBOOK = "notebook.ipynb"


@dataclass(frozen=True)
class Outcome:
    """How a stage ended.

    Attributes:
        seconds: how long it took.
        reason: why it failed, in one sentence; "" if its run is finished.
        notebook: what was executed of a failed notebook; "" if nothing was.
        node: where, in a cluster's words; "" for this machine.
    """

    seconds: float
    reason: str = ""
    notebook: str = ""
    node: str = ""


@dataclass(frozen=True)
class Work:
    """All that is needed to execute a stage, in another process or on another machine that sees the same folders.

    Attributes:
        id: `stage/name`.
        notebook: the file to execute.
        parameters: of the notebook, without `out`.
        final: where its run will stand.
        key: of its run.
        folder: where it is made, beside `final`.
        here: the folder that relative paths start at.
    """

    id: str
    notebook: Path
    parameters: Mapping[str, Any]
    final: Path
    key: str
    folder: Path
    here: Path

    @property
    def staged(self) -> Path:
        """Where the notebook leaves its run: under the names it will have, so that it knows its preset."""
        return self.folder / self.final.parents[1].name / self.id

    def begin(self, environment: Mapping[str, str]) -> BaseProcess:
        """Start the notebook; its exit code goes to `finish`."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        parameters = {**self.parameters, "out": str(self.staged)}
        out, log = self.folder / NOTEBOOK, self.folder / "log"
        return stage_process.start(self.notebook, out, parameters, log, environment, self.here)

    def finish(self, exit_code: int | None, seconds: float) -> Outcome:
        """Put the executed notebook and the key into the run, and the run in its place; of a failed one only the
        notebook is kept."""
        run, failed = self.staged, failed_notebook(self.final)
        notebook = self.folder / NOTEBOOK
        reason = "" if exit_code == 0 else _reason(notebook, self.folder / "log")
        if not reason and not (run / runs.RESULT).is_file():
            reason = f"{self.notebook.name} left no run in `out`: it ends with kadapter.runs' finish()"
        if reason:
            kept = notebook.is_file()
            if kept:
                notebook.replace(failed)
            self.remove()
            return Outcome(seconds, reason, str(failed) if kept else "")
        notebook.rename(run / NOTEBOOK)
        made = {"key": self.key, "notebook": self.notebook.name, progress.SECONDS: round(seconds, 1)}
        write(run / runs.KEY, json.dumps(made | {seal.FILES: seal.of(run)}))
        runs.replace(run, self.final)
        failed.unlink(missing_ok=True)
        self.remove()
        return Outcome(seconds)

    def remove(self) -> None:
        """Take away what was being made."""
        shutil.rmtree(self.folder, ignore_errors=True)


def perform(work: Work, cpus: int, variables: Mapping[str, str], node: str) -> Outcome:
    """Execute a stage from beginning to end, on a node of a cluster; any exception, KeyboardInterrupt too, ends what
    runs and removes it.

    Args:
        cpus: cores that the stage may use.
        variables: of the environment, over those of this process.
        node: its name.
    """
    if not work.final.parents[1].is_dir():
        reason = f"node {node} sees no folder {work.final.parents[1]}: name one that all nodes share with --root"
        return Outcome(0.0, reason, node=node)
    # An attempt has a folder of its own: one that a lost node still writes to is not in the way.
    attempt = replace(work, folder=work.folder / f"{platform.node()}-{os.getpid()}-{time.time_ns()}")
    started = time.time()
    process = None
    try:
        named = threads.of(cpus) | dict(variables)
        process = attempt.begin(environment(named))
        write(attempt.folder / AT_WORK, json.dumps({"node": node, "since": started}))
        while process.exitcode is None:  # `join` would not hear of an interrupt that is no signal, as Ray's is none
            time.sleep(0.05)
        return replace(attempt.finish(process.exitcode, time.time() - started), node=node)
    except BaseException:
        stage_process.end([] if process is None else [process])
        attempt.remove()
        raise


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Of the process of a stage: that of this one, these over it, and what notebooks need."""
    return os.environ | dict(variables) | {
        "TOKENIZERS_PARALLELISM": "false",
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not one that the user installed elsewhere
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }  # fmt: skip


def failed_notebook(final: Path) -> Path:
    """Where the executed notebook of a failed stage is kept."""
    return final.with_name(f"{final.name}.failed.ipynb")


def write(path: Path, text: str) -> None:
    """Write a file under another name and rename it: a reader sees the old or the new one."""
    partial = runs.partial(path)
    runs.remove_stale(path)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


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
