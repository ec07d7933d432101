"""When an infusion stops: as soon as it knows what it is asked on the way, and at the latest when its time is over. The
learning rate falls to zero towards whichever end comes first, so that a short training ends as a long one does."""

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

WARM = 10  # steps until the learning rate is whole
COOL = 12  # steps in which it falls to zero once everything is known


class Pace(TrainerCallback, ExportableState):
    """Sets the learning rate of every step, and ends the training. A checkpoint keeps what it knows; where time is
    enough, a training that goes on from one is the training that nobody interrupted.

    Args:
        seconds: how long the training may take.
        known: share of the questions on the way that are answered, asked after every `every` steps.
        tell: called with the share of the training that is over, and a text.

    Attributes:
        checks: (step, share) of every time that was asked.
        stopped: why it ended: `known`, `time` or `steps`.
        steps: how many there were.
    """

    def __init__(
        self,
        seconds: float,
        known: Callable[[], float],
        tell: Callable[[float, str], None],
        every: int = 12,
        enough: int = 2,
    ) -> None:
        self.seconds, self.known, self.tell, self.every, self.enough = seconds, known, tell, every, enough
        self.checks: list[tuple[int, float]] = []
        self.stopped, self.steps = "steps", 0
        self._begun = self._started = time.monotonic()
        self._last: int | None = None  # the step at which it ends, once everything is known

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {}, "attributes": {"checks": self.checks, "last": self._last}}

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        kept = (getattr(state, "stateful_callbacks", None) or {}).get(type(self).__name__)
        if kept is not None:
            self.checks = [(step, share) for step, share in kept["attributes"]["checks"]]
            self._last = kept["attributes"]["last"]
        # The frozen states have been computed by now: what is left is for the steps, a quarter at least.
        self._started = time.monotonic()
        self.seconds = max(self.seconds - (self._started - self._begun), self.seconds / 4)

    def _over(self, step: int, most: int) -> float:
        # Time counts where it is more than a step ahead: where there is enough, no learning rate depends on a clock.
        return max(step / most, (time.monotonic() - self._started) / self.seconds - 1 / most)

    def on_step_begin(self, args, state, control, optimizer=None, **kwargs) -> None:
        share = max(0.0, 1 - self._over(state.global_step, state.max_steps)) * min(1.0, (state.global_step + 1) / WARM)
        if self._last is not None:
            share = min(share, (self._last - state.global_step) / COOL)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * max(0.0, share)

    def on_step_end(self, args, state, control, **kwargs) -> None:
        over, self.steps = self._over(state.global_step, state.max_steps), state.global_step
        said = f", {self.checks[-1][1]:.0%} known" if self.checks else ""
        self.tell(min(1.0, over), f"step {state.global_step}{said}")
        if self._last is None and state.global_step % self.every == 0:
            self.checks.append((state.global_step, self.known()))
            recent = self.checks[-self.enough :]
            if len(recent) == self.enough and all(share == 1 for _, share in recent):
                self._last = state.global_step + COOL
        if self._last is not None and state.global_step >= self._last:
            self.stopped, control.should_training_stop = "known", True
        elif over >= 1:
            self.stopped = "steps" if state.global_step >= state.max_steps else "time"
            control.should_training_stop = True
