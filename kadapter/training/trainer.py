"""The loop that every stage trains with: Hugging Face Trainer over one model, or over several that share a frozen
backbone and read the same batches."""

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from IPython import get_ipython
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.utils.notebook import NotebookProgressCallback

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.hub.adapter_folder import read_weights, write_weights
from kadapter.model.knowledge_model import KnowledgeModel, KnowledgeOutput
from kadapter.training.batches import Encoded
from kadapter.training.parallel import SCALE, PartLoader, Parts, mean_over_processes
from kadapter.training.predict import Predictions, predict

BEST_WEIGHTS, BEST_SCORES = "best.safetensors", "best.json"  # in each checkpoint, so that resuming keeps the best epoch


@dataclass
class Fit:
    """What training left: the Trainer's log, the dev scores of the kept epoch, and that epoch."""

    history: list[dict] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    best_epoch: float | None = None
    seconds: float = 0.0


class ModelGroup(nn.Module):
    """Models that train at once on the same batches, each by itself: own loss, own gradients, own clipping.

    The backbone's states are computed (or read) once a batch for all of them. A model alone is trained in the same way.

    Args:
        members: name -> model. Several must share one backbone object, which must stay frozen, and one mapping.
        penalty: what of a model is added to its loss; the losses that are told are without it.

    Raises KAdapterError for several models of different backbones or mappings.
    """

    accepts_loss_kwargs = False  # losses are means over a batch; Trainer divides them by the accumulated batches

    def __init__(self, members: Mapping[str, Any], penalty: Callable[[Any], Tensor] | None = None) -> None:
        super().__init__()
        if len(members) > 1 and len({id(m.backbone) for m in members.values()}) > 1:
            raise KAdapterError(
                f"models {', '.join(members)} stand on different backbones: give all of them the same Backbone object, "
                "or fit them one by one"
            )
        if len({id(getattr(m, "mapping", None)) for m in members.values()}) > 1:
            raise KAdapterError(f"models {', '.join(members)} read different mappings: fit them one by one")
        self.members: Any = nn.ModuleDict(members)  # KnowledgeModels, or what behaves as one
        self.penalty = penalty
        self.losses = {name: torch.zeros(()) for name in members}  # summed since the last log
        self.batches = 0
        super().train()

    @property
    def state_indices(self) -> list[int]:
        """The hidden states that any of the models reads, ascending."""
        return sorted({index for model in self.members.values() for index in model.state_indices})

    def trained(self, name: str) -> list[nn.Parameter]:
        """The parameters of one model that train; looked up once, as they stay the same during training."""
        if not hasattr(self, "_trained"):
            self._trained = {n: [p for p in m.parameters() if p.requires_grad] for n, m in self.members.items()}
        return self._trained[name]

    def train(self, mode: bool = True) -> "ModelGroup":
        """Trainer asks for this mode before every step; walking through a backbone's modules costs more than a small
        step."""
        return self if mode == self.training else super().train(mode)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients; only parameters that train have any."""
        for name in self.members:
            for p in self.trained(name):
                p.grad = None

    def forward(self, **batch: Any) -> KnowledgeOutput:
        """The sum of the models' losses on a batch; `scale` in it is what a process's part of one counts."""
        models = dict(self.members.items())
        scale = batch.pop(SCALE, 1.0)
        indices = None
        if len(models) > 1 and "features" not in batch:
            indices = self.state_indices
            if "states" not in batch:
                first = next(iter(models.values()))
                batch["states"] = first.read(
                    batch["input_ids"],
                    batch["attention_mask"],
                    link_rows=batch.get("link_rows"),
                    state_indices=indices,
                    segments=batch.get("segments"),
                )
        total = None
        for name, model in models.items():
            own = batch
            if indices is not None and model.state_indices != indices:
                own = batch | {"states": batch["states"][[indices.index(i) for i in model.state_indices]]}
            loss = model(**own).loss * scale
            self.losses[name] = self.losses[name] + loss.detach().to(self.losses[name].device)
            if self.penalty is not None:
                loss = loss + self.penalty(model)
            total = loss if total is None else total + loss
        self.batches += 1
        return KnowledgeOutput(loss=total)

    def mean_losses(self) -> dict[str, float]:
        """Each model's mean loss since the last call."""
        batches = max(1, self.batches)
        means = {name: float(mean_over_processes(loss)) / batches for name, loss in self.losses.items()}
        self.losses, self.batches = {name: torch.zeros(()) for name in self.members}, 0
        return means


