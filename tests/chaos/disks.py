"""Disks that are full, read-only or stall, under a program that writes to them; each is a file system of its own, which
takes root to mount."""

import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.chaos.kills import LONGEST, Kills
from tests.chaos.programs import Program, waited

EACH = 6  # faults in one trial
STALL = 6.0  # seconds for which nothing can be written
KINDS = {"full": 8, "read-only": 2, "stalled": 1}


def command(*words: str) -> bool:
    """Whether a command succeeded."""
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@contextmanager
def mounted(folder: Path, kind: str, size: int) -> Iterator[None]:
    """A file system in memory, or for `stalled` one in a file, which can be frozen."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder.with_name(f"{folder.name}.img")
    if kind == "stalled":
        with image.open("wb") as file:
            file.truncate(max(4 * size, 2**26))
        made = command("mkfs.ext4", "-q", str(image)) and command("mount", "-o", "loop", str(image), str(folder))
    else:
        made = command("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    if not made:
        raise RuntimeError(f"{folder} cannot be mounted: disks take root")
    try:
        yield
    finally:
        command("fsfreeze", "-u", str(folder))
        while not command("umount", str(folder)):
            time.sleep(0.2)
        folder.rmdir()
        image.unlink(missing_ok=True)


class Disks(Kills):
    """Trials of one program on disks that fail."""

    def __init__(self, program: Program, folder: Path, server: int, known: tuple[Any, int, float]) -> None:
        super().__init__(program, folder, server, known)
        if os.geteuid() != 0:
            raise RuntimeError("disks are mounted: run this campaign as root")

    def __call__(self, seed: int, faults: int = EACH) -> tuple[dict[str, int], list[str]]:
        """Let the disk fail so many times, then have room and let it end."""
        rng = random.Random(f"disk {self.program.name} {seed}")
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        folder = self.folder / f"disk-{self.program.name}-{seed}"
        log = folder.with_name(f"{folder.name}.log")
        log.unlink(missing_ok=True)
        done: Counter[str] = Counter()
        found: list[str] = []
        kept: dict[str, tuple[int, int]] = {}
        with mounted(folder, kind, 4 * self.bytes):
            for room in sorted(rng.uniform(0.02, 1.0) for _ in range(faults)):
                code = getattr(self, f"_{kind.replace('-', '_')}")(folder, room, rng)
                done[kind] += code != 0 or kind == "stalled"
                if code is None:
                    found.append(f"{kind}: it did not end")
                found += [f"{kind}: {each}" for each in self._alone(folder, [])]
                found += [f"{kind}: {each}" for each in self._kept(folder, kept)]
                said = log.read_text(errors="replace") if log.is_file() else ""
                if "Traceback" in said:
                    found.append(f"{kind}: a traceback: {said[-300:]}")
                kept = self.program.finished(folder)
                log.unlink(missing_ok=True)
                if found:
                    break
            self._full(folder, None, rng)
            found += [f"after {kind}: {each}" for each in self._end(folder, False, kept)]
        if not found:
            log.unlink(missing_ok=True)
        return dict(done), found

    def _full(self, folder: Path, room: float | None, rng: random.Random) -> int | None:
        """A share of the room that it needs; None: more than enough, and nothing is started."""
        size = 4 * self.bytes if room is None else int(room * self.bytes)
        command("mount", "-o", f"remount,rw,size={max(size, 4096 * 16)}", str(folder))
        return 0 if room is None else self._ended(self.program.start(folder))

    def _read_only(self, folder: Path, room: float, rng: random.Random) -> int | None:
        """At a random moment, or from the start where something is being written then."""
        pid = self.program.start(folder)
        until = time.monotonic() + rng.uniform(0.0, 0.5 * self.seconds)
        while not (time.monotonic() > until and command("mount", "-o", "remount,ro", str(folder))):
            if time.monotonic() > until + self.seconds:
                break
            time.sleep(0.01)
        code = self._ended(pid)
        command("mount", "-o", "remount,rw", str(folder))
        return code

    def _stalled(self, folder: Path, room: float, rng: random.Random) -> int | None:
        """Who writes waits; nothing fails."""
        pid = self.program.start(folder)

        def stall() -> None:
            time.sleep(rng.uniform(0.0, 0.5 * self.seconds))
            if command("fsfreeze", "-f", str(folder)):
                time.sleep(STALL)
                command("fsfreeze", "-u", str(folder))

        thread = threading.Thread(target=stall)
        thread.start()
        code = self._ended(pid)
        thread.join()
        return code

    @staticmethod
    def _ended(pid: int) -> int | None:
        code = waited(pid, LONGEST)
        if code is None:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
            waited(pid)
        return code
