"""The small models that come with the package, so that nothing is trained before the first click: what notebook 00 and
`kadapter demo` show.

They are stages of the presets `notebook` and `probe` with narrower adapters, in float16. `python -m
kadapter.experiment.shipped` (or `make shipped-adapters`) builds them anew; `built.json` says what from, and a test
holds the two together.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment import prepared, preset
from kadapter.experiment.stages import Finetuning, Pretraining
from kadapter.hub.adapter_folder import load_adapter, save_adapter
from kadapter.knowledge import pararel_facts
from kadapter.model.adapter import KnowledgeAdapter
from kadapter.model.backbone import Backbone
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.language import language_model
from kadapter.world import World

FOLDER = Path(__file__).parent / "shipped_models"
BUILT = "built.json"
ROWS = ("backbone", "F")  # models with a head for the task; L is an adapter alone
TASK = "typing"
SPEAKER, FACTS = "smollm2", "facts"  # the language model, and the folder of its adapter
NARROWER = [
    "knowledge.F.adapter.width=64",
    "knowledge.F.adapter.inner=256",
    "knowledge.L.adapter.width=32",
    "knowledge.L.adapter.inner=128",
    *(f"knowledge.{name}.training.bf16=false" for name in ("F", "L")),
    f"tasks.{TASK}.training.bf16=false",
    f"tasks.{TASK}.training.epochs=80",
    "seeds=[0]",
]
"""What is set over the preset `notebook`: sizes that fit a package, a precision that every processor has, and a head
that is trained until it is sure of what it says."""
FEWER = [
    "data.facts.relations=8",
    "data.facts.per_relation=3",
    "data.facts.keep=200",
    *(f"knowledge.F.adapter.{size}" for size in ("width=32", "inner=64", "heads=1")),
    "knowledge.F.training.bf16=false",
    "knowledge.F.training.epochs=30",
    "knowledge.F.task_options={}",
]
"""What is set over the preset `probe`: as many facts as a small adapter holds, read until it holds them."""


def recipe() -> dict[str, Any]:
    """All that the models follow from: the presets' values that are set, the fingerprints of the backbones, and a
    SHA-256 of the sentences about facts."""
    keys = ("data", "datasets", "knowledge", "tasks", "seeds", "fusion", "backbone")
    recipes = {"world": preset.load("notebook", NARROWER), FACTS: preset.load("probe", FEWER)}
    recipes[FACTS]["knowledge"] = {"F": recipes[FACTS]["knowledge"]["F"]}
    with tempfile.TemporaryDirectory() as folder:
        pararel_facts.build(Path(folder), **recipes[FACTS]["data"]["facts"])
        read = digests(Path(folder))["F.jsonl"]
    return {
        name: {key: _set(p[key]) for key in keys} | {"fingerprint": Backbone(p["backbone"]).fingerprint}
        for name, p in recipes.items()
    } | {"read": read}


def _set(value: Any) -> Any:
    """A preset's values without those that say nothing: a new kind of value, left out, changes no model."""
    if isinstance(value, Mapping):
        return {key: _set(each) for key, each in value.items() if each not in (None, False, "", [], {})}
    return value


def questions() -> Dataset:
    """The test examples of the models' task: sentences about entities that no training example mentions."""
    return World(**preset.load("notebook", NARROWER)["data"]["world"]).typing()["test"]


def facts_asked() -> Dataset:
    """What the language model is asked: the facts that its adapter has read, in sentences that it never read."""
    chosen = preset.load("probe", FEWER)["data"]["facts"]
    return pararel_facts.asked(chosen["relations"], chosen["per_relation"])["facts_paraphrase"]


def model(name: str, backbone: Backbone | None = None) -> KnowledgeModel:
    """One of `ROWS`: `backbone` is the frozen backbone with a head, `F` the same with the factual adapter beside it."""
    return KnowledgeModel.from_pretrained(FOLDER / name, backbone)


def speaker(backbone: Backbone | None = None) -> KnowledgeModel:
    """The language model, with the adapter of facts plugged as F. Raises KAdapterError where its package is missing."""
    return language_model(backbone or Backbone(SPEAKER), {"F": FOLDER / FACTS})


def adapter(name: str, backbone: Backbone | None = None) -> KnowledgeAdapter:
    """The adapter F or L."""
    return load_adapter(FOLDER / "F" / "adapters" / "F" if name == "F" else FOLDER / name, backbone)


def build(out: Path = FOLDER) -> Path:
    """Train the models and write them, with `built.json`, into the folder `out`, which is replaced."""
    made_from = recipe()
    with tempfile.TemporaryDirectory() as temporary:
        new = Path(temporary) / "new"
        _build_world(Path(temporary), new)
        _build_facts(Path(temporary), new)
        built = {"recipe": made_from, "files": digests(new)}
        (new / BUILT).write_text(json.dumps(built, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(new, out)
    return out


def _build_world(place: Path, new: Path) -> None:
    """The frozen encoder with a head, the same with F, and L."""
    p = preset.load("notebook", NARROWER)
    shared = {"data": _data(p, place / "world"), "backbone": p["backbone"]}
    adapters = {name: _pretrained(name, entry, shared, place / name) for name, entry in p["knowledge"].items()}
    task = p["tasks"][TASK]
    for row in ROWS:
        finetuning = Finetuning(
            **shared, dataset=task["dataset"], task=task["task"], model=row, regime="frozen", seeds=p["seeds"],
            training=preset.training_for(task, "frozen"), task_options=task["task_options"], adapters=adapters,
        )  # fmt: skip
        finetuning.run(place / row, progress=False)
        _save(finetuning.first, new / row)
    alone = load_adapter(adapters["L"])
    alone.pretraining_head = None
    save_adapter(alone.half(), new / "L")


def _build_facts(place: Path, new: Path) -> None:
    """The adapter of the language model, with its projection."""
    p = preset.load("probe", FEWER)
    shared = {"data": _data(p, place / "told"), "backbone": p["backbone"], "fusion": p["fusion"]}
    entry = {key: value for key, value in p["knowledge"]["F"].items() if key not in shared}
    read = load_adapter(_pretrained("F", entry, shared, place / FACTS))
    assert read.pretraining_head is not None  # its projection is in it
    read.pretraining_head.weights = {name: leaf.half() for name, leaf in read.pretraining_head.weights.items()}
    save_adapter(read.half(), new / FACTS)


def _pretrained(name: str, entry: Mapping[str, Any], shared: Mapping[str, Any], place: Path) -> Path:
    """The folder of an adapter after its pre-training."""
    pretraining = Pretraining(name=name, **shared, **entry)
    pretraining.fit(place, progress=False)
    run = runs.begin(place / "pretrain", stage="pretrain", name=name, parameters={})
    return pretraining.finish(run, pretraining.predict()) / "adapter"


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder but `built.json`, by its path in it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != BUILT)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _data(p: Mapping[str, Any], out: Path) -> prepared.Data:
    out.mkdir(parents=True)
    prepared.prepare(out, p["datasets"], p["data"], preset.roles(p), p["overlap"])
    return prepared.Data(out)


def _save(model: KnowledgeModel | None, folder: Path) -> None:
    if model is None:
        raise KAdapterError("nothing was fine-tuned: the preset `notebook` has no seed")
    for part in (model.fusion, model.head):
        if part is not None:
            part.half()
    for plugged in model.adapters.values():
        plugged.pretraining_head = None
        plugged.half()
    model.save_pretrained(folder)


if __name__ == "__main__":
    print(build())
