"""Elastic weight consolidation (Kirkpatrick et al., 2017, Overcoming catastrophic forgetting in neural networks): while
a later kind is learned, every weight is held near its value after the earlier ones, the more tightly the more they need
it. `fit` adds the penalty to each batch's loss."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import Encoded


class ElasticWeights:
    """The penalty of Equation 3 for any number of learned kinds: strength / 2 times the sum over kinds k and weights i
    of F_ki (w_i - w*_ki)^2, where F_k is the Fisher information of kind k at w*_k, the weights after it.

    The sum over kinds is kept as one parabola a weight, with their summed Fisher information and its weighted mean of
    their weights; what that leaves out does not depend on w.

    Args:
        strength: lambda.
        samples: examples of a kind that its Fisher information is measured on.
        seed: of their choice.
    """

    def __init__(self, strength: float, samples: int = 100, seed: int = 0) -> None:
        self.strength, self.samples, self.seed = strength, samples, seed
        self.fisher: dict[str, Tensor] = {}
        self.center: dict[str, Tensor] = {}

    def remember(self, model: KnowledgeModel, examples: Encoded) -> None:
        """Take in the kind that a model has just learned, from its training examples."""
        for name, information in fisher(model, examples, self.samples, self.seed).items():
            weight = dict(model.backbone.named_parameters())[name].detach()
            if name not in self.fisher:
                self.fisher[name], self.center[name] = information, weight.clone()
                continue
            total = self.fisher[name] + information
            moved = information / total.clamp(min=torch.finfo(total.dtype).tiny)
            self.center[name] += moved * (weight - self.center[name])
            self.fisher[name] = total

    @property
    def parameters(self) -> int:
        """Numbers that are kept beside the model while it learns."""
        return sum(t.numel() for kept in (self.fisher, self.center) for t in kept.values())

    def __call__(self, model: Any) -> Tensor:
        """The penalty of a model's backbone as it is, up to a constant."""
        weights = dict(model.backbone.named_parameters())
        terms = [_Held.apply(weights[name], self.center[name], held) for name, held in self.fisher.items()]
        return self.strength / 2 * (torch.stack(terms).sum() if terms else torch.zeros(()))


class _Held(torch.autograd.Function):
    """sum F (w - c)^2 of one weight matrix, with its gradient written out: every step passes over all weights, and this
    takes half of the passes."""

    @staticmethod
    def forward(context: Any, weight: Tensor, center: Tensor, information: Tensor) -> Tensor:
        moved = weight - center
        pull = information * moved
        context.save_for_backward(pull)
        return torch.dot(pull.flatten(), moved.flatten())

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return 2 * gradients[0] * context.saved_tensors[0], None, None


def fisher(model: KnowledgeModel, examples: Encoded, samples: int, seed: int = 0) -> dict[str, Tensor]:
    """The diagonal of the empirical Fisher information of the backbone's weights: the mean over examples of the squared
    gradient of one example's loss, with the labels that the examples have.

    Of at most `samples` examples, without dropout; the model keeps its mode and gets no gradient. The backbone must
    train (`train_only`).
    """
    chosen = np.random.default_rng(seed).permutation(len(examples))[:samples].tolist()
    weights = {name: p for name, p in model.backbone.named_parameters() if p.requires_grad}
    information = {name: torch.zeros_like(p) for name, p in weights.items()}
    device = next(iter(weights.values())).device
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        for index in chosen:
            batch = {name: column.to(device) for name, column in examples.__getitems__([index]).items()}
            gradients = torch.autograd.grad(model(**batch).loss, list(weights.values()), allow_unused=True)
            for name, gradient in zip(weights, gradients, strict=True):
                if gradient is not None:
                    information[name].addcmul_(gradient, gradient, value=1 / len(chosen))
    finally:
        _restore(modes)
    return information


def _restore(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        module.training = training
