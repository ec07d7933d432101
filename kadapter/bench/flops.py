"""Model FLOPs: the operations that the mathematics of a step needs, however they are computed.

A linear layer from `i` to `o` needs 2 i o operations a token forward, 2 i o for its weights' gradient where they train,
and 2 i o for its input's gradient where something before it trains. Attention over T tokens of width w needs 4 T w a
token forward (scores, and their sum over values) and twice that backward. Norms, activations, softmax, dropout and the
optimiser are not counted; neither is padding. ::

    backbone, forward, a token:        depth * (2 (4 h h + 2 h inner) + 4 T h)
    adapter layer, forward, a token:   2 i w + N (2 (4 w w + 2 w inner) + 4 T w) + 2 w h
                                       with i = h, or 2 h where a former output is concatenated
    adapter, a training step:          3 * forward, less the gradients of the backbone's states that nobody needs
    fusion and head:                   three times (the backbone's part of a fusion's input: twice) 2 i o
"""

from torch import nn

from kadapter.model.adapter import AdapterConfig
from kadapter.model.backbone import Backbone

Number = float | int


def transformer(width: int, inner: int, tokens: Number) -> Number:
    """One transformer layer, forward, a token; `tokens` are attended to."""
    return 2 * (4 * width * width + 2 * width * inner) + 4 * tokens * width


def backbone_forward(backbone: Backbone, tokens: Number) -> Number:
    """A backbone's forward pass, a token, in sequences of `tokens`."""
    config = backbone.config
    return backbone.depth * transformer(config.hidden_size, config.intermediate_size, tokens)


def adapter_forward(config: AdapterConfig, tokens: Number) -> Number:
    """An adapter's forward pass, a token, in sequences of `tokens`."""
    c = config
    total = 0.0
    for k in range(len(c.plug_layers)):
        read = c.hidden_size * (2 if c.combine == "concat" and k else 1)
        total += 2 * read * c.width + c.layers * transformer(c.width, c.inner, tokens) + 2 * c.width * c.hidden_size
    return total


def adapter_training(config: AdapterConfig, tokens: Number) -> Number:
    """An adapter's training step, a token: forward, weights' gradients, and inputs' gradients where they are needed."""
    c = config
    states = 1 if c.combine == "add" else len(c.plug_layers)  # down-projections whose input holds a bare state
    return 3 * adapter_forward(c, tokens) - states * 2 * c.hidden_size * c.width


def fusion_training(kind: str, hidden: int) -> Number:
    """A training step of the fusion with one adapter, a token."""
    return 2 * 2 * hidden * hidden * 2 + 2 * hidden * hidden if kind == "project" else 0.0


def head_training(head: nn.Module) -> Number:
    """A training step of a head, an example: its linear layers, each applied once."""
    return sum(3 * 2 * m.in_features * m.out_features for m in head.modules() if isinstance(m, nn.Linear))
