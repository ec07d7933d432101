"""The plan of a preset: stores as large as they become, warnings of what does not fit, and the command."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from kadapter.bench import plan
from kadapter.bench.plan import Estimate, Rates, Sizes
from kadapter.cli import main
from kadapter.experiment import prepared, preset
from kadapter.experiment.graph import graph
from kadapter.experiment.stages import Pretraining
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training import features

FORMER = Path(__file__).resolve().parents[1] / "former"
RATES = Rates(1000.0, 2000.0, 4000.0, 500.0, 900.0, {"adapter": 10, "frozen": 20, "paper": 30}, state=16)


@pytest.fixture
def tiny_preset(tmp_path) -> list[str]:
    """The smallest preset, as a command takes it."""
    for name in ("tiny.yaml", "raw", "backbone"):
        source = FORMER / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    sets = [f"data.path={tmp_path / 'raw'}", f"backbone={tmp_path / 'backbone'}", "models=[F]", "seeds=[0]"]
    return [str(tmp_path / "tiny.yaml"), *(word for value in sets for word in ("--set", value))]


def test_tokens_are_counted_and_a_store_is_as_large_as_planned(tmp_path, tiny_preset):
    p = preset.load(tiny_preset[0], tiny_preset[2::2])
    stages = {stage.id: stage for stage in graph(p)}
    sizes = Sizes(p, tmp_path / "none")
    estimates = plan.of(list(stages.values()), RATES, sizes)
    sizes.close()
    assert sizes.guessed == [] and estimates["data/all"].seconds > 1.0
    data = tmp_path / "data"
    data.mkdir()
    prepared.prepare(data, p["datasets"], {"path": str(tmp_path / "raw")}, preset.roles(p), p["overlap"])
    keys = ("name", "dataset", "knowledge", "backbone", "adapter", "training", "task_options")
    given = {key: stages["pretrain/F"].parameters[key] for key in keys}
    stage = Pretraining(data=prepared.Data(data), **given)
    splits = [stage.split(split) for split in ("train", "dev")]
    tokens = sum(int(split.lengths.sum()) for split in splits)
    import torch

    model = KnowledgeModel(stage.backbone, "concat", {"F": stage.adapter})
    written = sum(features.size_of(model, split, "states", torch.float32) for split in splits)
    state = stage.backbone.hidden_size * 4
    assert estimates["pretrain/F"].disk == tokens * 3 * RATES.state == written // state * RATES.state
    train, dev = (int(split.lengths.sum()) for split in splits)
    expected = plan.OWN + (train + dev) / 1000 + 2 * (train + dev / 3) / 2000
    assert estimates["pretrain/F"].seconds == pytest.approx(expected)
    assert estimates["finetune/typing-paper-F"].memory == 30 and estimates["report/all"].disk == 0


def test_what_will_not_fit_is_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "cache_limit", lambda root: 1e9)
    estimates = {
        "pretrain/F": Estimate(7200.0, memory=10**15, disk=10**10, computes=True),
        "report/all": Estimate(5.0),
    }
    limits = {"pretrain": {"hours": 1.0, "memory": 16.0}}
    told = plan.warnings(estimates, tmp_path, 2, limits)
    assert [line.split(":")[0] for line in told] == ["memory", "disk", "pretrain/F", "pretrain/F"]
    assert "feature stores of 10 GB, and 1 GB are kept" in told[1]
    assert told[3] == "pretrain/F: takes about 2.0 h, resources give it 1 h"
    assert plan.warnings({"report/all": Estimate(5.0)}, tmp_path, 2, limits) == []


def test_the_command_tells_every_stage_before_anything_runs(tmp_path, tiny_preset, monkeypatch, capsys):
    monkeypatch.setattr(plan, "QUICK", 8)
    monkeypatch.setattr(
        sys, "argv", ["kadapter", "plan", *tiny_preset, "--root", str(tmp_path / "runs"), "--jobs", "1"]
    )
    former = tmp_path / "runs" / "tiny" / "pretrain" / "F"
    former.mkdir(parents=True)
    (former / "stage.json").write_text(json.dumps({"seconds": 77.0}))
    with pytest.raises(SystemExit) as ended:
        main.main()
    lines = capsys.readouterr().out.splitlines()
    assert not ended.value.code
    stages = [line for line in lines if line.startswith("run ")]
    assert len(stages) == 5 and all("about" in line for line in stages)
    assert "about 77 s" in stages[1], "as long as it took before"
    assert "memory" in stages[1] and "store" in stages[1]
    assert any(line.startswith("5 of 5 stages to run, in about ") for line in lines)
    assert any("GPU" in line for line in lines)
