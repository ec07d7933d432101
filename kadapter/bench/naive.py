"""The loop to beat, written plainly in the manner of the official code: float32, attention written out, all hidden
states computed anew in every step, every sentence padded to 64 tokens, AdamW parameter by parameter.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from kadapter.model.adapter import AdapterConfig
from kadapter.model.backbone import Backbone
from kadapter.model.fusion import Fusion
from kadapter.tasks.base import Task
from kadapter.training.batches import Encoded, Ragged

LENGTH = 64  # of every padded sentence (official scripts: max_seq_length)
NAIVE_SCORED = 64  # sentences scored at once


class Layer(nn.Module):
    """One post-norm BERT layer with its attention written out."""

    def __init__(self, c: AdapterConfig) -> None:
        super().__init__()
        self.heads = c.heads
        self.query, self.key, self.value, self.out = (nn.Linear(c.width, c.width) for _ in range(4))
        self.up, self.down = nn.Linear(c.width, c.inner), nn.Linear(c.inner, c.width)
        self.norm1, self.norm2 = (nn.LayerNorm(c.width, eps=c.layer_norm_eps) for _ in range(2))
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        def split(t: Tensor) -> Tensor:
            return t.view(*t.shape[:2], self.heads, -1).permute(0, 2, 1, 3)  # (batch, heads, tokens, size)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.shape[-1]) + mask
        attended = torch.matmul(self.dropout(torch.softmax(scores, dim=-1)), v)
        attended = attended.permute(0, 2, 1, 3).contiguous().view(x.shape)
        x = self.norm1(x + self.dropout(self.out(attended)))
        return self.norm2(x + self.dropout(self.down(nn.functional.gelu(self.up(x)))))


class Adapter(nn.Module):
    """Adapter layers over all hidden states of the backbone."""

    def __init__(self, c: AdapterConfig) -> None:
        super().__init__()
        self.config = c
        self.down, self.up, self.layers = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for k in range(len(c.plug_layers)):
            self.down.append(nn.Linear(c.hidden_size * (2 if c.combine == "concat" and k else 1), c.width))
            self.up.append(nn.Linear(c.width, c.hidden_size))
            self.layers.append(nn.ModuleList(Layer(c) for _ in range(c.layers)))
            for projection in (self.down[-1], self.up[-1]):
                assert isinstance(projection, nn.Linear)
                nn.init.normal_(projection.weight, std=c.init_std)
                nn.init.zeros_(projection.bias)

    def forward(self, states: Sequence[Tensor], mask: Tensor) -> Tensor:
        former: Tensor | None = None
        for k, point in enumerate(self.config.plug_layers):
            skip = states[point] if former is None else states[point] + former
            concat = self.config.combine == "concat"
            x = self.down[k](torch.cat([states[point], former], dim=-1) if concat and former is not None else skip)
            block = self.layers[k]
            assert isinstance(block, nn.ModuleList)
            for layer in block:
                x = layer(x, mask)
            former = skip + self.up[k](x)
        assert former is not None  # an adapter has a plug layer
        return former


class Model(nn.Module):
    """Frozen backbone, adapter, fusion and head."""

    def __init__(self, backbone: Backbone, config: AdapterConfig, task: Task, fusion: str) -> None:
        super().__init__()
        self.backbone, self.task = backbone.model, task
        self.adapter = Adapter(config)
        self.fusion = Fusion(fusion, config.hidden_size, 1)
        self.head = task.head(self.fusion.width, config.hidden_size)
        self.backbone.set_attn_implementation("eager")

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        self.backbone.eval()
        ids, mask = batch["input_ids"], batch["attention_mask"]
        with torch.no_grad():
            states = self.backbone(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        added = (1.0 - mask[:, None, None, :].float()) * -10000.0
        return self.head(self.fusion(states[-1], [self.adapter(states, added)]), batch)


def batches(encoded: Encoded, size: int, seed: int) -> Iterator[dict[str, Tensor]]:
    """Batches in random order, each sentence padded to 64 tokens, one epoch after the other without end."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(encoded))
        for start in range(0, len(order) - size + 1 if len(order) >= size else 1, size):
            yield padded(encoded, order[start : start + size])


def padded(encoded: Encoded, indices: np.ndarray) -> dict[str, Tensor]:
    """These examples padded to 64 tokens, with their mask."""
    batch = {n: torch.tensor(c[indices]) for n, c in encoded.columns.items() if not isinstance(c, Ragged)}
    values, real = encoded.tokens.take(indices, encoded.pads["input_ids"])
    ids = np.full((len(indices), LENGTH), encoded.pads["input_ids"], dtype=np.int64)
    mask = np.zeros_like(ids)
    ids[:, : values.shape[1]], mask[:, : values.shape[1]] = values, real
    return batch | {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


def train(
    model: Model,
    encoded: Encoded,
    size: int,
    steps: int,
    rate: float,
    device: torch.device,
    warmup: int = 0,
    seed: int = 0,
) -> Iterator[int]:
    """The official loop; after each step yields how many sentences it saw."""
    model.to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0, foreach=False)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, steps)
    batch_source = batches(encoded, size, seed)
    for _ in range(steps):
        model.train()
        batch = {name: t.to(device) for name, t in next(batch_source).items()}
        loss = model.task.loss(model(batch), batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        model.zero_grad()
        yield len(batch["input_ids"])


@torch.no_grad()
def score(model: Model, encoded: Encoded, device: torch.device) -> float:
    """The task's score on these examples."""
    model.eval()
    outputs = []
    for start in range(0, len(encoded), NAIVE_SCORED):
        batch = padded(encoded, np.arange(start, min(start + NAIVE_SCORED, len(encoded))))
        batch = {name: t.to(device) for name, t in batch.items()}
        outputs += model.task.outputs(model(batch), batch)
    metric, decided = model.task.metric, model.task.decide(outputs, encoded)
    return metric(decided, model.task.references(encoded))[metric.primary]
