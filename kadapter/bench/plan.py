"""What a preset will take, before anything runs: time, memory and disk of each stage from the sizes of its data and the
rates that a short calibration measures with its backbone on this machine."""

import copy
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from kadapter import catalog
from kadapter.bench import examples
from kadapter.bench.machine import now, peak_memory
from kadapter.experiment import preset, progress
from kadapter.experiment.examples import Examples
from kadapter.experiment.graph import Stage
from kadapter.experiment.prepared import Data, prepare
from kadapter.machine import threads
from kadapter.machine.device import best_device, has_bf16
from kadapter.model.adapter import AdapterConfig, build_adapter
from kadapter.model.backbone import load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel, tunings_of
from kadapter.training.batches import encode
from kadapter.training.features import cache_limit, cache_root, gigabytes
from kadapter.training.fit import STORE_LIMIT, Settings, attach_store, fit
from kadapter.training.predict import predict

OWN = 4.0  # seconds of a stage beside its work: kernel, backbone, tokens, what it saves (AMD EPYC, one core)
READ_WHOLE = 50e6  # bytes; the examples of larger files are not read but guessed from their size
READ_A_SECOND = 1e7  # bytes of JSON that the stage `data` reads, checks, compares and hashes
BYTES_AN_EXAMPLE = 500  # then
SAMPLE = 256  # examples that are encoded to see how long they are
QUICK, LARGE = 96, 16  # sentences of the calibration; LARGE ones where the backbone has over 100M parameters


@dataclass(frozen=True)
class Rates:
    """Tokens a second of this machine with a backbone, and what a process then holds.

    Attributes:
        read: the backbone's states computed and stored.
        adapter: an adapter trained from them.
        frozen: fusion and head trained from stored features.
        tuned: the backbone trained, too.
        answer: predicted by the whole model.
        memory: largest bytes of a process, by what it trained.
        state: bytes of one hidden state of one token.
    """

    read: float
    adapter: float
    frozen: float
    tuned: float
    answer: float
    memory: Mapping[str, int]
    state: int


@dataclass(frozen=True)
class Estimate:
    """Of one stage: seconds, bytes of memory and of feature stores written to the disk, and whether a GPU would
    compute it."""

    seconds: float
    memory: int = 0
    disk: int = 0
    computes: bool = False


