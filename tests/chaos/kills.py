"""Processes that are killed at random moments: the program itself, a stage, a kernel, the server of forks; SIGTERM, and
Ctrl-C twice. Then the program is run to its end."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.programs import Program, waited

GONE = 10.0  # seconds within which nothing of a killed program is at work any more
LONGEST = 300.0  # seconds of an execution that nobody disturbs
BEGUN = 6.0  # seconds until a new interpreter has something to kill
OWN = 0.1  # of the trials begin new interpreters and kill the server of forks, too
ROOM = 1.5  # times the disk of an execution that nobody disturbed

# What is done, and how often in a hundred times.
ACTS = {"pipeline": 35, "stage": 20, "kernel": 20, "server": 10, "term": 8, "interrupt twice": 7}


def reference(program: Program, folder: Path) -> tuple[Any, int, float]:
    """What the program finds undisturbed, the bytes it leaves, and the seconds it takes."""
    begun = time.monotonic()
    code = waited(program.start(folder), LONGEST)
    log = folder.parent / f"{folder.name}.log"
    if code != 0:
        raise RuntimeError(f"the undisturbed {program.name} ended with {code}: {log.read_text()[-3000:]}")
    return program.result(folder), size(folder), time.monotonic() - begun


def size(folder: Path) -> int:
    """Bytes below a folder."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size
    return total


def holding(folder: Path) -> list[psutil.Process]:
    """Processes that hold a file of a folder open, as every stage holds its log."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError, psutil.NoSuchProcess):
            links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{number}/fd")]
            if int(number) != os.getpid() and any(link.startswith(str(folder)) for link in links):
                found.append(psutil.Process(int(number)))
    return found


def below(pid: int) -> list[psutil.Process]:
    """A process's descendants; [] if it is gone."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def alive(process: psutil.Process) -> bool:
    """Whether it is at work."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


class Kills:
    """Trials that kill one program.

    Args:
        program: what is killed.
        folder: for what the trials write; each goes when it is as promised.
        server: the process whose children are the stages.
        known: what `reference` returned.
    """

    def __init__(self, program: Program, folder: Path, server: int, known: tuple[Any, int, float]) -> None:
        self.program, self.folder, self.server = program, folder, server
        self.expected, self.bytes, self.seconds = known

    def __call__(self, seed: int, kills: int) -> tuple[dict[str, int], list[str]]:
        """Kill so many times, then let it end; the faults and what was found."""
        rng = random.Random(f"{self.program.name} {seed}")
        folder = self.folder / f"{self.program.name}-{seed}"
        self._clear(folder)
        own = self.program.stages and rng.random() < OWN
        done: Counter[str] = Counter()
        found: list[str] = []
        kept: dict[str, tuple[int, int]] = {}
        ended = 0
        while sum(done.values()) < kills and not found:
            pid = self.program.start(folder, own)
            time.sleep(rng.random() ** 2 * 0.5 * self.seconds + (BEGUN if own else 0.0))  # more soon than late
            act = rng.choices(list(ACTS), list(ACTS.values()))[0]
            stages = [p for p in below(pid if own else self.server) if alive(p)]
            code = waited(pid, 0.05)
            if code is not None:  # it ended before
                if code != 0:
                    found.append(f"an undisturbed run ended with {code}: {self._said(folder)}")
                elif ended > 20:
                    found.append("it ends before it can be killed")
                found += self._kept(folder, kept)
                ended += 1
                self._clear(folder)
                kept = {}
                continue
            act = self._act(act, pid, own, stages, rng)
            done[act] += 1
            code = waited(pid)
            if code is None:
                found.append(f"after {act} it did not end within a minute")
                os.kill(pid, signal.SIGKILL)
                waited(pid)
            found += [f"after {act}: {each}" for each in self._alone(folder, stages)]
            found += [f"after {act}: {each}" for each in self._kept(folder, kept)]
            if act in ("term", "interrupt twice") and code == 130 and (left := self.program.left(folder)):
                found += [f"after {act}: {left} left"] if self.program.stages else []
            kept = self.program.finished(folder)
            if size(folder) > ROOM * self.bytes + 2**20:
                found.append(f"after {act}: {size(folder):,} bytes, an undisturbed execution leaves {self.bytes:,}")
        found += self._end(folder, own, kept)
        if not found:
            self._clear(folder)
        return dict(done), found

    def _act(self, act: str, pid: int, own: bool, stages: list[psutil.Process], rng: random.Random) -> str:
        """Do it, or kill the program where there is no such process; what was done."""
        if act == "term":
            os.kill(pid, signal.SIGTERM)
            return act
        if act == "interrupt twice":
            os.kill(pid, signal.SIGINT)
            time.sleep(rng.uniform(0.0, 0.3))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
            return act
        top = [p for p in stages if self._depth(p, pid if own else self.server) == (2 if own else 1)]
        chosen = {
            "stage": top,
            "kernel": [p for p in stages if self._depth(p, pid if own else self.server) == (3 if own else 2)],
            "server": [p for p in stages if own and self._depth(p, pid) == 1],
        }.get(act, [])
        if chosen:
            with suppress(psutil.NoSuchProcess):
                rng.choice(chosen).kill()
                return act
        os.kill(pid, signal.SIGKILL)
        return "pipeline"

    @staticmethod
    def _depth(process: psutil.Process, root: int) -> int:
        """How many generations a process is below another."""
        with suppress(psutil.NoSuchProcess):
            return [parent.pid for parent in process.parents()].index(root) + 1 if root else 0
        return 0

    def _alone(self, folder: Path, stages: list[psutil.Process]) -> list[str]:
        """Processes that outlived the program."""
        until = time.monotonic() + GONE
        while time.monotonic() < until:
            orphans = [p for p in stages if alive(p)] + holding(folder)
            if not orphans:
                return []
            time.sleep(0.1)
        for process in orphans:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return [f"{len(orphans)} processes are at work {GONE:.0f} s later"]

    def _kept(self, folder: Path, kept: dict[str, tuple[int, int]]) -> list[str]:
        """What was finished and is gone or was done again."""
        now = self.program.finished(folder)
        if not now and not self.program.stages:
            return []  # it is done, and its work is cleared away
        return [f"{name} was finished and was done again" for name, file in kept.items() if now.get(name) != file]

    def _end(self, folder: Path, own: bool, kept: dict[str, tuple[int, int]]) -> list[str]:
        """Let it end and compare."""
        pid = self.program.start(folder, own)
        code = waited(pid, LONGEST)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            waited(pid)
        if code != 0:
            return [f"it ends with {code}: {self._said(folder)}"]
        found = self._kept(folder, kept)
        if (result := self.program.result(folder)) != self.expected:
            different = [k for k in self.expected if result.get(k) != self.expected[k]]
            found.append(f"another result: {different[:4]}")
        if left := self.program.left(folder):
            found.append(f"left: {left[:4]}")
        if size(folder) > ROOM * self.bytes + 2**20:
            found.append(f"{size(folder):,} bytes, an undisturbed execution leaves {self.bytes:,}")
        return found + self._alone(folder, [])

    def _said(self, folder: Path) -> str:
        log = folder.parent / f"{folder.name}.log"
        return " / ".join(log.read_text(errors="replace").splitlines()[-3:])[-400:] if log.is_file() else ""

    @staticmethod
    def _clear(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}.log").unlink(missing_ok=True)


def trial(program: Program, folder: Path, server: int, known: tuple[Any, int, float]) -> Callable:
    """Trials of one program."""
    return Kills(program, folder, server, known)
