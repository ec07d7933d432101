"""The numbers that README and docs quote, as text made from the runs that they are quoted from.

A Markdown file marks what is quoted, `<!-- quoted: NAME KIND ... -->` before it and `<!-- end -->` after it, on lines
of their own around a table or in a line around a number; `docs/quoted.yaml` says of each name which runs these are. So
one command can write every number anew, and tell where a file says something else than its runs.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import yaml

from kadapter import runs, values
from kadapter.errors import KAdapterError, unknown
from kadapter.report import report
from kadapter.report.rendering import SIGNIFICANT, percent, shown
from kadapter.values import Values, value

BLOCK = re.compile(r"(?<!`)(<!-- quoted: ([^>]*?) -->\n?)(.*?)(\n?<!-- end -->)", re.DOTALL)  # not in `code`
MANIFEST = Path("docs") / "quoted.yaml"


class Source(Values):
    """An entry of `docs/quoted.yaml`: runs that are quoted."""

    preset: Annotated[str, value("whose runs they are")]
    overrides: Annotated[list[str], value("--set of `kadapter run`", alias="set")] = []
    root: Annotated[str, value("the folder of runs, below `runs/quoted` where others have the same preset")] = "runs"
    data: Annotated[bool, value("whether it reads the folder of KADAPTER_DATA")] = False

    @property
    def words(self) -> list[str]:
        """The command that makes the runs."""
        options = [word for each in self.overrides for word in ("--set", each)]
        return ["run", self.preset, *options, *([] if self.root == "runs" else ["--root", self.root])]


@dataclass
class Found:
    """What a file quotes and what its runs say: `stale` blocks that differ, names `without` runs, `same` blocks."""

    text: str
    stale: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    same: int = 0


def sources(checkout: Path) -> dict[str, Source]:
    """What `docs/quoted.yaml` of a checkout names. Raises KAdapterError for one that says what no entry takes."""
    found = yaml.safe_load((checkout / MANIFEST).read_text(encoding="utf-8"))
    for name, entry in found.items():
        values.check(Source, entry, at=name)
    return {name: Source.model_validate(entry) for name, entry in found.items()}


def quoting(checkout: Path) -> list[Path]:
    """The Markdown files of a checkout that quote runs."""
    files = [checkout / "README.md", *sorted((checkout / "docs").glob("*.md"))]
    return [file for file in files if BLOCK.search(file.read_text(encoding="utf-8"))]


def compared(text: str, known: Mapping[str, Source], checkout: Path) -> Found:
    """A file's text with what its runs say now; what has no runs stays as it is.

    Raises KAdapterError for a block that names unknown runs, or a row that they have not.
    """
    found = Found(text)

    def written(match: re.Match) -> str:
        opening, words, former, closing = match.groups()
        name, kind, *arguments = words.split()
        if name not in known:
            raise unknown("quoted runs", name, known)
        if kind not in KINDS:
            raise unknown("kind of quotation", kind, KINDS)
        source = known[name]
        root = checkout / source.root
        if not any(run.path.parent.name == "finetune" for run in runs.find(root, source.preset)):
            if name not in found.without:
                found.without.append(name)
            return match.group()
        now = KINDS[kind](root, source.preset, arguments)
        if now == former:
            found.same += 1
        else:
            found.stale.append(f"{words}: {_first_difference(former, now)}")
        return opening + now + closing

    found.text = BLOCK.sub(written, text)
    return found


def _first_difference(former: str, now: str) -> str:
    pairs = zip(f"{former}\n".splitlines(), f"{now}\n".splitlines(), strict=False)
    for a, b in pairs:
        if a != b:
            return f"it says {a!r}, the runs say {b!r}"
    return f"it has {len(former.splitlines())} lines, the runs make {len(now.splitlines())}"


def scores(root: Path, preset: str, tasks: list[str]) -> str:
    """Every row's mean, spread, interval and difference to `backbone`; of some tasks, or of all."""
    frame = _of(report.table(root, preset), tasks, preset)
    head = ("task", "regime", "model", "metric", "mean", "spread", "95% interval", "to `backbone`, 95% interval")
    lines = [
        [row["task"], row["regime"], f"`{row['model']}`", row["metric"], shown(row, "mean"), shown(row, "std"),
         f"{shown(row, 'ci_low')} .. {shown(row, 'ci_high')}", _difference(row, "difference", "difference_")]
        for row in frame.to_dict("records")
    ]  # fmt: skip
    return _table(head, lines, numbers=4)


def differences(root: Path, preset: str, tasks: list[str]) -> str:
    """What every adapter has over the untrained one, `none`, with the corrected p."""
    frame = report.comparisons(root, preset)
    frame = _of(frame[frame["against"] == "none"], tasks, preset)
    head = ("task", "regime", "model", "to `none`, 95% interval", "p (Holm)")
    lines = []
    for row in frame.to_dict("records"):
        p = f"{row['p_holm']:.4f}"
        sure = f"**{p}**" if row["p_holm"] < SIGNIFICANT else p
        lines.append([row["task"], row["regime"], f"`{row['model']}`", _difference(row, "difference", "ci_"), sure])
    return _table(head, lines, numbers=3)


