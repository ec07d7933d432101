"""The machine as a yardstick: how fast it multiplies matrices, how much memory a piece of work takes."""

import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from kadapter.machine.device import has_bf16
from kadapter.training.memory import give_back

SIZES = {"cpu": 2048, "cuda": 8192}  # of the square matrices: as large as layers of a large model, or larger


def matmul_rate(device: torch.device, seconds: float = 1.0) -> tuple[float, str]:
    """FLOP/s that a product of two square matrices reaches in the faster precision, and which: `bfloat16` (where the
    device has it) or `float32`.

    A product of (n, n) matrices counts 2 n**3 operations; the fastest of as many as fit in `seconds` is taken.
    """
    dtypes = [torch.float32, torch.bfloat16] if has_bf16(device) else [torch.float32]
    return max((_rate(device, dtype, seconds / len(dtypes)), str(dtype).removeprefix("torch.")) for dtype in dtypes)


def _rate(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    n = SIZES["cuda" if device.type == "cuda" else "cpu"]
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    fastest, end = float("inf"), time.perf_counter() + seconds
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        start = now(device)
        a @ b
        fastest, rounds = min(fastest, now(device) - start), rounds + 1
    return 2 * n**3 / fastest


def now(device: torch.device) -> float:
    """Seconds, after all work on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def describe(device: torch.device, rate: float, precision: str) -> dict:
    """The machine in plain values: processor, threads, memory in bytes, versions and the measured rate in FLOP/s, with
    the precision that it holds for."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "matmul_flops": rate,
        "matmul_precision": precision,
        "torch": torch.__version__,
        "system": platform.platform(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@dataclass
class Peak:
    """The largest memory use within a block, in bytes: of the GPU's allocator, or of the process (`held`)."""

    start: int = 0
    bytes: int = 0

    @property
    def growth(self) -> int:
        """How far it rose above what was in use before."""
        return max(0, self.bytes - self.start)


def held(process: psutil.Process) -> int:
    """Resident bytes that the system cannot take back: pages of mapped files, as of a feature store, are left out
    (where the system tells them apart)."""
    memory = process.memory_info()
    return memory.rss - getattr(memory, "shared", 0)


@contextmanager
def peak_memory(device: torch.device, every: float = 0.01) -> Iterator[Peak]:
    """Measures the memory peak of a block; a process is looked at `every` so many seconds."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        peak = Peak(start=torch.cuda.memory_allocated(device))
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated(device)
        return
    give_back()
    process, done = psutil.Process(), threading.Event()
    peak = Peak(start=held(process))

    def look() -> None:
        while not done.wait(every):
            peak.bytes = max(peak.bytes, held(process))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        peak.bytes = max(peak.bytes, held(process))
