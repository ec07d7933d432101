"""Data prepared for a preset: the world written or real files checked, cut into splits, counted and hashed in one
manifest, so that every later stage reads the same published formats whatever they came from."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, concatenate_datasets

from kadapter import catalog, world
from kadapter.errors import KAdapterError, unknown
from kadapter.experiment.preset import as_list
from kadapter.experiment.preset_values import SPLITS

MANIFEST = "data.json"
EXTENSION = {
    "conllu": ".conllu",
    "opennre": ".txt",
    "semeval": ".txt",
    "figer_gold": ".tsv",
    "cosmosqa": ".jsonl",
    "openqa": ".txt",
    "lama": ".jsonl",
    "triples": ".txt",
}  # others are .json


def prepare(out: Path, datasets: Mapping[str, Mapping[str, Any]], source: Mapping[str, Any]) -> dict[str, Any]:
    """Make a preset's data ready under the folder `out` and write its manifest there.

    Args:
        datasets: the preset's `datasets` section (see `kadapter.experiment.preset`).
        source: its `data` section: `{"world": {...}}`, or `{"path": FOLDER}`.

    Returns the manifest: per dataset its format, label inventory, and per split the file, number of examples and
    SHA-256. Files are written only where splits are cut, joined or deduplicated; others are named where they lie.

    Raises KAdapterError for what is missing, empty or broken.
    """
    if "world" in source:
        root = out / "world"
        world.build(root, **(source["world"] or {}))
    else:
        root = Path(source["path"]).expanduser()
    manifest: dict[str, Any] = {"source": dict(source), "datasets": {}}
    for name, spec in datasets.items():
        manifest["datasets"][name] = _prepare_one(out, name, spec, root / Path(spec.get("path", "")).expanduser())
    text = json.dumps(manifest, indent=1)
    (out / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return manifest


def _prepare_one(out: Path, name: str, spec: Mapping[str, Any], base: Path) -> dict[str, Any]:
    module = catalog.format_module(spec["format"])
    splits: dict[str, Dataset] = {}
    files: dict[str, Path | None] = {}
    for split in SPLITS:
        named = as_list(spec.get(split))
        if named:
            parts = [module.read(base / file) for file in named]
            splits[split] = parts[0] if len(parts) == 1 else concatenate_datasets(parts)
            files[split] = base / named[0] if len(parts) == 1 else None
    if "split" in spec:
        whole = concatenate_datasets([module.read(base / file) for file in as_list(spec["split"]["from"])])
        cut = _cut(whole, spec["split"])
        splits |= cut
        files |= dict.fromkeys(cut, None)
    if spec.get("deduplicate"):
        splits["train"] = _deduplicate(splits)
        files["train"] = None
    entry: dict[str, Any] = {"format": spec["format"], "splits": {}}
    for split, dataset in splits.items():
        if not len(dataset):
            raise KAdapterError(f"dataset '{name}': split {split} has no examples ({files[split] or base})")
        path = files[split]
        if path is None:
            path = out / name / f"{split}{EXTENSION.get(spec['format'], '.json')}"
            path.parent.mkdir(parents=True, exist_ok=True)
            module.write(dataset, path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        inside = path.is_relative_to(out)  # the folder is renamed when the run is whole
        place = str(path.relative_to(out)) if inside else str(path.absolute())
        entry["splits"][split] = {"file": place, "examples": len(dataset), "sha256": digest}
    inventory = splits.values() if spec.get("labels", "train") == "all" else [splits["train"]]
    entry["labels"] = sorted({label for dataset in inventory for label in label_list(dataset)})
    return entry


def label_list(dataset: Dataset) -> list[str]:
    """The sorted distinct labels of a dataset; [] for a schema that has none."""
    if "labels" in dataset.column_names:
        found = pc.unique(pc.list_flatten(dataset.data.column("labels"))).to_pylist()
    elif "label" in dataset.column_names and dataset.features["label"].dtype == "string":
        found = dataset.unique("label")
    else:
        found = []
    return sorted(found)


def label_counts(dataset: Dataset):
    """A pandas DataFrame of a dataset's labels and how many examples have each, most frequent first; empty without
    labels."""
    import pandas

    if not label_list(dataset):
        return pandas.DataFrame({"label": [], "examples": []})
    column = dataset.data.column("labels" if "labels" in dataset.column_names else "label")
    values = pc.list_flatten(column) if "labels" in dataset.column_names else column
    counts = values.to_pandas().value_counts()
    return pandas.DataFrame({"label": counts.index, "examples": counts.to_numpy()})


def _cut(whole: Dataset, spec: Mapping[str, Any]) -> dict[str, Dataset]:
    """A dataset in seeded parts of the given shares; with `by: sentence`, no text (context, set of
    paragraphs) falls in two parts."""
    rng = np.random.default_rng(spec.get("seed", 0))
    if spec.get("by", "example") == "sentence":
        column = next(c for c in ("text", "words", "context", "paragraphs") if c in whole.column_names)
        texts = [t if isinstance(t, str) else " ".join(t) for t in whole[column]]
        _, group = np.unique(np.asarray(texts, dtype=object), return_inverse=True)
    else:
        group = np.arange(len(whole))
    order = rng.permutation(group.max(initial=-1) + 1)
    edges = np.round(np.cumsum([0.0, *spec["parts"].values()]) * len(order)).astype(int)
    part_of = np.empty(len(order), dtype=int)
    for number, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        part_of[order[low:high]] = number
    return {split: whole.select(np.flatnonzero(part_of[group] == number)) for number, split in enumerate(spec["parts"])}


def _deduplicate(splits: Mapping[str, Dataset]) -> Dataset:
    """The training split without what it holds twice or dev and test hold, too."""

    def keys(dataset: Dataset) -> list[str]:
        kept = ("id", "subj_type", "obj_type")  # what two copies of one record may differ in
        columns = [c for c in dataset.column_names if c not in kept]
        return [json.dumps([row[c] for c in columns], sort_keys=True) for row in dataset]

    seen = {key for split in ("dev", "test") if split in splits for key in keys(splits[split])}
    keep = []
    for number, key in enumerate(keys(splits["train"])):
        if key not in seen:
            seen.add(key)
            keep.append(number)
    return splits["train"].select(keep)


class Data:
    """A prepared data folder: what `prepare` left. Raises KAdapterError if there is none."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        if not path.is_file():
            raise KAdapterError(f"{self.folder} holds no {MANIFEST}: expected a folder left by notebook 01_build_data")
        self.manifest = json.loads(path.read_text(encoding="utf-8"))

    def _entry(self, dataset: str) -> dict[str, Any]:
        if dataset not in self.manifest["datasets"]:
            raise unknown("dataset", dataset, self.manifest["datasets"])
        return self.manifest["datasets"][dataset]

    def read(self, dataset: str, split: str) -> Dataset:
        """A split of a dataset. Raises KAdapterError for an unknown name."""
        entry = self._entry(dataset)
        if split not in entry["splits"]:
            raise unknown(f"split of {dataset}", split, entry["splits"])
        return catalog.format_module(entry["format"]).read(self.folder / entry["splits"][split]["file"])

    def labels(self, dataset: str) -> list[str]:
        """The label inventory that a head for this dataset has."""
        return self._entry(dataset)["labels"]

    def hash(self, dataset: str) -> str:
        """SHA-256 over the hashes of the dataset's files."""
        return hashlib.sha256(json.dumps(self._entry(dataset)["splits"], sort_keys=True).encode()).hexdigest()

    def table(self):
        """A pandas DataFrame: every dataset with its format, labels and examples per split."""
        import pandas

        return pandas.DataFrame(
            {"dataset": name, "format": e["format"], "labels": len(e["labels"])}
            | {split: e["splits"].get(split, {}).get("examples", 0) for split in SPLITS}
            for name, e in self.manifest["datasets"].items()
        )
