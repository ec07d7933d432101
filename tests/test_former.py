"""What a former version left is read: an adapter, models, runs and a preset made before `kadapter/` became wings
(`tests/former/make.py` says how), with the numbers that the code of that time made of them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from kadapter import KnowledgeAdapter, KnowledgeModel, runs
from kadapter.cases.cases import Cases
from kadapter.cli import main
from kadapter.experiment import preset
from kadapter.experiment.prepared import Data
from kadapter.model.backbone import Backbone
from kadapter.report import report
from tests.former import make

FORMER = Path(make.__file__).parent
EXPECTED = json.loads((FORMER / "expected.json").read_text(encoding="utf-8"))
IDS = torch.tensor(make.IDS)
ROWS = sorted(EXPECTED["logits"])
BOOTSTRAPPED = {
    "ci_low",
    "ci_high",
    "difference_low",
    "difference_high",
    "p",
    "p_holm",
}  # the statistics are others now
close = {"rtol": 0, "atol": 2e-5}  # another processor may add up in another order


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folders as they lay where they were made, which is the current folder."""
    for name in ("backbone", "raw", "runs"):
        shutil.copytree(FORMER / name, tmp_path / name)
    shutil.copy(FORMER / "tiny.yaml", tmp_path)
    for path in (tmp_path / "runs").rglob("*.json"):
        path.write_text(path.read_text(encoding="utf-8").replace(make.ELSEWHERE, str(tmp_path)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same(found, expected) -> None:
    """Equal values, numbers up to rounding, whatever is nested in whatever."""
    if isinstance(expected, dict):
        assert found.keys() - {"trained_parameters"} == expected.keys(), "a column that came later"
        for key in expected.keys() - BOOTSTRAPPED:
            same(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-9)
    else:
        assert found == expected


def within(former, now) -> bool:
    """Whether a mapping says all that a former one said, whatever is nested in it."""
    if isinstance(former, dict):
        return all(key in now and within(former[key], now[key]) for key in former)
    return former == now


def test_a_former_adapter_is_loaded_and_gives_the_same_outputs(folder):
    backbone = Backbone("backbone")
    assert backbone.fingerprint == EXPECTED["fingerprint"]
    adapter = KnowledgeAdapter.from_pretrained("runs/tiny/pretrain/F/adapter", backbone)
    mask = torch.ones_like(IDS)
    plugs = list(adapter.config.plug_layers)
    with torch.no_grad():
        states = backbone.hidden_states(IDS, mask, state_indices=plugs)
        found = adapter([states[i] for i in range(len(plugs))], mask)
    torch.testing.assert_close(found, torch.tensor(EXPECTED["adapter"]), **close)
    assert adapter.provenance["knowledge"] == "factual" and adapter.provenance["examples"] == 24


def test_a_former_pre_training_head_is_plugged(folder):
    model = KnowledgeModel.from_adapter("runs/tiny/pretrain/F/adapter")
    spans = torch.tensor([[[1, 2], [3, 4]], [[1, 2], [3, 4]]])
    with torch.no_grad():
        found = model(IDS, spans=spans).logits
    torch.testing.assert_close(found, torch.tensor(EXPECTED["pretraining"]), **close)


@pytest.mark.parametrize("name", ROWS)
def test_a_former_model_is_loaded_and_gives_the_same_logits(folder, name):
    model = KnowledgeModel.from_pretrained(f"runs/tiny/finetune/{name}/model")
    with torch.no_grad():
        found = model(IDS, spans=torch.tensor([[[1, 2]], [[2, 4]]])).logits
    torch.testing.assert_close(found, torch.tensor(EXPECTED["logits"][name]), **close)


def test_what_is_saved_again_is_what_a_former_version_saved(folder):
    for name in ROWS:
        former = folder / f"runs/tiny/finetune/{name}/model"
        KnowledgeModel.from_pretrained(former).save_pretrained(folder / "again")
        for part in ("model_config.json", "model.safetensors"):
            before, after = former / part, folder / "again" / part
            if part.endswith(".json"):
                was, now = (json.loads(path.read_text()) for path in (before, after))
                assert within(was, now)  # a newer version may say more
            else:
                assert after.read_bytes() == before.read_bytes()


def test_former_runs_are_found_and_their_rows_are_equal(folder):
    found = runs.find("runs", "tiny")
    assert [result.id for result in found] == EXPECTED["runs"]
    assert next(r for r in found if r.id == "pretrain/F").history[-1]["epoch"] == 2.0
    for name, expected in EXPECTED["report"].items():
        rows = getattr(report, name)("runs", "tiny")
        if not isinstance(rows, list):
            rows = json.loads(rows.to_json(orient="records", double_precision=15))
        same(rows, expected)


def test_results_prints_the_former_rows(folder):
    done = CliRunner().invoke(main.app, ["results", "tiny.yaml", "--json"])
    assert done.exit_code == 0, done.output
    same(json.loads(done.stdout), EXPECTED["results"])


def test_former_cases_and_prepared_data_are_read(folder):
    folders = [f"runs/tiny/finetune/typing-frozen-{model}" for model in ("backbone", "F")]
    cases = Cases.from_runs(folders)
    assert len(cases) == 24 and list(cases.models) == ["backbone", "F"]
    data = Data("runs/tiny/data/all")
    assert len(data.read("facts", "dev")) == len(data.read("mentions", "test")) == 24
    assert data.labels("facts") == ["hates", "knows", "leads", "likes"]


def test_a_former_preset_is_understood(folder):
    loaded = preset.load("tiny.yaml")
    assert loaded["name"] == "tiny" and loaded["knowledge"]["F"]["training"]["epochs"] == 2
