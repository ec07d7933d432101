"""Fusion: one representation of the backbone's last state and the plugged adapters' outputs (Section 3.1, "K-Adapter";
ledger row 7: the paper concatenates, the official code projects or adds)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kadapter.catalog import FUSIONS
from kadapter.errors import unknown


class Projection(nn.Module):
    """`sigmoid(g a) P a`: zero, with its gate half open, until it is trained."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.linear, self.gate = nn.Linear(hidden_size, hidden_size, bias=False), nn.Linear(hidden_size, 1)
        for p in self.parameters():
            nn.init.zeros_(p)

    def forward(self, output: Float[Tensor, "batch tokens hidden"]) -> Float[Tensor, "batch tokens hidden"]:
        return self.gate(output).sigmoid() * self.linear(output)


class Fusion(nn.Module):
    """Makes (batch, tokens, width) of the last state and one output per adapter name.

    Kinds:

    - concat: [h ; a_1 ; ... ; a_n], width (1 + n) * hidden; no weights (the paper).
    - project: per adapter a linear layer 2 * hidden -> hidden over [h ; a_i]; with two or more, another n * hidden ->
      hidden over all of them (the official code).
    - add: h + a_1 + ... + a_n.
    - residual: h + g_1 P_1 a_1 + ... + g_n P_n a_n, each P a linear map without bias that is zero at the start, so that
      what reads h can read this instead, and an untrained adapter changes nothing by a bit (for a language head that is
      the backbone's own). g in (0, 1) is a gate at each token: sigmoid of a linear map of a.

    With no adapter every kind returns the last state itself. An output of None (an adapter that is unplugged)
    counts as zeros.
    """

    def __init__(self, kind: str, hidden_size: int, adapters: int) -> None:
        super().__init__()
        if kind not in FUSIONS:
            raise unknown("fusion", kind, FUSIONS)
        self.kind, self.adapters = kind, adapters
        self.width = hidden_size * (1 + adapters) if kind == "concat" else hidden_size
        if kind == "project":
            self.pair = nn.ModuleList(nn.Linear(2 * hidden_size, hidden_size) for _ in range(adapters))
            self.join = nn.Linear(adapters * hidden_size, hidden_size) if adapters > 1 else None
        if kind == "residual":
            self.parts = nn.ModuleList(Projection(hidden_size) for _ in range(adapters))

    def forward(
        self, last: Float[Tensor, "batch tokens hidden"], outputs: Sequence[Float[Tensor, "batch tokens hidden"] | None]
    ) -> Float[Tensor, "batch tokens width"]:
        if not outputs:
            return last
        read = [torch.zeros_like(last) if a is None else a.to(last.dtype) for a in outputs]
        if self.kind == "concat":
            return torch.cat([last, *read], dim=-1)
        if self.kind == "add":
            return last + sum(read)
        if self.kind == "residual":
            return last + sum(part(a) for part, a in zip(self.parts, read, strict=True))
        paired = [linear(torch.cat([last, a], dim=-1)) for linear, a in zip(self.pair, read, strict=True)]
        return paired[0] if self.join is None else self.join(torch.cat(paired, dim=-1))
