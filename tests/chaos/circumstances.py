"""What surrounds a program: too little memory, no permission, a clock that jumps, locks and half-written folders that
others left, and another program at work in the same place."""

import json
import os
import random
import resource
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.chaos.kills import LONGEST, Kills
from tests.chaos.programs import forked, waited

NOBODY = 65534
DAY = 86_400.0


class Circumstances(Kills):
    """Trials of one program under one circumstance each."""

    def __call__(self, seed: int, faults: int = 1) -> tuple[dict[str, int], list[str]]:
        """One circumstance, then let it end."""
        rng = random.Random(f"circumstances {self.program.name} {seed}")
        kinds = ["memory", "permission", "clock", "left by others", "two at once"]
        kind = kinds[seed % len(kinds)]
        folder = self.folder / f"circumstances-{self.program.name}-{seed}"
        self._clear(folder)
        folder.mkdir(parents=True)
        done: Counter[str] = Counter({kind: 1})
        found = [f"{kind}: {each}" for each in getattr(self, f"_{kind.replace(' ', '_')}")(folder, rng)]
        log = folder.with_name(f"{folder.name}.log")
        said = log.read_text(errors="replace") if log.is_file() else ""
        if "Traceback" in said and kind != "memory":  # whatever Python was doing then
            found.append(f"{kind}: a traceback: {said[-300:]}")
        found += self._alone(folder, [])
        if not found:
            found = [f"after {kind}: {each}" for each in self._end(folder, False, self.program.finished(folder))]
        if not found:
            self._clear(folder)
        return dict(done), found

    def _memory(self, folder: Path, rng: random.Random) -> list[str]:
        """As much address space as is taken now, and a little more: what it asks for is refused."""
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = taken + rng.randrange(2**20, 2**28)

        def main() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            self.program.main(folder)

        return self._within(forked(main, folder.with_name(f"{folder.name}.log"), self.program.settings(folder)))

    def _permission(self, folder: Path, rng: random.Random) -> list[str]:
        """As nobody, in a folder of another's."""

        def main() -> None:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            self.program._here(folder)

        code = waited(forked(main, folder.with_name(f"{folder.name}.log"), self.program.settings(folder)), LONGEST)
        made = [path.name for path in folder.iterdir()]
        return [f"it ended with {code} and left {made}"] if code != 1 or made else []

    def _clock(self, folder: Path, rng: random.Random) -> list[str]:
        """A clock that jumps by days, to and fro, and files of tomorrow; what is finished stays so."""
        now = time.time

        def main() -> None:
            time.time = lambda: now() + rng.choice((-DAY, 0.0, DAY, 400 * DAY))
            self.program._here(folder)

        pid = forked(main, folder.with_name(f"{folder.name}.log"), self.program.settings(folder))
        time.sleep(rng.uniform(0.2, 0.9) * self.seconds)
        with suppress(ProcessLookupError):
            os.kill(pid, 9)
        waited(pid)
        self._alone(folder, [])
        for path in folder.rglob("*"):
            moved = now() + rng.choice((-10 * DAY, DAY, 4000 * DAY))
            with suppress(OSError):
                os.utime(path, (moved, moved))
        return []

    def _left_by_others(self, folder: Path, rng: random.Random) -> list[str]:
        """Locks and half-written folders of processes that are dead, or of another machine."""
        base = folder / "runs" / self.program.name
        dead = forked(lambda: None)
        waited(dead)
        places = [base / "data" / f"all.partial-{os.uname().nodename}-{dead}", folder / "pets.infusing"]
        if self.program.stages:
            places.pop()
            (base / "pretrain").mkdir(parents=True)
            (base / ".lock").write_text(json.dumps({"pid": dead, "host": "elsewhere"}))
            (folder / "cache" / "features").mkdir(parents=True)
            (folder / "cache" / "features" / "0123.lock").touch()
        else:
            places.pop(0)
            (folder / "pets.infusing.lock").touch()
        for place in places:
            place.mkdir(parents=True)
            (place / "half").write_bytes(rng.randbytes(100))
        return []

    def _two_at_once(self, folder: Path, rng: random.Random) -> list[str]:
        """The second is told that the first is at work, and the first ends as if it were alone."""
        first = self.program.start(folder)
        time.sleep(rng.uniform(0.3, 0.5) * self.seconds)
        second = self.program.start(folder)
        refused, code = waited(second, LONGEST), waited(first, LONGEST)
        said = folder.with_name(f"{folder.name}.log").read_text(errors="replace")
        wanted = "another kadapter is at work" if self.program.stages else "is being written by another process"
        if (refused, code) == (1, 0) and wanted in said:
            return []
        return [] if (refused, code) == (0, 0) else [f"they ended with {code} and {refused}: {said[-300:]}"]

    @staticmethod
    def _within(pid: int) -> list[str]:
        return [] if waited(pid, LONGEST) is not None else ["it did not end"]
