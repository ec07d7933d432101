"""`kadapter plan`: the stages of a preset, and what they take of time, memory, disk and GPUs, before anything runs."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # `kadapter --help` does not wait for torch
    from kadapter.bench.plan import Estimate
    from kadapter.experiment.pipeline import Pipeline


def plan(
    preset: Annotated[str, typer.Argument(help="A name that `kadapter presets` lists, or the path of a YAML file.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one value, as in seeds=[0,1].")
    ] = None,
    root: Annotated[Path, typer.Option(help="The folder of runs.")] = Path("runs"),
    jobs: Annotated[
        int | None, typer.Option(help="Notebooks at once.", min=1, show_default="2, or 1 where there is a GPU")
    ] = None,
    on: Annotated[str, typer.Option(metavar="PLACE", help="As for run: here; ray; ray://HOST:PORT; slurm.")] = "here",
    workers: Annotated[int | None, typer.Option(help="Nodes that --on ray starts.", min=1, show_default="1")] = None,
) -> None:
    """Tell, before anything runs, what a preset takes: time, memory and disk of each stage, from rates that a short
    calibration measures here, and what will not fit."""
    from kadapter.experiment import clusters
    from kadapter.experiment.pipeline import Pipeline
    from kadapter.experiment.preset import load

    loaded = load(preset, set_ or ())
    executor = clusters.named(on, loaded, jobs, workers)
    pipeline = Pipeline(loaded, root, executor=executor)
    from kadapter.bench import plan as plans
    from kadapter.experiment import progress

    def tell(line: str) -> None:
        typer.echo(f"{line} ...", err=True)

    adapters = [entry["adapter"] for entry in loaded["knowledge"].values()]
    rates = plans.calibrate(loaded["backbone"], adapters[0] if adapters else {}, executor.jobs, tell)
    sizes = plans.Sizes(loaded, pipeline.base / "data" / "all")
    try:
        estimates = plans.of(pipeline.stages, rates, sizes)
    finally:
        sizes.close()
    for id_, each in estimates.items():
        pipeline.forecast.weights[id_] = progress.former(pipeline.base / id_) or each.seconds
    tell_stages(pipeline, estimates)
    todo = {id_: each for id_, each in estimates.items() if id_ not in pipeline.forecast.kept}
    _tell_total(todo, pipeline, on)
    if sizes.guessed:
        typer.echo(f"note: guessed from the size of their files: {', '.join(sorted(set(sizes.guessed)))}")
    for warning in plans.warnings(todo, pipeline.root, executor.jobs, loaded["resources"]):
        typer.echo(f"warning: {warning}")


def tell_stages(pipeline: "Pipeline", estimates: Mapping[str, "Estimate"] | None = None) -> None:
    """Every stage with what would be done, and how long it may take: as long as before, as planned, or as stages of
    its kind."""
    forecast = pipeline.forecast
    for stage in pipeline.stages:
        if pipeline.is_finished(stage):
            forecast.kept.add(stage.id)
            typer.echo(f"kept  {stage.id}")
        else:
            more = _told(estimates[stage.id]) if estimates else ""
            typer.echo(f"run   {stage.id:40}  about {forecast.weights[stage.id]:.0f} s{more}")
    minutes = forecast.left({}, pipeline.executor.jobs) / 60
    todo = len(pipeline.stages) - len(forecast.kept)
    typer.echo(f"{todo} of {len(pipeline.stages)} stages to run, in about {minutes:.1f} min")


def _told(estimate: "Estimate") -> str:
    from kadapter.training.features import gigabytes

    parts = [f"memory {gigabytes(estimate.memory)}"] * bool(estimate.memory)
    parts += [f"store {gigabytes(estimate.disk)}"] * bool(estimate.disk)
    return "".join(f"  {part}" for part in parts)


def _tell_total(todo: Mapping[str, "Estimate"], pipeline: "Pipeline", on: str) -> None:
    import torch

    from kadapter.training.features import gigabytes

    disk, memory = sum(e.disk for e in todo.values()), max((e.memory for e in todo.values()), default=0)
    typer.echo(
        f"feature stores {gigabytes(disk)}, {pipeline.executor.jobs} at once with {gigabytes(memory)} each at most"
    )
    hours = sum(e.seconds for e in todo.values() if e.computes) / 3600
    if torch.cuda.is_available():
        typer.echo(f"{hours:.2f} GPU hours on {torch.cuda.get_device_name()}")
    else:
        typer.echo(f"no GPU here: {hours:.2f} hours of a processor in the stages that one would compute")
    if on.startswith(("ray:", "slurm")):
        typer.echo("note: rates are those of this machine, not of the cluster's nodes", file=sys.stderr)
