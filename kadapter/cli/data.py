"""`kadapter data`: what data is present; T-REx built from its documents or from LAMA; text parsed."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from kadapter.errors import unknown


class ListByDefault(typer.core.TyperGroup):
    """A group that alone, or with options alone, is its command `list`, as `kadapter data` and `kadapter presets`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `list` in front of options."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="List the data that is present (without a command); build T-REx-rc; parse text.", cls=ListByDefault
)


@app.command("list")
def list_(
    path: Annotated[Path | None, typer.Option(help="Folder to look in.", show_default="KADAPTER_DATA, or data")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, nothing else.")] = False,
) -> None:
    """List every dataset: what it is for, what is present and counted, what is missing and where it comes from."""
    from kadapter.data import listing

    found = listing.look(path)
    if as_json:
        typer.echo(json.dumps([one.plain() for one in found], indent=1))
        return
    from rich.console import Console

    # As wide as the table needs: a pipe must not cut numbers.
    console = Console(highlight=False) if sys.stdout.isatty() else Console(width=200, highlight=False)
    console.print(listing.table(found, listing.folder(path)))


def _builder(kind: str, sources: str, about: str) -> None:
    """A command that builds T-REx-rc from one kind of sources."""

    @app.command(kind, help=about)
    def command(
        source: Annotated[Path, typer.Argument(help=sources)],
        out: Annotated[Path, typer.Argument(help="Folder to write.")],
        rarity: Annotated[
            str, typer.Option(help="What is counted of a relation: entity_pairs (the paper) or examples.")
        ] = "entity_pairs",
        minimum: Annotated[int, typer.Option(help="A relation with fewer is left out.", min=1)] = 50,
        exclude: Annotated[
            list[str] | None,
            typer.Option(help="Relation to leave out, as P31 (the official code); may be given repeatedly."),
        ] = None,
        max_tokens: Annotated[
            int | None, typer.Option(help="Words of the longest sentence.", min=2, show_default="any")
        ] = None,
        dev_share: Annotated[float, typer.Option(help="Share of the sentences that go to dev.", min=0, max=1)] = 0.1,
        seed: Annotated[int, typer.Option(help="Of the division into train and dev.", min=0)] = 0,
        jobs: Annotated[
            int | None, typer.Option(help="Files read at once.", min=1, show_default="as many as there are cores")
        ] = None,
        keep_parts: Annotated[
            bool, typer.Option("--keep-parts", help="Keep OUT.parts: other settings will not read the sources again.")
        ] = False,
    ) -> None:
        settings = (rarity, minimum, tuple(exclude or ()), max_tokens, dev_share, seed)
        _build(kind, source, out, jobs, keep_parts, settings)


_builder(
    "trex",
    "Folder or zip of T-REx's JSON files, gzipped or not.",
    "Build the factual pre-training data from T-REx's documents. A build that was stopped goes on where it was.",
)
_builder(
    "lama",
    "LAMA's folder, or the TREx folder in it.",
    "Build factual pre-training data from the sentences of LAMA's T-REx.",
)


def _build(kind: str, source: Path, out: Path, jobs: int | None, keep_parts: bool, settings: tuple) -> None:
    from kadapter.data import trex_build

    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C: what is finished is kept
    try:
        wanted = trex_build.Settings(*settings)
        card = trex_build.build(source, out, wanted, kind=kind, jobs=jobs, keep_parts=keep_parts)
    except KeyboardInterrupt:
        typer.echo(f"kadapter: stopped; finished parts are kept in {out}.parts, the same command goes on", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"{card['triples']:,} triples in {card['documents']:,} documents of {card['files']:,} files")
    for reason, count in card["dropped"].items():
        typer.echo(f"  {count:>12,}  dropped: {reason}")
    for split, count in card["examples"].items():
        typer.echo(f"  {count:>12,}  {split}")
    typer.echo(f"{card['relations']:,} relations: {out}")


@app.command()
def facts(
    source: Annotated[Path, typer.Argument(help="ParaRel's folder, with trex_lms_vocab and pattern_data.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Plain texts of each kind that SmolLM2 says.", show_default="all")
    ] = None,
) -> None:
    """Choose the facts that come with the package anew from ParaRel; SmolLM2 says the plain text beside them."""
    from kadapter.data import facts_build

    for name, count in facts_build.build(source, out, limit).items():
        typer.echo(f"  {count:>12,}  {name}")


@app.command()
def leak(
    text: Annotated[Path, typer.Argument(help="What adapters learn from, as T-REx-rc's train.json.")],
    format: Annotated[str, typer.Option(help="Of the text (kadapter.catalog.FORMATS).")] = "trex_rc",
    probe: Annotated[str, typer.Option(help="lama-trex or another of LAMA's with subjects.")] = "lama-trex",
    data: Annotated[
        Path | None, typer.Option(help="The folder of the probe's files.", show_default="KADAPTER_DATA")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, nothing else.")] = False,
) -> None:
    """Count how much of a probe a text says: facts in it, others of its relations, and relations it says nothing of."""
    from kadapter import catalog
    from kadapter.data.places import probe_folder
    from kadapter.probing import leak, questions

    if probe not in catalog.PROBES:
        raise unknown("probe with subjects", probe, catalog.PROBES)
    folder = probe_folder(data)
    learned = leak.Learned.of(catalog.format_module(format).read(text), leak.relation_names(folder))
    rows = leak.overlap(learned, questions.PROBES[probe](folder).table).to_dict("records")
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        typer.echo(f"{row['n']:>8,}  {row['share']:>6.1%}  {row['kind']} ({row['relations']} relations)")


@app.command()
def parse(
    text: Annotated[Path, typer.Argument(help="Text file, one text per line, gzipped or not.")],
    out: Annotated[Path, typer.Argument(help="CoNLL-U file to write; gzipped when it ends in .gz.")],
    parser: Annotated[
        str, typer.Option(help="spacy or stanza, installed as an extra: pip install 'kadapter\\[spacy]'.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Of the parser.", show_default="en_core_web_sm for spacy, the language en for stanza"),
    ] = None,
    paragraphs: Annotated[bool, typer.Option("--paragraphs", help="A text goes on until an empty line.")] = False,
) -> None:
    """Parse plain text into a CoNLL-U treebank, for linguistic knowledge."""
    from kadapter.data import parsers

    count = parsers.parse(text, out, parser, model, paragraphs)
    typer.echo(f"{count:,} sentences: {out}")


def _interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
