"""`python -m kadapter.cli.quoted run|write|check [NAME...]`: the numbers that README and docs quote.

`run` executes what they quote (finished stages are kept) and writes the numbers; `write` writes those of the runs that
are there; `check` ends with 1 where a file says something else than the runs that are there. `make results` and
`make results-check` are the first and the last.
"""

import os
import sys
from pathlib import Path

from kadapter.errors import KAdapterError, unknown
from kadapter.experiment.pipeline import Pipeline
from kadapter.experiment.preset import load
from kadapter.report import quoted

VERBS = ("run", "write", "check")


def main(verb: str, *names: str, checkout: Path | None = None) -> int:
    """Do one of `VERBS` for the runs of some names, or of all; the exit code."""
    if verb not in VERBS:
        raise unknown("verb", verb, VERBS)
    checkout = checkout or Path(__file__).resolve().parents[2]
    known = quoted.sources(checkout)
    for name in names:
        if name not in known:
            raise unknown("quoted runs", name, known)
    if verb == "run":
        for name in names or known:
            _run(name, known[name], checkout)
    stale = 0
    for file in quoted.quoting(checkout):
        found = quoted.compared(file.read_text(encoding="utf-8"), known, checkout)
        told = file.relative_to(checkout)
        for block in found.stale:
            print(f"{told}: {block}" + ("" if verb == "check" else " (written)"))
        for name in found.without:
            print(f"{told}: no runs of {name} here: kadapter {' '.join(known[name].words)}")
        print(f"{told}: {found.same} of {found.same + len(found.stale)} as the runs say")
        stale += len(found.stale)
        if verb != "check" and found.stale:
            file.write_text(found.text, encoding="utf-8")
    return int(verb == "check" and stale > 0)


def _run(name: str, source: quoted.Source, checkout: Path) -> None:
    if source.data and not os.environ.get("KADAPTER_DATA"):
        print(f"{name} is left out: it reads the folder KADAPTER_DATA, which is not set")
        return
    words = source.words
    print(f"{name}: kadapter {' '.join(words)}")
    loaded = load(source.preset, source.overrides)
    Pipeline(loaded, checkout / source.root, tell=print, command=f"kadapter {' '.join(words)}").run()


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:] or ["check"]))
    except KAdapterError as error:
        sys.exit(f"kadapter: {error}")
