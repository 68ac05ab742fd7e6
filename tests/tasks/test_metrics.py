import math
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import accuracy_score

from polysense.tasks import TASKS, accuracy, compute, spearman
from polysense.tasks.glue import GlueTask
from polysense.training.problems import PROBLEMS

GLUE = [task for task in TASKS.values() if isinstance(task, GlueTask)]


def test_accuracy_is_the_share_of_equal_classes():
    assert accuracy([0, 1, 2, 2], [0, 1, 1, 2]) == 0.75
    assert compute("accuracy", np.array([1, 1]), np.array([0, 0])) == 0.0


def test_spearman_ranks_and_averages_ties():
    assert spearman([1, 10, 100], [1, 2, 3]) == pytest.approx(1.0)
    assert spearman([3.0, 2.0, 1.0], [1, 2, 3]) == pytest.approx(-1.0)
    # Ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4, by hand: covariance 4.5 over sqrt(4.5 * 5).
    assert compute("spearman", [0, 0, 1, 2], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(22.5))


def test_spearman_takes_a_column_of_predictions():
    assert spearman(np.array([[1.0], [2.0], [3.0]]), [1, 2, 3]) == pytest.approx(1.0)


@pytest.mark.parametrize(("predictions", "labels"), [([2, 2, 2], [1, 2, 3]), ([1, 2, 3], [5, 5, 5]), ([1], [1])])
def test_constant_sides_score_zero_without_a_warning(predictions, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert spearman(predictions, labels) == 0.0


@pytest.mark.parametrize("seed", range(40))
def test_accuracy_is_scikit_learns(seed):
    generator = np.random.default_rng(seed)
    rows, classes = generator.integers(1, 60), generator.integers(1, 6)
    labels, predictions = generator.integers(classes, size=(2, rows))
    assert accuracy(predictions, labels) == pytest.approx(accuracy_score(labels, predictions))


@pytest.mark.parametrize("values", [2, 4, 30, None])
@pytest.mark.parametrize("seed", range(20))
def test_spearman_is_scipys_with_ties_and_without(seed, values):
    """Of so many different values, the fewer the more ties; None: of all real numbers.

    Ours goes through SciPy too, so it is also held against the definition: the correlation of mean ranks.
    """
    generator = np.random.default_rng(seed)
    size = int(generator.integers(10, 60))
    labels = generator.normal(size=size) if values is None else generator.integers(values, size=size) / 5
    predictions = labels + generator.normal(size=size)
    predictions = predictions if values is None else predictions.round()
    found = spearman(predictions, labels)
    assert found == pytest.approx(spearmanr(labels, predictions).statistic, abs=1e-12)
    assert found == pytest.approx(np.corrcoef(rankdata(predictions), rankdata(labels))[0, 1], abs=1e-12)


@pytest.mark.parametrize("task", GLUE, ids=[task.name for task in GLUE])
@pytest.mark.parametrize("seed", range(5))
def test_a_glue_task_is_scored_as_scikit_learn_and_scipy_score_what_its_model_says(task, seed):
    """From the outputs of a model: log-probabilities of classes, or values, with ties among them."""
    generator = np.random.default_rng(seed)
    data: Any = SimpleNamespace(metrics=task.metrics)
    if task.kind == "regression":
        labels = generator.integers(26, size=50) / 5  # similarities of STS-B: 0, 0.2, ... 5
        outputs = (labels + generator.normal(size=50)).round(1)
        expected = {"spearman": spearmanr(labels, outputs).statistic}
    else:
        names = task.label_names
        labels = generator.integers(len(names), size=50)
        outputs = generator.normal(size=(50, len(names))) + np.eye(len(names))[labels]
        expected = {"accuracy": accuracy_score(labels, outputs.argmax(axis=1))}
    rows: Any = SimpleNamespace(labels=labels.tolist())
    found = PROBLEMS[task.kind].score(data, rows, outputs.astype(np.float32), None)
    assert found == pytest.approx(expected, abs=1e-12)


def test_what_cannot_be_scored(fails):
    fails(["3 predictions", "2 labels"], accuracy, [1, 2, 3], [1, 2])
    fails(["no rows"], accuracy, [], [])
    fails(["1 of 2 predictions", "NaN", "learning rate"], spearman, [math.nan, 1.0], [1.0, 2.0])
    fails(["1 of 2 labels"], spearman, [0.0, 1.0], [math.inf, 2.0])
    fails(["'f1'", "accuracy, spearman"], compute, "f1", [1], [1])
