"""Fusion: one representation of the backbone's last state and the plugged adapters' outputs (Section 3.1, "K-Adapter";
ledger row 7: the paper concatenates, the official code projects or adds), and fusions that choose among adapters."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
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


STEEP = 30.0  # how much faster than other weights a gate learns which adapter is of use for all tokens


class Gate(nn.Module):
    """At each token a weight for each adapter, from the backbone's last state: `softmax(W h + 30 b)` over those that
    are plugged; before it is trained the same for all, or what `Fusion.prefer` says. b learns fast, before the head has
    learned few examples by heart from what does not help."""

    def __init__(self, hidden_size: int, adapters: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, adapters, bias=False)
        self.bias = nn.Parameter(torch.zeros(adapters))
        nn.init.zeros_(self.linear.weight)

    def forward(
        self,
        last: Float[Tensor, "batch tokens hidden"],
        outputs: Float[Tensor, "adapters batch tokens hidden"],
        there: Bool[Tensor, "batch adapters"],
    ) -> Float[Tensor, "batch tokens hidden"]:
        return _weighted(self.linear(last) + STEEP * self.bias, outputs, there)


class Attention(nn.Module):
    """AdapterFusion (Pfeiffer et al., 2021, Section 3.2): at each token the last state is the query, every adapter's
    output a key and a value. The value map starts as the identity, as theirs does."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(hidden_size, hidden_size), nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size, bias=False)
        nn.init.eye_(self.value.weight)

    def forward(
        self,
        last: Float[Tensor, "batch tokens hidden"],
        outputs: Float[Tensor, "adapters batch tokens hidden"],
        there: Bool[Tensor, "batch adapters"],
    ) -> Float[Tensor, "batch tokens hidden"]:
        scores = torch.einsum("bth,nbth->btn", self.query(last), self.key(outputs))
        return _weighted(scores, self.value(outputs), there)


def _weighted(
    scores: Float[Tensor, "batch tokens adapters"],
    outputs: Float[Tensor, "adapters batch tokens hidden"],
    there: Bool[Tensor, "batch adapters"],
) -> Float[Tensor, "batch tokens hidden"]:
    """The mean of the outputs that are there, by a softmax of their scores; zeros where none is."""
    weight = scores.masked_fill(~there[:, None], -torch.inf).softmax(-1).nan_to_num(0.0)
    return torch.einsum("btn,nbth->bth", weight, outputs)


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
    - gate: [h ; w_1 a_1 + ... + w_n a_n], width 2 * hidden however many adapters: w is a softmax of a linear map of h
      at each token, so that an adapter that does not help can be left out (`Gate`).
    - attention: [h ; w_1 V a_1 + ... + w_n V a_n], w by attention of h to the adapters (AdapterFusion: `Attention`).

    With no adapter every kind returns the last state itself. An output of None (an adapter that is unplugged)
    counts as zeros; `gate` and `attention` choose among the others.

    Attributes:
        adapter_dropout: while it trains, the share of examples for which each adapter is unplugged (never all of them).
    """

    adapter_dropout = 0.0

    def __init__(self, kind: str, hidden_size: int, adapters: int) -> None:
        super().__init__()
        if kind not in FUSIONS:
            raise unknown("fusion", kind, FUSIONS)
        self.kind, self.adapters = kind, adapters
        widths = {"concat": 1 + adapters, "gate": 1 + min(adapters, 1), "attention": 1 + min(adapters, 1)}
        self.width = hidden_size * widths.get(kind, 1)
        if kind == "project":
            self.pair = nn.ModuleList(nn.Linear(2 * hidden_size, hidden_size) for _ in range(adapters))
            self.join = nn.Linear(adapters * hidden_size, hidden_size) if adapters > 1 else None
        if kind == "residual":
            self.parts = nn.ModuleList(Projection(hidden_size) for _ in range(adapters))
        if kind in ("gate", "attention") and adapters:
            self.choice = Gate(hidden_size, adapters) if kind == "gate" else Attention(hidden_size)

    def forward(
        self, last: Float[Tensor, "batch tokens hidden"], outputs: Sequence[Float[Tensor, "batch tokens hidden"] | None]
    ) -> Float[Tensor, "batch tokens width"]:
        if not outputs:
            return last
        read = [torch.zeros_like(last) if a is None else a.to(last.dtype) for a in outputs]
        there = torch.tensor([a is not None for a in outputs], device=last.device).expand(len(last), -1)
        if self.training and self.adapter_dropout and len(outputs) > 1:
            there = self._drop(there)
            read = [torch.where(kept[:, None, None], a, 0.0) for a, kept in zip(read, there.unbind(1), strict=True)]
        if self.kind in ("gate", "attention"):
            return torch.cat([last, self.choice(last, torch.stack(read), there)], dim=-1)
        if self.kind == "concat":
            return torch.cat([last, *read], dim=-1)
        if self.kind == "add":
            return last + sum(read)
        if self.kind == "residual":
            return last + sum(part(a) for part, a in zip(self.parts, read, strict=True))
        paired = [linear(torch.cat([last, a], dim=-1)) for linear, a in zip(self.pair, read, strict=True)]
        return paired[0] if self.join is None else self.join(torch.cat(paired, dim=-1))

    def prefer(self, lengths: Sequence[float]) -> None:
        """Let `gate` begin with the weights `softmax(-lengths)`: the posterior of the adapters, where a length is what
        the training examples cost with one of them alone, in nats (`kadapter.training.weigh`)."""
        given = torch.tensor(lengths, dtype=torch.float32)
        assert isinstance(self.choice, Gate)
        self.choice.bias.data.copy_((given.min() - given) / STEEP)

    def _drop(self, there: Bool[Tensor, "batch adapters"]) -> Bool[Tensor, "batch adapters"]:
        """Of the adapters that are there, those that an example keeps: all of them where the dice left none."""
        kept = there & (torch.rand(there.shape, device=there.device) >= self.adapter_dropout)
        return torch.where(kept.any(1, keepdim=True), kept, there)
