"""Intervals cover what they should, p values are right where they are known, and corrections match hand values."""

import itertools
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kadapter.errors import KAdapterError
from kadapter.scoring import bootstrap, metrics, statistics

ACCURACY = metrics.get("accuracy")


def _counts(right) -> np.ndarray:
    """Counts (seeds, n, 2) of the accuracy from 0 or 1 for each seed and example."""
    right = np.atleast_2d(np.asarray(right, float))
    return np.stack([right, np.ones_like(right)], axis=2)


def test_interval_reports_mean_and_spread_over_seeds():
    result = statistics.interval(_counts([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 1]]), ACCURACY)
    assert result["mean"] == pytest.approx(0.75)
    assert result["std"] == pytest.approx(0.25)  # of 0.75, 0.5, 1.0, with n - 1
    assert (result["seeds"], result["n"]) == (3, 4)
    assert 0.0 <= result["ci_low"] < 0.75 < result["ci_high"] <= 1.0


def test_interval_of_one_seed_is_the_binomial_one():
    n, successes = 400, 280
    result = statistics.interval(_counts([[1] * successes + [0] * (n - successes)]), ACCURACY, resamples=4000)
    half = 1.96 * np.sqrt(0.7 * 0.3 / n)
    assert result["std"] == 0.0
    assert (result["ci_low"], result["ci_high"]) == pytest.approx((0.7 - half, 0.7 + half), abs=0.006)


def test_interval_of_seeds_alone_has_the_width_of_their_standard_error():
    """Ten seeds, each constant over the examples: only seeds vary; the standard error is std / sqrt(seeds), and nine
    degrees of freedom make 2.262 of it."""
    rates = np.linspace(0.3, 0.6, 10)
    counts = np.stack([np.full((50, 10), rates).T, np.ones((10, 50))], axis=2)
    result = statistics.interval(counts, ACCURACY, resamples=20000)
    error = rates.std(ddof=1) / np.sqrt(10)
    assert (result["ci_high"] - result["ci_low"]) / 2 == pytest.approx(2.262 * error, rel=0.05)


def test_interval_of_unanimous_examples_is_a_point():
    result = statistics.interval(_counts(np.ones((3, 20))), ACCURACY)
    assert (result["mean"], result["std"], result["ci_low"], result["ci_high"]) == (1.0, 0.0, 1.0, 1.0)


def test_interval_of_another_value_of_the_metric():
    metric = metrics.get("micro_f1", negative=0)
    counts = metric.per_example([1, 1, 0, 2], [1, 2, 2, 2])[None]
    result = statistics.interval(counts, metric, key="precision")
    assert result["mean"] == pytest.approx(2 / 3)


def test_same_seed_same_interval_and_another_seed_almost():
    counts = _counts(np.random.default_rng(0).integers(0, 2, (3, 300)))
    first, again = statistics.interval(counts, ACCURACY), statistics.interval(counts, ACCURACY)
    other = statistics.interval(counts, ACCURACY, seed=1)
    assert first == again != other
    assert first["ci_low"] == pytest.approx(other["ci_low"], abs=0.01)


def test_chunks_do_not_change_a_result(monkeypatch):
    counts = _counts(np.random.default_rng(0).integers(0, 2, (3, 40)))
    other = _counts(np.random.default_rng(1).integers(0, 2, (3, 40)))
    whole = statistics.interval(counts, ACCURACY), statistics.compare(counts, other, ACCURACY)
    monkeypatch.setattr(bootstrap, "WEIGHTS_AT_ONCE", 40 * 7)
    in_parts = statistics.interval(counts, ACCURACY), statistics.compare(counts, other, ACCURACY)
    assert in_parts[0] == pytest.approx(whole[0]) and in_parts[1]["difference"] == whole[1]["difference"]
    assert in_parts[1]["p"] == pytest.approx(whole[1]["p"], abs=0.05)


def test_identical_systems_have_p_one():
    counts = _counts(np.random.default_rng(0).integers(0, 2, (3, 200)))
    result = statistics.compare(counts, counts.copy(), ACCURACY)
    assert result["difference"] == 0.0 and result["p"] == 1.0
    assert result["ci_low"] <= 0.0 <= result["ci_high"]


def test_clearly_different_systems_have_the_smallest_p():
    good, bad = _counts(np.ones((2, 100))), _counts(np.zeros((2, 100)))
    result = statistics.compare(good, bad, ACCURACY, rounds=999)
    certain = {"difference": 1.0, "ci_low": 1.0, "ci_high": 1.0, "p": 1 / 1000, "p_examples": 1 / 1000}
    assert result == pytest.approx(certain)
    assert statistics.compare(bad, good, ACCURACY, rounds=999)["difference"] == -1.0


