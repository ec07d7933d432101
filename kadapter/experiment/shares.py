"""What a stage takes of a node of a cluster: the preset's section `resources`, and what it is where the preset is
silent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kadapter.errors import KAdapterError

TRAINING = ("pretrain", "finetune", "probe", "continual", "mapping")  # kinds of stages whose models compute
KINDS = ("data", *TRAINING, "cases", "report")


@dataclass(frozen=True)
class Share:
    """Cores, GPUs (a part of one, too) and memory in GiB; 0 GiB asks for none in particular."""

    cpus: int
    gpus: float = 0.0
    memory: float = 0.0

    def holds(self, other: "Share") -> int:
        """How many times another one fits into this one."""
        pairs = ((self.cpus, other.cpus), (self.gpus, other.gpus), (self.memory, other.memory))
        return min(int(mine / theirs + 1e-9) for mine, theirs in pairs if theirs)


def of_kinds(given: Mapping[str, Mapping[str, Any]], nodes: Sequence[Share]) -> dict[str, Share]:
    """What a stage of each kind takes.

    Where the preset names nothing, two stages that train share the cores of the largest node, as on one machine, or
    each has one of its GPUs and the cores that go with it; others take one core.

    Args:
        given: the preset's section `resources`.
        nodes: all that a cluster has.

    Raises KAdapterError for a kind that no node has room for.
    """
    largest = max(nodes, key=lambda node: (node.gpus, node.cpus, node.memory))
    found = {kind: named(kind, given.get(kind, {}), largest) for kind in KINDS}
    for kind, share in found.items():
        if not any(node.holds(share) for node in nodes):
            raise KAdapterError(
                f"resources.{kind}: found {told(share)}; expected what a node of the cluster has: the largest has "
                f"{told(largest)}"
            )
    return found


def named(kind: str, given: Mapping[str, Any], node: Share) -> Share:
    """What a stage of a kind takes: as the preset names it, and for the rest what goes with such a node."""
    gpus = min(node.gpus, 1.0)
    cores = node.cpus / max(node.gpus, 1.0) if gpus else node.cpus / 2
    usual = Share(max(1, int(cores)), gpus) if kind in TRAINING else Share(1)
    known = {key: type(usual_one)(given[key]) for key, usual_one in vars(usual).items() if given.get(key) is not None}
    return Share(**{**vars(usual), **known})


def told(share: Share) -> str:
    """In words.

    >>> told(Share(4, 0.5, 16)), told(Share(1))
    ('4 cpus, 0.5 gpus, 16 GiB', '1 cpus')
    """
    more = [f"{share.gpus:g} gpus"] * bool(share.gpus) + [f"{share.memory:g} GiB"] * bool(share.memory)
    return ", ".join([f"{share.cpus} cpus", *more])
