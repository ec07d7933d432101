"""The layout of an official K-Adapter checkpoint: the names of its leaves, and the sizes that they tell."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from kadapter.errors import KAdapterError
from kadapter.model.adapter import AdapterConfig

OFFICIAL_WIDTH, OFFICIAL_HEADS = 768, 12

# our module -> the official one, inside transformer layer j of adapter layer k
_LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
# our pre-training head -> the official one
HEADS = {
    "relation": {"fusion.pair.0": "com_dense", "head.dense": "dense", "head.out": "out_proj"},
    "dependency": {
        "fusion.pair.0": "com_dense",
        "head.query": "self_attention.self.query",
        "head.key": "self_attention.self.key",
        "head.value": "self_attention.self.value",
        "head.attention_output": "self_attention.output.dense",
        "head.norm": "self_attention.output.LayerNorm",
        "head.dense": "dense",
        "head.out": "out_proj",
    },
}


def official_name(ours: str) -> str:
    """The official leaf that one of `KnowledgeAdapter` stands for.

    >>> official_name("layers.0.transformer.1.attention_norm.bias")
    'adapter.0.encoder.layer.1.attention.output.LayerNorm.bias'
    """
    parts = ours.split(".")
    if parts[2] == "transformer":
        return f"adapter.{parts[1]}.encoder.layer.{parts[3]}.{_LAYER[parts[4]]}.{parts[5]}"
    return f"adapter.{parts[1]}.{parts[2]}_project.{parts[3]}"


def leaf(state: dict[str, Tensor], name: str, shape: list[int], path: Path) -> Tensor:
    """A leaf of the file. Raises KAdapterError if it is missing, has another shape, or holds no finite floating-point
    numbers."""
    if name not in state:
        raise KAdapterError(f"{path}: no leaf {name!r}; expected shape {shape}")
    found = state[name]
    if list(found.shape) != shape:
        raise KAdapterError(f"{path}: leaf {name!r} has shape {list(found.shape)}; expected {shape}")
    if not found.is_floating_point():
        raise KAdapterError(f"{path}: leaf {name!r} holds {found.dtype}; expected floating-point numbers")
    if found.is_meta or found.layout is not torch.strided:
        raise KAdapterError(f"{path}: leaf {name!r} holds no numbers ({found.device}, {found.layout})")
    if not found.isfinite().all():
        raise KAdapterError(f"{path}: leaf {name!r} holds numbers that are not finite: its training diverged")
    return found


def sizes(
    state: dict[str, Tensor], path: Path, plug_layers: tuple[int, ...], heads: int | None, mask_padding: bool
) -> AdapterConfig:
    """Sizes that the leaves' names and shapes tell; every other leaf is checked against them afterwards."""

    def shape(name: str) -> list[int]:
        if name not in state:
            raise KAdapterError(f"{path}: no leaf {name!r}; expected the layout of an official K-Adapter checkpoint")
        if state[name].ndim != 2:
            raise KAdapterError(f"{path}: leaf {name!r} has shape {list(state[name].shape)}; expected two dimensions")
        return list(state[name].shape)

    def count(pattern: str) -> int:
        numbers = {int(m[1]) for n in state if (m := re.match(pattern, n))}
        for expected, number in enumerate(sorted(numbers)):
            if number != expected:
                name = next(n for n in state if (m := re.match(pattern, n)) and int(m[1]) == number)
                raise KAdapterError(f"{path}: leaf {name!r} is number {number}, and there is no number {expected}")
        return len(numbers)

    width, hidden = shape("adapter.0.down_project.weight")
    inner = shape("adapter.0.encoder.layer.0.intermediate.dense.weight")[0]
    blocks = count(r"adapter\.(\d{1,9})\.")
    if len(plug_layers) != blocks:
        raise KAdapterError(
            f"{path} holds {blocks} adapter layers, but {len(plug_layers)} plug layers were given: {list(plug_layers)}"
        )
    if heads is None:
        if width != OFFICIAL_WIDTH:
            raise KAdapterError(
                f"{path}: adapter width {width} is not the published {OFFICIAL_WIDTH}, and the file does not tell "
                "its number of attention heads: give it (--attention-heads)"
            )
        heads = OFFICIAL_HEADS
    return AdapterConfig(
        hidden_size=hidden,
        plug_layers=plug_layers,
        width=width,
        layers=count(r"adapter\.0\.encoder\.layer\.(\d{1,9})\."),
        heads=heads,
        inner=inner,
        combine="add",
        mask_padding=mask_padding,
    )


def official_head_name(task: str, ours: str) -> str:
    """The official leaf that one of a task's pre-training head stands for. Raises KeyError for a part that it lacks."""
    module, leaf = ours.rsplit(".", 1)
    return f"{HEADS[task][module]}.{leaf}"


def tell(names: Sequence[str]) -> Iterator[str]:
    """Leaf names in few lines: numbers that vary are gathered, as in `adapter.{0..2}.up_project.weight`."""
    groups: dict[str, list[list[str]]] = {}
    for name in names:
        groups.setdefault(re.sub(r"\b\d+\b", "#", name), []).append(re.findall(r"\b\d+\b", name))
    for pattern, numbers in groups.items():
        line = pattern
        for place in zip(*numbers, strict=True):
            low, high = min(map(int, place)), max(map(int, place))
            line = line.replace("#", str(low) if low == high else f"{{{low}..{high}}}", 1)
        yield line
