"""The hierarchical bootstrap: simulated experiments whose truth is known, and quantities that can be worked out."""

import numpy as np
import pytest

from kadapter.errors import KAdapterError
from kadapter.scoring import bootstrap, metrics, statistics

ACCURACY = metrics.get("accuracy")
TRUTH = 0.6

# pre-trainings, fine-tunings of each, test examples; standard deviations of what each adds to the chance of being right
EXPERIMENTS = {
    "all_vary": (3, 1, 300, {"pretraining": 0.05, "finetuning": 0.02, "examples": 0.15}),
    "pretraining_is_most": (3, 1, 600, {"pretraining": 0.05, "finetuning": 0.01, "examples": 0.1}),
    "nested": (3, 2, 300, {"pretraining": 0.04, "finetuning": 0.04, "examples": 0.15}),
    "five": (5, 1, 300, {"pretraining": 0.05, "finetuning": 0.02, "examples": 0.15}),
    "examples_are_most": (3, 1, 200, {"pretraining": 0.01, "finetuning": 0.01, "examples": 0.18}),
}


def _experiment(rng: np.random.Generator, groups: int, each: int, n: int, spread: dict[str, float]) -> np.ndarray:
    """Counts (groups * each, n, 2) of the accuracy of trained models, whose expectation is `TRUTH`."""
    chance = TRUTH + spread["examples"] * rng.uniform(-1.7, 1.7, size=(1, 1, n))
    chance = chance + spread["pretraining"] * rng.normal(size=(groups, 1, 1))
    chance = chance + spread["finetuning"] * rng.normal(size=(groups, each, 1))
    right = (rng.random((groups, each, n)) < chance).astype(float).reshape(groups * each, n)
    return np.stack([right, np.ones_like(right)], axis=2)


def _seeds(groups: int, each: int) -> list[int]:
    return [group for group in range(groups) for _ in range(each)]


def test_intervals_cover_the_truth_in_95_of_100_experiments():
    """93 to 97% of all, and no kind of experiment is far out (400 trials: a standard error of 1.1 points)."""
    trials, covered = 400, {}
    for name, (groups, each, n, spread) in EXPERIMENTS.items():
        rng, hits = np.random.default_rng(5), 0
        for trial in range(trials):
            counts = _experiment(rng, groups, each, n, spread)
            found = statistics.interval(counts, ACCURACY, resamples=200, seed=trial, pretrainings=_seeds(groups, each))
            hits += found["ci_low"] <= TRUTH <= found["ci_high"]
        covered[name] = hits / trials
    assert 0.93 <= np.mean(list(covered.values())) <= 0.97, covered
    assert all(0.915 <= share <= 0.985 for share in covered.values()), covered


def test_intervals_of_differences_cover_and_tests_keep_their_level():
    """Two rows on the same examples that do not differ in expectation, each with pre-trainings of its own: the interval
    holds zero in 93 to 98% of experiments, and p below 0.05 is about as rare as it says."""
    groups, each, n, spread = EXPERIMENTS["all_vary"]
    trials, hits, false = 400, 0, 0
    rng = np.random.default_rng(6)
    for trial in range(trials):
        both = _experiment(rng, 2 * groups, each, n, spread)  # the first half of them is one row, examples are shared
        seeds = _seeds(groups, each)
        found = statistics.compare(
            both[: groups * each], both[groups * each :], ACCURACY, resamples=200, rounds=50, seed=trial,
            pretrainings_a=seeds, pretrainings_b=seeds,
        )  # fmt: skip
        hits += found["ci_low"] <= 0.0 <= found["ci_high"]
        false += found["p"] <= 0.05
    assert 0.92 <= hits / trials <= 0.985
    assert false / trials <= 0.07


def test_one_pretraining_is_none():
    """Of a single pre-training nothing is known of another: fine-tunings are the units, as without any."""
    counts = _experiment(np.random.default_rng(0), 1, 3, 100, EXPERIMENTS["nested"][3])
    assert statistics.interval(counts, ACCURACY, pretrainings=[4, 4, 4]) == statistics.interval(counts, ACCURACY)


def test_fine_tunings_of_one_pretraining_are_one_unit():
    counts = _experiment(np.random.default_rng(0), 3, 2, 100, EXPERIMENTS["nested"][3])
    units = bootstrap.units(counts, ACCURACY, None, 10, 0, pretrainings=[0, 0, 1, 1, 2, 2])
    values = counts[..., 0].mean(axis=1).reshape(3, 2).mean(axis=1)
    np.testing.assert_allclose(units.values, values)
    assert units.drawn.shape == (10, 3)
    assert units.own == pytest.approx(values.var(ddof=1) / 3)


def test_more_fine_tunings_of_one_pretraining_do_not_narrow_the_interval():
    """Nine fine-tunings on three pre-trainings know three pre-trainings: an interval that took them for nine would be
    much too narrow."""
    spread = {"pretraining": 0.1, "finetuning": 0.0, "examples": 0.0}
    counts = _experiment(np.random.default_rng(2), 3, 3, 1000, spread)
    nested = statistics.interval(counts, ACCURACY, pretrainings=_seeds(3, 3))
    flat = statistics.interval(counts, ACCURACY)
    assert nested["mean"] == pytest.approx(flat["mean"])
    assert nested["ci_high"] - nested["ci_low"] > 1.5 * (flat["ci_high"] - flat["ci_low"])


def test_components_are_those_that_were_put_in():
    """60 pre-trainings of four fine-tunings each, 4,000 examples."""
    spread = {"pretraining": 0.06, "finetuning": 0.03, "examples": 0.2}
    counts = _experiment(np.random.default_rng(3), 60, 4, 4000, spread)
    found = statistics.components(counts, ACCURACY, resamples=300, pretrainings=_seeds(60, 4))
    of_examples = spread["examples"] * 3.4 / np.sqrt(12) / np.sqrt(4000)  # a uniform one of width 3.4 spread
    assert found["pretraining"] == pytest.approx(0.06, rel=0.2)
    assert found["finetuning"] == pytest.approx(0.03, rel=0.1)
    assert found["examples"] == pytest.approx(of_examples, rel=0.15)


def test_components_say_what_was_not_varied():
    counts = _experiment(np.random.default_rng(3), 3, 1, 100, EXPERIMENTS["all_vary"][3])
    together = statistics.components(counts, ACCURACY, pretrainings=[0, 1, 2])
    assert np.isnan(together["finetuning"]) and together["pretraining"] == pytest.approx(
        counts[..., 0].mean(axis=1).std(ddof=1)
    )
    none = statistics.components(counts, ACCURACY)
    assert np.isnan(none["pretraining"]) and none["finetuning"] == together["pretraining"]
    single = statistics.components(counts[:1], ACCURACY)
    assert np.isnan(single["pretraining"]) and np.isnan(single["finetuning"]) and single["examples"] > 0


def test_a_pretraining_for_each_fine_tuning_is_asked_for():
    counts = _experiment(np.random.default_rng(3), 3, 1, 100, EXPERIMENTS["all_vary"][3])
    with pytest.raises(KAdapterError, match="pretrainings: found 2 for 3 fine-tunings; expected one for each"):
        statistics.interval(counts, ACCURACY, pretrainings=[0, 1])
