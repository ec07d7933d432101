"""The campaigns of faults in short (docs/reliability.md): a few kills, damaged files and bad records each; and the
journal that lets a campaign that was stopped go on."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from kadapter import KnowledgeAdapter
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone
from tests import tiny
from tests.chaos import damage
from tests.chaos.fuzz import Fuzz
from tests.chaos.journal import Journal, Trial

ROOT = Path(__file__).resolve().parents[1]


def campaign(folder: Path, *arguments: str) -> str:
    """What a campaign prints; it finds everything as promised."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *arguments, "--folder", str(folder)],
        cwd=ROOT, env=os.environ | {"KADAPTER_CHAOS_KILLS": "2"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


@pytest.mark.timeout(900)  # a dozen processes begin, one after the other
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_kills_in_short(tmp_path):
    assert "infuse: 2 faults in 1 trials" in campaign(tmp_path, "infuse", "--goal", "2")
    assert [(trial.campaign, trial.seed) for trial in Journal(tmp_path / "journal.jsonl").trials()] == [("infuse", 0)]
    campaign(tmp_path, "infuse", "--goal", "2")  # what is done is not done again
    assert len(list(Journal(tmp_path / "journal.jsonl").trials())) == 1


def test_damaged_files_in_short(tiny_folder, tmp_path):
    adapter = build_adapter(tiny.sizes())
    folder = adapter.save_pretrained(tmp_path / "F", Backbone(tiny_folder))
    rng = random.Random(0)
    for name in ("adapter.safetensors", "adapter_config.json"):
        whole = (folder / name).read_bytes()
        for how in damage.OPTIONS * 4:
            damage.damage(folder / name, how, rng)
            said = damage.told(lambda: KnowledgeAdapter.from_pretrained(folder))
            assert said == "" or (said is None and name.endswith(".json")), (name, how)
            (folder / name).write_bytes(whole)


@pytest.mark.parametrize("seed", range(2))
def test_bad_input_in_short(tmp_path, seed):
    counts, found = Fuzz(tmp_path)(seed)
    assert sum(counts.values()) > 100 and found == []


def test_a_journal_that_a_kill_has_cut_goes_on(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(Trial("embedded", 0, {"stage": 3}))
    journal.path.write_bytes(journal.path.read_bytes() + b'{"campaign": "embed')
    journal.add(Trial("embedded", 1, {"stage": 2, "kernel": 1}, ["x"], 1.5))
    assert [trial.seed for trial in journal.trials("embedded")] == [0, 1]
    assert journal.faults("embedded") == {"stage": 5, "kernel": 1} and journal.done("embedded") == {0, 1}
    assert json.loads(journal.path.read_text().splitlines()[-1])["found"] == ["x"]
