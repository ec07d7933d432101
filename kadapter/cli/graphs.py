"""`kadapter graphs`: entity embeddings from triples, and what of a text they know."""

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Train entity embeddings; link texts to them.", no_args_is_help=True)
Embeddings = Annotated[Path, typer.Argument(help="Folder of entity embeddings (.npy and entity2id.txt).")]


@app.command()
def embed(
    train: Annotated[Path, typer.Argument(help="Triples: head<TAB>relation<TAB>tail, gzipped or not.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    valid: Annotated[Path | None, typer.Option(help="Triples to rank.")] = None,
    test: Annotated[Path | None, typer.Option(help="Triples to rank.")] = None,
    model: Annotated[str, typer.Option(help="transe, transr or rotate.")] = "transe",
    width: Annotated[int, typer.Option(help="Numbers of a vector.")] = 128,
    epochs: Annotated[int, typer.Option(help="Passes over the triples.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Triples of a step.")] = 512,
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 0.01,
    negatives: Annotated[int, typer.Option(help="Corrupted triples for each.")] = 8,
    seed: Annotated[int, typer.Option(help="Of weights, order and negatives.")] = 0,
) -> None:
    """Train embeddings of a graph's entities with pykeen; prints their card with the rank metrics."""
    from kadapter.formats import triples
    from kadapter.graphs.training import train_embeddings

    held_out = {name: triples.read(path) for name, path in (("valid", valid), ("test", test)) if path}
    settings: dict[str, Any] = {
        "model": model, "width": width, "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "negatives": negatives, "seed": seed,
    }  # fmt: skip
    made = train_embeddings(triples.read(train), held_out, **settings)
    made.save(out)
    typer.echo(made.card())


@app.command()
def link(
    file: Annotated[Path, typer.Argument(help="A dataset's file.")],
    embeddings: Embeddings,
    format: Annotated[str, typer.Option(help="How it is read, as opennre, trex_rc, fewrel, entity_typing, wiki_et.")],
    surfaces: Annotated[Path | None, typer.Option(help="entity_map.txt, for mentions without an id.")] = None,
    rows: Annotated[bool, typer.Option("--rows", help="Its ids are rows of the embeddings, as Wiki-ET's.")] = False,
    others: Annotated[bool, typer.Option("--others", help="Typing: entities elsewhere in the sentence, too.")] = False,
) -> None:
    """Count the mentions of a file that are linked, have no id, have no vector, or are ambiguous."""
    from kadapter import catalog
    from kadapter.graphs import surfaces as maps
    from kadapter.graphs.embeddings import EntityEmbeddings
    from kadapter.graphs.linking import linked

    known = None if surfaces is None else maps.read(surfaces)
    dataset = catalog.format_module(format).read(file)
    found = linked(dataset, EntityEmbeddings.open(embeddings), known, rows=rows, others=others)
    typer.echo(f"{found.counts.to_string()}\n{found.coverage:.1%} of the mentions are linked")


@app.command()
def questions(
    folder: Annotated[Path, typer.Argument(help="EntityQuestions' folder `dataset`.")],
    embeddings: Embeddings,
    names: Annotated[Path, typer.Argument(help="entity_map.txt, or entity2text.txt (id<TAB>name).")],
    out: Annotated[Path, typer.Argument(help="Folder to write train.jsonl, dev.jsonl and test.jsonl.")],
    one_piece: Annotated[
        str | None, typer.Option(help="Ask only for answers that are one token of this backbone's.")
    ] = None,
) -> None:
    """EntityQuestions with linked subjects as the format linked_cloze; questions without a linked one are dropped."""
    from kadapter.formats import linked_cloze
    from kadapter.graphs import questions as asked
    from kadapter.graphs import surfaces as maps
    from kadapter.graphs.embeddings import EntityEmbeddings

    known = maps.of_texts(names) if names.name.startswith("entity2text") else maps.read(names)
    entities = EntityEmbeddings.open(embeddings)
    usable = None
    if one_piece:
        from kadapter.model.backbone import load_tokenizer

        usable = asked.one_piece(load_tokenizer(one_piece))
    for split in ("train", "dev", "test"):
        found = asked.read(folder, split, known, entities, usable)
        linked_cloze.write(found.dataset, out / f"{split}.jsonl")
        typer.echo(f"{split}: {len(found.dataset):,} questions\n{found.counts.to_string()}")
        for reason, count in found.dropped.items():
            typer.echo(f"  {count:>12,}  dropped: {reason}")
