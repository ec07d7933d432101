"""Adapters and models as folders: `adapter_config.json`, `adapter.safetensors` and a model card. Nothing is ever pickled."""

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kadapter import card
from kadapter.adapter import AdapterConfig, KnowledgeAdapter
from kadapter.backbone import Backbone
from kadapter.errors import KAdapterError

FORMAT_VERSION = 1
CONFIG, WEIGHTS, CARD = "adapter_config.json", "adapter.safetensors", "README.md"
KEYS = {"format_version", "adapter", "backbone", "trained_on"}


@contextmanager
def writing(folder: str | Path) -> Iterator[Path]:
    """A new folder to fill under a temporary name; renamed to `folder` (replacing it) when the block ends well, removed when not."""
    folder = Path(folder)
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if folder.exists():
            old = folder.with_name(f"{folder.name}.partial-old-{os.getpid()}")
            os.replace(folder, old)
            os.replace(partial, folder)
            shutil.rmtree(old)
        else:
            os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Save tensors as safetensors."""
    save_file({name: t.detach().cpu().contiguous() for name, t in weights.items()}, path, metadata={"format": "pt"})


def read_weights(path: Path) -> dict[str, Tensor]:
    """Load tensors from a safetensors file. Raises KAdapterError if it is missing, truncated or damaged."""
    if not path.is_file():
        raise KAdapterError(f"{path.parent} holds no {path.name}: expected a folder written by save_pretrained")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise KAdapterError(f"{path} is truncated or damaged ({error}): save it again or download it again") from error


def read_config(path: Path) -> dict:
    """Load a JSON object. Raises KAdapterError if it is missing or not one."""
    if not path.is_file():
        raise KAdapterError(f"{path.parent} holds no {path.name}: expected a folder written by save_pretrained")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise KAdapterError(f"{path} is not JSON ({error})") from error
    if not isinstance(config, dict):
        raise KAdapterError(f"{path}: found a {type(config).__name__}; expected a JSON object")
    return config


def fill(module: nn.Module, weights: dict[str, Tensor], source: object) -> None:
    """Load weights into a module, checked leaf by leaf. Raises KAdapterError naming the first leaf that is missing, has another shape, or
    is not expected; the module is then unchanged."""
    own = module.state_dict()
    for name, tensor in own.items():
        if name not in weights:
            raise KAdapterError(f"{source}: no leaf {name!r}; expected shape {list(tensor.shape)}")
        if weights[name].shape != tensor.shape:
            raise KAdapterError(
                f"{source}: leaf {name!r} has shape {list(weights[name].shape)}; expected {list(tensor.shape)}"
            )
    for name in weights:
        if name not in own:
            raise KAdapterError(f"{source}: leaf {name!r} is not part of the configured model")
    module.load_state_dict(weights)


def check_backbone(folder: Path, expected: str, backbone: Backbone, force: bool) -> None:
    """Raises KAdapterError, showing both fingerprints, when a folder was made for another backbone; `force` only warns."""
    found = backbone.fingerprint
    if found == expected:
        return
    message = (
        f"{folder} was made for a backbone with fingerprint {expected[:16]}, but {backbone.name} has {found[:16]}: "
        "load the backbone that its config names"
    )
    if not force:
        raise KAdapterError(f"{message}, or pass force=True to plug it all the same")
    warnings.warn(message, stacklevel=3)


def save_adapter(adapter: KnowledgeAdapter, folder: str | Path, backbone: Backbone) -> Path:
    """Save an adapter with the backbone it belongs to: configuration, weights and model card. Returns the folder.

    What the adapter was trained on (`adapter.provenance`) is written into the configuration and told by the card.
    """
    config = {
        "format_version": FORMAT_VERSION,
        "adapter": adapter.config.to_dict(),
        "backbone": {"name": backbone.name, "revision": backbone.revision, "fingerprint": backbone.fingerprint},
        "trained_on": adapter.provenance,
    }
    with writing(folder) as partial:
        (partial / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        write_weights(adapter.state_dict(), partial / WEIGHTS)
        (partial / CARD).write_text(card.write(config, sum(p.numel() for p in adapter.parameters())), encoding="utf-8")
    return Path(folder)


def load_adapter(folder: str | Path, backbone: Backbone | None = None, force: bool = False) -> KnowledgeAdapter:
    """Load a saved adapter; with `backbone`, check that it is the one it was made for.

    Keys of a newer format version are kept in `provenance` with a warning. Raises KAdapterError for a missing or damaged folder,
    a leaf that differs, or another backbone (unless `force`).
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG)
    for key in ("adapter", "backbone"):
        if key not in config:
            raise KAdapterError(f"{folder / CONFIG}: no key {key!r}; expected the keys {sorted(KEYS)}")
    extra = {k: v for k, v in config.items() if k not in KEYS}
    if extra:
        warnings.warn(
            f"{folder / CONFIG} (format version {config.get('format_version')}): unknown keys kept: {sorted(extra)}",
            stacklevel=2,
        )
    adapter = KnowledgeAdapter(AdapterConfig.from_dict(config["adapter"]))
    fill(adapter, read_weights(folder / WEIGHTS), folder / WEIGHTS)
    if backbone is not None:
        check_backbone(folder, config["backbone"]["fingerprint"], backbone, force)
    adapter.provenance = config.get("trained_on", {}) | extra
    return adapter.requires_grad_(False).eval()
