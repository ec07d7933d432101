"""Threads: who decides their number, how they wait, and what waiting awake costs beside a busy core."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kadapter.errors import KAdapterError
from kadapter.machine import threads
from kadapter.machine.threads import THREADS

NAMES = (THREADS, "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.fixture(autouse=True)
def nothing_decided(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_used", {})


def asked(code: str, **variables: str) -> dict:
    """What a fresh process prints as JSON."""
    environment = {k: v for k, v in os.environ.items() if k not in NAMES} | variables
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return json.loads(ran.stdout)


def test_one_variable_decides_then_openmps_then_the_free_cores(monkeypatch):
    monkeypatch.setattr(threads, "available", lambda: 8)
    for busy, free in ((0.2, 8), (2.6, 5), (7.9, 1), (20.0, 1)):
        monkeypatch.setattr(threads, "busy_cores", lambda busy=busy: busy)
        number, why = threads.decide()
        assert number == free and f"{busy:.1f} of 8 cores busy" in why
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads.decide() == (3, "OMP_NUM_THREADS=3")
    monkeypatch.setenv(THREADS, "2")
    assert threads.decide() == (2, "KADAPTER_THREADS=2")
    for wrong in ("0", "two", "-1"):
        monkeypatch.setenv(THREADS, wrong)
        with pytest.raises(KAdapterError, match=f"KADAPTER_THREADS: found '{wrong}'; expected auto, or 1 or more"):
            threads.decide()


def test_processes_side_by_side_share_the_cores(monkeypatch):
    monkeypatch.setattr(threads, "available", lambda: 8)
    assert threads.share(2) == {THREADS: "4", "OMP_NUM_THREADS": "4"}
    assert threads.share(20)[THREADS] == "1"
    monkeypatch.setenv(THREADS, "5")
    assert threads.share(2) == {THREADS: "5", "OMP_NUM_THREADS": "5"}


def test_a_containers_quota_is_no_more_than_its_cores(tmp_path):
    file = tmp_path / "cpu.max"
    file.write_text("150000 100000\n")
    assert threads._quota(file) == 1.5
    file.write_text("max 100000\n")
    assert threads._quota(file) is None and threads._quota(tmp_path / "none") is None


def test_torch_computes_with_that_many_and_waits_asleep():
    code = (
        "import json, os; from kadapter.machine import threads; import torch; number = threads.use();"
        "print(json.dumps([number, torch.get_num_threads(), os.environ['OMP_WAIT_POLICY'], threads.told()]))"
    )
    number, of_torch, policy, told = asked(code, KADAPTER_THREADS="1")
    assert (number, of_torch, policy) == (1, 1, "PASSIVE")
    assert told == "1 (KADAPTER_THREADS=1); threads that wait sleep"
    kept = "import json, os, kadapter; print(json.dumps(dict(os.environ)))"
    assert "GOMP_SPINCOUNT" not in asked(kept, OMP_WAIT_POLICY="ACTIVE"), "what the user says is left alone"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have another OpenMP")
def test_waiting_beside_busy_cores_takes_no_time():
    """Processor time of small products by two threads while every core is busy: awake they take several times more."""
    code = """
import json, os, subprocess, sys, time
busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
try:
    import kadapter, torch
    torch.set_num_threads(2)
    a = torch.randn(400, 400)
    end, began, done = time.perf_counter() + 2, time.process_time(), 0
    while time.perf_counter() < end:
        (a @ a).relu().sum()
        done += 1
    print(json.dumps({"seconds": (time.process_time() - began) / done}))
finally:
    for process in busy:
        process.kill()
"""
    asleep = asked(code, PYTHONPATH=str(Path(__file__).resolve().parents[2]))["seconds"]
    awake = asked(code, OMP_WAIT_POLICY="ACTIVE", PYTHONPATH=str(Path(__file__).resolve().parents[2]))["seconds"]
    assert awake > 1.5 * asleep
