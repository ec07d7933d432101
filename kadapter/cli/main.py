"""The command line: run a preset, show its results, list the presets, look at the environment."""

import json
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

import kadapter
from kadapter.cli import ask, bench, compare, data, demo, graphs, infuse, plan, presets, probe
from kadapter.errors import KAdapterError, unknown

# Everything else is imported where it is used: `kadapter --help` does not wait for torch.

app = typer.Typer(
    help="Knowledge adapters for frozen language models (K-Adapter, Wang et al. 2021).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.add_typer(graphs.app, name="graphs")
app.add_typer(presets.app, name="presets")
app.add_typer(bench.bench, name="bench")
app.add_typer(bench.features, name="features")
app.command("plan")(plan.plan)
app.command("probe")(probe.probe)
app.command("ask")(ask.ask)
app.command("infuse")(infuse.infuse)
app.command("demo")(demo.demo)
app.command("compare")(compare.compare)
FORMATS = ("table", "csv", "md", "latex")
Preset = Annotated[str, typer.Argument(help="A name that `kadapter presets` lists, or the path of a YAML file.")]
Root = Annotated[Path, typer.Option(help="The folder of runs.")]


@app.command()
def run(
    preset: Preset,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one value, as in seeds=[0,1].")
    ] = None,
    root: Root = Path("runs"),
    jobs: Annotated[
        int | None,
        typer.Option(help="Notebooks at once.", min=1, show_default="2, or 1 where there is a GPU"),
    ] = None,
    on: Annotated[
        str,
        typer.Option(
            metavar="PLACE", help="Where: here; ray (a cluster is started and stopped); ray://HOST:PORT; slurm."
        ),
    ] = "here",
    workers: Annotated[
        int | None, typer.Option(help="Nodes that --on ray starts here.", min=1, show_default="1")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Execute every stage again, finished or not.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell the stages, what is kept, and the time.")
    ] = False,
) -> None:
    """Execute a preset's notebooks; finished ones are kept. Prints one table and the path of the report."""
    from kadapter.experiment import clusters
    from kadapter.experiment.pipeline import Pipeline
    from kadapter.experiment.preset import load, present

    loaded = load(preset, set_ or ())
    for name in sorted(loaded["tasks"].keys() - present(loaded)["tasks"].keys()):
        typer.echo(f"task {name} is left out: its dataset {loaded['tasks'][name]['dataset']} is not there")
    from kadapter.report import report  # brings pandas; a misspelt preset has been refused by now

    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C: the notebooks at work are stopped, too
    started = time.monotonic()
    command = shlex.join(["kadapter", "run", preset, *(word for value in set_ or () for word in ("--set", value))])
    executor = clusters.named(on, loaded, jobs, workers)
    pipeline = Pipeline(loaded, root, force=force, tell=typer.echo, command=command, executor=executor)
    if dry_run:
        plan.tell_stages(pipeline)
        return
    try:
        ended = pipeline.run()
    except KeyboardInterrupt:
        typer.echo("kadapter: stopped; finished stages are kept", err=True)
        raise typer.Exit(130) from None
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    typer.echo(f"{len(pipeline.stages)} stages in {minutes} min {seconds} s")
    _print_table(report.rows(root, loaded["name"]))
    typer.echo(f"Report: {ended / 'report.html'}")


@app.command()
def results(
    presets: Annotated[list[str], typer.Argument(metavar="PRESET...", help="Names, or paths of YAML files.")],
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list of rows, nothing else.")] = False,
    task: Annotated[str | None, typer.Option(help="Rows of this task alone.")] = None,
    format: Annotated[str, typer.Option(help="table, or csv, md or latex to paste: fractions in csv.")] = "table",
    root: Root = Path("runs"),
) -> None:
    """Show the scores of presets' finished runs: every model's mean over seeds, with a 95% confidence interval."""
    from kadapter.experiment.preset import read

    names = [read(preset)["name"] for preset in presets]
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    from kadapter.report import report  # brings pandas; a misspelt preset has been refused by now

    found: list[dict] = []
    for preset, name in zip(presets, names, strict=True):
        rows = report.rows(root, name)
        if not rows:
            raise KAdapterError(f"preset '{name}' has no finished fine-tuning run under {root}: kadapter run {preset}")
        found += [({"preset": name} if len(names) > 1 else {}) | row for row in rows]
    if task is not None:
        tasks = {row["task"] for row in found}
        if task not in tasks:
            raise unknown("task with a finished run", task, tasks)
        found = [row for row in found if row["task"] == task]
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    elif format == "table":
        _print_table(found)
    else:
        typer.echo(_pasted(found, format), nl=False)


def _pasted(rows: list[dict], format: str) -> str:
    """Rows as text for another program: CSV with all that is known, Markdown and LaTeX in percent."""
    import pandas

    frame = pandas.DataFrame(rows)
    if format == "csv":
        return frame.to_csv(index=False)
    shown: dict[str, Any] = {
        name: frame[name] for name in ("preset", "task", "regime", "model", "metric") if name in frame
    }
    shown |= {name: [_shown(row, name) for row in rows] for name in ("mean", "std")}
    shown["95% interval"] = [f"{_shown(row, 'ci_low')} .. {_shown(row, 'ci_high')}" for row in rows]
    table = pandas.DataFrame(shown | {"n": frame["n"]})
    if format == "latex":
        head = table.rename(columns=lambda name: name.replace("%", r"\%"))
        return head.replace({"_": r"\_"}, regex=True).style.hide(axis="index").to_latex(hrules=True)
    lines = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


