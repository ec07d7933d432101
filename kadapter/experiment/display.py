"""What a person sees while a preset is executed: one line on this machine, a table of who does what on a cluster. Only
where somebody watches a terminal."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from tqdm.auto import tqdm

from kadapter.experiment import progress
from kadapter.experiment.executors import Running
from kadapter.experiment.progress import Forecast

REDRAW = 0.5  # seconds


class Line:
    """Percent and time left, and what is at work, in the last line of a terminal."""

    def __init__(self) -> None:
        self.bar = tqdm(total=100, bar_format="{postfix}", leave=False, disable=None)

    def show(self, forecast: Forecast, running: Mapping[str, Running], jobs: int) -> None:
        """As it is now."""
        if not self.bar.disable:
            seconds = {id_: at_work.seconds for id_, at_work in running.items()}
            share, left = forecast.share(seconds), forecast.left(seconds, jobs)
            self.bar.n = round(100 * share)
            self.bar.set_postfix_str(f"{progress.told(share, left)}  {', '.join(running)}", refresh=False)
            self.bar.update(0)

    def say(self, tell: Callable[[str], object], text: str) -> None:
        """A line above it."""
        with tqdm.external_write_mode():  # the bar makes room
            tell(text)

    def close(self) -> None:
        """Take it away."""
        self.bar.close()


class Board:
    """The stages at work on a cluster: each with its node, time and progress as the forecast expects it."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self.live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self.drawn = 0.0
        if self.live is not None:
            self.live.start()

    def show(self, forecast: Forecast, running: Mapping[str, Running], jobs: int) -> None:
        """As it is now."""
        if self.live is not None and time.monotonic() - self.drawn > REDRAW:
            self.drawn = time.monotonic()
            self.live.update(self.table(forecast, running, jobs), refresh=True)

    def table(self, forecast: Forecast, running: Mapping[str, Running], jobs: int) -> Group:
        """A row for each stage at work, and a line on the whole."""
        seconds = {id_: at_work.seconds for id_, at_work in running.items()}
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("stage", "node", "time", "progress"):
            table.add_column(column, justify="right" if column == "time" else "left")
        for id_, at_work in running.items():
            bar = ProgressBar(total=1.0, completed=forecast.part(id_, seconds), width=24)
            table.add_row(id_, at_work.node, progress.clock(at_work.seconds), bar)
        told = progress.told(forecast.share(seconds), forecast.left(seconds, jobs))
        ended = len(forecast.kept) + len(forecast.took)
        counts = f"{ended} of {len(forecast.stages)} stages done, {len(running)} at work  {told}"
        return Group(table, Text(counts))

    def say(self, tell: Callable[[str], object], text: str) -> None:
        """A line above it."""
        if self.live is not None:
            self.live.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            tell(text)

    def close(self) -> None:
        """Take it away."""
        if self.live is not None:
            with suppress(OSError):  # a terminal that is gone
                self.live.stop()
