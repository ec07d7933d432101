"""fit(): Hugging Face Trainer over any part of a KnowledgeModel. Every stage trains through here; only the regime
differs."""

import gc
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainingArguments, set_seed

from kadapter.errors import KAdapterError, unknown
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import Encoded
from kadapter.training.features import NoRoom, gigabytes, open_store, size_of
from kadapter.training.memory import kept_memory
from kadapter.training.trainer import BatchTrainer, Fit, ModelGroup, optimizer

FROZEN = ("adapter", "frozen")  # regimes that leave the backbone as it is
STORE_LIMIT = 64e9  # bytes; store="auto" streams beyond it


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        regime: the parts that train (`kadapter.model.knowledge_model.REGIMES`).
        epochs, batch_size (examples), learning_rate, weight_decay, max_grad_norm, gradient_accumulation: as usual
        (AdamW).
        batch_tokens: padded tokens in a batch, instead of a number of examples; 0 for `batch_size` examples.
        head_rate: the learning rate of fusion and head as a multiple of `learning_rate`. Below 1, knowledge goes into
            the adapter rather than into the head that is thrown away.
        warmup_steps: optimiser steps of linear warm-up; the rate then falls linearly to 0.
        warmup_ratio: the same as a share of all steps, where `warmup_steps` is 0.
        bf16: "auto" (where the processor or GPU computes in bfloat16 and transformer layers are trained), True or
            False.
        store: "auto" (frozen states are computed once when they fit), True or False (computed anew each epoch).
        select: "best" keeps the epoch with the best dev score, "last" the last one.
        checkpoints: keep a checkpoint after each epoch, from which `fit(resume=True)` goes on.
        seed: of weights made by the caller, dropout and the order of examples.
    """

    regime: str = "adapter"
    epochs: int = 3
    batch_size: int = 32
    batch_tokens: int = 0
    learning_rate: float = 1e-3
    head_rate: float = 1.0
    weight_decay: float = 0.0
    warmup_steps: int = 0
    warmup_ratio: float = 0.0
    max_grad_norm: float = 1.0
    gradient_accumulation: int = 1
    bf16: bool | str = "auto"
    store: bool | str = "auto"
    select: str = "best"
    checkpoints: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("bf16", ("auto", True, False)),
            ("store", ("auto", True, False)),
            ("select", ("best", "last")),
        ):
            if getattr(self, name) not in allowed:
                raise KAdapterError(
                    f"training setting {name}: found {getattr(self, name)!r}; expected one of {list(allowed)}"
                )
        for name in ("epochs", "batch_size", "learning_rate", "gradient_accumulation"):
            if not getattr(self, name) > 0:
                raise KAdapterError(
                    f"training setting {name}: found {getattr(self, name)!r}; expected a number above 0"
                )

    @classmethod
    def from_dict(cls, values: dict) -> "Settings":
        """Settings from plain values. Raises KAdapterError for a name that does not exist."""
        known = {f.name: f.type for f in fields(cls)}
        for key in values:
            if key not in known:
                raise unknown("training setting", key, known)
        # YAML's 20 is as good as 20.0
        return cls(**{k: float(v) if known[k] is float and type(v) is int else v for k, v in values.items()})

    def to_dict(self) -> dict:
        """Plain values."""
        return asdict(self)


def best_device() -> torch.device:
    """Where training runs: the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def computes_bf16(settings: Settings, device: torch.device) -> bool:
    """Whether training runs under bfloat16 autocast."""
    if settings.bf16 != "auto":
        return bool(settings.bf16)
    if settings.regime == "frozen":  # a few linear layers: casting costs more than it saves
        return False
    return has_bf16(device)


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies matrices of bfloat16 by itself."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def attach_store(
    model: KnowledgeModel, encoded: Encoded, settings: Settings, bf16: bool, root: Path | None = None
) -> Encoded:
    """The examples with their frozen part precomputed where the settings want it, else (or if it is already) as they
    are.

    The progress bar of a store being written tells its size. `store="auto"` tells (on stderr) what does not fit.
    """
    if encoded.states is not None or settings.regime not in FROZEN or settings.store is False:
        return encoded
    kind = "states" if settings.regime == "adapter" else "features"
    if settings.bf16 == "auto":  # also where the few layers that train do not compute in it
        bf16 = has_bf16(next(model.parameters()).device)
    dtype = torch.bfloat16 if bf16 else torch.float32
    if settings.store == "auto":
        reads_padding = any(not a.config.mask_padding for a in model.adapters.values())
        if reads_padding or settings.epochs < 2:
            return encoded
    size = size_of(model, encoded, kind, dtype)
    try:
        if settings.store == "auto" and size > STORE_LIMIT:
            raise NoRoom(f"a store of {gigabytes(size)} is more than {gigabytes(STORE_LIMIT)}")
        return replace(encoded, states=open_store(model, encoded, kind, dtype, root))
    except NoRoom as error:
        if settings.store != "auto":
            raise
        tqdm.write(f"kadapter: {error}; {kind} are computed anew in every epoch", file=sys.stderr)
        return encoded