def test_p_of_few_differing_examples_is_the_exact_one():
    """a alone is right on 5 examples, b on none, all else equal: 2 of the 32 swaps are as far apart: p = 1/16."""
    a = np.r_[np.ones(5), np.ones(30), np.zeros(30)]
    b = np.r_[np.zeros(5), np.ones(30), np.zeros(30)]
    result = statistics.compare(_counts([a]), _counts([b]), ACCURACY, rounds=20000)
    assert result["p_examples"] == pytest.approx(1 / 16, abs=0.006)


def test_p_is_uniform_when_nothing_differs():
    """Under the null hypothesis a p below 0.1 comes up in about a tenth of experiments."""
    rng = np.random.default_rng(3)
    p = []
    for _ in range(300):
        difficulty = rng.random(100)
        a, b = (_counts([rng.random(100) < difficulty]) for _ in range(2))
        p.append(statistics.compare(a, b, ACCURACY, resamples=200, rounds=199)["p"])
    assert 0.04 <= np.mean(np.array(p) <= 0.1) <= 0.16


def test_paired_interval_is_narrower_than_the_unpaired_would_be():
    rng = np.random.default_rng(0)
    shared = rng.random(500) < 0.5
    better = shared | (rng.random(500) < 0.1)
    result = statistics.compare(_counts([better]), _counts([shared]), ACCURACY)
    assert result["ci_low"] > 0.0
    assert result["ci_high"] - result["ci_low"] < 0.06  # unpaired: 2 * 1.96 * sqrt(2 * 0.25 / 500) = 0.12


def test_differences_of_a_ratio_metric_are_swapped_in_the_counts():
    metric = metrics.get("micro_f1", negative=0)
    gold = np.tile([0, 1, 2, 3], 50)
    a = metric.per_example(gold, gold)[None]
    b = metric.per_example(np.zeros_like(gold), gold)[None]
    result = statistics.compare(a, b, metric, rounds=500)
    assert result["difference"] == 1.0 and result["p_examples"] == pytest.approx(1 / 501)


def test_holm_by_hand():
    # sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 gives 0.02, 0.03, 0.06, 0.04; the last is raised to 0.06
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0]
    assert statistics.holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_order_and_never_helps(p):
    adjusted = statistics.holm(p)
    assert all(before <= after <= 1.0 for before, after in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 30), st.integers(0, 2**16))
def test_interval_is_around_and_within_bounds(seeds, n, seed):
    counts = _counts(np.random.default_rng(seed).integers(0, 2, (seeds, n)))
    result = statistics.interval(counts, ACCURACY, resamples=100, seed=seed)
    assert 0.0 <= result["ci_low"] <= result["ci_high"] <= 1.0


def _exact_p(a: np.ndarray, b: np.ndarray, metric: metrics.Metric) -> float:
    """The share of all 2^n swaps of whole examples (all seeds together) that are as far apart as what was observed."""

    def distance(left: np.ndarray, right: np.ndarray) -> float:
        score = [np.mean([metric.reduce(c.sum(axis=0))[metric.primary] for c in side]) for side in (left, right)]
        return abs(score[0] - score[1])

    observed, as_far, n = distance(a, b), 0, a.shape[1]
    for swaps in itertools.product((False, True), repeat=n):
        chosen = np.array(swaps)[None, :, None]
        as_far += distance(np.where(chosen, b, a), np.where(chosen, a, b)) >= observed - 1e-12
    return as_far / 2**n


@pytest.mark.parametrize("seed", range(4))
def test_p_is_that_of_every_permutation(seed):
    """Nine examples, two seeds, F1 without the negative label: a ratio, where counts and not scores must be swapped."""
    rng = np.random.default_rng(seed)
    metric = metrics.get("micro_f1", negative=0)
    gold = rng.integers(0, 3, 9)
    a, b = (
        np.stack([metric.per_example(np.where(rng.random(9) < rate, gold, rng.integers(0, 3, 9)), gold) for _ in "ab"])
        for rate in (0.8, 0.2)
    )
    p = statistics.compare(a, b, metric, resamples=10, rounds=20000, seed=seed)["p_examples"]
    exact = _exact_p(a, b, metric)
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20000) + 1e-4)


