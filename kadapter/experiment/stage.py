"""What the training stages share: settings with their length limit; the checked task, data, tokenizer and backbone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset

from kadapter import catalog
from kadapter.errors import KAdapterError, unknown
from kadapter.experiment.examples import Examples
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.fusion import FUSIONS
from kadapter.tasks.base import Task
from kadapter.training.batches import Encoded, encode
from kadapter.training.fit import Settings


def settings_for(training: Mapping[str, Any], regime: str, seed: int) -> tuple[Settings, int]:
    """Training settings and the length limit, which belongs to the task."""
    given = dict(training)
    max_length = given.pop("max_length", 64)
    return Settings.from_dict(given | {"regime": regime, "seed": seed}), max_length


def numbered(name: str, number: int) -> str:
    """What the pre-training of a number is called in its run: `adapter`, `adapter-1`, `adapter-2`, ..."""
    return f"{name}-{number}" if number else name


def out_of(out: Path, settings: Settings) -> Path:
    """Where a fit of several leaves its checkpoints: a folder of its own where they are kept."""
    return out / f"seed-{settings.seed}" if settings.checkpoints else out


class Stage:
    """What both stages share: the checked task, data, tokenizer and backbone."""

    def __init__(
        self,
        source: Examples,
        task: str,
        options: Mapping[str, Any],
        max_length: int,
        fusion: str,
        backbone: str,
    ) -> None:
        if fusion not in FUSIONS:
            raise unknown("fusion", fusion, FUSIONS)
        self.source, self.fusion = source, fusion
        self.data, self.dataset = source.data, source.dataset
        self.task: Task = catalog.task(task, labels=source.labels, max_length=max_length, **options)
        self.backbone = Backbone(backbone)
        self.backbone.check_length(max_length)
        self.tokenizer = load_tokenizer(backbone)
        self.fingerprint = self.backbone.fingerprint
        self.encoded: dict[str, Encoded] = {}
        self.examples: dict[str, Dataset] = {}

    def split(self, name: str) -> Encoded:
        """A split, read and encoded once."""
        if name not in self.encoded:
            self.examples[name] = self.source.split(name)
            self.encoded[name] = encode(self.task, self.tokenizer, self.read(name))
        return self.encoded[name]

    def read(self, name: str) -> Dataset:
        """A split as the model reads it."""
        return self.examples[name]

    def check_backbone(self) -> str:
        """The backbone's fingerprint now. Raises KAdapterError if it is no longer what was loaded."""
        now = self.backbone.fingerprint
        if now != self.fingerprint:
            raise KAdapterError(
                f"the frozen backbone changed: fingerprint {self.fingerprint[:16]} before, {now[:16]} after"
            )
        return now
