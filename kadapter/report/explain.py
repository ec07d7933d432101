"""What the report says about itself: what its words mean, which backbone, data, command and code its numbers come from,
and what its intervals do not cover."""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from kadapter import catalog
from kadapter.report import markup
from kadapter.report.markup import Marked
from kadapter.runs import RESULT, Result

ROWS = {  # those of catalog.ROWS; the others are adapters, which their pre-training describes
    "backbone": "{backbone} alone with a new head: what the language model knows by itself (the paper's row RoBERTa).",
    "multitask": (
        "{backbone} itself, trained on all knowledge at once before the task, without adapters (the paper's row "
        "RoBERTa + multitask, Figure 1a)."
    ),
    "none": (
        "{backbone} with adapters of the same size that were never trained: what more parameters and the wider view of "
        "the backbone's layers do without knowledge (the paper's row w/o knowledge)."
    ),
    "houlsby": (
        "{backbone} without adapters beside it; on the examples of the task bottlenecks in each of its layers train "
        "(Houlsby et al., 2019), its own weights do not: what one would do instead, without more knowledge."
    ),
    "lora": (
        "{backbone} without adapters beside it; on the examples of the task low-rank matrices at its linear layers "
        "train (LoRA, Hu et al., 2022), its own weights do not: what one would do instead, without more knowledge."
    ),
    "bitfit": (
        "{backbone} without adapters beside it; on the examples of the task its biases train (Ben Zaken et al., 2022): "
        "what one would do instead, without more knowledge."
    ),
    "retrieval": (
        "{backbone} without adapters, reading facts about the marked names as text in front of every example, in "
        "training and test: the same knowledge that the factual adapter learned from, looked up instead of learned."
    ),
    "majority": "no model: the most frequent object of each relation in the text that the adapters read.",
}
REGIMES = {
    "frozen": "only fusion and head train on the task; backbone and adapters stay as they were.",
    "paper": "backbone, fusion and head train on the task; the adapters stay as they were (as the paper does it).",
    "full": "everything trains on the task, the adapters too.",
    "houlsby": "bottlenecks in each layer of the backbone train (Houlsby et al., 2019), with fusion and head.",
    "lora": "low-rank matrices beside the backbone's linear layers train (Hu et al., 2022), with fusion and head.",
    "bitfit": "the backbone's biases train (Ben Zaken et al., 2022), with fusion and head.",
}
# Measured with preset `embedded`, `data.world.entities=1000`, `knowledge.F.seed=1` and `2` (typing, frozen), and
# the same command on an Intel Xeon with AMX and an AMD EPYC (relation, frozen). docs/results.md tells the commands.
CAUTION = (
    "What no interval here covers is a second pre-training of an adapter: all seeds plug in the same one, while in a "
    "world of 1,000 entities 3 pre-trainings of F gave 68.3, 73.3 and 72.2 on typing. "
    "--set pretraining_seeds=[0,1,2] makes three, and the intervals cover them."
)
PROCESSOR = (
    "No interval covers another processor, whose sums are rounded otherwise: relation with F was 56.0 on one and 50.9 "
    "on another."
)


def words(models: Iterable[str], regimes: Iterable[str], found: Sequence[Result]) -> str:
    """The model rows and regimes of a report, each in one sentence.

    Args:
        models, regimes: as the tables name them.
        found: all finished runs; those of pre-training say what an adapter has learned.
    """
    backbone = " and ".join(backbones(found)) or "the backbone"
    learned = {run.path.name: _knowledge(run) for run in found if run.path.parent.name == "pretrain"}
    said = [(f"row {model}", _row(model, backbone, learned)) for model in dict.fromkeys(models)]
    said += [(f"regime {regime}", REGIMES[regime]) for regime in dict.fromkeys(regimes)]
    return markup.definitions(said)


