"""Long work off the kernel's reply path: in a thread, the newest job only, with a progress bar and a cancel button."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets

from widgets import style

Progress = Callable[[float, str], None]
QUICK = 0.3  # seconds; work that ends sooner shows no bar


class Cancelled(Exception):
    """Raised inside a job that is no longer wanted, by its next call of `progress`."""


class Work:
    """Runs jobs one after the other in threads; a new job takes the place of one that is waiting or running.

    A job is `job(progress) -> result`; it calls `progress(fraction, text)` every now and then, which raises `Cancelled`
    when the job is no longer wanted. What it leads to (`done(result)`, `failed(exception)`) runs in the thread that
    serves the kernel, never in the job's own, so that widgets change in one thread alone.

    Attributes:
        box: bar, text and cancel button; empty while nothing long runs.
    """

    def __init__(self, cancelled: Callable[[], None] = lambda: None) -> None:
        self._bar = ipywidgets.FloatProgress(min=0, max=1, layout={"width": "180px"}, tooltip="progress")
        self._text = ipywidgets.HTML()
        self._stop = ipywidgets.Button(description="Cancel", icon="times", tooltip="Stop what is being computed")
        self._stop.on_click(lambda _: self.cancel())
        self.box = ipywidgets.HBox([self._bar, self._text, self._stop], layout={"display": "none"})
        self._when_cancelled = cancelled
        self._posted: queue.SimpleQueue = queue.SimpleQueue()
        self._one = threading.Lock()  # held by the job that computes
        self._job: threading.Event | None = None  # set when the newest job is no longer wanted
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a job is waiting, running, or about to hand over its result."""
        return self._job is not None

    def submit(
        self, job: Callable[[Progress], Any], done: Callable[[Any], None], failed: Callable[[Exception], None],
        delay: float = 0.0,
    ) -> None:  # fmt: skip
        """Run a job in place of whatever runs now, after `delay` seconds in which no other took its place."""
        self._drop()
        unwanted = self._job = threading.Event()
        loop = _running_loop()

        def post(call: Callable[[], None]) -> None:
            self._posted.put(lambda: None if unwanted.is_set() else call())
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(self._deliver)

        self._thread = threading.Thread(
            target=self._run, args=(job, done, failed, delay, unwanted, post), name="kadapter-work", daemon=True
        )
        self._thread.start()

    def cancel(self) -> None:
        """Stop what runs; its result is thrown away."""
        if self.busy:
            self._drop()
            self._when_cancelled()

    def wait(self, timeout: float = 120.0) -> None:
        """Until nothing runs any more, jobs that follow from the first included; for scripts and tests.

        Raises TimeoutError.
        """
        until = time.monotonic() + timeout
        while self.busy:
            if time.monotonic() > until:
                raise TimeoutError(f"work still runs after {timeout} s")
            if self._thread is not None:
                self._thread.join(0.02)
            self._deliver()

    def _drop(self) -> None:
        if self._job is not None:
            self._job.set()
        self._job = None
        self.box.layout.display = "none"

    def _deliver(self) -> None:
        while not self._posted.empty():
            self._posted.get()()

    def _show(self, fraction: float, text: str) -> None:
        self.box.layout.display = ""
        self._bar.value = fraction
        self._text.value = f'<span role="status">{escape(text)} …</span>'

    def _run(
        self, job: Callable, done: Callable, failed: Callable, delay: float, unwanted: Any, post: Callable
    ) -> None:
        if unwanted.wait(delay):
            return
        with self._one:
            began, told = time.monotonic(), 0.0

            def progress(fraction: float, text: str) -> None:
                nonlocal told
                if unwanted.is_set():
                    raise Cancelled
                now = time.monotonic()
                if fraction == 0 or (now - began > QUICK and now - told > 0.1):
                    told = now
                    post(lambda: self._show(float(fraction), text))

            try:
                progress(-1.0, "")  # not wanted any more before it began
                result = job(progress)
                post(lambda: self._end(done, result))
            except Cancelled:
                pass
            except Exception as problem:  # whatever a job raises is told in the widget
                post(lambda problem=problem: self._end(failed, problem))

    def _end(self, then: Callable[[Any], None], value: Any) -> None:
        self._drop()
        then(value)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # a script or a test: `wait` delivers
        return None


def safely(call: Callable[[], Any], show: Callable[[str], None]) -> None:
    """Call a handler of a control; what it raises is shown in one sentence, and an older sentence is taken away."""
    try:
        call()
        show("")
    except Exception as problem:
        show(style.error(style.message(problem)))
