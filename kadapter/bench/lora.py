"""LoRA (Hu et al., 2022) on the same backbone, task and batches: rank 16 on the attention projections, in
bfloat16 where the machine has it."""

import importlib.util
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from kadapter.errors import KAdapterError
from kadapter.model.backbone import Backbone
from kadapter.tasks.base import Task
from kadapter.training.batches import Encoded

RANK = 16
PROJECTIONS = ["query", "key", "value"]


def check() -> None:
    """Raises KAdapterError if the package peft is missing: before anything is measured, not after minutes."""
    if importlib.util.find_spec("peft") is None:
        raise KAdapterError("the row 'lora' needs the package peft: pip install peft, or leave the row out with --rows")


class Model(nn.Module):
    """A backbone with LoRA weights, and the task's head on its last state."""

    def __init__(self, backbone: Backbone, task: Task) -> None:
        super().__init__()
        import peft

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft on a model without a name on the Hub
            self.backbone = peft.get_peft_model(
                backbone.model,
                peft.LoraConfig(r=RANK, lora_alpha=RANK, lora_dropout=0.1, target_modules=PROJECTIONS),
            )
        self.task = task
        self.head = task.head(backbone.hidden_size, backbone.hidden_size)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        states = self.backbone(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        return self.head(states.last_hidden_state, batch)


def train(
    model: Model, encoded: Encoded, size: int, steps: int, rate: float, device: torch.device, bf16: bool
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
                loss = model.task.loss(model(batch), batch)
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
