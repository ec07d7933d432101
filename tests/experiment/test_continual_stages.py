"""Kinds of knowledge one after another, in small: a random BERT and three kinds of a tiny world."""

import numpy as np
import pytest
import torch

from kadapter import catalog, runs
from kadapter.errors import KAdapterError
from kadapter.experiment import graph, preset
from kadapter.experiment.continual_stages import Continual
from kadapter.experiment.learners import LEARNERS
from kadapter.experiment.pipeline import Pipeline
from kadapter.experiment.prepared import Data, prepare
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone
from kadapter.report import report
from kadapter.scoring import continual
from tests import tiny

TRAINING = {"epochs": 1, "batch_size": 16, "learning_rate": 3e-3, "max_length": 32, "bf16": False}
KINDS = {
    name: {"knowledge": kind, "dataset": dataset, "task_options": options, "adapter": tiny.SIZES, "training": TRAINING}
    for name, kind, dataset, options in (
        ("A", "factual", "facts_a", {"pooling": "mean"}),
        ("L", "linguistic", "linguistic", {}),
        ("B", "factual", "facts_b", {"pooling": "mean"}),
    )
}  # fmt: skip
ORDERS = [["A", "L", "B"], ["L", "A", "B"]]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    datasets = preset.load("continual")["datasets"]
    names = ("facts_a", "facts_b", "linguistic", "world_typing")
    prepare(
        out,
        {name: datasets[name] for name in names},
        {"world": {"seed": 3, "entities": 96, "groups": 2, "facts_per_entity": 1}},
    )
    return Data(out)


def stage(data, folder, rows, orders=ORDERS, **more):
    task = {"task": "typing", "dataset": "world_typing", "training": {"epochs": 1, "max_length": 32}}
    return Continual(
        data=data, rows=rows, orders=orders, kinds=KINDS, task=task, task_name="typing", backbone=str(folder),
        elastic={"strength": 10.0, "samples": 4}, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def taught(data, tiny_folder, tmp_path_factory):
    """Every row taught in one order, and its run."""
    done = stage(data, tiny_folder, list(catalog.CONTINUAL), orders=ORDERS[:1])
    done.run(progress=False)
    out = tmp_path_factory.mktemp("runs") / "p" / "continual" / "all"
    return done, runs.load(done.finish(runs.begin(out, stage="continual", name="all", parameters={})))


@pytest.fixture(scope="module")
def twice(data, tiny_folder):
    """Three rows taught in two orders."""
    done = stage(data, tiny_folder, ["kadapter", "full", "multitask"])
    done.run(progress=False)
    return done


def test_every_row_has_its_way_to_learn():
    assert tuple(LEARNERS) == catalog.CONTINUAL


def test_after_every_stage_every_kind_and_the_downstream_task_are_scored(taught):
    done, left = taught
    rows = done.rows_of()
    counted = rows.groupby("row", sort=False).size()
    assert tuple(counted.index) == catalog.CONTINUAL
    assert set(counted) == {4 * 4}  # before and after three stages; three kinds and typing
    assert rows["score"].between(0, 1).all()
    assert left.rows == rows.replace({np.nan: None}).to_dict("records")
    assert {f"{row} forgetting" for row in catalog.CONTINUAL} < set(left.metrics)


def test_k_adapter_forgets_exactly_nothing_and_every_answer_stays_bit_by_bit(taught, twice):
    for done in (taught[0], twice):
        rows = done.rows_of()
        own = rows[(rows["row"] == "kadapter") & rows["unchanged"].notna()]
        assert len(own) == len(done.orders) * (1 + 2 + 3) and (own["unchanged"] == 1.0).all()
        found = continual.summary(rows, "typing").set_index(["row", "order"])
        for order in done.orders:
            kept = found.loc[("kadapter", "-".join(order))]
            assert kept["backward_transfer"] == 0.0 and kept["unchanged"] == 1.0
            assert kept["average_accuracy"] == kept["learning_accuracy"]
        for row in set(done.rows) & {"full", "lora", "ewc", "shared"}:
            assert (found.loc[row]["unchanged"] == 0.0).all()


def test_an_adapter_is_trained_once_for_all_orders_and_a_set_of_kinds_once(twice):
    costs = twice.costs_of().set_index(["row", "order", "learned"])
    for row in ("kadapter", "full"):
        first, other = (costs.loc[(row, "-".join(order), "A")] for order in ORDERS)
        assert (first["seconds"] == other["seconds"]) == (row == "kadapter")
    whole = [costs.loc[("multitask", "-".join(order), "B")]["seconds"] for order in ORDERS]
    assert whole[0] == whole[1]


def test_an_order_after_another_starts_from_nothing(data, tiny_folder, twice):
    alone = stage(data, tiny_folder, ["full"], orders=ORDERS[1:]).run(progress=False)
    both = twice.rows_of()
    second = both[(both["order"] == "L-A-B") & (both["row"] == "full")].reset_index(drop=True)
    columns = ["stage", "kind", "score"]
    assert second[columns].equals(alone[columns])


def test_what_each_row_trains_and_keeps(taught, tiny_folder):
    costs = taught[0].costs_of()
    last = costs[(costs["order"] == "A-L-B") & (costs["stage"] == 3)].set_index("row")
    backbone = sum(p.numel() for p in Backbone(tiny_folder).parameters())
    adapter = sum(p.numel() for p in build_adapter(tiny.sizes()).parameters())
    assert last.loc["kadapter", "stored"] == 3 * adapter and last.loc["kadapter", "trained"] == adapter
    assert last.loc["shared", "stored"] == last.loc["shared", "trained"] == adapter
    for row in ("full", "ewc", "multitask"):
        assert last.loc[row, "stored"] == last.loc[row, "trained"] == backbone
    assert 0 < last.loc["lora", "stored"] == last.loc["lora", "trained"] < backbone
    assert last.loc["ewc", "beside"] == 2 * backbone and (last.drop("ewc")["beside"] == 0).all()
    grown = costs[(costs["row"] == "kadapter") & (costs["order"] == "A-L-B")].sort_values("stage")["stored"]
    assert grown.tolist() == [0, adapter, 2 * adapter, 3 * adapter]


def test_other_adapters_beside_its_own_change_no_bit_of_a_kinds_answer(data, tiny_folder, tmp_path):
    done = stage(data, tiny_folder, ["kadapter"])
    learner = done._learner("kadapter", 0, tmp_path)
    batch = done.kinds["A"].test.__getitems__(np.arange(5))
    learner.learn(["A"])
    with torch.no_grad():
        alone = learner.answering("A").eval()(**batch).logits
        own = learner.models["A"].eval()(**batch).logits
    learner.learn(["A", "L"])
    learner.learn(["A", "L", "B"])
    model = learner.answering("A").eval()
    assert list(model.adapters) == ["A", "L", "B"]
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, alone) and torch.equal(alone, own)


