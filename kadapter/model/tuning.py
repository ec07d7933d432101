"""Tuning of the backbone itself, as models were tuned before anybody plugs knowledge into them: fully, by bottlenecks
(Houlsby et al., 2019), by LoRA (Hu et al., 2022), or by the biases alone (Ben Zaken et al., 2022).

What a kind of tuning takes stands in `tuning_config`; `KnowledgeModel.tune` chooses one.
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.activations import ACT2FN

from kadapter.errors import KAdapterError
from kadapter.model.backbone import Backbone
from kadapter.model.tuning_config import ROLES, Houlsby, LoRA, Tuning, tuning

LORA, BOTTLENECK = "lora_", "bottleneck"  # in the names of what is put in


@dataclass(frozen=True)
class Family:
    """Where the parts of a layer stand in one family of backbones: names of modules, behind the layer's number.

    Attributes:
        query, key, value, inner: linear layers; one name may be that of several (a joined projection).
        outputs: of attention and of the feed-forward part: the last module before the sum with their input.
    """

    query: str
    key: str
    value: str
    inner: tuple[str, ...]
    outputs: tuple[str, str]

    def linear(self, role: str) -> tuple[str, ...]:
        """The linear layers of a role."""
        named = getattr(self, role)
        return (named,) if isinstance(named, str) else named


FAMILIES = (
    Family(  # BERT, RoBERTa, XLM-R, ELECTRA
        *("attention.self.query", "attention.self.key", "attention.self.value", ("intermediate.dense",)),
        ("attention.output.dropout", "output.dropout"),
    ),
    Family(  # DeBERTa
        *("attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj"),
        *(("intermediate.dense",), ("attention.output.dropout", "output.dropout")),
    ),
    Family(  # Llama, Mistral, Qwen
        *("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", ("mlp.gate_proj", "mlp.up_proj")),
        ("self_attn.o_proj", "mlp.down_proj"),
    ),
    Family(  # DistilBERT
        *("attention.q_lin", "attention.k_lin", "attention.v_lin", ("ffn.lin1",)),
        ("attention.out_lin", "ffn.dropout"),
    ),
    Family(  # MPNet
        *("attention.attn.q", "attention.attn.k", "attention.attn.v", ("intermediate.dense",)),
        ("attention.dropout", "output.dropout"),
    ),
    Family("attn.Wqkv", "attn.Wqkv", "attn.Wqkv", ("mlp.Wi",), ("attn.out_drop", "mlp.Wo")),  # ModernBERT
    Family("attn.c_attn", "attn.c_attn", "attn.c_attn", ("mlp.c_fc",), ("attn.resid_dropout", "mlp.dropout")),  # GPT-2
    Family(  # ALBERT: one layer, used several times
        *("albert_layers.0.attention.query", "albert_layers.0.attention.key", "albert_layers.0.attention.value"),
        *(("albert_layers.0.ffn",), ("albert_layers.0.attention.output_dropout", "albert_layers.0.ffn_output")),
    ),
    Family(  # T5
        *("layer.0.SelfAttention.q", "layer.0.SelfAttention.k", "layer.0.SelfAttention.v"),
        *(("layer.1.DenseReluDense.wi",), ("layer.0.dropout", "layer.1.dropout")),
    ),
    Family(  # T5 with gates
        *("layer.0.SelfAttention.q", "layer.0.SelfAttention.k", "layer.0.SelfAttention.v"),
        ("layer.1.DenseReluDense.wi_0", "layer.1.DenseReluDense.wi_1"),
        ("layer.0.dropout", "layer.1.dropout"),
    ),
)


class Bottleneck(nn.Module):
    """`x + up(activation(down(x)))`, nearly the identity before it is trained."""

    def __init__(self, width: int, sizes: Houlsby) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, sizes.bottleneck), nn.Linear(sizes.bottleneck, width)
        self.activation = ACT2FN[sizes.activation]
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, std=sizes.init_std, a=-2 * sizes.init_std, b=2 * sizes.init_std)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        return x + self.up(self.activation(self.down(x)))


class Followed(nn.Module):
    """A module of the backbone with a bottleneck behind it."""

    def __init__(self, inner: nn.Module, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.inner, self.bottleneck = inner, bottleneck

    def forward(self, x: Float[Tensor, "... inner"]) -> Float[Tensor, "... width"]:
        return self.bottleneck(self.inner(x))


def tune(backbone: Backbone, kind: str, seed: int = 0, **options) -> Tuning:
    """Make a backbone ready for a kind of tuning, in place: put in what it adds, from `seed`, and note it in
    `backbone.tuned`. What is put in changes outputs by no more than a bottleneck's first weights do (LoRA's: nothing).

    Raises KAdapterError for an unknown kind or option, other options than it was tuned with before, and a backbone
    that has no such layers or no bias.
    """
    chosen = tuning(kind, options)
    if kind in backbone.tuned:
        if options and backbone.tuned[kind] != chosen:
            raise KAdapterError(
                f"{backbone.name} is tuned by {kind} with {backbone.tuned[kind]} already; expected the same options "
                f"again, found {chosen}: load the backbone anew"
            )
        return backbone.tuned[kind]
    if kind == "bitfit" and not _biases(backbone):
        raise KAdapterError(f"{backbone.name} has no bias that bitfit could train: expected houlsby, lora or full")
    if backbone.origin is None:
        backbone.origin = backbone.fingerprint
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(chosen, LoRA):
            _put_lora(backbone, chosen)
        if isinstance(chosen, Houlsby):
            _put_bottlenecks(backbone, chosen)
    backbone.tuned[kind] = chosen
    return chosen


def leaves(backbone: Backbone, kind: str) -> dict[str, nn.Parameter]:
    """The parameters that a kind of tuning trains, by their names in the backbone."""
    own: Callable[[str], bool] = {
        "full": lambda name: True,
        "lora": lambda name: LORA in name,
        "houlsby": lambda name: f".{BOTTLENECK}." in name,
        "bitfit": _is_bias,
    }[kind]
    return {name: p for name, p in backbone.named_parameters() if own(name)}


def _is_bias(name: str) -> bool:
    return name.endswith(".bias") and LORA not in name and f".{BOTTLENECK}." not in name


def _biases(backbone: Backbone) -> list[str]:
    return [name for name, _ in backbone.named_parameters() if _is_bias(name)]


def _family(backbone: Backbone) -> tuple[Family, dict[str, list[str]]]:
    """The family that a backbone is of, and for each of its names the modules in all layers."""
    found: dict[str, list[str]] = {}
    for name, _ in backbone.model.named_modules():
        if match := re.fullmatch(r"(?:.*?\.)??(?:layers?|h|block|albert_layer_groups)\.\d+\.(.+)", name):
            found.setdefault(match[1], []).append(name)
    for family in FAMILIES:
        if all(end in found for end in (*(end for role in ROLES for end in family.linear(role)), *family.outputs)):
            return family, found
    raise KAdapterError(
        f"{type(backbone.model).__name__} is none of the families whose layers houlsby and lora know "
        "(kadapter.model.tuning.FAMILIES): expected full or bitfit, or a line there"
    )


def _put_lora(backbone: Backbone, sizes: LoRA) -> None:
    import peft  # takes a second, which only who uses it should wait

    family, found = _family(backbone)
    ends = dict.fromkeys(end for role in sizes.targets for end in family.linear(role))
    names = [name for end in ends for name in found[end]]
    config = peft.LoraConfig(r=sizes.r, lora_alpha=sizes.alpha, lora_dropout=sizes.dropout, target_modules=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a Conv1D of GPT-2: peft says that it takes note of it
        peft.inject_adapter_in_model(config, backbone.model)


def _put_bottlenecks(backbone: Backbone, sizes: Houlsby) -> None:
    family, found = _family(backbone)
    like = next(backbone.model.parameters())
    for name in (name for end in family.outputs for name in found[end]):
        bottleneck = Bottleneck(backbone.hidden_size, sizes).to(like.device, backbone.dtype)
        backbone.model.set_submodule(name, Followed(backbone.model.get_submodule(name), bottleneck))
