"""`python -m tests.chaos CAMPAIGN...`: run campaigns of faults, seed after seed, and write down what was found."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.journal import Journal, Trial

FOLDER = Path(__file__).resolve().parents[2] / "runs" / "chaos"
KILLS = 20  # in one trial; KADAPTER_CHAOS_KILLS says another number
GOALS = {"embedded": 200, "probe": 100, "infuse": 100, "disk": 50, "circumstances": 20, "damage": 1000, "fuzz": 100_000}


Trials = Callable[[int], tuple[dict[str, int], list[str]]]  # a seed -> faults by kind, and what was found


def program(name: str, folder: Path) -> tuple:
    """What `Kills` takes: the program, run once undisturbed."""
    from tests.chaos import kills, programs

    programs.warm()
    server = programs.server()
    made = programs.PROGRAMS[name](folder / "ground" / name)
    known = folder / "ground" / f"{name}.json"
    if not known.is_file():
        made.ground.mkdir(parents=True, exist_ok=True)
        programs.in_fork(made.make)
        shutil.rmtree(folder / f"undisturbed-{name}", ignore_errors=True)
        known.write_text(json.dumps(kills.reference(made, folder / f"undisturbed-{name}")))
    return made, folder, server, tuple(json.loads(known.read_text()))


def kills(name: str, folder: Path) -> Trials:
    """Trials of a program that is killed."""
    from tests.chaos.kills import Kills

    trials = Kills(*program(name, folder))
    return lambda seed: trials(seed, int(os.environ.get("KADAPTER_CHAOS_KILLS", KILLS)))


def disks(folder: Path) -> Trials:
    """Trials of disks that fail."""
    from tests.chaos.disks import Disks

    return Disks(*program("embedded", folder))


def circumstances(folder: Path) -> Trials:
    """Trials of memory, permission, clocks, locks and company."""
    from tests.chaos.circumstances import Circumstances

    trials = [Circumstances(*program(name, folder)) for name in ("infuse", "embedded")]
    return lambda seed: trials[seed // 5 % 2](seed)


def damaged(folder: Path) -> Trials:
    """Trials of damaged files, on what the undisturbed programs left."""
    from tests.chaos.damage import Damaged

    for name in ("embedded", "infuse"):
        if not (folder / "ground" / f"{name}.json").is_file():
            program(name, folder)
    return Damaged(folder, folder / "damaged")


def fuzz(folder: Path) -> Trials:
    """Trials of bad input."""
    from tests.chaos.fuzz import Fuzz

    return Fuzz(folder / "fuzz")


CAMPAIGNS: dict[str, Callable[[Path], Trials]] = {
    "embedded": lambda folder: kills("embedded", folder),
    "probe": lambda folder: kills("probe", folder),
    "infuse": lambda folder: kills("infuse", folder),
    "disk": disks,
    "circumstances": circumstances,
    "damage": damaged,
    "fuzz": fuzz,
}


def run(name: str, goal: int, first: int, journal: Journal, folder: Path, until: float) -> None:
    """Try seed after seed until so many faults were done, or the time is over."""
    trials = None
    seed = first
    done = journal.done(name)
    while sum(journal.faults(name).values()) < goal and time.monotonic() < until:
        if seed not in done:
            trials = trials or CAMPAIGNS[name](folder)
            begun = time.monotonic()
            faults, found = trials(seed)
            trial = Trial(name, seed, faults, found, round(time.monotonic() - begun, 1))
            journal.add(trial)
            print(f"{name} {seed}: {faults} {found or 'as promised'} {trial.seconds} s", flush=True)
        seed += 1


def told(journal: Journal) -> list[str]:
    """The figures: per campaign its trials and faults, and every trial that was not as promised."""
    lines = []
    for name in CAMPAIGNS:
        trials = list(journal.trials(name))
        if trials:
            faults = journal.faults(name)
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(faults.items()))
            broken = [trial for trial in trials if trial.found]
            done = f"{sum(faults.values()):,} faults in {len(trials):,} trials ({kinds})"
            lines.append(f"{name}: {done}; {len(broken)} not as promised")
            lines += [f"  seed {trial.seed}: {each}" for trial in broken for each in trial.found]
    return lines


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("campaigns", nargs="*", help=f"of {', '.join(CAMPAIGNS)}; all where none is named")
    parser.add_argument("--goal", type=int, help="faults; the campaign's own where it is not given")
    parser.add_argument("--seed", type=int, default=0, help="of the first trial")
    parser.add_argument("--minutes", type=float, default=1e6, help="after which no trial begins")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for the journal and what trials write")
    parser.add_argument("--show", action="store_true", help="only the figures of the journal")
    given = parser.parse_args()
    unknown = set(given.campaigns) - set(CAMPAIGNS)
    if unknown:
        parser.error(f"unknown campaign {sorted(unknown)[0]!r}; expected one of {', '.join(CAMPAIGNS)}")
    journal = Journal(given.folder / "journal.jsonl")
    until = time.monotonic() + 60 * given.minutes
    if not given.show:
        for name in given.campaigns or CAMPAIGNS:
            run(name, given.goal or GOALS[name], given.seed, journal, given.folder.absolute(), until)
    print("\n".join(told(journal)))
    sys.exit(any(trial.found for trial in journal.trials()))


if __name__ == "__main__":
    main()
