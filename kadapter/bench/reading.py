"""How fast the readers of published formats are: the world's files, repeated until they are large."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from kadapter import catalog
from kadapter.bench import rows
from kadapter.bench.machine import peak_memory
from kadapter.bench.rows import Report, Row
from kadapter.world import build

FILES = {  # format -> the world's file
    "trex_rc": "trex/train.json",
    "tacred": "tacred/train.json",
    "entity_typing": "entity_typing/train.json",
    "fewrel": "fewrel/train.json",
    "cosmosqa": "cosmosqa/train.jsonl",
    "conllu": "conllu/train.conllu",
}
JSON_FORMATS = ("trex_rc", "tacred", "entity_typing", "fewrel", "cosmosqa")


def measure(
    records: int = 100_000,
    entities: int = 200,
    tell: Callable[[str], object] = lambda row: None,
    matmul_seconds: float = 1.0,
) -> Report:
    """The rows of `kadapter bench data`: records a second of each reader on one core, and how far memory rises.

    A row's `records_per_second` counts what the reader returns, from a file of at least `records` of them.
    """
    report = rows.begin("none", torch.device("cpu"), matmul_seconds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tell("the world")
        build(folder / "world", entities=entities)
        for kind, file in FILES.items():
            tell(kind)
            module = catalog.format_module(kind)
            path = folder / "world" / file
            large = folder / f"large{path.suffix}"
            times = -(-records // len(module.read(path)))
            large.write_text(repeated(path.read_text(encoding="utf-8"), path.suffix, times), encoding="utf-8")
            with peak_memory(torch.device("cpu")) as peak:
                start = time.perf_counter()
                found = len(module.read(large))
                seconds = time.perf_counter() - start
            more = {
                "records_per_second": found / seconds,
                "records": found,
                "file_bytes": large.stat().st_size,
                "memory_growth_bytes": peak.growth,
            }
            report.rows.append(Row(kind, found / seconds, 0.0, peak.bytes, more=more))
            large.unlink()
    speeds = [row.sentences_per_second for row in report.rows if row.name in JSON_FORMATS]
    report.ratios["records a second, slowest JSON format"] = min(speeds)
    return report


def repeated(text: str, suffix: str, times: int) -> str:
    """A file's records `times` over: items of a JSON list, of the lists in a JSON object, or lines."""
    if suffix != ".json":
        return text * times
    contents = json.loads(text)
    if isinstance(contents, list):
        body = text.strip()[1:-1]
        return f"[{','.join([body] * times)}]"
    return json.dumps({key: items * times for key, items in contents.items()})
