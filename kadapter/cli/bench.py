"""Commands about speed: `kadapter bench` measures it, `kadapter features` shows what is kept for it."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kadapter.errors import KAdapterError

if TYPE_CHECKING:  # `kadapter --help` does not wait for torch
    from kadapter.bench.rows import Report

bench = typer.Typer(help="Measure speed and memory against doing without.", no_args_is_help=True)
features = typer.Typer(help="The frozen states kept on disk.", no_args_is_help=True)

Backbone = Annotated[
    str, typer.Option(help="minilm, smollm2, a folder, a Hub id; roberta-base and roberta-large get random weights.")
]
QUICK = {  # what --quick makes of each default
    "sentences": 48,
    "steps": 2,
    "records": 2000,
    "entities": 60,
    "sizes": "50,200",
    "matmul_seconds": 0.1,
}
Sentences = Annotated[
    int | None,
    typer.Option(
        min=2,
        help="Sentences in the training set, 35 tokens each on average.",
        show_default="512 for adapter, else 128",
    ),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="As little as tells the order of magnitude: seconds, not minutes.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object, nothing else.")]


@contextmanager
def _telling(total: int | None = None):
    """A bar on stderr that names what is being measured."""
    from tqdm.auto import tqdm

    with tqdm(total=total, unit="row", leave=False) as bar:

        def tell(what: str) -> None:
            bar.set_description(what)
            bar.update()

        yield tell


def _print(report: "Report", measured: Mapping[str, float], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=1))
        return
    from rich.console import Console

    from kadapter.bench.table import show

    show(report, measured, Console(width=160, highlight=False))


@bench.command()
def adapter(
    backbone: Backbone = "minilm",
    sentences: Sentences = None,
    steps: Annotated[
        int | None, typer.Option(min=2, help="Steps of the loops naive and lora.", show_default="5")
    ] = None,
    rows: Annotated[str, typer.Option(help="Which rows, separated by commas.")] = "naive,lora,stream,together,store",
    quality: Annotated[
        bool, typer.Option("--quality", help="Instead: dev scores of naive and store on `embedded`, three seeds.")
    ] = False,
    data: Annotated[Path, typer.Option(help="Folder of the world for --quality.")] = Path("runs/bench/data"),
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Pre-train one adapter: the plain official-style loop, LoRA, streamed states, stored states."""
    from kadapter.bench import adapter as measuring
    from kadapter.errors import unknown

    chosen = rows.split(",")
    for row in chosen:
        if row not in measuring.ROWS:
            raise unknown("row", row, measuring.ROWS)
    if quality:
        with _telling(6) as tell:
            scores = measuring.quality(data, tell=tell)
        typer.echo(json.dumps(scores, indent=1) if as_json else _scores(scores))
        return
    with _telling(len(chosen)) as tell:
        sentences, steps = sentences or _size(quick, "sentences", 512), steps or _size(quick, "steps", 5)
        seconds = _size(quick, "matmul_seconds", 1.0)
        report = measuring.measure(backbone, sentences, steps, steps, chosen, tell, seconds)
    _print(report, measuring.measured(report), as_json)


def _scores(scores: Mapping[str, list[float]]) -> str:
    lines = []
    for name, values in scores.items():
        shown = " ".join(f"{100 * v:.1f}" for v in values)
        lines.append(f"{name:6} dev micro F1 {shown}  mean {100 * sum(values) / len(values):.1f}")
    return "\n".join(lines)


@bench.command()
def finetune(
    backbone: Backbone = "minilm", sentences: Sentences = None, quick: Quick = False, as_json: Json = False
) -> None:
    """Fine-tune with one adapter in the regimes frozen (from stored features), paper and full."""
    from kadapter.bench.finetune import measure

    sentences = sentences or _size(quick, "sentences", 128)
    _run(lambda tell: measure(backbone, sentences, tell, _size(quick, "matmul_seconds", 1.0)), 3, as_json)


