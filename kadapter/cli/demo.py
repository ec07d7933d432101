"""`kadapter demo`: what an adapter knows, in the terminal, before anything is trained or downloaded."""

from typing import Annotated

import typer

NEXT = """Next:
  kadapter demo --world     the same on an invented world whose names no model has seen
  kadapter run embedded     the whole experiment on that world, with a report (minutes)
  make lab                  JupyterLab: notebooks/00_start_here.ipynb shows this with a switch to click
  kadapter presets          what else can be run"""


def demo(
    shown: Annotated[int, typer.Option(help="Questions to show; all are counted.", min=1, max=24)] = 5,
    world: Annotated[
        bool, typer.Option("--world", help="Ask a small encoder about invented names, in place of a language model.")
    ] = False,
) -> None:
    """Ask a frozen model what it does not know, plug in an adapter that does, and unplug it again. Trains nothing."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from kadapter.experiment.demo import of_facts, of_the_world

    console = Console(highlight=False)
    with console.status("loading ...") as status:
        found = (of_the_world if world else of_facts)(shown, lambda line: status.update(line))
    console.print(Text(found.question, "bold"))
    console.print(found.about)
    # One that answers only where it is sure says less than what it finds most probable.
    hedges = any((each.frame["answer"] != each.frame["most probable"]).any() for each in found.rounds)
    for each in found.rounds:
        title = f"{each.name}: {each.right} of {len(each.frame)} right"
        table = Table(title=title, title_justify="left", box=None)
        for column in ("", "answer", *(["most probable"] if hedges else []), "true", "sentence"):
            table.add_column(column, overflow="fold")
        for row in each.frame.iloc[found.shown].to_dict("records"):
            style = "green" if row["verdict"] == "✓" else "red"
            first = f"{row['most probable']} {row['probability']:.0%}"
            said = (Text(row["answer"], style), Text(first)) if hedges else (Text(first, style),)
            table.add_row(Text(row["verdict"], style), *said, Text(row["true"]), Text(row["sentence"]))
        console.print()
        console.print(table)
    console.print()
    for note in found.notes:
        console.print(note)
    console.print("Not one weight of the model was changed: the knowledge is in the adapter.")
    console.print()
    typer.echo(NEXT)
