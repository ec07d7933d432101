"""One training in several processes, a GPU for each where there are GPUs: every batch is divided among them, so that
steps, learning rates and what a step learns from are those of one process."""

import copy
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader

from kadapter.errors import KAdapterError
from kadapter.hub.adapter_folder import read_weights, write_weights
from kadapter.machine import threads

WEIGHTS = "trained.safetensors"
SCALE = "scale"  # in a batch: what the loss of a process's part counts


def place() -> tuple[int, int]:
    """This process's number, and how many train together: what torchrun says, (0, 1) where it was not asked."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


class Part(list):
    """Indices of one process's part of a batch. `scale` is what the mean loss over them counts, so that the mean over
    the processes is the mean over the batch."""

    scale: float = 1.0


class Parts:
    """Each batch of an order divided among processes: every example in one of them.

    A batch of fewer examples than processes leaves some without any: these compute its first example for nothing, as
    all must take part in a step.

    Args:
        order: a sampler of batches, in each of which examples stand by length.
        rank, world: which of how many processes this is.
    """

    def __init__(self, order: Any, rank: int, world: int) -> None:
        self.order, self.rank, self.world = order, rank, world
        self.batch_size = None
        self.drop_last = False
        self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.order.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Part]:
        for batch in self.order:
            own = batch[self.rank :: self.world]
            part = Part(own or batch[:1])
            part.scale = self.world * len(own) / len(batch)
            yield part


class Scaled:
    """Examples whose batches say what they count."""

    def __init__(self, examples: Any) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitems__(self, part: Part) -> dict[str, Tensor]:
        return self.examples.__getitems__(part) | {SCALE: torch.tensor(part.scale)}


class PartLoader(DataLoader):
    """A loader of one process's parts, which needs no further dividing; Trainer tells it the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        sampler: Any = self.batch_sampler
        sampler.set_epoch(epoch)


def mean_over_processes(number: Tensor) -> Tensor:
    """The mean of what every process has."""
    if place()[1] > 1 and distributed.is_initialized():
        distributed.all_reduce(number)
        return number / place()[1]
    return number


def train(run: Callable[..., dict], models: Mapping[str, Any], devices: int, arguments: Mapping[str, Any]) -> dict:
    """`run(models, **arguments)` in `devices` processes; the models end with the trained weights.

    Returns what `run` gave in the first process. Raises KAdapterError for more processes than GPUs, or than cores where
    there is none, and with the reason when one of them fails.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    gpus = torch.cuda.device_count()
    if devices > (gpus or threads.available()):
        there = f"{gpus} GPUs" if gpus else f"{threads.available()} cores and no GPU"
        raise KAdapterError(f"devices: found {devices}; this machine has {there}")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=uuid.uuid4().hex,
        start_method="spawn",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
    )
    with tempfile.TemporaryDirectory(prefix="kadapter-devices-") as folder:
        each = max(1, threads.use() // devices)
        try:
            told = elastic_launch(config, _in_process)(run, dict(models), dict(arguments), Path(folder), each)
        except ChildFailedError as failed:
            first = failed.get_first_failure()[1]
            lines = [line for line in str(first.message).splitlines() if line.strip()]
            raise KAdapterError(f"one of {devices} processes failed: {lines[-1] if lines else first}") from None
        weights = read_weights(Path(folder) / WEIGHTS)
    with torch.no_grad():
        for name, model in models.items():
            for leaf, parameter in model.named_parameters():
                if (value := weights.get(f"{name}.{leaf}")) is not None:
                    parameter.copy_(value)
    return told[0]


def _in_process(run: Callable[..., dict], models: dict, arguments: dict, folder: Path, cores: int) -> dict:
    """The whole life of one process."""
    os.environ[threads.THREADS] = str(cores)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    own = copy.deepcopy(models)  # what arrived lies in memory that all processes share
    found = run(own, **arguments)
    if place()[0] == 0:
        trained = {
            f"{name}.{leaf}": p.detach().cpu()
            for name, model in own.items()
            for leaf, p in model.named_parameters()
            if p.requires_grad
        }
        write_weights(trained, folder / WEIGHTS)
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
    return found
