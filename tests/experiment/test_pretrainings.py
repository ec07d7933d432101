"""Several pre-trainings in one run, fine-tunings that stand on them in turn, and reports whose intervals cover both."""

import re

import pytest

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment import preset
from kadapter.experiment.graph import graph
from kadapter.experiment.multitask import Multitask
from kadapter.experiment.prepared import Data, prepare
from kadapter.experiment.stages import Finetuning, Pretraining
from kadapter.hub.adapter_folder import load_adapter
from kadapter.model.backbone import fingerprint
from kadapter.report import report
from tests import tiny

TRAINING = {"epochs": 2, "batch_size": 16, "learning_rate": 5e-3, "max_length": 32, "bf16": False}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    prepare(out, preset.load("embedded")["datasets"], {"world": {"seed": 3, "entities": 100}})
    return Data(out)


def pretraining(data, folder, **more):
    values = {
        "name": "F",
        "data": data,
        "dataset": "world_factual",
        "knowledge": "factual",
        "backbone": str(folder),
        "adapter": tiny.SIZES,
        "training": TRAINING,
    }
    return Pretraining(**values | more)


@pytest.fixture(scope="module")
def left(data, tiny_folder, tmp_path_factory):
    """A run of two pre-trainings, seeds 3 and 8."""
    root = tmp_path_factory.mktemp("runs")
    stage = pretraining(data, tiny_folder, seed=3, more_seeds=[8])
    run = runs.begin(root / "p" / "pretrain" / "F", stage="pretrain", name="F", parameters={})
    stage.fit(run.folder, progress=False)
    return stage.finish(run, stage.predict())


def test_each_is_what_it_would_be_alone(left, data, tiny_folder, tmp_path):
    run = runs.load(left)
    assert run.seeds == [3, 8] and set(run.further) == {"8"} and 0 <= run.further["8"]["f1"] <= 1
    both = [load_adapter(left / name) for name in ("adapter", "adapter-1")]
    assert [adapter.provenance["training"]["seed"] for adapter in both] == [3, 8]
    for seed, adapter in zip((3, 8), both, strict=True):
        alone = pretraining(data, tiny_folder, seed=seed)
        alone.fit(tmp_path / str(seed), progress=False)
        assert fingerprint(alone.adapter) == fingerprint(adapter)
    assert fingerprint(both[0]) != fingerprint(both[1])


def test_without_a_store_they_read_the_same_batches(data, tiny_folder, tmp_path):
    """One pass of the backbone for all, and every one is trained: no adapter is as it began, or as another."""
    stage = pretraining(data, tiny_folder, more_seeds=[1], training=TRAINING | {"epochs": 1, "store": False})
    adapters = [model.adapters["F"] for model in stage.models.values()]
    before = [fingerprint(adapter) for adapter in adapters]
    stage.fit(tmp_path, progress=False)
    assert len({*before, *map(fingerprint, adapters)}) == 4
    assert [fitted.best_epoch for fitted in stage.fits.values()] == [1.0, 1.0]
    steps = [[entry["step"] for entry in fitted.history] for fitted in stage.fits.values()]
    assert steps[0] == steps[1]


def finetuning(data, folder, **more):
    values = {
        "data": data,
        "dataset": "world_typing",
        "task": "typing",
        "model": "F",
        "regime": "frozen",
        "backbone": str(folder),
        "training": TRAINING,
        "seeds": [0, 1, 2, 3],
        "none_adapter": tiny.SIZES,
        "pretrainings": 2,
    }
    return Finetuning(**values | more)


