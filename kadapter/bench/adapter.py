"""Pre-training one adapter (Section 3.2): naive, streamed, from the store, and LoRA; and several models at once."""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from kadapter.bench import examples, flops, lora, naive, rows
from kadapter.bench.rows import Clock, Report
from kadapter.machine.device import best_device, has_bf16
from kadapter.model.adapter import build_adapter
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.fit import Settings, attach_store, fit, fit_together

BATCH, NAIVE_BATCH, RATE, EPOCHS, FUSION = 32, 8, 1e-4, 5, "project"
MODELS = 3  # in the shared pass
ROWS = ("naive", "lora", "stream", "together", "store")


def measure(
    name: str,
    sentences: int = 512,
    naive_steps: int = 4,
    lora_steps: int = 5,
    chosen: Sequence[str] = ROWS,
    tell: Callable[[str], object] = lambda row: None,
    matmul_seconds: float = 1.0,
) -> Report:
    """The rows of `kadapter bench adapter`.

    Args:
        name: of the backbone.
        sentences: of the training set, 35 tokens each on average. Few of them make batches of mixed lengths, which
            are padded: by a tenth with 256 sentences, by a fiftieth with 1,600.
        naive_steps, lora_steps: steps of the two loops that are not ours.
        chosen: which rows to measure.
        tell: is called with the name of each row before it is measured.
        matmul_seconds: how long the machine itself is measured.
    """
    device = best_device()
    bf16 = has_bf16(device)
    report = rows.begin(name, device, matmul_seconds)
    rate = report.machine["matmul_flops"]
    backbone = examples.make_backbone(name)
    config, task = examples.make_config(backbone), examples.make_task()
    encoded = examples.make_sentences(sentences, backbone.config.vocab_size)
    mean = float(encoded.lengths.mean())

    def model(seed: int = 0) -> KnowledgeModel:
        return KnowledgeModel(backbone, FUSION, {"F": build_adapter(config, seed)}, task, seed)

    layers = model().head
    assert layers is not None  # the task gives one
    head = flops.head_training(layers)
    step = flops.adapter_training(config, mean) + flops.fusion_training(FUSION, config.hidden_size)
    forward = flops.backbone_forward(backbone, mean)

    def settings(**more) -> Settings:
        return Settings(batch_size=BATCH, learning_rate=RATE, epochs=1, bf16=bf16, select="last", **more)

    def adapter_flops(n: int, tokens: int) -> flops.Number:
        return step * tokens + head * n

    def streamed_flops(n: int, tokens: int) -> flops.Number:
        return adapter_flops(n, tokens) + forward * tokens

    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        if "naive" in chosen:
            tell("naive")
            loop = naive.Model(backbone, config, task, FUSION)
            steps = naive.train(loop, encoded, min(NAIVE_BATCH, sentences), naive_steps, RATE, device)
            report.rows.append(rows.timed_loop(steps, encoded, device).row("naive", streamed_flops, rate))
            backbone.model.set_attn_implementation("sdpa")
            del loop, steps
        if "lora" in chosen:
            tell("lora")
            tuned = lora.build(backbone, task)
            with tuned.backbone.in_bf16() if bf16 else nullcontext():
                steps = lora.train(tuned, encoded, min(BATCH, sentences), lora_steps, RATE, device, bf16)
                report.rows.append(rows.timed_loop(steps, encoded, device).row("lora"))
            del tuned, steps
        if "stream" in chosen:
            tell("stream")
            one = settings(store=False)

            def stream(clock: Clock) -> None:
                fit(model(), encoded, None, one, folder, progress=False, callbacks=[clock])

            timed = rows.timed_fit(stream, encoded, BATCH, 1, device)
            report.rows.append(timed.row("stream", streamed_flops, rate))
        if "together" in chosen:
            tell(f"{MODELS} models at once")
            several = {str(seed): model(seed) for seed in range(MODELS)}

            def together(clock: Clock) -> None:
                fit_together(several, encoded, None, settings(store=False), folder, progress=False, callbacks=[clock])

            timed = rows.timed_fit(together, encoded, BATCH, 1, device)
            report.rows.append(timed.row(f"stream_{MODELS}_models"))
            if "stream" in chosen:
                ratio = report["stream"].sentences_per_second / report[f"stream_{MODELS}_models"].sentences_per_second
                report.ratios["further model/first"] = (ratio - 1) / (MODELS - 1)
        if "store" in chosen:
            tell("store")
            many = Settings(**settings(store=True).to_dict() | {"epochs": EPOCHS})
            first = model().to(device)
            began = time.perf_counter()
            stored = attach_store(first, encoded, many, bf16, folder / "cache")
            writing = time.perf_counter() - began

            def store(clock: Clock) -> None:
                fit(first, stored, None, many, folder, progress=False, callbacks=[clock])

            timed = rows.timed_fit(store, encoded, BATCH, EPOCHS, device)
            size = examples.folder_size(folder / "cache")
            report.rows.append(timed.row("store", adapter_flops, rate, store_bytes=size))
            seconds, tokens = writing + timed.ends[-1] - timed.began, int(encoded.lengths.sum())
            needed = EPOCHS * adapter_flops(sentences, tokens) + forward * tokens
            report.rows.append(
                rows.Row(
                    "store_with_writing",
                    EPOCHS * sentences / seconds,
                    EPOCHS * tokens / seconds,
                    timed.peak,
                    needed / seconds / rate,
                    seconds_to_first_step=writing + timed.ends[0] - timed.began,
                    store_bytes=size,
                    more={"seconds_of_writing": writing},
                )
            )
        shutil.rmtree(folder / "cache", ignore_errors=True)
    for pair in (("store", "naive"), ("stream", "naive"), ("store", "lora"), ("store_with_writing", "naive")):
        report.ratio(*pair)
    return report


