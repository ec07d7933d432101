"""Rows of a measurement: how long steps took, what they held, and the ratios and goals that follow."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field

import torch
from transformers import TrainerCallback

from kadapter.bench.machine import describe, matmul_rate, now, peak_memory
from kadapter.machine import threads
from kadapter.training.batches import Encoded


@dataclass
class Row:
    """One way of doing the same work.

    Attributes:
        sentences_per_second, tokens_per_second: real tokens; the first step is left out.
        seconds_to_first_step: from the call to the end of the first step.
        peak_memory_bytes: of the process, without the pages of mapped files, or of the GPU's allocator.
        matmul_share: model FLOPs a second over the machine's fastest measured matrix product.
        store_bytes: size of the feature store where one is read.
    """

    name: str
    sentences_per_second: float
    tokens_per_second: float
    peak_memory_bytes: int
    matmul_share: float | None = None
    seconds_to_first_step: float | None = None
    store_bytes: int | None = None
    more: dict[str, float | int] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Plain values; what was not measured is left out."""
        values = {k: v for k, v in asdict(self).items() if k != "more" and v is not None}
        return values | self.more


@dataclass
class Report:
    """Everything that one command measured."""

    backbone: str
    machine: dict
    rows: list[Row] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """The object that `--json` prints."""
        rows = [row.to_dict() for row in self.rows]
        return {"machine": self.machine, "backbone": self.backbone, "rows": rows, "ratios": self.ratios}

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def ratio(self, one: str, other: str) -> None:
        """Note how many times faster one row is than another, if both were measured."""
        speed = {row.name: row.sentences_per_second for row in self.rows}
        if one in speed and other in speed:
            self.ratios[f"{one}/{other}"] = speed[one] / speed[other]


def begin(backbone: str, device: torch.device, seconds: float = 1.0) -> Report:
    """An empty report; measures the machine for so many seconds."""
    threads.use()
    return Report(backbone, describe(device, *matmul_rate(device, seconds)))


class Clock(TrainerCallback):
    """When each step ended."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.ends: list[float] = []

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.ends.append(now(self.device))


@dataclass
class Timed:
    """Steps of some work: when it began, when each step ended, and what each held."""

    began: float
    ends: list[float]
    sentences: list[int]
    tokens: list[int]
    peak: int = 0

    def row(self, name: str, flops: Callable[[int, int], float | int] | None = None, rate: float = 1.0, **more) -> Row:
        """The row of these steps but the first. `flops(sentences, tokens)` counts the model FLOPs of all of them."""
        seconds = self.ends[-1] - self.ends[0]
        sentences, tokens = sum(self.sentences[1:]), sum(self.tokens[1:])
        return Row(
            name,
            sentences / seconds,
            tokens / seconds,
            self.peak,
            None if flops is None else flops(sentences, tokens) / seconds / rate,
            seconds_to_first_step=self.ends[0] - self.began,
            **more,
        )


def timed_loop(steps: Iterable[int], encoded: Encoded, device: torch.device) -> Timed:
    """Run a loop that yields the number of sentences after each step; tokens are those of an average sentence."""
    mean = float(encoded.lengths.mean())
    with peak_memory(device) as peak:
        timed = Timed(time.perf_counter(), [], [], [])
        for sentences in steps:
            timed.ends.append(now(device))
            timed.sentences.append(sentences)
            timed.tokens.append(round(sentences * mean))
    timed.peak = peak.bytes
    return timed


def timed_fit(run: Callable[[Clock], object], encoded: Encoded, size: int, epochs: int, device: torch.device) -> Timed:
    """Run `kadapter.training.fit.fit` with a clock; what each step holds follows from the order of examples."""
    order, sentences, tokens = encoded.batches(size, 0), [], []
    for epoch in range(epochs):
        order.set_epoch(epoch)
        for indices in order:
            sentences.append(len(indices))
            tokens.append(int(encoded.lengths[indices].sum()))
    clock = Clock(device)
    with peak_memory(device) as peak:
        began = time.perf_counter()
        run(clock)
    return Timed(began, clock.ends, sentences, tokens, peak.bytes)


GOALS: Mapping[str, tuple[str, float, float]] = {  # what -> (comparison, on a processor, on an H200 or H100)
    "store/naive": (">=", 10, 40),
    "store_with_writing/naive": (">=", 7, 25),
    "stream/naive": (">=", 4, 20),
    "store/lora": (">=", 5, 5),
    "matmul share of store": (">=", 0.7, 0.4),
    "further model/first": ("<=", 0.4, 0.4),
    "F+L/backbone, time": ("<=", 1.35, 1.35),
    "injected/plain, tokens a second": (">=", 0.9, 0.9),
    "records a second, slowest JSON format": (">=", 20_000, 20_000),
}


def goals(measured: Mapping[str, float], gpu: bool) -> list[tuple[str, str, float, bool]]:
    """(what, goal, measured, met) of every goal that was measured."""
    found = []
    for what, (comparison, processor, card) in GOALS.items():
        if what in measured:
            goal, value = card if gpu else processor, measured[what]
            found.append(
                (what, f"{comparison} {goal:g}", value, value >= goal if comparison == ">=" else value <= goal)
            )
    return found