def calibrate(name: str, adapter: Mapping[str, Any], at_once: int, tell: Callable[[str], object]) -> Rates:
    """Measure the rates with a backbone (where it is not here, one of its size with random weights).

    Args:
        adapter: sizes of the knowledge adapter; what is left out scales with the backbone.
        at_once: stages that share the machine's cores.
    """
    device = best_device()
    torch.set_num_threads(max(1, threads.available() // at_once))
    backbone = examples.make_backbone(name)
    size = LARGE if sum(p.numel() for p in backbone.parameters()) > 1e8 else QUICK
    longest = min(examples.LONGEST, backbone.positions or examples.LONGEST)
    encoded = examples.make_sentences(size, backbone.config.vocab_size, longest=longest)
    tokens, bf16, task = int(encoded.lengths.sum()), has_bf16(device), examples.make_task("mean")
    config = AdapterConfig.for_backbone(backbone, **adapter)
    found: dict[str, float] = {}
    memory: dict[str, int] = {}
    for what in ("adapter", "frozen", "paper"):
        tell(f"calibration: {what}")
        own = copy.deepcopy(backbone) if tunings_of(what) else backbone
        model = KnowledgeModel(own, "concat", {"F": build_adapter(config)}, task).to(device)
        settings = Settings(regime=what, batch_size=16, epochs=1, select="last", store=what != "paper")
        with tempfile.TemporaryDirectory() as folder, peak_memory(device) as peak:
            start = now(device)
            stored = attach_store(model, encoded, settings, bf16, Path(folder))
            found["read"] = min(found.get("read", 1e9), now(device) - start) if what == "adapter" else found["read"]
            fit(model, stored, None, settings, Path(folder) / "warm", progress=False)  # the first step is slow
            start = now(device)
            fit(model, stored, None, settings, Path(folder) / "fit", progress=False)
            found[what] = now(device) - start
            del stored
        memory[what] = peak.bytes
    tell("calibration: answers")
    start = now(device)
    predict(model, encoded, bf16=bf16)
    found["answer"] = now(device) - start
    rates = {key: tokens / seconds for key, seconds in found.items()}
    state = backbone.hidden_size * (2 if bf16 else 4)
    return Rates(rates["read"], rates["adapter"], rates["frozen"], rates["paper"], rates["answer"], memory, state)


class Sizes:
    """Tokens of a preset's datasets: read where they are prepared or small, else guessed from the size of their files.

    Args:
        p: the preset.
        prepared: the run of its stage `data`, where it is finished.
    """

    def __init__(self, p: Mapping[str, Any], prepared: Path) -> None:
        self.preset, self.prepared = p, prepared
        self.data: Data | None = None  # what is prepared; None where that is too large to be read
        self.seconds = 0.0  # that preparing took, where it was done here
        self.guessed: list[str] = []  # datasets that were not read
        self._folder: tempfile.TemporaryDirectory | None = None
        self._tokens: dict[str, dict[str, float]] = {}
        self.files = {} if preset.made(p) else _bytes_of(p)

    def prepare(self) -> None:
        """Make the data ready where it is not, and is small; `seconds` then says how long that took."""
        if (self.prepared / "data.json").is_file():
            self.data = Data(self.prepared)
            return
        if sum(self.files.values()) > READ_WHOLE:
            return
        self._folder = tempfile.TemporaryDirectory()
        source = self.preset["data"] if preset.made(self.preset) else {"path": str(preset.data_folder(self.preset))}
        start = time.perf_counter()
        p = preset.present(self.preset)
        prepare(Path(self._folder.name), p["datasets"], source, preset.roles(p), p["overlap"])
        self.seconds = time.perf_counter() - start
        self.data = Data(self._folder.name)

    def of(self, entry: Mapping[str, Any]) -> dict[str, float]:
        """Split -> tokens, of an entry of knowledge or a task's parameters."""
        key = f"{entry['dataset']}|{entry.get('knowledge')}|{entry.get('task')}|{entry.get('examples')}"
        if key not in self._tokens:
            self._tokens[key] = self._count(entry)
        return self._tokens[key]

    def _count(self, entry: Mapping[str, Any]) -> dict[str, float]:
        dataset = entry["dataset"]
        if self.data is None:
            self.guessed.append(dataset)
            named = self.files.get(dataset, 0) / BYTES_AN_EXAMPLE * examples.MEAN_TOKENS
            return {"train": 0.8 * named, "dev": 0.1 * named, "test": 0.1 * named}
        kind = entry.get("knowledge")
        source = Examples(self.data, dataset, kind, entry.get("examples"))
        known = catalog.knowledge(kind) if kind else None
        options = (known.options if known else {}) | dict(entry.get("task_options") or {})
        length = entry["training"].get("max_length", 64)
        task = catalog.task(known.task if known else entry["task"], labels=source.labels, max_length=length, **options)
        tokenizer = load_tokenizer(self.preset["backbone"])
        found = {}
        for split in source.names:
            whole = source.split(split)
            some = encode(task, tokenizer, whole.select(range(min(SAMPLE, len(whole)))), progress=False)
            found[split] = float(some.tokens.lengths.sum()) / len(some) * len(whole)
        return found

    def close(self) -> None:
        """Remove what was made to be counted."""
        if self._folder is not None:
            self._folder.cleanup()


def estimate(stage: Stage, rates: Rates, sizes: Sizes, written: set[str]) -> Estimate:
    """Of one stage.

    Args:
        written: what stores of features the stages before it will have written; added to.
    """
    p, here = stage.parameters, sizes.of
    if stage.stage == "data":
        large = sum(sizes.files.values()) / READ_A_SECOND
        return Estimate(1.0 + (sizes.seconds or max(large, 4.0)))
    if stage.stage == "pretrain":
        parts = p["parts"].values() if "parts" in p else [p]
        told = [here(dict(part) | {"training": p["training"]}) for part in parts]
        train, dev = (sum(each.get(split, 0.0) for each in told) for split in ("train", "dev"))
        if "parts" in p:
            seconds = p["training"].get("epochs", 3) * train / rates.tuned
            return Estimate(OWN + seconds, rates.memory["paper"], computes=True)
        store = _stored(train + dev, p["adapter"], rates)
        return _frozen_backbone(p["training"], train, dev, store, rates)
    if stage.stage == "finetune":
        tokens = here(p)
        train, rest = tokens.get("train", 0.0), tokens.get("dev", 0.0) + tokens.get("test", 0.0)
        epochs, seeds = p["training"].get("epochs", 3), len(p["seeds"])
        if p["regime"] == "frozen" and p["model"] not in catalog.TUNED:
            adapters = len(stage.inputs["adapters"]) + (p["model"] == "none")
            key = f"{p['dataset']}|{bool(adapters)}"
            read = 0.0 if key in written else (train + rest) / rates.read
            written.add(key)
            reading = read + adapters * (train + rest) / rates.adapter / 3  # forward alone
            disk = int((train + rest) * (1 + adapters) * rates.state)
            seconds = reading + seeds * epochs * (train + rest / 3) / rates.frozen
            return Estimate(OWN + seconds, rates.memory["frozen"], disk, True)
        scored = epochs * tokens.get("dev", 0.0) + tokens.get("test", 0.0)
        seconds = seeds * (epochs * train / rates.tuned + scored / rates.answer)
        return Estimate(OWN + seconds, rates.memory["paper"], 0, True)
    return Estimate(progress.guess(stage), rates.memory["frozen"])


def _stored(tokens: float, adapter: Mapping[str, Any], rates: Rates) -> float:
    """Bytes of the states of so many tokens at an adapter's plug layers, and the last."""
    return tokens * (len(adapter.get("plug_layers", (0, 1, 2))) + 1) * rates.state


def _frozen_backbone(training: Mapping[str, Any], train: float, dev: float, store: float, rates: Rates) -> Estimate:
    epochs = training.get("epochs", 3)
    once = training.get("store", "auto") is not False and epochs > 1 and store < STORE_LIMIT
    reading = (train + dev) / rates.read * (1 if once else epochs)
    seconds = OWN + reading + epochs * (train + dev / 3) / rates.adapter
    return Estimate(seconds, rates.memory["adapter"], int(store) if once else 0, True)


def of(stages: Sequence[Stage], rates: Rates, sizes: Sizes) -> dict[str, Estimate]:
    """Of every stage, by id."""
    sizes.prepare()
    written: set[str] = set()
    return {stage.id: estimate(stage, rates, sizes, written) for stage in stages}


def warnings(
    estimates: Mapping[str, Estimate], root: Path, at_once: int, limits: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """What will not fit, in sentences.

    Args:
        estimates: of the stages that are to be executed.
        root: the folder of runs.
        at_once: stages on one machine.
        limits: the preset's section `resources`.
    """
    found = []
    memory, disk = max((e.memory for e in estimates.values()), default=0), sum(e.disk for e in estimates.values())
    there = psutil.virtual_memory().total
    if at_once * memory > there:
        found.append(
            f"memory: {at_once} stages at once need {gigabytes(at_once * memory)}, this machine has "
            f"{gigabytes(there)}: --jobs 1, or a smaller batch_size"
        )
    if disk > (kept := cache_limit(cache_root())):
        found.append(
            f"disk: feature stores of {gigabytes(disk)}, and {gigabytes(kept)} are kept in {cache_root()}: the oldest "
            "are removed, and written again when they are needed (KADAPTER_CACHE_GB sets how much is kept)"
        )
    for id_, each in estimates.items():
        limit = limits.get(id_.split("/")[0], {})
        if (given := limit.get("memory")) and each.memory > given * 2**30:
            found.append(f"{id_}: needs {gigabytes(each.memory)}, resources give it {given:g} GiB")
        if (hours := limit.get("hours")) and each.seconds > 3600 * hours:
            found.append(f"{id_}: takes about {each.seconds / 3600:.1f} h, resources give it {hours:g} h")
    return found


def _bytes_of(p: Mapping[str, Any]) -> dict[str, int]:
    """Dataset -> bytes of its files."""
    found = {}
    for name, entry in preset.present(p)["datasets"].items():
        files = preset.data_files(dict(p) | {"datasets": {name: entry}, "tasks": {}})
        found[name] = sum(file.stat().st_size for file in files)
    return found