def measured(report: Report) -> dict[str, float]:
    """What the report holds of the goals, by their names."""
    found = dict(report.ratios)
    if any(row.name == "store" for row in report.rows):
        share = report["store"].matmul_share
        if share is not None:
            found["matmul share of store"] = share
    return found


def quality(data: Path, seeds: int = 3, tell: Callable[[str], object] = lambda row: None) -> dict[str, list[float]]:
    """Dev scores (micro F1) of the factual adapter of the preset `embedded`, trained by the naive loop in float32 and
    by `fit` from the store, with the same sizes, batch size, learning rate and epochs: name -> one score a seed.

    Args:
        data: folder for the world's files; written if it is not there.
    """
    from kadapter.experiment import preset
    from kadapter.experiment.prepared import Data, prepare
    from kadapter.experiment.stages import Pretraining

    experiment = preset.load("embedded")
    entry = experiment["knowledge"]["F"]
    if not (data / "data.json").exists():
        prepare(data, {entry["dataset"]: experiment["datasets"][entry["dataset"]]}, experiment["data"])
    training = entry["training"]
    scores: dict[str, list[float]] = {"naive": [], "store": []}
    for seed in range(seeds):
        stage = Pretraining(
            name="F",
            data=Data(data),
            dataset=entry["dataset"],
            knowledge=entry["knowledge"],
            backbone=experiment["backbone"],
            adapter=entry["adapter"],
            training=training | {"select": "last"},
            fusion=experiment["fusion"],
            task_options=entry.get("task_options"),
            seed=seed,
        )
        train, dev = stage.split("train"), stage.split("dev")
        tell(f"store, seed {seed}")
        with tempfile.TemporaryDirectory() as folder:
            stage.fit(Path(folder), progress=False)
        scores["store"].append(stage.predict().scores["f1"])
        tell(f"naive, seed {seed}")
        torch.manual_seed(seed)
        loop = naive.Model(stage.backbone, stage.config, stage.task, experiment["fusion"])
        size, device = training["batch_size"], best_device()
        steps = len(train) // size * training["epochs"]
        warmup = int(training["warmup_ratio"] * steps)
        for _ in naive.train(loop, train, size, steps, training["learning_rate"], device, warmup, seed):
            pass
        scores["naive"].append(naive.score(loop, dev, device))
    return scores
