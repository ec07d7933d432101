"""fit(): Hugging Face Trainer over any part of a KnowledgeModel. Every stage trains through here; only the regime
differs."""

import json
import shutil
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback

from kadapter.artifact import read_weights, write_weights
from kadapter.batches import Encoded, LengthBatches
from kadapter.errors import KAdapterError, unknown
from kadapter.evaluation import predict
from kadapter.features import open_store, size_of
from kadapter.model import KnowledgeModel

BEST_WEIGHTS, BEST_SCORES = "best.safetensors", "best.json"  # in each checkpoint, so that resuming keeps the best epoch
STORE_LIMIT = 64e9  # bytes; store="auto" streams beyond it


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        regime: the parts that train (`kadapter.model.REGIMES`).
        epochs, batch_size (examples), learning_rate, weight_decay, max_grad_norm, gradient_accumulation: as usual
        (AdamW).
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


@dataclass
class Fit:
    """What training left: the Trainer's log, the dev scores of the kept epoch, and that epoch."""

    history: list[dict] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)
    best_epoch: float | None = None
    seconds: float = 0.0


def best_device() -> torch.device:
    """Where training runs: the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def computes_bf16(settings: Settings, device: torch.device) -> bool:
    """Whether training runs under bfloat16 autocast."""
    if settings.bf16 != "auto":
        return bool(settings.bf16)
    if settings.regime == "frozen":  # a few linear layers: casting costs more than it saves
        return False
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def attach_store(
    model: KnowledgeModel, encoded: Encoded, settings: Settings, bf16: bool, root: Path | None = None
) -> Encoded:
    """The examples with their frozen part precomputed where the settings want it, else (or if it is already) as they
    are."""
    if encoded.states is not None or settings.regime not in ("adapter", "frozen") or settings.store is False:
        return encoded
    kind = "states" if settings.regime == "adapter" else "features"
    dtype = torch.bfloat16 if bf16 else torch.float32
    if settings.store == "auto":
        reads_padding = any(not a.config.mask_padding for a in model.adapters.values())
        if reads_padding or settings.epochs < 2 or size_of(model, encoded, kind, dtype) > STORE_LIMIT:
            return encoded
    store = open_store(model, encoded, kind, dtype, root)
    return Encoded(encoded.columns, encoded.pads, encoded.key, store)


class _Trainer(Trainer):
    """Trainer with our batches, our dev scores, and checkpoints that hold only what trains."""

    def __init__(self, *args, dev: Encoded | None, fitted: Fit, use_bf16: bool, settings: Settings, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.dev, self.fitted, self.use_bf16, self.settings = dev, fitted, use_bf16, settings
        self.best_state: dict[str, torch.Tensor] = {}

    def get_train_dataloader(self) -> DataLoader:
        batches = LengthBatches(self.train_dataset.lengths, self.args.per_device_train_batch_size, self.settings.seed)
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=batches,
            collate_fn=lambda batch: batch,
            pin_memory=self.args.device.type == "cuda",
        )
        return self.accelerator.prepare(loader)

    def evaluate(self, *args, metric_key_prefix: str = "eval", **kwargs) -> dict[str, float]:
        predictions = predict(self.model, self.dev, bf16=self.use_bf16)
        scores = {f"{metric_key_prefix}_{k}": v for k, v in (predictions.scores | {"loss": predictions.loss}).items()}
        self.log(dict(scores))
        primary = scores[f"{metric_key_prefix}_{predictions.metric.primary}"]
        # With equal scores the lower loss wins: tiny dev sets tie often.
        rank = (primary, -predictions.loss)
        former = self.fitted.best.get("rank")
        if self.settings.select == "last" or former is None or rank > tuple(former):
            self.fitted.best = scores | {"rank": rank}
            self.fitted.best_epoch = self.state.epoch
            self.best_state = {
                n: p.detach().to("cpu", copy=True) for n, p in self.model.named_parameters() if p.requires_grad
            }
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores

    def _save(self, output_dir=None, state_dict=None) -> None:
        trained = {n for n, p in self.model.named_parameters() if p.requires_grad}
        state = self.model.state_dict() if state_dict is None else state_dict
        super()._save(output_dir, {n: t for n, t in state.items() if n in trained})
        if self.best_state:
            write_weights(self.best_state, Path(output_dir) / BEST_WEIGHTS)
            best = {"best": self.fitted.best, "epoch": self.fitted.best_epoch}
            (Path(output_dir) / BEST_SCORES).write_text(json.dumps(best), encoding="utf-8")

    def _issue_warnings_after_load(self, load_result) -> None:
        """A checkpoint lacks the frozen parts by design."""


def _optimizer(model: KnowledgeModel, settings: Settings) -> torch.optim.AdamW:
    """AdamW in groups: fusion and head at their own rate; no weight decay on biases and norms, as usual."""
    groups = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            rate = settings.head_rate if name.split(".")[0] in ("fusion", "head") else 1.0
            groups.setdefault((rate, p.ndim > 1), []).append(p)
    return torch.optim.AdamW(
        [
            {"params": params, "lr": rate * settings.learning_rate, "weight_decay": settings.weight_decay * decays}
            for (rate, decays), params in groups.items()
        ],
        fused=True,
    )


class _Quiet(TrainerCallback):
    """Collects the log instead of printing it."""

    def __init__(self, fitted: Fit) -> None:
        self.fitted = fitted

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        self.fitted.history.append({"step": state.global_step, "epoch": state.epoch, **(logs or {})})


def fit(
    model: KnowledgeModel,
    train: Encoded,
    dev: Encoded | None,
    settings: Settings,
    out: str | Path,
    resume: bool = False,
    progress: bool = True,
    cache: Path | None = None,
) -> Fit:
    """Train the parts of a model that `settings.regime` names, in place.

    Args:
        dev: scored after every epoch; with `select="best"` the model ends with the weights of the best epoch.
        out: folder for checkpoints (only written to with `settings.checkpoints`).
        resume: go on from the last checkpoint in `out`; KAdapterError if there is none.
        cache: root of the feature stores; None for the default.

    Raises KAdapterError if the model has no head.
    """
    if model.task is None:
        raise KAdapterError("the model has no head to train: call set_task() first")
    out = Path(out)
    checkpoints = out / "checkpoints"
    if resume and not any(checkpoints.glob("checkpoint-*")):
        raise KAdapterError(f"{checkpoints} holds no checkpoint to resume from: train with checkpoints=True first")
    set_seed(settings.seed)
    model.train_only(settings.regime)
    device = best_device()
    model.to(device)
    bf16 = computes_bf16(settings, device)
    train = attach_store(model, train, settings, bf16, cache)
    dev = None if dev is None else attach_store(model, dev, settings, bf16, cache)
    steps = -(-len(train) // settings.batch_size) // settings.gradient_accumulation * settings.epochs
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=settings.batch_size,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
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
    )
    fitted = Fit()
    trainer = _Trainer(
        model,
        arguments,
        train_dataset=train,
        eval_dataset=dev,
        callbacks=[_Quiet(fitted)],
        dev=dev,
        fitted=fitted,
        use_bf16=bf16,
        settings=settings,
        optimizers=(_optimizer(model, settings), None),
    )
    trainer.remove_callback(PrinterCallback)
    if resume:
        last = max(checkpoints.glob("checkpoint-*"), key=lambda p: int(p.name.rsplit("-", 1)[1]))
        if (last / BEST_SCORES).exists():
            kept = json.loads((last / BEST_SCORES).read_text(encoding="utf-8"))
            trainer.best_state, fitted.best, fitted.best_epoch = (
                read_weights(last / BEST_WEIGHTS),
                kept["best"],
                kept["epoch"],
            )
        result = trainer.train(resume_from_checkpoint=str(last))
    else:
        shutil.rmtree(checkpoints, ignore_errors=True)
        result = trainer.train()
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)  # else its forward would stay under autocast
    fitted.seconds = result.metrics["train_runtime"]
    fitted.best.pop("rank", None)
    if trainer.best_state and settings.select == "best":
        own = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in trainer.best_state.items():
                own[name].copy_(value)
    if not settings.checkpoints:
        shutil.rmtree(checkpoints, ignore_errors=True)
    model.eval()
    return fitted
