"""Map-tuning's stages (Zhang et al., ACL 2023, Section 3.2; map-tuning ledger, rows 4 to 7): a language layer where a
backbone has none, general map-tuning on linked text, task-specific map-tuning through a frozen downstream model."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedTokenizerBase, TrainerCallback

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.formats.schemas import MENTION
from kadapter.model.backbone import Backbone, fingerprint
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.language_head import language_kind, own_language_head
from kadapter.model.mapping import EntityMapping
from kadapter.tasks.mention import MentionTask, variants
from kadapter.training.batches import Encoded, Ragged, encode
from kadapter.training.fit import fit
from kadapter.training.settings import Settings

UNSEEN = -20.0  # first bias of a token that stands nowhere in the text
HIDDEN_SHARE = 0.2  # of a sentence's words that the language layer learns to predict, beside whole mentions


@dataclass
class Kept:
    """A mapping network as it was after one epoch at one dropout, and its score on dev.

    Attributes:
        dropout: of the frozen backbone.
        epoch: from 1.
        dev: mean probability of a hidden mention's piece.
        weights: of the network.
    """

    dropout: float
    epoch: int
    dev: float
    weights: dict[str, Tensor] = field(repr=False)

    def into(self, mapping: EntityMapping) -> EntityMapping:
        """A copy of a mapping with these weights, frozen."""
        network = copy.deepcopy(mapping.network)
        network.load_state_dict(self.weights)
        made = EntityMapping(mapping.name, network, mapping.embeddings, mapping.unlinked)
        return made.requires_grad_(False).eval()


def mention_task(backbone: Backbone, max_length: int = 64) -> MentionTask:
    """The task of general map-tuning: with the backbone's own language head, or a new one where it has none."""
    kind = language_kind(backbone)
    head = "own"
    try:
        own_language_head(backbone)
    except KAdapterError:
        head = "tied"
    task = catalog.task("mention", max_length=max_length, reading=kind or "masked", language_head=head)
    assert isinstance(task, MentionTask)
    return task


