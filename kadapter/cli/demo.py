"""`kadapter demo`: what an adapter knows, in the terminal, before anything is trained or downloaded."""

from typing import Annotated

import typer

NEXT = """Next:
  kadapter run embedded     the whole experiment, with a report (minutes)
  make lab                  JupyterLab: notebooks/00_start_here.ipynb shows this with a switch to click
  kadapter presets          what else can be run"""


def demo(
    shown: Annotated[int, typer.Option(help="Questions to show; all are counted.", min=1, max=48)] = 5,
) -> None:
    """Ask a frozen model what it does not know, plug in an adapter that does, and unplug it again. Trains nothing."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from kadapter.experiment.demo import THRESHOLD, of_the_world

    console = Console(highlight=False)
    with console.status("loading ...") as status:
        found = of_the_world(shown, lambda line: status.update(line))
    console.print(Text(found.question, "bold"))
    console.print(found.about)
    for each in found.rounds:
        table = Table(title=f"{each.name}: {each.right} of {len(each.cases)} right", title_justify="left", box=None)
        for column in ("", "answer", "most probable", "true", "sentence"):
            table.add_column(column, overflow="fold")
        for row in each.frame.iloc[found.shown].to_dict("records"):
            style = "green" if row["verdict"] == "✓" else "red"
            first = f"{row['most probable']} {row['probability']:.0%}"
            table.add_row(
                Text(row["verdict"], style), Text(row["answer"], style), first, row["true"], Text(row["sentence"])
            )
        console.print()
        console.print(table)
    console.print()
    console.print(
        f"By chance: naming one of the {found.labels} types blindly is right in {found.chance:.0%} of the cases, "
        f"{round(found.chance * len(found.rounds[0].cases))} of {len(found.rounds[0].cases)}."
    )
    console.print(THRESHOLD)
    console.print("Not one weight of the model was changed: the knowledge is in the adapter.")
    console.print()
    typer.echo(NEXT)
