"""A folder as a person would have it after a small experiment: finished runs of two models, and a notebook to open."""

import json
from pathlib import Path

import nbformat
from datasets import Dataset

from kadapter import runs
from kadapter.experiment import prepared
from kadapter.experiment.stages import Finetuning
from kadapter.formats import conllu, entity_typing
from kadapter.formats.schemas import TYPING
from kadapter.hub.adapter_folder import save_adapter
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone
from tests import tiny

PRESET = "tiny"
SCRIPT = "<script>window.hacked = true</script> <img src=x onerror='window.hacked = true'> **bold** $x^2$"
NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def make(folder: Path) -> Path:
    """Runs of the models `backbone` and `F` on typing under `folder/runs/tiny`, with a sentence that holds a script
    among their test examples; the case-study notebook on them as `folder/case_study.ipynb`."""
    backbone = tiny.make_backbone(folder / "backbone")
    rows = tiny.typings(48).to_list()
    rows[0]["text"] += f" {SCRIPT}"
    for split, part in (("train", rows[24:]), ("dev", rows[12:24]), ("test", rows[:12])):
        entity_typing.write(Dataset.from_list(part, features=TYPING), _path(folder, f"raw/{split}.json"))
    conllu.write(tiny.trees(12), _path(folder, "raw/trees.conllu"))
    files = {split: f"{split}.json" for split in ("train", "dev", "test")}
    datasets = {
        "mentions": {"format": "entity_typing", "labels": "all", **files},
        "trees": {"format": "conllu", "train": "trees.conllu"},
    }
    run = runs.begin(folder / "runs" / PRESET / "data" / "all", stage="data", name="all", parameters={})
    prepared.prepare(run.folder, datasets, {"path": str(folder / "raw")})
    data = prepared.Data(run.finish(metrics={"examples": len(rows)}))
    adapter = build_adapter(tiny.sizes(), seed=1)
    adapter.provenance = {"name": "F", "knowledge": "factual", "dataset": "mentions", "examples": 24}
    saved = save_adapter(adapter, folder / "F", Backbone(str(backbone))) or folder / "F"
    for model in ("backbone", "F"):
        stage = Finetuning(
            data=data, dataset="mentions", task="typing", model=model, regime="frozen", backbone=str(backbone),
            adapters={"F": saved}, seeds=[0, 1], task_options={"pooling": "mean"},
            training={"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "max_length": 64},
        )  # fmt: skip
        name = f"typing-frozen-{model}"
        out = folder / "runs" / PRESET / "finetune" / name
        run = runs.begin(out, stage="finetune", name=name, parameters={"model": model, "training": {"epochs": 3}})
        stage.run(run.folder, progress=False)
        run.path("notebook.ipynb").write_text(json.dumps(_notebook([f"print('{model}')"])), encoding="utf-8")
        stage.finish(run)
    notebook = nbformat.read(NOTEBOOKS / "04_case_study.ipynb", 4)
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    cell.source += (
        f'\nruns = ["runs/{PRESET}/finetune/typing-frozen-backbone", "runs/{PRESET}/finetune/typing-frozen-F"]'
        f'\nout = "runs/{PRESET}/cases/typing-frozen"'
    )
    nbformat.write(notebook, folder / "case_study.ipynb")
    look = [
        "from widgets import Runs\nbrowser = Runs()\nbrowser",
        "from widgets import DatasetBrowser\n"
        f'data = DatasetBrowser("runs/{PRESET}/data/all", dataset="mentions", split="test")\ndata',
    ]
    (folder / "look.ipynb").write_text(json.dumps(_notebook(look)), encoding="utf-8")
    return folder


def _path(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _notebook(sources: list[str]) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook
