"""The frozen pre-trained encoder, seen as its stack of hidden states (Figure 1b of the paper: the model that never
changes).

`minilm` and `smollm2` are found inside installed packages (`kadapter.model.packaged`); any other name goes to
`from_pretrained`: a local folder or a Hub id.
"""

import functools
import hashlib
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kadapter.errors import KAdapterError
from kadapter.model.packaged import PACKAGED, packaged_folder, quiet

DROPOUTS = ("attention_dropout", "dropout_prob", "dropout", "attention_probs_dropout_prob")  # where it is a number


def resolve(name: str | Path) -> str:
    """The argument for `from_pretrained` that a backbone name stands for (`minilm` -> its folder)."""
    return str(packaged_folder(str(name)) if str(name) in PACKAGED else name)


def load_tokenizer(name: str | Path, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The fast tokenizer of a backbone. Raises KAdapterError if there is none, or if it has no fast version (offsets
    are needed)."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve(name), revision=revision)
    except (OSError, ValueError) as error:
        raise KAdapterError(_not_loaded("tokenizer", name, error)) from error
    if not tokenizer.is_fast:
        raise KAdapterError(f"the tokenizer of {name} is not a fast one; character offsets need a tokenizer.json")
    if tokenizer.pad_token_id is None:  # decoders have none; masked positions are never read
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def _not_loaded(what: str, name: object, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return (
        f"cannot load the {what} of backbone '{name}': {reason} "
        "Expected 'minilm', 'smollm2', a folder with config.json, or a Hub id."
    )


class Backbone(nn.Module):
    """A Hugging Face encoder (or decoder, or the encoder half of a T5) that hands out hidden states.

    State 0 is the embedding output, state `depth` the last layer: the indices of Hugging Face's `hidden_states`. All
    weights start frozen (`requires_grad=False`) and the module in eval mode.

    Args:
        name: `minilm`, `smollm2`, a folder, or a Hub id.
        revision: a Hub revision.
        model: an already built model to wrap instead of loading one.
        loading: for `from_pretrained`: `dtype`, `device_map`, `attn_implementation`, ...

    Raises KAdapterError when the model or the package cannot be loaded.
    """

    def __init__(
        self, name: str | Path = "minilm", revision: str | None = None, model: PreTrainedModel | None = None, **loading
    ) -> None:
        super().__init__()
        self.name, self.revision = str(name), revision
        self.language: list[nn.Module] = []  # its language head, once it was read; no part of its weights
        self.tuned: dict[str, Any] = {}  # how it was tuned since it was loaded (kadapter.model.tuning)
        self.origin: str | None = None  # its fingerprint before that
        if model is None:
            try:
                with quiet():
                    model = AutoModel.from_pretrained(
                        resolve(name), revision=revision, **self._without_pooler(name, revision), **loading
                    )
            except (OSError, ValueError) as error:
                if isinstance(error, KAdapterError):
                    raise
                raise KAdapterError(_not_loaded("model", name, error)) from error
            self.revision = getattr(model.config, "_commit_hash", None) or revision  # of the Hub: what it meant today
        if getattr(model.config, "is_encoder_decoder", False):
            model = model.get_encoder()
        self.model = model
        # RoBERTa and its kin count positions from the padding themselves; others are told, so that it may stand left.
        self._takes_positions = "position_ids" in inspect.signature(model.forward).parameters and not any(
            name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
            for name, module in model.named_modules()
        )
        # Of the texts of a pair, where the model was trained to tell them apart (BERT; RoBERTa has one segment).
        self._takes_segments = (
            "token_type_ids" in inspect.signature(model.forward).parameters
            and getattr(model.config, "type_vocab_size", 0) > 1
        )
        self.requires_grad_(False).eval()

    @staticmethod
    def _without_pooler(name: str | Path, revision: str | None) -> dict:
        # The pooler is never read; without it BERT-like models hold no weight that no gradient reaches.
        config = AutoConfig.from_pretrained(resolve(name), revision=revision)
        if type(config) not in MODEL_MAPPING:  # from_pretrained says what is wrong with it
            return {}
        model: Any = MODEL_MAPPING[type(config)]
        accepted = inspect.signature(model).parameters
        return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}

    @property
    def config(self):
        """The Hugging Face configuration."""
        return self.model.config

    @property
    def hidden_size(self) -> int:
        """Width of every hidden state."""
        return self.config.hidden_size

    @property
    def embedding_size(self) -> int:
        """Width of the input embeddings; ALBERT's and ELECTRA's are narrower than their states."""
        return self.input_embeddings.weight.shape[1]

    @property
    def input_embeddings(self) -> nn.Embedding:
        """The table of its tokens' vectors; what ids stand for, and where mapped vectors stand in for them."""
        table = self.model.get_input_embeddings()
        assert isinstance(table, nn.Embedding)
        return table

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.model.dtype

    @property
    def depth(self) -> int:
        """Number of layers = index of the last hidden state."""
        return self.config.num_hidden_layers

    @functools.cached_property
    def causal(self) -> bool:
        """Whether a token's state depends on itself and those before it alone, as tried on two texts of two tokens."""
        ids = torch.tensor([[5, 6], [5, 7]], device=next(self.parameters()).device)
        with torch.no_grad():
            first = self.hidden_states(ids, torch.ones_like(ids))[0, :, 0].float()
        return bool((first[0] - first[1]).abs().max() <= 1e-5 * first.abs().max())

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the names, types, shapes and bytes of all weights (hex).

        Computed anew at every call: torch's count of writes misses those of the fused optimisers.
        """
        return fingerprint(self.model)

    def check_state_indices(self, indices: Sequence[int]) -> list[int]:
        """The indices as a list. Raises KAdapterError naming the first that is out of range."""
        check_state_indices(indices, self.depth, self.name)
        return list(indices)

    @property
    def positions(self) -> int | None:
        """The longest input in tokens that it has embeddings of positions for; None where it computes them."""
        for name, module in self.model.named_modules():
            if name.endswith(("position_embeddings", "wpe")) and isinstance(module, nn.Embedding):
                skipped = 0 if module.padding_idx is None else module.padding_idx + 1  # RoBERTa counts from there
                return module.num_embeddings - skipped
        return None

    def check_length(self, max_length: int) -> None:
        """Raises KAdapterError if the backbone has no positions for an input of so many tokens."""
        longest = self.positions
        if longest is not None and max_length > longest:
            raise KAdapterError(f"max_length {max_length} is longer than the {longest} positions that {self.name} has")

    @contextmanager
    def in_bf16(self) -> Iterator[None]:
        """Within the block a frozen backbone computes with bfloat16 copies of its linear layers' weights.

        Autocast would make these copies anew in every pass; what it computes is the same. A weight that trains is left
        to autocast. Meanwhile `fingerprint` is not that of the backbone.
        """
        kept = [
            (p, p.data)
            for module in self.model.modules()
            if type(module) is nn.Linear
            for p in (module.weight, module.bias)
            if p is not None and not p.requires_grad and p.dtype == torch.float32
        ]
        try:
            for p, data in kept:
                p.data = data.bfloat16()
            yield
        finally:
            for p, data in kept:
                p.data = data

    @contextmanager
    def dropping(self, share: float) -> Iterator[None]:
        """Within the block every dropout of the backbone (hidden and attention) has this probability, and the backbone
        drops in train mode. Its weights are not touched."""
        former: list[tuple[nn.Module, str, float]] = []
        for module in self.model.modules():
            names = ["p"] if isinstance(module, nn.Dropout) else DROPOUTS
            former += [(module, n, v) for n in names if isinstance(v := getattr(module, n, None), float)]
        try:
            for module, name, _ in former:
                setattr(module, name, share)
            yield
        finally:
            for module, name, value in former:
                setattr(module, name, value)

    def hidden_states(
        self,
        input_ids: Int[Tensor, "batch tokens"] | None = None,
        attention_mask: Int[Tensor, "batch tokens"] | Bool[Tensor, "batch tokens"] | None = None,
        inputs_embeds: Float[Tensor, "batch tokens embedding"] | None = None,
        state_indices: Sequence[int] | None = None,
        segments: Int[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "states batch tokens hidden"]:
        """Hidden states at `state_indices` (default: the last layer only).

        `segments` are 0 and 1, the first and the second text of a pair; a backbone that does not tell them apart takes
        no notice.

        Exactly one of `input_ids` and `inputs_embeds` is given. Padding may stand left or right of the tokens (of
        `inputs_embeds` right only, where RoBERTa and its kin count positions themselves); states at padding mean
        nothing. Without trainable weights no gradient is recorded. Raises KAdapterError for an index that does not
        exist.
        """
        indices = self.check_state_indices([self.depth] if state_indices is None else state_indices)
        trains = any(p.requires_grad for p in self.model.parameters()) or (
            inputs_embeds is not None and inputs_embeds.requires_grad
        )
        with nullcontext() if trains else torch.no_grad():
            inputs = {"input_ids": input_ids} if inputs_embeds is None else {"inputs_embeds": inputs_embeds}
            if self._takes_positions and attention_mask is not None:
                inputs["position_ids"] = _positions(attention_mask)
            if self._takes_segments and segments is not None:
                inputs["token_type_ids"] = segments
            states = self.model(**inputs, attention_mask=attention_mask, output_hidden_states=True).hidden_states
            return torch.stack([states[i] for i in indices])


def _positions(mask: Int[Tensor, "batch tokens"] | Bool[Tensor, "batch tokens"]) -> Int[Tensor, "batch tokens"]:
    """0, 1, 2, ... from the first real token on."""
    places = torch.arange(mask.shape[1], device=mask.device)
    return (places - mask.long().argmax(-1, keepdim=True)).clamp(min=0)


def check_state_indices(indices: Sequence[int], depth: int, name: str) -> None:
    """Raises KAdapterError naming the first of the hidden-state indices that a backbone of this depth does not have."""
    for index in indices:
        if not 0 <= index <= depth:
            raise KAdapterError(
                f"plug layer {index} is out of range: {name} has hidden_states 0..{depth} (0 is the embedding output)"
            )


def configured(name: str | Path, revision: str | None = None) -> tuple[int, int] | tuple[None, None]:
    """Hidden size and depth that a backbone's configuration on this machine tells, without its weights.

    (None, None) where there is none; the Hub is not asked.
    """
    try:
        config = AutoConfig.from_pretrained(resolve(name), revision=revision, local_files_only=True)
    except (OSError, ValueError):
        return None, None
    return config.hidden_size, config.num_hidden_layers


def fingerprint(module: nn.Module) -> str:
    """SHA-256 (hex) over the names, types, shapes and bytes of a module's state, in the order of names."""
    digest = hashlib.sha256()
    state = module.state_dict()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
