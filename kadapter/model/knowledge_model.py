"""One model: a backbone, any number of knowledge adapters beside it, a fusion of their outputs, and a task's head
(Figure 1b).

Stages differ only in which of these parts train: see `kadapter.model.regimes`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.utils import ModelOutput

from kadapter.errors import KAdapterError, unknown
from kadapter.model import inventory, tuning
from kadapter.model.adapter import Adapters, KnowledgeAdapter
from kadapter.model.backbone import Backbone
from kadapter.model.fusion import Fusion
from kadapter.model.language_head import build_head
from kadapter.model.mapping import EntityMapping, injected
from kadapter.model.regimes import PARTS, REGIMES, tunings_of
from kadapter.tasks.base import Task
from kadapter.values import Name, check_value


@dataclass
class KnowledgeOutput(ModelOutput):
    """What `KnowledgeModel` returns.

    Attributes:
        loss: mean loss, when the batch holds targets.
        logits: the head's output, when there is a head.
        last_hidden_state: (batch, tokens, fusion width), the fused representation.
    """

    loss: Tensor | dict | None = None  # a ModelOutput is also made from a dictionary of all its fields
    logits: Tensor | None = None
    last_hidden_state: Tensor | None = None


class KnowledgeModel(nn.Module):
    """[Mapping] + backbone + adapters + fusion + head.

    Args:
        backbone: shared or own; it is not copied.
        fusion: `concat`, `project`, `add`, `residual`, `gate` or `attention` (see `Fusion`).
        adapters: name -> adapter, plugged in this order.
        task: gives the head; None for a model that only represents text.
        seed: seeds the fresh weights of fusion and head.
        mapping: what stands before mentions of linked entities (see `plug_mapping`).
    """

    def __init__(
        self,
        backbone: Backbone,
        fusion: str = "concat",
        adapters: dict[str, KnowledgeAdapter] | None = None,
        task: Task | None = None,
        seed: int = 0,
        mapping: EntityMapping | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.mapping: EntityMapping | None = None
        self.adapters = Adapters()
        self.adapter_names: list[str] = []  # the adapters that fusion and head were built for, plugged or not
        self.regime = "frozen"
        self.drops_frozen = False  # whether the backbone drops while it is frozen (general map-tuning)
        self.task: Task | None = None
        self.head: nn.Module | None = None
        self.fusion = Fusion(fusion, backbone.hidden_size, 0)
        for name, adapter in (adapters or {}).items():
            self.plug(name, adapter)
        if mapping is not None:
            self.plug_mapping(mapping)
        if task is not None:
            self.set_task(task, seed)
        self.train_only(self.regime)

    # --- structure ---

    def plug(
        self, name: str, adapter: KnowledgeAdapter | str | Path, force: bool = False, revision: str | None = None
    ) -> "KnowledgeModel":
        """Plug an adapter, given itself, as its saved folder or as a Hub id (with `revision`); returns the model.

        A model without a head takes any number. One whose head is built takes only the adapters it was built with (a
        head is made for one set of inputs): others raise KAdapterError, as do a taken name, an adapter for another
        width or backbone (unless `force`), and a plug layer out of range. A residual fusion takes any number, too, and
        with each adapter the projection that was trained and saved with it.
        """
        if name in self.adapters:
            raise KAdapterError(
                f"an adapter named {name!r} is already plugged: unplug({name!r}) first, or choose another name"
            )
        if "." in name:
            raise KAdapterError(f"adapter name {name!r}: expected a name without dots")
        check_value(Name, name, "adapter name")  # it is saved in a folder of this name
        if self.head is not None and name not in self.adapter_names and self.fusion.kind != "residual":
            raise KAdapterError(
                f"this head was built for adapters {self.adapter_names or 'none'} and cannot read {name!r}: "
                "call set_task() after plugging, and fine-tune the new head"
            )
        if not isinstance(adapter, KnowledgeAdapter):
            adapter = KnowledgeAdapter.from_pretrained(adapter, self.backbone, revision, force)
        self.backbone.check_state_indices(adapter.config.plug_layers)
        if adapter.config.hidden_size != self.backbone.hidden_size:
            raise KAdapterError(
                f"adapter {name!r} reads states of width {adapter.config.hidden_size}, but "
                f"{self.backbone.name} has {self.backbone.hidden_size}"
            )
        self.adapters[name] = adapter
        if name not in self.adapter_names:
            self.resize([*self.adapter_names, name])
        self._bring_projection(name)
        self.train_only(self.regime)
        return self

    def unplug(self, name: str) -> KnowledgeAdapter:
        """Take an adapter out and return it. A head built for it reads zeros in its place; without a head no trace is
        left.

        Raises KAdapterError if no adapter has this name.
        """
        if name not in self.adapters:
            raise unknown("plugged adapter", name, self.adapters)
        adapter = self.adapters.pop(name)
        if self.head is None:
            self.resize([n for n in self.adapter_names if n != name])
        return adapter

    def plug_mapping(
        self, mapping: EntityMapping | str | Path, force: bool = False, revision: str | None = None
    ) -> "KnowledgeModel":
        """Plug a mapping, given itself, as its saved folder or as a Hub id; returns the model. Texts that are encoded
        with it (`kadapter.training.batches.encode(..., mapping=...)`) then hold vectors of their entities.

        Any model takes one, whatever its head was built with; one at a time. Raises KAdapterError for a second one, and
        for one that maps to another width or was made for another backbone (unless `force`).
        """
        if self.mapping is not None:
            raise KAdapterError(f"a mapping is plugged: unplug_mapping({self.mapping.name!r}) before another one")
        if not isinstance(mapping, EntityMapping):
            mapping = EntityMapping.from_pretrained(mapping, None, self.backbone, revision, force)
        check_value(Name, mapping.name, "mapping name")
        if mapping.network.hidden_size != self.backbone.embedding_size:
            raise KAdapterError(
                f"mapping {mapping.name!r} gives vectors of width {mapping.network.hidden_size}, but the input "
                f"embeddings of {self.backbone.name} have {self.backbone.embedding_size}"
            )
        self.mapping = mapping
        return self.train_only(self.regime)

    def unplug_mapping(self, name: str | None = None) -> EntityMapping:
        """Take the mapping out and return it. Raises KAdapterError if none, or none of this name, is plugged."""
        if self.mapping is None or name not in (None, self.mapping.name):
            raise unknown("plugged mapping", name or "", [] if self.mapping is None else [self.mapping.name])
        mapping, self.mapping = self.mapping, None
        return mapping

    @contextmanager
    def only(self, *names: str) -> Iterator["KnowledgeModel"]:
        """Within the block only these adapters are plugged; afterwards the former state is back, in its order."""
        for name in names:
            if name not in self.adapters:
                raise unknown("plugged adapter", name, self.adapters)
        former, names_before, fusion = dict(self.adapters.items()), self.adapter_names, self.fusion
        try:
            for name in former:
                if name not in names:
                    self.unplug(name)
            yield self
        finally:
            self.adapters = Adapters(former)
            self.adapter_names, self.fusion = names_before, fusion

    def resize(self, adapter_names: list[str]) -> None:
        """Build a fresh fusion for these adapters, plugged or not; a residual one keeps each adapter's projection."""
        kept = dict(zip(self.adapter_names, self.fusion.parts, strict=True)) if self.fusion.kind == "residual" else {}
        self.adapter_names = adapter_names
        self.fusion = Fusion(self.fusion.kind, self.backbone.hidden_size, len(adapter_names))
        for slot, name in enumerate(adapter_names):
            if name in kept:
                self.fusion.parts[slot] = kept[name]

    def _bring_projection(self, name: str) -> None:
        """Of a residual fusion: the projection that was trained and saved with an adapter."""
        saved = self.adapters[name].pretraining_head
        if self.fusion.kind == "residual" and saved is not None and saved.fusion == "residual":
            prefix = "fusion.parts.0."
            weights = {k.removeprefix(prefix): v for k, v in saved.weights.items() if k.startswith(prefix)}
            self.fusion.parts[self.adapter_names.index(name)].load_state_dict(weights)

    def set_task(self, task: Task, seed: int = 0) -> "KnowledgeModel":
        """Give the model a new head for a task, and fresh fusion weights, both from `seed`; returns the model."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.resize(list(self.adapters))
            self.task, self.head = task, build_head(task, self.backbone, self.fusion.width)
        self.train_only(self.regime)
        return self

    def require_task(self) -> Task:
        """The task of the head. Raises KAdapterError for a model that has none."""
        if self.task is None:
            raise KAdapterError("this model only represents text: call set_task() to give it a head")
        return self.task

    def train_only(self, regime: str) -> "KnowledgeModel":
        """Let exactly the parts of a regime have gradients; returns the model. A backbone that was not tuned so yet is
        made ready for it, with the defaults (`tune` takes others). Raises KAdapterError for an unknown regime."""
        if regime not in REGIMES:
            raise unknown("regime", regime, REGIMES)
        self.regime = regime
        for part in PARTS:
            if part != "backbone" and getattr(self, part) is not None:
                getattr(self, part).requires_grad_(part in REGIMES[regime])
        kinds = tunings_of(regime)
        for kind in kinds:
            tuning.tune(self.backbone, kind)
        self.backbone.requires_grad_(False)
        for kind in kinds:
            for p in tuning.leaves(self.backbone, kind).values():
                p.requires_grad_(True)
        return self.train(self.training)

    def tune(self, kind: str, seed: int = 0, **options) -> "KnowledgeModel":
        """Tune the backbone itself by one of `TUNINGS`: put in what it adds (from `seed`, with its options, as
        `r=8`), and let that train, with fusion and head. Returns the model; `train_only("frozen")` freezes it all.

        The backbone is changed in place: give the model one of its own. Raises KAdapterError for an unknown kind or
        option, and for a backbone that cannot be tuned so.
        """
        tuning.tune(self.backbone, kind, seed, **options)
        return self.train_only("paper" if kind == "full" else kind)

    def train(self, mode: bool = True) -> "KnowledgeModel":
        """Training mode for the parts that train; frozen parts stay in eval mode (ledger row 9)."""
        super().train(mode)
        for part in PARTS:
            trains = tunings_of(self.regime) if part == "backbone" else part in REGIMES[self.regime]
            if not trains and getattr(self, part) is not None:
                getattr(self, part).eval()
        if self.drops_frozen:
            self.backbone.train(mode)
        return self

    @property
    def state_indices(self) -> list[int]:
        """The hidden states that this model reads: every plug layer and the last layer, ascending."""
        plugs = {p for adapter in self.adapters.values() for p in adapter.config.plug_layers}
        return sorted(plugs | {self.backbone.depth})

    # --- computation ---

    def read(
        self,
        input_ids: Int[Tensor, "batch tokens"] | None,
        attention_mask: Int[Tensor, "batch tokens"] | Bool[Tensor, "batch tokens"] | None,
        inputs_embeds: Float[Tensor, "batch tokens embedding"] | None = None,
        link_rows: Int[Tensor, "batch tokens"] | None = None,
        state_indices: list[int] | None = None,
        segments: Int[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "states batch tokens hidden"]:
        """The backbone's states at `state_indices` (default: this model's), with mapped vectors where `link_rows` says
        so. Raises KAdapterError for places of vectors in a batch when no mapping is plugged."""
        if link_rows is not None and input_ids is not None and inputs_embeds is None:
            inputs_embeds = injected(self.backbone, self.mapping, input_ids, link_rows)
        indices = self.state_indices if state_indices is None else state_indices
        return self.backbone.hidden_states(input_ids, attention_mask, inputs_embeds, indices, segments)

    def represent(
        self,
        states: Float[Tensor, "states batch tokens hidden"],
        attention_mask: Int[Tensor, "batch tokens"] | Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "inputs batch tokens hidden"]:
        """The last state and the output of each of `adapter_names` (zeros where unplugged), from the states at
        `state_indices`."""
        at = {p: i for i, p in enumerate(self.state_indices)}
        outputs = [states[-1]]
        for name in self.adapter_names:
            if name in self.adapters:
                adapter = self.adapters[name]
                outputs.append(
                    adapter([states[at[p]] for p in adapter.config.plug_layers], attention_mask).to(states.dtype)
                )
            else:
                outputs.append(torch.zeros_like(states[-1]))
        return torch.stack(outputs)

    def forward(
        self,
        input_ids: Int[Tensor, "batch tokens"] | None = None,
        attention_mask: Int[Tensor, "batch tokens"] | Bool[Tensor, "batch tokens"] | None = None,
        inputs_embeds: Float[Tensor, "batch tokens embedding"] | None = None,
        states: Float[Tensor, "states batch tokens hidden"] | None = None,
        features: Float[Tensor, "inputs batch tokens hidden"] | None = None,
        link_rows: Int[Tensor, "batch tokens"] | None = None,
        segments: Int[Tensor, "batch tokens"] | None = None,
        **targets: Tensor,
    ) -> KnowledgeOutput:
        """Represent a batch and, with a head, answer the task.

        Args:
            states: the backbone's hidden states at `state_indices`, when they were computed before.
            features: `represent`'s result, when it was computed before.
            link_rows: at each token the row of the entity whose mapped vector stands there, -1 for none.
            segments: at each token 0 or 1, the first or the second text of a pair (see `Backbone.hidden_states`).
            targets: the task's other columns (`spans`, `labels`, `words`, `heads`, ...).
        """
        if attention_mask is None:
            given = input_ids if inputs_embeds is None else inputs_embeds[..., 0]
            if given is None:
                raise KAdapterError("nothing to read: give input_ids, inputs_embeds, or an attention_mask")
            attention_mask = torch.ones_like(given, dtype=torch.long)
        if features is None:
            if states is None:
                states = self.read(input_ids, attention_mask, inputs_embeds, link_rows, segments=segments)
            # Stored states may be bfloat16; the skip connections add them up in the model's own precision.
            states = states.to(self.backbone.dtype)
            trains = any(p.requires_grad for p in self.adapters.parameters()) or states.requires_grad
            with torch.set_grad_enabled(torch.is_grad_enabled() and trains):
                features = self.represent(states, attention_mask)
        last, *outputs = features.to(self.backbone.dtype)
        plugged = zip(self.adapter_names, outputs, strict=True)
        fused = self.fusion(last, [output if name in self.adapters else None for name, output in plugged])
        if self.head is None:
            return KnowledgeOutput(last_hidden_state=fused)
        batch = targets | {"attention_mask": attention_mask, "last": last}
        logits = self.head(fused, batch)
        has_targets = "labels" in targets or "heads" in targets
        return KnowledgeOutput(self.require_task().loss(logits, batch) if has_targets else None, logits, fused)

    # Persistence lives in kadapter.hub.model_folder, a wing above: the one door upward, opened when these are called.

    def save_pretrained(self, folder: str | Path) -> Path:
        """Save all that this model needs beyond its frozen backbone (see `hub.model_folder.save_model`); returns
        the folder."""
        from kadapter.hub import model_folder

        return model_folder.save_model(self, folder)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        backbone: Backbone | None = None,
        force: bool = False,
        revision: str | None = None,
        embeddings: Any = None,
    ) -> "KnowledgeModel":
        """Load a saved model from a folder or a Hub repository (see `hub.model_folder.load_model`)."""
        from kadapter.hub import model_folder

        return model_folder.load_model(folder, backbone, force, revision, embeddings)

    @classmethod
    def from_adapter(
        cls, folder: str | Path, backbone: Backbone | None = None, revision: str | None = None, force: bool = False
    ) -> "KnowledgeModel":
        """The model that a saved adapter was pre-trained in (see `hub.model_folder.model_of_adapter`)."""
        from kadapter.hub import model_folder

        return model_folder.model_of_adapter(folder, backbone, revision, force)

    def push_to_hub(self, repo: str, private: bool | None = None, **commit) -> str:
        """Save into a Hub repository, made if there is none (see `hub.adapter_folder.push`); returns the commit's
        URL."""
        from kadapter.hub import adapter_folder

        return adapter_folder.push(self.save_pretrained, repo, private, **{"commit_message": "Upload a model"} | commit)

    def predict(self, inputs, k: int | None = 1):
        """The top k labels of sentences with their mentions in brackets, one or several, or of a data frame or dataset,
        as a data frame: `model.predict("[New Fabris] closed down {June 16} .")` (see `cases.pipeline.predict`)."""
        from kadapter.cases import pipeline  # a wing above, as what saves is

        return pipeline.predict(self, inputs, k)

    def parts(self) -> list[dict]:
        """What the model is made of: one row per part with its parameter count, whether it trains, and where it
        plugs."""
        return inventory.parts(self)

    def __repr__(self) -> str:
        lines = [f"KnowledgeModel(regime={self.regime})"]
        for r in self.parts():
            state = "trains" if r["trains"] else "frozen"
            lines.append(f"  {r['part']:<24}{r['parameters']:>14,} parameters  {state:<7} {r['reads']}".rstrip())
        return "\n".join(lines)
