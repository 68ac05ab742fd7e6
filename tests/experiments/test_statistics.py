from __future__ import annotations

import statistics

import numpy as np
import pytest
from scipy.stats import ttest_rel

from polysense.experiments.statistics import mean_and_std, mean_over_tasks, paired_test


def test_mean_and_deviation_over_seeds():
    scores = [70.1, 72.35, 69.0]
    assert mean_and_std(scores) == (round(statistics.mean(scores), 2), round(statistics.stdev(scores), 2))
    assert mean_and_std([70.1]) == (70.1, None)


def test_the_paired_test_is_scipys():
    ours, reference = [71.0, 74.5, 70.2, 73.3], [70.0, 71.5, 70.9, 70.1]
    result, expected = paired_test(ours, reference), ttest_rel(ours, reference)
    assert result["p"] == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert result["low"] == pytest.approx(interval.low, abs=0.006)
    assert result["high"] == pytest.approx(interval.high, abs=0.006)
    assert result["difference"] == pytest.approx(1.62, abs=0.006)
    assert paired_test(reference, ours)["difference"] == -1 * (result["difference"] or 0)


@pytest.mark.parametrize(("ours", "reference", "difference"), [
    ([71.0], [70.0], 1.0), ([71.0, 72.0], [70.0, 71.0], 1.0), ([70.0, 71.0], [70.0, 71.0], 0.0),
])  # fmt: skip
def test_one_seed_or_equal_differences_have_no_p(ours, reference, difference):
    assert paired_test(ours, reference) == {"difference": difference, "low": None, "high": None, "p": None}


def test_the_mean_over_tasks_counts_each_task_once():
    result = mean_over_tasks([[1.0, 3.0], [4.0], [0.0, 0.0, 3.0]])
    assert result["difference"] == round((2 + 4 + 1) / 3, 2)
    assert result["low"] is not None and result["high"] is not None
    assert result["low"] < result["difference"] < result["high"]
    assert mean_over_tasks([[1.0, 3.0]]) == {"difference": 2.0, "low": None, "high": None, "p": None}


@pytest.mark.parametrize("tasks", [3, 6, 9])
@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0], ids=lambda spread: f"tasks differ by {spread}")
def test_the_interval_over_tasks_and_seeds_covers_what_it_promises(tasks, spread):
    """Gains of 1 point that differ by task and by seed; of the intervals about 95 in 100 hold the 1."""
    generator = np.random.default_rng(tasks)
    held = 0
    for _ in range(600):
        made = 1 + spread * generator.standard_normal((tasks, 1)) + generator.standard_normal((tasks, 3))
        result = mean_over_tasks(made.tolist())
        assert result["low"] is not None and result["high"] is not None
        held += result["low"] <= 1 <= result["high"]
    assert 0.92 < held / 600 < 0.98


def test_a_bootstrap_over_few_tasks_promises_too_much():
    """Why the interval is no bootstrap: with 6 tasks that differ, it holds the truth in 9 cases of 10 at best."""
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        made = 1 + 3 * generator.standard_normal((6, 1)) + generator.standard_normal((6, 3))
        tasks = generator.integers(6, size=(500, 6, 1))
        seeds = generator.integers(3, size=(500, 6, 3))
        low, high = np.quantile(made[tasks, seeds].mean(axis=(1, 2)), [0.025, 0.975])
        held += low <= 1 <= high
    assert held / 400 < 0.92