def components(root: Path, preset: str, tasks: list[str]) -> str:
    """Standard deviations: with what a score moves, and how far."""
    frame = _of(report.components(root, preset), tasks, preset)
    kinds = ("examples", "finetuning", "pretraining")
    head = ("task", "regime", "model", "test examples", "fine-tuning", "pre-training", "pre-trainings")
    lines = [
        [
            row["task"],
            row["regime"],
            f"`{row['model']}`",
            *(shown(row, k) for k in kinds),
            str(row["pretrainings"] or ""),
        ]
        for row in frame.to_dict("records")
    ]
    return _table(head, lines, numbers=3)


def slices(root: Path, preset: str, arguments: list[str]) -> str:
    """Scores of the slices of one kind (the first word; `-` for a space), of some tasks, or of all."""
    kind, *tasks = arguments
    frame = report.by_slice(root, preset)
    frame = _of(frame[frame["kind"] == kind.replace("-", " ")], tasks, preset)
    head = ("task", "part of the test set", "examples", "model", "mean", "95% interval", "to `backbone`, 95% interval")
    lines = [
        [row["task"], row["slice"], str(row["n"]), f"`{row['model']}`", shown(row, "mean"),
         f"{shown(row, 'ci_low')} .. {shown(row, 'ci_high')}", _difference(row, "difference", "difference_")]
        for row in frame.to_dict("records")
    ]  # fmt: skip
    return _table(head, lines, numbers=4)


def costs(root: Path, preset: str, tasks: list[str]) -> str:
    """What the stages of every row took, its fine-tuning alone: seconds, processor-seconds, memory, parameters."""
    head = ("row", "seconds", "of processor", "peak memory, GiB", "parameters trained")
    lines = []
    for run in runs.find(root, preset):
        if run.path.parent.name == "finetune" and (not tasks or run.data.get("task") in tasks):
            trained = (run.data.get("rows") or [{}])[0].get("trained_parameters", "")
            numbers = [f"{run.wall_seconds:.0f}", *(_plain(run.data.get(k)) for k in ("processor_seconds",))]
            memory = run.data.get("peak_memory_gib")
            numbers += ["" if memory is None else f"{memory:.1f}", f"{trained:,}" if trained != "" else ""]
            lines.append([f"{run.task}, {run.regime}, `{run.model}`", *numbers])
    return _table(head, lines, numbers=1)


def made(root: Path, preset: str, _: list[str]) -> str:
    """Where the numbers come from: commit, processor, stages and their processor time."""
    found = runs.find(root, preset)
    commits = " ".join(sorted({run.data.get("commit") or "unknown" for run in found}))
    processors = ", ".join(sorted({run.data["machine"]["processor"] for run in found if run.data.get("machine")}))
    seconds = sum(run.data.get("processor_seconds") or 0 for run in found)
    return f"{len(found)} stages, {seconds / 60:.0f} processor minutes; commit {commits}; {processors}."


def one(root: Path, preset: str, words: list[str]) -> str:
    """One number: of a task, regime and model its mean, std, ci_low, difference, ...; a difference has its sign."""
    if len(words) != 4:
        raise KAdapterError(f"quoted number: found {' '.join(words)!r}; expected task, regime, model and what of it")
    task, regime, model, what = words
    rows = {(r["task"], r["regime"], r["model"]): r for r in report.table(root, preset).to_dict("records")}
    if (task, regime, model) not in rows:
        raise unknown("quoted row", f"{task} {regime} {model}", [" ".join(key) for key in rows])
    row = rows[task, regime, model]
    if what not in row:
        raise unknown("value of a row", what, [str(key) for key in row])
    return shown(row, what, "+" if what.startswith("difference") else "")


KINDS: dict[str, Callable[[Path, str, list[str]], str]] = {
    "scores": scores,
    "differences": differences,
    "components": components,
    "slices": slices,
    "costs": costs,
    "made": made,
    "one": one,
}


def _of(frame: pd.DataFrame, tasks: list[str], preset: str) -> pd.DataFrame:
    for task in tasks:
        if task not in set(frame["task"]):
            raise unknown(f"task of the runs of preset {preset!r}", task, sorted(set(frame["task"])))
    return frame[frame["task"].isin(tasks)] if tasks else frame


def _difference(row: Mapping[Any, Any], name: str, ends: str) -> str:
    if pd.isna(row[name]):
        return ""
    low, high = (percent(row[f"{ends}{end}"], "+") for end in ("low", "high"))
    return f"{percent(row[name], '+')} ({low} .. {high})"


def _plain(found: float | None) -> str:
    return "" if found is None else f"{found:.0f}"


def _table(head: tuple[str, ...], lines: list[list[str]], numbers: int) -> str:
    """A Markdown table whose columns from place `numbers` on are numbers."""
    rule = ["---" if place < numbers else "---:" for place in range(len(head))]
    rows = [list(head), *lines]
    text = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([text[0], f"|{'|'.join(rule)}|", *text[1:]])
