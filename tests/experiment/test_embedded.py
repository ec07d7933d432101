"""What the embedded experiment must show, read from the runs that `make run` left; skipped where there are none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kadapter import runs
from kadapter.model.backbone import Backbone
from kadapter.report import report

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def rows():
    found = report.rows(ROOT / "runs", "embedded")
    if len(found) < 13:
        pytest.skip("runs/embedded is not there or not whole: `make run` makes it")
    return {(r["task"], r["regime"], r["model"]): r for r in found}


@pytest.mark.parametrize("task", ["typing", "relation"])
def test_knowledge_not_parameters(rows, task):
    backbone, none, factual = (rows[task, "frozen", m] for m in ("backbone", "none", "F"))
    assert factual["mean"] - backbone["mean"] >= 0.40
    assert abs(none["mean"] - backbone["mean"]) <= 0.05
    table = report.comparisons(ROOT / "runs", "embedded")
    pair = table.query("task == @task and regime == 'frozen' and model == 'F' and against == 'backbone'")
    assert pair["ci_low"].item() > 0.30 and pair["p_holm"].item() < 0.05
    for row in (backbone, none, factual, rows[task, "frozen", "L"], rows[task, "frozen", "F+L"]):
        assert len(row["seeds"]) >= 3 if isinstance(row["seeds"], list) else row["seeds"] >= 3
        assert row["ci_low"] <= row["mean"] <= row["ci_high"]


def test_one_task_with_the_backbone_trained(rows):
    assert rows["typing", "paper", "F"]["mean"] > rows["typing", "paper", "backbone"]["mean"] + 0.2


def test_the_backbone_is_the_same_before_and_after_everything(rows):
    prints = {
        r.backbone_fingerprint
        for r in runs.find(ROOT / "runs", "embedded")
        if r.stage in ("pretrain", "finetune") and r.data.get("model") != "multitask"  # has its own
    }
    assert prints == {Backbone("minilm").fingerprint}


def test_results_are_a_list_on_standard_output_and_nothing_else(rows):
    command = [sys.executable, "-m", "kadapter.cli.main", "results", "embedded", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    listed = json.loads(done.stdout)
    assert {(r["task"], r["regime"], r["model"]) for r in listed} == set(rows)
    expected = "task regime metric model mean std ci_low ci_high seeds n trained_parameters".split()
    assert all(set(r) == set(expected) for r in listed)
