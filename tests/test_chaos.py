"""The campaigns of faults in short (docs/reliability.md): a few kills, damaged files and bad records each; and the
journal that lets a campaign that was stopped go on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_kills_and_damaged_files_in_short(tmp_path):
    assert "infuse: 2 faults in 1 trials" in campaign(tmp_path, "infuse", "--goal", "2")
    assert "damage: 25 faults in 1 trials" in campaign(tmp_path, "damage", "--goal", "25")
    seeds = [(trial.campaign, trial.seed) for trial in Journal(tmp_path / "journal.jsonl").trials()]
    assert seeds == [("infuse", 0), ("damage", 0)]
    campaign(tmp_path, "damage", "--goal", "25")  # what is done is not done again
    assert len(list(Journal(tmp_path / "journal.jsonl").trials())) == 2


@pytest.mark.parametrize("seed", range(3))
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
