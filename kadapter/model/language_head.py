"""The language head: what turns a vector into a score for every token of the vocabulary.

Either the backbone's own, masked (BERT, RoBERTa, ...) or causal (GPT-2, Llama, ...), or a new one: a linear layer, as
the K-Adapter authors trained one for LAMA (Section 4.4), or a transform before the backbone's own input embeddings, as
BERT's head is made.
"""

from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from kadapter.errors import KAdapterError
from kadapter.model.backbone import Backbone, resolve
from kadapter.model.packaged import quiet
from kadapter.tasks.base import Task

KINDS = ("masked", "causal")


def language_kind(backbone: Backbone) -> str | None:
    """How a backbone predicts tokens: `masked` (at a mask token, from both sides), `causal` (the next one, from the
    left), or None (neither: an encoder of a sequence-to-sequence model)."""
    kind, decodes = type(backbone.config), getattr(backbone.config, "is_decoder", False)
    if getattr(backbone.config, "is_encoder_decoder", False):
        return None
    if kind in MODEL_FOR_MASKED_LM_MAPPING and not decodes:
        return "masked"
    return "causal" if kind in MODEL_FOR_CAUSAL_LM_MAPPING else None


class LanguageHead(nn.Module):
    """A backbone's own language head, with all that its model does after the last state: transform, bias, scaling.

    Args:
        model: the masked or causal model that it belongs to; its backbone is taken out.
        backbone: whose input embeddings a tied head reads.
    """

    def __init__(self, model: PreTrainedModel, backbone: Backbone) -> None:
        super().__init__()
        linear = model.get_output_embeddings()
        tied = linear.weight is model.get_input_embeddings().weight
        setattr(model, model.base_model_prefix, _Given())
        self.decoder = _Decoder(linear, backbone.model.get_input_embeddings() if tied else None)
        for name, module in list(model.named_modules()):
            if module is linear:
                model.set_submodule(name, self.decoder)
        self.model = model.requires_grad_(False).eval()

    @property
    def vocabulary(self) -> int:
        """Number of tokens that are scored."""
        return self.decoder.weight.shape[0]

    def forward(
        self,
        last: Float[Tensor, "asked hidden"],
        columns: Int[Tensor, " candidates"] | Int[Tensor, "asked candidates"] | None = None,
    ) -> Float[Tensor, "asked candidates"]:
        """The scores of every token, or of the tokens `columns` alone, the same for all vectors or each its own."""
        self.decoder.columns = columns
        try:
            return self.model(inputs_embeds=last[:, None]).logits[:, 0]
        finally:
            self.decoder.columns = None


class _Given(nn.Module):
    """Stands where a model's backbone stood, and returns the states that it is given."""

    def forward(self, *args, inputs_embeds: Tensor, **kwargs) -> BaseModelOutputWithPastAndCrossAttentions:
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=inputs_embeds)


class _Decoder(nn.Module):
    """The last linear layer of a language head, of which some columns can be asked for."""

    def __init__(self, linear: nn.Linear, embeddings: Any) -> None:
        super().__init__()
        self.bias = linear.bias
        self.columns: Tensor | None = None
        self._tied = (embeddings,)  # not registered: the weights are the backbone's, and move with it
        if embeddings is None:
            self.own = linear.weight

    @property
    def weight(self) -> Any:
        return self.own if self._tied[0] is None else self._tied[0].weight

    def forward(self, x: Float[Tensor, "asked 1 inner"]) -> Float[Tensor, "asked 1 candidates"]:
        return _linear(x, self.weight, self.bias, self.columns)


class NewLanguageHead(nn.Module):
    """A linear layer to every token of a vocabulary, to be trained."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.linear, self.vocabulary = nn.Linear(width, vocabulary), vocabulary

    def forward(
        self,
        last: Float[Tensor, "asked hidden"],
        columns: Int[Tensor, " candidates"] | Int[Tensor, "asked candidates"] | None = None,
    ) -> Float[Tensor, "asked candidates"]:
        """As `LanguageHead`'s."""
        return _linear(last[:, None], self.linear.weight, self.linear.bias, columns)[:, 0]


