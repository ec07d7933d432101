"""`make soak`: the application with many people at it. Each opens it in a browser of her own and, click after click,
edits a sentence and chooses another case; memory is measured on the way, and at the end the process of one is killed.

    python -m tests.soak --sessions 5 --minutes 3
"""

import argparse
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests import browser, workbench

FLAT = 1.10  # times the memory after the warm-up that it may be at the end
WARM = 0.25  # of the time: until then libraries and caches fill
WORDS = "near far above below beside behind after before without against toward among".split()


def memory(pid: int) -> int:
    """Bytes that a server and its kernels have for themselves: what they share is counted once, by its shares."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(process.memory_full_info().pss for process in processes)


class Session:
    """One person.

    Args:
        context: of a browser.
        number: which one; it stands in every sentence of hers.
    """

    def __init__(self, context, number: int) -> None:
        self.page, self.number = context.new_page(), number
        self.rng = random.Random(number)
        self.clicks, self.wrong = 0, []

    def open(self, server: browser.Server) -> None:
        """Open the application and wait until it can be used."""
        self.page.goto(server.url(), timeout=10 * browser.TIMEOUT)
        self.widget = self.page.locator(".kadapter").filter(has_text="Edit the sentence").first
        self.widget.wait_for()

    def click(self) -> None:
        """Edit the sentence, and look whether it and nobody else's is answered."""
        own = f"Person{self.number} saw [Brill] {self.rng.choice(WORDS)} {self.rng.choice(WORDS)} Coxon ."
        self.widget.get_by_label("Sentence", exact=True).fill(own)
        self.widget.get_by_text("answered now").wait_for()
        shown = self.page.locator("body").inner_text()
        others = [word for word in shown.split() if word.startswith("Person") and word != f"Person{self.number}"]
        if others:
            self.wrong.append(f"session {self.number} sees {others[0]}")
        if self.page.get_by_role("alert").first.is_visible():
            self.wrong.append(f"session {self.number} has ended")
        self.widget.get_by_label("Case", exact=True).press("ArrowDown")
        self.clicks += 2


def main() -> None:
    """Parse the command line, soak, tell; code 1 for what is not as promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=120.0)
    given = parser.parse_args()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        workbench.make(folder)
        notebook = workbench.NOTEBOOKS.parent / "widgets" / "app.ipynb"
        server = stack.enter_context(browser.voila(notebook, folder / "s", KADAPTER_RUNS=str(folder / "runs")))
        first = stack.enter_context(browser.page())
        sessions = []
        for number in range(given.sessions):
            context = first.context.browser.new_context()
            context.set_default_timeout(10 * browser.TIMEOUT)
            sessions.append(Session(context, number))
            sessions[-1].open(server)
        begun, warm = time.monotonic(), 0
        while time.monotonic() < begun + 60 * given.minutes:
            for session in sessions:
                session.click()
            if not warm and time.monotonic() > begun + 60 * WARM * given.minutes:
                warm = memory(server.pid)
        last = memory(server.pid)
        for kernel in psutil.Process(server.pid).children()[:1]:
            kernel.kill()
        until = time.monotonic() + 30
        while not (said := [s.number for s in sessions if s.page.get_by_role("alert").first.is_visible()]):
            sessions[0].page.wait_for_timeout(200)
            if time.monotonic() > until:
                break
        wrong += [each for session in sessions for each in session.wrong]
        wrong += [f"memory grew from {warm:,} to {last:,} bytes"] if last > FLAT * warm else []
        wrong += [f"one process was killed, {len(said)} pages say so"] if len(said) != 1 else []
        clicks = sum(session.clicks for session in sessions)
        print(f"{given.sessions} sessions, {clicks} clicks in {given.minutes:g} minutes")
        print(f"memory {warm:,} -> {last:,} bytes")
    print("\n".join(wrong) or "as promised")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
