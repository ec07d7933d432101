"""Mapping networks as folders: `mapping_config.json`, `mapping.safetensors` and a card; and the official code's files.
The entity embeddings that a mapping reads stay where they are: they are named, with their fingerprint."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from kadapter.errors import KAdapterError
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.hub import adapter_folder, card, config_files, official
from kadapter.model.backbone import Backbone
from kadapter.model.mapping import EntityMapping, MappingNetwork

CITATION = """@inproceedings{zhang2023plug,
  title     = {Plug-and-Play Knowledge Injection for Pre-trained Language Models},
  author    = {Zhang, Zhengyan and Zeng, Zhiyuan and Lin, Yankai and Wang, Huadong and Ye, Deming and Xiao, Chaojun and
               Han, Xu and Liu, Zhiyuan and Li, Peng and Sun, Maosong and Zhou, Jie},
  booktitle = {Proceedings of ACL},
  year      = {2023}
}"""


def save_mapping(
    mapping: EntityMapping, folder: str | Path, backbone: Backbone | Mapping[str, str | None] | None = None
) -> Path:
    """Save a mapping with the backbone that it maps into; returns the folder.

    Args:
        backbone: itself, or what `adapter_folder.describe` returns; None for the one it was loaded or saved with.

    Raises KAdapterError if no backbone is given and none is known.
    """
    made_for = backbone if not isinstance(backbone, Backbone) else adapter_folder.describe(backbone)
    made_for = dict(made_for or mapping.made_for or {})
    if not made_for:
        raise KAdapterError("this mapping has no backbone yet: give the one that it was trained with as backbone=...")
    network, entities = mapping.network, mapping.embeddings
    config = {
        "format_version": config_files.FORMAT_VERSION,
        "name": mapping.name,
        "width": network.width,
        "hidden_size": network.hidden_size,
        "hidden": network.hidden,
        "unlinked": mapping.unlinked,
        "backbone": made_for,
        "embeddings": {
            "entities": len(entities),
            "fingerprint": entities.fingerprint,
            "path": None if entities.path is None else _place(Path(entities.path), Path(folder)),
        },
        "trained_on": mapping.provenance,
    }
    with adapter_folder.writing(folder) as partial:
        adapter_folder.write_weights(network.state_dict(), partial / adapter_folder.MAPPING_WEIGHTS)
        config["sha256"] = adapter_folder.hashes(partial)
        text = json.dumps(config, indent=2) + "\n"
        (partial / adapter_folder.MAPPING_CONFIG).write_text(text, encoding="utf-8")
        (partial / adapter_folder.CARD).write_text(write_card(config), encoding="utf-8")
    mapping.made_for = made_for
    return Path(folder)


def _place(embeddings: Path, folder: Path) -> str:
    """Where embeddings lie: seen from a mapping's folder where both are of one run, which may be moved."""
    found, run = embeddings.absolute(), folder.absolute().parents[1]
    return os.path.relpath(found, folder.absolute()) if found.is_relative_to(run) else str(found)


def load_mapping(
    folder: str | Path,
    embeddings: EntityEmbeddings | str | Path | None = None,
    backbone: Backbone | None = None,
    force: bool = False,
    revision: str | None = None,
) -> EntityMapping:
    """Load a saved mapping, frozen; with `backbone`, check that it is the one it was made for.

    Args:
        folder: a folder, or the id of a Hub repository (`user/name`).
        embeddings: those of the entities, or where they lie; None for the place that the folder names.
        revision: branch, tag or commit of that repository.

    Raises KAdapterError for a missing or damaged folder, a leaf that differs, and (unless `force`) for another backbone
    or other embeddings than it was trained with.
    """
    folder = adapter_folder.fetch(folder, revision)
    config = config_files.read_mapping(folder / adapter_folder.MAPPING_CONFIG)
    network = MappingNetwork(config["width"], config["hidden_size"], config["hidden"])
    source = folder / adapter_folder.MAPPING_WEIGHTS
    adapter_folder.fill(network, adapter_folder.read_weights(source), source)
    adapter_folder.check_hashes(folder, config)
    if backbone is not None:
        adapter_folder.check_backbone(folder, config["backbone"]["fingerprint"], backbone, force, before_tuning=True)
    said = config["embeddings"]
    if embeddings is None:
        place = said.get("path")
        if place is None or not (folder / place).exists():
            raise KAdapterError(
                f"{folder} names no entity embeddings that are here (found {place!r}): give embeddings=FOLDER"
            )
        embeddings = folder / place
    if not isinstance(embeddings, EntityEmbeddings):
        embeddings = EntityEmbeddings.open(embeddings)
    if embeddings.fingerprint != said["fingerprint"] and not force:
        raise KAdapterError(
            f"{folder} was trained on entity embeddings {said['fingerprint'][:16]}, but these are "
            f"{embeddings.fingerprint[:16]}: give those, or pass force=True for others of the same kind"
        )
    mapping = EntityMapping(config["name"], network, embeddings, config["unlinked"])
    mapping.provenance, mapping.made_for = config["trained_on"], config["backbone"]
    return mapping.requires_grad_(False).eval()


