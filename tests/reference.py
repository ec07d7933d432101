"""The official adapter as plain equations on a state dict with official names: no module of the project, no fused
attention.

Written from Figure 2 and the published code's computation (ledger rows 1 to 4): post-norm BERT layers, GELU by erf,
layer-norm eps 1e-5, no dropout, every position attended to unless `mask` says otherwise.
"""

import math

import torch

from kadapter.model.adapter import AdapterConfig


def shapes(
    hidden: int = 1024,
    width: int = 768,
    inner: int = 3072,
    layers: int = 2,
    blocks: int = 3,
    head: str | None = None,
    outputs: int = 0,
) -> dict[str, list[int]]:
    """Every leaf of an official checkpoint with its shape, in the official order; sizes of the released files by
    default."""
    found: dict[str, list[int]] = {}

    def linear(name: str, inputs: int, out: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = [out, inputs], [out]

    def norm(name: str, size: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = [size], [size]

    for k in range(blocks):
        linear(f"adapter.{k}.down_project", hidden, width)
        for j in range(layers):
            at = f"adapter.{k}.encoder.layer.{j}"
            for part in ("query", "key", "value"):
                linear(f"{at}.attention.self.{part}", width, width)
            linear(f"{at}.attention.output.dense", width, width)
            norm(f"{at}.attention.output.LayerNorm", width)
            linear(f"{at}.intermediate.dense", width, inner)
            linear(f"{at}.output.dense", inner, width)
            norm(f"{at}.output.LayerNorm", width)
        linear(f"adapter.{k}.up_project", width, hidden)
    if head == "dependency":
        for part in ("query", "key", "value"):
            linear(f"self_attention.self.{part}", hidden, hidden)
        linear("self_attention.output.dense", hidden, hidden)
        norm("self_attention.output.LayerNorm", hidden)
    if head is not None:
        linear("com_dense", 2 * hidden, hidden)
        linear("dense", 2 * hidden if head == "relation" else hidden, hidden)
        linear("out_proj", hidden, outputs)
    return found


def checkpoint(seed: int = 0, **sizes) -> dict[str, torch.Tensor]:
    """A random official state dict whose every leaf matters; weights of linear layers keep their input's scale."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes(**sizes).items():
        drawn = torch.randn(shape, generator=generator)
        if "LayerNorm.weight" in name:
            state[name] = 1 + 0.1 * drawn
        else:
            state[name] = 0.1 * drawn if len(shape) == 1 else drawn / math.sqrt(shape[1])
    return state


def linear(w: dict, x: torch.Tensor, name: str) -> torch.Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(w: dict, x: torch.Tensor, name: str, eps: float = 1e-5) -> torch.Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x: torch.Tensor) -> torch.Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def attention(w: dict, x: torch.Tensor, name: str, heads: int, mask: torch.Tensor | None) -> torch.Tensor:
    """BertAttention: heads one after the other, an output projection, skip connection and norm."""
    size = x.shape[-1] // heads
    out = []
    for h in range(heads):
        q, k, v = (
            linear(w, x, f"{name}.self.{part}")[..., h * size : (h + 1) * size] for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(1, 2) / math.sqrt(size)
        if mask is not None:
            scores = scores.masked_fill(mask[:, None, :] == 0, -torch.inf)
        out.append(torch.softmax(scores, -1) @ v)
    return norm(w, x + linear(w, torch.cat(out, -1), f"{name}.output.dense"), f"{name}.output.LayerNorm")


def adapter(
    w: dict[str, torch.Tensor], states: list[torch.Tensor], heads: int, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """The last adapter layer's output from the backbone's states at the plug layers."""
    last = torch.zeros_like(states[0])
    for k, state in enumerate(states):
        fused = state + last
        x = linear(w, fused, f"adapter.{k}.down_project")
        for j in range(1 + max(int(n.split(".")[4]) for n in w if n.startswith("adapter.0.encoder"))):
            at = f"adapter.{k}.encoder.layer.{j}"
            x = attention(w, x, f"{at}.attention", heads, mask)
            x = norm(
                w,
                x + linear(w, gelu(linear(w, x, f"{at}.intermediate.dense")), f"{at}.output.dense"),
                f"{at}.output.LayerNorm",
            )
        last = fused + linear(w, x, f"adapter.{k}.up_project")
    return last


def relation_logits(
    w: dict, last_state: torch.Tensor, adapted: torch.Tensor, subject: list[int], obj: list[int]
) -> torch.Tensor:
    """The factual head: com_dense over [h ; a], the vectors at the two markers, dense, out_proj."""
    features = linear(w, torch.cat([last_state, adapted], -1), "com_dense")
    rows = torch.arange(len(features))
    pair = torch.cat([features[rows, torch.tensor(subject)], features[rows, torch.tensor(obj)]], -1)
    return linear(w, linear(w, pair, "dense"), "out_proj")


def dependency_logits(w: dict, last_state: torch.Tensor, adapted: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The linguistic head: com_dense, one attention layer of one head, dense, out_proj; (batch, tokens, positions)."""
    features = linear(w, torch.cat([last_state, adapted], -1), "com_dense")
    return linear(w, linear(w, attention(w, features, "self_attention", 1, mask), "dense"), "out_proj")


def official_view(state: dict[str, torch.Tensor], config: AdapterConfig) -> dict[str, torch.Tensor]:
    """A `KnowledgeAdapter`'s state dict under official names, spelled out here rather than taken from
    `kadapter.hub.official`."""
    view = {}
    for k in range(len(config.plug_layers)):
        for j in range(config.layers):
            ours, theirs = f"layers.{k}.transformer.{j}", f"adapter.{k}.encoder.layer.{j}"
            for end in ("weight", "bias"):
                for part in ("query", "key", "value"):
                    view[f"{theirs}.attention.self.{part}.{end}"] = state[f"{ours}.{part}.{end}"]
                view[f"{theirs}.attention.output.dense.{end}"] = state[f"{ours}.attention_output.{end}"]
                view[f"{theirs}.attention.output.LayerNorm.{end}"] = state[f"{ours}.attention_norm.{end}"]
                view[f"{theirs}.intermediate.dense.{end}"] = state[f"{ours}.intermediate.{end}"]
                view[f"{theirs}.output.dense.{end}"] = state[f"{ours}.output.{end}"]
                view[f"{theirs}.output.LayerNorm.{end}"] = state[f"{ours}.output_norm.{end}"]
        for end in ("weight", "bias"):
            view[f"adapter.{k}.down_project.{end}"] = state[f"layers.{k}.down.{end}"]
            view[f"adapter.{k}.up_project.{end}"] = state[f"layers.{k}.up.{end}"]
    return view
