"""The forecast of an execution: chains, shares, and a clock that learns how fast the machine is."""

import json

import pytest

from kadapter import runs
from kadapter.experiment import preset, progress
from kadapter.experiment.graph import Stage, graph
from kadapter.experiment.progress import SECONDS, Forecast


@pytest.fixture
def forecast(tmp_path, monkeypatch):
    """Two chains, a (4) -> c (2) and b (1) -> c, as a first execution sees them."""
    monkeypatch.setattr(progress, "guess", lambda stage: {"a": 4.0, "b": 1.0, "c": 2.0}[stage.name])
    stages = [Stage("n", "x", "a"), Stage("n", "x", "b"), Stage("n", "x", "c", needs=("x/a", "x/b"))]
    return Forecast(stages, tmp_path)


def test_chains_hold_all_that_waits(forecast):
    assert [forecast.chain(stage) for stage in forecast.stages.values()] == [6.0, 3.0, 2.0]


def test_time_left_is_the_longest_chain_or_the_work_by_the_jobs(forecast):
    assert forecast.left({}, jobs=1) == 7.0 and forecast.left({}, jobs=2) == 6.0
    forecast.took["x/b"] = 3.0  # three times as long as expected: so will the others
    assert forecast.left({}, jobs=2) == 18.0 and forecast.share({}) == pytest.approx(1 / 7)
    assert forecast.left({"x/a": 6.0}, jobs=2) == 12.0 and forecast.share({"x/a": 6.0}) == pytest.approx(3 / 7)
    forecast.took |= {"x/a": 12.0, "x/c": 6.0}
    assert forecast.left({}, jobs=2) == 0.0 and forecast.share({}) == 1.0


def test_a_stage_that_takes_longer_than_expected_is_never_quite_done(forecast):
    assert 0 < forecast.share({"x/a": 1000.0}) < 1 and forecast.left({"x/a": 1000.0}, jobs=1) > 0


def test_what_is_kept_counts_as_nothing(forecast):
    forecast.kept |= {"x/a", "x/b"}
    assert forecast.left({}, jobs=2) == 2.0 and forecast.share({}) == 0.0
    forecast.kept.add("x/c")
    assert forecast.share({}) == 1.0


def test_an_earlier_execution_is_believed(tmp_path):
    stages = graph(preset.load("embedded"))
    (tmp_path / "pretrain" / "F").mkdir(parents=True)
    (tmp_path / "pretrain" / "F" / runs.KEY).write_text(json.dumps({"key": "older", SECONDS: 1234.5}))
    weights = Forecast(stages, tmp_path).weights
    assert weights["pretrain/F"] == 1234.5 and all(0 < w < 300 for id_, w in weights.items() if id_ != "pretrain/F")