def import_mapping(
    path: str | Path, name: str, embeddings: EntityEmbeddings | str | Path, unlinked: str = "bias"
) -> EntityMapping:
    """A mapping network of the official code (`Affine_*.bin`: `model.weight` and `model.bias`) with the embeddings that
    it was trained on. Raises KAdapterError for a file of another layout, and for embeddings of another width."""
    state = official.read(path)
    if set(state) != {"model.weight", "model.bias"} or state["model.weight"].ndim != 2:
        raise KAdapterError(
            f"{path}: found leaves {', '.join(sorted(state)[:3])}; expected model.weight and model.bias of an "
            "official mapping network"
        )
    size, width = state["model.weight"].shape
    network = MappingNetwork(width, size)
    leaves = {f"layers.0.{leaf}": state[f"model.{leaf}"].float() for leaf in ("weight", "bias")}
    adapter_folder.fill(network, leaves, path)
    if not isinstance(embeddings, EntityEmbeddings):
        embeddings = EntityEmbeddings.open(embeddings)
    mapping = EntityMapping(name, network, embeddings, unlinked)
    mapping.provenance = {"source": "official Knowledge-Plugin mapping network", "file": Path(path).name}
    return mapping.requires_grad_(False).eval()


def write_card(config: dict[str, Any]) -> str:
    """Hugging Face model card (Markdown with YAML metadata) for a `mapping_config.json`; every `*_scores` of
    `trained_on` has a row of its table."""
    backbone, trained, said = config["backbone"], config["trained_on"], config["embeddings"]
    metadata = ModelCardData(
        license=trained.get("license", card.LICENSE),
        library_name="kadapter",
        base_model=card.base_model(backbone["name"]),
        tags=["k-adapter", "map-tuning"],
    )
    layers = "one affine layer" if config["hidden"] is None else f"two layers, {config['hidden']} wide between them"
    parameters = sum(
        p.numel() for p in MappingNetwork(config["width"], config["hidden_size"], config["hidden"]).parameters()
    )
    lines = [
        "---", metadata.to_yaml(), "---", "",
        f"# Mapping network: {config['name']}",
        "",
        f"Map-tuning (Zhang et al., 2023) for the frozen backbone `{backbone['name']}`: {layers}, {parameters:,} "
        f"parameters, entity embeddings of width {config['width']} to input embeddings of width "
        f"{config['hidden_size']}. Backbone and entity embeddings are unchanged and not part of this package.",
        "",
        f"- backbone fingerprint (SHA-256 of its weights): `{backbone.get('fingerprint') or 'not recorded'}`",
        f"- entity embeddings: {said['entities']:,}, fingerprint `{said['fingerprint']}`",
        f"- an entity without a vector: {config['unlinked']}",
        "",
        "## Trained on",
        "",
        *card.told(trained, "Nothing: its weights are the initial ones."),
        "",
        "## Use",
        "",
        "```python",
        "from kadapter import Backbone, KnowledgeModel",
        "from kadapter.model.mapping import EntityMapping",
        "",
        f"model = KnowledgeModel(Backbone({backbone['name']!r}))",
        "model.plug_mapping(EntityMapping.from_pretrained('path/to/this/folder', embeddings='path/to/embeddings'))",
        "```",
        "",
        "## Citation", "", "```bibtex", CITATION, "```", "",
    ]  # fmt: skip
    return "\n".join(lines)