@app.command()
def doctor() -> None:
    """Look at the environment: what is there, what is missing. Ends with code 1 if something needed is broken."""
    from kadapter.cli.doctor import checks

    broken = False
    for check in checks():
        broken |= check.needed and not check.good
        mark = "ok     " if check.good else "BROKEN " if check.needed else "missing"
        typer.echo(f"{mark}  {check.name:16}  {check.found}")
    if broken:
        raise typer.Exit(1)


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="pytorch_model.bin of the official K-Adapter code.")],
    backbone: Annotated[str, typer.Option(help="Name or folder of the model it was trained on, as roberta-large.")],
    plug_layers: Annotated[str, typer.Option(help="Hidden states it reads, as 0,11,22; the file does not tell.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default="adapters/NAME")] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the adapter.", show_default="the folder that the file lies in")
    ] = None,
    heads: Annotated[bool, typer.Option("--heads", help="Keep the pre-training head, too.")] = False,
    labels: Annotated[Path | None, typer.Option(help="Relations in the head's order: a JSON list, or lines.")] = None,
    attention_heads: Annotated[
        int | None,
        typer.Option(help="Attention heads in it.", min=1, max=1024, show_default="12 for width 768"),
    ] = None,
    mask_padding: Annotated[
        bool, typer.Option("--mask-padding", help="Do not attend to padding, as the official code does.")
    ] = False,
) -> None:
    """Read a released K-Adapter checkpoint into a folder that plugs into its backbone."""
    from kadapter import values
    from kadapter.hub import adapter_folder, official, official_layout

    name = values.check_value(values.Name, path.resolve().parent.name if name is None else name, "--name")
    indices = official.read_plug_layers(plug_layers)
    relations = None if labels is None else official.read_labels(labels)
    imported = official.import_checkpoint(path, indices, attention_heads, mask_padding, heads, relations)
    made_for = official.made_for(backbone, imported.adapter.config)
    imported.adapter.provenance |= {"name": name}
    folder = adapter_folder.save_adapter(imported.adapter, out or Path("adapters", name), made_for)
    typer.echo(f"used {len(imported.used)} leaves")
    for line in official_layout.tell(imported.used):
        typer.echo(f"  {line}")
    typer.echo(f"left {len(imported.left_over)} leaves")
    for line in official_layout.tell(imported.left_over):
        typer.echo(f"  {line}")
    if made_for["fingerprint"] is None:
        typer.echo(
            f"kadapter: backbone '{backbone}' cannot be loaded here, so no fingerprint of it is recorded and nothing "
            "will tell when another one is used; import again where it can be loaded",
            err=True,
        )
    parameters = sum(p.numel() for p in imported.adapter.parameters())
    typer.echo(f"{parameters:,} parameters at hidden states {indices}: {folder}")


@app.command()
def export(
    folder: Annotated[str, typer.Argument(help="An adapter's folder, or its Hub repository.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("pytorch_model.bin"),
) -> None:
    """Write an adapter as a checkpoint of the official K-Adapter code."""
    from kadapter.hub import adapter_folder, official

    leaves = official.export_checkpoint(adapter_folder.load_adapter(folder), out)
    typer.echo(f"{len(leaves)} leaves: {out}")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(kadapter.__version__)
        raise typer.Exit


def _print_table(rows: list[dict]) -> None:
    """Rows of `kadapter.report.report.rows` as one table; scores are percentages, but for perplexity."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    text = [name for name in ("preset", "task", "regime", "model", "metric") if name in rows[0]] if rows else []
    told = any(row.get("trained_parameters") for row in rows)
    for column in (*text, "mean", "std", "95% interval", "seeds", "n", *(["trained"] if told else [])):
        table.add_column(column, justify="left" if column in text else "right")
    former = None
    for row in rows:
        group = (row.get("preset"), row["task"], row["regime"])
        if former not in (None, group):
            table.add_section()
        former = group
        seeds = row["seeds"] if isinstance(row["seeds"], int) else len(row["seeds"])
        names = [row[key] for key in text]
        mean, std, low, high = (_shown(row, key) for key in ("mean", "std", "ci_low", "ci_high"))
        trained = [f"{row['trained_parameters']:,}" if row.get("trained_parameters") else "–"] if told else []
        table.add_row(*names, mean, std, f"{low} .. {high}", str(seeds), f"{row['n']:,}", *trained)
    # As wide as the table needs: a pipe or a narrow terminal must not cut numbers.
    console = Console(width=200, highlight=False) if not sys.stdout.isatty() else Console(highlight=False)
    console.print(table)


def _shown(row: dict[str, Any], key: str) -> str:
    """A value in percent, a perplexity as it is."""
    scale = 1 if row["metric"] == "perplexity" else 100
    return "-" if row[key] is None else f"{scale * row[key]:.1f}"


def _interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """The console script `kadapter`."""
    try:
        app()
    except KAdapterError as error:
        sys.exit(f"kadapter: {error}")


if __name__ == "__main__":
    main()