class TiedLanguageHead(nn.Module):
    """BERT's head, to be trained: a transform of the state, and its product with the backbone's own input embeddings,
    which stay as they are. It learns from less text than a linear layer, whose every token has weights of its own."""

    def __init__(self, width: int, embeddings: nn.Embedding) -> None:
        super().__init__()
        self.vocabulary, inner = embeddings.weight.shape
        self.dense, self.norm = nn.Linear(width, inner), nn.LayerNorm(inner)
        if width == inner:
            nn.init.eye_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        self.bias = nn.Parameter(torch.zeros(self.vocabulary))
        self._tied = (embeddings,)  # not registered: the weights are the backbone's, and move with it

    def forward(
        self,
        last: Float[Tensor, "asked hidden"],
        columns: Int[Tensor, " candidates"] | Int[Tensor, "asked candidates"] | None = None,
    ) -> Float[Tensor, "asked candidates"]:
        """As `LanguageHead`'s."""
        inner = self.norm(nn.functional.gelu(self.dense(last)))
        return _linear(inner[:, None], self._tied[0].weight, self.bias, columns)[:, 0]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, columns: Tensor | None) -> Tensor:
    """(asked, 1, candidates): a linear layer's outputs, or those of `columns`."""
    if columns is None:
        return nn.functional.linear(x, weight, bias)
    chosen = None if bias is None else bias[columns]
    if columns.ndim == 1:
        return nn.functional.linear(x, weight[columns], chosen)
    scores = x @ weight[columns].transpose(1, 2).to(x.dtype)  # (asked, 1, candidates of its own)
    return scores if chosen is None else scores + chosen[:, None]


def own_language_head(backbone: Backbone) -> LanguageHead:
    """The language head that a backbone was pre-trained with, read once for a backbone.

    Raises KAdapterError where its files hold none.
    """
    if not backbone.language:
        made = LanguageHead(_with_head(backbone), backbone)
        backbone.language.append(made.to(next(backbone.parameters()).device))
    head = backbone.language[0]
    assert isinstance(head, LanguageHead)
    return head


def _with_head(backbone: Backbone) -> PreTrainedModel:
    kind = language_kind(backbone)
    loader = {"masked": AutoModelForMaskedLM, "causal": AutoModelForCausalLM}.get(kind or "")
    missing = [f"{type(backbone.config).__name__} has neither a masked nor a causal one"]
    if loader is not None:
        try:
            with quiet():
                model, report = loader.from_pretrained(
                    resolve(backbone.name), revision=backbone.revision, output_loading_info=True, dtype=backbone.dtype
                )
        except (OSError, ValueError) as error:
            raise KAdapterError(f"cannot load the language head of backbone '{backbone.name}': {error}") from error
        missing = sorted(k for k in report["missing_keys"] if not k.startswith(f"{model.base_model_prefix}."))
        if not missing:
            return model
    raise KAdapterError(
        f"backbone '{backbone.name}' comes without a language head of its own ({missing[0]}): "
        "expected a masked or causal language model, or language_head='new' in the task, and a stage that trains it"
    )


def build_head(task: Task, backbone: Backbone, width: int) -> nn.Module:
    """A new head of a task for representations of this width; one that speaks is given a language head.

    Raises KAdapterError for a task that reads otherwise than the backbone predicts, a backbone without a language head,
    or one that reads another width.
    """
    if not task.speaks:
        return task.head(width, backbone.hidden_size)
    kind, speaking = language_kind(backbone), cast(Any, task)  # a ClozeTask, or what reads and speaks as one
    if speaking.reading != kind:
        raise KAdapterError(
            f"task {task.name} reads {speaking.reading}, but backbone '{backbone.name}' is "
            f"{f'a {kind} model: set reading={kind!r}' if kind else 'no language model'}"
        )
    if speaking.language_head == "tied":
        return speaking.head(width, backbone.hidden_size, TiedLanguageHead(width, backbone.input_embeddings))
    if speaking.language_head == "new":
        return speaking.head(width, backbone.hidden_size, NewLanguageHead(width, backbone.config.vocab_size))
    if width != backbone.hidden_size:
        raise KAdapterError(
            f"the language head of '{backbone.name}' reads vectors of width {backbone.hidden_size}, and the fusion "
            f"gives {width}: expected fusion='residual'"
        )
    return speaking.head(width, backbone.hidden_size, own_language_head(backbone))