class BatchTrainer(Trainer):
    """Trainer with our batches, our dev scores, and checkpoints that hold only what trains.

    Args:
        model: what trains.
        arguments: `TrainingArguments`; clipping is done here, so that its `max_grad_norm` is 0.
        dev: model name -> its dev examples; empty to score nothing.
        fits: model name -> the record to fill.
        order: the sampler of training batches.
        select: `best` or `last` epoch.
        clip: largest norm of one model's gradients; 0 for any.
        save_seconds: after how many seconds a checkpoint is kept within an epoch; 0 for none.
        callbacks: told of every step and epoch.
    """

    def __init__(
        self,
        model: ModelGroup,
        arguments: TrainingArguments,
        *,
        dev: Mapping[str, Encoded],
        fits: Mapping[str, Fit],
        order: Sampler | Iterable,
        bf16: bool,
        select: str,
        clip: float,
        save_seconds: float = 0.0,
        callbacks: Sequence[TrainerCallback] = (),
        **more,
    ) -> None:
        self.together, self.dev, self.fits = model, dict(dev), dict(fits)
        self.order, self.bf16, self.select, self.clip = order, bf16, select, clip
        self.save_seconds = save_seconds
        self.norms: dict[str, float | Tensor] = {}
        self.best_states: dict[str, dict[str, Tensor]] = {}
        super().__init__(model, arguments, callbacks=[_Hooks(self), *callbacks], **more)
        self.remove_callback(PrinterCallback)
        # Trainer looks where it is when it is imported, which may be long before a notebook runs.
        if hasattr(get_ipython(), "kernel") and self.pop_callback(ProgressCallback):
            self.add_callback(NotebookProgressCallback)

    def get_train_dataloader(self) -> DataLoader:
        examples: Any = self.train_dataset
        kind = PartLoader if isinstance(self.order, Parts) else DataLoader
        loader: DataLoader = kind(
            examples,
            batch_sampler=self.order,
            collate_fn=lambda batch: batch,
            pin_memory=self.args.device.type == "cuda",
        )
        # Accelerate would divide batches anew, and give some examples to two processes.
        return loader if isinstance(self.order, Parts) else self.accelerator.prepare(loader)

    def _get_grad_norm(self, model, grad_norm=None):
        """Known from clipping already."""
        return self.norms.get(next(iter(self.fits)))

    def evaluate(self, *args, metric_key_prefix: str = "eval", **kwargs) -> dict[str, float]:
        shown: dict[str, float] = {}
        self.check_weights()
        for name, dev in self.dev.items():
            predictions = predict(self.together.members[name], dev, bf16=self.bf16)
            if any(np.isnan(output).any() for output in predictions.outputs):
                self.check_finite(name, "dev output", math.nan)
            scores = predictions.scores | {"loss": predictions.loss}
            self._keep_best(name, {f"{metric_key_prefix}_{k}": v for k, v in scores.items()}, predictions)
            prefix = metric_key_prefix if len(self.dev) == 1 else f"{metric_key_prefix}_{name}"
            shown |= {f"{prefix}_{k}": v for k, v in scores.items()}
        self.log(dict(shown))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, shown)
        return shown

    def _keep_best(self, name: str, scores: dict[str, float], predictions: Predictions) -> None:
        fitted = self.fits[name]
        fitted.history.append({"step": self.state.global_step, "epoch": self.state.epoch, **scores})
        # With equal scores the lower loss wins: tiny dev sets tie often.
        rank = (scores[f"eval_{predictions.metric.primary}"], -predictions.loss)
        former = fitted.best.get("rank")
        if self.select == "last" or former is None or rank > tuple(former):
            fitted.best = scores | {"rank": rank}
            fitted.best_epoch = self.state.epoch
            self.best_states[name] = {
                n: p.detach().to("cpu", copy=True)
                for n, p in self.together.members[name].named_parameters()
                if p.requires_grad
            }

    def check_finite(self, name: str, what: str, number: float | Tensor) -> None:
        """Raises KAdapterError if a number of a model is not finite: the fit diverged."""
        if math.isfinite(number):
            return
        which = "the fit" if len(self.fits) == 1 else f"the fit of model {name!r}"
        raise KAdapterError(
            f"{which} diverged: its {what} is {float(number)} at step {self.state.global_step} of "
            f"{self.state.max_steps} (epoch {self.state.epoch or 0:.1f}), learning_rate {self.args.learning_rate:g}: "
            "lower learning_rate, head_rate or max_grad_norm, or raise warmup_ratio"
        )

    def check_weights(self) -> None:
        """Raises KAdapterError for the first weight that trained and is not finite."""
        for name, model in self.together.members.items():
            for leaf, p in model.named_parameters():
                if p.requires_grad:
                    self.check_finite(name, f"weight {leaf}", p.detach().sum())

    def _save(self, output_dir=None, state_dict=None) -> None:
        trained = {n for n, p in self.together.named_parameters() if p.requires_grad}
        state = self.together.state_dict() if state_dict is None else state_dict
        super()._save(output_dir, {n: t for n, t in state.items() if n in trained})
        if self.best_states:
            weights = {f"{name}.{n}": t for name, state in self.best_states.items() for n, t in state.items()}
            write_weights(weights, Path(output_dir) / BEST_WEIGHTS)
            best = {name: {"best": fitted.best, "epoch": fitted.best_epoch} for name, fitted in self.fits.items()}
            (Path(output_dir) / BEST_SCORES).write_text(json.dumps(best), encoding="utf-8")

    def read_best(self, checkpoint: Path) -> None:
        """The best epoch so far, as a checkpoint kept it."""
        if not (checkpoint / BEST_SCORES).exists():
            return
        weights = read_weights(checkpoint / BEST_WEIGHTS)
        for name, kept in json.loads((checkpoint / BEST_SCORES).read_text(encoding="utf-8")).items():
            self.fits[name].best, self.fits[name].best_epoch = kept["best"], kept["epoch"]
            self.best_states[name] = {
                n.removeprefix(f"{name}."): t for n, t in weights.items() if n.startswith(f"{name}.")
            }

    def take_best(self) -> None:
        """Give every model the weights of its best epoch."""
        with torch.no_grad():
            for name, state in self.best_states.items():
                own = dict(self.together.members[name].named_parameters())
                for n, value in state.items():
                    own[n].copy_(value)

    def _issue_warnings_after_load(self, load_result) -> None:
        """A checkpoint lacks the frozen parts by design."""


