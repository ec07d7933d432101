"""fit(): Hugging Face Trainer over any part of a KnowledgeModel. Every stage trains through here; only the regime
differs."""

import gc
import inspect
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import torch
from torch import nn
from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainingArguments, set_seed

from kadapter.errors import KAdapterError
from kadapter.machine import threads
from kadapter.machine.device import best_device, has_bf16
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.regimes import REGIMES, tunings_of
from kadapter.training import parallel
from kadapter.training.batches import Encoded, check_links
from kadapter.training.features import NoRoom, gigabytes, open_store, size_of
from kadapter.training.memory import kept_memory
from kadapter.training.recall import recall
from kadapter.training.settings import Settings
from kadapter.training.trainer import BatchTrainer, Fit, ModelGroup, last_checkpoint, optimizer

# Regimes that leave the backbone and what it reads as they are, so that its states can be stored.
FROZEN = [regime for regime, parts in REGIMES.items() if not tunings_of(regime) and "mapping" not in parts]
STORE_LIMIT = 64e9  # bytes; store="auto" streams beyond it


def computes_bf16(settings: Settings, device: torch.device) -> bool:
    """Whether training runs under bfloat16 autocast."""
    if settings.bf16 != "auto":
        return bool(settings.bf16)
    if settings.regime == "frozen":  # a few linear layers: casting costs more than it saves
        return False
    return has_bf16(device)


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


How = ParamSpec("How")


def _of_one(together: Callable[Concatenate[Mapping[str, Any], How], dict[str, Fit]]):
    """`fit` made of `fit_together`: one model for several, and otherwise the same arguments, said once."""

    def fit(model: nn.Module, *more: How.args, **named: How.kwargs) -> Fit:
        return together({"model": model}, *more, **named)["model"]

    fit.__qualname__ = "fit"
    first, *others = inspect.signature(together).parameters.values()
    model = first.replace(name="model", annotation=nn.Module)
    signature = inspect.Signature([model, *others], return_annotation=Fit)
    vars(fit)["__signature__"] = signature
    arguments = (inspect.getdoc(together) or "").partition("    train:")[2].partition("\n\nRaises")[0]
    fit.__doc__ = f"""Train the parts of a model that `settings.regime` names, in place.

Args:
    model: a `KnowledgeModel` with a head (or what behaves as one).
    train:{arguments}

Raises KAdapterError if the model has no head, and when the fit diverges (see `fit_together`).
"""
    return fit


def fit_together(
    models: Mapping[str, Any],
    train: Any,
    dev: Encoded | None,
    settings: Settings,
    out: str | Path,
    resume: bool = False,
    progress: bool = True,
    cache: Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    penalty: Callable[[Any], torch.Tensor] | None = None,
) -> dict[str, Fit]:
    """Train several models on the same examples at once, as `fit` trains one: seeds, or adapters of other sizes.

    The backbone's states are computed (or read) once a batch for all; each model has its own loss, its own clipping
    and its own best epoch, and ends as if it had been trained alone in this order of examples. Dropout masks come from
    one stream of random numbers, so that they differ from those of a model trained alone.

    Args:
        models: name -> model; several must share one backbone object, and a regime that keeps it frozen.
        train: `Encoded`, or another dataset that gives batches to `__getitems__` and their order to `batches`.
        dev: scored after every epoch; with `select="best"` a model ends with the weights of its best epoch.
        settings: how to train.
        out: folder for checkpoints (only written to with `settings.checkpoints`).
        resume: go on from the last checkpoint in `out`; KAdapterError if there is none.
        progress: show a bar.
        cache: root of the feature stores; None for the default.
        callbacks: told of every step and epoch, e.g. to draw curves while it trains.
        penalty: what of a model is added to the loss of each of its batches (`kadapter.training.ewc`); the losses that
            are told are without it.

    Raises KAdapterError for a model without a head, for several models that cannot share a backbone, and as soon as a
    model's loss, gradient or weight is no longer finite.
    """
    for name, model in models.items():
        if model.task is None:
            which = "the model" if len(models) == 1 else f"the model {name!r}"
            raise KAdapterError(f"{which} has no head to train: call set_task() first")
    if len(models) > 1 and settings.regime not in FROZEN:
        part = "mapping" if settings.regime == "mapping" else "backbone"
        raise KAdapterError(
            f"regime {settings.regime!r} trains the {part}, which several models cannot share: fit them one by one"
        )
    for model in models.values():
        for examples in (train, dev):
            if isinstance(examples, Encoded):
                check_links(model, examples)
        if settings.regime == "mapping" and getattr(model, "mapping", None) is None:
            raise KAdapterError("regime 'mapping' trains a mapping, and none is plugged: call plug_mapping() first")
        if settings.regime == "mapping" and isinstance(train, Encoded) and not train.linked:
            raise KAdapterError(
                "regime 'mapping' trains on mapped vectors, and these examples have no places for them: encode them "
                "with mapping=model.mapping"
            )
    rank, world = parallel.place()
    if settings.devices > 1 and world == 1:
        return _in_processes(models, train, dev, settings, out, resume, cache, penalty)
    checkpoints = Path(out) / "checkpoints"
    last = last_checkpoint(checkpoints) if resume else None
    if resume and last is None:
        raise KAdapterError(f"{checkpoints} holds no checkpoint to resume from: train with checkpoints=True first")
    set_seed(settings.seed)
    threads.use()
    device = best_device()
    bf16 = computes_bf16(settings, device)
    for model in models.values():
        model.to(device)
    train, dev = (None if e is None else _attach(models, e, settings, bf16, cache) for e in (train, dev))
    if settings.regime in FROZEN and getattr(next(iter(models.values())).task, "sampled", False):
        train = recall(list(models.values()), train)
    for model in models.values():
        model.train_only(settings.regime)
        if isinstance(model, KnowledgeModel):
            model.fusion.adapter_dropout = settings.adapter_dropout
    together = ModelGroup(models, penalty)
    order = train.batches(settings.batch_size, settings.seed, settings.batch_tokens)
    if world > 1:
        order, train = parallel.Parts(order, rank, world), parallel.Scaled(train)
    steps = len(order) // settings.gradient_accumulation * settings.epochs
    arguments = _arguments(settings, checkpoints, steps, bf16, device, scored=dev is not None, progress=progress)
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
        save_seconds=60 * settings.checkpoint_minutes if settings.checkpoints else 0.0,
        callbacks=callbacks,
        optimizers=(optimizer(together, settings.learning_rate, settings.head_rate, settings.weight_decay), None),
    )
    if last is not None:
        trainer.read_best(last)
    elif rank == 0:
        shutil.rmtree(checkpoints, ignore_errors=True)
    if world > 1:
        torch.manual_seed(settings.seed + rank)  # processes drop different units
    first = next(iter(models.values()))
    with kept_memory(), ExitStack() as stack:
        if bf16 and settings.regime in (*FROZEN, "mapping"):
            stack.enter_context(first.backbone.in_bf16())
        if settings.regime == "mapping" and settings.backbone_dropout:
            stack.enter_context(_dropping(first, settings.backbone_dropout))
        gc.freeze()  # Trainer collects garbage before it starts: not among all modules ever imported
        try:
            result = trainer.train(resume_from_checkpoint=None if last is None else str(last))
        finally:
            gc.unfreeze()
            trainer.accelerator.unwrap_model(together, keep_fp32_wrapper=False)  # else forward stays under autocast
    trainer.check_weights()
    if settings.select == "best":
        trainer.take_best()
    if not settings.checkpoints and rank == 0:
        shutil.rmtree(checkpoints, ignore_errors=True)
    for name, model in models.items():
        fits[name].seconds = result.metrics["train_runtime"]
        fits[name].best.pop("rank", None)
        model.eval()
    return fits


