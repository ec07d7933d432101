"""What the trials of a campaign found: one JSON line each, so that a campaign that was stopped goes on."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Trial:
    """One trial.

    Attributes:
        campaign, seed: which; the same two give the same faults, at the same moments as far as the machine allows.
        faults: how many of each kind were done.
        found: what was not as promised; [] is what is hoped for.
        seconds: how long it took.
    """

    campaign: str
    seed: int
    faults: dict[str, int] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Journal:
    """The file of trials."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def trials(self, campaign: str | None = None) -> Iterator[Trial]:
        """What stands in it; a line that a kill has cut is left out."""
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else ():
            try:
                trial = Trial(**json.loads(line))
            except (ValueError, TypeError):
                continue
            if campaign in (None, trial.campaign):
                yield trial

    def done(self, campaign: str) -> set[int]:
        """The seeds of a campaign that were tried."""
        return {trial.seed for trial in self.trials(campaign)}

    def add(self, trial: Trial) -> None:
        """Write a trial down, on the disk before the next begins."""
        torn = self.path.is_file() and self.path.stat().st_size and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" * bool(torn) + json.dumps(asdict(trial)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def faults(self, campaign: str) -> dict[str, int]:
        """How many faults of each kind a campaign has done."""
        total: dict[str, int] = {}
        for trial in self.trials(campaign):
            for kind, count in trial.faults.items():
                total[kind] = total.get(kind, 0) + count
        return total
