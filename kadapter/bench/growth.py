"""Time and memory against the number of sentences: linear and flat, where all is as it should be."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kadapter.bench import examples, rows
from kadapter.bench.machine import peak_memory
from kadapter.bench.rows import Report, Row
from kadapter.machine.device import best_device, has_bf16
from kadapter.model.adapter import build_adapter
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.fit import Settings, attach_store, fit


def measure(
    name: str,
    sizes: Sequence[int] = (1000, 10_000),
    tell: Callable[[str], object] = lambda row: None,
    matmul_seconds: float = 1.0,
) -> Report:
    """The rows of `kadapter bench growth`: writing the store and one epoch from it, for each number of sentences.

    `seconds` holds both; `memory_growth_bytes` is how far memory rose above what the backbone and sentences take.
    """
    device = best_device()
    bf16 = has_bf16(device)
    report = rows.begin(name, device, matmul_seconds)
    backbone = examples.make_backbone(name)
    task = examples.make_task()
    config = examples.make_config(backbone, width=128, layers=1, heads=4, inner=512)
    settings = Settings(batch_size=32, learning_rate=1e-4, epochs=1, store=True, bf16=bf16, select="last")
    for size in sizes:
        encoded = examples.make_sentences(size, backbone.config.vocab_size)
        model = KnowledgeModel(backbone, "concat", {"F": build_adapter(config)}, task).to(device)
        with tempfile.TemporaryDirectory() as folder, peak_memory(device) as peak:
            tell(f"{size:,} sentences: store")
            start = time.perf_counter()
            stored = attach_store(model, encoded, settings, bf16, Path(folder))
            writing = time.perf_counter() - start
            stored_bytes = examples.folder_size(Path(folder))
            tell(f"{size:,} sentences: one epoch")
            fit(model, stored, None, settings, Path(folder) / "fit", progress=False)
            seconds = time.perf_counter() - start
            del stored
        tokens = int(encoded.lengths.sum())
        more = {
            "sentences": size,
            "seconds": seconds,
            "seconds_of_writing": writing,
            "memory_growth_bytes": peak.growth,
        }
        row = Row(f"{size}", size / seconds, tokens / seconds, peak.bytes, store_bytes=stored_bytes, more=more)
        report.rows.append(row)
    return report