def test_fine_tunings_stand_on_the_pretrainings_in_turn(left, data, tiny_folder):
    for model in ("backbone", "none", "F"):
        own = {"pretrainings": 1} if model == "backbone" else {}
        stage = finetuning(data, tiny_folder, model=model, adapters={"F": left}, **own)
        name = f"typing-frozen-{model}"
        run = runs.begin(left.parents[1] / "finetune" / name, stage="finetune", name=name, parameters={})
        stage.run(run.folder, progress=False)
        found = runs.load(stage.finish(run))
        assert found.pretrainings == (None if model == "backbone" else [0, 1, 0, 1])
    plugged = [fingerprint(stage.build(seed).adapters["F"]) for seed in range(4)]
    assert plugged == 2 * [fingerprint(load_adapter(left / name)) for name in ("adapter", "adapter-1")]

    root, name = left.parents[2], left.parents[1].name
    parts = report.components(root, name).set_index("model")
    assert parts["pretrainings"].to_dict() == {"backbone": 0, "none": 2, "F": 2}
    assert parts.loc["F", ["examples", "finetuning", "pretraining"]].notna().all()
    assert parts.loc["backbone", ["examples", "finetuning", "pretraining"]].notna().tolist() == [True, True, False]
    page = report.write_html(root, name, root / "report.html").read_text(encoding="utf-8")
    assert "Where the uncertainty comes from" in page and "No interval covers another processor" in page
    compared = report.comparisons(root, name)
    assert compared["seeds"].tolist() == [4] * len(compared)


def test_a_run_says_what_it_cost(left):
    run = runs.load(left)
    assert 0 < run.processor_seconds and 0.05 < run.peak_memory_gib < 64


def test_backbones_of_several_multitask_trainings(data, tiny_folder, tmp_path):
    parts = {"F": {"knowledge": "factual", "dataset": "world_factual"}}
    stage = Multitask(
        data=data, backbone=str(tiny_folder), parts=parts, training=TRAINING | {"epochs": 1}, more_seeds=[1]
    )
    run = runs.begin(tmp_path / "p" / "pretrain" / "multitask", stage="pretrain", name="multitask", parameters={})
    stage.fit(run.folder, progress=False)
    folder = stage.finish(run, stage.predict())
    assert (folder / "backbone").is_dir() and (folder / "backbone-1").is_dir()
    tuned = finetuning(data, folder, model="multitask")
    read = [tuned.build(seed).backbone.fingerprint for seed in range(4)]
    assert read[0] == read[2] != read[1] == read[3]
    tuned.run(tmp_path / "fits", progress=False)


def test_a_preset_names_them():
    names = ["models=[backbone,none,F,multitask]", "tasks=[typing]", "pretraining_seeds=[0,1,2]"]
    stages = {stage.id: stage.parameters for stage in graph(preset.load("embedded", names))}
    assert (stages["pretrain/F"]["seed"], stages["pretrain/F"]["more_seeds"]) == (0, [1, 2])
    assert stages["pretrain/multitask"]["more_seeds"] == [1, 2]
    found = {name: stages[f"finetune/typing-frozen-{name}"]["pretrainings"] for name in ("backbone", "none", "F")}
    assert found == {"backbone": 1, "none": 3, "F": 3}
    assert stages["finetune/typing-frozen-multitask"]["pretrainings"] == 3
    own = graph(preset.load("embedded", [*names, "knowledge.F.seed=10"]))
    parameters = next(stage.parameters for stage in own if stage.id == "pretrain/F")
    assert (parameters["seed"], parameters["more_seeds"]) == (10, [11, 12])


@pytest.mark.parametrize(
    "name, overrides, message",
    [
        ("embedded", ["pretraining_seeds=[0,1]"], "found 2 for 3 seeds; expected seeds to be a multiple of them"),
        ("embedded", ["pretraining_seeds=[0,0,1]"], "pretraining_seeds: found [0, 0, 1]; expected at least one"),
        ("probe", ["pretraining_seeds=[0,1,2]"], "the pre-trainings that are probed are those of probe.seeds"),
    ],
)
def test_seeds_that_do_not_fit(name, overrides, message):
    with pytest.raises(KAdapterError, match=re.escape(message)):
        preset.load(name, overrides)


def test_fine_tunings_that_cannot_be_dealt(data, tiny_folder, left):
    with pytest.raises(KAdapterError, match="pretrainings: found 3 for 4 seeds; expected a number that divides"):
        finetuning(data, tiny_folder, adapters={"F": left}, pretrainings=3)
