"""What a model is made of, part by part: what its printed form and notebooks show."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from kadapter.model import tuning


def parts(model: Any) -> list[dict[str, Any]]:
    """One row for each part of a `kadapter.model.knowledge_model.KnowledgeModel`: part, parameters, trains (whether any
    of them does) and reads (where it plugs, or of what width it is)."""
    backbone = model.backbone
    put_in = {kind: tuning.leaves(backbone, kind) for kind in backbone.tuned if kind != "full"}
    known = {name for leaves in put_in.values() for name in leaves}
    own = (p for name, p in backbone.named_parameters() if name not in known)
    rows = []
    if model.mapping is not None:
        network = model.mapping.network
        rows.append(_row(f"mapping {model.mapping.name}", network, f"{network.width} numbers of an entity"))
    rows.append(_row(f"backbone {backbone.name}", own, f"{backbone.depth} layers, width {backbone.hidden_size}"))
    rows += [_row(f"backbone's {kind}", leaves.values()) for kind, leaves in put_in.items()]
    for name in model.adapter_names:
        if name in model.adapters:
            adapter = model.adapters[name]
            rows.append(_row(f"adapter {name}", adapter, f"hidden_states {list(adapter.config.plug_layers)}"))
        else:
            rows.append(_row(f"adapter {name}", (), "unplugged"))
    rows.append(_row(f"fusion {model.fusion.kind}", model.fusion, f"1 + {len(model.adapter_names)} states"))
    if model.head is not None:
        task = model.require_task()
        rows.append(_row(f"head {task.name}", model.head, f"{len(task.labels)} labels" if task.labels else ""))
    return rows


def _row(part: str, module: nn.Module | Iterable[nn.Parameter], note: str = "") -> dict[str, Any]:
    parameters = list(module.parameters() if isinstance(module, nn.Module) else module)
    return {
        "part": part,
        "parameters": sum(p.numel() for p in parameters),
        "trains": any(p.requires_grad for p in parameters),
        "reads": note,
    }