def origin(preset: str, found: Sequence[Result], graph: Mapping[str, Any]) -> str:
    """Where the numbers come from: backbone, data, command, code, time and machine.

    Args:
        found: all finished runs of the preset.
        graph: what the pipeline left beside them; {} where there is none.
    """
    commits = dict.fromkeys(run.data.get("commit") or "" for run in found)
    codes = [f"commit {commit}" if commit else "commit unknown" for commit in commits]
    versions = dict.fromkeys(run.data.get("versions", {}).get("kadapter", "?") for run in found)
    machines = dict.fromkeys(_machine(run.data.get("machine") or {}) for run in found)
    command = graph.get("command") or f"kadapter run {preset}"
    return markup.definitions(
        [
            ("backbone", " · ".join(_fingerprinted(found)) or "unknown"),
            ("data", " · ".join(_data(found)) or "unknown"),
            ("command", Marked(f"<code>{escape(command)}</code>")),
            ("code", f"kadapter {', '.join(versions)}, {', '.join(codes)}"),
            ("made", when(found)),
            ("machine", " · ".join(machine for machine in machines if machine) or "unknown"),
        ]
    )


def backbones(found: Iterable[Result]) -> list[str]:
    """The names of the backbones of the runs."""
    names = (run.data.get("parameters", {}).get("backbone") for run in found)
    return list(dict.fromkeys(str(name) for name in names if name))


def notebooks(found: Iterable[Result], preset: str, page: Path) -> dict[str, str]:
    """Run -> the address of its executed notebook, relative to the page; runs without one are not in it.

    A page that lies in a folder named as a run of the stage `report` is addressed from where that run will stand, since
    a run is written elsewhere and renamed when it is whole.
    """
    will_be_a_run = page.parent.parent.name == "report" and page.parent.parent.parent.name == preset
    addresses = {}
    for run in found:
        notebook = run.path / "notebook.ipynb"
        if notebook.is_file():
            near = f"../../{run.id}/{notebook.name}"
            addresses[run.id] = near if will_be_a_run else Path(os.path.relpath(notebook, page.parent)).as_posix()
    return addresses


def _row(model: str, backbone: str, learned: Mapping[str, str]) -> str:
    if model in ROWS:
        return ROWS[model].format(backbone=backbone)
    names = catalog.adapters_of(model)
    if len(names) == 1:
        return f"{backbone} with {learned.get(model, f'the adapter {model}')}"
    return f"{backbone} with the adapters {', '.join(names)} side by side; none of them reads another."


def _knowledge(run: Result) -> str:
    """What an adapter has learned, as a pre-training run tells it."""
    given = run.data.get("parameters", {})
    name = given.get("knowledge", "")
    source = f" ({catalog.KNOWLEDGE[name].source})" if name in catalog.KNOWLEDGE else ""
    count = run.data.get("examples")
    told = f", {count:,} examples" if isinstance(count, int) else ""
    dataset = f", dataset {given['dataset']}" if given.get("dataset") else ""
    return f"one adapter, pre-trained on {name or 'unnamed'} knowledge{source}{dataset}{told}."


def _fingerprinted(found: Iterable[Result]) -> list[str]:
    named: dict[str, None] = {}
    for run in found:
        name, print_ = run.data.get("parameters", {}).get("backbone"), run.data.get("backbone_fingerprint")
        if name:
            named[f"{name} (weights {print_[:10]})" if print_ else str(name)] = None
    return list(named)


def _data(found: Iterable[Result]) -> list[str]:
    lines = []
    for run in found:
        if run.path.parent.name != "data":
            continue
        given = run.data.get("parameters", {}).get("data") or {}
        world = given.get("world")
        if world is not None:
            size = f"{world['entities']:,} " if "entities" in world else ""
            lines.append(f"a generated world of {size}fictional entities (seed {world.get('seed', 0)})")
        else:
            lines.append(f"files of the folder {given.get('path', '?')}")
        count = run.data.get("metrics", {}).get("examples")
        if isinstance(count, int):
            lines[-1] += f", {count:,} training examples in all its datasets"
    return lines


def when(found: Iterable[Result]) -> str:
    """The time in which the runs were made."""
    times = sorted(_finished(run) for run in found)
    if not times:
        return "unknown"
    first, last = (f"{when:%Y-%m-%d %H:%M} UTC" for when in (times[0], times[-1]))
    return first if first == last else f"{first} to {last}"


def _finished(run: Result) -> datetime:
    """When a run was finished; of runs that do not say it, when their result was written."""
    said = run.data.get("finished")
    return datetime.fromisoformat(said) if said else datetime.fromtimestamp((run.path / RESULT).stat().st_mtime, tz=UTC)


def _machine(machine: Mapping[str, Any]) -> str:
    parts = [machine.get("processor"), f"{machine['cores']} cores" if machine.get("cores") else None]
    return ", ".join(str(part) for part in (*parts, machine.get("gpu")) if part)
