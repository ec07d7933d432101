"""The small models that come with the package, so that nothing is trained before the first click: what notebook 00 and
`kadapter demo` show.

They are stages of the preset `notebook` with narrower adapters, in float16. `python -m kadapter.experiment.shipped` (or
`make shipped-adapters`) builds them anew; `built.json` says what from, and a test holds the two together.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment import prepared, preset
from kadapter.experiment.stages import Finetuning, Pretraining
from kadapter.hub.adapter_folder import load_adapter, save_adapter
from kadapter.model.adapter import KnowledgeAdapter
from kadapter.model.backbone import Backbone
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.world import World

FOLDER = Path(__file__).parent / "shipped_models"
BUILT = "built.json"
ROWS = ("backbone", "F")  # models with a head for the task; L is an adapter alone
TASK = "typing"
NARROWER = [
    f"knowledge.{name}.{key}"
    for name in ("F", "L")
    for key in ("adapter.width=64", "adapter.inner=256", "training.bf16=false")
] + [f"tasks.{TASK}.training.bf16=false", f"tasks.{TASK}.training.epochs=80", "seeds=[0]"]
"""What is set over the preset `notebook`: sizes that fit a package, a precision that every processor has, and a head
that is trained until it is sure of what it says."""


def recipe() -> dict[str, Any]:
    """All that the models follow from: the preset's values, and the fingerprint of the backbone."""
    p = preset.load("notebook", NARROWER)
    keys = ("data", "datasets", "knowledge", "tasks", "seeds", "fusion", "backbone")
    return {key: p[key] for key in keys} | {"fingerprint": Backbone(p["backbone"]).fingerprint}


def questions():
    """The test examples of the models' task, a dataset: sentences about entities that no training example mentions."""
    return World(**preset.load("notebook", NARROWER)["data"]["world"]).typing()["test"]


def model(name: str, backbone: Backbone | None = None) -> KnowledgeModel:
    """One of `ROWS`: `backbone` is the frozen backbone with a head, `F` the same with the factual adapter beside it."""
    return KnowledgeModel.from_pretrained(FOLDER / name, backbone)


def adapter(name: str, backbone: Backbone | None = None) -> KnowledgeAdapter:
    """The adapter F or L."""
    return load_adapter(FOLDER / "F" / "adapters" / "F" if name == "F" else FOLDER / name, backbone)


def build(out: Path = FOLDER) -> Path:
    """Train the models and write them, with `built.json`, into the folder `out`, which is replaced."""
    p, made_from = preset.load("notebook", NARROWER), recipe()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        data, new = _data(p, place / "data"), place / "new"
        shared = {"data": data, "backbone": p["backbone"]}
        adapters: dict[str, Path] = {}
        for name, entry in p["knowledge"].items():
            pretraining = Pretraining(name=name, **shared, **entry)
            pretraining.fit(place / name, progress=False)
            run = runs.begin(place / "pretrain" / name, stage="pretrain", name=name, parameters={})
            adapters[name] = pretraining.finish(run, pretraining.predict()) / "adapter"
        task = p["tasks"][TASK]
        for row in ROWS:
            finetuning = Finetuning(
                **shared, dataset=task["dataset"], task=task["task"], model=row, regime="frozen", seeds=p["seeds"],
                training=preset.training_for(task, "frozen"), task_options=task["task_options"], adapters=adapters,
            )  # fmt: skip
            finetuning.run(place / row, progress=False)
            _save(finetuning.first, new / row)
        alone = load_adapter(adapters["L"])
        save_adapter(_small(alone), new / "L")
        built = {"recipe": made_from, "files": digests(new)}
        (new / BUILT).write_text(json.dumps(built, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(new, out)
    return out


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder but `built.json`, by its path in it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != BUILT)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _data(p: Mapping[str, Any], out: Path) -> prepared.Data:
    out.mkdir(parents=True)
    prepared.prepare(out, p["datasets"], p["data"], preset.roles(p))
    return prepared.Data(out)


def _save(model: KnowledgeModel | None, folder: Path) -> None:
    if model is None:
        raise KAdapterError("nothing was fine-tuned: the preset `notebook` has no seed")
    for part in (model.fusion, model.head):
        if part is not None:
            part.half()
    for plugged in model.adapters.values():
        _small(plugged)
    model.save_pretrained(folder)


def _small(adapter: KnowledgeAdapter) -> KnowledgeAdapter:
    """An adapter in float16, without its pre-training head."""
    adapter.pretraining_head = None
    return adapter.half()


if __name__ == "__main__":
    print(build())
