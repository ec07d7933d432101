"""Data prepared for a preset: the world written or real files checked, cut into splits, counted and hashed in one
manifest, so that every later stage reads the same published formats whatever they came from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, concatenate_datasets

from kadapter import catalog, world
from kadapter.data import overlap as overlaps
from kadapter.data import places
from kadapter.errors import KAdapterError, unknown
from kadapter.experiment.preset import as_list
from kadapter.experiment.preset_values import OVERLAP, SPLITS
from kadapter.knowledge import pararel_facts

MANIFEST = "data.json"
OVERLAPS = "overlap.csv"
EXTENSION = {
    "conllu": ".conllu",
    "opennre": ".txt",
    "wiki_et": ".jsonl",
    "semeval": ".txt",
    "figer_gold": ".tsv",
    "cosmosqa": ".jsonl",
    "openqa": ".txt",
    "lama": ".jsonl",
    "cloze": ".jsonl",
    "linked_cloze": ".jsonl",
    "text": ".txt",
    "triples": ".txt",
    "graph_text": ".txt",
    "wordnet": ".jsonl",
    "conceptnet": ".csv",
    "ernie_wiki": "-token.txt",
}  # others are .json


def prepare(
    out: Path,
    datasets: Mapping[str, Mapping[str, Any]],
    source: Mapping[str, Any],
    roles: Mapping[str, Sequence[str]] | None = None,
    overlap: str = "remove",
) -> dict[str, Any]:
    """Make a preset's data ready under the folder `out` and write its manifest there.

    Args:
        datasets: the preset's `datasets` section (see `kadapter.experiment.preset`).
        source: its `data` section: `{"world": {...}}`, `{"facts": {...}}` or `{"path": FOLDER}`.
        roles: which datasets adapters learn from and which they are tested on (`preset.roles`); None compares nothing.
        overlap: `remove` what the former share with the latter's dev and test (`kadapter.data.overlap`), or `keep` it.

    Returns the manifest: per dataset its format, label inventory, and per split the file, number of examples and
    SHA-256; and what knowledge and downstream sets share, which `overlap.csv` holds, too. Files are written only where
    splits are cut, joined, deduplicated or lose examples; others are named where they lie.

    Raises KAdapterError for what is missing, empty or broken, and for a label in dev or test that train lacks.
    """
    if overlap not in OVERLAP:
        raise unknown("overlap", overlap, OVERLAP)
    if "world" in source:
        root = out / "world"
        world.build(root, **(source["world"] or {}))
    elif "facts" in source:
        root = out / "facts"
        pararel_facts.build(root, **(source["facts"] or {}))
    else:
        root = Path(source["path"]).expanduser()
    read = {name: _read(name, spec, root) for name, spec in datasets.items()}
    labels = {name: _labels(name, splits, datasets[name]) for name, (splits, _) in read.items()}
    roles = roles or {"knowledge": [], "downstream": []}
    splits_of = {name: splits for name, (splits, _) in read.items()}
    changed, counted = overlaps.remove(splits_of, roles["knowledge"], roles["downstream"], keep=overlap == "keep")
    manifest: dict[str, Any] = {"source": dict(source), "datasets": {}, "overlap": {"rule": overlap, "rows": counted}}
    for name, (splits, files) in read.items():
        lost = changed.get(name, {})
        entry = _entry(out, name, datasets[name]["format"], splits | lost, files | dict.fromkeys(lost))
        manifest["datasets"][name] = entry | {"labels": labels[name]}
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    if counted:
        _table(counted).to_csv(out / OVERLAPS, index=False)
    return manifest


def _read(name: str, spec: Mapping[str, Any], root: Path) -> tuple[dict[str, Dataset], dict[str, Path | None]]:
    """The splits of a dataset, and the file of each that stands in one as it is."""
    module = catalog.format_module(spec["format"])
    more = {"texts": [_text(root, file) for file in as_list(spec["texts"])]} if spec.get("texts") else {}
    splits: dict[str, Dataset] = {}
    files: dict[str, Path | None] = {}

    def joined(named: Sequence[str]) -> tuple[Dataset, list[Path]]:
        base, found = places.locate(root, spec, named)
        paths = list(dict.fromkeys(file or base / each for each, file in zip(named, found, strict=True)))
        parts = [module.read(path, **more) for path in paths]
        return parts[0] if len(parts) == 1 else concatenate_datasets(parts), paths

    for split in SPLITS:
        if named := as_list(spec.get(split)):
            splits[split], paths = joined(named)
            files[split] = paths[0] if len(paths) == 1 and not more else None  # with texts it is written anew
    if "split" in spec:
        cut = _cut(joined(as_list(spec["split"]["from"]))[0], spec["split"])
        splits |= cut
        files |= dict.fromkeys(cut)
    if spec.get("deduplicate"):
        splits["train"] = _deduplicate(splits)
        files["train"] = None
    for split, dataset in splits.items():
        if not len(dataset):
            where = files[split] or spec.get("split") or root
            raise KAdapterError(f"dataset '{name}': split {split} has no examples ({where})")
    return splits, files


def _text(root: Path, name: str) -> Path:
    """A file that says what names mean. Raises KAdapterError if it is not there."""
    found = places.matching(root, name)
    if not found:
        raise KAdapterError(f"texts: there is no file {root / name}: expected one that says what names mean")
    return found[0]


def _labels(name: str, splits: Mapping[str, Dataset], spec: Mapping[str, Any]) -> list[str]:
    """The label inventory of a dataset. Raises KAdapterError if it is that of train, and dev or test has another
    label."""
    found = {split: set(label_list(dataset)) for split, dataset in splits.items()}
    if spec.get("labels", "train") == "all" or "train" not in found:  # a probe has test alone
        return sorted(set().union(*found.values()))
    for split, labels in found.items():
        if unseen := sorted(labels - found["train"]):
            more = f" and {len(unseen) - 1} more" if len(unseen) > 1 else ""
            raise KAdapterError(
                f"dataset '{name}': {split} has the label {unseen[0]!r}{more}, which no example of train has: give its "
                f"head the labels of all splits with `labels: all` (--set datasets.{name}.labels=all), or more data"
            )
    return sorted(found["train"])


def _entry(
    out: Path, name: str, format: str, splits: Mapping[str, Dataset], files: Mapping[str, Path | None]
) -> dict[str, Any]:
    """What the manifest says of a dataset; splits without a file of their own are written."""
    entry: dict[str, Any] = {"format": format, "splits": {}}
    for split, dataset in splits.items():
        path = files[split]
        if path is None:
            path = out / name / f"{split}{EXTENSION.get(format, '.json')}"
            path.parent.mkdir(parents=True, exist_ok=True)
            catalog.format_module(format).write(dataset, path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        inside = path.is_relative_to(out)  # the folder is renamed when the run is whole
        place = str(path.relative_to(out)) if inside else str(path.absolute())
        entry["splits"][split] = {"file": place, "examples": len(dataset), "sha256": digest}
    return entry


def _table(counted: Sequence[Mapping[str, Any]]):
    import pandas

    columns = ["knowledge", "split", "downstream", "part"]
    columns += [name for kind in overlaps.KINDS for name in (kind, f"{kind}_of_part")]
    return pandas.DataFrame(counted, columns=[*columns, "removed"])


def label_list(dataset: Dataset) -> list[str]:
    """The sorted distinct labels of a dataset; [] for a schema that has none."""
    if "labels" in dataset.column_names:
        found = pc.unique(pc.list_flatten(_column(dataset, "labels"))).to_pylist()
    elif "label" in dataset.column_names and dataset.features["label"].dtype == "string":
        found = pc.unique(_column(dataset, "label")).to_pylist()
    else:
        found = []
    return sorted(found)


def _column(dataset: Dataset, name: str):
    """A column in Arrow, of the rows that were selected alone."""
    return dataset.select_columns([name]).with_format("arrow")[:].column(name)


def label_counts(dataset: Dataset):
    """A pandas DataFrame of a dataset's labels and how many examples have each, most frequent first; empty without
    labels."""
    import pandas

    if not label_list(dataset):
        return pandas.DataFrame({"label": [], "examples": []})
    column = _column(dataset, "labels" if "labels" in dataset.column_names else "label")
    values = pc.list_flatten(column) if "labels" in dataset.column_names else column
    counts = values.to_pandas().value_counts()
    return pandas.DataFrame({"label": counts.index, "examples": counts.to_numpy()})


def _cut(whole: Dataset, spec: Mapping[str, Any]) -> dict[str, Dataset]:
    """A dataset in seeded parts of the given shares; with `by: sentence`, no text (context, set of
    paragraphs) falls in two parts, with `by: class` no label."""
    rng = np.random.default_rng(spec.get("seed", 0))
    if spec.get("by", "example") == "sentence":
        column = next(c for c in ("text", "words", "context", "paragraphs") if c in whole.column_names)
        texts = [t if isinstance(t, str) else " ".join(t) for t in whole[column]]
        _, group = np.unique(np.asarray(texts, dtype=object), return_inverse=True)
    elif spec.get("by") == "class":
        _, group = np.unique(np.asarray(whole["label"], dtype=object), return_inverse=True)
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

    def splits(self, dataset: str) -> list[str]:
        """The splits that a dataset has."""
        return list(self._entry(dataset)["splits"])

    def labels(self, dataset: str) -> list[str]:
        """The label inventory that a head for this dataset has."""
        return self._entry(dataset)["labels"]

    def hash(self, dataset: str) -> str:
        """SHA-256 over the hashes of the dataset's files."""
        return hashlib.sha256(json.dumps(self._entry(dataset)["splits"], sort_keys=True).encode()).hexdigest()

    def overlap(self):
        """A pandas DataFrame of what each knowledge split shares with each downstream part, and how many examples it
        lost for it (`kadapter.data.overlap.remove`): the rows in which something is shared."""
        found = _table(self.manifest.get("overlap", {}).get("rows", ()))
        return found[(found[list(overlaps.KINDS)] > 0).any(axis=1)].reset_index(drop=True)

    def table(self):
        """A pandas DataFrame: every dataset with its format, labels and examples per split."""
        import pandas

        return pandas.DataFrame(
            {"dataset": name, "format": e["format"], "labels": len(e["labels"])}
            | {split: e["splits"].get(split, {}).get("examples", 0) for split in SPLITS}
            for name, e in self.manifest["datasets"].items()
        )
