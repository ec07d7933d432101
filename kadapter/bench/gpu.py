"""What one GPU does, in one table: `kadapter bench adapter|predict|finetune` at the sizes of roberta-large, the
pre-training of Wang et al. (2021) for some steps, and map-tuning. Weights are random: speed does not depend on them."""

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from kadapter.bench import adapter, examples, finetune, mapping, rows, table
from kadapter.bench.rows import Clock, Report
from kadapter.errors import KAdapterError
from kadapter.experiment import preset
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.machine.device import best_device
from kadapter.model.adapter import AdapterConfig, build_adapter
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import build_mapping
from kadapter.training.fit import fit
from kadapter.training.settings import Settings

PAPER = "wang2021_kadapter_roberta_large"
ENTITIES = 10_000


def measure(out: Path, tell: Callable[[str], object] = lambda row: None) -> Path:
    """Measure everything and write the table, which names the card. Raises KAdapterError where there is no GPU."""
    if not torch.cuda.is_available():
        raise KAdapterError(
            "this measures a GPU, and torch sees none here; kadapter bench adapter measures a processor"
        )
    started = time.perf_counter()
    torch.backends.cuda.matmul.allow_tf32 = True
    found = reports("roberta-large", 512, 200, tell)
    console = Console(width=160, highlight=False, record=True)
    card = torch.cuda.get_device_name()
    console.print(f"# {card}, CUDA {torch.version.cuda}, {torch.cuda.mem_get_info()[1] / 2**30:.0f} GiB")
    for report, measured in found:
        table.show(report, measured, console)
    console.print(f"all in {(time.perf_counter() - started) / 60:.1f} min")
    out.write_text(console.export_text(), encoding="utf-8")
    return out


def reports(
    backbone: str, sentences: int, steps: int, tell: Callable[[str], object]
) -> list[tuple[Report, dict[str, float]]]:
    """Each measurement, and what of it has a goal.

    Args:
        sentences: of the training sets of the first three.
        steps: of the paper's pre-training; map-tuning has a tenth of them.
    """
    plain = adapter.measure(backbone, sentences, tell=tell)
    answers = finetune.measure_predict(backbone, sentences, tell)
    tuned = finetune.measure(backbone, sentences, tell)
    own = _training(backbone, steps, tell)
    return [(plain, adapter.measured(plain)), (answers, dict(answers.ratios)), (tuned, dict(tuned.ratios)), (own, {})]


def _training(name: str, steps: int, tell: Callable[[str], object]) -> Report:
    """The paper's factual adapter, streamed in the paper's batches, and a mapping, both for some steps."""
    device = best_device()
    report = rows.begin(name, device)
    backbone, task = examples.make_backbone(name), examples.make_task("mean")
    entry = preset.read(PAPER)["knowledge"]["F"]
    size, rate = entry["training"]["batch_size"], entry["training"]["learning_rate"]
    sizes = entry["adapter"] if name in examples.ROBERTA else {}
    longest = min(examples.LONGEST, backbone.positions or examples.LONGEST)
    factual = KnowledgeModel(
        backbone, "concat", {"F": build_adapter(AdapterConfig.for_backbone(backbone, **sizes))}, task
    )
    sentences = examples.make_sentences(steps * size, backbone.config.vocab_size, longest=longest)
    _timed(
        report, f"{PAPER}, F, {steps} steps", factual, sentences, Settings(batch_size=size, learning_rate=rate), tell
    )
    vectors = np.random.default_rng(0).normal(size=(ENTITIES, mapping.WIDTH)).astype(np.float32)
    entities = EntityEmbeddings.from_arrays([f"Q{i}" for i in range(ENTITIES)], vectors)
    mapped = KnowledgeModel(backbone, task=task, mapping=build_mapping("bench", entities, backbone))
    few = max(2, steps // 10)
    made = examples.make_sentences(few * 32, backbone.config.vocab_size, longest=max(12, longest - 8))
    linked = dataclasses.replace(mapping.with_links(made, ENTITIES), linked=entities.fingerprint, key="")
    settings = Settings(regime="mapping", batch_size=32, learning_rate=1e-4)
    _timed(report, f"map_tuning, {few} steps", mapped, linked, settings, tell)
    return report


def _timed(report: Report, name: str, model: KnowledgeModel, encoded, settings: Settings, tell) -> None:
    tell(name)
    settings = dataclasses.replace(settings, epochs=1, store=False, select="last")
    with tempfile.TemporaryDirectory() as folder:

        def run(clock: Clock) -> None:
            fit(model, encoded, None, settings, folder, progress=False, callbacks=[clock])

        timed = rows.timed_fit(run, encoded, settings.batch_size, 1, best_device())
    report.rows.append(timed.row(name))
