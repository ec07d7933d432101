"""Training curves that grow while training runs, in the output of the cell that trains."""

import time
from typing import Any

from IPython.display import display
from transformers import TrainerCallback

from kadapter.drawing import static
from kadapter.report import figures

PAUSE = 0.5  # seconds between two drawings


class TrainingCurves(TrainerCallback):
    """Draws loss and dev score after every epoch: `fit(..., callbacks=[TrainingCurves("F")])`.

    The output is a plain picture that is replaced in place, so an executed notebook keeps the last one.

    Args:
        name: of the adapter or model row that trains.
        seeds: whether one curve for each seed is wanted, as fine-tuning trains several.
    """

    def __init__(self, name: str, seeds: bool = False) -> None:
        self.name, self.seeds = name, seeds
        self.histories: dict[str, list[dict[str, Any]]] = {}
        self._handle, self._drawn, self._now = None, 0.0, ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._now = f"{self.name}, seed {args.seed}" if self.seeds else self.name
        self.histories[self._now] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **kwargs: Any) -> None:
        self.histories[self._now].append({"epoch": state.epoch, **(logs or {})})
        if time.monotonic() - self._drawn > PAUSE:
            self.draw()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.draw()

    def draw(self) -> None:
        """Show the curves as they are now."""
        self._drawn = time.monotonic()
        picture = static.bundle(figures.training(self.histories))
        if self._handle is None:
            self._handle = display(picture, raw=True, display_id=True)
        else:
            self._handle.update(picture, raw=True)