def fit(
    model: nn.Module,
    train: object,
    dev: Encoded | None,
    settings: Settings,
    out: str | Path,
    resume: bool = False,
    progress: bool = True,
    cache: Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Fit:
    """Train the parts of a model that `settings.regime` names, in place.

    Args:
        model: a `KnowledgeModel` with a head (or what behaves as one).
        train: `Encoded`, or another dataset that gives batches to `__getitems__` and their order to `batches`.
        dev: scored after every epoch; with `select="best"` the model ends with the weights of the best epoch.
        out: folder for checkpoints (only written to with `settings.checkpoints`).
        resume: go on from the last checkpoint in `out`; KAdapterError if there is none.
        cache: root of the feature stores; None for the default.
        callbacks: told of every step and epoch, e.g. to draw curves while it trains.

    Raises KAdapterError if the model has no head.
    """
    return fit_together({"model": model}, train, dev, settings, out, resume, progress, cache, callbacks)["model"]


def fit_together(
    models: Mapping[str, nn.Module],
    train: object,
    dev: Encoded | None,
    settings: Settings,
    out: str | Path,
    resume: bool = False,
    progress: bool = True,
    cache: Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, Fit]:
    """Train several models on the same examples at once, as `fit` trains one: seeds, or adapters of other sizes.

    The backbone's states are computed (or read) once a batch for all; each model has its own loss, its own clipping
    and its own best epoch, and ends as if it had been trained alone in this order of examples. Dropout masks come from
    one stream of random numbers, so that they differ from those of a model trained alone.

    Args:
        models: name -> model; several must share one backbone object, and a regime that keeps it frozen.
        train, dev, settings, out, resume, progress, cache, callbacks: as for `fit`.

    Raises KAdapterError for a model without a head, and for several models that cannot share a backbone.
    """
    for name, model in models.items():
        if model.task is None:
            which = "the model" if len(models) == 1 else f"the model {name!r}"
            raise KAdapterError(f"{which} has no head to train: call set_task() first")
    if len(models) > 1 and settings.regime not in FROZEN:
        raise KAdapterError(
            f"regime {settings.regime!r} trains the backbone, which several models cannot share: fit them one by one"
        )
    out = Path(out)
    checkpoints = out / "checkpoints"
    if resume and not any(checkpoints.glob("checkpoint-*")):
        raise KAdapterError(f"{checkpoints} holds no checkpoint to resume from: train with checkpoints=True first")
    set_seed(settings.seed)
    device = best_device()
    bf16 = computes_bf16(settings, device)
    for model in models.values():
        model.to(device)
    train, dev = (None if e is None else _attach(models, e, settings, bf16, cache) for e in (train, dev))
    for model in models.values():
        model.train_only(settings.regime)
    together = ModelGroup(models)
    order = train.batches(settings.batch_size, settings.seed, settings.batch_tokens)
    steps = len(order) // settings.gradient_accumulation * settings.epochs
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=settings.batch_size,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        max_grad_norm=0.0,  # the trainer clips each model's gradients by themselves
        gradient_accumulation_steps=settings.gradient_accumulation,
        warmup_steps=settings.warmup_steps or int(settings.warmup_ratio * steps),
        bf16=bf16,
        use_cpu=device.type == "cpu",
        seed=settings.seed,
        eval_strategy="no" if dev is None else "epoch",
        save_strategy="epoch" if settings.checkpoints else "no",
        save_total_limit=1,
        logging_strategy="epoch",
        report_to=[],
        disable_tqdm=not progress,
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
        accelerator_config={"non_blocking": device.type == "cuda"},
    )
    if settings.batch_tokens and arguments.world_size > 1:
        raise KAdapterError("batch_tokens makes batches for one process: set batch_size to train in several")
    fits = {name: Fit() for name in models}
    trainer = BatchTrainer(
        together,
        arguments,
        train_dataset=train,
        eval_dataset=dev,
        dev={} if dev is None else {name: _own(model, dev, together) for name, model in models.items()},
        fits=fits,
        order=order,
        bf16=bf16,
        select=settings.select,
        clip=settings.max_grad_norm,
        callbacks=callbacks,
        optimizers=(optimizer(together, settings.learning_rate, settings.head_rate, settings.weight_decay), None),
    )
    last = None
    if resume:
        last = max(checkpoints.glob("checkpoint-*"), key=lambda p: int(p.name.rsplit("-", 1)[1]))
        trainer.read_best(last)
    else:
        shutil.rmtree(checkpoints, ignore_errors=True)
    frozen = (m.backbone.in_bf16() for m in list(models.values())[:1] if bf16 and settings.regime in FROZEN)
    with kept_memory(), ExitStack() as stack:
        for each in frozen:
            stack.enter_context(each)
        gc.freeze()  # Trainer collects garbage before it starts: not among all modules ever imported
        try:
            result = trainer.train(resume_from_checkpoint=None if last is None else str(last))
        finally:
            gc.unfreeze()
            trainer.accelerator.unwrap_model(together, keep_fp32_wrapper=False)  # else forward stays under autocast
    if settings.select == "best":
        trainer.take_best()
    if not settings.checkpoints:
        shutil.rmtree(checkpoints, ignore_errors=True)
    for name, model in models.items():
        fits[name].seconds = result.metrics["train_runtime"]
        fits[name].best.pop("rank", None)
        model.eval()
    return fits


def _attach(
    models: Mapping[str, nn.Module], encoded: object, settings: Settings, bf16: bool, root: Path | None
) -> object:
    """`attach_store` for several models: the states that any of them reads."""
    first = next(iter(models.values()))
    if encoded.states is not None or settings.regime not in FROZEN:
        return encoded
    if settings.regime == "frozen" and all(_same(m.adapters, first.adapters) for m in models.values()):
        return attach_store(first, encoded, settings, bf16, root)
    adapters = {f"{name}-{a}": adapter for name, model in models.items() for a, adapter in model.adapters.items()}
    union = first if len(models) == 1 else KnowledgeModel(first.backbone, adapters=adapters)
    return attach_store(union, encoded, replace(settings, regime="adapter"), bf16, root)


def _same(one: nn.ModuleDict, other: nn.ModuleDict) -> bool:
    return list(one) == list(other) and all(one[name] is other[name] for name in one)


def _own(model: nn.Module, dev: Encoded, together: ModelGroup) -> Encoded:
    """The dev examples with the stored states that one of several models reads."""
    if dev.states is None or dev.states.kind != "states" or model.state_indices == together.state_indices:
        return dev
    return replace(dev, states=dev.states.at([together.state_indices.index(p) for p in model.state_indices]))
