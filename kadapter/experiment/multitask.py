"""The multitask row (Figure 1a of the paper): no adapter; the backbone itself is trained on every kind of knowledge at
once, and is then fine-tuned as any other.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from kadapter.catalog import knowledge, task
from kadapter.errors import KAdapterError
from kadapter.experiment.examples import Examples
from kadapter.experiment.prepared import Data
from kadapter.experiment.stage import numbered, out_of, settings_for
from kadapter.hub.adapter_folder import BACKBONE
from kadapter.machine.device import best_device
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.fusion import FUSIONS
from kadapter.model.knowledge_model import KnowledgeModel, KnowledgeOutput
from kadapter.runs import Run, as_umask_says
from kadapter.training.batches import Encoded, LengthBatches, TurnBatches, encode
from kadapter.training.fit import Fit, computes_bf16, fit
from kadapter.training.predict import Predictions, predict

PART = "part"  # the entry of a batch that tells whose it is


class MixedBatches:
    """The batches of several orders, shuffled among each other; each batch is of one part, its indices moved up by the
    part's offset."""

    def __init__(self, parts: Sequence[LengthBatches | TurnBatches], offsets: Sequence[int], seed: int) -> None:
        self.parts, self.offsets, self.seed, self.epoch = parts, offsets, seed, 0
        self.batch_size, self.drop_last = parts[0].batch_size, False
        self.sampler = self  # accelerate looks here for set_epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch, among the batches and within each part."""
        self.epoch = epoch
        for part in self.parts:
            part.set_epoch(epoch)

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __iter__(self) -> Iterator[list[int]]:
        batches = [
            [index + offset for index in batch]
            for part, offset in zip(self.parts, self.offsets, strict=True)
            for batch in part
        ]
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(batches))
        return iter([batches[number] for number in order])


class MixedExamples:
    """The encoded examples of several tasks as one PyTorch dataset; a batch comes from one of them and says which."""

    states = None

    def __init__(self, parts: Sequence[Encoded]) -> None:
        self.parts = list(parts)
        self.offsets = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def batches(self, batch_size: int, seed: int, tokens: int = 0) -> MixedBatches:
        """The order in which training takes these examples: `batch_size`, or padded `tokens`, at a time."""
        return MixedBatches([p.batches(batch_size, seed, tokens) for p in self.parts], self.offsets[:-1].tolist(), seed)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """One batch of one part. The indices are all of that part."""
        part = int(np.searchsorted(self.offsets, indices[0], side="right")) - 1
        return self.parts[part].__getitems__(np.asarray(indices) - self.offsets[part]) | {PART: part}


class MultitaskModel(nn.Module):
    """Models of several tasks that share one backbone, trained by batches of one task at a time.

    Args:
        models: without adapters; all on the same backbone.
    """

    def __init__(self, models: Mapping[str, KnowledgeModel]) -> None:
        super().__init__()
        self.models: Any = nn.ModuleDict(models)
        self.task = [model.task for model in models.values()]

    def train_only(self, regime: str) -> None:
        """Choose the parts that train, in every model."""
        for model in self.models.values():
            model.train_only(regime)

    def forward(self, part: int, **batch: Tensor) -> KnowledgeOutput:
        """What the model of this part makes of its batch."""
        return list(self.models.values())[part](**batch)


class Multitask:
    """Train a backbone on several kinds of knowledge at once.

    Args:
        data: a prepared data folder.
        backbone: whose copy is trained.
        parts: name -> knowledge, dataset and task_options, as the preset's `knowledge` entries have them.
        training: `Settings` without regime and seed, and `max_length`; one for all parts.
        seed, more_seeds: a backbone is trained under each; examples are read and encoded once.

    Raises KAdapterError for an unknown name or setting.
    """

    def __init__(
        self,
        *,
        data: Data,
        backbone: str,
        parts: Mapping[str, Mapping[str, Any]],
        training: Mapping[str, Any],
        fusion: str = "concat",
        seed: int = 0,
        more_seeds: Sequence[int] = (),
    ) -> None:
        if not parts:
            raise KAdapterError("multitask: expected at least one kind of knowledge to train on")
        self.settings, max_length = settings_for({**training, "select": "last"}, "paper", seed)
        if fusion not in FUSIONS:
            raise KAdapterError(f"fusion: found {fusion!r}; expected one of {', '.join(FUSIONS)}")
        self.data, self.parts = data, {name: dict(part) for name, part in parts.items()}
        self.sources: dict[str, Examples] = {}
        tasks = {}
        for name, part in parts.items():
            kind = knowledge(part["knowledge"])
            options = kind.options | dict(part.get("task_options") or {})
            self.sources[name] = Examples(data, part["dataset"], part["knowledge"], part.get("examples"))
            tasks[name] = task(kind.task, labels=self.sources[name].labels, max_length=max_length, **options)
        self.tokenizer = load_tokenizer(backbone)
        original = Backbone(backbone)
        original.check_length(max_length)
        self.fingerprint = original.fingerprint
        self.backbones = {each: copy.deepcopy(original) for each in (seed, *more_seeds)}
        self.backbone = self.backbones[seed]
        self.models = {
            each: MultitaskModel({name: KnowledgeModel(backbone, fusion, {}, t, each) for name, t in tasks.items()})
            for each, backbone in self.backbones.items()
        }
        self.model = self.models[seed]
        self.encoded: dict[tuple[str, str], Encoded] = {}
        self.fitted = Fit()

    def split(self, name: str, split: str) -> Encoded:
        """A split of one part, read and encoded once."""
        if (name, split) not in self.encoded:
            examples = self.sources[name].split(split)
            self.encoded[name, split] = encode(self.model.models[name].task, self.tokenizer, examples)
        return self.encoded[name, split]

    def fit(self, out: Path, progress: bool = True) -> Fit:
        """Train on the parts' `train` splits, their batches in a random order, under every seed; how the first was
        fitted."""
        train = MixedExamples([self.split(name, "train") for name in self.parts])
        fits = []
        for seed, model in self.models.items():
            settings = replace(self.settings, seed=seed)
            fits.append(fit(model, train, None, settings, out_of(out, settings), progress=progress))
        self.fitted = fits[0]
        return self.fitted

    def predict(self, split: str = "dev") -> dict[str, Predictions]:
        """Every part's answers on a split, of the first seed."""
        bf16 = computes_bf16(self.settings, best_device())
        return {name: predict(model, self.split(name, split), bf16=bf16) for name, model in self.model.models.items()}

    def finish(self, run: Run, predictions: Mapping[str, Predictions]) -> Path:
        """Save every seed's backbone with its tokenizer, and finish the run."""
        for number, backbone in enumerate(self.backbones.values()):
            folder = run.path(numbered(BACKBONE, number))
            backbone.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
            as_umask_says(*folder.glob("*.safetensors"))
        scores = {
            f"{name}_{p.metric.primary}": round(float(p.scores[p.metric.primary]), 6) for name, p in predictions.items()
        }
        return run.finish(
            metrics=scores,
            knowledge={name: part["knowledge"] for name, part in self.parts.items()},
            dataset={name: part["dataset"] for name, part in self.parts.items()},
            n=sum(len(p.outputs) for p in predictions.values()),
            seeds=list(self.models),
            examples={name: len(self.split(name, "train")) for name in self.parts},
            data_hash={name: self.data.hash(part["dataset"]) for name, part in self.parts.items()},
            backbone_fingerprint=self.fingerprint,
            history=self.fitted.history,
        )
