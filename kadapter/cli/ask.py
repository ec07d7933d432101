"""`kadapter ask`: what a model says, with and without adapters."""

import json
from pathlib import Path
from typing import Annotated

import typer


def ask(
    model: Annotated[str, typer.Argument(help="A backbone's name or folder, a saved model or adapter, or a run.")],
    text: Annotated[str, typer.Argument(help='With one [MASK], or with an open end: "The capital of France is".')],
    plug: Annotated[list[Path] | None, typer.Option(help="Folder of an adapter to plug in; may be repeated.")] = None,
    top: Annotated[int, typer.Option(help="Words to show.", min=1, max=1000)] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, nothing else.")] = False,
) -> None:
    """Ask a language model for the word at [MASK] or after an open end; adapters can be plugged in."""
    from kadapter.probing.completions import ask

    found = ask(model, text, plug or (), top)
    if as_json:
        rows = [
            {"word": word, "probability": p} | ({"continued": found.continued[place]} if found.continued else {})
            for place, (word, p) in enumerate(zip(found.words, found.probabilities, strict=True))
        ]
        asked = {"model": model, "plugged": [str(folder) for folder in plug or ()], "text": text}
        typer.echo(json.dumps(asked | {"top": rows}, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    table.add_column("word")
    table.add_column("probability", justify="right")
    if found.continued:
        table.add_column("and on", overflow="fold")
    for place, (word, p) in enumerate(zip(found.words, found.probabilities, strict=True)):
        table.add_row(Text(word or "(space)"), f"{p:.1%}", *(Text(said) for said in found.continued[place:][:1]))
    Console(highlight=False).print(table)
