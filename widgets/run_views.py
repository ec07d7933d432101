"""What `Runs` shows of runs as HTML and pictures: scores, learning curves, parameters that differ, confusions, the
paper's rows, the preset."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import yaml

from kadapter.cases.cases import Cases
from kadapter.errors import KAdapterError
from kadapter.report import figures, pictures, published, rendering, report
from kadapter.runs import GRAPH, RESULT, Result, read_json
from widgets import style

Shown = tuple[str, go.Figure | None]  # HTML, and the picture below it
# A view is called with the folder of runs, the preset, the runs that are selected and all that are listed.
CURVES = 8  # runs in one picture


def scores(base: Path, preset: str, chosen: Sequence[Result], listed: Sequence[Result]) -> Shown:
    """Scores with intervals of the chosen fine-tuning runs; of one, beside all that it can be compared with; of all
    where none is chosen."""
    if len(chosen) == 1 and "model" in chosen[0].data:
        chosen = comparable(chosen[0], listed)
    chosen = chosen or listed
    rows = report.table(base, preset)
    if rows.empty:
        raise report.nothing(base, preset)
    seeds = report.seed_scores(base, preset)
    own = {(r.data["task"], r.data["regime"], r.data["model"]) for r in chosen if "model" in r.data}
    if own:
        keys = ["task", "regime", "model"]
        rows, seeds = (f[[tuple(key) in own for key in f[keys].to_numpy()]] for f in (rows, seeds))
    others = [r for r in chosen if "model" not in r.data and (r.path.parent.name == "pretrain" or not own)]
    more = "".join(f"<li>{escape(r.id)}: {escape(headline(r))}</li>" for r in others)
    html = rendering.styled(rows).set_table_attributes('class="kadapter-table"').to_html() if len(rows) else ""
    return html + (f"<ul>{more}</ul>" if more else ""), figures.scores(rows, seeds)


def curves(base: Path, preset: str, chosen: Sequence[Result], listed: Sequence[Result]) -> Shown:
    """Training curves of the chosen runs, of all where none is chosen."""
    histories = {name: log for run in chosen or listed for name, log in _histories(run).items()}
    if not histories:
        raise KAdapterError("none of these runs has learning curves: choose runs of the stages pretrain and finetune")
    shown = dict(list(histories.items())[:CURVES])
    left = len(histories) - len(shown)
    note = style.note(f"{left} more curves are not drawn: choose fewer runs") if left else ""
    return note, figures.training(shown)


def parameters(base: Path, preset: str, chosen: Sequence[Result], listed: Sequence[Result]) -> Shown:
    """The parameters that are not the same in all chosen runs. Of one run or none: in those that it, or the newest, can
    be compared with; where there are none, all its parameters."""
    if len(chosen) < 2:
        chosen = comparable(chosen[0] if chosen else newest(listed), listed)
    frame = differing(chosen)
    if frame.empty:
        return f"<p>{_named(chosen)} have the same parameters, data and backbone.</p>", None
    head = "".join(f"<th>{escape(name)}</th>" for name in frame.columns)
    body = "".join(
        f"<tr><td>{escape(key)}</td>" + "".join(f"<td>{escape(_short(value))}</td>" for value in row) + "</tr>"
        for key, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)
    )
    return f'<table class="kadapter-table"><tr><th>parameter</th>{head}</tr>{body}</table>', None


def confusions(base: Path, preset: str, chosen: Sequence[Result], listed: Sequence[Result]) -> Shown:
    """What the last of the chosen fine-tuning runs, in the order of model rows, answers otherwise than the first. Of
    one run or none: what it, or F of the newest task, answers otherwise than the first row of its task."""
    own = _rows(chosen)
    if len(own) < 2:
        own = _pair(own[0] if own else None, listed)
    cases = Cases.from_runs([own[0].path, own[-1].path])
    if own[0].data["model"] == own[-1].data["model"]:
        cases.models[:] = [own[0].id, own[-1].id]
    said = style.note(f"{own[-1].id} against {own[0].id}")
    return said, pictures.confusion_difference(cases, cases.models[1], cases.models[0])


def paper(base: Path, preset: str, chosen: Sequence[Result], listed: Sequence[Result]) -> Shown:
    """Our scores beside the paper's, and all that the paper prints for the tasks of the preset."""
    beside, printed = report.beside_published(base, preset), report.published_rows(base, preset)
    if printed.empty:
        return "<p>No task of this preset is one of the paper's: nothing can stand beside its numbers.</p>", None
    html = ""
    if not beside.empty:
        html = _table(beside.drop(columns="inside").rename(columns={"published": "paper", "ours": "ours, percent"}))
    for (task, dataset, comparable), rows in printed.groupby(["task", "dataset", "comparable"], sort=False):
        said = published.relation(str(task), str(dataset), bool(comparable))
        wide = rows.pivot_table(index=["model", "ours"], columns="metric", values="value", sort=False).reset_index()
        html += f"<p>Table {rows['table'].iloc[0]}. {escape(said)}</p>" + _table(
            wide.rename(columns={"ours": "row here"})
        )
    return html, None


