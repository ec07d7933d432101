"""LoRA (Hu et al., 2022) on the same backbone, task and batches: rank 16 on the attention projections, in
bfloat16 where the machine has it."""

import copy
from collections.abc import Iterator
from typing import Any

import torch

from kadapter.model.backbone import Backbone
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.tasks.base import Task
from kadapter.training.batches import Encoded

OPTIONS: dict[str, Any] = {"r": 16, "alpha": 16, "dropout": 0.1, "targets": ["query", "key", "value"]}


def build(backbone: Backbone, task: Task) -> KnowledgeModel:
    """A model with LoRA weights in a backbone that shares the frozen weights of the given one."""
    shared = {id(p): p for p in backbone.parameters()}
    return KnowledgeModel(copy.deepcopy(backbone, shared), task=task).tune("lora", **OPTIONS)


def train(
    model: KnowledgeModel, encoded: Encoded, size: int, steps: int, rate: float, device: torch.device, bf16: bool
) -> Iterator[int]:
    """Batches of similar length, under autocast where `bf16`, fused AdamW; after each step yields its sentences."""
    model.to(device).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0, fused=True)
    order = encoded.batches(size, 0)
    done = epoch = 0
    while done < steps:
        for indices in order:
            batch = {name: t.to(device) for name, t in encoded.__getitems__(indices).items()}
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            yield len(indices)
            done += 1
            if done == steps:
                return
        epoch += 1
        order.set_epoch(epoch)