def test_what_is_wrong_is_said(data, tiny_folder):
    with pytest.raises(KAdapterError, match="unknown row 'fulll': did you mean 'full'"):
        stage(data, tiny_folder, ["fulll"])
    with pytest.raises(KAdapterError, match=r"orders: found \['A', 'L'\]; expected each of A, L, B once"):
        stage(data, tiny_folder, ["full"], orders=[["A", "L"]])
    with pytest.raises(KAdapterError, match="continual: the key 'task' is missing"):
        preset.load("continual", ["continual={orders: [[A, L]]}"])
    with pytest.raises(KAdapterError, match=r"continual.orders.1: found .*; expected each of A, L once"):
        preset.load("continual", ["continual.orders=[[A, L], [A, A]]"])
    with pytest.raises(KAdapterError, match="unknown knowledge entry 'X'"):
        preset.load("continual", ["continual.orders=[[A, X]]"])


def test_its_place_in_the_graph():
    p = preset.load("continual", ["continual.seeds=[0, 5]", "continual.rows=[kadapter, full]"])
    stages = {s.id: s for s in graph.graph(p)}
    names = [f"continual/{row}-{seed}" for seed in (0, 5) for row in ("kadapter", "full")]
    assert [name for name in stages if name.startswith("continual/")] == names
    assert (
        stages["continual/full-5"].parameters["seeds"] == [5] and stages["report/all"].needs[-1] == "continual/full-5"
    )


def test_the_preset_in_small_through_papermill(tmp_path, tiny_folder):
    sizes = {"plug_layers": [0, 2], "width": 16, "layers": 1, "heads": 2, "inner": 16, "init_std": 0.02}
    small = (
        "data.world={seed: 3, entities: 96, groups: 2, facts_per_entity: 1}",
        f"backbone={tiny_folder}",
        "seeds=[0]",
        "continual.seeds=[0]",
        "continual.orders=[[A, B]]",
        "continual.rows=[kadapter, full]",
        *(f"knowledge.{name}.adapter={sizes}" for name in "ALB"),
        *(f"knowledge.{name}.training.epochs=1" for name in "ALB"),
    )
    ended = Pipeline(preset.load("continual", small), tmp_path, jobs=1, tell=lambda line: None).run()
    page = (ended / "report.html").read_text(encoding="utf-8")
    assert "One kind after another" in page and "K-Adapter: one adapter each" in page
    rows = {(row["model"], row["metric"]): row for row in report.rows(tmp_path, "continual")}
    assert rows["kadapter", "backward transfer"]["mean"] == 0.0
    assert rows["full", "average accuracy"]["n"] == 1 and ("backbone", "f1") in rows
    left = runs.load(tmp_path / "continual" / "continual" / "full-0")
    assert left.orders == ["A-B"] and {cost["learned"] for cost in left.costs} == {"", "A", "B"}
