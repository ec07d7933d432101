"""The knowledge adapter of Figure 2: K adapter layers outside the backbone, each a down-projection, N transformer
layers and an up-projection with a skip connection, fed with the backbone's state at its plug layer and with the former
adapter layer's output.
"""

from collections.abc import ItemsView, Sequence, ValuesView
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.activations import ACT2FN

from kadapter.errors import KAdapterError
from kadapter.model.backbone import Backbone
from kadapter.model.config import AdapterConfig


class Dropout(nn.Dropout):
    """Dropout whose mask, on a processor, costs 16 random bits an element: torch draws a number for each, one after
    the other, which is a tenth of an adapter's step. The probability is rounded to a multiple of 2**-16."""

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        kept = round((1 - self.p) * 2**16)
        if not self.training or x.device.type != "cpu" or not 0 < kept < 2**16:
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)  # all 64 bits are random
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        return x * (bits < kept - 2**15).to(x.dtype).mul_(2**16 / kept)


class TransformerLayer(nn.Module):
    """One post-norm BERT layer (Devlin et al., 2019) with fused attention."""

    def __init__(self, width: int, heads: int, inner: int, activation: str, dropout: float, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attention_output = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.intermediate = nn.Linear(width, inner)
        self.output = nn.Linear(inner, width)
        self.output_norm = nn.LayerNorm(width, eps=eps)
        self.activation = ACT2FN[activation]
        self.dropout = Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch tokens width"], mask: Bool[Tensor, "batch 1 queries tokens"] | None
    ) -> Float[Tensor, "batch tokens width"]:
        """`mask` is True where a key may be attended to."""
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (batch, heads, tokens, width / heads)
            for part in (self.query, self.key, self.value)
        )
        attended = self.attend(q, k, v, mask)
        x = self.attention_norm(x + self.dropout(self.attention_output(attended.transpose(1, 2).flatten(-2))))
        return self.output_norm(x + self.dropout(self.output(self.activation(self.intermediate(x)))))

    def attend(
        self,
        q: Float[Tensor, "batch heads tokens size"],
        k: Float[Tensor, "batch heads tokens size"],
        v: Float[Tensor, "batch heads tokens size"],
        mask: Bool[Tensor, "batch 1 queries tokens"] | None,
    ) -> Float[Tensor, "batch heads tokens size"]:
        """Fused attention. With dropout on a processor torch has no fused kernel: written out, with our dropout."""
        dropout = self.dropout.p if self.training else 0.0
        if not dropout or q.device.type != "cpu":
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # (batch, heads, tokens, tokens)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return self.dropout(scores.softmax(-1)) @ v


class AdapterLayer(nn.Module):
    """One adapter layer: `x + up(transformer(down(input)))` (Figure 2, left)."""

    def __init__(self, config: AdapterConfig, first: bool) -> None:
        super().__init__()
        c = config
        self.concat = c.combine == "concat" and not first  # the first layer has no former output to concatenate
        self.down = nn.Linear(c.hidden_size * (2 if self.concat else 1), c.width)
        self.transformer = nn.ModuleList(
            TransformerLayer(c.width, c.heads, c.inner, c.activation, c.dropout, c.layer_norm_eps)
            for _ in range(c.layers)
        )
        self.up = nn.Linear(c.width, c.hidden_size)
        for projection in (self.down, self.up):
            nn.init.normal_(projection.weight, std=c.init_std)
            nn.init.zeros_(projection.bias)

    def forward(
        self,
        state: Float[Tensor, "batch tokens hidden"],
        former: Float[Tensor, "batch tokens hidden"] | None,
        mask: Bool[Tensor, "batch 1 queries tokens"] | None,
    ) -> Float[Tensor, "batch tokens hidden"]:
        skip = state if former is None else state + former
        x = self.down(torch.cat([state, former], dim=-1) if self.concat and former is not None else skip)
        for layer in self.transformer:
            x = layer(x, mask)
        return skip + self.up(x)


@dataclass
class PretrainingHead:
    """The head that an adapter was pre-trained with, kept beside it so that it can be scored on its own task.

    Attributes:
        task: name in the catalog; `options` build it again.
        fusion: kind of fusion that the head reads.
        weights: `fusion.*` and `head.*`.
    """

    task: str
    options: dict
    fusion: str
    weights: dict[str, Tensor] = field(repr=False)


