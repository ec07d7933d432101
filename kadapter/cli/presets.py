"""`kadapter presets`: what there is to run; a preset as it is run, or as a file of one's own to change."""

from pathlib import Path
from typing import Annotated

import typer

from kadapter.cli.data import ListByDefault
from kadapter.errors import KAdapterError

app = typer.Typer(help="List the presets (without a command); show one; copy one to change it.", cls=ListByDefault)


@app.command("list")
def list_() -> None:
    """List the presets."""
    from kadapter.experiment.preset import names, read

    width = max(map(len, names()))
    for name in names():
        typer.echo(f"{name:{width}}  {read(name)['about']}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name that `kadapter presets` lists, or the path of a YAML file.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one value, as in seeds=[0,1].")
    ] = None,
) -> None:
    """Print a preset as it would be run: checked, its defaults filled in, tasks and rows chosen."""
    import yaml

    from kadapter.experiment.preset import load

    typer.echo(yaml.safe_dump(load(name, set_ or ()), sort_keys=False, allow_unicode=True, width=120), nl=False)


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="A name that `kadapter presets` lists, or the path of a YAML file.")],
    out: Annotated[
        Path | None, typer.Argument(help="File to write; its name is the preset's.", show_default="my_NAME.yaml")
    ] = None,
) -> None:
    """Copy a preset's file, with its comments, under another name: `kadapter run FILE` runs it."""
    import re

    from kadapter.experiment.preset import FOLDER, read

    source = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    old = read(name)["name"]
    out = out or Path(f"my_{old}.yaml")
    if out.suffix not in (".yaml", ".yml"):
        raise KAdapterError(f"{out}: expected a name that ends in .yaml")
    if out.exists():
        raise KAdapterError(f"{out} is there already: name another file")
    text = re.sub(r"(?m)^name:.*$", f"name: {out.stem}", source.read_text(encoding="utf-8"), count=1)
    out.write_text(text, encoding="utf-8")
    typer.echo(f"{out}: kadapter run {out}")
