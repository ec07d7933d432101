"""Adapters and models as folders: `adapter_config.json`, `adapter.safetensors` and a model card. Nothing is ever
pickled."""

import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.hub import card
from kadapter.hub.config_files import FORMAT_VERSION, known, read_config
from kadapter.model import packaged
from kadapter.model.adapter import AdapterConfig, KnowledgeAdapter, PretrainingHead
from kadapter.model.backbone import Backbone

CONFIG, WEIGHTS, HEAD, CARD = "adapter_config.json", "adapter.safetensors", "head.safetensors", "README.md"
MODEL_CONFIG, MODEL_WEIGHTS, ADAPTERS = "model_config.json", "model.safetensors", "adapters"
BACKBONE = "backbone"  # in a run: the folder of a backbone that was itself trained, as `from_pretrained` reads it
MAPPING_CONFIG, MAPPING_WEIGHTS, MAPPING = "mapping_config.json", "mapping.safetensors", "mapping"
OURS = {CONFIG, WEIGHTS, HEAD, CARD, MODEL_CONFIG, MODEL_WEIGHTS, ADAPTERS, MAPPING_CONFIG, MAPPING_WEIGHTS, MAPPING}


@contextmanager
def writing(folder: str | Path) -> Iterator[Path]:
    """A new folder to fill under a temporary name; renamed to `folder` (replacing it) when the block ends well, removed
    when not.

    Raises KAdapterError if there is such a folder and it holds anything that was not saved by this module.
    """
    folder = Path(folder)
    foreign = sorted(p.name for p in folder.iterdir() if p.name not in OURS) if folder.is_dir() else []
    if foreign or (folder.exists() and not folder.is_dir()):
        found = f"it holds {foreign[0]!r}" if foreign else "it is a file"
        raise KAdapterError(f"{folder} would be replaced, but {found}, which is not ours: choose another folder")
    partial = runs.partial(folder)
    runs.remove_stale(folder)
    shutil.rmtree(partial, ignore_errors=True)
    _make(partial, folder)
    try:
        yield partial
        runs.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file to write under a temporary name; renamed to `path` (replacing it) when the block ends well, removed when
    not. Raises KAdapterError where there can be no such file."""
    path = Path(path)
    if path.is_dir():
        raise KAdapterError(f"{path} is a folder: expected the name of a file to write")
    _make(path.parent, path)
    partial = runs.partial(path)
    runs.remove_stale(path)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _make(folder: Path, wanted: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # under a file, without permission, on a full or read-only disk
        under_a_file = isinstance(error, NotADirectoryError | FileExistsError)
        reason = "what should be its folder is a file" if under_a_file else error.strerror or error
        raise KAdapterError(f"{wanted} cannot be written: {reason}") from None


def write_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Save tensors as safetensors, in a file that the umask decides who may read."""
    save_file({name: t.detach().cpu().contiguous() for name, t in weights.items()}, path, metadata={"format": "pt"})
    runs.as_umask_says(path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Load tensors from a safetensors file. Raises KAdapterError if it is missing, truncated or damaged."""
    if not path.is_file():
        raise KAdapterError(f"{path.parent} holds no {path.name}: expected a folder written by save_pretrained")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise KAdapterError(f"{path} is truncated or damaged ({error}): save it again or download it again") from error


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of weights that lies in a folder: what its configuration records as `sha256`."""
    return {path.name: packaged.sha256(path) for path in sorted(folder.glob("*.safetensors"))}


def check_hashes(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises KAdapterError for a file of weights that is another than the configuration beside it was saved with; one
    of an older version names none."""
    for name, expected in config["sha256"].items():
        if (folder / name).is_file() and (found := packaged.sha256(folder / name)) != expected:
            raise KAdapterError(
                f"{folder / name} is another file than was saved: its SHA-256 is {found[:16]}..., expected "
                f"{expected[:16]}...: save it again or download it again"
            )


def fill(module: nn.Module, weights: dict[str, Tensor], source: object) -> None:
    """Load weights into a module, checked leaf by leaf. Raises KAdapterError naming the first leaf that is missing, has
    another shape, is not finite, or is not expected; the module is then unchanged."""
    check_leaves(module, weights, source)
    for name, p in module.named_parameters():
        if p.is_floating_point() and not weights[name].isfinite().all():
            raise KAdapterError(f"{source}: leaf {name!r} holds numbers that are not finite: its training diverged")
    module.load_state_dict(weights)


def check_leaves(module: nn.Module, weights: dict[str, Tensor], source: object) -> None:
    """Raises KAdapterError naming the first leaf that is missing, has another shape, or is not expected. The module may
    stand on the device `meta`."""
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


def check_backbone(
    folder: Path, expected: str | None, backbone: Backbone, force: bool, before_tuning: bool = False
) -> None:
    """Raises KAdapterError, showing both fingerprints, when a folder was made for another backbone; `force` only warns.
    `before_tuning` also accepts what was made for this one before it was tuned.

    Where the folder records no fingerprint (an official checkpoint imported without its backbone) nothing can be
    compared; this warns.
    """
    if expected is None:
        warnings.warn(
            f"{folder} records no backbone fingerprint: whether it was made for {backbone.name} cannot be checked; "
            "save it again with its backbone to record one",
            stacklevel=3,
        )
        return
    found = backbone.fingerprint
    if found == expected or (before_tuning and expected == backbone.origin):
        return
    message = (
        f"{folder} was made for a backbone with fingerprint {expected[:16]}, but {backbone.name} has {found[:16]}: "
        "load the backbone that its config names"
    )
    if not force:
        raise KAdapterError(f"{message}, or pass force=True to plug it all the same")
    warnings.warn(message, stacklevel=3)


def describe(backbone: Backbone) -> dict:
    """What a saved folder records of the backbone it belongs to."""
    return {"name": backbone.name, "revision": backbone.revision, "fingerprint": backbone.fingerprint}


def save_adapter(
    adapter: KnowledgeAdapter, folder: str | Path, backbone: Backbone | Mapping[str, str | None] | None = None
) -> Path:
    """Save an adapter with the backbone it belongs to: configuration, weights and model card. Returns the folder.

    What the adapter was trained on (`adapter.provenance`) is written into the configuration and told by the card; a
    kept pre-training head goes to `head.safetensors`; what a newer version had written into the configuration is
    written back.

    Args:
        backbone: itself, or what `describe` returns; None for the one that the adapter was loaded or saved with before.

    Raises KAdapterError if no backbone is given and none is known.
    """
    made_for = describe(backbone) if isinstance(backbone, Backbone) else dict(backbone or adapter.made_for or {})
    if not made_for:
        raise KAdapterError("this adapter has no backbone yet: give the one that it was trained with as backbone=...")
    head = adapter.pretraining_head
    config = {
        "format_version": max(FORMAT_VERSION, adapter.newer.get("format_version", 0)),
        "adapter": adapter.config.to_dict() | adapter.newer.get("adapter", {}),
        "backbone": made_for,
        "trained_on": adapter.provenance,
        **adapter.newer.get("top", {}),
    }
    if head is not None:
        config["head"] = {"task": head.task, "options": head.options, "fusion": head.fusion}
    parameters = sum(p.numel() for p in adapter.parameters())
    with writing(folder) as partial:
        write_weights(adapter.state_dict(), partial / WEIGHTS)
        if head is not None:
            write_weights(head.weights, partial / HEAD)
        config["sha256"] = hashes(partial)
        (partial / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (partial / CARD).write_text(card.write(config, parameters), encoding="utf-8")
    adapter.made_for = made_for
    return Path(folder)


def load_adapter(
    folder: str | Path, backbone: Backbone | None = None, force: bool = False, revision: str | None = None
) -> KnowledgeAdapter:
    """Load a saved adapter; with `backbone`, check that it is the one it was made for.

    Args:
        folder: a folder, or the id of a Hub repository (`user/name`).
        revision: branch, tag or commit of that repository.

    Keys that a newer format version added are kept with a warning, and written back when the adapter is saved again.
    Raises KAdapterError for a missing or damaged folder, a leaf that differs, or another backbone (unless `force`).
    """
    folder = fetch(folder, revision)
    config = read_config(folder / CONFIG)
    config, newer = known(config, folder / CONFIG)
    try:
        sizes = AdapterConfig.from_dict(config["adapter"])
    except KAdapterError as error:
        raise KAdapterError(f"{folder / CONFIG}: {error}") from None
    weights = read_weights(folder / WEIGHTS)
    with torch.device("meta"):  # what the file does not hold is not built
        check_leaves(KnowledgeAdapter(sizes), weights, folder / WEIGHTS)
    adapter = KnowledgeAdapter(sizes)
    fill(adapter, weights, folder / WEIGHTS)
    check_hashes(folder, config)
    if backbone is not None:
        check_backbone(folder, config["backbone"]["fingerprint"], backbone, force, before_tuning=True)
    if config["head"] is not None:
        head = {key: config["head"][key] for key in ("task", "options", "fusion")}
        adapter.pretraining_head = PretrainingHead(**head, weights=read_weights(folder / HEAD))
    adapter.provenance, adapter.made_for, adapter.newer = config["trained_on"], config["backbone"], newer
    return adapter.requires_grad_(False).eval()


_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def fetch(folder: str | Path, revision: str | None = None) -> Path:
    """The folder itself, or the local copy of a Hub repository that it names.

    Raises KAdapterError if it is neither, or if a revision is asked of a folder.
    """
    path = Path(folder)
    if path.exists() or not _HUB_ID.fullmatch(str(folder)):
        if revision is not None:
            raise KAdapterError(
                f"revision {revision!r} was asked of the folder {folder}: only a Hub repository has revisions"
            )
        return path  # a missing folder is named by whoever reads from it
    try:
        return Path(
            huggingface_hub.snapshot_download(
                str(folder), revision=revision, allow_patterns=["*.json", "*.safetensors", CARD]
            )
        )
    except (OSError, ValueError) as error:  # what huggingface_hub raises for no repository, no revision, no network
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        at = f" at revision {revision!r}" if revision else ""
        raise KAdapterError(
            f"{folder}{at} is neither a folder nor a Hub repository that can be read: {reason}"
        ) from error


def push_adapter(
    adapter: KnowledgeAdapter,
    repo: str,
    backbone: Backbone | None = None,
    private: bool | None = None,
    **commit,
) -> str:
    """Save an adapter into a Hub repository, which is made if there is none (see `push`); returns the URL of the
    commit. Raises KAdapterError as `push` and `save_adapter`."""
    message = {"commit_message": "Upload a knowledge adapter"}
    return push(lambda folder: save_adapter(adapter, folder, backbone), repo, private, **message | commit)


def push(save: Callable[[Path], Path], repo: str, private: bool | None = None, **commit) -> str:
    """Upload what `save` writes into a folder to a Hub repository, which is made if there is none; returns the URL of
    the commit.

    Args:
        repo: `user/name`.
        private: of a new repository; None for the account's default.
        commit: passed to `huggingface_hub.HfApi.upload_folder`: `commit_message`, `revision`, `create_pr`, ...

    Raises KAdapterError for a repository name of another form.
    """
    if not _HUB_ID.fullmatch(repo):
        raise KAdapterError(f"Hub repository {repo!r}: expected the form user/name")
    api = huggingface_hub.HfApi()
    with tempfile.TemporaryDirectory() as temporary:
        folder = save(Path(temporary) / repo.rsplit("/", 1)[1])
        api.create_repo(repo, private=private, exist_ok=True)
        done = api.upload_folder(repo_id=repo, folder_path=str(folder), **commit)
    return str(done.commit_url)
