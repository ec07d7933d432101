"""How to train: every setting of a stage, as presets, notebooks and `fit` take it. Needs no torch, so that a misspelt
one is refused at once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from kadapter import values
from kadapter.catalog import REGIMES
from kadapter.values import OneOf, Seed, value

Auto = bool | Literal["auto"]


@values.told
@dataclass(frozen=True)
class Settings:
    """How to train, with AdamW.

    To add a setting, add a field here: what reads, checks, saves and documents settings follows.
    """

    regime: Annotated[
        str,
        OneOf("regime", ("adapter", *REGIMES, "mapping")),
        value("the parts that train (REGIMES in kadapter.model)"),
    ] = "adapter"
    epochs: Annotated[int, value("times that every example is seen", 1, 100_000)] = 3
    batch_size: Annotated[int, value("examples in a batch", 1, 65_536)] = 32
    batch_tokens: Annotated[
        int,
        value("padded tokens in a batch, instead of a number of examples; 0 for `batch_size` examples", 0, 2**24),
    ] = 0
    learning_rate: Annotated[float, value("the highest, after warm-up", above=0)] = 1e-3
    head_rate: Annotated[
        float,
        value(
            "the learning rate of fusion and head as a multiple of `learning_rate`; below 1, knowledge goes into the "
            "adapter rather than into the head that is thrown away",
            above=0,
            high=1e6,
        ),
    ] = 1.0
    weight_decay: Annotated[float, value("of matrices; biases and norms have none", 0, 1)] = 0.0
    warmup_steps: Annotated[
        int, value("optimiser steps of linear warm-up; the rate then falls linearly to 0", 0, 10**9)
    ] = 0
    warmup_ratio: Annotated[float, value("the same as a share of all steps, where `warmup_steps` is 0", 0, 1)] = 0.0
    max_grad_norm: Annotated[float, value("largest norm of a model's gradients; 0 for any", 0)] = 1.0
    backbone_dropout: Annotated[
        float,
        value(
            "of regime `mapping`: every dropout of the frozen backbone while the mapping trains; 0 keeps it in eval "
            "mode",
            0.0,
            below=1.0,
        ),
    ] = 0.0
    adapter_dropout: Annotated[
        float, value("share of training examples for which each plugged adapter is left out, never all", 0, below=1)
    ] = 0.0
    gradient_accumulation: Annotated[int, value("batches to an optimiser step", 1, 65_536)] = 1
    devices: Annotated[
        int,
        value(
            "processes that divide every batch among them, a GPU for each; on a processor they share the cores",
            1,
            1024,
        ),
    ] = 1
    bf16: Annotated[
        Auto,
        value("compute in bfloat16; 'auto' where the processor or GPU has it and transformer layers are trained"),
    ] = "auto"
    store: Annotated[Auto, value("compute frozen states once instead of anew in each epoch; 'auto' where they fit")] = (
        "auto"
    )
    select: Annotated[
        Literal["best", "last"], value("'best' keeps the epoch with the best dev score, 'last' the last one")
    ] = "best"
    checkpoints: Annotated[bool, value("keep a checkpoint after each epoch, from which `fit(resume=True)` goes on")] = (
        False
    )
    checkpoint_minutes: Annotated[
        float,
        value("with `checkpoints`, one within an epoch, too, whenever so many minutes have passed; 0 for none", 0),
    ] = 0.0
    seed: Annotated[Seed, value("of weights made by the caller, dropout and the order of examples")] = 0

    def __post_init__(self) -> None:
        values.check(type(self), vars(self), noun="training setting")

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Settings":
        """Settings from plain values. Raises KAdapterError for what is no setting or out of range."""
        return cls(**values.check(cls, given, noun="training setting"))

    def to_dict(self) -> dict:
        """Plain values."""
        return asdict(self)