def last_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint in a folder: one that a kill has cut lacks its state, which is written last."""
    whole = [path for path in folder.glob("checkpoint-*") if runs.read_json(path / TRAINER_STATE_NAME) is not None]
    return max(whole, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


class _Hooks(TrainerCallback):
    """Clips every model's gradients by themselves, and collects the log instead of printing it."""

    def __init__(self, trainer: BatchTrainer) -> None:
        self.trainer = trainer
        self.saved = time.monotonic()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        every = self.trainer.save_seconds
        if every and time.monotonic() - self.saved >= every:
            control.should_save = True

    def on_save(self, args, state, control, **kwargs) -> None:
        self.saved = time.monotonic()

    def on_pre_optimizer_step(self, args, state, control, **kwargs) -> None:
        trainer = self.trainer
        for name in trainer.fits:
            trainer.norms[name] = trainer.accelerator.clip_grad_norm_(
                trainer.together.trained(name), trainer.clip or math.inf
            )
            if args.device.type == "cpu":  # a GPU would have to be waited for; there the log of the epoch tells
                trainer.check_finite(name, "loss", trainer.together.losses[name])
                trainer.check_finite(name, "gradient norm", trainer.norms[name])

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        if any(key.startswith("eval_") for key in logs):
            return  # written by `evaluate`, to each model's own
        own: list[dict[str, float]] = [{}] * len(self.trainer.fits)
        if "loss" in logs:
            losses = self.trainer.together.mean_losses()
            for name in self.trainer.fits:
                self.trainer.check_finite(name, "loss", losses[name])
                self.trainer.check_finite(name, "gradient norm", self.trainer.norms[name])
            own = [{"loss": losses[n], "grad_norm": float(self.trainer.norms[n])} for n in self.trainer.fits]
        for fitted, values in zip(self.trainer.fits.values(), own, strict=True):
            fitted.history.append({"step": state.global_step, "epoch": state.epoch, **logs, **values})


def optimizer(model: ModelGroup, learning_rate: float, head_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW in groups: fusion and head at `head_rate` times the rate; no weight decay on biases and norms, as usual."""
    heads = {
        id(p)
        for module in model.modules()
        if isinstance(module, KnowledgeModel)
        for part in (module.fusion, module.head)
        if part is not None
        for p in part.parameters()
    }
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for p in model.parameters():
        if p.requires_grad:
            groups.setdefault((head_rate if id(p) in heads else 1.0, p.ndim > 1), []).append(p)
    return torch.optim.AdamW(
        [
            {"params": params, "lr": rate * learning_rate, "weight_decay": weight_decay * decays}
            for (rate, decays), params in groups.items()
        ],
        fused=True,
    )
