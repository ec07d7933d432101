"""`kadapter probe`: ask a model for facts, and score it as LAMA does."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from kadapter import catalog
from kadapter.errors import KAdapterError, unknown

PROBES = (
    "lama-trex", "lama-google-re", "lama-conceptnet", "lama-squad", "lama-negated", "pararel", "entity-questions",
)  # fmt: skip


def probe(
    model: Annotated[str, typer.Argument(help="A backbone's name or folder, a saved model or adapter, or a run.")],
    probe: Annotated[str, typer.Option(help=f"One of {', '.join(PROBES)}.")] = "lama-trex",
    words: Annotated[str, typer.Option(help="Word list: a file, or a name in the data folder.")] = (
        "common_vocab_cased.txt"
    ),
    uhn: Annotated[bool, typer.Option("--uhn", help="Leave out facts that the name gives away (LAMA-UHN).")] = False,
    names_by: Annotated[
        str | None,
        typer.Option(
            help="Masked model of the filter of persons' names.", show_default="the probed model, where it is masked"
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many facts of a relation.")] = None,
    learned: Annotated[
        Path | None,
        typer.Option(help="What adapters learned from, as T-REx-rc's train.json: scores apart by what it says."),
    ] = None,
    learned_format: Annotated[str, typer.Option(help="Of --learned (kadapter.catalog.FORMATS).")] = "trex_rc",
    data: Annotated[
        Path | None, typer.Option(help="The folder of the probes' files.", show_default="KADAPTER_DATA")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list of rows, nothing else.")] = False,
) -> None:
    """Ask a language model for facts; P@1, P@10 and MRR a relation and on average, beside two baselines."""
    if probe not in PROBES:
        raise unknown("probe", probe, PROBES)
    from kadapter.data.places import probe_folder

    folder = probe_folder(data)
    if learned is not None and probe not in catalog.PROBES:
        raise KAdapterError(f"--learned: probe {probe!r} has no subjects; expected one of {', '.join(catalog.PROBES)}")
    text = None if learned is None else catalog.format_module(learned_format).read(learned)
    rows, notes = _ask(model, probe, words, uhn, names_by, limit, folder, text, not as_json)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    _table(rows)
    for note in notes:
        typer.echo(note)


def _ask(
    named: str,
    probe: str,
    words: str,
    uhn: bool,
    names_by: str | None,
    limit: int | None,
    folder: Path,
    text: Any,
    progress: bool,
) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows, and what a person should know beside them."""
    from kadapter.formats import lama
    from kadapter.probing import consistency, leak, negated, questions
    from kadapter.probing import uhn as filters
    from kadapter.probing.models import load
    from kadapter.probing.probe import ask
    from kadapter.probing.words import word_list
    from kadapter.training.language import speaking_task

    asked = None if probe == "pararel" else questions.PROBES["lama-trex" if probe == "lama-negated" else probe](folder)
    model, tokenizer = load(named)
    if asked is None:
        found = consistency.ask(model, tokenizer, folder, limit, progress=progress)
        return found.rows(named), _counted(found.dropped)
    listed = word_list(tokenizer, words, folder)
    notes = [f"word list {listed.name}: {len(listed):,} of {listed.size:,} words are one token of {named}"]
    if uhn:
        guesser: tuple[Any, Any] = load(names_by) if names_by else (None, None)
        if names_by is None and speaking_task(model).reading == "masked":
            guesser = (model, tokenizer)
        asked = filters.filtered(asked, *guesser, progress=progress)
        by = names_by or (named if guesser[0] is not None else "nobody: it needs a masked model (--names-by)")
        notes.append(f"LAMA-UHN: both filters, persons' names by {by}")
    if probe == "lama-negated":
        templates = lama.negated_templates(questions.relations_file(folder))
        table = negated.ask(model, tokenizer, asked, listed, templates, limit, progress=progress)
        return negated.rows(table, named, listed), notes
    answers = ask(model, tokenizer, asked, listed, limit, progress=progress)
    if text is not None:
        notes += _apart(answers, asked, leak.Learned.of(text, leak.relation_names(folder)))
    return answers.rows(named, f"{probe}-uhn" if uhn else probe), notes + _counted(answers.dropped)


def _apart(answers: Any, asked: Any, learned: Any) -> list[str]:
    """What was learned of all facts of the probe, and of those that were asked with their P@1."""
    from kadapter.probing import leak

    ranks = {"P@1": answers.table["rank"].to_numpy()}
    scored = (
        leak.table(learned.kinds(answers.table), ranks, answers.table["relation"]).set_index("kind").to_dict("index")
    )
    whole = leak.overlap(learned, asked.table).set_index("kind").to_dict("index")
    return [
        f"{kind}: {whole[kind]['n']:,} facts of the probe ({whole[kind]['share']:.1%}), asked "
        f"{scored[kind]['n']:,}" + (f", P@1 {100 * scored[kind]['P@1']:.1f}" if scored[kind]["n"] else "")
        for kind in leak.KINDS
    ]


def _counted(dropped: Mapping[str, int]) -> list[str]:
    return [f"left out, {reason}: {count:,}" for reason, count in dropped.items() if count]


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        line = lines.setdefault((row["model"], row["relation"]), {"n": row["n"]})
        line[row["metric"]] = row["value"]
    table = Table()
    for column in ("model", "relation", *metrics, "n"):
        table.add_column(column, justify="left" if column in ("model", "relation") else "right")
    for (model, relation), line in lines.items():
        if relation == "macro":
            values = [f"{100 * line[m]:.1f}" if m in line else "" for m in metrics]
            table.add_row(model, relation, *values, f"{line['n']:,}", style="bold")
    table.add_section()
    for (model, relation), line in lines.items():
        if relation != "macro" and model == rows[0]["model"]:
            table.add_row(
                model, relation, *[f"{100 * line[m]:.1f}" if m in line else "" for m in metrics], f"{line['n']:,}"
            )
    Console(width=160, highlight=False).print(table)