fit = _of_one(fit_together)


def _in_processes(
    models: Mapping[str, Any],
    train: Any,
    dev: Encoded | None,
    settings: Settings,
    out: str | Path,
    resume: bool,
    cache: Path | None,
    penalty: Callable | None,
) -> dict[str, Fit]:
    """`fit_together` in as many processes as `settings.devices` says; callbacks of this process hear nothing of it.

    Raises KAdapterError for a penalty, which is a function of this process.
    """
    if penalty is not None:
        raise KAdapterError(f"devices: found {settings.devices} for a training with a penalty; expected 1")
    given = {"train": train, "dev": dev, "settings": settings, "out": Path(out), "resume": resume, "cache": cache}
    fits = parallel.train(fit_together, models, settings.devices, given | {"progress": False})
    for model in models.values():
        model.to(best_device())
        model.train_only(settings.regime)
        model.eval()
    return fits


@contextmanager
def _dropping(model: KnowledgeModel, share: float) -> Iterator[None]:
    """The frozen backbone drops in train mode, with this probability everywhere."""
    model.drops_frozen = True
    try:
        with model.backbone.dropping(share):
            model.train(model.training)
            yield
    finally:
        model.drops_frozen = False
        model.train(model.training)


def _arguments(
    settings: Settings, checkpoints: Path, steps: int, bf16: bool, device: torch.device, scored: bool, progress: bool
) -> TrainingArguments:
    """Our settings in the words of Hugging Face's Trainer."""
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
        eval_strategy="epoch" if scored else "no",
        save_strategy="epoch" if settings.checkpoints else "no",
        save_total_limit=1,
        logging_strategy="epoch",
        logging_nan_inf_filter=False,  # a GPU would be waited for in every step; `check_finite` looks
        report_to=[],
        disable_tqdm=not progress,
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
        accelerator_config={"non_blocking": device.type == "cuda"},
        ddp_backend="gloo" if device.type == "cpu" and parallel.place()[1] > 1 else None,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # several GPUs are for several processes: a model is not divided in one
    return arguments


def _attach(models: Mapping[str, Any], encoded: Any, settings: Settings, bf16: bool, root: Path | None) -> Any:
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


def _own(model: Any, dev: Encoded, together: ModelGroup) -> Encoded:
    """The dev examples with the stored states that one of several models reads."""
    if dev.states is None or dev.states.kind != "states" or model.state_indices == together.state_indices:
        return dev
    return replace(dev, states=dev.states.at([together.state_indices.index(p) for p in model.state_indices]))