def maskings(dataset: Dataset, seed: int = 0) -> Dataset:
    """Text for a language layer, as rows of the MENTION schema without links: of each sentence of the RELATION schema
    once one or both of its mentions hidden, and once a fifth of its words, by chance."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, row in enumerate(dataset):
        mentions = [{"start": row[f"{side}_start"], "end": row[f"{side}_end"]} for side in ("subj", "obj")]
        chosen = mentions if rng.random() < 0.5 else [mentions[rng.integers(2)]]
        words = _words(row["text"])
        hidden = sorted(rng.permutation(len(words))[: max(1, round(HIDDEN_SHARE * len(words)))])
        for part, masked in enumerate((chosen, [words[k] for k in hidden])):
            rows.append({"id": f"{number}-{part}", "text": row["text"], "masked": masked, "links": []})
    return Dataset.from_list(rows, features=MENTION)


def _words(text: str) -> list[dict[str, int]]:
    found, at = [], 0
    for word in text.split(" "):
        if word:
            found.append({"start": at, "end": at + len(word)})
        at += len(word) + 1
    return found


def language_layer(
    backbone: Backbone,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    dev: Dataset,
    settings: Settings,
    out: Path,
    max_length: int = 64,
) -> tuple[dict[str, Tensor], float]:
    """A new language layer for a backbone without one, trained alone on text that is not linked (as the authors of
    K-Adapter did for LAMA): its head's weights, and the mean probability of a hidden piece on dev. It tells the tokens
    apart that stand in the training text; the others start, and stay, improbable.

    Args:
        train, dev: sentences of the RELATION schema.
    """
    task = mention_task(backbone, max_length)
    model = KnowledgeModel(backbone, "residual", task=task, seed=settings.seed)
    encoded = [encode(task, tokenizer, maskings(each, settings.seed), progress=False) for each in (train, dev)]
    assert model.head is not None  # a task gives one
    head: Any = model.head
    device = next(model.parameters()).device
    hidden = encoded[0].columns["labels"]
    assert isinstance(hidden, Ragged)  # the pieces of each sentence
    head.tokens = torch.from_numpy(np.unique(hidden.values)).to(device)
    unseen = torch.ones_like(head.language.bias, dtype=torch.bool)
    unseen[head.tokens] = False
    with torch.no_grad():
        head.language.bias.masked_fill_(unseen, UNSEEN)
    fitted = fit(model, encoded[0], encoded[1], replace(settings, regime="frozen"), out, progress=False)
    return head.state_dict(), float(fitted.best[f"eval_{task.metric.primary}"])


def general(
    mapping: EntityMapping,
    backbone: Backbone,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    dev: Dataset,
    settings: Settings,
    out: Path,
    dropouts: Sequence[float] = (0.25,),
    language: Mapping[str, Tensor] | None = None,
    max_length: int = 64,
) -> list[Kept]:
    """General map-tuning: for each dropout of the frozen backbone a mapping is trained from the same first weights, and
    kept after each epoch. The mapping itself is left as it was.

    Args:
        train, dev: linked sentences (`kadapter.graphs.linking`); those without a link are dropped.
        language: weights of a language layer (`language_layer`), for a backbone without a head of its own.
    """
    task = mention_task(backbone, max_length)
    if task.language_head != "own" and language is None:
        raise KAdapterError(
            f"backbone '{backbone.name}' has no language head of its own: train one with language_layer, and give it"
        )
    kept: list[Kept] = []
    encoded: list[Encoded] = []
    for dropout in dropouts:
        own = copy.deepcopy(mapping.network)
        trained = EntityMapping(mapping.name, own, mapping.embeddings, mapping.unlinked)
        model = KnowledgeModel(backbone, "residual", task=task, mapping=trained)
        if language is not None and task.language_head != "own":
            assert model.head is not None  # a task gives one
            model.head.load_state_dict(dict(language))
        if not encoded:
            sentences = (variants(each, task.reading) for each in (train, dev))
            encoded = [encode(task, tokenizer, each, progress=False, mapping=trained) for each in sentences]
        keep = _Keep(own, dropout, f"eval_{task.metric.primary}", kept)
        how = replace(settings, regime="mapping", backbone_dropout=dropout, select="last")
        fit(model, encoded[0], encoded[1], how, out / f"dropout-{dropout}", progress=False, callbacks=[keep])
    return kept


class _Keep(TrainerCallback):
    """Keeps the network after each epoch, once dev is scored."""

    def __init__(self, network: torch.nn.Module, dropout: float, metric: str, kept: list[Kept]) -> None:
        self.network, self.dropout, self.metric, self.kept, self.epoch = network, dropout, metric, kept, 0

    def on_evaluate(self, args, state, control, metrics=None, **kwargs) -> None:
        self.epoch += 1
        weights = {name: p.detach().to("cpu", copy=True) for name, p in self.network.state_dict().items()}
        self.kept.append(Kept(self.dropout, self.epoch, float((metrics or {})[self.metric]), weights))


def task_specific(
    model: KnowledgeModel, mapping: EntityMapping, train: Encoded, dev: Encoded, settings: Settings, out: Path
) -> EntityMapping:
    """Task-specific map-tuning: a copy of a mapping, trained through a frozen downstream model, in which no mapping is
    plugged, before or after.

    Raises KAdapterError if anything of the downstream model has changed.
    """
    trained = EntityMapping(mapping.name, copy.deepcopy(mapping.network), mapping.embeddings, mapping.unlinked)
    regime, before = model.regime, fingerprint(model)
    model.plug_mapping(trained)
    try:
        fit(model, train, dev, replace(settings, regime="mapping"), out, progress=False)
    finally:
        model.unplug_mapping()
        model.train_only(regime).eval()
    if fingerprint(model) != before:
        raise KAdapterError("the frozen downstream model changed while a mapping was tuned through it")
    return trained.requires_grad_(False).eval()


def describe(kept: Sequence[Kept]) -> list[dict[str, Any]]:
    """One row per kept mapping: dropout, epoch and score on dev."""
    return [{"dropout": k.dropout, "epoch": k.epoch, "dev": k.dev} for k in kept]
