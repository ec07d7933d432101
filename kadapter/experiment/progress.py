"""How far a preset's execution is, and how long it will take: stages weigh what they took before, or what stages of
their kind take; the clock says how fast this machine is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kadapter import runs
from kadapter.experiment.graph import Stage

SECONDS = "seconds"  # in a run's stage.json: how long the stage took


class Forecast:
    """What is still to do of some stages, in seconds of a machine like the one that the guesses were measured on.

    Args:
        stages: every one after those it needs.
        base: the folder of the preset's runs; a stage that was executed before is expected to take as long again.
    """

    def __init__(self, stages: Sequence[Stage], base: Path) -> None:
        self.stages = {stage.id: stage for stage in stages}
        self.weights = {stage.id: former(base / stage.id) or guess(stage) for stage in stages}
        self.kept: set[str] = set()  # neither done nor to do
        self.took: dict[str, float] = {}  # what was executed -> seconds

    def chain(self, stage: Stage) -> float:
        """The weight of the longest chain of stages that begins with this one: it should not have to wait."""
        return self._chains(self.weights)[stage.id]

    def left(self, running: Mapping[str, float], jobs: int) -> float:
        """Seconds until all is done, if the other stages take as long, against what is expected, as those that are
        done.

        Args:
            running: stage id -> for how many seconds it has been at work.
            jobs: stages executed side by side.
        """
        pace = self._pace(running)
        todo = {id_: self._left(id_, running, pace) for id_ in self.stages}
        return pace * max(max(self._chains(todo).values(), default=0.0), sum(todo.values()) / jobs)

    def share(self, running: Mapping[str, float]) -> float:
        """The share of the work that is done, from 0 to 1."""
        pace = self._pace(running)
        chosen = [id_ for id_ in self.stages if id_ not in self.kept]
        whole = sum(self.weights[id_] for id_ in chosen)
        return 1 - sum(self._left(id_, running, pace) for id_ in chosen) / whole if whole else 1.0

    def part(self, id_: str, running: Mapping[str, float]) -> float:
        """The share of one stage that is done, from 0 to 1, as far as its time tells."""
        return 1 - self._left(id_, running, self._pace(running)) / self.weights[id_]

    def _chains(self, weights: Mapping[str, float]) -> dict[str, float]:
        found: dict[str, float] = {}
        for id_ in reversed(self.stages):  # after those that need it
            after = [found[s.id] for s in self.stages.values() if id_ in s.needs]
            found[id_] = weights[id_] + max(after, default=0.0)
        return found

    def _left(self, id_: str, running: Mapping[str, float], pace: float) -> float:
        if id_ in self.kept or id_ in self.took:
            return 0.0
        return max(self.weights[id_] - running.get(id_, 0.0) / pace, 0.05 * self.weights[id_])

    def _pace(self, running: Mapping[str, float]) -> float:
        """How many times longer than expected stages take: those that are done, and those that are over their time."""
        pace = self._mean_pace(self.took)
        over = {id_: seconds for id_, seconds in running.items() if seconds > pace * self.weights[id_]}
        return self._mean_pace(self.took | over)

    def _mean_pace(self, took: Mapping[str, float]) -> float:
        expected = sum(self.weights[id_] for id_ in took)
        return sum(took.values()) / expected if expected else 1.0


def told(share: float, seconds: float) -> str:
    """A forecast in words.

    >>> told(0.414, 131), told(0.99, 7)
    ('41%, 2 min 11 s left', '99%, 7 s left')
    """
    return f"{100 * share:.0f}%, {clock(seconds)} left"


def clock(seconds: float) -> str:
    """A time in words.

    >>> clock(131), clock(7.4)
    ('2 min 11 s', '7 s')
    """
    minutes, seconds = divmod(round(seconds), 60)
    return f"{f'{minutes} min ' if minutes else ''}{seconds} s"


def guess(stage: Stage) -> float:
    """Seconds that a stage of the preset `embedded` takes on one core with AVX-512; others in proportion to their
    epochs and seeds."""
    training = stage.parameters.get("training", {})
    epochs = training.get("epochs", 1)
    if stage.stage == "pretrain":
        return 10.0 + (8.0 if "parts" not in stage.parameters else 30.0) * epochs
    if stage.stage == "finetune":
        each = 0.1 if stage.parameters["regime"] == "frozen" else 8.0
        return 6.0 + each * epochs * len(stage.parameters["seeds"])
    return 5.0


def former(folder: Path) -> float | None:
    """How many seconds the stage took that left a run; None if there is none."""
    return (runs.read_json(folder / runs.KEY) or {}).get(SECONDS)
