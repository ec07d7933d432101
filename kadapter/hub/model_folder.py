"""Whole models as folders: fusion, head and one folder per adapter, beside a backbone that is named and not copied."""

import copy
import json
from pathlib import Path

from torch import Tensor

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.hub import adapter_folder, config_files, mapping_folder
from kadapter.model import tuning
from kadapter.model.backbone import Backbone
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.language_head import build_head
from kadapter.model.tuning_config import to_dict


def save_model(model: KnowledgeModel, folder: str | Path) -> Path:
    """Save everything that a model needs beyond the backbone as it was loaded; returns the folder:
    `model_config.json`, `model.safetensors` (fusion, head, and of a tuned backbone what was tuned) and one adapter
    folder per plugged adapter."""
    backbone = model.backbone
    config = {
        "format_version": config_files.FORMAT_VERSION,
        "backbone": adapter_folder.describe(model.backbone),
        "fusion": model.fusion.kind,
        "slots": model.adapter_names,
        "adapters": {name: a.config.to_dict() for name, a in model.adapters.items()},
        "regime": model.regime,
        "task": None if model.task is None else {"name": model.task.name, "options": model.task.options()},
        "tuning": {kind: to_dict(chosen) for kind, chosen in backbone.tuned.items()},
        "holds_backbone": "full" in backbone.tuned,
        "mapping": None if model.mapping is None else model.mapping.name,
    }
    saved = {
        "fusion": model.fusion.state_dict(),
        "head": {} if model.head is None else model.head.state_dict(),
        "backbone": _tuned(backbone),
    }
    weights = {f"{part}.{name}": leaf for part, leaves in saved.items() for name, leaf in leaves.items()}
    with adapter_folder.writing(folder) as partial:
        adapter_folder.write_weights(weights, partial / adapter_folder.MODEL_WEIGHTS)
        config["sha256"] = adapter_folder.hashes(partial)
        (partial / adapter_folder.MODEL_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        for name, adapter in model.adapters.items():
            adapter_folder.save_adapter(adapter, partial / adapter_folder.ADAPTERS / name, model.backbone)
        if model.mapping is not None:
            mapping_folder.save_mapping(model.mapping, partial / adapter_folder.MAPPING, model.backbone)
    return Path(folder)


def load_model(
    folder: str | Path,
    backbone: Backbone | None = None,
    force: bool = False,
    revision: str | None = None,
    embeddings: EntityEmbeddings | str | Path | None = None,
) -> KnowledgeModel:
    """Load a saved model from a folder, or from a Hub repository at a revision of it. `embeddings` are those of the
    entities that its mapping reads, where it has one and they lie elsewhere than when it was saved.

    A given backbone is shared, but for a model that tuned its own: that stands on a copy.

    Raises KAdapterError for a missing or damaged folder, a leaf that differs in name or shape, or (unless `force`)
    another backbone than the one it was saved with.
    """
    folder = adapter_folder.fetch(folder, revision)
    config = config_files.read_model(folder / adapter_folder.MODEL_CONFIG)
    saved, source = config["backbone"], folder / adapter_folder.MODEL_WEIGHTS
    kinds = config["tuning"] or ({"full": {}} if config["holds_backbone"] else {})
    if backbone is None:
        backbone = Backbone(saved["name"], saved["revision"])
    elif config["holds_backbone"]:
        raise KAdapterError(f"{folder} holds its own trained backbone: load it without giving one")
    elif kinds:
        backbone = copy.deepcopy(backbone)
    weights = adapter_folder.read_weights(source)
    for kind, options in kinds.items():
        tuning.tune(backbone, kind, **options)
    if kinds:
        _fill_tuned(backbone, _part(weights, "backbone"), source)
    adapter_folder.check_backbone(folder, saved["fingerprint"], backbone, force)
    model = KnowledgeModel(backbone, fusion=config["fusion"])
    for name in config["slots"]:  # one that was saved while unplugged stays, empty
        if name in config["adapters"]:
            saved_adapter = folder / adapter_folder.ADAPTERS / name
            model.adapters[name] = adapter_folder.load_adapter(saved_adapter, backbone, force=force)
    model.resize(config["slots"])
    if config["task"] is not None:
        model.task = catalog.task(config["task"]["name"], **config["task"]["options"])
        model.head = build_head(model.task, backbone, model.fusion.width)
        adapter_folder.fill(model.head, _part(weights, "head"), source)
    adapter_folder.fill(model.fusion, _part(weights, "fusion"), source)
    adapter_folder.check_hashes(folder, config)
    if config["mapping"] is not None:
        saved_mapping = folder / adapter_folder.MAPPING
        model.plug_mapping(mapping_folder.load_mapping(saved_mapping, embeddings, backbone, force))
    return model.train_only(config["regime"]).eval()


def model_of_adapter(
    folder: str | Path, backbone: Backbone | None = None, revision: str | None = None, force: bool = False
) -> KnowledgeModel:
    """The model that a saved adapter was pre-trained in: backbone, adapter, and the pre-training head kept beside it.

    Raises KAdapterError if the folder or Hub repository keeps no head, and as `artifact.load_adapter`.
    """
    adapter = adapter_folder.load_adapter(folder, backbone, force=force, revision=revision)
    head = adapter.pretraining_head
    if head is None:
        raise KAdapterError(
            f"{folder} keeps no pre-training head: plug it into a model instead, or import it again with --heads"
        )
    if backbone is None:
        made_for = adapter.made_for or {}  # a loaded adapter knows
        backbone = Backbone(made_for["name"], made_for["revision"])
        adapter_folder.check_backbone(Path(folder), made_for["fingerprint"], backbone, force)
    name = adapter.provenance.get("name") or adapter.provenance.get("knowledge") or head.task
    model = KnowledgeModel(backbone, head.fusion, {name: adapter}, catalog.task(head.task, **head.options))
    for part in ("fusion", "head"):
        adapter_folder.fill(getattr(model, part), _part(head.weights, part), Path(folder) / adapter_folder.HEAD)
    return model.eval()


def _tuned(backbone: Backbone) -> dict[str, Tensor]:
    """What a backbone holds beyond the one that was loaded."""
    state = backbone.state_dict()
    if "full" in backbone.tuned:
        return state
    return {name: state[name] for kind in backbone.tuned for name in tuning.leaves(backbone, kind)}


def _fill_tuned(backbone: Backbone, weights: dict[str, Tensor], source: Path) -> None:
    """Load what `_tuned` gave."""
    own = _tuned(backbone)
    for name in own:
        if name not in weights:
            raise KAdapterError(f"{source}: no leaf {name!r}; expected shape {list(own[name].shape)}")
    adapter_folder.fill(backbone, backbone.state_dict() | weights, source)


def _part(weights: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): leaf for name, leaf in weights.items() if name.startswith(f"{part}.")}
