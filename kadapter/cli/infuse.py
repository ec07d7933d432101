"""`kadapter infuse`: knowledge of one's own into a model, from a file."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def infuse(
    file: Annotated[
        Path, typer.Argument(help="Triples, sentences with marked entities, questions with answers, or CoNLL-U.")
    ],
    backbone: Annotated[str, typer.Option(help="Name, Hub id or folder of the model.")] = "smollm2",
    out: Annotated[Path, typer.Option(help="The adapter's folder, which must not exist.")] = Path("my_adapter"),
    minutes: Annotated[float, typer.Option(help="How long it may take, the control and all questions included.")] = 2.0,
    kind: Annotated[
        str | None,
        typer.Option(
            "--as", help="triples, sentences, questions or conllu.", show_default="recognised by the first lines"
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a file with a line of another kind.")] = False,
    templates: Annotated[
        Path | None,
        typer.Option(help="JSON, relation -> sentences with [X] and [Y].", show_default="made of the relations' names"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the adapter, the order and the control.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, nothing else.")] = False,
) -> None:
    """Put knowledge of your own into an adapter beside a frozen model; ends with a card and a page."""
    from kadapter.knowledge import own

    told = not as_json
    known = own.read(file, kind, strict)
    if told:
        typer.echo(f"{len(known):,} {'sentences' if known.trees is not None else 'facts'} from {file}: {_kind(known)}")
        for line in known.told():
            typer.echo(line)
    from kadapter.experiment.infusion import infuse
    from kadapter.report.infusion import write

    try:
        found = infuse(
            file, backbone, out, minutes=minutes, kind=kind, strict=strict, templates=templates, seed=seed
        )  # fmt: skip
    except KeyboardInterrupt:
        typer.echo("kadapter: stopped; the same command goes on where it was", err=True)
        raise typer.Exit(130) from None
    page = write(found)
    if as_json:
        typer.echo(json.dumps(found.summary, ensure_ascii=False))
        return
    _tell(found.summary, found.details)
    typer.echo(f"Page: {page}")
    if known.trees is None:
        typer.echo(f'Ask:  kadapter ask {backbone} --plug {out} "{found.details["examples"][0]["text"]}"')


def _kind(known: Any) -> str:
    return f"{known.kind} ({known.said}; --as says otherwise)"


def _tell(summary: dict[str, Any], details: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for column in (details["metric"], "before", "after", "control"):
        table.add_column(column, justify="left" if column == details["metric"] else "right")
    control = {"seen": details["control_seen"], "paraphrase": summary["control_after"]}
    names = {"seen": "as they were read", "paraphrase": "as they were never read"}
    for part, name in names.items():
        shares = (summary[f"{part}_before"], summary[f"{part}_after"], control[part])
        table.add_row(name, *("-" if share is None else f"{share:.0%}" for share in shares))
    if details["probes_before"] is not None:
        table.add_row("other real facts", f"{details['probes_before']:.0%}", f"{details['probes_after']:.0%}", "")
    if summary["perplexity_before"] is not None:
        table.add_row(
            "perplexity of other text", f"{summary['perplexity_before']:.2f}", f"{summary['perplexity_after']:.2f}", ""
        )
    Console(highlight=False).print(table)
