"""Why a model answers as it does: what each token adds to a label's logit, where adapter layers look, and which plug
layer decides.

Attributions are integrated gradients (Sundararajan et al., 2017) by `captum`, from the sentence with every token of the
text masked to the sentence as it stands.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from kadapter.cases import inference
from kadapter.errors import unknown
from kadapter.model.adapter import AdapterLayer, KnowledgeAdapter
from kadapter.model.knowledge_model import KnowledgeModel

STEPS = 24  # points of the path from the masked sentence to the real one
AT_ONCE = 8  # of them in one pass


@dataclass(frozen=True)
class Attribution:
    """What each token adds to one label's logit.

    Attributes:
        tokens: the input as the model reads it, special tokens and markers included.
        scores: (tokens,) logits; 0 for special tokens, which are never masked.
        logit: of the label.
        masked: the logit of the label where every token of the text is masked.
    """

    label: str
    tokens: list[str]
    scores: np.ndarray
    logit: float
    masked: float

    @property
    def gap(self) -> float:
        """How far the scores' sum is from `logit - masked`, which it would be with infinitely many steps."""
        return float(self.scores.sum()) - (self.logit - self.masked)


def attribute(
    model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase, sentence: str, label: str, steps: int = STEPS
) -> Attribution:
    """Attributions of a marked sentence's tokens, with whatever is plugged now.

    Raises KAdapterError for an unknown label and as `inference.to_examples` does.
    """
    from captum.attr import IntegratedGradients

    target = _position(model, label)
    model.eval()
    batch = inference.batch(model, tokenizer, [sentence])
    ids = batch.pop("input_ids")  # (1, tokens)
    embed = model.backbone.model.get_input_embeddings()
    with torch.no_grad():
        real, masked = embed(ids), embed(_masked(tokenizer, ids))  # (1, tokens, embedding)

    def logit(embeddings: Float[Tensor, "points tokens embedding"]) -> Float[Tensor, " points"]:
        own = {name: column.expand(len(embeddings), *column.shape[1:]) for name, column in batch.items()}
        return model(inputs_embeds=embeddings, **own).logits.float()[:, target]

    found = IntegratedGradients(logit).attribute(real, masked, n_steps=steps, internal_batch_size=AT_ONCE)
    with torch.no_grad():
        ends = logit(torch.cat([real, masked]))
    scores = found.detach().float().sum(-1)[0].cpu().numpy()  # (tokens,)
    return Attribution(label, tokens_of(tokenizer, ids), scores, float(ends[0]), float(ends[1]))


def attention(
    model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase, sentence: str, adapter: str
) -> tuple[list[str], Float[np.ndarray, "plugs layers heads tokens tokens"]]:
    """The tokens of a marked sentence, and how much each token (last axis but one) attends to each other (last axis) in
    every transformer layer of every adapter layer.

    Raises KAdapterError for an adapter that is not plugged and as `inference.to_examples` does.
    """
    module, seen = _plugged(model, adapter), []

    def look(layer, inputs, output) -> None:
        x, mask = inputs
        q, k = (part(x).unflatten(-1, (layer.heads, -1)).transpose(1, 2) for part in (layer.query, layer.key))
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # (batch, heads, tokens, tokens)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        seen.append(scores.softmax(-1)[0].float().cpu().numpy())

    model.eval()
    batch = inference.batch(model, tokenizer, [sentence])
    with torch.no_grad(), ExitStack() as hooks:
        for layer in module.layers:
            assert isinstance(layer, AdapterLayer)
            for inner in layer.transformer:
                hooks.callback(inner.register_forward_hook(look).remove)
        model(**batch)
    weights = np.stack(seen).reshape(len(module.layers), -1, *seen[0].shape)
    return tokens_of(tokenizer, batch["input_ids"]), weights


@torch.no_grad()
def knockouts(
    model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase, sentence: str
) -> dict[tuple[str, int], np.ndarray]:
    """(adapter, plug layer) -> (labels,) the logits of a marked sentence less those without that adapter layer: how
    much the layer decides. The backbone is read once.

    Raises KAdapterError as `inference.to_examples` does.
    """
    model.eval()
    batch = inference.batch(model, tokenizer, [sentence])
    states = model.backbone.hidden_states(
        batch["input_ids"], batch["attention_mask"], state_indices=model.state_indices
    )
    whole, moves = model(states=states, **batch).logits, {}
    for name, adapter in model.adapters.items():
        for layer, plug in zip(adapter.layers, adapter.config.plug_layers, strict=True):
            assert isinstance(layer, AdapterLayer)
            with knocked_out(layer):
                without = model(states=states, **batch).logits
            moves[name, plug] = (whole - without)[0].float().cpu().numpy()
    return moves


@contextmanager
def knocked_out(layer: AdapterLayer) -> Iterator[None]:
    """Within the block an adapter layer adds nothing: it hands on its skip connection alone."""

    def skip(module, inputs, output):
        state, former, _ = inputs
        return state if former is None else state + former

    handle = layer.register_forward_hook(skip)
    try:
        yield
    finally:
        handle.remove()


def tokens_of(tokenizer: PreTrainedTokenizerBase, ids: Int[Tensor, "1 tokens"]) -> list[str]:
    """The tokens of an encoded sentence, in the words of its tokenizer."""
    return list(tokenizer.convert_ids_to_tokens(ids[0].tolist()))


def _masked(tokenizer: PreTrainedTokenizerBase, ids: Int[Tensor, "1 tokens"]) -> Int[Tensor, "1 tokens"]:
    """The same input with a mask, or what stands for nothing, in place of every token that is not special."""
    nothing = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.pad_token_id
    special = tokenizer.get_special_tokens_mask(ids[0].tolist(), already_has_special_tokens=True)
    return torch.where(torch.tensor([special], dtype=torch.bool, device=ids.device), ids, nothing)


def _plugged(model: KnowledgeModel, adapter: str) -> KnowledgeAdapter:
    if adapter not in model.adapters:
        raise unknown("plugged adapter", adapter, model.adapters)
    return model.adapters[adapter]


def _position(model: KnowledgeModel, label: str) -> int:
    labels = model.task.labels if model.task is not None else []
    if labels and label not in labels:
        raise unknown("label of this model", label, labels)
    return labels.index(label) if labels else -1  # a model without labels is refused where it is asked
