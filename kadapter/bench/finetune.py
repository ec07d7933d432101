"""Fine-tuning (Section 4) in each regime, and predicting with two adapters against the backbone alone."""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

from kadapter.bench import examples, rows
from kadapter.bench.machine import now, peak_memory
from kadapter.bench.rows import Clock, Report
from kadapter.machine.device import best_device, has_bf16
from kadapter.model.adapter import build_adapter
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.fit import Settings, fit
from kadapter.training.predict import predict

BATCH, RATE, EPOCHS = 32, 1e-4, 3
REPEATS = 3


def measure(
    name: str,
    sentences: int = 128,
    tell: Callable[[str], object] = lambda row: None,
    matmul_seconds: float = 1.0,
) -> Report:
    """The rows of `kadapter bench finetune`: a backbone with one adapter in the regimes frozen, paper and full.

    `frozen` reads stored features; their writing is in its `seconds_to_first_step`.
    """
    device = best_device()
    report = rows.begin(name, device, matmul_seconds)
    backbone = examples.make_backbone(name)
    adapter, task = build_adapter(examples.make_config(backbone)), examples.make_task()
    encoded = examples.make_sentences(sentences, backbone.config.vocab_size)
    for regime in ("frozen", "paper", "full"):
        tell(regime)
        own = (backbone, adapter) if regime == "frozen" else (copy.deepcopy(backbone), copy.deepcopy(adapter))
        model = KnowledgeModel(own[0], "concat", {"F": own[1]}, task)
        settings = Settings(regime=regime, batch_size=BATCH, learning_rate=RATE, epochs=EPOCHS, select="last")
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)

            def run(clock: Clock, model=model, settings=settings, out=out) -> None:
                fit(model, encoded, None, settings, out, progress=False, cache=out / "cache", callbacks=[clock])

            timed = rows.timed_fit(run, encoded, BATCH, EPOCHS, device)
            stored = examples.folder_size(out / "cache") if (out / "cache").exists() else None
        report.rows.append(timed.row(regime, store_bytes=stored))
    report.ratio("frozen", "paper")
    report.ratio("paper", "full")
    return report


def measure_predict(
    name: str,
    sentences: int = 128,
    tell: Callable[[str], object] = lambda row: None,
    matmul_seconds: float = 1.0,
) -> Report:
    """The rows of `kadapter bench predict`: answering with adapters F and L plugged, and with the backbone alone."""
    device = best_device()
    report = rows.begin(name, device, matmul_seconds)
    backbone = examples.make_backbone(name)
    config, task = examples.make_config(backbone), examples.make_task()
    encoded = examples.make_sentences(sentences, backbone.config.vocab_size)
    models = {
        "backbone": KnowledgeModel(backbone, task=task),
        "F+L": KnowledgeModel(backbone, adapters={n: build_adapter(config, i) for i, n in enumerate("FL")}, task=task),
    }
    bf16 = has_bf16(device)
    fastest = dict.fromkeys(models, float("inf"))
    peaks = dict.fromkeys(models, 0)
    for repeat in range(REPEATS + 1):  # in turn, so that both meet the same machine; the first time warms up
        for which, model in models.items():
            tell(f"{which}, {repeat + 1} of {REPEATS + 1}")
            model.to(device)
            with peak_memory(device) as peak:
                start = now(device)
                predict(model, encoded, bf16=bf16)
                seconds = now(device) - start
            if repeat:
                fastest[which], peaks[which] = min(fastest[which], seconds), max(peaks[which], peak.bytes)
    for which, seconds in fastest.items():
        speed = sentences / seconds
        report.rows.append(rows.Row(which, speed, speed * float(encoded.lengths.mean()), peaks[which]))
    report.ratios["F+L/backbone, time"] = fastest["F+L"] / fastest["backbone"]
    return report
