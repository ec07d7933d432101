"""One execution of a notebook in a process of its own that does not wait for imports.

On Linux the processes are forked from a server that has imported what the notebooks import and has done nothing else:
shared imports, no shared state. The kernel is forked likewise, before papermill starts a thread or an event loop.
Elsewhere each process starts from nothing.

No process outlives the one that needs it, however that one ended: each watches a pipe whose other end its parent holds.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.provisioning import LocalProvisioner

from kadapter.machine import threads

FORKS = sys.platform == "linux"  # on macOS a forked process may not use the system's libraries
PRELOAD = (  # what the notebooks and papermill import
    "papermill.cli",
    "ipykernel.kernelapp",
    "ipykernel.pylab.backend_inline",
    "ipywidgets",
    "plotly.io",
    "plotly.graph_objects",
    "kadapter.experiment.stages",
    "kadapter.report.report",
    "kadapter.report.figures",
    "kadapter.report.page",
    "kadapter.cases.cases",
    "sklearn.metrics",
    "pyarrow.parquet",
    "torch._dynamo",  # transformers asks it at the first call
)


def start(
    notebook: Path, out: Path, parameters: Mapping[str, Any], log: Path, environment: Mapping[str, str], here: Path
) -> BaseProcess:
    """Start papermill on a notebook; returns the process, whose exit code is 0 if every cell ran.

    Args:
        out: the executed notebook.
        log: file for what the process and its kernel print.
        environment: all variables of the process; `KADAPTER_THREADS` among them is heeded by torch.
        here: its current folder, where there is one of that name.
    """
    context: ForkServerContext | SpawnContext
    if FORKS:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOAD))
    else:
        context = multiprocessing.get_context("spawn")
    arguments = (str(notebook), str(out), dict(parameters), str(log), dict(environment), str(here))
    process = context.Process(target=_execute, args=arguments, name=f"papermill {notebook.name}")
    process.start()
    return process


def _execute(
    notebook: str, out: str, parameters: dict[str, Any], log: str, environment: dict[str, str], here: str
) -> None:
    """The whole life of the process."""
    os.setsid()  # Ctrl-C reaches the pipeline alone, which stops the others in order
    os.environ.clear()  # the server has the environment of the time when it was started
    os.environ.update(environment)
    with suppress(OSError):  # a node of a cluster may lack it
        os.chdir(here)
    files = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(files[0], 0)
    os.dup2(files[1], 1)
    os.dup2(files[1], 2)
    pipeline = multiprocessing.parent_process()
    assert pipeline is not None  # this is a process that `start` started
    if FORKS:
        multiprocessing.set_start_method("fork", force=True)  # what a program of its own has
        _Kernel.waiting = _Kernel()
        os.environ["JUPYTER_DEFAULT_PROVISIONER_NAME"] = "kadapter-forked"
    _when(pipeline.join, _end_all)  # after the fork: a thread does not come along
    import papermill

    papermill.execute_notebook(notebook, out, parameters, kernel_name="python3", progress_bar=False)


def end(processes: Sequence[BaseProcess]) -> None:
    """End papermill processes, their kernels with them, and wait until they are gone."""
    # One that ends at once leaves no trace of its kernel: who belongs to it is asked before.
    trees = [_descendants(process) for process in processes]
    for process in processes:
        process.terminate()  # papermill shuts its kernel down
    for process, tree in zip(processes, trees, strict=True):
        tree |= _descendants(process)
        process.join(timeout=10)
        if process.exitcode is None:
            process.kill()
            process.join()
        for other in tree:
            with suppress(psutil.NoSuchProcess):
                other.kill()  # psutil knows when its number is another's by now


def _descendants(process: BaseProcess) -> set[psutil.Process]:
    """The processes that one has started; none if it has ended."""
    try:
        return set(psutil.Process(process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def _when(ended: Callable[[], object], then: Callable[[], object]) -> None:
    """Call `then` in a thread as soon as `ended`, which waits, returns."""

    def watch() -> None:
        ended()
        then()

    threading.Thread(target=watch, name="watch of the parent process", daemon=True).start()


def _end_all() -> None:
    """End this process and all that it has started, at once: nobody waits for what they do."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(1)


class _Kernel:
    """A forked process that becomes an IPython kernel when it is told where its connection file lies. It has what
    `subprocess.Popen` has, as far as jupyter_client uses it."""

    waiting: "_Kernel | None" = None  # the one of this process, until it is launched
    stdin = stdout = stderr = None

    def __init__(self) -> None:
        read, self._write = os.pipe()
        alive, self._alive = os.pipe()  # never written to: it closes when papermill's process ends
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._write)
            os.close(self._alive)
            _become_kernel(read, alive)
        os.close(read)
        os.close(alive)

    def launch(self, connection_file: str, folder: str) -> None:
        os.write(self._write, f"{connection_file}\n{folder}".encode())
        os.close(self._write)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        end = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None and (end is None or time.monotonic() < end):
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _become_kernel(pipe: int, alive: int) -> None:
    """Wait for the connection file, then be a kernel until it is shut down; never returns."""
    os.setsid()  # an interrupt of the kernel is not one of papermill
    with os.fdopen(pipe, encoding="utf-8") as told:
        connection_file, _, folder = told.read().partition("\n")
    if not connection_file:  # papermill ended before it needed a kernel
        os._exit(0)
    os.chdir(folder)
    _when(lambda: os.read(alive, 1), _end_all)
    if "torch" in sys.modules:  # it read the environment when the server imported it
        threads.use()
    if "PLOTLY_RENDERER" not in os.environ:  # plotly asked where it is when the server imported it: nowhere
        import plotly.io

        from kadapter.drawing import static

        plotly.io.renderers.default = static.NOTEBOOK
        static.use()
    sys.argv = ["ipykernel_launcher", "-f", connection_file]
    # A kernel searches for modules as one that was started as a program of its own would.
    sys.path.insert(0, "")
    code = 1
    try:
        from ipykernel.kernelapp import launch_new_instance

        launch_new_instance()
        code = 0
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class ForkedProvisioner(LocalProvisioner):
    """Gives papermill the kernel that was forked for it (an entry point of `jupyter_client.kernel_provisioners`)."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Let the waiting kernel go on."""
        kernel, _Kernel.waiting = _Kernel.waiting, None
        if kernel is None:
            return await super().launch_kernel(cmd, **kwargs)
        manager: Any = self.parent
        kernel.launch(manager.connection_file, str(kwargs.get("cwd") or os.getcwd()))
        started: Any = kernel  # behaves as a Popen
        self.process, self.pid, self.pgid = started, kernel.pid, kernel.pid
        self.cwd = kwargs.get("cwd")
        return self.connection_info
