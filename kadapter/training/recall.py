"""What a frozen backbone says of the training text, computed once: its most probable tokens at every asked position, so
that a step compares with them and a few drawn ones instead of the whole vocabulary."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.tasks.cloze import PLAIN
from kadapter.training.batches import Encoded, Ragged
from kadapter.training.features import token_batches

KNOWN = 64  # most probable tokens kept of each position


@torch.no_grad()
def recall(models: Sequence[KnowledgeModel], encoded: Encoded) -> Encoded:
    """The examples with two columns more: `known_ids`, the backbone's `KNOWN` most probable tokens at each asked
    position, and `known_total`, the logarithm of the sum over all. The heads of the models, which share one frozen
    backbone, learn which tokens are answers."""
    model, asked, answers = models[0], encoded.columns["asked"], encoded.columns["labels"]
    assert isinstance(asked, Ragged) and isinstance(answers, Ragged)
    head: Any = model.head
    language, device = head.language, next(model.backbone.parameters()).device
    known = min(KNOWN, language.vocabulary)
    ids = np.zeros((int(asked.offsets[-1]), known), dtype=np.int64)
    total = np.zeros(len(ids), dtype=np.float32)
    for chosen in token_batches(encoded.lengths, model.require_task().batch_tokens):
        batch = {name: value.to(device) for name, value in encoded.__getitems__(chosen).items()}
        if "states" in batch:
            last = batch["states"][-1].to(model.backbone.dtype)
        else:
            last = model.backbone.hidden_states(batch["input_ids"], batch["attention_mask"])[0]
        real = batch["asked"] >= 0
        scores = language(last[torch.nonzero(real)[:, 0], batch["asked"][real]]).float()
        rows = np.concatenate([np.arange(asked.offsets[i], asked.offsets[i + 1]) for i in chosen])
        ids[rows] = scores.topk(known).indices.cpu().numpy()
        total[rows] = scores.logsumexp(-1).cpu().numpy()
    of_facts = np.repeat(np.asarray(encoded.aside["relation"]) != PLAIN, asked.lengths)
    labels = answers.values[of_facts]
    for each in models:
        head = each.head
        head.answers = torch.from_numpy(np.unique(labels[labels >= 0])).to(device)
    more: dict[str, Ragged | np.ndarray] = {
        "known_ids": Ragged(ids.reshape(-1), asked.offsets * known),
        "known_total": Ragged(total, asked.offsets),
    }
    return replace(encoded, columns=encoded.columns | more, pads=encoded.pads | dict.fromkeys(more, 0))
