"""What an infusion has done so far, on disk, so that one that was interrupted goes on: a folder beside the one that is
to come, for one process at a time, with the request, what was found, trained weights and the time that was spent."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from kadapter.errors import KAdapterError
from kadapter.hub.adapter_folder import read_weights, write_weights
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.trainer import last_checkpoint

ENDING = ".infusing"  # of the folder's name
REQUEST, SPENT, WEIGHTS, WENT = "request.json", "spent.json", "trained.safetensors", "went.json"
RESERVED = 1.8  # times the first questions took: for those that come at the end
LEAST = 0.1  # of the whole time, for each training
EVERY = 5.0  # seconds after which the time that was spent is written down


class Work:
    """The folder `OUT.infusing`.

    Args:
        out: the folder that is to come.
        seconds: how long all may take, what was spent before included.
    """

    def __init__(self, out: Path, seconds: float) -> None:
        self.folder, self.seconds = out.with_name(out.name + ENDING), seconds
        self.asking = 0.0  # seconds that the first questions took
        self._before = self._before_processor = 0.0
        self._started, self._processor = time.monotonic(), time.process_time()
        self._kept = 0.0

    @contextmanager
    def alone(self) -> Iterator["Work"]:
        """For this process alone. Raises KAdapterError where another one is at it, or nothing can be written."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder.with_name(f"{self.folder.name}.lock"), timeout=0)
            lock.acquire()
        except Timeout:
            raise KAdapterError(
                f"{self.folder} is being written by another process: wait for it, or choose another folder"
            ) from None
        except OSError as error:
            raise KAdapterError(f"{self.folder} cannot be written: {error.strerror or error}") from None
        try:
            yield self
        finally:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove it: what was to come is there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_name(f"{self.folder.name}.lock").unlink(missing_ok=True)

    def begin(self, request: dict[str, Any]) -> None:
        """Begin, or go on. Raises KAdapterError where something else was begun there."""
        former = self.read(REQUEST)
        if former is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir()
            self.write(REQUEST, request)
        elif former != request:
            raise KAdapterError(
                f"{self.folder} holds an infusion of another file, backbone, seed or wording that was interrupted: "
                "finish it with its own command, remove it, or choose another folder"
            )
        spent = self.read(SPENT) or {"seconds": 0.0, "processor": 0.0, "asking": 0.0}
        self._before, self._before_processor, self.asking = spent["seconds"], spent["processor"], spent["asking"]

    def read(self, name: str) -> Any:
        """What was written under a name; None where nothing was."""
        path = self.folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def write(self, name: str, found: Any) -> None:
        """Keep a value that JSON can hold, whole or not at all."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)

    # --- time ---

    @property
    def spent(self) -> float:
        """Seconds, former attempts included."""
        return self._before + time.monotonic() - self._started

    @property
    def processor(self) -> float:
        """Seconds of one processor."""
        return self._before_processor + time.process_time() - self._processor

    def tick(self) -> None:
        """Remember what was spent, every now and then."""
        if self.spent - self._kept > EVERY:
            self.keep_time()

    def keep_time(self) -> None:
        """Remember what was spent."""
        self._kept = self.spent
        self.write(SPENT, {"seconds": self.spent, "processor": self.processor, "asking": self.asking})

    def share(self, trainings: int) -> float:
        """Seconds for the next of so many trainings."""
        left = self.seconds - self.spent - RESERVED * self.asking
        return max(left / trainings, LEAST * self.seconds)

    # --- weights ---

    def trained(self, of: str, model: KnowledgeModel) -> dict[str, Any] | None:
        """How a training went that is finished, its weights now in the model; None where it is not."""
        went = self.read(f"{of}/{WENT}")
        if went is None:
            return None
        weights = read_weights(self.folder / of / WEIGHTS)
        own = dict(model.named_parameters())
        with torch.no_grad():
            for name, leaf in weights.items():
                own[name].copy_(leaf)
        return went

    def keep(self, of: str, model: KnowledgeModel, went: dict[str, Any]) -> None:
        """Keep what a finished training left; its checkpoints go."""
        folder = self.folder / of
        folder.mkdir(exist_ok=True)
        write_weights({name: p for name, p in model.named_parameters() if p.requires_grad}, folder / WEIGHTS)
        self.write(f"{of}/{WENT}", went)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        self.keep_time()

    def checkpoint(self, of: str) -> bool:
        """Whether a training can be gone on with."""
        return last_checkpoint(self.folder / of / "checkpoints") is not None