def _table(frame: pd.DataFrame) -> str:
    shown = frame.rename_axis(columns=None).style.hide(axis="index").format(precision=2, escape="html", na_rep="–")
    return shown.set_table_attributes('class="kadapter-table"').to_html()


def preset_text(base: Path, preset: str, chosen: Sequence[Result], listed: Sequence[Result]) -> Shown:
    """The preset as its runs were made with it, else as its file says now."""
    from kadapter.experiment import preset as presets

    graph = read_json(base / preset / GRAPH) or {}
    content = graph.get("preset") or presets.read(preset)
    said = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    return f'<pre style="color: inherit; background: none; font-size: 12px" tabindex="0">{escape(said)}</pre>', None


VIEWS = {
    "Scores": scores,
    "Learning curves": curves,
    "Parameters that differ": parameters,
    "Confusions": confusions,
    "Beside the paper": paper,
    "Preset": preset_text,
}


def newest(found: Sequence[Result]) -> Result:
    """The run that was finished last. Raises KAdapterError without a run."""
    if not found:
        raise KAdapterError("no run is listed: nothing can be compared")
    return max(found, key=finished)


def finished(run: Result) -> float:
    """When a run was finished, in seconds since 1970."""
    return (run.path / RESULT).stat().st_mtime


def comparable(run: Result, found: Sequence[Result]) -> list[Result]:
    """The runs that a run is worth comparing with, itself among them: of one stage, task and regime."""

    def kind(other: Result) -> tuple:
        return other.path.parent.name, other.data.get("task"), other.data.get("regime")

    return [other for other in found if kind(other) == kind(run)]


def _rows(found: Sequence[Result]) -> list[Result]:
    """The fine-tuning runs among some, in the order of model rows."""
    return sorted((r for r in found if "model" in r.data), key=lambda run: rendering.by_model(run.data["model"]))


def _pair(run: Result | None, listed: Sequence[Result]) -> list[Result]:
    """Two runs of one task and regime to compare: the first model row and `run`, or F where it is itself the first, or
    is not given."""
    tuned = _rows(listed)
    own = _rows(comparable(run or newest(tuned), tuned)) if tuned else []
    if len(own) < 2:
        raise KAdapterError("confusions need two runs of the stage finetune on the same task: choose them in the list")
    if run is None or run.id == own[0].id:
        run = next((other for other in own[1:] if other.data["model"] == "F"), own[-1])
    return [own[0], run]


def _named(chosen: Sequence[Result]) -> str:
    return escape(", ".join(run.id for run in chosen))


def headline(run: Result) -> str:
    """The first number of a run's metrics, for a line in a list; "" without any."""
    name, value = next(((k, v) for k, v in run.data.get("metrics", {}).items() if isinstance(v, int | float)), ("", 0))
    share = name in ("f1", "accuracy", "uas", "micro_f1", "exact_match")
    return f"{name} {100 * value:.1f}%" if share else f"{name} {value:g}" if name else ""


def differing(chosen: Sequence[Result]) -> pd.DataFrame:
    """A line for each parameter (`training.epochs`), the data's and the backbone's hash, whose value is not the same in
    all runs; a column for each run. Of a single run, every parameter. "–" where a run has none."""
    flat = {run.id: dict(_flat(run.data.get("parameters", {}))) for run in chosen}
    for run in chosen:
        flat[run.id] |= {key: str(run.data.get(key) or "–")[:12] for key in ("data_hash", "backbone_fingerprint")}
    frame = pd.DataFrame(flat, dtype=object)
    frame = frame.reindex(list(dict.fromkeys(key for values in flat.values() for key in values))).astype(object)
    frame = frame.where(frame.notna(), "–")
    if len(chosen) < 2:
        return frame
    return frame[
        [len({json.dumps(v, sort_keys=True, default=str) for v in row}) > 1 for row in frame.to_numpy().tolist()]
    ]


def _flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    lines: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{above}{key}"
        lines += _flat(value, f"{name}.") if isinstance(value, Mapping) and value else [(name, str(value))]
    return lines


def _histories(run: Result) -> dict[str, list]:
    """Name -> log: of an adapter its own, of a fine-tuned model one for each seed."""
    history = run.data.get("history") or []
    if history and isinstance(history[0], list):
        model = run.data["model"]
        return {f"{model}, seed {s}, {run.path.name}": log for s, log in zip(run.data["seeds"], history, strict=True)}
    return {run.path.name: history} if history else {}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
