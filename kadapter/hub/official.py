"""Checkpoints of the official K-Adapter code: their layout read into our adapters, and written back, equal to the bit.

The official file is a pickled state dict whose adapter layers are BERT encoders (`BertEncoder` of
pytorch_transformers); it is read with `weights_only=True`. It names neither its plug layers (0, 11, 22 in the two
pre-training scripts; 0, 11, 23 in `run_example.sh` and as the scripts' default) nor its number of attention heads (12):
both are arguments.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.hub import adapter_folder
from kadapter.hub.official_layout import HEADS, leaf, official_head_name, official_name, sizes
from kadapter.model.adapter import AdapterConfig, KnowledgeAdapter, PretrainingHead
from kadapter.model.backbone import Backbone, check_state_indices, configured
from kadapter.model.fusion import Fusion


@dataclass
class Imported:
    """An official checkpoint as our adapter (with its `pretraining_head` where one was kept).

    Attributes:
        adapter: frozen, in eval mode.
        used: official leaves that were read, in the file's order.
        left_over: official leaves that were not.
    """

    adapter: KnowledgeAdapter
    used: list[str]
    left_over: list[str]


def read(path: str | Path) -> dict[str, Tensor]:
    """The state dict of an official `pytorch_model.bin`. Raises KAdapterError if it is missing, damaged, or holds
    anything but tensors."""
    path = Path(path)
    if not path.is_file():
        raise KAdapterError(f"{path} is no file: expected the pytorch_model.bin of an official K-Adapter checkpoint")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the bytes of a torn file lead torch to
        raise KAdapterError(f"{path} is not a PyTorch file of tensors alone, or is damaged{_reason(error)}") from None
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(t, Tensor) for k, t in state.items()):
        raise KAdapterError(
            f"{path}: found a {type(state).__name__} of other things; expected a dict of name -> tensor"
        )
    if state and all(name.startswith("module.") for name in state):
        raise KAdapterError(
            f"{path}: every leaf's name begins with 'module.', as torch's DataParallel writes them: save the "
            "state dict of model.module instead"
        )
    return state


def _reason(error: Exception) -> str:
    """Why torch refused a file. Its own words advise to load it unsafely: only the name of what it would run is passed
    on."""
    told = re.search(r"GLOBAL (\S+)", str(error))
    return f" (it holds {told[1]}, which is no tensor)" if told else f" ({type(error).__name__})"


def import_checkpoint(
    path: str | Path,
    plug_layers: Sequence[int],
    attention_heads: int | None = None,
    mask_padding: bool = False,
    head: bool = False,
    labels: Sequence[str] | None = None,
) -> Imported:
    """An official checkpoint as a knowledge adapter.

    Args:
        path: `pytorch_model.bin`.
        plug_layers: indices into the backbone's hidden states, one per adapter layer of the file.
        attention_heads: of its transformer layers; may be left out for the published width of 768 (12 heads).
        mask_padding: False attends to padding, as the official code does (ledger: the published numbers depend on it).
        head: keep the pre-training head, too.
        labels: names of the relations, in the order of the logits; None for "0", "1", ... Only with a relation head.

    Raises KAdapterError naming the first leaf that is missing or has another shape, and for plug layers, attention
    heads or labels that do not fit the file.
    """
    path = Path(path)
    state = read(path)
    config = sizes(state, path, tuple(plug_layers), attention_heads, mask_padding)
    with torch.device("meta"):
        expected = KnowledgeAdapter(config).state_dict()
    names = {ours: official_name(ours) for ours in expected}
    weights = {ours: leaf(state, names[ours], list(tensor.shape), path) for ours, tensor in expected.items()}
    adapter = KnowledgeAdapter(config)
    adapter_folder.fill(adapter, weights, path)
    if head:
        adapter.pretraining_head, found = _read_head(state, path, config, labels)
        names |= found
    elif labels is not None:
        raise KAdapterError("labels belong to the relation head: import it, too (--heads)")
    used = set(names.values())
    adapter.provenance = {"source": "official K-Adapter checkpoint", "file": path.name}
    dtypes = {str(state[name].dtype).removeprefix("torch.") for name in names.values()}
    if len(dtypes) == 1:
        adapter.provenance["dtype"] = dtypes.pop()
    if adapter.pretraining_head is not None:
        kind = {"relation": "factual", "dependency": "linguistic"}[adapter.pretraining_head.task]
        adapter.provenance |= {"knowledge": kind}
    return Imported(
        adapter.requires_grad_(False).eval(), [n for n in state if n in used], [n for n in state if n not in used]
    )


def _read_head(
    state: dict[str, Tensor], path: Path, config: AdapterConfig, labels: Sequence[str] | None
) -> tuple[PretrainingHead, dict[str, str]]:
    """The pre-training head of a state dict, and our names of the official leaves it was read from."""
    task = "dependency" if any(n.startswith("self_attention.") for n in state) else "relation"
    if "out_proj.bias" not in state or state["out_proj.bias"].ndim != 1:
        raise KAdapterError(f"{path}: no leaf 'out_proj.bias': this file keeps no pre-training head")
    outputs = len(state["out_proj.bias"])
    if task == "dependency":
        if labels is not None:
            raise KAdapterError(f"{path} keeps a dependency head, which has positions and no labels")
        options: dict[str, Any] = {"max_length": outputs}
    else:
        labels = [str(i) for i in range(outputs)] if labels is None else list(labels)
        if len(labels) != outputs:
            raise KAdapterError(
                f"{path}: its head tells {outputs} relations apart, but {len(labels)} labels were given"
            )
        options = {"labels": labels}
    built = catalog.task(task, **options | _knowledge_options(task))
    with torch.device("meta"):
        modules = {
            "fusion": Fusion("project", config.hidden_size, 1),
            "head": built.head(config.hidden_size, config.hidden_size),
        }
        expected = {f"{part}.{n}": t for part, module in modules.items() for n, t in module.state_dict().items()}
    names = {ours: official_head_name(task, ours) for ours in expected}
    weights = {ours: leaf(state, names[ours], list(tensor.shape), path).float() for ours, tensor in expected.items()}
    return PretrainingHead(task, built.options(), "project", weights), names


def _knowledge_options(task: str) -> dict:
    """How the knowledge that this task teaches sets it."""
    return next(kind.options for kind in catalog.KNOWLEDGE.values() if kind.task == task)


def made_for(name: str, config: AdapterConfig) -> dict:
    """What an imported adapter records of its backbone, after checking that its sizes fit.

    A backbone that cannot be loaded here gives no fingerprint (None), which is for the caller to tell; where at least
    its configuration can be read, sizes are checked against that. Raises KAdapterError for a plug layer out of range or
    another width.
    """
    backbone: Backbone | None = None
    try:
        loaded = backbone = Backbone(name)
    except KAdapterError:
        hidden, depth = configured(name)
    else:
        hidden, depth = loaded.hidden_size, loaded.depth
    if depth is not None:
        check_state_indices(config.plug_layers, depth, name)
    if hidden not in (None, config.hidden_size):
        raise KAdapterError(f"the checkpoint reads states of width {config.hidden_size}, but {name} has {hidden}")
    return adapter_folder.describe(backbone) if backbone else {"name": name, "revision": None, "fingerprint": None}


def state_of(adapter: KnowledgeAdapter) -> dict[str, Tensor]:
    """The official state dict of an adapter, with its pre-training head where one is kept.

    Raises KAdapterError for an adapter that the official code cannot compute.
    """
    c = adapter.config
    for what, found, needed in (
        ("combine", c.combine, "add"),
        ("activation", c.activation, "gelu"),
        ("layer_norm_eps", c.layer_norm_eps, 1e-5),
    ):
        if found != needed:
            raise KAdapterError(f"the official layout has no {what}={found!r}; expected {needed!r}")
    state = {official_name(name): tensor for name, tensor in adapter.state_dict().items()}
    head = adapter.pretraining_head
    if head is not None:
        if head.fusion != "project" or head.task not in HEADS:
            raise KAdapterError(f"the official layout has no {head.task} head on fusion {head.fusion!r}")
        try:
            state |= {official_head_name(head.task, name): tensor for name, tensor in head.weights.items()}
        except KeyError as error:
            raise KAdapterError(f"the official {head.task} head has no part {error}") from None
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    dtype = getattr(torch, str(adapter.provenance.get("dtype", "")), None)
    if dtype in (torch.float16, torch.bfloat16):
        narrow = {name: tensor.to(dtype) for name, tensor in state.items()}
        if all(torch.equal(narrow[name].to(tensor.dtype), tensor) for name, tensor in state.items()):
            return narrow  # as the file that it was read from: nothing is lost
    return state


def export_checkpoint(adapter: KnowledgeAdapter, out: str | Path) -> list[str]:
    """Write an adapter as an official `pytorch_model.bin`; returns the leaves' names. Raises KAdapterError as
    `state_of`."""
    state = state_of(adapter)
    with adapter_folder.replacing(out) as partial:
        torch.save(state, partial)
    return list(state)


def read_plug_layers(text: str) -> list[int]:
    """Plug layers as a person writes them: `0,11,22`. Raises KAdapterError for anything else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise KAdapterError(f"plug layers {text!r}: expected numbers between commas, as 0,11,22") from None


def read_labels(path: Path) -> list[str]:
    """Names of relations: a JSON list of strings, or one on each line. Raises KAdapterError if the file is neither."""
    if not path.is_file():
        raise KAdapterError(f"{path} is no file: expected the relations' names as a JSON list, or one on each line")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise KAdapterError(f"{path} is no UTF-8 text ({error.reason} at byte {error.start})") from None
    try:
        labels = json.loads(text)
    except (ValueError, RecursionError):
        labels = [line.strip() for line in text.splitlines() if line.strip()]
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise KAdapterError(
            f"{path}: found no list of names; expected a JSON list of strings, or one name on each line"
        )
    return labels