@bench.command()
def predict(
    backbone: Backbone = "minilm", sentences: Sentences = None, quick: Quick = False, as_json: Json = False
) -> None:
    """Predict with adapters F and L plugged, against the backbone alone."""
    from kadapter.bench.finetune import measure_predict

    sentences = sentences or _size(quick, "sentences", 128)
    _run(lambda tell: measure_predict(backbone, sentences, tell, _size(quick, "matmul_seconds", 1.0)), 8, as_json)


@bench.command()
def data(
    records: Annotated[
        int | None, typer.Option(min=1, help="At least so many in each file.", show_default="100000")
    ] = None,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Read large files of the published formats on one core."""
    from kadapter.bench.reading import measure

    sizes = records or _size(quick, "records", 100_000), _size(quick, "entities", 200)
    _run(lambda tell: measure(*sizes, tell, _size(quick, "matmul_seconds", 1.0)), 7, as_json)


@bench.command()
def growth(
    backbone: Backbone = "minilm",
    sizes: Annotated[
        str | None,
        typer.Option(help="Numbers of sentences, separated by commas.", show_default="1000,10000,100000"),
    ] = None,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Time and memory of pre-training against the number of sentences."""
    from kadapter.bench.growth import measure

    sizes = sizes or _size(quick, "sizes", "1000,10000,100000")
    try:
        numbers = [int(size) for size in sizes.split(",")]
    except ValueError:
        raise KAdapterError(f"--sizes {sizes}: expected whole numbers separated by commas") from None
    seconds = _size(quick, "matmul_seconds", 1.0)
    _run(lambda tell: measure(backbone, numbers, tell, seconds), 2 * len(numbers), as_json)


@bench.command()
def mapping(
    backbone: Backbone = "minilm",
    steps: Annotated[int | None, typer.Option(min=2, help="Batches of each.", show_default="24")] = None,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Read sentences as they are and with mapped vectors of their entities, in turns."""
    from kadapter.bench.mapping import measure

    count = steps or _size(quick, "steps", 24)
    seconds = _size(quick, "matmul_seconds", 1.0)
    _run(lambda tell: measure(backbone, steps=int(count), tell=tell, matmul_seconds=seconds), 1, as_json)


@bench.command()
def gpu(out: Annotated[Path, typer.Option(help="File to write.")] = Path("gpu.txt")) -> None:
    """Everything that a GPU is measured by, at the sizes of roberta-large, in one table; `make gpu` runs it."""
    from kadapter.bench.gpu import measure

    with _telling() as tell:
        written = measure(out, tell)
    typer.echo(written.read_text(encoding="utf-8"))


def _size(quick: bool, name: str, usual: int | float | str):
    return QUICK[name] if quick else usual


def _run(measure: Callable[[Callable[[str], object]], "Report"], total: int, as_json: bool) -> None:
    with _telling(total) as tell:
        report = measure(tell)
    _print(report, report.ratios, as_json)


@features.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="A JSON list of rows.")] = False) -> None:
    """Show the stores: size, backbone, tokens, when they were last used."""
    from kadapter.training.features import gigabytes, stores, told_cache

    rows = stores()
    if as_json:
        typer.echo(json.dumps([row | {"folder": str(row["folder"])} for row in rows], indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("size", "backbone", "holds", "dtype", "tokens", "last used", "folder"):
        table.add_column(column, justify="right" if column in ("size", "tokens") else "left")
    for row in rows:
        holds = f"{row['kind']} {row['state_indices'] or '+'.join(row['adapters'] or []) or ''}".strip()
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["used"]))
        size, name = gigabytes(row["bytes"]), row["folder"].name[:8]
        table.add_row(size, row["backbone"], holds, row["dtype"], f"{row['tokens']:,}", used, name)
    console = Console(width=160, highlight=False)
    if rows:
        console.print(table)
    console.print(told_cache())


@features.command()
def clear() -> None:
    """Remove all stores; they are computed again when they are needed."""
    from kadapter.training.features import clear, gigabytes

    count, freed = clear()
    typer.echo(f"removed {count} stores, {gigabytes(freed)}")