class KnowledgeAdapter(nn.Module):
    """K adapter layers over a frozen backbone's states (Section 3.1). It reads those states alone, never another
    adapter."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config = config
        self.provenance: dict = {}  # what it was trained on; travels with the saved adapter
        self.made_for: dict | None = None  # the backbone it was loaded or saved with: name, revision, fingerprint
        self.newer: dict = {}  # what a newer version wrote into its configuration; written back when it is saved
        self.pretraining_head: PretrainingHead | None = None  # where one was kept
        self.layers = nn.ModuleList(AdapterLayer(config, first=k == 0) for k in range(len(config.plug_layers)))

    def forward(
        self,
        states: Float[Tensor, "plugs batch tokens hidden"] | Sequence[Float[Tensor, "batch tokens hidden"]],
        attention_mask: Int[Tensor, "batch tokens"] | Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens hidden"]:
        """The output of the last adapter layer.

        Args:
            states: the backbone's hidden states at `config.plug_layers`, in that order.
            attention_mask: 1 at real tokens; None (or `mask_padding=False`) attends to everything.

        Raises KAdapterError when the number of states is not that of the plug layers.
        """
        if len(states) != len(self.layers):
            raise KAdapterError(
                f"an adapter with plug layers {list(self.config.plug_layers)} was given {len(states)} hidden states"
            )
        mask = None
        if attention_mask is not None and self.config.mask_padding:
            mask = attention_mask.bool()[:, None, None, :]
        if self.config.causal:
            mask = causal_mask(states[0], mask)
        if self.config.normalize == "rms":
            states = [root_mean_square_norm(state) for state in states]
        first, *more = self.layers
        output = first(states[0], None, mask)
        for layer, state in zip(more, states[1:], strict=True):
            output = layer(state, output, mask)
        return output

    # Persistence lives in kadapter.hub.adapter_folder, a wing above: the one door upward, opened when these are called.

    def save_pretrained(self, folder: str | Path, backbone: Backbone | None = None) -> Path:
        """Save configuration, weights and model card as a folder (see `hub.adapter_folder.save_adapter`); returns it.

        `backbone` is not needed for an adapter that was itself loaded. Raises KAdapterError where it is, and missing.
        """
        from kadapter.hub import adapter_folder

        return adapter_folder.save_adapter(self, folder, backbone)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, backbone: Backbone | None = None, revision: str | None = None, force: bool = False
    ) -> "KnowledgeAdapter":
        """Load a saved adapter from a folder or a Hub repository (see `hub.adapter_folder.load_adapter`)."""
        from kadapter.hub import adapter_folder

        return adapter_folder.load_adapter(folder, backbone, force=force, revision=revision)

    def push_to_hub(self, repo: str, backbone: Backbone | None = None, private: bool | None = None, **commit) -> str:
        """Save into a Hub repository, made if there is none (see `hub.adapter_folder.push_adapter`); returns the
        commit's URL."""
        from kadapter.hub import adapter_folder

        return adapter_folder.push_adapter(self, repo, backbone, private, **commit)


def causal_mask(
    state: Float[Tensor, "batch tokens hidden"], mask: Bool[Tensor, "batch 1 1 tokens"] | None
) -> Bool[Tensor, "batch 1 tokens tokens"]:
    """What each token may attend to: of the keys of `mask` those that are not after it, and itself, so that padding on
    the left has something to attend to."""
    tokens = state.shape[1]
    before = torch.ones(tokens, tokens, dtype=torch.bool, device=state.device).tril()[None, None]
    if mask is not None:
        before = before & mask | torch.eye(tokens, dtype=torch.bool, device=state.device)
    return before.expand(state.shape[0], 1, tokens, tokens)


def root_mean_square_norm(x: Float[Tensor, "batch tokens hidden"]) -> Float[Tensor, "batch tokens hidden"]:
    """Each vector divided by its root mean square (Zhang and Sennrich, 2019)."""
    return (x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


if TYPE_CHECKING:

    class Adapters(nn.ModuleDict):
        """A `ModuleDict` of adapters, for who checks types: torch's own does not say what it holds."""

        def __getitem__(self, key: str) -> KnowledgeAdapter: ...
        def items(self) -> ItemsView[str, KnowledgeAdapter]: ...
        def values(self) -> ValuesView[KnowledgeAdapter]: ...
        def pop(self, key: str) -> KnowledgeAdapter: ...

else:
    Adapters = nn.ModuleDict


def count_parameters(config: AdapterConfig) -> int:
    """Parameters of an adapter of these sizes, without allocating it."""
    with torch.device("meta"):
        return sum(p.numel() for p in KnowledgeAdapter(config).parameters())


def build_adapter(config: AdapterConfig, seed: int = 0) -> KnowledgeAdapter:
    """A new adapter with the published initialisation, from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return KnowledgeAdapter(config)