def test_slices():
    counts = {"backbone": _counts([[0, 0, 0, 0], [1, 0, 0, 0]]), "F": _counts([[1, 1, 0, 0], [1, 0, 0, 0]])}
    seen = np.array([True, True, False, False])
    frame = statistics.slices(counts, ACCURACY, {"seen": seen, "unseen": ~seen, "none": np.zeros(4, bool)})
    assert frame["slice"].tolist() == ["seen", "seen", "unseen", "unseen", "none", "none"]
    assert frame["model"].tolist() == ["backbone", "F"] * 3
    assert frame["n"].tolist() == [2, 2, 2, 2, 0, 0] and frame["seeds"].tolist() == [2] * 6
    assert frame["mean"].tolist()[:4] == [0.25, 0.75, 0.0, 0.0] and frame["mean"][4:].isna().all()
    assert frame["std"][1] == pytest.approx(np.std([1.0, 0.5], ddof=1))
    assert frame["difference"].tolist()[1:4:2] == [0.5, 0.0]  # F less backbone
    assert frame["difference"][[0, 2, 4, 5]].isna().all()


def test_a_slice_of_everything_is_the_whole():
    """The whole set as one slice: the interval and the paired difference that the other functions give."""
    rng = np.random.default_rng(4)
    counts = {name: _counts(rng.integers(0, 2, (3, 80))) for name in ("backbone", "F")}
    frame = statistics.slices(counts, ACCURACY, {"all": np.ones(80, bool)}).set_index("model")
    for name, array in counts.items():
        assert frame.loc[name, list(interval := statistics.interval(array, ACCURACY))].to_dict() == interval
    paired = statistics.compare(counts["F"], counts["backbone"], ACCURACY, rounds=10)
    row = frame.loc["F"]
    assert row["difference"] == pytest.approx(paired["difference"])
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((paired["ci_low"], paired["ci_high"]))


def test_slices_without_a_backbone_have_no_differences_and_seeds_may_differ():
    counts = {"none": _counts([[1, 0, 1]]), "F": _counts([[1, 1, 1], [1, 0, 1]])}
    everything = {"all": np.ones(3, bool)}
    assert statistics.slices(counts, ACCURACY, everything)["difference"].isna().all()
    against = statistics.slices(counts, ACCURACY, everything, against="none")
    assert against["difference"].tolist()[1] == pytest.approx(5 / 6 - 2 / 3) and against["seeds"].tolist() == [1, 2]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(2, 24), st.integers(0, 2**16))
def test_slices_that_partition_add_up_to_the_whole(seeds, n, seed):
    rng = np.random.default_rng(seed)
    counts, part = _counts(rng.integers(0, 2, (seeds, n))), rng.integers(0, 3, n)
    frame = statistics.slices({"F": counts}, ACCURACY, {k: part == k for k in range(3)}, resamples=20)
    assert frame["n"].sum() == n
    assert (frame["mean"].fillna(0) * frame["n"]).sum() / n == pytest.approx(counts[..., 0].mean())
    order = rng.permutation(n)  # in another order, the same scores
    moved = statistics.slices({"F": counts[:, order]}, ACCURACY, {k: part[order] == k for k in range(3)}, resamples=20)
    pd.testing.assert_series_equal(moved["mean"], frame["mean"])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: statistics.interval(np.zeros((0, 5, 2)), ACCURACY), "accuracy: nothing to score: 0 seeds with 5"),
        (lambda: statistics.interval(np.zeros((2, 0, 2)), ACCURACY), "accuracy: nothing to score: 2 seeds with 0"),
        (
            lambda: statistics.compare(np.ones((2, 5, 2)), np.ones((2, 4, 2)), ACCURACY),
            r"needs the same seeds and examples: found .* \(2, 5, 2\) and \(2, 4, 2\)",
        ),
        (
            lambda: statistics.slices({"F": np.ones((1, 5, 2))}, ACCURACY, {"x": np.ones(3, bool)}),
            "'x' has 3 marks for 5",
        ),
        (
            lambda: statistics.slices({"F": np.ones((1, 5, 2)), "L": np.ones((1, 4, 2))}, ACCURACY, {}),
            r"need the same examples for every model: found counts \(n, k\) of \[\(4, 2\), \(5, 2\)\]",
        ),
    ],
)
def test_errors_say_what_was_found(make, message):
    with pytest.raises(KAdapterError, match=message):
        make()


def test_a_large_comparison_is_quick():
    """2,000 resamples of 2,700 examples, three seeds, 27 counts (SemEval-2010 Task 8): well below two seconds each."""
    rng = np.random.default_rng(0)
    labels = ["Other", *(f"R{number}(e1,e2)" for number in range(9))]
    metric = metrics.get("semeval", labels=labels)
    a, b = (
        np.stack([metric.per_example(rng.integers(10, size=2700), rng.integers(10, size=2700)) for _ in range(3)])
        for _ in range(2)
    )
    start = time.perf_counter()
    statistics.interval(a, metric)
    statistics.compare(a, b, metric)
    assert time.perf_counter() - start < 8.0  # four times the aim, for a busy machine
