"""The page of every value: what a preset, a saved folder and a command take, written from the definitions that check
them.

`python -m kadapter.cli.reference docs/values.md` writes it; a test says whether it is up to date.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import typer
from annotated_types import Ge, Le

from kadapter import catalog, values
from kadapter.experiment import preset_values
from kadapter.hub import config_files
from kadapter.model.config import AdapterConfig
from kadapter.model.tuning_config import TUNINGS
from kadapter.training.settings import Settings
from kadapter.world import World

HEAD = """# Every value

What a preset, a saved folder and a command take: type, range, default and meaning. A value that is not so is refused in
one sentence before anything is built. Written by `python -m kadapter.cli.reference docs/values.md` from the definitions
that the checks read; edit those.
"""
COLUMNS = "| {} | expected | default | meaning |\n|---|---|---|---|"


def page() -> str:
    """The page, in Markdown."""
    sections = [HEAD, "## Presets", "A YAML file in `kadapter/experiment/presets`, or any path; `--set a.b=VALUE` too."]
    for title, source in (
        ("Top", preset_values.Preset),
        ("`data`", preset_values.Data),
        ("`data.world`", World),
        ("`datasets.NAME`", preset_values.Dataset),
        ("`datasets.NAME.split`", preset_values.Cut),
        ("`knowledge.NAME`", preset_values.Knowledge),
        ("`tasks.NAME`", preset_values.Task),
        ("`multitask`", preset_values.Multitask),
        ("`continual`", preset_values.Continual),
        ("`continual.elastic`", preset_values.Elastic),
        ("`resources.KIND`", preset_values.Resources),
        ("`brief`", preset_values.Brief),
        ("`map_tuning`", preset_values.MapTuningSection),
        ("`map_tuning.tasks.NAME`", preset_values.MapTask),
        ("`map_tuning.tasks.NAME.episodes`", preset_values.Episodes),
        ("`map_tuning.domains`", preset_values.Domains),
        ("`map_tuning.domains.of.NAME`", preset_values.Domain),
        ("`map_tuning.tunings.NAME`", preset_values.Tuning),
    ):
        sections += [f"### {title}", _table("key", values.fields(source))]
    training = [*values.fields(Settings), *list(values.fields(preset_values.TRAINING))[-1:]]  # max_length is the task's
    sections += [
        "## Adapter sizes",
        "`knowledge.NAME.adapter` of a preset (where `hidden_size` is the backbone's) and `adapter` of a saved folder.",
        _table("size", values.fields(AdapterConfig)),
        "## Training settings",
        "`training` of a preset (`regime` and `seed` are the stage's), and `kadapter.Settings` (no `max_length`).",
        _table("setting", training),
        "## Tunings of the backbone",
        "How the backbone itself is tuned: `tuning` of a preset and of a saved model, and `KnowledgeModel.tune`.",
        *(f"### {kind}\n\n{_table('option', values.fields(source))}" for kind, source in TUNINGS.items()),
        "## Task options",
        "`task_options` of a preset.",
    ]
    for task in catalog.TASKS:
        sections += [f"### {task}", _table("option", values.fields(catalog.task_class(task), catalog.NO_OPTIONS))]
    sections += ["## Examples", "`examples` of an entry of `knowledge`: of what makes the examples of its kind."]
    for kind, known in catalog.KNOWLEDGE.items():
        if maker := catalog.maker(known):
            sections += [f"### {kind}", _table("option", values.fields(maker, catalog.GIVEN))]
    sections += ["## Saved folders"]
    files: tuple[tuple[str, Any], ...] = (
        ("`adapter_config.json`", config_files.AdapterFile),
        ("its `backbone`", config_files.MadeFor),
        ("its `head`", config_files.HeadFile),
        ("`model_config.json`", config_files.ModelFile),
        ("its `task`", config_files.TaskFile),
        ("`mapping_config.json`", config_files.MappingFile),
        ("its `embeddings`", config_files.EmbeddingsFile),
    )
    for title, file in files:
        sections += [f"### {title}", _table("key", values.fields(file))]
    sections += ["## Commands"]
    for name, about, rows in _commands():
        sections += [f"### `kadapter {name}`", about, _table("argument or option", rows)]
    return "\n\n".join(sections) + "\n"


def _table(first: str, rows: Iterable[tuple[str, str, str, str]]) -> str:
    lines = [COLUMNS.format(first)]
    for name, *others in rows:
        cells = [cell.replace("|", "\\|").replace("\n", " ") for cell in others]
        lines.append(f"| `{name}` | {cells[0]} | {f'`{cells[1]}`' if cells[1] else ''} | {cells[2]} |")
    return "\n".join(lines) if len(lines) > 1 else "None."


def _commands() -> Iterator[tuple[str, str, list[tuple[str, str, str, str]]]]:
    """Every command with its parameters, as typer has them of the signatures."""
    from kadapter.cli.main import app

    waiting = [("", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop(0)
        children = getattr(command, "commands", {})
        waiting = [(f"{name} {child}".strip(), each) for child, each in children.items()] + waiting
        if not children:
            rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
            yield name, (command.help or "").split("\n\n")[0].replace("\n", " "), rows


def _parameter(parameter: Any) -> tuple[str, str, str, str]:
    shown = ", ".join(parameter.opts) if parameter.param_type_name == "option" else parameter.name.upper()
    kind = parameter.type_descriptor.annotation
    bounds = [bound(end) for bound, end in ((Ge, parameter.min), (Le, parameter.max)) if end is not None]
    if getattr(parameter, "is_flag", False):
        expected = "a flag"
    elif parameter.multiple:
        expected = f"{values.expected(get_args(kind)[0], bounds)}, any number of times"
    else:
        expected = "a path" if kind is Path else values.expected(kind, bounds)
    default, told = parameter.default, parameter.show_default
    if not isinstance(told, str):
        told = "" if default is None or default is False or parameter.required else str(default)
    return shown, expected, told, parameter.help or ""


def main(path: str) -> None:
    """Write the page into a file."""
    Path(path).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
